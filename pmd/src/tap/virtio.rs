//! The header before each frame: `struct virtio_net_hdr` (virtio 1.2, section 5.1.6), in the machine's byte order.
//!
//! | bytes | field | says |
//! |---|---|---|
//! | 0 | flags | a checksum is open (1), or was verified (2) |
//! | 1 | gso_type | it is to be cut, or was put together: TCP over IPv4 (1) or IPv6 (4); with ECN (0x80) |
//! | 2..4 | hdr_len | bytes of all headers |
//! | 4..6 | gso_size | bytes of payload in each segment |
//! | 6..8 | csum_start | where summing begins |
//! | 8..10 | csum_offset | from there to the field |

use crate::{ChecksumStatus, Frame, IpVersion, L4Checksum, TxSegmentation};

/// Its bytes.
pub(super) const LEN: usize = 10;

/// The header says what means nothing here, or what does not fit the frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct BadHeader;

/// What a header before a received frame of `frame_len` bytes says of its TCP or UDP checksum.
#[inline]
pub(super) fn read(header: &[u8; LEN], frame_len: usize) -> Result<ChecksumStatus, BadHeader> {
    let [flags, gso_type, ..] = *header;
    let [_hdr_len, gso_size, csum_start, csum_offset] = fields(header);
    match gso_type & !GSO_ECN {
        GSO_NONE => {}
        GSO_TCPV4 | GSO_TCPV6 if gso_size > 0 => {}
        _ => return Err(BadHeader),
    }
    if flags & NEEDS_CSUM != 0 {
        // It comes from this machine, which has no wire to protect it from.
        let end = usize::from(csum_start) + usize::from(csum_offset) + 2;
        return if end <= frame_len { Ok(ChecksumStatus::Good) } else { Err(BadHeader) };
    }
    Ok(if flags & DATA_VALID != 0 { ChecksumStatus::Good } else { ChecksumStatus::Unknown })
}

/// The header before a frame that is sent.
#[inline]
pub(super) fn write(frame: &Frame) -> Result<[u8; LEN], BadHeader> {
    if let Some(wanted) = frame.requested_segmentation() {
        return write_large(frame, &wanted);
    }
    let Some(wanted) = frame.requested_checksum() else { return Ok([0; LEN]) };
    let csum_offset = match wanted.l4 {
        // The IPv4 header's alone: nothing that this device fills.
        L4Checksum::None => return Ok([0; LEN]),
        L4Checksum::Tcp => TCP_FIELD,
        L4Checksum::Udp => UDP_FIELD,
    };
    let csum_start = u16::from(wanted.l2_len) + wanted.l3_len;
    if usize::from(csum_start) + usize::from(csum_offset) + 2 > frame.len() {
        return Err(BadHeader);
    }
    Ok(header([NEEDS_CSUM, GSO_NONE], [0, 0, csum_start, csum_offset]))
}

/// The header before a packet that the kernel cuts, if it has to: it leaves this machine as segments, or not at all.
fn write_large(frame: &Frame, wanted: &TxSegmentation) -> Result<[u8; LEN], BadHeader> {
    let payload_len = wanted.payload_len(frame).ok_or(BadHeader)?;
    let csum_start = u16::from(wanted.l2_len) + wanted.l3_len;
    if payload_len <= usize::from(wanted.segment_size) {
        // The kernel would not cut it, and then drop it as not cut.
        return Ok(header([NEEDS_CSUM, GSO_NONE], [0, 0, csum_start, TCP_FIELD]));
    }
    let headers_len = csum_start + u16::from(wanted.l4_len);
    let kind = match wanted.ip {
        IpVersion::V4 => GSO_TCPV4,
        IpVersion::V6 => GSO_TCPV6,
    };
    let flags = frame.head().get(usize::from(csum_start) + TCP_FLAGS);
    let ecn = if flags.is_some_and(|flags| flags & CWR != 0) { GSO_ECN } else { 0 };
    let fields = [headers_len, wanted.segment_size, csum_start, TCP_FIELD];
    Ok(header([NEEDS_CSUM, kind | ecn], fields))
}

fn header([flags, gso_type]: [u8; 2], fields: [u16; 4]) -> [u8; LEN] {
    let mut header = [0; LEN];
    header[..2].copy_from_slice(&[flags, gso_type]);
    header[2..].copy_from_slice(fields.map(u16::to_ne_bytes).as_flattened());
    header
}

fn fields(header: &[u8; LEN]) -> [u16; 4] {
    let [_, _, a, b, c, d, e, f, g, h] = *header;
    [[a, b], [c, d], [e, f], [g, h]].map(u16::from_ne_bytes)
}

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_ECN: u8 = 0x80;
const TCP_FIELD: u16 = 16;
const UDP_FIELD: u16 = 6;
const TCP_FLAGS: usize = 13;
const CWR: u8 = 0x80;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Pool, TxChecksum};

    #[test]
    fn a_received_header_says_whether_the_checksum_can_be_trusted() {
        let (good, unknown) = (Ok(ChecksumStatus::Good), Ok(ChecksumStatus::Unknown));
        let bad = Err(BadHeader);
        for (name, kind, fields, want) in [
            ("nothing", [0, 0], [0; 4], unknown),
            ("verified", [DATA_VALID, 0], [0; 4], good),
            ("open", [NEEDS_CSUM, 0], [0, 0, 34, 16], good),
            ("open, up to the frame's end", [NEEDS_CSUM, 0], [0, 0, 82, 16], good),
            ("open, beyond the frame", [NEEDS_CSUM, 0], [0, 0, 83, 16], bad),
            ("open, far beyond", [NEEDS_CSUM, 0], [0, 0, u16::MAX, u16::MAX], bad),
            ("large", [NEEDS_CSUM, GSO_TCPV4], [54, 1448, 34, 16], good),
            ("large, IPv6", [NEEDS_CSUM, GSO_TCPV6], [74, 1428, 54, 16], good),
            ("large with ECN", [NEEDS_CSUM, GSO_TCPV4 | GSO_ECN], [54, 1448, 34, 16], good),
            ("large, put together", [0, GSO_TCPV4], [54, 1448, 34, 16], unknown),
            ("large in segments of nothing", [NEEDS_CSUM, GSO_TCPV4], [54, 0, 34, 16], bad),
            ("large UDP", [NEEDS_CSUM, 3], [42, 1472, 34, 6], bad),
            ("of an unknown kind", [NEEDS_CSUM, 7], [54, 1448, 34, 16], bad),
        ] {
            assert_eq!(read(&header(kind, fields), 100), want, "{name}");
        }
    }

    #[test]
    fn what_is_asked_for_is_what_the_kernel_is_told() {
        let mut frame = Pool::heap(1, 128).frame_of(&[0; 100]).unwrap();
        let mut told = |l3_len, l4| {
            frame.request_checksum(TxChecksum { l2_len: 18, l3_len, ipv4_header: true, l4 });
            write(&frame)
        };
        let open = |start, offset| Ok(header([NEEDS_CSUM, 0], [0, 0, start, offset]));
        assert_eq!(told(20, L4Checksum::None), Ok([0; LEN]));
        assert_eq!(told(24, L4Checksum::Tcp), open(42, 16));
        assert_eq!(told(20, L4Checksum::Udp), open(38, 6));
        assert_eq!(told(64, L4Checksum::Tcp), open(82, 16), "the field ends the frame");
        assert_eq!(told(65, L4Checksum::Tcp), Err(BadHeader));
        assert_eq!(told(511, L4Checksum::Udp), Err(BadHeader));
        frame.clear_offload();
        assert_eq!(write(&frame), Ok([0; LEN]));
    }

    #[test]
    fn a_packet_to_be_cut_says_how() {
        let pool = Pool::heap(1, 9000);
        let told = |change: &dyn Fn(&mut Vec<u8>), change_wanted: &dyn Fn(&mut TxSegmentation)| {
            let mut bytes = vec![0; 14 + 20 + 24 + 5000];
            bytes[14..18].copy_from_slice(&[0x45, 0, 0x13, 0xb4]);
            bytes[23] = 6;
            bytes[46] = 6 << 4;
            let (l2_len, l3_len, l4_len, ip) = (14, 20, 24, IpVersion::V4);
            let mut wanted = TxSegmentation {
                l2_len,
                l3_len,
                l4_len,
                segment_size: 1448,
                ip,
                ipv4_header: false,
            };
            change(&mut bytes);
            change_wanted(&mut wanted);
            let mut frame = pool.frame_of(&bytes).unwrap();
            frame.request_segmentation(wanted);
            write(&frame)
        };
        let large = |kind| Ok(header([NEEDS_CSUM, kind], [58, 1448, 34, 16]));
        assert_eq!(told(&|_| {}, &|_| {}), large(GSO_TCPV4));
        assert_eq!(told(&|bytes| bytes[47] = CWR, &|_| {}), large(GSO_TCPV4 | GSO_ECN));
        let whole = Ok(header([NEEDS_CSUM, GSO_NONE], [0, 0, 34, 16]));
        assert_eq!(told(&|_| {}, &|wanted| wanted.segment_size = 5000), whole);
        assert_eq!(told(&|bytes| bytes[47] = 0x02, &|_| {}), Err(BadHeader), "SYN");
        assert_eq!(told(&|bytes| bytes[17] += 1, &|_| {}), Err(BadHeader), "too short");
        assert_eq!(told(&|_| {}, &|wanted| wanted.l4_len = 20), Err(BadHeader));
        let ipv6 = |bytes: &mut Vec<u8>| {
            bytes.splice(14..34, [0; 40]);
            bytes[14] = 0x60;
            bytes[18..20].copy_from_slice(&5024_u16.to_be_bytes());
        };
        let wants_ipv6 =
            |wanted: &mut TxSegmentation| (wanted.l3_len, wanted.ip) = (40, IpVersion::V6);
        let large = Ok(header([NEEDS_CSUM, GSO_TCPV6], [78, 1448, 54, 16]));
        assert_eq!(told(&ipv6, &wants_ipv6), large);
        assert_eq!(told(&ipv6, &|_| {}), Err(BadHeader), "not IPv4");
    }

    proptest! {
        /// Whatever comes is judged; what is good has its field within the frame.
        #[test]
        fn no_header_is_too_strange(bytes: [u8; LEN], len in 0..70_000_usize) {
            let open = bytes[0] & NEEDS_CSUM != 0;
            let [_, _, start, offset] = fields(&bytes);
            if read(&bytes, len).is_ok() && open {
                prop_assert!(usize::from(start) + usize::from(offset) + 2 <= len);
            }
        }
    }
}
