//! A running stack: its protocol threads, from start to stop.

use std::io;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use pmd::QueuePair;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::api::{Application, Waker};
use crate::config::{Config, invalid};
use crate::metrics::Metrics;
use crate::protocol::thread::{self, Placement, ProtocolThread};
use crate::protocol::{Order, Protocol};
use crate::snapshot::Snapshot;
use crate::socket::CoreShared;

/// A TCP/IP stack that runs: one protocol thread per core.
///
/// Dropping it stops it at once; [`stop`](Self::stop) gives its connections time to close.
pub struct Stack {
    threads: Vec<ProtocolThread>,
}

/// A protocol thread panicked. Its connections are gone; the other cores have gone on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the protocol thread of core {core} panicked")]
pub struct ThreadPanicked {
    /// Which core it was.
    pub core: usize,
}

/// How long a core has to answer a request for a snapshot.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

impl Stack {
    /// Starts one protocol thread per core. `queues` holds the queue pairs of each core in turn, and `application` makes
    /// each core's application from the core's index. Returns when every application has started.
    ///
    /// # Errors
    ///
    /// What [`Config::check`] finds wrong; as many cores as `queues` has not; a CPU that this process may not use; what
    /// an application gave when it started. Nothing is left running then.
    pub fn start(
        config: &Config,
        queues: Vec<Vec<Box<dyn QueuePair>>>,
        mut application: impl FnMut(usize) -> Box<dyn Application>,
    ) -> io::Result<Self> {
        let cores = config.cores.len().max(1);
        if queues.len() != cores {
            let message =
                format!("{cores} cores want queue pairs each, {} lists were given", queues.len());
            return Err(invalid(message));
        }
        let mut seeds = ChaCha12Rng::from_seed(match config.seed {
            Some(seed) => seed,
            None => random_seed()?,
        });
        let epoch = std::time::Instant::now();
        let mut stack = Self { threads: Vec::with_capacity(cores) };
        for (index, queues) in queues.into_iter().enumerate() {
            let shared = CoreShared::new(index, config.tcp.max_connections)?;
            let placement =
                Placement { cpu: config.cores.get(index).copied(), idle: config.idle, epoch };
            let mut seed = [0; 32];
            seeds.fill_bytes(&mut seed);
            let (config, application) = (config.clone(), application(index));
            stack.threads.push(thread::start(shared, placement, move |shared| {
                Protocol::on_core(&config, queues, application, seed, shared)
            })?);
        }
        Ok(stack)
    }

    /// What the stack does, and with whom. A core that does not answer within a second is left out.
    pub fn snapshot(&self) -> Snapshot {
        let answers: Vec<_> = self
            .threads
            .iter()
            .map(|thread| {
                let (answer, answered) = sync_channel(1);
                thread.shared.order(Order::Snapshot(answer));
                answered
            })
            .collect();
        let cores =
            answers.iter().filter_map(|answer| answer.recv_timeout(ANSWER_WITHIN).ok()).collect();
        Snapshot::new(cores, self.metrics())
    }

    /// Calls the application of core `index` from any thread. `None` when there is no such core.
    pub fn waker(&self, index: usize) -> Option<Waker> {
        self.threads.get(index).map(|thread| Waker::new(thread.shared.clone()))
    }

    /// Whether every protocol thread has ended: because the stack was stopped, or they panicked.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(|thread| thread.handle.is_finished())
    }

    /// Asks every core to stop: applications end, connections close in good order, and after `deadline` what is left is
    /// reset. Does not wait: see [`join`](Self::join).
    pub fn stop(&self, deadline: Duration) {
        for thread in &self.threads {
            thread.shared.order(Order::Stop(deadline));
        }
    }

    /// Waits until every protocol thread has ended, and returns the last state of the counters.
    ///
    /// # Errors
    ///
    /// [`ThreadPanicked`] for the first core whose thread did.
    pub fn join(mut self) -> Result<Snapshot, ThreadPanicked> {
        let mut outcome = Ok(());
        let mut last = Vec::new();
        for thread in self.threads.drain(..) {
            let core = thread.shared.index;
            if thread.handle.join().is_err() {
                outcome = outcome.and(Err(ThreadPanicked { core }));
            }
            last.push(thread.metrics);
        }
        outcome.map(|()| Snapshot::new(Vec::new(), last.iter().map(AsRef::as_ref)))
    }

    fn metrics(&self) -> impl Iterator<Item = &Metrics> + Clone {
        self.threads.iter().map(|thread| thread.metrics.as_ref())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
        for thread in self.threads.drain(..) {
            let _ = thread.handle.join();
        }
    }
}

fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
    Ok(seed)
}
