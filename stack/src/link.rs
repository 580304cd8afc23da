//! The link layer: Ethernet II with 802.1Q, or nothing at all where a device's frames begin with IP.

use pmd::{Frame, Medium};

use crate::drops::Drop;
use crate::wire::ethernet::{
    EtherType, EthernetHeader, EthernetView, HEADER_LEN, MacAddr, TAGGED_LEN, VlanView,
};

/// Our end of a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    medium: Medium,
    /// The VLAN whose tag our frames carry; none on an untagged link.
    vlan: Option<u16>,
}

impl Link {
    /// The end of a device's link. `vlan` means nothing without Ethernet.
    pub(crate) fn new(medium: Medium, vlan: Option<u16>) -> Self {
        Self { medium, vlan }
    }

    /// Takes the link's header off a received frame, if the frame is for us.
    #[inline]
    pub(crate) fn input(&self, mut frame: Frame) -> Result<Inbound, Drop> {
        let Medium::Ethernet(ours) = self.medium else { return bare(frame) };
        if self.vlan.is_none() && is_plain(&frame, ours) {
            frame.trim_front(HEADER_LEN);
            return Ok(Inbound::Ipv4(frame, Cast::Unicast));
        }
        self.judge(frame, MacAddr(ours))
    }

    /// Takes whatever frame may come.
    fn judge(&self, mut frame: Frame, ours: MacAddr) -> Result<Inbound, Drop> {
        if !frame.pull_up(HEADER_LEN) {
            return Err(Drop::EthernetRunt);
        }
        let view = EthernetView::parse(frame.head())?;
        // Group addresses do not send; what comes from ourselves is an echo, or an impostor.
        if view.source().is_multicast() || view.source() == ours {
            return Err(Drop::EthernetSource);
        }
        let cast = Cast::of(view.destination(), ours)?;
        let (ethertype, header_len) = self.untag(&mut frame)?;
        frame.trim_front(header_len);
        match ethertype {
            EtherType::IPV4 => Ok(Inbound::Ipv4(frame, cast)),
            EtherType::ARP => Ok(Inbound::Arp(frame)),
            EtherType::IPV6 => Err(Drop::Ipv6Unsupported),
            other if other.is_length() => Err(Drop::EthernetLength),
            _ => Err(Drop::EthernetType),
        }
    }

    /// The type behind the tag, if there is one and it is ours, and the bytes before the payload.
    ///
    /// A tag with the id 0 is a priority without a VLAN: such a frame counts as untagged (IEEE 802.1Q, section 6.9.1).
    fn untag(&self, frame: &mut Frame) -> Result<(EtherType, usize), Drop> {
        let outer = EthernetView::parse(frame.head())?.ethertype();
        let (vlan, ethertype, len) = if outer == EtherType::VLAN {
            if !frame.pull_up(TAGGED_LEN) {
                return Err(Drop::EthernetRunt);
            }
            let tag = VlanView::parse(EthernetView::parse(frame.head())?.payload())?;
            (Some(tag.id()).filter(|&id| id != 0), tag.ethertype(), TAGGED_LEN)
        } else {
            (None, outer, HEADER_LEN)
        };
        if vlan == self.vlan { Ok((ethertype, len)) } else { Err(Drop::VlanForeign) }
    }

    /// Puts the link's header before a packet.
    pub(crate) fn output(
        &self,
        frame: &mut Frame,
        to: MacAddr,
        ethertype: EtherType,
    ) -> Result<(), Drop> {
        let room = frame.prepend(self.header_len()).ok_or(Drop::FrameHeadroom)?;
        self.write_header(room, to, ethertype).ok_or(Drop::FrameHeadroom)
    }

    /// Writes the header that stands before a packet. `None` where `room` is smaller.
    pub(crate) fn write_header(
        &self,
        room: &mut [u8],
        to: MacAddr,
        ethertype: EtherType,
    ) -> Option<()> {
        let Medium::Ethernet(ours) = self.medium else { return Some(()) };
        let header = EthernetHeader { destination: to, source: MacAddr(ours), ethertype };
        match self.vlan {
            Some(vlan) => header.emit_tagged(vlan, room.first_chunk_mut()?),
            None => header.emit(room.first_chunk_mut()?),
        }
        Some(())
    }

    /// Bytes of the header that [`Link::output`] puts before a packet.
    pub(crate) fn header_len(&self) -> usize {
        match (self.medium, self.vlan) {
            (Medium::Ip, _) => 0,
            (Medium::Ethernet(_), None) => HEADER_LEN,
            (Medium::Ethernet(_), Some(_)) => TAGGED_LEN,
        }
    }
}

/// A received frame without its link header. It may still end in the link's padding.
pub(crate) enum Inbound {
    /// An ARP packet.
    Arp(Frame),
    /// An IPv4 packet, and how it reached us.
    Ipv4(Frame, Cast),
}

/// Whom a frame was sent to. What reached us with many others must not be answered with errors (RFC 1122, section 3.2.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cast {
    /// Us alone.
    Unicast,
    /// All hosts of the link that speak IP.
    Multicast,
    /// Every station.
    Broadcast,
}

impl Cast {
    /// How `destination` includes the station `ours`, if it does.
    fn of(destination: MacAddr, ours: MacAddr) -> Result<Self, Drop> {
        match destination {
            destination if destination == ours => Ok(Self::Unicast),
            MacAddr::BROADCAST => Ok(Self::Broadcast),
            ALL_HOSTS => Ok(Self::Multicast),
            _ => Err(Drop::EthernetAddress),
        }
    }
}

/// Whether a frame is what nearly all are: an IPv4 packet without a tag, from one other station to ours.
#[inline]
fn is_plain(frame: &Frame, ours: [u8; 6]) -> bool {
    let Some(head) = frame.head().first_chunk::<HEADER_LEN>() else { return false };
    let (addresses, ethertype) = head.split_at(12);
    let (destination, source) = addresses.split_at(6);
    destination == ours
        && source != ours
        && source[0] & 1 == 0
        && ethertype == EtherType::IPV4.0.to_be_bytes()
}

/// A frame of a device without a link layer: the first bits say which IP it is.
fn bare(frame: Frame) -> Result<Inbound, Drop> {
    match frame.head().first().map(|byte| byte >> 4) {
        Some(4) => Ok(Inbound::Ipv4(frame, Cast::Unicast)),
        Some(6) => Err(Drop::Ipv6Unsupported),
        Some(_) => Err(Drop::IpVersion),
        None => Err(Drop::IpTruncated),
    }
}

/// The group of 224.0.0.1, the only one that every host belongs to (RFC 1112, sections 4 and 6.4).
const ALL_HOSTS: MacAddr = MacAddr([0x01, 0x00, 0x5e, 0, 0, 1]);

#[cfg(test)]
mod tests {
    use pmd::Pool;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_are_taken_for_one_reason_or_dropped_for_another() {
        let group_source = [3; 6];
        for (name, destination, source, ethertype, want) in [
            ("IPv4 for us", OURS, THEIRS, 0x0800, Ok(Some(Cast::Unicast))),
            ("IPv4 for all", [0xff; 6], THEIRS, 0x0800, Ok(Some(Cast::Broadcast))),
            ("IPv4 for all hosts", ALL_HOSTS.0, THEIRS, 0x0800, Ok(Some(Cast::Multicast))),
            ("ARP for all", [0xff; 6], THEIRS, 0x0806, Ok(None)),
            ("for another station", [2; 6], THEIRS, 0x0800, Err(Drop::EthernetAddress)),
            (
                "for another group",
                [1, 0, 0x5e, 0, 0, 2],
                THEIRS,
                0x0800,
                Err(Drop::EthernetAddress),
            ),
            ("from ourselves", [0xff; 6], OURS, 0x0806, Err(Drop::EthernetSource)),
            ("from a group", OURS, group_source, 0x0800, Err(Drop::EthernetSource)),
            ("IPv6", OURS, THEIRS, 0x86dd, Err(Drop::Ipv6Unsupported)),
            ("802.3", OURS, THEIRS, 46, Err(Drop::EthernetLength)),
            ("something else", OURS, THEIRS, 0x88cc, Err(Drop::EthernetType)),
        ] {
            let bytes =
                [&destination[..], &source, &u16::to_be_bytes(ethertype), b"payload"].concat();
            assert_eq!(received(None, &bytes).map(|(cast, _)| cast), want, "{name}");
        }
    }

    #[test]
    fn tags_must_be_what_the_link_was_configured_for() {
        for (name, vlan, tag, want) in [
            ("untagged on an untagged link", None, None, Ok(())),
            ("priority tag on an untagged link", None, Some(0xe000), Ok(())),
            ("tagged on an untagged link", None, Some(0x0007), Err(Drop::VlanForeign)),
            ("our VLAN", Some(7), Some(0x0007), Ok(())),
            ("our VLAN with priority", Some(7), Some(0x6007), Ok(())),
            ("another VLAN", Some(7), Some(0x0008), Err(Drop::VlanForeign)),
            ("untagged on a tagged link", Some(7), None, Err(Drop::VlanForeign)),
            ("priority tag on a tagged link", Some(7), Some(0xe000), Err(Drop::VlanForeign)),
        ] {
            let tag = tag.map_or(vec![], |tag: u16| [[0x81, 0], tag.to_be_bytes()].concat());
            let bytes = [&OURS[..], &THEIRS, &tag, &[8, 0], b"payload"].concat();
            let want = want.map(|()| (Some(Cast::Unicast), b"payload".to_vec()));
            assert_eq!(received(vlan, &bytes), want, "{name}");
        }
    }

    #[test]
    fn a_second_tag_is_a_type_we_do_not_speak() {
        let bytes = [&OURS[..], &THEIRS, &[0x81, 0, 0, 0, 0x81, 0, 0, 7, 8, 0]].concat();
        assert_eq!(received(None, &bytes), Err(Drop::EthernetType));
    }

    #[test]
    fn runts_are_dropped_at_every_length() {
        let tagged = [&OURS[..], &THEIRS, &[0x81, 0, 0, 7, 8, 0]].concat();
        for len in 0..tagged.len() {
            assert_eq!(received(Some(7), &tagged[..len]), Err(Drop::EthernetRunt), "{len}");
        }
        assert_eq!(received(Some(7), &tagged), Ok((Some(Cast::Unicast), vec![])));
    }

    #[test]
    fn headers_may_be_spread_over_segments() {
        let pool = Pool::heap(8, 64);
        let bytes = [&OURS[..], &THEIRS, &[0x81, 0, 0, 7, 8, 0], b"payload"].concat();
        for cut in 0..=bytes.len() {
            let mut frame = pool.frame_of(&bytes[..cut]).unwrap();
            frame.chain(pool.frame_of(&bytes[cut..]).unwrap());
            let Ok(Inbound::Ipv4(frame, _)) = ethernet(Some(7)).input(frame) else {
                panic!("cut at {cut}")
            };
            assert_eq!(frame.segments().collect::<Vec<_>>().concat(), b"payload", "cut at {cut}");
        }
    }

    #[test]
    fn what_one_end_sends_the_other_takes() {
        let pool = Pool::heap(1, 64);
        for (vlan, header_len) in [(None, HEADER_LEN), (Some(4094), TAGGED_LEN)] {
            let mut frame = pool.frame_of(b"payload").unwrap();
            let sender = Link::new(Medium::Ethernet(THEIRS), vlan);
            sender.output(&mut frame, MacAddr(OURS), EtherType::IPV4).unwrap();
            assert_eq!((frame.len(), sender.header_len()), (header_len + 7, header_len));
            let bytes = frame.head().to_vec();
            drop(frame);
            assert_eq!(received(vlan, &bytes), Ok((Some(Cast::Unicast), b"payload".to_vec())));
        }
    }

    #[test]
    fn a_frame_without_headroom_is_not_sent() {
        let pool = Pool::heap(1, 64);
        let mut frame = pool.alloc().unwrap();
        frame.prepend(frame.headroom() - 13).unwrap();
        let sent = ethernet(None).output(&mut frame, MacAddr(THEIRS), EtherType::ARP);
        assert_eq!(sent, Err(Drop::FrameHeadroom));
    }

    #[test]
    fn without_a_link_layer_the_version_decides() {
        let link = Link::new(Medium::Ip, Some(7));
        let pool = Pool::heap(1, 64);
        for (bytes, want) in [
            (&[0x45, 0][..], Ok(())),
            (&[0x60, 0], Err(Drop::Ipv6Unsupported)),
            (&[0x50, 0], Err(Drop::IpVersion)),
            (&[], Err(Drop::IpTruncated)),
        ] {
            let got = link.input(pool.frame_of(bytes).unwrap());
            let got =
                got.map(|inbound| assert!(matches!(inbound, Inbound::Ipv4(_, Cast::Unicast))));
            assert_eq!(got, want, "{bytes:?}");
        }
        let mut frame = pool.frame_of(b"packet").unwrap();
        link.output(&mut frame, MacAddr(THEIRS), EtherType::IPV4).unwrap();
        assert_eq!((frame.head(), link.header_len()), (&b"packet"[..], 0));
    }

    proptest! {
        /// Which the general way would take like that, and no other.
        #[test]
        fn what_is_plain_is_seen_at_a_glance(
            destination in prop_oneof![3 => Just(OURS), 1 => any::<[u8; 6]>()],
            source in prop_oneof![3 => Just(THEIRS), 1 => Just(OURS), 1 => any::<[u8; 6]>()],
            ethertype in prop_oneof![3 => Just([8, 0]), 1 => Just([0x81, 0]), 1 => any::<[u8; 2]>()],
            rest in prop::collection::vec(any::<u8>(), 0..6),
        ) {
            let frame = Pool::heap(1, 64)
                .frame_of(&[&destination[..], &source, &ethertype, &rest].concat())
                .unwrap();
            let plain = is_plain(&frame, OURS);
            let untagged = ethertype != [0x81, 0];
            let judged = ethernet(None).judge(frame, MacAddr(OURS));
            prop_assert_eq!(plain, untagged && matches!(judged, Ok(Inbound::Ipv4(_, Cast::Unicast))));
        }

        #[test]
        fn arbitrary_frames_are_taken_or_dropped(
            vlan in prop::option::of(0..3_u16), addresses in any::<bool>(), tagged in any::<bool>(),
            mut bytes in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            if addresses && let Some(destination) = bytes.first_chunk_mut::<6>() {
                *destination = OURS;
            }
            if tagged && let Some(tag) = bytes.get_mut(12..15) {
                tag.copy_from_slice(&[0x81, 0, 0]);
            }
            if let Ok((_, payload)) = received(vlan, &bytes) {
                prop_assert!(bytes.ends_with(&payload));
            }
        }
    }

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn ethernet(vlan: Option<u16>) -> Link {
        Link::new(Medium::Ethernet(OURS), vlan)
    }

    /// What is left of a frame of `bytes`: its payload, and for IPv4 how it reached us.
    fn received(vlan: Option<u16>, bytes: &[u8]) -> Result<(Option<Cast>, Vec<u8>), Drop> {
        let frame = Pool::heap(1, 64).frame_of(bytes).unwrap();
        Ok(match ethernet(vlan).input(frame)? {
            Inbound::Arp(frame) => (None, frame.head().to_vec()),
            Inbound::Ipv4(frame, cast) => (Some(cast), frame.head().to_vec()),
        })
    }
}
