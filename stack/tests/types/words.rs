//! Nobody outside the crate can name a socket's words or their setters, or make up a socket's id.

use darner::socket::words::{Phase, ProtocolSide, SocketId};

fn revive(side: &ProtocolSide) {
    side.set_phase(Phase::Connected);
}

fn forge() -> SocketId {
    SocketId { index: 0, generation: 0 }
}

fn main() {}
