//! What a protocol thread needs of a device: one receive and one transmit queue.

use std::os::fd::BorrowedFd;

use crate::{Burst, Pool, Rss};

/// One receive queue and one transmit queue of a device, owned by one thread.
///
/// Calls never block. They are made once per burst, so they may be dynamic.
pub trait QueuePair: Send {
    /// Appends frames that have arrived, as many as `burst` has room for; returns how many.
    fn rx_burst(&mut self, burst: &mut Burst) -> usize;

    /// Takes frames from the front of `burst`, in order, as far as the device accepts them; the rest stays. Returns how
    /// many it took.
    fn tx_burst(&mut self, burst: &mut Burst) -> usize;

    /// What the device is; constant.
    fn info(&self) -> &QueueInfo;

    /// A descriptor that is readable while frames wait. `None` where the device must be polled: a thread that wants to
    /// rest then takes bounded naps.
    fn wait_descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// A queue pair's constants.
#[derive(Clone)]
pub struct QueueInfo {
    /// The device's name, for messages.
    pub device: String,
    /// Which queue of the device this is.
    pub queue: u16,
    /// What its frames begin with.
    pub medium: Medium,
    /// Largest IP packet in bytes (1500 on Ethernet).
    pub mtu: u16,
    /// What the device does with frames on request: checksums, and cutting.
    pub tx_offload: TxOffload,
    /// How the device spreads what it receives over its queues.
    pub rss: Rss,
    /// Where frames for transmission come from.
    pub pool: Pool,
}

/// What frames of a device begin with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Medium {
    /// An Ethernet II header; the device's own address.
    Ethernet([u8; 6]),
    /// The IP header: no link layer at all.
    Ip,
}

/// What a device can do with frames that it is given to send.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct TxOffload {
    /// The IPv4 header's.
    pub ipv4: bool,
    /// TCP's over IPv4.
    pub tcp: bool,
    /// UDP's over IPv4.
    pub udp: bool,
    /// Frames of several segments can be sent as they are.
    pub multi_segment: bool,
    /// The largest IP packet, in bytes, that it cuts into TCP segments when it is
    /// [asked to](crate::Frame::request_segmentation); 0 if it cuts none. Such a packet may be larger than the MTU.
    pub tcp_segmentation: u16,
    /// The most segments that it makes of one; 0 if it cuts none.
    pub tcp_segments: u16,
}
