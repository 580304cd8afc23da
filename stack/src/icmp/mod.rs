//! ICMP (RFC 792; RFC 1122, section 3.2.2): echo, errors to others, and errors from others about what we sent.

mod error;
mod input;
mod limit;
mod output;
mod trouble;

pub(crate) use input::{EchoReply, Message};
pub(crate) use limit::RateLimit;
pub(crate) use trouble::{IcmpError, Sent, Trouble};
