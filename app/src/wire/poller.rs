//! The thread that runs a bridge in real time.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use pmd::sim::Statistics;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};

use crate::settings::Idle;

use super::bridge::{Bridge, Directions, Turn};

/// A running bridge.
pub(crate) struct Poller {
    thread: JoinHandle<Bridge>,
    stop: Arc<AtomicBool>,
    reports: Receiver<Directions<Statistics>>,
}

/// Longest sleep while a device must be polled, for want of a descriptor to wait on: what it may add to the delay.
const NAP: Duration = Duration::from_micros(50);
/// Longest sleep otherwise, and how often the counters are told.
const REPORT_EVERY: Duration = Duration::from_millis(250);

impl Poller {
    /// Starts it on a CPU, or wherever the kernel puts it.
    pub(crate) fn start(bridge: Bridge, cpu: Option<usize>, idle: Idle) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, reports) = bounded(1);
        let asked = stop.clone();
        let (placed, place) = bounded(1);
        let thread = Builder::new().name("wire".to_owned()).spawn(move || {
            let _ = placed.send(prepare_thread(cpu));
            run(bridge, idle, &asked, &tell)
        })?;
        let poller = Self { thread, stop, reports };
        match place.recv() {
            Ok(Err(error)) => {
                poller.stop();
                Err(error)
            }
            _ => Ok(poller),
        }
    }

    /// Gets the counters a few times per second, as long as the bridge runs.
    pub(crate) fn reports(&self) -> &Receiver<Directions<Statistics>> {
        &self.reports
    }

    /// Ends it; `None` if it has panicked.
    pub(crate) fn stop(self) -> Option<Bridge> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok()
    }
}

fn prepare_thread(cpu: Option<usize>) -> io::Result<()> {
    // The kernel may by default wake up a sleeper 50 us late, to save power. Without the permission it still works.
    let _ = set_current_timer_slack(NonZero::new(TIMER_SLACK));
    let Some(cpu) = cpu else { return Ok(()) };
    let mut cpus = CpuSet::new();
    // A CPU beyond the kernel's set would be written behind it.
    if cpu < CpuSet::MAX_CPU {
        cpus.set(cpu);
    }
    sched_setaffinity(None, &cpus).map_err(|_| {
        let message =
            format!("cannot run on CPU {cpu}: this process may not use it (see `taskset -p $$`)");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

/// In nanoseconds.
const TIMER_SLACK: u64 = 1_000;

fn run(
    mut bridge: Bridge,
    idle: Idle,
    stop: &AtomicBool,
    tell: &Sender<Directions<Statistics>>,
) -> Bridge {
    let start = Instant::now();
    let mut next_report = REPORT_EVERY;
    while !stop.load(Ordering::Relaxed) {
        let now = start.elapsed();
        let turn = bridge.turn(nanos(now));
        if now >= next_report {
            // Who has not read the last report does not miss this one.
            let _ = tell.try_send(bridge.statistics());
            next_report = now + REPORT_EVERY;
        }
        match turn {
            Turn::Moved => {}
            _ if idle == Idle::Spin => std::hint::spin_loop(),
            _ if idle == Idle::Yield => std::thread::yield_now(),
            Turn::Blocked => std::thread::sleep(NAP),
            Turn::Idle => sleep(&bridge, start),
        }
    }
    bridge
}

/// Sleeps until a device has frames or the next one on the wire is due.
fn sleep(bridge: &Bridge, start: Instant) {
    let descriptors = bridge.wait_descriptors();
    let longest = if descriptors.iter().any(Option::is_none) { NAP } else { REPORT_EVERY };
    let due = bridge.next_due().map(|due| due.saturating_sub(nanos(start.elapsed())));
    let span = due.map_or(longest, |due| longest.min(Duration::from_nanos(due)));
    let timeout = Timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: span.subsec_nanos().into(),
    };
    let mut waits: Vec<PollFd<'_>> = descriptors
        .iter()
        .flatten()
        .map(|descriptor| PollFd::from_borrowed_fd(*descriptor, PollFlags::IN))
        .collect();
    // Interrupted or not: the next turn looks at everything.
    let _ = poll(&mut waits, Some(&timeout));
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
