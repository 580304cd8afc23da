//! Header views in, builders out, no policy.
//!
//! A *view* borrows received bytes. Its `parse` is the only constructor and checks every length that its accessors rely
//! on, so no accessor can panic. A view says nothing about meaning: whether a checksum is right, a port is open or
//! a combination of flags makes sense is judged by the layer that asked.
//!
//! A *header* struct holds meaning, and `emit`s itself into bytes that the caller made room for.
//!
//! A packet may be a chain of segments whose headers stand in the first. `parse` therefore comes in two forms where a
//! length field speaks of the whole packet: `parse(bytes)`, and `parse_head(head, len)` for the first bytes of `len`.

pub(crate) mod checksum;
pub(crate) mod ethernet;

pub(crate) mod arp;

pub(crate) mod ipv4;
pub(crate) mod ipv4_options;

pub(crate) mod icmpv4;
pub(crate) mod quoted;

pub(crate) mod udp;

pub(crate) mod tcp;
pub(crate) mod tcp_options;

#[cfg(test)]
mod tests;
