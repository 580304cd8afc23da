//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZero;
use std::path::PathBuf;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use darner::{CongestionAlgorithm, Ipv4Prefix, Profile};
use pmd::dpdk::DeviceSpec;

use crate::placement::PlacementOption;
use crate::settings::{CpuList, Ecn, HugePages, Idle, MtuProbing};
use crate::wire::WireCommand;

/// A TCP/IP stack in user space, and small programs on it.
#[derive(Debug, Parser)]
#[command(name = "darner", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    it did what was asked
  1    it ran and failed: no connection, an HTTP error, no answer to a ping
  2    wrong options or a wrong configuration file
  3    it could not start: device, privilege, address, folder
  130  Ctrl-C was pressed twice";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(ServeCommand),
    Echo(EchoCommand),
    Sink(SinkCommand),
    Get(GetCommand),
    Ping(PingCommand),
    Stat(StatOptions),
    Wire(WireCommand),
    Doctor(DoctorCommand),
}

/// Serve HTTP/1.1: a built-in page, or the files of a folder.
///
/// PUT and POST are answered with the length and SHA-256 of what came, as JSON to clients that accept it.
#[derive(Args, Debug)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct ServeCommand {
    #[command(flatten)]
    pub(crate) serve: ServeOptions,
    #[command(flatten)]
    pub(crate) placement: PlacementOption,
    #[command(flatten)]
    pub(crate) stack: StackOptions,
}

#[derive(Args, Debug)]
pub(crate) struct ServeOptions {
    /// Serve the files of this folder; nothing outside it, wherever symbolic links point.
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// Where to listen; may be given several times [default: 0.0.0.0:80]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    /// The longest request body [default: 16GiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) max_body: Option<ByteSize>,
    /// Threads that read the folder, so that no packet waits for a disk [default: 2]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) disk_threads: Option<u8>,
}

const SERVE_EXAMPLES: &str = "\
Examples:
  A page for the kernel's own browser (needs CAP_NET_ADMIN):
      darner serve --device tap:dtap0 --address 10.0.0.2/24
      sudo ip address add 10.0.0.1/24 dev dtap0
      curl http://10.0.0.2/
  A folder on a real NIC, one protocol thread on CPU 2 that never rests:
      darner serve --device pci:0000:03:00.0 --address 192.0.2.10/24 --gateway 192.0.2.1 \\
          --cores 2 --idle spin /srv/www";

/// Send back what comes, over TCP and UDP.
///
/// UDP datagrams from ports below 1024 are not answered: they may be another server's, made to talk to this one for ever.
#[derive(Args, Debug)]
#[command(after_help = ECHO_EXAMPLES)]
pub(crate) struct EchoCommand {
    /// Where to listen; may be given several times [default: 0.0.0.0:7]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    #[command(flatten)]
    pub(crate) placement: PlacementOption,
    #[command(flatten)]
    pub(crate) stack: StackOptions,
}

const ECHO_EXAMPLES: &str = "\
Examples:
  darner echo --device tap:dtap0 --address 10.0.0.2/24
  echo hello | nc -N 10.0.0.2 7
  echo hello | nc -u -w1 10.0.0.2 7";

/// Read and discard what comes, over TCP and UDP.
#[derive(Args, Debug)]
#[command(after_help = SINK_EXAMPLES)]
pub(crate) struct SinkCommand {
    /// Where to listen; may be given several times [default: 0.0.0.0:9]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    #[command(flatten)]
    pub(crate) placement: PlacementOption,
    #[command(flatten)]
    pub(crate) stack: StackOptions,
}

const SINK_EXAMPLES: &str = "\
Examples:
  darner sink --device tap:dtap0 --address 10.0.0.2/24
  head -c 1G /dev/zero | nc -N 10.0.0.2 9";

/// Fetch a URL through the stack.
#[derive(Args, Debug)]
#[command(after_help = GET_EXAMPLES)]
pub(crate) struct GetCommand {
    #[command(flatten)]
    pub(crate) get: GetOptions,
    #[command(flatten)]
    pub(crate) stack: StackOptions,
}

#[derive(Args, Debug)]
pub(crate) struct GetOptions {
    /// What to fetch, as http://HOST/PATH or http://HOST:PORT/PATH. The host's resolver finds names.
    pub(crate) url: String,
    /// Write to this file instead of standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Show no progress.
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Follow so many redirects.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    pub(crate) max_redirects: u32,
    /// Give up when nothing has arrived for so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) timeout: u64,
}

const GET_EXAMPLES: &str = "\
Examples:
  darner get http://10.0.0.1/ --device tap:dtap0 --address 10.0.0.2/24
  darner get http://example.com/file.iso -o file.iso \\
      --device af_packet:eth1 --address 192.0.2.10/24 --gateway 192.0.2.1";

/// Ping a host through the stack.
#[derive(Args, Debug)]
#[command(after_help = PING_EXAMPLES)]
pub(crate) struct PingCommand {
    #[command(flatten)]
    pub(crate) ping: PingOptions,
    #[command(flatten)]
    pub(crate) stack: StackOptions,
}

#[derive(Args, Debug)]
pub(crate) struct PingOptions {
    /// A name or an IPv4 address.
    pub(crate) host: String,
    /// Stop after so many [default: at Ctrl-C]
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Seconds from one to the next.
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) interval: std::time::Duration,
    /// Bytes of payload.
    #[arg(short, long, value_name = "BYTES", default_value_t = 56, value_parser = clap::value_parser!(u16).range(0..=65_507))]
    pub(crate) size: u16,
    /// Seconds to wait for the last answer.
    #[arg(short = 'W', long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    pub(crate) wait: std::time::Duration,
}

fn seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.001..=3600.0).contains(&seconds) {
        return Err("from 0.001 to 3600 seconds".to_owned());
    }
    Ok(std::time::Duration::from_secs_f64(seconds))
}

const PING_EXAMPLES: &str = "\
Examples:
  darner ping 10.0.0.1 -c 3 --device tap:dtap0 --address 10.0.0.2/24";

/// Show what a running darner does: counters, drops by name, connections and neighbours.
#[derive(Args, Debug)]
#[command(after_help = STAT_EXAMPLES)]
pub(crate) struct StatOptions {
    /// The running darner's socket [default: the only one there is]
    #[arg(long, value_name = "PATH", conflicts_with = "device")]
    pub(crate) stat_socket: Option<PathBuf>,
    /// The running darner's device.
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceSpec>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print again every so many seconds, with rates, until Ctrl-C.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "1", value_parser = seconds)]
    pub(crate) watch: Option<std::time::Duration>,
}

const STAT_EXAMPLES: &str = "\
Examples:
  darner stat
  darner stat --watch
  darner stat --device tap:dtap0 --json | jq .drops";

/// Look for what is wrong with this machine, and say what to do about it.
///
/// With --device (or a device in the configuration file) it opens that, too, as the other commands would.
#[derive(Args, Debug)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub(crate) struct DoctorCommand {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) stack: StackOptions,
}

const DOCTOR_EXAMPLES: &str = "\
Ends with 1 if darner cannot run as the options ask.

Examples:
  darner doctor
  darner doctor --device pci:0000:03:00.0 --cores 2-3
  darner doctor --json | jq '.findings[] | select(.grade != \"good\")'";

/// The device and the stack over it. Flags override the configuration file.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Device and stack")]
pub(crate) struct StackOptions {
    /// A configuration file; darner.toml in the sources shows all that it can say.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// tap:NAME, vtap:NAME, memif:server, memif:client, af_packet:IF, af_xdp:IF, pci:ADDRESS, or vdev:DEVARGS in DPDK's words;
    /// further ,KEY=VALUE pairs go to the driver [default: tap:dtap0]
    #[arg(long, value_name = "DEVICE")]
    pub(crate) device: Option<DeviceSpec>,
    /// Our address and the length of its network's prefix; may be given several times [default: 10.0.0.2/24]
    #[arg(long, value_name = "ADDRESS/LENGTH")]
    pub(crate) address: Vec<Ipv4Prefix>,
    /// Who leads to other networks.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gateway: Option<Ipv4Addr>,
    /// One protocol thread on each of these CPUs, such as 1 or 0,2-3 [default: one thread, on any CPU]
    #[arg(long, value_name = "CPUS")]
    pub(crate) cores: Option<CpuList>,
    /// Queues of the device to use: threads beyond them get their packets from the others [default: one for each thread, as far
    /// as the device has them]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) queues: Option<NonZero<u16>>,
    /// What a protocol thread does without work: spin for latency, yield, or sleep [default: sleep]
    #[arg(long, value_name = "KIND")]
    pub(crate) idle: Option<Idle>,
    /// The largest IP packet, if not the device's own.
    #[arg(long, value_name = "BYTES")]
    pub(crate) mtu: Option<u16>,
    /// Most bytes that a connection holds at first for its application to read, such as 64KiB [default: 256KiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) receive_buffer: Option<ByteSize>,
    /// What that grows to, if the application reads as fast as the path brings; 0: it does not grow [default: 8MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) receive_buffer_max: Option<ByteSize>,
    /// Most bytes that a connection holds at first for sending [default: 256KiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) send_buffer: Option<ByteSize>,
    /// What that grows to with what the path carries; 0: it does not grow [default: 8MiB]
    #[arg(long, value_name = "SIZE")]
    pub(crate) send_buffer_max: Option<ByteSize>,
    /// Whose defaults TCP begins with, for what peers and programs tell stacks apart by: linux or freebsd [default: linux]
    #[arg(long, value_name = "STACK")]
    pub(crate) profile: Option<Profile>,
    /// How much may be in flight is for this to say: cubic, reno, bbr or dctcp [default: cubic]
    #[arg(long, value_name = "NAME")]
    pub(crate) congestion: Option<CongestionAlgorithm>,
    /// Whether routers may mark packets instead of dropping them (ECN), and whether we ask for it [default: ask]
    #[arg(long, value_name = "WHEN")]
    pub(crate) ecn: Option<Ecn>,
    /// Whether to try out how large a packet a path carries, where routers do not tell [default: on-black-hole]
    #[arg(long, value_name = "WHEN")]
    pub(crate) mtu_probing: Option<MtuProbing>,
    #[command(flatten)]
    pub(crate) huge_pages: HugePagesOption,
    /// Record all packets to this file, for wireshark; FILE.1, FILE.2 ... for further cores.
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Where `darner stat` finds us [default: by device, under $XDG_RUNTIME_DIR or /tmp]
    #[arg(long, value_name = "PATH")]
    pub(crate) stat_socket: Option<PathBuf>,
    /// Offer nothing to `darner stat`.
    #[arg(long, conflicts_with = "stat_socket")]
    pub(crate) no_stat: bool,
}

#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct HugePagesOption {
    /// Insist on huge pages; without this they are used if there are any.
    #[arg(long, conflicts_with = "no_huge")]
    huge: bool,
    /// Use no huge pages.
    #[arg(long)]
    no_huge: bool,
}

impl HugePagesOption {
    pub(crate) fn chosen(self) -> Option<HugePages> {
        match (self.huge, self.no_huge) {
            (true, _) => Some(HugePages::Always),
            (_, true) => Some(HugePages::Never),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
