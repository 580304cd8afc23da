//! Where an application and a protocol thread meet: the only state that both of them touch.
//!
//! - [`words`]: what the sides of a socket share beside its rings, and who writes which word.
//! - [`tcp`], [`udp`]: a socket's end on the protocol thread, made together with the application's.
//! - [`listener`]: where completed connections wait to be accepted, sharded by core.
//! - [`options`]: what is kept under a socket's control lock, with the urgent byte of [`oob`].
//! - [`core`]: what any thread may do to a core. [`mailbox`]: how its hints get there.
//! - [`readiness`]: how applications are told. [`thread`]: who may wait.

pub(crate) mod core;
mod failure;
pub(crate) mod listener;
pub(crate) mod mailbox;
pub(crate) mod oob;
pub(crate) mod options;
pub(crate) mod readiness;
#[cfg(test)]
mod stress;
pub(crate) mod tcp;
pub(crate) mod thread;
pub(crate) mod udp;
pub(crate) mod words;

pub(crate) use core::{CoreShared, Places};
pub(crate) use failure::Failure;
pub(crate) use listener::{ListenerEnd, ListenerShared, NoPlace};
pub(crate) use mailbox::{Hint, Inbox};
pub(crate) use oob::OobCell;
pub(crate) use options::{OptionBits, SocketOptions};
pub(crate) use readiness::{PollerEnd, PollerKey, PollerShared, Readies};
pub(crate) use tcp::{Birth, BufferLimits, TcpSocket, tcp_pair};
pub(crate) use udp::{UdpEndpoint, udp_pair};
pub(crate) use words::{Hints, Part, Phase, SocketId, Target, Told};
