//! Whole stacks over simulated wires, in virtual time.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may panic, and its numbers are small"
)]

mod apps;
mod bulk;
mod claims;
mod life;
mod path_mtu;
mod schedule;
mod udp;
mod with_smoltcp;
mod world;
