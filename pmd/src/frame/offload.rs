//! What a device found when it received a frame, and what one is asked to do when it sends it.

use super::Frame;

/// What the device found when it received a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RxOffload {
    /// The IPv4 header checksum.
    pub ip: ChecksumStatus,
    /// The TCP or UDP checksum.
    pub l4: ChecksumStatus,
    /// The receive-side-scaling hash, where the device computed one.
    pub rss_hash: Option<u32>,
}

/// Whether a checksum was verified on receipt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChecksumStatus {
    /// The device did not look: software must.
    Unknown,
    /// Verified.
    Good,
    /// Wrong.
    Bad,
}

/// Checksums that the device is asked to fill in on transmission.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TxChecksum {
    /// Link-layer header length in bytes (14, or 18 with a VLAN tag), at most 127.
    pub l2_len: u8,
    /// IP header length in bytes, at most 511.
    pub l3_len: u16,
    /// Fill the IPv4 header checksum; its field must be zero.
    pub ipv4_header: bool,
    /// The transport checksum; its field must hold the pseudo-header's sum, not complemented.
    pub l4: L4Checksum,
}

/// Which transport checksum a device is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum L4Checksum {
    /// None.
    None,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Frame {
    /// What the device found on receipt.
    #[inline]
    pub fn rx_offload(&self) -> RxOffload {
        let segment = self.segment();
        let flags = segment.ol_flags;
        RxOffload {
            ip: flag::status(flags, flag::RX_IP_GOOD, flag::RX_IP_BAD),
            l4: flag::status(flags, flag::RX_L4_GOOD, flag::RX_L4_BAD),
            rss_hash: (flags & flag::RX_RSS_HASH != 0).then_some(segment.hash_rss),
        }
    }

    /// Sets what [`rx_offload`](Self::rx_offload) reports: for devices in software.
    pub fn set_rx_offload(&mut self, found: RxOffload) {
        let segment = self.segment_mut();
        segment.ol_flags &= !flag::RX_ALL;
        segment.ol_flags |= flag::of(found.ip, flag::RX_IP_GOOD, flag::RX_IP_BAD)
            | flag::of(found.l4, flag::RX_L4_GOOD, flag::RX_L4_BAD);
        if let Some(hash) = found.rss_hash {
            segment.ol_flags |= flag::RX_RSS_HASH;
            segment.hash_rss = hash;
        }
    }

    /// Asks the device to fill in checksums when it sends this frame.
    #[inline]
    pub fn request_checksum(&mut self, wanted: TxChecksum) {
        let segment = self.segment_mut();
        segment.tx_offload =
            u64::from(wanted.l2_len & 0x7f) | u64::from(wanted.l3_len & 0x1ff) << 7;
        segment.ol_flags &= !flag::TX_ALL;
        segment.ol_flags |= flag::TX_IPV4
            | if wanted.ipv4_header { flag::TX_IP_CHECKSUM } else { 0 }
            | match wanted.l4 {
                L4Checksum::None => 0,
                L4Checksum::Tcp => flag::TX_TCP_CHECKSUM,
                L4Checksum::Udp => flag::TX_UDP_CHECKSUM,
            };
    }

    /// What was asked for by [`request_checksum`](Self::request_checksum): for devices in software. Nothing, where the packet is
    /// [to be cut](Self::request_segmentation).
    pub fn requested_checksum(&self) -> Option<TxChecksum> {
        let segment = self.segment();
        let kind = segment.ol_flags & (flag::TX_IPV4 | flag::TX_TCP_SEGMENTS);
        (kind == flag::TX_IPV4).then_some(TxChecksum {
            l2_len: (segment.tx_offload & 0x7f) as u8,
            l3_len: (segment.tx_offload >> 7 & 0x1ff) as u16,
            ipv4_header: segment.ol_flags & flag::TX_IP_CHECKSUM != 0,
            l4: match segment.ol_flags & flag::TX_L4_MASK {
                flag::TX_TCP_CHECKSUM => L4Checksum::Tcp,
                flag::TX_UDP_CHECKSUM => L4Checksum::Udp,
                _ => L4Checksum::None,
            },
        })
    }

    /// Forgets what a device found and what one was asked: for a frame that goes from one device to another.
    pub fn clear_offload(&mut self) {
        self.segment_mut().ol_flags &= !(flag::RX_ALL | flag::TX_ALL);
    }
}

/// Bits of `ol_flags`, as `rte_mbuf_core.h` numbers them.
pub(crate) mod flag {
    use super::ChecksumStatus::{self, Bad, Good, Unknown};

    pub(crate) const RX_RSS_HASH: u64 = 1 << 1;
    pub(crate) const RX_L4_BAD: u64 = 1 << 3;
    pub(crate) const RX_IP_BAD: u64 = 1 << 4;
    pub(crate) const RX_IP_GOOD: u64 = 1 << 7;
    pub(crate) const RX_L4_GOOD: u64 = 1 << 8;
    pub(crate) const RX_ALL: u64 = RX_RSS_HASH | RX_L4_BAD | RX_IP_BAD | RX_IP_GOOD | RX_L4_GOOD;
    pub(crate) const TX_TCP_SEGMENTS: u64 = 1 << 50;
    pub(crate) const TX_TCP_CHECKSUM: u64 = 1 << 52;
    pub(crate) const TX_UDP_CHECKSUM: u64 = 3 << 52;
    pub(crate) const TX_L4_MASK: u64 = 3 << 52;
    pub(crate) const TX_IP_CHECKSUM: u64 = 1 << 54;
    pub(crate) const TX_IPV4: u64 = 1 << 55;
    pub(crate) const TX_IPV6: u64 = 1 << 56;
    pub(crate) const TX_ALL: u64 =
        TX_TCP_SEGMENTS | TX_L4_MASK | TX_IP_CHECKSUM | TX_IPV4 | TX_IPV6;

    /// Both bits set means, as DPDK has it, that the packet is fine though its checksum field is not filled.
    pub(crate) fn status(flags: u64, good: u64, bad: u64) -> ChecksumStatus {
        match (flags & good != 0, flags & bad != 0) {
            (true, _) => Good,
            (false, true) => Bad,
            (false, false) => Unknown,
        }
    }

    pub(crate) fn of(status: ChecksumStatus, good: u64, bad: u64) -> u64 {
        match status {
            Unknown => 0,
            Good => good,
            Bad => bad,
        }
    }
}
