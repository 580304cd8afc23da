//! One window: a server on one CPU, a client on the other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use darner::counters::Counter;
use serde::Deserialize;

use super::child::Child;
use super::machine::Sample;
use super::network::{Network, Offloads, TAP, Tap, TapBy};
use super::rows::{Peer, Row};
use crate::failure::Failure;
use crate::inside::InsideReport;
use crate::load::report::Report;
use crate::load::run::MEASURING;
use crate::serve::summary::{Memory, resident_in};

/// What a process that has client and server in it has shown.
pub(super) struct Inside {
    pub(super) report: InsideReport,
    /// How many cores others used.
    pub(super) others: f64,
}

/// How windows are made.
pub(crate) struct Bench {
    program: PathBuf,
    testpmd: Option<PathBuf>,
    /// Another build of this program, which is the reference of every row.
    base: Option<PathBuf>,
    server_cpu: usize,
    client_cpu: usize,
    seconds: f64,
    /// Each window has a socket of its own.
    sockets: AtomicU32,
}

/// What a window has shown.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    pub(crate) report: Report,
    /// How many cores others used.
    pub(crate) others: f64,
    pub(crate) start_up: Duration,
    /// How much the server's memory grew until the end, in KiB.
    pub(crate) grown_kib: u64,
    pub(crate) server: ServerSummary,
}

/// A server that a client may come to.
pub(super) struct Begun {
    server: Child,
    start_up: Duration,
    /// Its memory, in KiB.
    resident: u64,
    /// Another process that takes part.
    pub(super) helper: Option<u32>,
}

/// What the server has said at its end, if it is one of ours.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServerSummary {
    /// What it dropped, by name.
    pub(crate) drops: BTreeMap<String, u64>,
    counters: BTreeMap<String, u64>,
    pub(crate) resident_kib: Memory,
    pub(crate) time_wait_seconds: u64,
    #[cfg(feature = "cycles")]
    pub(super) account: Option<crate::serve::cycles::Account>,
}

impl ServerSummary {
    /// How many ends of TIME-WAIT came early.
    pub(crate) fn recycled(&self) -> u64 {
        self.counters.get(Counter::TcpTimeWaitRecycled.name()).copied().unwrap_or(0)
    }
}

impl Window {
    /// Bytes of memory for each connection that ended once TIME-WAIT was full.
    pub(crate) fn grown_beyond_limit(&self) -> Option<f64> {
        let memory = &self.server.resident_kib;
        let grown = memory.end.saturating_sub(memory.time_wait_full?) * 1024;
        Some(grown as f64 / self.server.recycled().max(1) as f64)
    }
}

pub(super) const READY_WITHIN: Duration = Duration::from_secs(10);
pub(super) const SET_UP_WITHIN: Duration = Duration::from_secs(30);
/// A million connections take a while.
const INSIDE_WITHIN: Duration = Duration::from_secs(120);

impl Bench {
    pub(crate) fn new(
        (server_cpu, client_cpu): (usize, usize),
        seconds: f64,
        base: Option<PathBuf>,
    ) -> Result<Self, Failure> {
        if let Some(base) = base.as_ref().filter(|base| !base.is_file()) {
            let base = base.display();
            return Err(Failure::usage(format_args!(
                "--base is the darner-bench of another build, and {base} is no file"
            )));
        }
        let program = std::env::current_exe().map_err(Failure::start)?;
        let allowed = cpus();
        if let Some(cpu) = [server_cpu, client_cpu].iter().find(|cpu| !allowed.contains(cpu)) {
            return Err(Failure::start(format_args!(
                "CPU {cpu} is not there for this process: name two with --server-cpu and --client-cpu (see `taskset -p $$`)"
            )));
        }
        if server_cpu == client_cpu {
            return Err(Failure::usage(
                "server and client poll, so each needs a CPU of its own: name two",
            ));
        }
        let testpmd = Path::new("/usr/bin/dpdk-testpmd");
        let testpmd = testpmd.exists().then(|| testpmd.to_owned());
        Ok(Self {
            program,
            testpmd,
            base,
            server_cpu,
            client_cpu,
            seconds,
            sockets: AtomicU32::new(0),
        })
    }

    pub(crate) fn reference_name(&self) -> &'static str {
        match self.testpmd {
            _ if self.has_base() => "the server of another build",
            Some(_) => "testpmd's io loop",
            None => "our own io loop (dpdk-testpmd is not installed)",
        }
    }

    /// The reference: frames of a row's length come back as they are.
    pub(crate) fn reference(&self, row: &Row) -> Result<Window, Failure> {
        if let Some(offloads) = row.kernel {
            return self.kernel(row, offloads);
        }
        self.frames(row, "")
    }

    /// The reference with frames at times of their own, so many per second.
    pub(crate) fn reference_at(&self, row: &Row, rate: f64) -> Result<Window, Failure> {
        self.frames(row, &format!("--rate {rate:.0}"))
    }

    fn frames(&self, row: &Row, more: &str) -> Result<Window, Failure> {
        let (len, in_flight) = row.reference;
        let load = format!("--mode echo-frames --frame-len {len} --frames {in_flight} {more}");
        let socket = self.socket();
        let mut command = match &self.testpmd {
            Some(program) => self.testpmd_command(program, &socket),
            None => self.own_loop(&socket, ""),
        };
        let ready = if self.testpmd.is_some() { "Press enter" } else { "ready" };
        self.window(("the loop", &mut command, ready), &socket, row, &load)
    }

    /// A server over a tap device, ours or a peer's, and the client on the kernel's side of it.
    pub(super) fn over_tap(&self, row: &Row, peer: Option<Peer>) -> Result<Window, Failure> {
        let by = if peer.is_some() { TapBy::Us } else { TapBy::Server };
        let tap = Tap::new(self.number(), by)?;
        let (mut server, mut client) = (tap.command(), tap.command());
        let cpu = self.server_cpu.to_string();
        match peer {
            Some(peer) => {
                // It has no option for that.
                server.args(["taskset", "--cpu-list", &cpu]).arg(self.peer(peer)?).arg(TAP);
                server.args(row.serve.split_whitespace());
            }
            None => self.serve_over(&mut server, &format!("tap:{TAP}"), row),
        }
        let cpu = self.client_cpu.to_string();
        client.arg(&self.program).args(["load", "--cpu", &cpu]);
        client.args(["--device", &format!("af_packet:{TAP}")]);
        self.window_of(("the server", &mut server, "ready"), &mut client, row, &row.load)
    }

    /// A peer's program.
    fn peer(&self, peer: Peer) -> Result<PathBuf, Failure> {
        let name = match peer {
            Peer::Smoltcp => "darner-peer-smoltcp",
            Peer::Lwip => "darner-peer-lwip",
        };
        let program = Path::new("target/peers").join(name);
        match program.is_file() {
            true => Ok(program),
            false => Err(Failure::start(format_args!(
                "{} is not there: scripts/peers builds it, from the root of the tree",
                program.display()
            ))),
        }
    }

    /// The same server and requests over the kernel's sockets, in namespaces of their own.
    fn kernel(&self, row: &Row, offloads: Offloads) -> Result<Window, Failure> {
        let network = Network::new(self.number(), offloads)?;
        let [mut server, mut client] = network.commands();
        let cpu = self.server_cpu.to_string();
        server.arg(&self.program).args(["serve", "--kernel", "--cpu", &cpu]);
        server.args(row.serve.split_whitespace());
        let cpu = self.client_cpu.to_string();
        client.arg(&self.program).args(["load", "--kernel", "--cpu", &cpu]);
        self.window_of(("the kernel's server", &mut server, "ready"), &mut client, row, &row.load)
    }

    /// The stack.
    pub(crate) fn ours(&self, row: &Row, load: &str) -> Result<Window, Failure> {
        let socket = self.socket();
        let mut command =
            self.command("serve", self.server_cpu, &format!("memif:{socket},server"), row.serve);
        self.window(("the server", &mut command, "ready"), &socket, row, load)
    }

    /// The same on two CPUs, as commands.
    pub(super) fn server_and_client(
        &self,
        row: &Row,
        (server_cpu, client_cpu): (usize, usize),
    ) -> [Command; 2] {
        let socket = self.socket();
        let [server, client] = ["server", "client"].map(|role| format!("memif:{socket},{role}"));
        let mut client = self.command("load", client_cpu, &client, &row.load);
        client.args(["--warm-up", "0.3", "--json", "--seconds", &self.seconds.to_string()]);
        [self.command("serve", server_cpu, &server, row.serve), client]
    }

    pub(super) fn seconds(&self) -> f64 {
        self.seconds
    }

    pub(super) fn has_base(&self) -> bool {
        self.base.is_some()
    }

    /// The other build's server, with this one's client.
    pub(super) fn base(&self, row: &Row) -> Result<Window, Failure> {
        let program = self.base.as_ref().unwrap_or(&self.program);
        let socket = self.socket();
        let device = format!("memif:{socket},server");
        let mut command = self.command_of(program, "serve", self.server_cpu, &device, row.serve);
        self.window(("the other server", &mut command, "ready"), &socket, row, &row.load)
    }

    /// The client against one who answers everything at once: what it can make at most.
    pub(crate) fn ceiling(&self, row: &Row) -> Result<Window, Failure> {
        let socket = self.socket();
        let mut command = self.own_loop(&socket, row.ceiling());
        // It never closes first.
        let load = row.load.replace("--server-closes", "");
        self.window(("the reflector", &mut command, "ready"), &socket, row, &load)
    }

    /// Client and server in one process.
    pub(super) fn inside(&self, arguments: &str) -> Result<Inside, Failure> {
        let mut command = Command::new(&self.program);
        let [cpu, other] = [self.server_cpu, self.client_cpu].map(|cpu| cpu.to_string());
        command.args(["inside", "--cpu", &cpu, "--application-cpu", &other, "--json"]);
        command.args(["--warm-up", "0.3", "--seconds", &self.seconds.to_string()]);
        command.args(arguments.split_whitespace());
        let mut process = Child::start("client and server", &mut command)?;
        let before = Sample::take(&[process.id()]);
        let within = Duration::from_secs_f64(self.seconds) + INSIDE_WITHIN;
        let result = process.expect("{", within)?;
        let others = Sample::take(&[process.id()]).others_since(&before);
        Ok(Inside { report: serde_json::from_str(&result).map_err(Failure::failed)?, others })
    }

    /// How long a server takes to be ready.
    pub(crate) fn start_up(&self, row: &Row) -> Result<Duration, Failure> {
        let socket = self.socket();
        let mut command =
            self.command("serve", self.server_cpu, &format!("memif:{socket},server"), row.serve);
        let begin = Instant::now();
        let mut server = Child::start("the server", &mut command)?;
        server.expect("ready", READY_WITHIN)?;
        Ok(begin.elapsed())
    }

    fn window(
        &self,
        server: (&str, &mut Command, &str),
        socket: &str,
        row: &Row,
        load: &str,
    ) -> Result<Window, Failure> {
        let device = format!("memif:{socket},client");
        let mut client = self.command("load", self.client_cpu, &device, "");
        self.window_of(server, &mut client, row, load)
    }

    fn window_of(
        &self,
        (name, server, ready): (&str, &mut Command, &str),
        client: &mut Command,
        row: &Row,
        load: &str,
    ) -> Result<Window, Failure> {
        self.go_on(self.begin(name, server, ready)?, client, row, load)
    }

    /// A window's server is there.
    pub(super) fn begin(
        &self,
        name: &str,
        server: &mut Command,
        ready: &str,
    ) -> Result<Begun, Failure> {
        let begin = Instant::now();
        let mut server = Child::start(name, server)?;
        server.expect(ready, READY_WITHIN)?;
        let start_up = begin.elapsed();
        let resident = resident_of(server.id());
        Ok(Begun { server, start_up, resident, helper: None })
    }

    /// Its client comes.
    pub(super) fn go_on(
        &self,
        begun: Begun,
        client: &mut Command,
        row: &Row,
        load: &str,
    ) -> Result<Window, Failure> {
        let Begun { server, start_up, resident, helper } = begun;
        client.args(load.split_whitespace()).args(["--warm-up", "0.3", "--json"]);
        let seconds = self.seconds.max(row.seconds);
        client.args(["--seconds", &seconds.to_string()]);
        let mut client = Child::start("the client", client)?;
        client.expect(MEASURING, SET_UP_WITHIN)?;
        let processes: Vec<u32> = [server.id(), client.id()].into_iter().chain(helper).collect();
        let before = Sample::take(&processes);
        let result = client.expect("{", Duration::from_secs_f64(seconds) + READY_WITHIN)?;
        let others = Sample::take(&processes).others_since(&before);
        let grown_kib = resident_of(server.id()).saturating_sub(resident);
        let report = serde_json::from_str(&result).map_err(Failure::failed)?;
        drop(client);
        let summary = server.end().and_then(|line| serde_json::from_str(&line).ok());
        Ok(Window { report, others, start_up, grown_kib, server: summary.unwrap_or_default() })
    }

    fn own_loop(&self, socket: &str, more: &str) -> Command {
        self.command("loop", self.server_cpu, &format!("memif:{socket},server"), more)
    }

    fn command(&self, what: &str, cpu: usize, device: &str, more: &str) -> Command {
        self.command_of(&self.program, what, cpu, device, more)
    }

    fn command_of(
        &self,
        program: &Path,
        what: &str,
        cpu: usize,
        device: &str,
        more: &str,
    ) -> Command {
        let mut command = Command::new(program);
        command.args([what, "--device", device, "--cpu", &cpu.to_string()]);
        command.args(more.split_whitespace());
        command
    }

    fn testpmd_command(&self, program: &Path, socket: &str) -> Command {
        // Runs the rest of the line.
        let mut command = Command::new("env");
        self.testpmd_arguments(&mut command, program, socket);
        command.arg(format!("--vdev=net_memif0,role=server,socket={socket}"));
        command.args(["--", "--forward-mode=io", "--port-topology=loop", "--disable-link-check"]);
        command.args(["--total-num-mbufs=16384", "--rxd=1024", "--txd=1024"]);
        command
    }

    /// Adds testpmd and what EAL is told. Two lcores on one CPU: the one that forwards, and the main one, which waits for input.
    pub(super) fn testpmd_arguments(&self, command: &mut Command, program: &Path, prefix: &str) {
        let cpu = self.server_cpu;
        // Into a pipe it would else say nothing before its end.
        command.args(["stdbuf", "--output=L"]).arg(program);
        command.args(["--no-huge", "-m", "256", "--no-shconf", "--no-pci", "--no-telemetry"]);
        command.arg(format!("--file-prefix={prefix}"));
        command.arg(format!("--lcores=0@{cpu},1@{cpu}"));
    }

    /// Adds our server over a device.
    pub(super) fn serve_over(&self, command: &mut Command, device: &str, row: &Row) {
        let cpu = self.server_cpu.to_string();
        command.arg(&self.program).args(["serve", "--device", device, "--cpu", &cpu]);
        command.args(row.serve.split_whitespace());
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn testpmd(&self) -> Option<&Path> {
        self.testpmd.as_deref()
    }

    /// The CPUs of the server and of the client.
    pub(super) fn lane(&self) -> (usize, usize) {
        (self.server_cpu, self.client_cpu)
    }

    /// A CPU that nobody polls on, if there is one; else the client's.
    pub(super) fn spare_cpu(&self) -> usize {
        let taken = [self.server_cpu, self.client_cpu];
        cpus().into_iter().find(|cpu| !taken.contains(cpu)).unwrap_or(self.client_cpu)
    }

    /// No two windows have the same.
    pub(super) fn number(&self) -> u32 {
        self.sockets.fetch_add(1, Ordering::Relaxed)
    }

    /// A name for sockets and files of one window.
    pub(super) fn socket(&self) -> String {
        format!("darner-bench-{}-{}", std::process::id(), self.number())
    }
}

/// All CPUs that this process may use.
pub(super) fn cpus() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().iter().map(|id| id.id).collect()
}

fn resident_of(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    resident_in(&status).unwrap_or(0)
}
