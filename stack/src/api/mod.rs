//! What applications use.
//!
//! A [`Stack`](crate::Stack) runs one protocol thread per core. Any thread opens sockets on it, and its calls wait as those of
//! `std::net` do, or not, with a [`Poller`] to say when to try again. An [`Application`] runs to completion: on a protocol
//! thread after each burst of packets, where its sockets never block, or on a thread of its own.

mod application;
mod connect_options;
mod control;
mod core;
mod listen_options;
mod poller;
mod read_half;
mod readiness;
mod registrations;
mod tcp_listener;
mod tcp_stream;
mod thread;
pub(crate) mod udp_socket;
mod waiting;
mod write_half;

pub use application::{Application, EchoReply, Waker};
pub use connect_options::ConnectOptions;
pub use control::Control;
pub use core::{Core, Registered};
pub use listen_options::{ListenOptions, Overflow, Sharing, WaitingReset};
pub use poller::{Event, Interest, Poller, PollerWaker, Source};
pub use read_half::ReadHalf;
pub use readiness::{Readiness, Token};
pub use tcp_listener::TcpListener;
pub use tcp_stream::TcpStream;
pub(crate) use thread::{ThreadLoop, ThreadWaker};
pub use udp_socket::UdpSocket;
pub use write_half::WriteHalf;
