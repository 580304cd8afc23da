//! Ethernet II framing and the 802.1Q tag.

use std::fmt;

use crate::drops::Drop;
use Malformed::Truncated;

/// The header of a received Ethernet frame.
#[derive(Clone, Copy)]
pub(crate) struct EthernetView<'a> {
    fixed: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> EthernetView<'a> {
    /// Views a frame without its frame check sequence.
    pub(crate) fn parse(frame: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, payload) = frame.split_first_chunk().ok_or(Truncated)?;
        Ok(Self { fixed, payload })
    }

    /// The station or group the frame was sent to.
    pub(crate) fn destination(&self) -> MacAddr {
        let f = self.fixed;
        MacAddr([f[0], f[1], f[2], f[3], f[4], f[5]])
    }

    /// The station that sent it.
    pub(crate) fn source(&self) -> MacAddr {
        let f = self.fixed;
        MacAddr([f[6], f[7], f[8], f[9], f[10], f[11]])
    }

    /// What the payload is; [`EtherType::VLAN`] where a tag follows.
    pub(crate) fn ethertype(&self) -> EtherType {
        EtherType(u16::from_be_bytes([self.fixed[12], self.fixed[13]]))
    }

    /// What follows the header, padding included.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// An 802.1Q tag and what follows it.
#[derive(Clone, Copy)]
pub(crate) struct VlanView<'a> {
    fixed: &'a [u8; TAG_LEN],
    payload: &'a [u8],
}

impl<'a> VlanView<'a> {
    /// Views the payload of a header whose type is [`EtherType::VLAN`].
    pub(crate) fn parse(tagged: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, payload) = tagged.split_first_chunk().ok_or(Truncated)?;
        Ok(Self { fixed, payload })
    }

    /// The VLAN the frame belongs to; 0 marks a tag that carries a priority only.
    pub(crate) fn id(&self) -> u16 {
        u16::from_be_bytes([self.fixed[0] & 0x0f, self.fixed[1]])
    }

    /// The priority code point, 0 to 7.
    pub(crate) fn priority(&self) -> u8 {
        self.fixed[0] >> 5
    }

    /// What the payload is.
    pub(crate) fn ethertype(&self) -> EtherType {
        EtherType(u16::from_be_bytes([self.fixed[2], self.fixed[3]]))
    }

    /// What follows the tag.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Why bytes could not be viewed as an Ethernet header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// The frame ends within the header or the tag.
    Truncated,
}

impl From<Malformed> for Drop {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Truncated => Self::EthernetRunt,
        }
    }
}

/// An Ethernet header to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct EthernetHeader {
    /// The station or group to reach.
    pub(crate) destination: MacAddr,
    /// Our own address.
    pub(crate) source: MacAddr,
    /// What the payload is.
    pub(crate) ethertype: EtherType,
}

impl EthernetHeader {
    /// Writes an untagged header.
    pub(crate) fn emit(&self, out: &mut [u8; HEADER_LEN]) {
        out[..6].copy_from_slice(&self.destination.0);
        out[6..12].copy_from_slice(&self.source.0);
        out[12..].copy_from_slice(&self.ethertype.0.to_be_bytes());
    }

    /// Writes a header with a tag for the lowest 12 bits of `vlan`, at priority 0.
    pub(crate) fn emit_tagged(&self, vlan: u16, out: &mut [u8; TAGGED_LEN]) {
        out[..6].copy_from_slice(&self.destination.0);
        out[6..12].copy_from_slice(&self.source.0);
        out[12..14].copy_from_slice(&EtherType::VLAN.0.to_be_bytes());
        out[14..16].copy_from_slice(&(vlan & 0x0fff).to_be_bytes());
        out[16..].copy_from_slice(&self.ethertype.0.to_be_bytes());
    }
}

/// The hardware address of a station or group.
#[derive(Clone, Copy, Default, Eq, Hash, PartialEq)]
pub(crate) struct MacAddr(pub(crate) [u8; 6]);

impl MacAddr {
    /// Every station.
    pub(crate) const BROADCAST: Self = Self([0xff; 6]);
    /// No station.
    pub(crate) const ZERO: Self = Self([0; 6]);

    /// Whether this names a group of stations. Broadcast is one of them.
    pub(crate) const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether this can be the address of one station.
    pub(crate) const fn is_unicast(self) -> bool {
        !self.is_multicast() && !matches!(self, Self::ZERO)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The type field; below 0x0600 it is the length of an 802.3 frame instead.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct EtherType(pub(crate) u16);

impl EtherType {
    /// Address resolution.
    pub(crate) const ARP: Self = Self(0x0806);
    /// The Internet Protocol.
    pub(crate) const IPV4: Self = Self(0x0800);
    /// The Internet Protocol, version 6.
    pub(crate) const IPV6: Self = Self(0x86dd);
    /// An 802.1Q tag.
    pub(crate) const VLAN: Self = Self(0x8100);

    /// Whether the field is an 802.3 length.
    pub(crate) const fn is_length(self) -> bool {
        self.0 < 0x0600
    }
}

/// Bytes of an untagged header.
pub(crate) const HEADER_LEN: usize = 14;
/// Bytes that a tag adds.
pub(crate) const TAG_LEN: usize = 4;
/// Bytes of a header with one tag.
pub(crate) const TAGGED_LEN: usize = HEADER_LEN + TAG_LEN;

#[cfg(test)]
mod tests {
    use etherparse::{Ethernet2Slice, SingleVlanSlice};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_truncation_is_viewed() {
        for len in 0..HEADER_LEN {
            assert_eq!(
                EthernetView::parse(&[0; HEADER_LEN][..len]).err(),
                Some(Truncated),
                "{len}"
            );
        }
        for len in 0..TAG_LEN {
            assert_eq!(VlanView::parse(&[0; TAG_LEN][..len]).err(), Some(Truncated), "{len}");
        }
    }

    #[test]
    fn addresses_know_what_they_name() {
        for (name, mac, multicast, unicast) in [
            ("broadcast", MacAddr::BROADCAST, true, false),
            ("all hosts", MacAddr([1, 0, 0x5e, 0, 0, 1]), true, false),
            ("none", MacAddr::ZERO, false, false),
            ("a station", MacAddr([2, 0, 0, 0, 0, 1]), false, true),
        ] {
            assert_eq!((mac.is_multicast(), mac.is_unicast()), (multicast, unicast), "{name}");
        }
        assert_eq!(MacAddr([2, 0xab, 0, 0, 0, 1]).to_string(), "02:ab:00:00:00:01");
    }

    #[test]
    fn types_begin_at_1536() {
        assert!(EtherType(1500).is_length());
        assert!(EtherType(0x05ff).is_length());
        assert!(!EtherType(0x0600).is_length());
    }

    proptest! {
        #[test]
        fn etherparse_and_smoltcp_read_what_we_read(frame in prop::collection::vec(any::<u8>(), 0..40)) {
            let view = EthernetView::parse(&frame);
            let theirs = Ethernet2Slice::from_slice_without_fcs(&frame);
            prop_assert_eq!(view.is_ok(), theirs.is_ok());
            let (Ok(view), Ok(theirs)) = (view, theirs) else { return Ok(()) };
            prop_assert_eq!(view.destination().0, theirs.destination());
            prop_assert_eq!(view.source().0, theirs.source());
            prop_assert_eq!(view.ethertype().0, theirs.ether_type().0);
            prop_assert_eq!(view.payload(), theirs.payload_slice());
            let theirs = smoltcp::wire::EthernetFrame::new_checked(&frame).unwrap();
            prop_assert_eq!(view.destination().0, theirs.dst_addr().0);
            prop_assert_eq!(view.destination().is_multicast(), theirs.dst_addr().is_multicast());
        }

        #[test]
        fn etherparse_reads_the_tag_we_read(tagged in prop::collection::vec(any::<u8>(), 0..10)) {
            let view = VlanView::parse(&tagged);
            let theirs = SingleVlanSlice::from_slice(&tagged);
            prop_assert_eq!(view.is_ok(), theirs.is_ok());
            let (Ok(view), Ok(theirs)) = (view, theirs) else { return Ok(()) };
            prop_assert_eq!(view.id(), theirs.vlan_identifier().value());
            prop_assert_eq!(view.priority(), theirs.priority_code_point().value());
            prop_assert_eq!(view.ethertype().0, theirs.ether_type().0);
            prop_assert_eq!(view.payload(), theirs.payload_slice());
        }

        #[test]
        fn what_we_emit_is_viewed(destination: [u8; 6], source: [u8; 6], ethertype: u16, vlan in 0..4096_u16) {
            let header = EthernetHeader {
                destination: MacAddr(destination),
                source: MacAddr(source),
                ethertype: EtherType(ethertype),
            };
            let mut plain = [0xaa; HEADER_LEN];
            header.emit(&mut plain);
            let view = EthernetView::parse(&plain).unwrap();
            prop_assert_eq!((view.destination(), view.source()), (header.destination, header.source));
            prop_assert_eq!(view.ethertype(), header.ethertype);

            let mut tagged = [0xaa; TAGGED_LEN];
            header.emit_tagged(vlan, &mut tagged);
            let view = EthernetView::parse(&tagged).unwrap();
            prop_assert_eq!((view.destination(), view.source()), (header.destination, header.source));
            prop_assert_eq!(view.ethertype(), EtherType::VLAN);
            let tag = VlanView::parse(view.payload()).unwrap();
            prop_assert_eq!((tag.id(), tag.priority(), tag.ethertype()), (vlan, 0, header.ethertype));
        }
    }
}
