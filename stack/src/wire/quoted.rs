//! The datagram that an ICMP error quotes: its IP header and at least the first eight bytes behind it (RFC 792).

use std::net::Ipv4Addr;

use super::ipv4::{self, Ipv4View};
use crate::drops::Drop;
use crate::tcp::seq::Seq;

/// The start of a datagram, ours if the error is honest: sent from `source`, seen from here.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a> {
    ip: Ipv4View<'a>,
    transport: &'a [u8; TRANSPORT_LEN],
}

impl<'a> Quoted<'a> {
    /// Views the body of an ICMP error.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        // The quotation may be cut short; the header still says how long the datagram was.
        let ip = Ipv4View::parse_head(body, usize::from(u16::MAX)).map_err(Malformed::Ipv4)?;
        if ip.fragment().offset() != 0 {
            return Err(Malformed::LaterFragment);
        }
        let transport = ip.payload().first_chunk().ok_or(Malformed::Truncated)?;
        Ok(Self { ip, transport })
    }

    /// The header of the quoted datagram. Its checksum may be wrong, its TTL used up.
    pub(crate) fn ip(&self) -> &Ipv4View<'a> {
        &self.ip
    }

    /// Who sent the quoted datagram.
    pub(crate) fn source(&self) -> Ipv4Addr {
        self.ip.source()
    }

    /// Whom it was for.
    pub(crate) fn destination(&self) -> Ipv4Addr {
        self.ip.destination()
    }

    /// The source port, where the protocol is TCP or UDP.
    pub(crate) fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.transport[0], self.transport[1]])
    }

    /// The destination port, where the protocol is TCP or UDP.
    pub(crate) fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.transport[2], self.transport[3]])
    }

    /// The sequence number, where the protocol is TCP.
    pub(crate) fn seq(&self) -> Seq {
        let t = self.transport;
        Seq(u32::from_be_bytes([t[4], t[5], t[6], t[7]]))
    }

    /// The first eight bytes behind the IP header.
    pub(crate) fn transport(&self) -> &'a [u8; TRANSPORT_LEN] {
        self.transport
    }
}

/// Why a quotation says nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// It does not start with an IPv4 header.
    Ipv4(ipv4::Malformed),
    /// It quotes a fragment that has no transport header.
    LaterFragment,
    /// Fewer than eight bytes of transport header.
    Truncated,
}

impl From<Malformed> for Drop {
    fn from(_: Malformed) -> Self {
        Self::IcmpMalformed
    }
}

const TRANSPORT_LEN: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::ipv4::{FragmentField, Ipv4Header, Position, protocol};

    #[test]
    fn a_quotation_of_28_bytes_is_enough() {
        let bytes = quotation(FragmentField::DONT_FRAGMENT);
        let quoted = Quoted::parse(&bytes).unwrap();
        assert_eq!((quoted.source(), quoted.destination()), (OURS, THEIRS));
        assert_eq!((quoted.source_port(), quoted.destination_port()), (0x1234, 80));
        assert_eq!(quoted.seq(), Seq(0xdead_beef));
        assert_eq!((quoted.ip().protocol(), quoted.ip().total_len()), (protocol::TCP, 1500));
        assert_eq!(quoted.transport(), &bytes[20..]);
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = quotation(FragmentField::DONT_FRAGMENT);
        for len in 0..bytes.len() {
            let want = if len < 20 {
                Malformed::Ipv4(ipv4::Malformed::Truncated)
            } else {
                Malformed::Truncated
            };
            assert_eq!(Quoted::parse(&bytes[..len]).err(), Some(want), "{len}");
        }
    }

    #[test]
    fn only_the_first_fragment_has_ports() {
        let first = quotation(FragmentField::of(0, Position::MoreFollow));
        assert!(Quoted::parse(&first).is_ok());
        let later = quotation(FragmentField::of(8, Position::Last));
        assert_eq!(Quoted::parse(&later).err(), Some(Malformed::LaterFragment));
    }

    proptest! {
        #[test]
        fn what_is_quoted_lies_within_the_datagram(
            mut bytes in prop::collection::vec(any::<u8>(), 0..90), first in 0x45..0x48_u8, total_len in 20..90_u8,
        ) {
            for (at, value) in [(0, first), (2, 0), (3, total_len), (6, 0), (7, 0)] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            let header_len = usize::from(first & 0x0f) * 4;
            let holds_transport = bytes.len().min(usize::from(total_len)) >= header_len + TRANSPORT_LEN;
            prop_assert_eq!(Quoted::parse(&bytes).is_ok(), holds_transport);
        }
    }

    const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const THEIRS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

    fn quotation(fragment: FragmentField) -> Vec<u8> {
        let mut bytes = vec![0; 20];
        Ipv4Header {
            tos: 0,
            total_len: 1500,
            identification: 1,
            fragment,
            ttl: 1,
            protocol: protocol::TCP,
            source: OURS,
            destination: THEIRS,
        }
        .emit(bytes.first_chunk_mut().unwrap());
        bytes.extend([0x12, 0x34, 0, 80, 0xde, 0xad, 0xbe, 0xef]);
        bytes
    }
}
