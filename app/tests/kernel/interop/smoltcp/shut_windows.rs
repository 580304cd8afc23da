//! Counts segments that shut a window, among all that smoltcp sends and receives.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smoltcp::phy::PcapSink;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetFrame, Ipv4Packet, TcpPacket};

use super::PEER;

/// Written by smoltcp's thread, read by any.
#[derive(Clone, Default)]
pub(super) struct ShutWindows(Arc<[AtomicU64; 2]>);

impl ShutWindows {
    /// smoltcp's own.
    pub(super) fn here(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// The other end's.
    pub(super) fn there(&self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    fn count(&self, frame: &[u8]) -> smoltcp::wire::Result<()> {
        let frame = EthernetFrame::new_checked(frame)?;
        let packet = Ipv4Packet::new_checked(frame.payload())?;
        let segment = TcpPacket::new_checked(packet.payload())?;
        if segment.window_len() == 0 && !segment.rst() {
            let from_here = packet.src_addr().to_string() == PEER;
            self.0[usize::from(!from_here)].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// A capture that is not kept.
impl PcapSink for ShutWindows {
    fn packet(&mut self, _: Instant, frame: &[u8]) {
        // What is not TCP over IPv4 has no window.
        let _ = self.count(frame);
    }

    fn write(&mut self, _: &[u8]) {}
}
