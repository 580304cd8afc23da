//! Running a stack: from the settings to the summary.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use darner::Application;
use darner::counters::Counter;
use darner::{Ipv4Prefix, Snapshot, Stack, Verdict};
use pmd::dpdk::{DeviceSpec, Memory, leave_signals_to_pollers};

use crate::device::OpenDevice;
use crate::failure::Failure;
use crate::placement::{Placement, Threads};
use crate::settings::Settings;
use crate::{console, signals, stat};

/// A stack that runs, with all that belongs to it.
pub(crate) struct Running {
    stack: Arc<Stack>,
    threads: Threads,
    device: OpenDevice,
    stat: Option<stat::Server>,
    signals: Receiver<()>,
    started: Instant,
}

/// How long connections may take to close in good order.
const STOP_WITHIN: Duration = Duration::from_secs(3);
/// How often a waiting program looks whether its stack still runs.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it looks whether somebody else uses our addresses.
const LOOKS_PER_SNAPSHOT: u64 = 10;

impl Running {
    /// Opens the device, and starts the stack with one application per core.
    pub(crate) fn start(
        settings: &Settings,
        placement: Placement,
        mut application: impl FnMut(usize) -> Box<dyn Application>,
    ) -> Result<Self, Failure> {
        leave_signals_to_pollers();
        let signals = signals::watch(settings.stat_socket.clone()).map_err(Failure::start)?;
        let (device, queues) = OpenDevice::open(settings)?;
        let socket = settings.stat_socket.as_deref().map(stat::Socket::bind).transpose()?;
        let stack = match placement {
            Placement::Core => Stack::start_with(&settings.stack, queues, &mut application),
            Placement::Thread => Stack::start(&settings.stack, queues),
        };
        let stack = Arc::new(stack.map_err(Failure::start)?);
        let threads = match placement {
            Placement::Core => Threads::none(),
            Placement::Thread => Threads::start(&stack, settings.cores(), &mut application)?,
        };
        let stat = socket
            .map(|socket| socket.serve(stack.clone(), stat::Identity::of(settings)))
            .transpose()
            .map_err(Failure::start)?;
        Ok(Self { stack, threads, device, stat, signals, started: Instant::now() })
    }

    pub(crate) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Gets a message when the user wants an end.
    pub(crate) fn signals(&self) -> &Receiver<()> {
        &self.signals
    }

    /// Waits until the user or the stack wants an end.
    pub(crate) fn wait(&self) {
        let (mut conflicts, mut mistrust) = (Conflicts::default(), Mistrust::default());
        for look in 1_u64.. {
            if self.signals.recv_timeout(LOOK_EVERY).is_ok()
                || self.stack.is_finished()
                || self.threads.has_ended()
            {
                return;
            }
            if look.is_multiple_of(LOOKS_PER_SNAPSHOT) {
                let snapshot = self.stack.snapshot();
                conflicts.news(&snapshot).into_iter().for_each(console::tell);
                mistrust.news(&snapshot).into_iter().for_each(console::tell);
            }
        }
    }

    /// Says on which device we run, and how to get there where that is not plain.
    pub(crate) fn announce(&self, settings: &Settings) {
        let addresses: Vec<String> =
            settings.stack.addresses.iter().map(ToString::to_string).collect();
        let [a, b, c, d, e, f] = self.device.device.mac();
        console::tell(format_args!(
            "darner on {} ({}, {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}), address {}, {}",
            settings.device,
            self.device.device.driver(),
            addresses.join(" "),
            match self.device.memory {
                Some(Memory::HugePages) => "huge pages",
                Some(Memory::Ordinary) => "no huge pages",
                None => "without DPDK",
            }
        ));
        if settings.cores() > 1 {
            console::tell(format_args!(
                "{} cores: {}",
                settings.cores(),
                self.stack.snapshot().steering
            ));
        }
        if let (Some(interface), Some(ours)) =
            (unconfigured(&settings.device), settings.stack.addresses.first())
        {
            let (peer, len) = (neighbour_of(*ours), ours.len());
            console::tell(format_args!(
                "the kernel gets here with: ip address add {peer}/{len} dev {interface}"
            ));
        }
    }

    /// Stops in good order, and returns the last state of the counters.
    pub(crate) fn stop(self) -> Result<Snapshot, Failure> {
        let applications = self.threads.stop();
        self.stack.stop(STOP_WITHIN);
        if let Some(stat) = self.stat {
            stat.stop();
        }
        let stack = Arc::into_inner(self.stack)
            .ok_or_else(|| Failure::failed("the stack is still in use at its end"))?;
        let outcome = stack.join();
        self.device.close();
        applications.and(outcome.map_err(Failure::failed))
    }
}

/// The kernel's end of a tap, where nobody has given it an address.
fn unconfigured(device: &DeviceSpec) -> Option<&str> {
    match device {
        DeviceSpec::Tap { interface, .. } => Some(interface),
        DeviceSpec::Vtap(spec) if spec.address().is_none() => Some(spec.interface()),
        _ => None,
    }
}

/// What we know of others who use our addresses.
#[derive(Default)]
struct Conflicts {
    told: u64,
}

impl Conflicts {
    /// A warning, if there were more since the last.
    fn news(&mut self, snapshot: &Snapshot) -> Option<String> {
        let count = snapshot.counter(Counter::ArpConflicts);
        let is_news = count > self.told;
        self.told = count;
        is_news.then(|| {
            format!("warning: another station uses an address of ours ({count} ARP packets so far): give one of the two another")
        })
    }
}

/// What we know of a device that does not scale as it says.
#[derive(Default)]
struct Mistrust {
    told: bool,
}

impl Mistrust {
    /// A warning, the first time that there is reason for one.
    fn news(&mut self, snapshot: &Snapshot) -> Option<String> {
        let differs = matches!(snapshot.steering, Verdict::Differs { .. });
        let is_news = differs && !self.told;
        self.told |= differs;
        is_news.then(|| format!("warning: {}", snapshot.steering))
    }
}

/// Runs a server until Ctrl-C.
pub(crate) fn serve(
    settings: &Settings,
    placement: Placement,
    what: &str,
    mut application: impl FnMut(Sender<Totals>) -> Box<dyn Application>,
) -> Result<(), Failure> {
    let (tell, told) = unbounded();
    let running = Running::start(settings, placement, |_| application(tell.clone()))?;
    running.announce(settings);
    let place = placement.shown(settings.cores());
    console::tell(format_args!("{what}, {place}; Ctrl-C ends it"));
    running.wait();
    console::tell("stopping");
    let started = running.started;
    let snapshot = running.stop()?;
    let totals = told.try_iter().fold(Totals::default(), Totals::plus);
    console::tell(summarize(&totals, &snapshot, started.elapsed()).trim_end());
    Ok(())
}

/// What the applications of a server have done, payload only.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Totals {
    pub(crate) connections: u64,
    pub(crate) requests: Option<u64>,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Totals {
    fn plus(self, other: Self) -> Self {
        let requests = match (self.requests, other.requests) {
            (Some(a), Some(b)) => Some(a + b),
            (one, other) => one.or(other),
        };
        Self {
            connections: self.connections + other.connections,
            requests,
            bytes_in: self.bytes_in + other.bytes_in,
            bytes_out: self.bytes_out + other.bytes_out,
        }
    }
}

fn summarize(totals: &Totals, snapshot: &Snapshot, ran: Duration) -> String {
    let count = |counter| snapshot.counter(counter);
    let requests = totals.requests.map_or_else(String::new, |count| format!(", {count} requests"));
    let mut text = format!(
        "served {} connections{requests}, {} bytes in, {} bytes out, in {:.1} s\n\
         {} packets and {} bytes received, {} and {} sent, {} segments sent again\n",
        totals.connections,
        totals.bytes_in,
        totals.bytes_out,
        ran.as_secs_f64(),
        count(Counter::FramesReceived),
        count(Counter::BytesReceived),
        count(Counter::FramesSent),
        count(Counter::BytesSent),
        count(Counter::TcpRetransSegs),
    );
    let drops: Vec<String> = snapshot
        .drops
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(drop, count)| format!("{} {count}", drop.name()))
        .collect();
    if drops.is_empty() {
        text.push_str("dropped nothing\n");
    } else {
        text.push_str(&format!("dropped: {}\n", drops.join(", ")));
    }
    text
}

/// Another address of our network, for the kernel's end of a tap.
pub(crate) fn neighbour_of(ours: Ipv4Prefix) -> Ipv4Addr {
    let address = ours.address().to_bits();
    let bits = u32::MAX.checked_shl(32 - u32::from(ours.len())).unwrap_or(0);
    let first = (address & bits) + 1;
    Ipv4Addr::from_bits(if first == address { first + 1 } else { first })
}

#[cfg(test)]
mod tests {
    use darner::drops::Drop;

    use super::*;

    #[test]
    fn the_summary_names_what_was_dropped() {
        let totals = Totals { connections: 2, requests: Some(3), bytes_in: 4, bytes_out: 5 };
        let both = totals.plus(Totals { requests: Some(1), ..Totals::default() });
        let snapshot = Snapshot {
            counters: vec![(Counter::FramesReceived, 6)],
            drops: vec![(Drop::PoolEmpty, 7), (Drop::OutboxFull, 0)],
            ..Snapshot::default()
        };
        let text = summarize(&both, &snapshot, Duration::from_millis(8900));
        assert_eq!(
            text,
            "served 2 connections, 4 requests, 4 bytes in, 5 bytes out, in 8.9 s\n\
             6 packets and 0 bytes received, 0 and 0 sent, 0 segments sent again\n\
             dropped: pool-empty 7\n"
        );
    }

    #[test]
    fn a_device_that_breaks_its_word_is_told_of_once() {
        let mut mistrust = Mistrust::default();
        let snapshot = |steering| Snapshot { steering, ..Snapshot::default() };
        assert_eq!(mistrust.news(&snapshot(Verdict::Verified { packets: 9 })), None);
        let differs = snapshot(Verdict::Differs { packets: 1 });
        let warning = mistrust.news(&differs).unwrap();
        assert!(warning.contains("RSS hashes differently"), "{warning}");
        assert_eq!(mistrust.news(&differs), None);
    }

    #[test]
    fn the_kernel_gets_an_address_beside_ours() {
        for (ours, want) in [
            ("10.0.0.2/24", "10.0.0.1"),
            ("10.0.0.1/24", "10.0.0.2"),
            ("192.168.7.9/30", "192.168.7.10"),
        ] {
            assert_eq!(neighbour_of(ours.parse().unwrap()).to_string(), want);
        }
    }
}
