//! What a card computes itself: the checksums of what it sends and receives (RFC 791, 768, 9293; summing as in RFC 1071).

use super::direction::link_header_len;
use crate::{ChecksumStatus, Frame, L4Checksum, RxOffload};

/// Fills in the checksums that were asked for. A request that does not fit the packet leaves it as it is: the receiver
/// will tell.
pub(super) fn fill(frame: &mut Frame) {
    let Some(wanted) = frame.requested_checksum() else { return };
    let ip = usize::from(wanted.l2_len);
    let transport = ip + usize::from(wanted.l3_len);
    let bytes = contents(frame);
    let field = match wanted.l4 {
        L4Checksum::None => None,
        L4Checksum::Tcp => Some(transport + TCP_FIELD),
        L4Checksum::Udp => Some(transport + UDP_FIELD),
    };
    if let (Some(field), Some(segment)) = (field, bytes.get(transport..ip_end(&bytes, ip))) {
        // The field holds the pseudo-header's sum, and is summed with the rest.
        let checksum = !sum(0, segment);
        // In UDP zero means that there is none.
        let none = wanted.l4 == L4Checksum::Udp && checksum == 0;
        put(frame, field, if none { 0xffff } else { checksum });
    }
    if let (true, Some(header)) = (wanted.ipv4_header, bytes.get(ip..transport)) {
        put(frame, ip + IPV4_FIELD, !sum(0, header));
    }
}

/// Verifies the checksums of a frame that has arrived.
pub(super) fn verify(frame: &Frame) -> RxOffload {
    let unknown = ChecksumStatus::Unknown;
    let mut found = RxOffload { ip: unknown, l4: unknown, rss_hash: None };
    let bytes = contents(frame);
    let Some(start) = link_header_len(frame) else { return found };
    let Some(packet) = bytes.get(start..ip_end(&bytes, start)) else { return found };
    let header_len = usize::from(packet[0] & 15) * 4;
    if packet[0] >> 4 != 4 || header_len < IPV4_LEN || header_len > packet.len() {
        return found;
    }
    let (header, segment) = packet.split_at(header_len);
    found.ip = status(sum(0, header));
    let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    let has_checksum = match header[9] {
        TCP => segment.len() >= TCP_FIELD + 2,
        UDP => segment.get(UDP_FIELD..UDP_FIELD + 2).is_some_and(|field| field != [0, 0]),
        _ => false,
    };
    if has_checksum && !is_fragment {
        found.l4 = status(sum(pseudo_header(header, segment), segment));
    }
    found
}

/// Where the IP packet that begins at `start` ends, by its own length; where `bytes` end, if that is earlier or there is
/// none.
fn ip_end(bytes: &[u8], start: usize) -> usize {
    match bytes.get(start..).and_then(<[u8]>::first_chunk::<IPV4_LEN>) {
        Some(header) => {
            let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
            bytes.len().min(start + len.max(IPV4_LEN))
        }
        // An empty or inverted range, for which no bytes are found.
        None => 0,
    }
}

fn pseudo_header(header: &[u8], segment: &[u8]) -> u64 {
    u64::from(sum(0, &header[12..20])) + u64::from(header[9]) + segment.len() as u64
}

fn status(sum: u16) -> ChecksumStatus {
    if sum == 0xffff { ChecksumStatus::Good } else { ChecksumStatus::Bad }
}

/// The one's complement sum of 16-bit words.
pub(super) fn sum(start: u64, bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    let mut sum = start + words.sum::<u64>();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

fn put(frame: &mut Frame, at: usize, value: u16) {
    if let Some(field) = frame.head_mut().get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

fn contents(frame: &Frame) -> Vec<u8> {
    let mut bytes = vec![0; frame.len()];
    frame.copy_to(0, &mut bytes);
    bytes
}

const IPV4_LEN: usize = 20;
const IPV4_FIELD: usize = 10;
const TCP_FIELD: usize = 16;
const UDP_FIELD: usize = 6;
const TCP: u8 = 6;
const UDP: u8 = 17;

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;

    use super::*;
    use crate::{Pool, TxChecksum};

    /// Right packets, made by another's builder: with an odd and an even payload, and over TCP and UDP.
    fn packets() -> Vec<(L4Checksum, Vec<u8>)> {
        let mut packets = Vec::new();
        for len in [0, 1, 8, 1001] {
            let payload: Vec<u8> = (0..len).map(|n: u16| n.to_be_bytes()[1] | 1).collect();
            let ip = || {
                PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]).ipv4(
                    [192, 0, 2, 1],
                    [198, 51, 100, 77],
                    64,
                )
            };
            let mut tcp = Vec::new();
            ip().tcp(80, 50_000, 0xdead_beef, 1024).write(&mut tcp, &payload).unwrap();
            let mut udp = Vec::new();
            ip().udp(53, 50_001).write(&mut udp, &payload).unwrap();
            packets.extend([(L4Checksum::Tcp, tcp), (L4Checksum::Udp, udp)]);
        }
        packets
    }

    fn field_of(l4: L4Checksum) -> usize {
        34 + if l4 == L4Checksum::Tcp { TCP_FIELD } else { UDP_FIELD }
    }

    #[test]
    fn requested_checksums_are_filled_in() {
        for room in [2048, 54] {
            let pool = Pool::heap(64, room);
            for (l4, right) in packets() {
                let mut bytes = right.clone();
                let (header, segment) = (&right[14..34], &right[34..]);
                let pseudo = sum(pseudo_header(header, segment), &[]);
                bytes[field_of(l4)..][..2].copy_from_slice(&pseudo.to_be_bytes());
                bytes[24..26].fill(0);
                let mut frame = pool.frame_of(&bytes).unwrap();
                frame.request_checksum(TxChecksum {
                    l2_len: 14,
                    l3_len: 20,
                    ipv4_header: true,
                    l4,
                });
                fill(&mut frame);
                assert_eq!(contents(&frame), right, "{l4:?} in segments of {room}");
            }
        }
    }

    #[test]
    fn a_udp_checksum_of_zero_is_sent_as_all_ones() {
        let mut bytes = packets()[1].1.clone();
        // The pseudo-header's sum such that the whole is all ones.
        bytes[40..42].fill(0);
        let rest = !sum(0, &bytes[34..]);
        bytes[40..42].copy_from_slice(&rest.to_be_bytes());
        let mut frame = Pool::heap(1, 2048).frame_of(&bytes).unwrap();
        let l4 = L4Checksum::Udp;
        frame.request_checksum(TxChecksum { l2_len: 14, l3_len: 20, ipv4_header: false, l4 });
        fill(&mut frame);
        assert_eq!(contents(&frame)[40..42], [0xff, 0xff]);
    }

    #[test]
    fn a_request_that_does_not_fit_changes_nothing() {
        let pool = Pool::heap(1, 2048);
        for len in [0, 13, 33, 35, 42] {
            for l4 in [L4Checksum::Tcp, L4Checksum::Udp, L4Checksum::None] {
                let mut frame = pool.frame_of(&[0x45; 100][..len]).unwrap();
                let wanted = TxChecksum { l2_len: 14, l3_len: 60, ipv4_header: true, l4 };
                frame.request_checksum(wanted);
                fill(&mut frame);
                assert_eq!(contents(&frame), vec![0x45; len]);
            }
        }
    }

    #[test]
    fn every_bit_of_a_packet_counts() {
        let pool = Pool::heap(64, 64);
        let (good, bad) = (ChecksumStatus::Good, ChecksumStatus::Bad);
        for (l4, mut bytes) in packets() {
            bytes.extend([0xa5; 7]); // padding does not count
            let frame = pool.frame_of(&bytes).unwrap();
            assert_eq!(verify(&frame), RxOffload { ip: good, l4: good, rss_hash: None });
            drop(frame);
            for at in 34..bytes.len() - 7 {
                bytes[at] ^= 0x10;
                let found = verify(&pool.frame_of(&bytes).unwrap());
                assert_eq!((found.ip, found.l4), (good, bad), "{l4:?} byte {at}");
                bytes[at] ^= 0x10;
            }
            for at in (22..34).filter(|&at| at != 23) {
                bytes[at] ^= 0x10;
                assert_eq!(verify(&pool.frame_of(&bytes).unwrap()).ip, bad, "{l4:?} byte {at}");
                bytes[at] ^= 0x10;
            }
        }
    }

    #[test]
    fn what_cannot_be_judged_is_unknown() {
        let pool = Pool::heap(1, 2048);
        let [tcp, udp] = [packets()[4].1.clone(), packets()[5].1.clone()];
        let change = |bytes: &[u8], at: usize, value: u8| {
            let mut bytes = bytes.to_vec();
            bytes[at] = value;
            bytes
        };
        let mut no_checksum = udp.clone();
        no_checksum[40..42].fill(0);
        for (name, bytes) in [
            ("not IP", change(&tcp, 12, 0x88)),
            ("IPv6 in the wrong place", change(&tcp, 14, 0x65)),
            ("a header that is too short", change(&tcp, 14, 0x44)),
            ("a header longer than the packet", change(&change(&tcp, 14, 0x4f), 17, 50)),
            ("neither TCP nor UDP", change(&tcp, 23, 1)),
            ("a first fragment", change(&tcp, 20, 0x20)),
            ("a later fragment", change(&tcp, 21, 0x01)),
            ("no checksum in UDP", no_checksum),
            ("cut", tcp[..33].to_vec()),
            ("nothing", vec![]),
        ] {
            let found = verify(&pool.frame_of(&bytes).unwrap());
            assert_eq!(found.l4, ChecksumStatus::Unknown, "{name}");
        }
    }

    #[test]
    fn every_length_is_survived() {
        let pool = Pool::heap(1, 2048);
        for (_, bytes) in packets() {
            for len in 0..bytes.len() {
                verify(&pool.frame_of(&bytes[..len]).unwrap());
            }
        }
    }
}
