//! Sockets of a running stack, used from threads of their own. The stack talks to itself: packets to its own address go
//! through all layers and never meet the device.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may panic, and its numbers are small"
)]

mod accept;
mod application;
mod blocking;
mod control;
mod cores;
mod life;
mod linger;
mod poller;
mod udp;
mod world;
