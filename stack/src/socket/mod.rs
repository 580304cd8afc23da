//! Where an application and a protocol thread meet: the only state that both of them touch.
//!
//! Every socket has an end for each side. The sides share two byte rings (or two queues of datagrams) and one set of
//! [`Words`](words::Words), in which each word has one writing side:
//!
//! | word | written by | read by | what it says |
//! |---|---|---|---|
//! | ring positions with their flags | one side each (see `darner-ring`) | the other | bytes, FIN, reset, shutdown, death |
//! | `phase` | protocol thread | application | how far the connection has come; it only grows |
//! | `error` | protocol thread sets it once, application takes it | | why the socket failed, told exactly once |
//! | `window_closed` | protocol thread | application | a hint is due as soon as anything is read |
//! | `events` | protocol thread adds, application takes all | | readiness not yet told |
//! | `token` | application | protocol thread | under which name readiness is told |
//! | `options`, `user_timeout_ms` | application | protocol thread | socket options |
//! | `hints` | application adds, protocol thread takes all | | what to look at again |
//! | `closed` | application, once | protocol thread | no handle is left |
//!
//! A hint or an event never carries state: it says where to look. So they may be told twice or late, and coalesce.

mod events;
pub(crate) mod listener;
pub(crate) mod mailbox;
pub(crate) mod tcp;
pub(crate) mod udp;
pub(crate) mod words;

pub(crate) use listener::ListenerShared;
pub(crate) use mailbox::{CoreShared, Mailboxes};
pub(crate) use tcp::{Birth, BufferLimits, TcpSocket, tcp_pair};
pub(crate) use udp::{UdpEndpoint, udp_pair};
pub(crate) use words::{Failure, Hints, Phase, SocketId, Target};
