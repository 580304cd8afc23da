//! IPv4 (RFC 791, RFC 1122 section 3): from a frame to a datagram, and from a transport's bytes to frames.

use std::net::Ipv4Addr;

use pmd::Frame;

use crate::wire::ipv4::protocol;

mod glance;
mod input;
mod plain;
mod reassembly;

mod output;
mod way;

mod fragment;
mod identification;
mod path_mtu;
mod route;

mod prefix;

pub use prefix::{BadPrefix, Ipv4Prefix};

pub(crate) use glance::{Glanced, HEADERS_LEN, Passed};
pub(crate) use identification::Identification;
pub(crate) use input::ReceivedFragment;
pub(crate) use path_mtu::{AGE as PATH_MTU_AGE, Heard, LEAST_MTU, PathMtus, claimed_mtu};
pub(crate) use reassembly::Reassembly;
pub(crate) use route::{NextHop, Route, RouteTable};
#[cfg(test)]
pub(crate) use way::TrainsMade;
pub(crate) use way::{Stopped, Train, Ways};

/// A received datagram, checked and whole, addressed to us.
#[derive(Debug)]
pub(crate) struct Datagram {
    /// From the IP header to the end of the datagram: no link header before it, no padding behind.
    pub(crate) frame: Frame,
    /// Bytes of the IP header, which stands in the frame's first segment.
    pub(crate) header_len: usize,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    /// What the payload is; see [`protocol`].
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    /// DSCP and ECN.
    pub(crate) tos: u8,
    pub(crate) to: Addressed,
}

impl Datagram {
    /// Bytes behind the IP header.
    pub(crate) fn payload_len(&self) -> usize {
        self.frame.len() - self.header_len
    }

    /// The payload as far as the first segment holds it.
    pub(crate) fn payload_head(&self) -> &[u8] {
        self.frame.head().get(self.header_len..).unwrap_or_default()
    }
}

/// To whom a datagram was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Addressed {
    /// To one of our addresses.
    Unicast,
    /// To everyone on a link.
    Broadcast,
    /// To a group.
    Multicast,
}

/// What a transport says about a packet that it wants sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Outgoing {
    /// One of our addresses.
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) transport: Transport,
    pub(crate) ttl: u8,
    /// DSCP and ECN.
    pub(crate) tos: u8,
    pub(crate) fragment: Fragment,
}

/// Whether routers may mark a packet instead of dropping it, and whether one has (RFC 3168, section 5).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Ecn {
    #[default]
    NotCapable,
    /// ECT(1), which we never send (RFC 9331).
    Capable1,
    /// ECT(0).
    Capable,
    /// CE.
    Marked,
}

impl Ecn {
    /// The two lowest bits of the TOS field.
    pub(crate) fn bits(self) -> u8 {
        match self {
            Self::NotCapable => 0,
            Self::Capable1 => 1,
            Self::Capable => 2,
            Self::Marked => 3,
        }
    }

    pub(crate) fn of(tos: u8) -> Self {
        match tos & 3 {
            0 => Self::NotCapable,
            1 => Self::Capable1,
            2 => Self::Capable,
            _ => Self::Marked,
        }
    }
}

/// Which protocol a packet carries, and thus where its checksum stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Transport {
    /// Its checksum is computed by its own layer.
    Icmp,
    Tcp,
    Udp,
}

impl Transport {
    /// The protocol number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Icmp => protocol::ICMP,
            Self::Tcp => protocol::TCP,
            Self::Udp => protocol::UDP,
        }
    }
}

/// Whether a packet may be cut into fragments, here or on its way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fragment {
    /// Too large is an error.
    DontFragment,
    /// Cut it where it does not fit.
    MayFragment,
}

/// No route leads to a destination, or no address of ours can be the source of what goes there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Unreachable;

/// Hops that a packet of ours may take (RFC 1700; RFC 1122, section 3.2.1.7, wants it configurable).
pub(crate) const DEFAULT_TTL: u8 = 64;
