//! What link and IP have let pass once they need not look at again: the heads of nearly all packets of a flow, and of all flows from one station to
//! one address of ours, differ in their lengths, numbers and checksums only.

use std::net::Ipv4Addr;

use pmd::Frame;

use super::plain::is_summed;
use crate::counters::Counter;
use crate::link::Link;
use crate::net::Net;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{self, EtherType};
use crate::wire::ipv4;
use crate::wire::tcp::Flags;

/// Bytes of the headers of Ethernet and of IP, without a tag and options.
pub(crate) const HEADERS_LEN: usize = ethernet::HEADER_LEN + ipv4::HEADER_LEN;

/// The head of a frame that link and IP have let pass, as words: TCP in a whole packet, without a tag or options, from another host to an address of
/// ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passed([u64; WORDS]);

/// What a frame is seen to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Glanced {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    /// DSCP and ECN.
    pub(crate) tos: u8,
}

impl Passed {
    /// The head of a frame on an untagged link that was found to be plain, if it carries TCP.
    pub(crate) fn of(link: &Link, frame: &Frame) -> Option<Self> {
        if link.header_len() != ethernet::HEADER_LEN {
            return None;
        }
        let words = words(frame)?;
        let expected = words[1] & from_bytes(KIND) == from_bytes(IPV4_PLAIN);
        let tcp = words[2] & from_bytes(LAST) == from_bytes(TCP);
        let ack = words[5] & SAME[5] == from_bytes(ACK);
        (expected && tcp && ack).then_some(Self(words))
    }

    /// Whether a head has the same bytes where `mask` has bits.
    #[inline]
    fn agrees(&self, head: &[u64; WORDS], mask: [u64; WORDS]) -> bool {
        let differences = self.0.iter().zip(head).zip(mask).map(|((a, b), mask)| (a ^ b) & mask);
        differences.fold(0, |all, one| all | one) == 0
    }
}

impl Net {
    /// What a frame from the device is, if it is like the last one that was let pass, and its length without padding; link and IP would let it pass, too. Whoever
    /// takes it then [says so](Self::count_glanced).
    #[inline]
    pub(crate) fn glance(&self, frame: &Frame) -> Option<(Glanced, usize)> {
        let (passed, head) = (self.passed.as_ref()?, words(frame)?);
        if !passed.agrees(&head, SAME) || self.steer.is_check_due() {
            return None;
        }
        let ip: &[u8; ipv4::HEADER_LEN] =
            frame.head().get(ethernet::HEADER_LEN..)?.first_chunk()?;
        let len = ethernet::HEADER_LEN + usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        if !(HEADERS_LEN..=frame.len()).contains(&len) {
            return None;
        }
        let summed = is_summed(frame, || Sum::of(ip).is_valid());
        let source = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
        let destination = Ipv4Addr::new(ip[16], ip[17], ip[18], ip[19]);
        let known =
            passed.agrees(&head, SOURCE) || self.interface.is_between_hosts(source, destination);
        let held = self.neighbors.as_ref().is_none_or(|neighbors| neighbors.holds(destination));
        let passes = summed && known && held;
        passes.then_some((Glanced { source, destination, tos: ip[1] }, len))
    }

    /// A frame was taken after a [glance](Self::glance).
    #[inline]
    pub(crate) fn count_glanced(&mut self) {
        self.metrics.count(Counter::IpInReceives);
        self.metrics.count(Counter::IpInDelivers);
        self.steer.count_unchecked();
    }
}

/// The first words of a frame, in the machine's byte order, if the headers are there.
#[inline]
fn words(frame: &Frame) -> Option<[u64; WORDS]> {
    let head = frame.head().first_chunk::<{ 8 * WORDS }>()?;
    let (words, _none) = head.as_chunks::<8>();
    let mut out = [0; WORDS];
    out.iter_mut().zip(words).for_each(|(out, &word)| *out = from_bytes(word));
    Some(out)
}

const fn from_bytes(bytes: [u8; 8]) -> u64 {
    u64::from_ne_bytes(bytes)
}

/// Up to the flags of TCP.
const WORDS: usize = 6;

/// What all heads have in common: the stations, what the frame carries, of IP version, length of the header, DSCP, the place in the whole, the
/// protocol and the destination, and of TCP the flags but for PSH.
const SAME: [u64; WORDS] = [
    from_bytes([0xff; 8]),
    from_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfc]),
    from_bytes([0, 0, 0, 0, 0xff, 0xff, 0, 0xff]),
    from_bytes([0, 0, 0, 0, 0, 0, 0xff, 0xff]),
    from_bytes([0xff, 0xff, 0, 0, 0, 0, 0, 0]),
    from_bytes([0, 0, 0, 0, 0, 0, 0, !low_byte(Flags::PSH)]),
];

const SOURCE: [u64; WORDS] = [0, 0, 0, from_bytes([0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0]), 0, 0];

/// Of the second word: Ethernet's type, version and header length of IP.
const KIND: [u8; 8] = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0];
const IPV4_PLAIN: [u8; 8] = {
    let [high, low] = EtherType::IPV4.0.to_be_bytes();
    [0, 0, 0, 0, high, low, ipv4::PLAIN, 0]
};
/// Of the third: the protocol.
const LAST: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 0xff];
const TCP: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, ipv4::protocol::TCP];
/// Of the sixth: nothing but an acknowledgement.
const ACK: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, low_byte(Flags::ACK)];

const fn low_byte(flags: Flags) -> u8 {
    flags.0.to_be_bytes()[1]
}

#[cfg(test)]
mod tests {
    use pmd::{ChecksumStatus, Medium, RxOffload};
    use proptest::prelude::*;

    use super::*;
    use crate::ip::Addressed;
    use crate::link::Link;
    use crate::neighbor::Detection;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn ethernet() -> Net {
        let mut net = Net::for_test_on(Medium::Ethernet(OURS), Detection::OFF);
        // The address is ours from now on.
        net.neighbors_timeout();
        net
    }

    /// An ACK with timestamps and ten bytes, from 10.0.0.2 to 10.0.0.1.
    fn frame() -> Vec<u8> {
        let mut bytes = vec![7; HEADERS_LEN + 32 + 10];
        bytes[..6].copy_from_slice(&OURS);
        bytes[6..12].copy_from_slice(&THEIRS);
        bytes[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 62, 0, 0, 0x40, 0, 64, 6]);
        bytes[24..34].copy_from_slice(&[0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
        bytes[46..48].copy_from_slice(&[0x80, 0x10]);
        bytes[54..58].copy_from_slice(&[1, 1, 8, 10]);
        summed(bytes)
    }

    fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes[24..26].fill(0);
        let sum = Sum::of(&bytes[ethernet::HEADER_LEN..HEADERS_LEN]).finish();
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// A byte of the headers becomes another one, often one that means something.
    fn change() -> impl Strategy<Value = (usize, u8)> {
        const KINDS: [u8; 11] = [0x10, 0x11, 0x12, 0x14, 0x18, 0x00, 0x01, 0x02, 0x45, 0x60, 0xff];
        let byte = prop_oneof![any::<u8>(), prop::sample::select(&KINDS[..])];
        (0..HEADERS_LEN + 16, byte)
    }

    fn statuses() -> impl Strategy<Value = ChecksumStatus> {
        use ChecksumStatus::*;
        prop_oneof![3 => Just(Good), 3 => Just(Unknown), 1 => Just(Bad)]
    }

    fn offload(ip: ChecksumStatus) -> RxOffload {
        RxOffload { ip, l4: ChecksumStatus::Unknown, rss_hash: None }
    }

    proptest! {
        /// What passes at a glance is what link and IP make of it.
        #[test]
        fn what_passes_at_a_glance_passes_anyway(
            changes in prop::collection::vec(change(), 0..4),
            len in prop_oneof![6 => Just(76_usize), 1 => 0..76_usize, 1 => 76..90_usize],
            (sums_up, ip) in (any::<bool>(), statuses()),
            cut in prop::option::of(0..76_usize),
        ) {
            let mut net = ethernet();
            let first = net.frame_of(&frame()).unwrap();
            prop_assert!(net.glance(&first).is_none(), "nothing was let pass yet");
            net.input(first).unwrap().unwrap();
            prop_assert!(net.glance(&net.frame_of(&frame()).unwrap()).is_some());

            let mut bytes = frame();
            changes.iter().for_each(|&(at, byte)| bytes[at] = byte);
            let mut bytes = if sums_up { summed(bytes) } else { bytes };
            bytes.resize(len, 0);
            // Some devices put headers and data into segments of their own.
            let (head, rest) = bytes.split_at(cut.unwrap_or(len).min(len));
            let mut frame = net.frame_of(head).unwrap();
            if !rest.is_empty() {
                frame.chain(net.frame_of(rest).unwrap());
            }
            frame.set_rx_offload(offload(ip));
            let Some((glanced, whole)) = net.glance(&frame) else { return Ok(()) };
            let taken = net.input(frame);
            let Ok(Some(datagram)) = taken else { panic!("{taken:?}: {bytes:?}") };
            let Glanced { source, destination, tos } = glanced;
            prop_assert_eq!((source, destination, tos), (datagram.source, datagram.destination, datagram.tos));
            let tcp = ipv4::protocol::TCP;
            prop_assert_eq!((datagram.protocol, datagram.to), (tcp, Addressed::Unicast));
            prop_assert_eq!(datagram.header_len, ipv4::HEADER_LEN);
            let packet = datagram.frame.segments().collect::<Vec<_>>().concat();
            prop_assert_eq!(packet, &bytes[ethernet::HEADER_LEN..whole]);
        }
    }

    #[test]
    fn lengths_numbers_and_the_peers_address_may_differ() {
        let mut net = ethernet();
        net.interface.addresses.push("10.9.0.1/16".parse().unwrap());
        net.input(net.frame_of(&frame()).unwrap()).unwrap().unwrap();
        let glance = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = frame();
            change(&mut bytes);
            net.glance(&net.frame_of(&summed(bytes)).unwrap()).is_some()
        };
        for (at, byte, passes) in [
            (5, 9, false),     // station
            (13, 6, false),    // ARP
            (15, 1, true),     // ECT(1)
            (15, 4, false),    // DSCP
            (18, 9, true),     // identification
            (20, 0, false),    // may be fragmented
            (20, 0x60, false), // more fragments
            (22, 3, true),     // TTL
            (23, 17, false),   // UDP
            (29, 77, true),    // another peer
            (29, 1, false),    // ourselves
            (29, 255, false),  // everyone
            (26, 224, false),  // a group
            (33, 2, false),    // somebody else's
            (35, 9, true),     // port
            (41, 9, true),     // number
            (47, 0x18, true),  // PSH
            (47, 0x11, false), // FIN
            (47, 0x12, false), // SYN
        ] {
            assert_eq!(glance(&|bytes| bytes[at] = byte), passes, "{byte} at {at}");
        }
        for (source, passes) in
            [([10, 9, 0, 1], false), ([10, 9, 255, 255], false), ([10, 9, 3, 3], true)]
        {
            assert_eq!(
                glance(&|bytes| bytes[26..30].copy_from_slice(&source)),
                passes,
                "{source:?}"
            );
        }
        assert!(glance(&|bytes| {
            bytes.push(1);
            bytes[17] += 1;
        }));
        assert!(glance(&|bytes| bytes.push(1)), "padding");
        assert!(!glance(&|bytes| bytes.truncate(75)), "cut");
        assert!(!glance(&|bytes| bytes[17] = 19), "less than a header");
        let mut wrong = frame();
        wrong[25] ^= 1;
        assert!(net.glance(&net.frame_of(&wrong).unwrap()).is_none(), "checksum");
    }

    #[test]
    fn only_a_segment_of_an_untagged_link_has_a_head_to_compare_with() {
        let mut bare = Net::for_test();
        bare.input(bare.frame_of(&frame()[14..]).unwrap()).unwrap().unwrap();
        let mut net = ethernet();
        let mut datagram = frame();
        datagram[23] = 17;
        net.input(net.frame_of(&summed(datagram)).unwrap()).unwrap().unwrap();
        let mut syn = frame();
        syn[47] = 2;
        net.input(net.frame_of(&syn).unwrap()).unwrap().unwrap();
        assert!(bare.passed.is_none() && net.passed.is_none());
        let link = Link::new(Medium::Ethernet(OURS), Some(5));
        assert!(Passed::of(&link, &net.frame_of(&frame()).unwrap()).is_none());
    }

    #[test]
    fn nothing_passes_for_an_address_that_is_not_ours_any_more() {
        let mut net = ethernet();
        net.input(net.frame_of(&frame()).unwrap()).unwrap().unwrap();
        let mut claiming = Net::for_test_on(Medium::Ethernet(OURS), Detection::OFF);
        claiming.passed = net.passed;
        assert!(claiming.glance(&net.frame_of(&frame()).unwrap()).is_none());
        claiming.neighbors_timeout();
        assert!(claiming.glance(&net.frame_of(&frame()).unwrap()).is_some());
    }
}
