//! What the fuzz targets share: a stack whose peer is played from bytes, and what must hold of everything that it sends.

#![forbid(unsafe_code)]

mod bytes;
mod known;
mod script;
mod segment;
mod world;

pub use bytes::{byte_at, stream};
pub use known::Known;
pub use script::Script;
pub use segment::{ACK, FIN, PEER, RST, STACK, SYN, Segment, URG, checksum, packet};
pub use world::{MTU, OUR_PORT, PEER_PORT, World};
