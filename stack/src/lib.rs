//! **darner**: a TCP/IP stack in user space. One protocol thread per core polls its own device queues.
//!
//! Start a [`Stack`] over queue pairs of `pmd` with an [`Application`] for each core; or drive a [`Protocol`] by hand, in
//! virtual time. Nothing below the protocol thread's loop reads a clock, draws chance from anywhere but its seed, or does
//! I/O.
//!
//! The modules stand in the order in which a received packet meets them: `protocol` takes a burst from the device, then
//! `link`, `neighbor`, `ip`, `icmp` or `demux` with `udp` and `tcp`, the `socket` between two sides, and `api`.

#![forbid(unsafe_code)]

// Its own stress tests share their stack with those from outside.
#[cfg(test)]
extern crate self as darner;

// What every layer uses.
mod blocks;
mod clock;
mod config;
pub mod counters;
pub mod drops;
mod gradual;
mod linked;
mod metrics;
mod rng;
mod snapshot;
mod stack;
mod table;
pub mod time;
mod timer;

// A packet's way in.
mod protocol;
mod steer;
#[cfg_attr(not(test), expect(dead_code, reason = "a view shows its whole header, whoever asks"))]
mod wire;

mod backlog;
mod link;
mod neighbor;
mod net;

mod ip;

mod icmp;

mod demux;

mod udp;

mod tcp;

mod socket;

mod api;

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

pub use api::{
    Application, ConnectOptions, Control, Core, EchoReply, Event, Interest, ListenOptions,
    Overflow, Poller, PollerWaker, ReadHalf, Readiness, Registered, Sharing, Source, TcpListener,
    TcpStream, Token, UdpSocket, WaitingReset, Waker, WriteHalf,
};
pub use config::{Config, DuplicateDetection, Idle, SteeringConfig};
pub use darner_ring::Lent;
pub use ip::{BadPrefix, Ipv4Prefix};
pub use metrics::Metrics;
#[cfg(any(test, feature = "cycles"))]
pub use protocol::{Cycles, Spent, Stage};
pub use protocol::{Protocol, Turn};
pub use snapshot::{CONNECTIONS_MAX, CoreSnapshot, NeighborInfo, NeighborState, Snapshot};
pub use stack::{ApplicationPanicked, ApplicationThread, Stack, StackHandle, ThreadPanicked};
pub use steer::Verdict;
pub use tcp::{
    Algorithm as CongestionAlgorithm, BadTcpKey, ConnectionInfo, CookiePolicy, EcnCounts,
    EcnPolicy, ErrorMapping, FastOpenConfig, MemoryPressure, MtuProbing, OptionOrder, Pacing,
    Profile, PushRule, RecoveryPhase, TcpAoAlgorithm, TcpAoKey, TcpAoOptions, TcpConfig, TcpKeys,
    TcpMd5Key, TcpState, UnknownAlgorithm, UnknownProfile,
};
