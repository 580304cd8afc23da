//! Poll-mode drivers: bursts of frames in, bursts of frames out.
//!
//! A device yields one [`QueuePair`] per queue. A protocol thread owns its queue pairs and calls each of them once per
//! burst; nothing here is shared between threads but [`Pool`]s, and a [`Frame`] may be freed anywhere.
//!
//! | device | what it is |
//! |---|---|
//! | [`mem`] | frames handed in and taken out by hand, for tests and instruction counts |
//! | [`sim`] | seeded wires and switches in virtual time: delay, rate, loss, reordering, duplication, corruption |
//! | [`pcap`] | another device, recorded to a file that wireshark reads |
//! | [`tap`] | a tap interface of the Linux kernel, with large frames and without DPDK |
//! | `dpdk` (feature `dpdk`) | any DPDK poll-mode driver: net_tap, memif, af_packet, a PCI NIC |
//!
//! [`toeplitz`] tells which queue a device's hash leads a packet to, and [`Rss`] what a device says of it.

mod burst;
#[cfg(feature = "dpdk")]
pub mod dpdk;
mod frame;
pub mod mem;
pub mod pcap;
mod pool;
mod queue;
mod rss;
pub mod sim;
#[cfg(target_os = "linux")]
pub mod tap;
pub mod toeplitz;

pub use burst::{Burst, free_all};
pub use frame::{
    ChecksumStatus, Frame, IpVersion, L4Checksum, RxOffload, Segments, TxChecksum, TxSegmentation,
    frames_dropped_singly,
};
pub use pool::{HEADROOM, Pool};
pub use queue::{Medium, QueueInfo, QueuePair, TxOffload};
pub use rss::{Hashed, Rss, Scaling};
