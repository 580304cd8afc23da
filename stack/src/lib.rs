//! **darner**: a TCP/IP stack for user space. One protocol thread per core polls its own device queue.
//!
//! The modules stand in the order in which a received packet meets them.

#![forbid(unsafe_code)]
#![expect(dead_code, unused_imports, reason = "the layers land before the loop that calls them")]

pub mod counters;
pub mod drops;
mod linked;
mod metrics;
mod rng;
mod table;
pub mod time;
mod timer;

mod protocol;

mod wire;

mod link;
mod neighbor;

mod net;

mod ip;

mod icmp;

mod udp;

mod demux;
mod gradual;

mod tcp;

mod socket;

pub mod api;

pub use ip::{BadPrefix, Ipv4Prefix};
pub use metrics::Metrics;
pub use tcp::{ConnectionInfo, TcpConfig, TcpState};
