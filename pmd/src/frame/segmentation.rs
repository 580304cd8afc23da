//! Asking a device to cut a large TCP packet into segments (TSO).

use super::Frame;
use super::offload::flag;

/// A TCP packet that the device is asked to cut into segments, each with headers of its own.
///
/// The frame is one packet of up to [`TxOffload::tcp_segmentation`](crate::TxOffload::tcp_segmentation) bytes (the link's header
/// aside), whatever the MTU, with all its headers in the first segment of its chain and its own whole length in the IP header.
/// It becomes at most [`TxOffload::tcp_segments`](crate::TxOffload::tcp_segments) packets:
///
/// - Each has the headers of the whole one, with options and padding as they are, and its own length. Sequence numbers go on
///   by the payload, and IPv4's identification by one.
/// - FIN and PSH stay on the last alone, and CWR on the first: what they say is said once. Other flags are on all of them.
///   So a connection with AccECN, which counts in the bit of CWR, asks only while that bit is clear. A packet with SYN, RST or
///   URG is not cut.
/// - **TCP's checksum** is the device's: its field holds the pseudo-header's sum, not complemented, over addresses, protocol
///   and the length of the whole packet's TCP header and payload. That is as for a [checksum](crate::TxChecksum) that is
///   asked for, so that a packet which turns out to be no longer than a segment can be treated alike.
/// - **IPv4's header checksum** is the device's too with [`ipv4_header`](Self::ipv4_header), and the field zero. Without, the field
///   holds what is right for the whole packet, and the device makes those of the segments from it. A device that
///   [fills it](crate::TxOffload::ipv4) wants the former, another the latter.
///
/// What does not fit (a length that is not the packet's, no payload size, another protocol) is dropped by the device when it
/// is given the frame, and counted. A device that cannot cut must not be asked: it drops the frame as too large.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TxSegmentation {
    /// Link-layer header length in bytes (14, or 18 with a VLAN tag), at most 127.
    pub l2_len: u8,
    /// IP header length in bytes, with options or extension headers, at most 511.
    pub l3_len: u16,
    /// TCP header length in bytes, with options: 20 to 60.
    pub l4_len: u8,
    /// Bytes of payload in each segment but the last, which may have fewer; at least 1. With the headers of IP and TCP it is
    /// within the MTU. A device may make its segments smaller.
    pub segment_size: u16,
    /// Which IP.
    pub ip: IpVersion,
    /// Fill the IPv4 header checksums; the field must be zero. Means nothing with IPv6.
    pub ipv4_header: bool,
}

/// A version of IP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IpVersion {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Frame {
    /// Asks the device to cut this packet into segments when it sends it. It takes the place of a checksum that was asked for.
    #[inline]
    pub fn request_segmentation(&mut self, wanted: TxSegmentation) {
        let segment = self.segment_mut();
        segment.tx_offload = u64::from(wanted.l2_len & 0x7f)
            | u64::from(wanted.l3_len & 0x1ff) << 7
            | u64::from(wanted.l4_len) << 16
            | u64::from(wanted.segment_size) << 24;
        segment.ol_flags &= !flag::TX_ALL;
        segment.ol_flags |= flag::TX_TCP_SEGMENTS
            | flag::TX_TCP_CHECKSUM
            | match (wanted.ip, wanted.ipv4_header) {
                (IpVersion::V4, true) => flag::TX_IPV4 | flag::TX_IP_CHECKSUM,
                (IpVersion::V4, false) => flag::TX_IPV4,
                (IpVersion::V6, _) => flag::TX_IPV6,
            };
    }

    /// What was asked for by [`request_segmentation`](Self::request_segmentation): for devices in software.
    #[inline]
    pub fn requested_segmentation(&self) -> Option<TxSegmentation> {
        let segment = self.segment();
        let (flags, lengths) = (segment.ol_flags, segment.tx_offload);
        (flags & flag::TX_TCP_SEGMENTS != 0).then_some(TxSegmentation {
            l2_len: (lengths & 0x7f) as u8,
            l3_len: (lengths >> 7 & 0x1ff) as u16,
            l4_len: (lengths >> 16 & 0xff) as u8,
            segment_size: (lengths >> 24 & 0xffff) as u16,
            ip: if flags & flag::TX_IPV6 == 0 { IpVersion::V4 } else { IpVersion::V6 },
            ipv4_header: flags & flag::TX_IP_CHECKSUM != 0,
        })
    }
}

impl TxSegmentation {
    /// Bytes of all headers.
    pub(crate) fn headers_len(&self) -> usize {
        usize::from(self.l2_len) + usize::from(self.l3_len) + usize::from(self.l4_len)
    }

    /// Bytes of the largest segment as an IP packet.
    pub(crate) fn packet_len(&self) -> usize {
        usize::from(self.l3_len) + usize::from(self.l4_len) + usize::from(self.segment_size)
    }

    /// Bytes of payload in `frame`, if this fits it: its headers are what it is said to have, and the packet is all there.
    pub(crate) fn payload_len(&self, frame: &Frame) -> Option<usize> {
        let head = frame.head().get(usize::from(self.l2_len)..)?;
        let (ip, rest) = head.split_at_checked(self.l3_len.into())?;
        let tcp = rest.get(..self.l4_len.into())?;
        let packet_len = match self.ip {
            IpVersion::V4 => ipv4_len(ip)?,
            IpVersion::V6 => ipv6_len(ip)?,
        };
        let header_len = (tcp.get(12)? >> 4) * 4;
        let plain = *tcp.get(13)? & (SYN | RST | URG) == 0;
        let sized = tcp.len() >= TCP_LEN && header_len == self.l4_len && self.segment_size > 0;
        let whole = usize::from(self.l2_len) + packet_len <= frame.len();
        (plain && sized && whole).then(|| packet_len.checked_sub(ip.len() + tcp.len()))?
    }
}

/// The length of an IPv4 packet that carries TCP and is no fragment, if this is its header.
fn ipv4_len(header: &[u8]) -> Option<usize> {
    let fixed: &[u8; 20] = header.first_chunk()?;
    let fits = fixed[0] >> 4 == 4 && usize::from(fixed[0] & 15) * 4 == header.len();
    let is_whole = fixed[6] & 0x3f == 0 && fixed[7] == 0;
    let total_len = u16::from_be_bytes([fixed[2], fixed[3]]);
    (fits && is_whole && fixed[9] == TCP).then_some(total_len.into())
}

/// The length of an IPv6 packet, if these are its headers.
fn ipv6_len(headers: &[u8]) -> Option<usize> {
    let fixed: &[u8; 40] = headers.first_chunk()?;
    let payload_len = u16::from_be_bytes([fixed[4], fixed[5]]);
    (fixed[0] >> 4 == 6).then_some(fixed.len() + usize::from(payload_len))
}

const TCP_LEN: usize = 20;
const TCP: u8 = 6;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const URG: u8 = 0x20;
