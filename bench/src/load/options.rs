//! What a user asks of the client.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::addresses::Addresses;
use super::plan::{Closer, Pace, Plan, Work};
use super::run::Spans;
use super::schedule::{self, Arrival, Schedule};
use crate::device::DeviceOptions;
use crate::failure::Failure;

/// Make requests of a server, and measure how it answers.
///
/// Over a device the client keeps next to nothing of its connections, so that one core offers more than a server can serve. It
/// answers ARP for all its addresses itself; nobody else may have them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LoadCommand {
    #[command(flatten)]
    pub(crate) device: DeviceOptions,
    /// Over the kernel's sockets instead, without a device: requests, http, churn, send and receive, in a closed loop
    #[arg(long, conflicts_with = "device")]
    pub(super) kernel: bool,
    /// With --kernel: sleep while there is nothing to do, for a CPU that others use, too
    #[arg(long, requires = "kernel")]
    sleep: bool,
    /// What to do
    #[arg(long, value_enum, default_value_t = Mode::Requests)]
    pub(super) mode: Mode,
    /// The server
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "10.0.0.2:7000")]
    pub(super) server: SocketAddrV4,
    /// The client's first address
    #[arg(long, value_name = "ADDRESS", default_value = "10.0.0.16")]
    source: Ipv4Addr,
    /// How many addresses it has, from that on
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    addresses: u32,
    /// Connections at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) connections: u32,
    /// Bytes of a request, or of a datagram
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    pub(super) request: u32,
    /// Bytes of its response
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub(super) response: u32,
    /// Requests of a connection that are under way at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) depth: u32,
    /// Requests (or connections with `churn`, frames with `echo-frames`) per second, whatever the server does; else the next one is made when
    /// the last is answered
    #[arg(long, value_name = "PER_SECOND", value_parser = schedule::rate)]
    rate: Option<f64>,
    /// How requests with a rate are spread
    #[arg(long, value_enum, default_value_t = Arrival::Poisson)]
    arrival: Arrival,
    /// With `churn`: the server closes first, and keeps the TIME-WAIT
    #[arg(long)]
    pub(super) server_closes: bool,
    /// Bytes in flight on a connection, with `send` and `both`
    #[arg(long, value_name = "BYTES", default_value_t = 512 << 10)]
    in_flight: u32,
    /// Connections on which requests are under way at the same time, of all; else as many as a device's queues hold
    #[arg(long, value_name = "COUNT", default_value_t = u32::MAX, hide_default_value = true, value_parser = clap::value_parser!(u32).range(1..))]
    under_way: u32,
    /// Frames or datagrams in flight, with `echo-frames` and `udp`
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    pub(super) frames: u32,
    /// Bytes of a frame, with `echo-frames`
    #[arg(long, value_name = "BYTES", default_value_t = 130, value_parser = clap::value_parser!(u16).range(60..=9014))]
    frame_len: u16,
    /// Offer no timestamps
    #[arg(long)]
    no_timestamps: bool,
    /// Seconds before measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    warm_up: f64,
    /// Seconds of measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub(super) seconds: f64,
    /// Seconds that setting up may take
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0)]
    set_up: f64,
    /// Print one JSON object on standard output
    #[arg(long)]
    pub(super) json: bool,
}

/// What the client does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Mode {
    /// Request and response, on connections that stay
    Requests,
    /// GET / by HTTP/1.1, on connections that stay; --request and --response do not matter
    Http,
    /// Connect, request, response, close
    Churn,
    /// Send without end
    Send,
    /// Receive without end
    Receive,
    /// Send and receive without end, at the same time
    Both,
    /// Hold connections and do nothing with them
    Rest,
    /// Datagrams that come back
    Udp,
    /// Frames that somebody sends back as they are: what the device carries
    EchoFrames,
}

const EXAMPLES: &str = "\
Examples:
  A server, and requests on 1000 connections, over shared memory:
      darner-bench serve --device memif:demo,server --cpu 0 respond
      darner-bench load --device memif:demo,client --cpu 1 --connections 1000
  Connections per second; 50,000 are offered, whatever the server does:
      darner-bench load --device memif:demo,client --mode churn --connections 4096 --rate 50000";

impl LoadCommand {
    /// Whether it can be done.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let most = self.addresses().capacity();
        if self.connections > most {
            return Err(Failure::usage(format_args!(
                "{} connections need more than {} addresses: each has ports for {}; say --addresses {}",
                self.connections,
                self.addresses,
                most / self.addresses,
                self.connections.div_ceil(most / self.addresses)
            )));
        }
        let at_times = [Mode::Requests, Mode::Http, Mode::Churn, Mode::EchoFrames];
        if self.rate.is_some() && !at_times.contains(&self.mode) {
            return Err(Failure::usage("--rate goes with requests, http, churn and echo-frames"));
        }
        if [self.warm_up, self.seconds, self.set_up]
            .iter()
            .any(|span| !(0.0..=3600.0).contains(span))
        {
            return Err(Failure::usage("--warm-up, --seconds and --set-up are 0 to 3600"));
        }
        let over_kernel = [Mode::Requests, Mode::Http, Mode::Churn, Mode::Send, Mode::Receive];
        if self.kernel && (self.rate.is_some() || !over_kernel.contains(&self.mode)) {
            return Err(Failure::usage(
                "over the kernel there are only requests, http, churn, send and receive, without --rate",
            ));
        }
        // What one segment holds, without timestamps.
        if self.mode == Mode::Http && self.depth > 32 {
            return Err(Failure::usage("with http a connection has --depth 1 to 32"));
        }
        if self.mode == Mode::Udp && !(8..=1472).contains(&self.request) {
            return Err(Failure::usage("a datagram has --request 8 to 1472 bytes"));
        }
        if self.addresses().contains(self.server.ip().to_bits()) {
            return Err(Failure::usage(
                "the server's address is one of the client's: say another --source",
            ));
        }
        Ok(())
    }

    pub(super) fn plan(&self) -> Plan {
        let Self { request, response, depth, .. } = *self;
        let closer = if self.server_closes { Closer::Server } else { Closer::Client };
        let work = match self.mode {
            Mode::Requests | Mode::Udp | Mode::EchoFrames => {
                Work::Requests { request, response, depth }
            }
            Mode::Http => Work::Pages { depth },
            Mode::Churn => Work::Once { request, response, closer },
            Mode::Send => Work::Send,
            Mode::Receive => Work::Receive,
            Mode::Both => Work::Both,
            Mode::Rest => Work::Rest,
        };
        let schedule = |rate| Pace::Open(Schedule::new(rate, self.arrival, SEED));
        Plan {
            connections: self.connections,
            work,
            pace: self.rate.map_or(Pace::Closed, schedule),
            timestamps: !self.no_timestamps,
            in_flight: self.in_flight,
            under_way: self.under_way,
        }
    }

    /// Over the kernel: how long it waits for something to do before it looks at the time again.
    pub(super) fn patience(&self) -> Duration {
        if self.sleep { LOOK_EVERY } else { Duration::ZERO }
    }

    pub(super) fn addresses(&self) -> Addresses {
        Addresses::new(self.source, self.addresses)
    }

    pub(super) fn server(&self) -> (u32, u16) {
        (self.server.ip().to_bits(), self.server.port())
    }

    pub(super) fn frame_len(&self) -> u16 {
        self.frame_len
    }

    pub(super) fn spans(&self) -> Spans {
        Spans {
            set_up_most: Duration::from_secs_f64(self.set_up),
            warm_up: Duration::from_secs_f64(self.warm_up),
            measure: Duration::from_secs_f64(self.seconds),
        }
    }
}

/// How far a span may be exceeded.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Every run has the same times between requests.
const SEED: u64 = 20_260_101;
