//! What became of something that we sent.

use std::net::Ipv4Addr;

use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::socket::Failure;
use crate::tcp::seq::Seq;
use crate::wire::icmpv4::{Exceeded, IcmpHeader, IcmpView, Unreachable};
use crate::wire::ipv4::protocol;
use crate::wire::quoted::Quoted;

/// A packet of ours did not arrive. Anyone can claim so who guesses its addresses and ports: the transport checks the rest
/// (RFC 5927), and decides what follows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Trouble {
    pub(crate) sent: Sent,
    pub(crate) error: IcmpError,
}

/// What the packet was, as far as it is quoted. Flows are seen from here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sent {
    Tcp { flow: FlowKey4, seq: Seq },
    Udp { flow: FlowKey4 },
    Echo { destination: Ipv4Addr, identifier: u16, sequence: u16 },
}

/// What went wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum IcmpError {
    NetUnreachable,
    HostUnreachable,
    ProtocolUnreachable,
    PortUnreachable,
    /// Too large for a link on the way. `mtu` is what the link takes, 0 if the router does not say; `len` the packet's
    /// length. A transport that believes it calls `Net::narrow_path`.
    TooBig {
        mtu: u16,
        len: u16,
    },
    /// Forbidden by an administrator.
    Prohibited,
    /// It had no hops left, or a fragment of it was lost.
    TimeExceeded,
    /// A router or the destination does not like its header.
    ParameterProblem,
}

impl Trouble {
    /// What happened to the packet that `quoted` begins.
    pub(crate) fn with(quoted: &Quoted<'_>, error: IcmpError) -> Result<Self, Drop> {
        let flow = FlowKey4 {
            remote: quoted.destination(),
            local: quoted.source(),
            remote_port: quoted.destination_port(),
            local_port: quoted.source_port(),
        };
        let sent = match quoted.ip().protocol() {
            protocol::TCP => Sent::Tcp { flow, seq: quoted.seq() },
            protocol::UDP => Sent::Udp { flow },
            protocol::ICMP => echo(quoted).ok_or(Drop::IcmpUnmatched)?,
            _ => return Err(Drop::IcmpUnmatched),
        };
        let error = match error {
            IcmpError::TooBig { mtu, .. } => {
                let len = u16::try_from(quoted.ip().total_len()).unwrap_or(u16::MAX);
                IcmpError::TooBig { mtu, len }
            }
            other => other,
        };
        Ok(Self { sent, error })
    }
}

/// An echo request of ours. Nothing else that we send by ICMP is ours to be told about.
fn echo(quoted: &Quoted<'_>) -> Option<Sent> {
    let message = IcmpView::parse(quoted.transport()).ok()?;
    let IcmpHeader::EchoRequest { identifier, sequence } = message.header() else { return None };
    Some(Sent::Echo { destination: quoted.destination(), identifier, sequence })
}

impl IcmpError {
    /// What a received message says went wrong; `None` if it is not an error.
    pub(super) fn of(header: IcmpHeader) -> Option<Self> {
        Some(match header {
            IcmpHeader::DestinationUnreachable(why) => match why {
                Unreachable::Net => Self::NetUnreachable,
                Unreachable::Host | Unreachable::SourceRouteFailed => Self::HostUnreachable,
                Unreachable::Protocol => Self::ProtocolUnreachable,
                Unreachable::Port => Self::PortUnreachable,
                Unreachable::FragmentationNeeded { next_hop_mtu } => {
                    Self::TooBig { mtu: next_hop_mtu, len: 0 }
                }
                Unreachable::AdministrativelyProhibited => Self::Prohibited,
                Unreachable::Other { code } => unreachable_by_code(code)?,
            },
            IcmpHeader::TimeExceeded(Exceeded::InTransit | Exceeded::Reassembly) => {
                Self::TimeExceeded
            }
            IcmpHeader::ParameterProblem { .. } => Self::ParameterProblem,
            _ => return None,
        })
    }

    /// What an application is told.
    pub(crate) fn failure(self) -> Failure {
        match self {
            Self::NetUnreachable => Failure::NetUnreachable,
            Self::HostUnreachable | Self::Prohibited | Self::TimeExceeded => {
                Failure::HostUnreachable
            }
            Self::ProtocolUnreachable | Self::ParameterProblem => Failure::ProtocolUnreachable,
            Self::PortUnreachable => Failure::Refused,
            Self::TooBig { .. } => Failure::MessageTooLong,
        }
    }
}

/// The codes of RFC 1122, section 3.2.2.1, and RFC 1812, section 5.2.7.1, that have no name of their own here.
fn unreachable_by_code(code: u8) -> Option<IcmpError> {
    Some(match code {
        6 | 11 => IcmpError::NetUnreachable,
        7 | 8 | 12 => IcmpError::HostUnreachable,
        9 | 10 | 14 | 15 => IcmpError::Prohibited,
        _ => return None,
    })
}
