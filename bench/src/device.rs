//! The device that a program runs on, and the CPU.

use std::time::Duration;

use clap::Args;
use pmd::QueuePair;
use pmd::dpdk::{Device, DeviceConfig, DeviceSpec, Eal, HugePages, leave_signals_to_pollers};

use crate::failure::Failure;

/// Which device, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeviceOptions {
    /// The device: memif:server, memif:client, memif:NAME,client, tap:NAME, vtap:NAME, af_packet:IF, pci:ADDRESS
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceSpec>,
    /// The CPU that polls it
    #[arg(long, value_name = "CPU")]
    pub(crate) cpu: Option<usize>,
    /// Use huge pages if so many are free
    #[arg(long)]
    pub(crate) huge: bool,
    /// Megabytes of memory for frames, without huge pages
    #[arg(long, value_name = "MIB", default_value_t = 256)]
    pub(crate) memory: usize,
    /// Largest IP packet
    #[arg(long, value_name = "BYTES")]
    pub(crate) mtu: Option<u16>,
    /// Frames that each queue holds
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    pub(crate) descriptors: u16,
}

impl DeviceOptions {
    /// Opens it, with one queue pair.
    pub(crate) fn open(&self) -> Result<(Device, Box<dyn QueuePair>), Failure> {
        leave_signals_to_pollers();
        let Some(spec) = &self.device else {
            return Err(Failure::usage(
                "no device: say --device memif:server, or another; --help shows which there are",
            ));
        };
        let huge = if self.huge { HugePages::Auto } else { HugePages::Never };
        let eal = Eal::builder().huge_pages(huge).memory_mib(self.memory).devices([spec]);
        let eal = spec.needs_eal().then(|| eal.start()).transpose().map_err(Failure::start)?;
        let config = DeviceConfig {
            mtu: self.mtu,
            rx_descriptors: self.descriptors,
            tx_descriptors: self.descriptors,
            ..DeviceConfig::default()
        };
        let (device, queues) = Device::open(eal, spec, &config).map_err(Failure::start)?;
        let queue = queues.into_iter().next();
        let queue = queue.ok_or_else(|| Failure::start("the device has no queue"))?;
        Ok((device, queue))
    }

    /// Waits until frames can pass.
    pub(crate) fn wait_for_link(&self, device: &Device) -> Result<(), Failure> {
        if device.wait_for_link(LINK_WITHIN).up {
            return Ok(());
        }
        let name = device.name();
        let seconds = LINK_WITHIN.as_secs();
        Err(Failure::start(format_args!(
            "{name} has no link after {seconds} s: start what is on its other end first"
        )))
    }

    /// Puts the calling thread on the CPU that was asked for.
    pub(crate) fn pin(&self) -> Result<(), Failure> {
        pin(self.cpu)
    }
}

/// Puts the calling thread on a CPU, if one is given.
pub(crate) fn pin(cpu: Option<usize>) -> Result<(), Failure> {
    match cpu {
        Some(id) if !core_affinity::set_for_current(core_affinity::CoreId { id }) => Err(
            Failure::start(format_args!("this process may not use CPU {id}: see `taskset -p $$`")),
        ),
        _ => Ok(()),
    }
}

const LINK_WITHIN: Duration = Duration::from_secs(5);
