//! `darner-bench load`: a client that keeps next to nothing of its connections, over any device.
//!
//! A frame's way: [`port`] receives a burst, [`segment`] reads it, [`addresses`] say whose it is, [`tcp`] and [`process`] decide what
//! is the answer, [`send`] has it wait for room, and [`template`] writes it. [`datagrams`] and [`frames`] are simpler kinds of [`traffic`]. [`mod@run`] does that in real
//! time, and [`report`] tells of it.

pub(crate) mod addresses;
mod checksum;
pub(crate) mod counts;
mod datagrams;
mod flow;
mod frames;
pub(crate) mod http;
mod kernel;
mod link;
mod options;
pub(crate) mod plan;
pub(crate) mod port;
mod process;
pub(crate) mod report;
mod resend;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod segment;
mod send;
pub(crate) mod tcp;
pub(crate) mod template;
#[cfg(test)]
mod tests;
pub(crate) mod traffic;

pub(crate) use options::LoadCommand;

use datagrams::Datagrams;
use frames::Frames;
use options::Mode;
use plan::Pace;
use port::{Port, WhenFull};
use report::Report;
use tcp::Tcp;
use traffic::Traffic;

use crate::failure::Failure;

/// Runs the client and prints what it has measured.
pub(crate) fn run(command: &LoadCommand) -> Result<(), Failure> {
    command.check()?;
    let report = if command.kernel { kernel::run(command)? } else { over_device(command)? };
    print(command, &report)
}

fn over_device(command: &LoadCommand) -> Result<Report, Failure> {
    let (device, queue) = command.device.open()?;
    command.device.pin()?;
    command.device.wait_for_link(&device)?;
    let plan = command.plan();
    let open = matches!(plan.pace, Pace::Open(_));
    let when_full = if open { WhenFull::Lose } else { WhenFull::Wait };
    let mut port = Port::new(queue, when_full);
    let (addresses, station) = (command.addresses(), port.station());
    let server = command.server();
    let mut traffic: Box<dyn Traffic> = match command.mode {
        Mode::EchoFrames => {
            Box::new(Frames::new(station, command.frame_len(), command.frames.into(), plan.pace))
        }
        Mode::Udp => {
            let len = u16::try_from(command.request).unwrap_or(u16::MAX);
            Box::new(Datagrams::new((addresses, station), server, len, command.frames))
        }
        _ => Box::new(Tcp::new(plan, addresses, server, station)),
    };
    run::run(&mut port, traffic.as_mut(), &command.spans())
}

fn print(command: &LoadCommand, report: &Report) -> Result<(), Failure> {
    eprint!("{}", report.table());
    if command.json {
        println!("{}", serde_json::to_string(report).map_err(Failure::failed)?);
    }
    Ok(())
}
