//! Devices by DPDK: net_tap, memif, AF_PACKET, AF_XDP, PCI NICs, and whatever else has a poll-mode driver.
//!
//! ```no_run
//! use pmd::dpdk::{Device, DeviceConfig, DeviceSpec, Eal};
//!
//! let spec: DeviceSpec = "tap:dtap0".parse()?;
//! let eal = Eal::builder().devices([&spec]).start()?;
//! let (device, queue_pairs) = Device::open(eal, &spec, &DeviceConfig::default())?;
//! // Each queue pair goes to the thread that polls it.
//! # Ok::<(), pmd::dpdk::Error>(())
//! ```
//!
//! DPDK's environment (EAL) starts once per process and stays; devices come and go. A device is stopped and taken out of
//! EAL when its [`Device`] and all its queue pairs are gone, and can then be opened again. Frames may outlive both.
//!
//! net_tap makes the kernel send a real-time signal per burst to any thread of the process: system calls on any thread can
//! then end with `EINTR`. [`leave_signals_to_pollers`] keeps them from threads that have nothing to do with it.

mod clock;
mod device;
mod eal;
mod error;
#[cfg(test)]
mod fake;
mod holder;
mod layout;
mod log;
mod nic;
pub(crate) mod pool;
mod preflight;
mod queue;
mod segmentation;
mod spec;
mod thread;

pub use clock::TscRate;
pub use device::{Abilities, Device, DeviceConfig, Link, RssAbilities, Statistics};
pub use eal::{Eal, EalBuilder, HugePages, IovaMode, Memory};
pub use error::Error;
pub use holder::Holder;
pub use log::{LogLevel, drivers};
pub use nic::NicModel;
pub use spec::{DeviceSpec, MemifRole, SpecError};
pub use thread::{leave_signals_to_pollers, register_thread};
