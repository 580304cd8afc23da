//! The protocol thread's work.

mod order;

pub(crate) use order::Order;
