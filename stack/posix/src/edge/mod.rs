//! The C interface: packetdrill's struct of functions, and all that is unsafe here.
//!
//! A function in [`calls`] turns C's arguments into Rust's ([`memory`]), makes the call under `catch_unwind`, and gives
//! its result the way POSIX does: -1 and `errno`.

mod calls;
mod interface;
mod memory;
mod preload;

pub use interface::{PacketdrillInterface, packetdrill_interface_init};
