//! Receive-side scaling as a device does it, by its own account.
//!
//! A device is given a key and a redirection table, and is then asked which ones it has: some keep their own and say so only
//! when they are asked. What it answers is not yet what it does. Who receives can compute the hash that a frame should carry
//! ([`toeplitz`](crate::toeplitz)), and compare.

use std::fmt;
use std::sync::Arc;

use crate::toeplitz::{Key, RedirectionTable};

/// How a device spreads what it receives over its queues.
#[derive(Clone, Debug, Default)]
pub enum Rss {
    /// It has one queue: there is nothing to spread.
    #[default]
    OneQueue,
    /// Not by a key: it cannot, or has a way of its own.
    Unsupported,
    /// It failed at this step.
    Refused(&'static str),
    /// It has another key than the one that it was given.
    KeyNotKept,
    /// Its redirection table is not the one that it was given.
    TableNotKept,
    /// It has the key and the table that it was given.
    AsAsked(Arc<Scaling>),
}

/// What a device scales by.
#[derive(Clone, Debug)]
pub struct Scaling {
    /// The hash's key.
    pub key: Key,
    /// Which queue each hash goes to.
    pub table: RedirectionTable,
    /// What of a TCP segment over IPv4 is hashed.
    pub tcp: Hashed,
    /// What of a UDP datagram over IPv4 is hashed.
    pub udp: Hashed,
}

/// What of a packet goes into its hash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hashed {
    /// Addresses and ports.
    Ports,
    /// The addresses alone.
    Addresses,
    /// Nothing: all such packets come in at one queue.
    Nothing,
}

impl Rss {
    /// What the device scales by, if that is what it was asked for.
    pub fn scaling(&self) -> Option<&Scaling> {
        match self {
            Self::AsAsked(scaling) => Some(scaling),
            _ => None,
        }
    }
}

impl fmt::Display for Rss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneQueue => f.write_str("one queue"),
            Self::Unsupported => f.write_str("no RSS by a key of ours"),
            Self::Refused(step) => write!(f, "RSS failed: the device does not {step}"),
            Self::KeyNotKept => f.write_str("the device keeps an RSS key of its own"),
            Self::TableNotKept => f.write_str("the device keeps a redirection table of its own"),
            Self::AsAsked(_) => f.write_str("RSS set as asked, by the device's own account"),
        }
    }
}
