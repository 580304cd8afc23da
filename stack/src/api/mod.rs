//! What applications use.
//!
//! Sockets never block: an application is told when one of them is ready.

mod readiness;
mod tcp_listener;
mod tcp_stream;
mod udp_socket;

pub use readiness::{Readiness, Token};
pub use tcp_listener::TcpListener;
pub use tcp_stream::TcpStream;
pub use udp_socket::UdpSocket;
