//! The thread that drives a [`Protocol`] in real time, pinned to its core.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use core_affinity::CoreId;
use rustix::thread::CpuSet;

use super::Protocol;
use super::rest::{Rest, Rested};
use crate::clock::Clock;
use crate::config::Idle;
use crate::counters::Counter;
use crate::metrics::Metrics;
use crate::socket::CoreShared;

/// A running protocol thread.
pub(crate) struct ProtocolThread {
    pub(crate) shared: Arc<CoreShared>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) handle: JoinHandle<()>,
}

/// How a protocol thread runs.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    /// The CPU that it is pinned to; `None`: wherever the kernel puts it.
    pub(crate) cpu: Option<usize>,
    pub(crate) idle: Idle,
    pub(crate) clock: Clock,
}

/// Starts a thread that makes a protocol and runs it until it is stopped. Returns once the application has started.
///
/// # Errors
///
/// What `make` gave, or that the thread could not be started.
pub(crate) fn start(
    shared: Arc<CoreShared>,
    placement: Placement,
    make: impl FnOnce() -> io::Result<Protocol> + Send + 'static,
) -> io::Result<ProtocolThread> {
    let (started, starting) = sync_channel(1);
    let for_thread = shared.clone();
    let handle = Builder::new()
        .name(format!("darner-{}", shared.index))
        .spawn(move || run(for_thread, placement, make, &started))?;
    match wait_for_start(&starting) {
        Ok(metrics) => Ok(ProtocolThread { shared, metrics, handle }),
        Err(error) => {
            // The thread has ended, or is about to: it gave its only sender's last word.
            let _ = handle.join();
            Err(error)
        }
    }
}

fn wait_for_start(starting: &Receiver<io::Result<Arc<Metrics>>>) -> io::Result<Arc<Metrics>> {
    starting
        .recv()
        .map_err(|_| io::Error::other("the protocol thread panicked while it started"))?
}

fn run(
    shared: Arc<CoreShared>,
    placement: Placement,
    make: impl FnOnce() -> io::Result<Protocol>,
    started: &SyncSender<io::Result<Arc<Metrics>>>,
) {
    if let Some(id) = placement.cpu
        && !pin_to(id)
    {
        let message =
            format!("cannot run on CPU {id}: this process may not use it (see `taskset -p $$`)");
        let _ = started.send(Err(io::Error::new(io::ErrorKind::InvalidInput, message)));
        return;
    }
    match make() {
        Ok(mut protocol) => {
            let _ = started.send(Ok(protocol.metrics().clone()));
            turn_until_finished(&mut protocol, &shared, placement);
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    }
}

fn pin_to(cpu: usize) -> bool {
    // A CPU beyond the kernel's set would be written behind it.
    cpu < CpuSet::MAX_CPU && core_affinity::set_for_current(CoreId { id: cpu })
}

fn turn_until_finished(protocol: &mut Protocol, shared: &CoreShared, placement: Placement) {
    let Placement { clock, idle, .. } = placement;
    let mut rest = Rest::new(idle);
    let mut now = clock.now();
    loop {
        // The counters of two CPUs may differ, and nobody says that this thread stays where it is.
        now = now.max(clock.now());
        let turn = protocol.turn(now);
        if turn.finished {
            return;
        }
        if turn.work > 0 {
            rest.work();
            continue;
        }
        if rest.rest(now, || protocol.next_deadline(), &protocol.queues, shared) == Rested::Slept {
            protocol.metrics().count(Counter::Rests);
        }
    }
}
