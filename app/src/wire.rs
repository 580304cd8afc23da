//! `darner wire`: two devices, and between them the wire of [`pmd::sim`] in real time.

mod bridge;
mod options;
mod poller;
mod report;
mod values;

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use crossbeam_channel::{Receiver, select};
use pmd::QueuePair;
use pmd::dpdk::{Device, DeviceConfig, Eal, leave_signals_to_pollers};

use crate::failure::Failure;
use crate::{console, device, signals};

use bridge::Bridge;
pub(crate) use options::WireCommand;
use poller::Poller;
use report::{LiveLine, device_line, summary};
pub(crate) use values::Span;

/// Runs the wire until Ctrl-C.
pub(crate) fn run(command: &WireCommand) -> Result<(), Failure> {
    if command.left == command.right {
        let both = &command.left;
        return Err(Failure::usage(format_args!(
            "a wire has two ends, and both are {both}: name two devices"
        )));
    }
    leave_signals_to_pollers();
    let asks = signals::watch(None).map_err(Failure::start)?;
    let huge_pages = command.run.huge_pages.chosen().unwrap_or_default();
    let eal = device::eal_for(huge_pages, [&command.left, &command.right])?;
    let (left, left_queue) = open(eal, command, 0)?;
    let (right, right_queue) = open(eal, command, 1)?;
    let wires = command.wire.wires(left.mtu().min(right.mtu()));
    let seed = command.run.seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    let bridge = Bridge::new([left_queue, right_queue], wires, seed);
    let poller =
        Poller::start(bridge, command.run.core, command.run.idle).map_err(Failure::start)?;
    console::tell(format_args!(
        "a wire between {} and {}, seed {seed}; Ctrl-C ends it",
        command.left, command.right
    ));
    let started = Instant::now();
    watch(&poller, &asks);
    let bridge = poller.stop().ok_or_else(|| Failure::failed("the wire's thread panicked"))?;
    let mut text = summary(&bridge.statistics(), started.elapsed());
    for device in [&left, &right] {
        text += &device_line(device.name(), &device.statistics());
    }
    console::tell(text.trim_end());
    Ok(())
}

/// Opens the left device (0) or the right one (1).
fn open(
    eal: Option<Eal>,
    command: &WireCommand,
    side: usize,
) -> Result<(Device, Box<dyn QueuePair>), Failure> {
    let spec = [&command.left, &command.right][side];
    let config = DeviceConfig {
        promiscuous: true,
        // Checksums pass as they are, right or wrong.
        checksum_offload: false,
        mtu: command.wire.mtu,
        frames: command.wire.frames(side),
        ..DeviceConfig::default()
    };
    let (device, mut queues) =
        Device::open(eal, spec, &config).map_err(|error| device::explain(&error))?;
    let queue = queues.pop().expect("one queue was asked for");
    Ok((device, queue))
}

/// Shows what happens until the user wants an end, or the wire has ended by itself.
fn watch(poller: &Poller, asks: &Receiver<()>) {
    let mut line = LiveLine::new();
    let reports = poller.reports();
    loop {
        select! {
            recv(asks) -> _ => break,
            recv(reports) -> report => match report {
                Ok(statistics) => line.show(&statistics),
                Err(_) => break,
            },
        }
    }
    line.clear();
}
