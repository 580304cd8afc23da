//! Devices of DPDK, as they run on a machine without any NIC.
//!
//! EAL starts once per process: run these with `cargo nextest run -p pmd --features dpdk`, which gives each a process.

#![expect(clippy::unwrap_used, reason = "tests panic where they fail")]

mod abilities;
mod errors;
#[path = "../tap/forward.rs"]
mod forward;
mod memif;
mod namespace;
mod native;
mod null;
mod ring;
mod softrss;
mod start;
mod tap;
mod veth;
#[path = "../tap/wire.rs"]
mod wire;

use std::time::Duration;

use pmd::dpdk::{Device, DeviceConfig, DeviceSpec, Eal, HugePages};
use pmd::{Burst, Pool, QueuePair};

use wire::within;

/// EAL as a newcomer has it: without huge pages.
fn eal() -> Eal {
    Eal::builder().huge_pages(HugePages::Never).start().expect("EAL starts")
}

/// A device of few frames, so that a lost one shows.
fn small() -> DeviceConfig {
    DeviceConfig {
        frames: 1024,
        rx_descriptors: 128,
        tx_descriptors: 128,
        ..DeviceConfig::default()
    }
}

fn open(eal: Eal, spec: &str, config: &DeviceConfig) -> (Device, Vec<Box<dyn QueuePair>>) {
    let spec: DeviceSpec = spec.parse().expect("a device");
    Device::open(eal, &spec, config).unwrap_or_else(|error| panic!("{error}"))
}

/// `count` frames of the pool, each with its number in its first four bytes.
fn numbered(pool: &Pool, count: u32) -> Burst {
    let mut burst = Burst::new();
    for number in 0..count {
        let mut frame = pool.alloc().expect("the pool has frames");
        let bytes = frame.append(64).expect("a fresh frame has room");
        bytes.fill(0);
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        burst.push(frame).expect("a burst holds so many");
    }
    burst
}

/// Whether all frames come back to the pool soon.
fn completes(pool: &Pool) -> bool {
    within(Duration::from_secs(2), || (pool.available() == pool.capacity()).then_some(())).is_some()
}
