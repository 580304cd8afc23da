//! The thread that runs a bridge in real time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use pmd::sim::Statistics;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
    pub(crate) fn start(bridge: Bridge) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, reports) = bounded(1);
        let asked = stop.clone();
        let thread =
            Builder::new().name("wire".to_owned()).spawn(move || run(bridge, &asked, &tell))?;
        Ok(Self { thread, stop, reports })
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

fn run(mut bridge: Bridge, stop: &AtomicBool, tell: &Sender<Directions<Statistics>>) -> Bridge {
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
