//! One queue pair of a device: bursts.

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

use dpdk_sys as sys;

use super::device::{Plan, Port, TAP};
use super::segmentation::{Cut, Limits};
use super::thread::{register_once, take_signals};
use crate::{Burst, Frame, Medium, QueueInfo, QueuePair};

/// One receive queue and one transmit queue of a DPDK device.
pub(super) struct DpdkQueue {
    port: Arc<Port>,
    info: QueueInfo,
    /// Segments and bytes of the largest frame that the device can send.
    max_segments: u16,
    max_len: u32,
    /// Of packets that it is to cut.
    cuts: Limits,
    /// Whether a driver looks at frames before they are sent: it must where it fills in checksums.
    prepare: bool,
    /// Readable while frames wait.
    descriptor: Option<RawFd>,
    /// Whether the driver signals what arrives, and the polling thread does not take the signals yet.
    has_signals: bool,
    /// Bursts in a row of which the device took nothing.
    refusals: u32,
}

impl QueuePair for DpdkQueue {
    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        register_once();
        if std::mem::take(&mut self.has_signals) {
            take_signals();
        }
        let (port, queue) = (self.port.id, self.info.queue);
        // SAFETY: the port runs as long as `self` holds it, this queue is polled through `self` alone, and the driver writes as
        // many mbufs as it says, which are ours from then on.
        unsafe {
            burst.extend_raw(|place, room| sys::pmd_rx_burst(port, queue, place.cast(), room))
        }
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        let ready = self.make_ready(burst);
        if ready == 0 {
            return before - burst.len();
        }
        let (port, queue) = (self.port.id, self.info.queue);
        // SAFETY: the port runs as long as `self` holds it, this queue is used through `self` alone, and the first `ready`
        // frames are chains of mbufs. The driver takes over those that it counts.
        let sent = unsafe { sys::pmd_tx_burst(port, queue, burst.as_raw().cast(), ready) };
        burst.forget_front(usize::from(sent));
        if sent > 0 {
            self.refusals = 0;
        } else {
            self.refused(burst, usize::from(ready));
        }
        before - burst.len()
    }

    fn info(&self) -> &QueueInfo {
        &self.info
    }

    fn wait_descriptor(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: the driver's own descriptor, which stays open until the port is closed: `self` holds the port.
        self.descriptor.map(|descriptor| unsafe { BorrowedFd::borrow_raw(descriptor) })
    }
}

impl DpdkQueue {
    pub(super) fn new(port: Arc<Port>, plan: &Plan, queue: u16) -> Self {
        let info = QueueInfo {
            device: port.label.clone(),
            queue,
            medium: Medium::Ethernet(plan.mac),
            mtu: plan.mtu,
            tx_offload: plan.tx,
            rss: plan.rss.clone(),
            pool: plan.pool.clone(),
        };
        Self {
            max_segments: if plan.tx.multi_segment { u16::MAX } else { 1 },
            max_len: u32::from(plan.mtu) + LINK_HEADERS,
            cuts: Limits::of(plan, port.driver == TAP),
            prepare: plan.tx.ipv4 || plan.tx.tcp || plan.tx.udp,
            descriptor: wait_descriptor(&port, queue),
            has_signals: port.driver == TAP,
            refusals: 0,
            port,
            info,
        }
    }

    /// Makes frames at the front such that the device can send them, and returns how many. What no device could send is freed.
    fn make_ready(&mut self, burst: &mut Burst) -> u16 {
        let mut ready = 0;
        while let Some(frame) = burst.as_mut_slice().get_mut(ready) {
            if frame.is_sendable(self.max_segments, self.max_len) {
                ready += 1;
            } else if frame.is_to_be_cut() {
                match self.cuts.make_ready(frame, &self.info.pool) {
                    Cut::Ready => ready += 1,
                    Cut::Misfit => self.discard(burst, ready),
                    Cut::NoFrames => break,
                }
            } else if frame.len() > self.max_len as usize {
                self.discard(burst, ready);
            } else if let Some(copy) = self.copied(frame) {
                *frame = copy;
                ready += 1;
            } else {
                break;
            }
        }
        if self.prepare { self.prepared(burst, ready) } else { u16::try_from(ready).unwrap_or(0) }
    }

    /// Has the driver look at the first `count` frames, and frees those that it cannot send.
    fn prepared(&mut self, burst: &mut Burst, mut count: usize) -> u16 {
        loop {
            let frames = burst.as_raw().cast();
            let asked = u16::try_from(count).unwrap_or(0);
            // SAFETY: the port runs, and the first `count` frames are chains of mbufs.
            let good = unsafe { sys::pmd_tx_prepare(self.port.id, self.info.queue, frames, asked) };
            if good > 0 || count == 0 {
                return good;
            }
            // The first one is malformed in the driver's eyes.
            self.discard(burst, 0);
            count -= 1;
        }
    }

    /// The slow path: a frame of the heap, or of more segments than the device takes, as one segment of the device's pool.
    /// `None` while the pool is empty.
    #[cold]
    fn copied(&self, frame: &Frame) -> Option<Frame> {
        let mut copy = self.info.pool.alloc()?;
        for bytes in frame.segments() {
            // A pool's frames have room for the largest packet.
            copy.extend_from_slice(bytes)?;
        }
        copy.copy_tx_request(frame);
        Some(copy)
    }

    #[cold]
    fn discard(&mut self, burst: &mut Burst, index: usize) {
        drop(burst.remove(index));
        self.port.discard(1);
    }

    /// A device whose link is down refuses for ever (net_tap when the kernel's side is down, memif without a peer): as on a
    /// wire without carrier, what is sent then is lost. Asking for the link can cost a system call, so it is not done at once.
    #[cold]
    fn refused(&mut self, burst: &mut Burst, count: usize) {
        self.refusals += 1;
        if self.refusals < PATIENCE || self.port.link_is_up() {
            self.refusals %= PATIENCE;
            return;
        }
        self.refusals = 0;
        drop(burst.drain_front(count));
        self.port.discard(count);
    }
}

/// Only net_tap has one that is readable for as long as frames wait; a NIC's would have to be armed before each rest.
fn wait_descriptor(port: &Port, queue: u16) -> Option<RawFd> {
    if port.driver != TAP {
        return None;
    }
    // SAFETY: the port runs, with receive interrupts.
    let descriptor = unsafe { sys::rte_eth_dev_rx_intr_ctl_q_get_fd(port.id, queue) };
    (descriptor >= 0).then_some(descriptor)
}

/// Ethernet's header and one VLAN tag. net_tap would wait for ever with a longer frame in front.
const LINK_HEADERS: u32 = 14 + 4;

/// Refused bursts before the link is looked at.
const PATIENCE: u32 = 16;
