//! ICMP for IPv4 (RFC 792), with the codes of RFC 1122, section 3.2.2, and the next-hop MTU of RFC 1191, section 4.

use super::checksum::Sum;
use crate::drops::Drop;
use IcmpHeader::{
    DestinationUnreachable, EchoReply, EchoRequest, Other, ParameterProblem, TimeExceeded,
};
use Malformed::Truncated;

/// A received ICMP message. Every message is eight bytes of header, and a body: an echo's data or a quoted datagram.
#[derive(Clone, Copy)]
pub(crate) struct IcmpView<'a> {
    fixed: &'a [u8; HEADER_LEN],
    body: &'a [u8],
}

impl<'a> IcmpView<'a> {
    /// Views the payload of an IP packet, or the first bytes of it.
    pub(crate) fn parse(message: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, body) = message.split_first_chunk().ok_or(Truncated)?;
        Ok(Self { fixed, body })
    }

    /// What the message says.
    pub(crate) fn header(&self) -> IcmpHeader {
        let &[kind, code, _, _, a, b, c, d] = self.fixed;
        let (first, second) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        match (kind, code) {
            (ECHO_REPLY, 0) => EchoReply { identifier: first, sequence: second },
            (ECHO_REQUEST, 0) => EchoRequest { identifier: first, sequence: second },
            (DESTINATION_UNREACHABLE, _) => {
                DestinationUnreachable(Unreachable::from_code(code, second))
            }
            (TIME_EXCEEDED, 0) => TimeExceeded(Exceeded::InTransit),
            (TIME_EXCEEDED, 1) => TimeExceeded(Exceeded::Reassembly),
            (PARAMETER_PROBLEM, 0) => ParameterProblem { pointer: a },
            _ => Other { kind, code, rest: [a, b, c, d] },
        }
    }

    /// What follows the header, as far as the viewed bytes reach.
    pub(crate) fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// Why bytes could not be viewed as ICMP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// Fewer than 8 bytes.
    Truncated,
}

impl From<Malformed> for Drop {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Truncated => Self::IcmpMalformed,
        }
    }
}

/// What a message says, to send or as it came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum IcmpHeader {
    /// The quoted datagram could not be delivered.
    DestinationUnreachable(Unreachable),
    /// An answer to an echo request, with the data of the request.
    EchoReply {
        /// Whose request.
        identifier: u16,
        /// Which one.
        sequence: u16,
    },
    /// A request to send its data back.
    EchoRequest {
        /// Whose request.
        identifier: u16,
        /// Which one.
        sequence: u16,
    },
    /// The quoted datagram's header is wrong.
    ParameterProblem {
        /// The octet of it that is.
        pointer: u8,
    },
    /// The quoted datagram took too long.
    TimeExceeded(Exceeded),
    /// Anything else.
    Other {
        /// The type.
        kind: u8,
        /// The code.
        code: u8,
        /// The second word of the header.
        rest: [u8; 4],
    },
}

impl IcmpHeader {
    /// Writes the header with the checksum over it and `body`, the sum of what will follow.
    pub(crate) fn emit(&self, body: Sum, out: &mut [u8; HEADER_LEN]) {
        let (kind, code, rest) = self.fields();
        *out = [kind, code, 0, 0, rest[0], rest[1], rest[2], rest[3]];
        let mut sum = body;
        sum.add_u16(u16::from_be_bytes([kind, code]));
        sum.add_u32(u32::from_be_bytes(rest));
        out[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    }

    /// Type, code and second word.
    fn fields(&self) -> (u8, u8, [u8; 4]) {
        match *self {
            EchoReply { identifier, sequence } => (ECHO_REPLY, 0, halves(identifier, sequence)),
            EchoRequest { identifier, sequence } => (ECHO_REQUEST, 0, halves(identifier, sequence)),
            DestinationUnreachable(why) => {
                let (code, next_hop_mtu) = why.code();
                (DESTINATION_UNREACHABLE, code, halves(0, next_hop_mtu))
            }
            TimeExceeded(Exceeded::InTransit) => (TIME_EXCEEDED, 0, [0; 4]),
            TimeExceeded(Exceeded::Reassembly) => (TIME_EXCEEDED, 1, [0; 4]),
            ParameterProblem { pointer } => (PARAMETER_PROBLEM, 0, [pointer, 0, 0, 0]),
            Other { kind, code, rest } => (kind, code, rest),
        }
    }
}

/// Why a datagram could not be delivered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unreachable {
    /// Forbidden by an administrator (RFC 1812, section 5.2.7.1).
    AdministrativelyProhibited,
    /// It is too long for a link on the way, and may not be fragmented.
    FragmentationNeeded {
        /// What the link takes; zero from routers older than RFC 1191.
        next_hop_mtu: u16,
    },
    /// No way to the host.
    Host,
    /// No way to the network.
    Net,
    /// Nobody listens on the port.
    Port,
    /// The host does not know the protocol.
    Protocol,
    /// The source route does not work.
    SourceRouteFailed,
    /// Any other code.
    Other {
        /// The code.
        code: u8,
    },
}

impl Unreachable {
    fn from_code(code: u8, next_hop_mtu: u16) -> Self {
        match code {
            0 => Self::Net,
            1 => Self::Host,
            2 => Self::Protocol,
            3 => Self::Port,
            4 => Self::FragmentationNeeded { next_hop_mtu },
            5 => Self::SourceRouteFailed,
            13 => Self::AdministrativelyProhibited,
            code => Self::Other { code },
        }
    }

    /// The code and the next-hop MTU.
    fn code(self) -> (u8, u16) {
        match self {
            Self::Net => (0, 0),
            Self::Host => (1, 0),
            Self::Protocol => (2, 0),
            Self::Port => (3, 0),
            Self::FragmentationNeeded { next_hop_mtu } => (4, next_hop_mtu),
            Self::SourceRouteFailed => (5, 0),
            Self::AdministrativelyProhibited => (13, 0),
            Self::Other { code } => (code, 0),
        }
    }
}

/// Where a datagram ran out of time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exceeded {
    /// On its way: no hops left.
    InTransit,
    /// At its destination: a fragment is missing.
    Reassembly,
}

fn halves(first: u16, second: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (first.to_be_bytes(), second.to_be_bytes());
    [a, b, c, d]
}

/// Bytes of the header.
pub(crate) const HEADER_LEN: usize = 8;

const ECHO_REPLY: u8 = 0;
const DESTINATION_UNREACHABLE: u8 = 3;
const ECHO_REQUEST: u8 = 8;
const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

#[cfg(test)]
mod tests {
    use etherparse::{Icmpv4Slice, Icmpv4Type, icmpv4::DestUnreachableHeader as Dest};
    use proptest::prelude::*;
    use smoltcp::wire::Icmpv4Packet;

    use super::*;

    #[test]
    fn no_truncation_is_viewed() {
        for len in 0..HEADER_LEN {
            assert_eq!(IcmpView::parse(&[0; HEADER_LEN][..len]).err(), Some(Truncated), "{len}");
        }
    }

    #[test]
    fn etherparse_reads_what_we_mean() {
        use etherparse::icmpv4::{ParameterProblemHeader, TimeExceededCode};
        let dest = Icmpv4Type::DestinationUnreachable;
        let fragmentation = Dest::FragmentationNeeded { next_hop_mtu: 1400 };
        for (header, want) in [
            (DestinationUnreachable(Unreachable::Net), dest(Dest::Network)),
            (DestinationUnreachable(Unreachable::Host), dest(Dest::Host)),
            (DestinationUnreachable(Unreachable::Protocol), dest(Dest::Protocol)),
            (DestinationUnreachable(Unreachable::Port), dest(Dest::Port)),
            (
                DestinationUnreachable(Unreachable::FragmentationNeeded { next_hop_mtu: 1400 }),
                dest(fragmentation),
            ),
            (DestinationUnreachable(Unreachable::SourceRouteFailed), dest(Dest::SourceRouteFailed)),
            (
                DestinationUnreachable(Unreachable::AdministrativelyProhibited),
                dest(Dest::FilterProhibited),
            ),
            (DestinationUnreachable(Unreachable::Other { code: 6 }), dest(Dest::NetworkUnknown)),
            (
                TimeExceeded(Exceeded::InTransit),
                Icmpv4Type::TimeExceeded(TimeExceededCode::TtlExceededInTransit),
            ),
            (
                TimeExceeded(Exceeded::Reassembly),
                Icmpv4Type::TimeExceeded(TimeExceededCode::FragmentReassemblyTimeExceeded),
            ),
            (
                ParameterProblem { pointer: 20 },
                Icmpv4Type::ParameterProblem(ParameterProblemHeader::PointerIndicatesError(20)),
            ),
        ] {
            let bytes = message(header, b"quoted");
            assert_eq!(Icmpv4Slice::from_slice(&bytes).unwrap().icmp_type(), want);
            assert!(Sum::of(&bytes).is_valid(), "{header:?}");
            let view = IcmpView::parse(&bytes).unwrap();
            assert_eq!((view.header(), view.body()), (header, &b"quoted"[..]));
        }
    }

    proptest! {
        #[test]
        fn echoes_are_read_by_all(
            reply: bool, identifier: u16, sequence: u16, data in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let header =
                if reply { EchoReply { identifier, sequence } } else { EchoRequest { identifier, sequence } };
            let bytes = message(header, &data);
            let theirs = Icmpv4Packet::new_checked(&bytes).unwrap();
            prop_assert!(theirs.verify_checksum());
            prop_assert_eq!((theirs.echo_ident(), theirs.echo_seq_no()), (identifier, sequence));
            prop_assert_eq!(theirs.data(), &data);
            let view = IcmpView::parse(&bytes).unwrap();
            prop_assert_eq!((view.header(), view.body()), (header, &data[..]));
        }

        #[test]
        fn every_header_is_read_and_written_alike(bytes: [u8; HEADER_LEN]) {
            let view = IcmpView::parse(&bytes).unwrap();
            let mut again = [0; HEADER_LEN];
            view.header().emit(Sum::new(), &mut again);
            prop_assert_eq!(&again[..2], &bytes[..2]);
            prop_assert_eq!(IcmpView::parse(&again).unwrap().header(), view.header());
            prop_assert!(Sum::of(&again).is_valid());
        }
    }

    fn message(header: IcmpHeader, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        header.emit(Sum::of(body), bytes.first_chunk_mut().unwrap());
        bytes.extend(body);
        bytes
    }
}
