//! **darner**: a TCP/IP stack for user space. One protocol thread per core polls its own device queue.
//!
//! The modules stand in the order in which a received packet meets them.

#![forbid(unsafe_code)]

pub mod time;

pub mod counters;
pub mod drops;
#[cfg_attr(not(test), expect(dead_code, reason = "the protocol thread uses it next"))]
mod metrics;
#[cfg_attr(not(test), expect(dead_code, reason = "the protocol thread uses it next"))]
mod rng;

mod linked;
#[cfg_attr(not(test), expect(dead_code, reason = "every layer with a deadline uses it next"))]
mod timer;

#[expect(dead_code, reason = "the layers use it next")]
mod wire;

#[cfg_attr(not(test), expect(dead_code, reason = "the protocol thread uses it next"))]
mod link;

#[expect(dead_code, reason = "the protocol thread uses it next")]
mod net;

#[expect(dead_code, reason = "the protocol thread uses it next")]
mod ip;

mod tcp;

pub use ip::{BadPrefix, Ipv4Prefix};
pub use metrics::Metrics;
