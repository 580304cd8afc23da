//! `darner-bench inside`: client and server in one process, over a wire in memory.
//!
//! No device limits how many connections there are, and the client polls on the protocol thread's CPU ([`wire`]), so that two CPUs suffice
//! for a server with a thread of its own ([`application`]). [`stage`] says how far a run is.

mod application;
mod stage;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use clap::{Args, ValueEnum};
use darner::Stack;
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::load::addresses::Addresses;
use crate::load::plan::{Pace, Plan, Work};
use crate::load::report::Report;
use crate::load::run::Spans;
use crate::load::schedule::{self, Arrival, Schedule};
use crate::load::tcp::Tcp;
use crate::serve::application::{Role, Server};
use crate::serve::config;
use crate::serve::summary::resident_kib;
use application::{Placed, Rest};
use stage::{Ended, Measured, Stages};
use wire::ClientQueue;

/// Measure the stack with client and server in one process, over a wire in memory.
///
/// The client polls on the protocol thread, so one CPU carries both, and no device has to hold the connections: ten million are a
/// matter of memory. The server runs there as well, or on a thread of its own.
#[derive(Args, Debug)]
pub(crate) struct InsideCommand {
    /// Where the server runs
    #[arg(long, value_enum, default_value_t = Placement::Core)]
    placement: Placement,
    /// What connections do
    #[arg(long, value_enum, default_value_t = Doing::Requests)]
    mode: Doing,
    /// How many there are
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    connections: u32,
    /// On how many of them requests are under way at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    under_way: u32,
    /// Requests per second at equal intervals, whatever the server does; else the next one is made when the last is answered
    #[arg(long, value_name = "PER_SECOND", value_parser = schedule::rate)]
    rate: Option<f64>,
    /// The protocol thread's CPU
    #[arg(long, value_name = "CPU")]
    cpu: Option<usize>,
    /// The CPU of the server's own thread
    #[arg(long, value_name = "CPU")]
    application_cpu: Option<usize>,
    /// Seconds before measuring, or more until each connection has had a request
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    warm_up: f64,
    /// Seconds of measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    seconds: f64,
    /// Seconds that opening the connections may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0)]
    set_up: f64,
    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// Where the server runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Placement {
    /// On the protocol thread
    Core,
    /// On a thread of its own, which never rests
    Thread,
    /// On a thread of its own, which sleeps when there is nothing to do
    Parked,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Doing {
    /// Requests and responses of 64 bytes
    Requests,
    /// Nothing
    Rest,
}

/// What a run has shown, as `--json` prints it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct InsideReport {
    #[serde(flatten)]
    pub(crate) report: Report,
    /// What a request costs the CPU of the protocol thread, in nanoseconds, and what of that is the client's own.
    pub(crate) nanos_per_request: f64,
    pub(crate) client_nanos_per_request: f64,
    /// Bytes that the process has grown by for each connection, the client's own left out.
    pub(crate) bytes_per_connection: f64,
}

/// How long connections may take to close at the end.
const STOP_WITHIN: Duration = Duration::from_millis(100);
/// Bytes of a request and of its response.
const SIZE: u32 = 64;
const PORT: u16 = 7000;
/// The client's first address. Its addresses share a network of 65,536 with the server.
const FIRST: [u8; 4] = [10, 0, 0, 16];
/// A server's own thread takes so many sockets.
const THREAD_MOST: u32 = 100_000;

/// Runs it, and prints what it has shown.
pub(crate) fn run(command: &InsideCommand) -> Result<(), Failure> {
    let report = measure(command)?;
    let InsideReport { nanos_per_request, client_nanos_per_request, .. } = report;
    eprint!("{}", report.report.table());
    eprintln!("{:<24}{nanos_per_request:>16.0}", "ns for each request");
    eprintln!("{:<24}{client_nanos_per_request:>16.0}", "of them the client's");
    eprintln!("{:<24}{:>16.0}", "B for each connection", report.bytes_per_connection);
    if command.json {
        println!("{}", serde_json::to_string(&report).map_err(Failure::failed)?);
    }
    Ok(())
}

fn measure(command: &InsideCommand) -> Result<InsideReport, Failure> {
    command.check()?;
    let (tell, told) = channel();
    let server_listens = Arc::new(AtomicBool::new(false));
    let stages = Stages::new(command.warm_up(), tell, server_listens.clone());
    let queue = Box::new(ClientQueue::new(|station| Box::new(command.client(station)), stages));
    let resident = resident_kib();
    let address = "10.0.0.2/16".parse().map_err(Failure::start)?;
    let config = config(address, command.cpu, command.connections, 1 << 16);
    let (totals, _unheard) = channel();
    let role = Role::Respond { request: SIZE as usize, response: SIZE as usize, close: false };
    let server = Server::new(role, PORT, totals);
    let rest = match command.placement {
        Placement::Core => None,
        Placement::Thread => Some(Rest::Spins),
        Placement::Parked => Some(Rest::Parks),
    };
    let (stack, _thread) = match rest {
        None => {
            let mut server = Some(server);
            let on_core = |_| Box::new(server.take().expect("there is one core")) as Box<_>;
            (Stack::start_with(&config, vec![vec![queue]], on_core).map_err(Failure::start)?, None)
        }
        Some(rest) => {
            let stack = Stack::start(&config, vec![vec![queue]]).map_err(Failure::start)?;
            let placed = Placed { server, cpu: command.application_cpu, rest };
            let thread = stack.spawn(Box::new(placed)).map_err(Failure::start)?;
            (stack, Some(thread))
        }
    };
    server_listens.store(true, Ordering::Relaxed);
    let measured = wait(command, &told)?;
    let grown = resident_kib().saturating_sub(resident);
    stack.stop(STOP_WITHIN);
    Ok(command.report(measured, grown))
}

fn wait(command: &InsideCommand, told: &Receiver<Ended>) -> Result<Measured, Failure> {
    match told.recv() {
        Ok(Ended::Measured(measured)) => Ok(*measured),
        Ok(Ended::NotReady(counts)) => Err(Failure::failed(format_args!(
            "{} of {} connections were open after {} s: give it longer with --set-up",
            counts.opened, command.connections, command.set_up
        ))),
        Err(_) => Err(Failure::failed("the protocol thread has ended before it was measured")),
    }
}

impl InsideCommand {
    fn check(&self) -> Result<(), Failure> {
        if self.placement != Placement::Core && self.connections > THREAD_MOST {
            return Err(Failure::usage(format_args!(
                "a thread of its own serves at most {THREAD_MOST} connections: say fewer, or --placement core"
            )));
        }
        if [self.warm_up, self.seconds, self.set_up]
            .iter()
            .any(|span| !(0.0..=3600.0).contains(span))
        {
            return Err(Failure::usage("--warm-up, --seconds and --set-up are 0 to 3600"));
        }
        if self.rate.is_some() && self.mode == Doing::Rest {
            return Err(Failure::usage("--rate goes with requests"));
        }
        Ok(())
    }

    fn client(&self, station: [u8; 6]) -> Tcp {
        let work = match self.mode {
            Doing::Requests => Work::Requests { request: SIZE, response: SIZE, depth: 1 },
            Doing::Rest => Work::Rest,
        };
        let at = |rate| Pace::Open(Schedule::new(rate, Arrival::Fixed, 1));
        let plan = Plan {
            connections: self.connections,
            work,
            pace: self.rate.map_or(Pace::Closed, at),
            timestamps: true,
            in_flight: SIZE,
            under_way: self.under_way,
        };
        let one = Addresses::new(FIRST.into(), 1).capacity();
        let addresses = Addresses::new(FIRST.into(), self.connections.div_ceil(one));
        Tcp::new(plan, addresses, (u32::from_be_bytes([10, 0, 0, 2]), PORT), station)
    }

    fn warm_up(&self) -> (Spans, u64) {
        let spans = Spans {
            set_up_most: Duration::from_secs_f64(self.set_up),
            warm_up: Duration::from_secs_f64(self.warm_up),
            measure: Duration::from_secs_f64(self.seconds),
        };
        let responses = if self.mode == Doing::Requests { self.connections } else { 0 };
        (spans, responses.into())
    }

    fn report(&self, measured: Measured, grown_kib: u64) -> InsideReport {
        let Measured { report, client } = measured;
        let requests = report.counts.responses.max(1) as f64;
        InsideReport {
            nanos_per_request: report.seconds * 1e9 / requests,
            client_nanos_per_request: client.as_secs_f64() * 1e9 / requests,
            bytes_per_connection: grown_kib as f64 * 1024.0 / f64::from(self.connections),
            report,
        }
    }
}
