//! Whose packet is it? Every flow belongs to one core for life, and what comes to another core is taken to it.
//!
//! [`Steering`] is what all cores agree on: which core owns which flow. Each core holds a [`Steer`], its end of the rings
//! that lead to all others. Who receives a packet looks into its own tables first, so that a packet that came to the right
//! core pays nothing; only for what nobody here knows is the owner computed (S-5):
//!
//! | what came | who gets it |
//! |---|---|
//! | a TCP segment that no table knows | the owner of its addresses and ports |
//! | an ICMP error | the owner of the flow that it quotes (R-32) |
//! | a fragment | the owner of its addresses, who puts them together; the whole is a packet like any other (R-33) |
//! | a UDP datagram for no socket here | the core on which the stack bound a socket to its port |
//! | ARP | every core learns of it; the one that received it answers |
//! | an answer to a ping | every core that has sent one |
//! | a packet to ourselves | as if it had been received (S-14) |
//! | a frame of a core without a queue | the core that sends for it (S-4) |
//!
//! What is taken to another core is [`Forwarded`], a type of its own: the functions that take it cannot forward, so nothing
//! goes round in circles.

mod forward;
mod homes;
mod lanes;
mod seat;
mod self_test;
mod steering;
mod verdict;

pub(crate) use lanes::{Forwarded, Steer};
pub(crate) use seat::{Seat, seats};
pub(crate) use steering::Steering;
pub use verdict::Verdict;

#[cfg(test)]
mod tests;
