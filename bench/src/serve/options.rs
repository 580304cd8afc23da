//! What a user asks of the server.

use clap::{Args, Subcommand};
use darner::{Config, DuplicateDetection, Idle, Ipv4Prefix, TcpConfig};

use super::application::Role;
use crate::device::DeviceOptions;

/// Serve one simple thing over the stack, until Ctrl-C or the end of standard input.
///
/// One thread polls the device and never rests; the server runs on it. A line on standard output says when it is ready, and at the end
/// one JSON object what it has counted. UDP datagrams to the same port are sent back in every role.
#[derive(Args, Debug)]
pub(crate) struct ServeCommand {
    #[command(flatten)]
    pub(crate) device: DeviceOptions,
    /// Its address
    #[arg(long, value_name = "ADDRESS/LEN", default_value = "10.0.0.2/24")]
    address: Ipv4Prefix,
    /// Its port
    #[arg(long, default_value_t = 7000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Connections that it can have
    #[arg(long, value_name = "COUNT", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    connections: u32,
    /// Most connections in TIME-WAIT, a million if not said; said, the end tells how much memory there was when so many were reached
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    time_wait: Option<u32>,
    /// Over the kernel's sockets instead, without a device; one thread, which never rests either if not told to
    #[arg(long, conflicts_with = "device")]
    pub(super) kernel: bool,
    /// With --kernel: sleep while there is nothing to do, for a CPU that others use, too
    #[arg(long, requires = "kernel")]
    pub(super) sleep: bool,
    /// What it does with connections
    #[command(subcommand)]
    role: RoleCommand,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum RoleCommand {
    /// Answer each request
    Respond {
        /// Bytes of a request
        #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
        request: u32,
        /// Bytes of a response
        #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
        response: u32,
        /// Close after the first response
        #[arg(long)]
        close: bool,
    },
    /// Answer each GET of HTTP/1.1 with 200 (OK), on connections that stay
    Http {
        /// Bytes of the page
        #[arg(long, value_name = "BYTES", default_value_t = 64)]
        body: u32,
    },
    /// Read and discard
    Sink,
    /// Write without end
    Source,
    /// Read and discard, and write without end at the same time; over a device
    Both,
}

/// Half-open connections, in all: many handshakes at the same time are what is to be measured.
const HALF_OPEN: usize = 1 << 16;

impl ServeCommand {
    pub(super) fn role(&self) -> Role {
        match self.role {
            RoleCommand::Respond { request, response, close } => {
                Role::Respond { request: request as usize, response: response as usize, close }
            }
            RoleCommand::Http { body } => Role::Http { body: body as usize },
            RoleCommand::Sink => Role::Sink,
            RoleCommand::Source => Role::Source,
            RoleCommand::Both => Role::Both,
        }
    }

    /// Whether it is to be told how full TIME-WAIT is.
    pub(super) fn watches_time_wait(&self) -> bool {
        self.time_wait.is_some()
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn config(&self) -> Config {
        let time_wait =
            self.time_wait.map_or(TcpConfig::default().max_time_wait, |count| count as usize);
        config(self.address, self.device.cpu, self.connections, time_wait)
    }
}

/// A stack that never rests and has room for so many connections, as many at once as can be.
pub(crate) fn config(
    address: Ipv4Prefix,
    cpu: Option<usize>,
    connections: u32,
    max_time_wait: usize,
) -> Config {
    Config {
        addresses: vec![address],
        cores: cpu.into_iter().collect(),
        idle: Idle::Spin,
        duplicate_detection: DuplicateDetection::Off,
        udp_queue: 1024,
        tcp: TcpConfig {
            max_connections: connections as usize,
            max_time_wait,
            max_half_open: HALF_OPEN,
            max_half_open_per_listener: HALF_OPEN,
            max_half_open_per_source: HALF_OPEN,
            ..TcpConfig::default()
        },
        ..Config::default()
    }
}
