//! The IPv4 header (RFC 791, section 3.1).

use std::net::Ipv4Addr;

use super::checksum::Sum;
use super::ipv4_options::Options;
use crate::drops::Drop;
use Malformed::{HeaderLength, TotalLength, Truncated, Version};

/// A received packet whose IPv4 header is known to fit, and whose lengths agree with each other.
#[derive(Clone, Copy)]
pub(crate) struct Ipv4View<'a> {
    fixed: &'a [u8; HEADER_LEN],
    header: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Ipv4View<'a> {
    /// Views a packet that is contiguous in memory. Bytes behind its total length (Ethernet's padding) are left out.
    pub(crate) fn parse(packet: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_head(packet, packet.len())
    }

    /// Views the first bytes of a packet of `len` bytes. [`Ipv4View::payload`] is then the part of it that `head` holds.
    pub(crate) fn parse_head(head: &'a [u8], len: usize) -> Result<Self, Malformed> {
        let fixed: &[u8; HEADER_LEN] = head.first_chunk().ok_or(Truncated)?;
        if fixed[0] >> 4 != 4 {
            return Err(Version);
        }
        let header_len = usize::from(fixed[0] & 0x0f) * 4;
        if header_len < HEADER_LEN {
            return Err(HeaderLength);
        }
        let (header, rest) = head.split_at_checked(header_len).ok_or(HeaderLength)?;
        let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        let payload_len = total_len.checked_sub(header_len).ok_or(TotalLength)?;
        if total_len > len {
            return Err(TotalLength);
        }
        Ok(Self { fixed, header, payload: rest.get(..payload_len).unwrap_or(rest) })
    }

    /// The same for a whole datagram without options; `None` for any other.
    #[inline]
    pub(crate) fn parse_plain(head: &'a [u8], len: usize) -> Option<Self> {
        let (fixed, rest) = head.split_first_chunk::<HEADER_LEN>()?;
        let view = Self { fixed, header: fixed, payload: rest };
        let total_len = view.total_len();
        let fits = (HEADER_LEN..=len).contains(&total_len);
        if fixed[0] != PLAIN || view.fragment().is_fragment() || !fits {
            return None;
        }
        Some(Self { payload: rest.get(..total_len - HEADER_LEN).unwrap_or(rest), ..view })
    }

    /// Bytes of the header, options included: 20 to 60.
    pub(crate) fn header_len(&self) -> usize {
        self.header.len()
    }

    /// The former type of service: DSCP (RFC 2474) and ECN (RFC 3168).
    pub(crate) fn tos(&self) -> u8 {
        self.fixed[1]
    }

    /// Bytes of header and payload, never less than the header's and never more than the packet's.
    pub(crate) fn total_len(&self) -> usize {
        usize::from(u16::from_be_bytes([self.fixed[2], self.fixed[3]]))
    }

    /// What the fragments of one datagram share (RFC 6864).
    pub(crate) fn identification(&self) -> u16 {
        u16::from_be_bytes([self.fixed[4], self.fixed[5]])
    }

    /// May the datagram be fragmented on its way, and is this a fragment?
    pub(crate) fn fragment(&self) -> FragmentField {
        FragmentField(u16::from_be_bytes([self.fixed[6], self.fixed[7]]))
    }

    /// Hops left.
    pub(crate) fn ttl(&self) -> u8 {
        self.fixed[8]
    }

    /// What the payload is; see the constants of [`protocol`].
    pub(crate) fn protocol(&self) -> u8 {
        self.fixed[9]
    }

    /// Who claims to have sent it.
    pub(crate) fn source(&self) -> Ipv4Addr {
        let f = self.fixed;
        Ipv4Addr::new(f[12], f[13], f[14], f[15])
    }

    /// Whom it is for.
    pub(crate) fn destination(&self) -> Ipv4Addr {
        let f = self.fixed;
        Ipv4Addr::new(f[16], f[17], f[18], f[19])
    }

    /// The options, one by one.
    pub(crate) fn options(&self) -> Options<'a> {
        Options::new(&self.header[HEADER_LEN..])
    }

    /// Whether the header arrived as it was sent.
    #[must_use]
    pub(crate) fn checksum_is_valid(&self) -> bool {
        Sum::of(self.header).is_valid()
    }

    /// The header with its options.
    pub(crate) fn header(&self) -> &'a [u8] {
        self.header
    }

    /// What the header carries, as far as the viewed bytes reach.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Why bytes could not be viewed as IPv4.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// The header length is below 5 words or points past the bytes.
    HeaderLength,
    /// The total length is below the header's or above the packet's.
    TotalLength,
    /// Fewer than 20 bytes.
    Truncated,
    /// Not version 4.
    Version,
}

impl From<Malformed> for Drop {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            HeaderLength => Self::IpHeaderLength,
            TotalLength => Self::IpTotalLength,
            Truncated => Self::IpTruncated,
            Version => Self::IpVersion,
        }
    }
}

/// The flags and the fragment offset, as they stand in the header.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct FragmentField(pub(crate) u16);

impl FragmentField {
    /// A whole datagram that routers may fragment.
    pub(crate) const WHOLE: Self = Self(0);
    /// A whole datagram that nobody may fragment.
    pub(crate) const DONT_FRAGMENT: Self = Self(0x4000);

    /// The field of the fragment that starts `offset` bytes into the datagram. Fragments start at multiples of 8.
    pub(crate) fn of(offset: u16, position: Position) -> Self {
        debug_assert!(offset.is_multiple_of(8), "{offset}");
        let more = match position {
            Position::MoreFollow => MORE_FRAGMENTS,
            Position::Last => 0,
        };
        Self(more | (offset / 8))
    }

    /// Whether routers must drop rather than fragment.
    pub(crate) fn dont_fragment(self) -> bool {
        self.0 & Self::DONT_FRAGMENT.0 != 0
    }

    /// Whether this is a piece of a datagram and not the whole of it.
    pub(crate) fn is_fragment(self) -> bool {
        self.0 & (MORE_FRAGMENTS | OFFSET) != 0
    }

    /// Whether the datagram goes on behind this piece.
    pub(crate) fn position(self) -> Position {
        if self.0 & MORE_FRAGMENTS == 0 { Position::Last } else { Position::MoreFollow }
    }

    /// Where in the datagram this piece starts, in bytes: at most 65528.
    pub(crate) fn offset(self) -> u16 {
        (self.0 & OFFSET) * 8
    }
}

/// Where a fragment stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Position {
    /// At the datagram's end.
    Last,
    /// Before it.
    MoreFollow,
}

/// A header without options, to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Ipv4Header {
    /// DSCP and ECN.
    pub(crate) tos: u8,
    /// Bytes of header and payload.
    pub(crate) total_len: u16,
    /// What the fragments of one datagram share.
    pub(crate) identification: u16,
    /// Flags and fragment offset.
    pub(crate) fragment: FragmentField,
    /// Hops it may take.
    pub(crate) ttl: u8,
    /// What the payload is.
    pub(crate) protocol: u8,
    /// Our address.
    pub(crate) source: Ipv4Addr,
    /// Whom it is for.
    pub(crate) destination: Ipv4Addr,
}

impl Ipv4Header {
    /// Writes the header with its checksum.
    pub(crate) fn emit(&self, out: &mut [u8; HEADER_LEN]) {
        self.emit_unsummed(out);
        let checksum = Sum::of(out).finish();
        out[CHECKSUM].copy_from_slice(&checksum.to_be_bytes());
    }

    /// Writes the header with a checksum of zero, for a device that fills it in.
    pub(crate) fn emit_unsummed(&self, out: &mut [u8; HEADER_LEN]) {
        out[0] = 0x45;
        out[1] = self.tos;
        out[2..4].copy_from_slice(&self.total_len.to_be_bytes());
        out[4..6].copy_from_slice(&self.identification.to_be_bytes());
        out[6..8].copy_from_slice(&self.fragment.0.to_be_bytes());
        out[8] = self.ttl;
        out[9] = self.protocol;
        out[CHECKSUM].fill(0);
        out[12..16].copy_from_slice(&self.source.octets());
        out[16..].copy_from_slice(&self.destination.octets());
    }
}

/// Protocol numbers.
pub(crate) mod protocol {
    /// Internet Control Message Protocol.
    pub(crate) const ICMP: u8 = 1;
    /// Transmission Control Protocol.
    pub(crate) const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub(crate) const UDP: u8 = 17;
}

/// Bytes of a header without options.
pub(crate) const HEADER_LEN: usize = 20;
/// The first byte of a packet of version 4 whose header has five words, and so no options.
pub(crate) const PLAIN: u8 = 0x45;

const CHECKSUM: std::ops::Range<usize> = 10..12;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

#[cfg(test)]
mod tests {
    use etherparse::{Ipv4HeaderSlice, LaxIpv4Slice};
    use proptest::prelude::*;
    use smoltcp::wire::Ipv4Packet;

    use super::*;

    #[test]
    fn the_lengths_must_agree() {
        for (name, first, total_len, len, want) in [
            ("nothing", 0x45, 20, 0, Err(Truncated)),
            ("one byte short", 0x45, 20, 19, Err(Truncated)),
            ("version 6", 0x65, 20, 20, Err(Version)),
            ("four words", 0x44, 20, 20, Err(HeaderLength)),
            ("options run past the end", 0x46, 20, 23, Err(HeaderLength)),
            ("total below the header", 0x46, 20, 24, Err(TotalLength)),
            ("total beyond the packet", 0x45, 21, 20, Err(TotalLength)),
            ("a bare header", 0x45, 20, 20, Ok((20, 0))),
            ("payload and padding", 0x45, 23, 46, Ok((20, 3))),
            ("the longest header", 0x4f, 61, 61, Ok((60, 1))),
        ] {
            let mut packet = vec![0; len];
            if let Some(fixed) = packet.first_chunk_mut::<4>() {
                *fixed = [first, 0, 0, total_len];
            }
            let got =
                Ipv4View::parse(&packet).map(|view| (view.header_len(), view.payload().len()));
            assert_eq!(got, want, "{name}");
        }
    }

    #[test]
    fn a_head_is_judged_by_the_length_of_the_packet() {
        let mut packet = [1; 120];
        header(100, FragmentField::WHOLE).emit(packet.first_chunk_mut().unwrap());
        assert_eq!(Ipv4View::parse_head(&packet[..50], 100).unwrap().payload(), [1; 30]);
        assert_eq!(Ipv4View::parse_head(&packet, 120).unwrap().payload(), [1; 80]);
        assert_eq!(Ipv4View::parse_head(&packet[..50], 99).err(), Some(TotalLength));
    }

    #[test]
    fn fragments_know_their_place() {
        let middle = FragmentField::of(1480, Position::MoreFollow);
        assert_eq!(middle.0, 0x20b9);
        assert_eq!(
            (middle.offset(), middle.position(), middle.is_fragment()),
            (1480, Position::MoreFollow, true)
        );
        let last = FragmentField::of(65_528, Position::Last);
        assert_eq!(
            (last.offset(), last.position(), last.is_fragment()),
            (65_528, Position::Last, true)
        );
        assert!(FragmentField::of(0, Position::MoreFollow).is_fragment());
        assert!(!FragmentField::WHOLE.is_fragment() && !FragmentField::DONT_FRAGMENT.is_fragment());
        assert!(FragmentField::DONT_FRAGMENT.dont_fragment() && !middle.dont_fragment());
        // The reserved bit means nothing.
        assert!(!FragmentField(0x8000).is_fragment());
    }

    #[test]
    fn every_flipped_bit_breaks_the_checksum() {
        let mut valid = [0; HEADER_LEN];
        header(20, FragmentField::DONT_FRAGMENT).emit(&mut valid);
        assert!(Ipv4View::parse(&valid).unwrap().checksum_is_valid());
        for bit in 0..valid.len() * 8 {
            let mut broken = valid;
            broken[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !Ipv4View::parse(&broken).is_ok_and(|view| view.checksum_is_valid()),
                "bit {bit}"
            );
        }
    }

    proptest! {
        #[test]
        fn etherparse_and_smoltcp_read_what_we_emit(
            tos: u8, identification: u16, fragment in 0..0x8000_u16, ttl: u8, protocol: u8,
            source: [u8; 4], destination: [u8; 4], payload in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let sent = Ipv4Header {
                tos,
                total_len: u16::try_from(HEADER_LEN + payload.len()).unwrap(),
                identification,
                fragment: FragmentField(fragment),
                ttl,
                protocol,
                source: source.into(),
                destination: destination.into(),
            };
            let mut bytes = vec![0xaa; HEADER_LEN];
            sent.emit(bytes.first_chunk_mut().unwrap());
            bytes.extend(&payload);
            let ours = Ipv4View::parse(&bytes).unwrap();
            prop_assert_eq!(header_of(&ours), sent);
            prop_assert!(ours.checksum_is_valid());
            prop_assert_eq!(ours.payload(), &payload);
            agree_with_etherparse(&ours, &bytes)?;
            prop_assert!(Ipv4Packet::new_checked(&bytes).unwrap().verify_checksum());
        }

        #[test]
        fn we_accept_what_they_accept(
            mut bytes in prop::collection::vec(any::<u8>(), 0..80), first in 0x40..0x50_u8, total_len in 0..90_u8,
        ) {
            for (at, value) in [(0, first), (2, 0), (3, total_len)] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            let ours = Ipv4View::parse(&bytes);
            let smoltcp = Ipv4Packet::new_checked(&bytes).is_ok_and(|packet| packet.header_len() >= 20);
            prop_assert_eq!(ours.is_ok(), smoltcp);
            if let Ok(ours) = ours {
                agree_with_etherparse(&ours, &bytes)?;
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_read_as_etherparse_does(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            match Ipv4View::parse(&bytes) {
                Ok(ours) => agree_with_etherparse(&ours, &bytes)?,
                Err(TotalLength) => {}
                Err(_) => prop_assert!(Ipv4HeaderSlice::from_slice(&bytes).is_err()),
            }
        }
    }

    fn agree_with_etherparse(ours: &Ipv4View<'_>, bytes: &[u8]) -> Result<(), TestCaseError> {
        let slice = Ipv4HeaderSlice::from_slice(bytes).unwrap();
        let theirs = slice.to_header();
        prop_assert_eq!(ours.header(), slice.slice());
        prop_assert_eq!(ours.tos(), theirs.dscp.value() << 2 | theirs.ecn.value());
        prop_assert_eq!(ours.total_len(), usize::from(theirs.total_len));
        prop_assert_eq!(ours.identification(), theirs.identification);
        prop_assert_eq!(ours.fragment().dont_fragment(), theirs.dont_fragment);
        prop_assert_eq!(ours.fragment().position() == Position::MoreFollow, theirs.more_fragments);
        prop_assert_eq!(ours.fragment().offset(), theirs.fragment_offset.value() * 8);
        prop_assert_eq!(ours.fragment().is_fragment(), theirs.is_fragmenting_payload());
        prop_assert_eq!((ours.ttl(), ours.protocol()), (theirs.time_to_live, theirs.protocol.0));
        prop_assert_eq!(ours.source().octets(), theirs.source);
        prop_assert_eq!(ours.destination().octets(), theirs.destination);
        prop_assert_eq!(
            ours.checksum_is_valid(),
            theirs.calc_header_checksum() == theirs.header_checksum
        );
        // Their slice without extension headers would stop at an authentication header (51).
        if ours.protocol() != 51 {
            let (whole, _) = LaxIpv4Slice::from_slice(bytes).unwrap();
            prop_assert_eq!(ours.payload(), whole.payload().payload);
        }
        Ok(())
    }

    fn header_of(view: &Ipv4View<'_>) -> Ipv4Header {
        Ipv4Header {
            tos: view.tos(),
            total_len: u16::try_from(view.total_len()).unwrap(),
            identification: view.identification(),
            fragment: view.fragment(),
            ttl: view.ttl(),
            protocol: view.protocol(),
            source: view.source(),
            destination: view.destination(),
        }
    }

    fn header(total_len: u16, fragment: FragmentField) -> Ipv4Header {
        Ipv4Header {
            tos: 0,
            total_len,
            identification: 7,
            fragment,
            ttl: 64,
            protocol: protocol::TCP,
            source: Ipv4Addr::new(192, 0, 2, 1),
            destination: Ipv4Addr::new(192, 0, 2, 2),
        }
    }
}
