//! What applications use.
//!
//! A [`Stack`](crate::Stack) runs one protocol thread per core. An [`Application`] runs on each of these threads, to
//! completion: after a burst of packets was processed, it is told which of its sockets are ready. Its sockets never
//! block.

mod application;
mod core;
mod readiness;
mod tcp_listener;
mod tcp_stream;
mod udp_socket;

pub use application::{Application, EchoReply, Waker};
pub use core::Core;
pub use readiness::{Readiness, Token};
pub use tcp_listener::TcpListener;
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;
