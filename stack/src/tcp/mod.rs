//! TCP (RFC 9293): one file per step of the RFC or per algorithm.

mod config;
pub(crate) mod congestion;
mod isn;
mod reassembly;
mod rtt;
pub(crate) mod seq;
pub(crate) mod state;

pub use config::TcpConfig;
