//! A running stack: its protocol threads, from start to stop.

use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use darner_ring::fork;
use pmd::QueuePair;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::api::Application;
use crate::clock::Clock;
use crate::config::{Config, invalid};
use crate::protocol::Protocol;
use crate::protocol::thread::{self, Placement, ProtocolThread};
use crate::rng::Rng;
use crate::snapshot::Snapshot;
use crate::socket::Places;
use crate::socket::thread::refuse_child;
use crate::steer::seats;
use crate::udp;

mod application_thread;
mod handle;

pub use application_thread::{ApplicationPanicked, ApplicationThread};
pub use handle::StackHandle;

/// A TCP/IP stack that runs: one protocol thread per core.
///
/// Any thread opens sockets on it ([`listen`](StackHandle::listen), [`connect`](StackHandle::connect),
/// [`bind_udp`](StackHandle::bind_udp)), and uses them as it would use those of `std::net`. An [`Application`] runs on the
/// protocol threads themselves ([`start_with`](Self::start_with)), or on a thread of its own ([`spawn`](Self::spawn)).
///
/// Dropping the stack stops it at once; [`stop`](StackHandle::stop) gives its connections time to close. Sockets may outlive
/// it: their calls give errors. So do all calls in a forked child, where nobody serves them (`EBADF`).
///
/// ```no_run
/// use std::io::{Read, Write};
///
/// # fn main() -> std::io::Result<()> {
/// # let queues = vec![];
/// let config = darner::Config { addresses: vec!["10.0.0.2/24".parse().unwrap()], ..Default::default() };
/// let stack = darner::Stack::start(&config, queues)?;
/// let listener = stack.listen("0.0.0.0:7".parse().unwrap())?;
/// loop {
///     let (mut stream, _) = listener.accept()?;
///     std::thread::spawn(move || -> std::io::Result<()> {
///         let mut bytes = [0; 4096];
///         loop {
///             match stream.read(&mut bytes)? {
///                 0 => return Ok(()),
///                 len => stream.write_all(&bytes[..len])?,
///             }
///         }
///     });
/// }
/// # }
/// ```
pub struct Stack {
    threads: Vec<ProtocolThread>,
    handle: StackHandle,
    clock: Clock,
    /// Applications that were ever given a thread of their own.
    spawned: AtomicUsize,
}

/// A protocol thread panicked. Its connections are gone; the other cores have gone on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the protocol thread of core {core} panicked")]
pub struct ThreadPanicked {
    /// Which core it was.
    pub core: usize,
}

impl Stack {
    /// Starts one protocol thread per core. `queues` holds the queue pairs of each core in turn. A core may
    /// have none, as long as others have: they receive and send for it.
    ///
    /// # Errors
    ///
    /// What [`Config::check`] finds wrong; as many cores as `queues` has not; a CPU that this process may not use; `EBADF` in a
    /// forked child of a process that has had a stack. Nothing is left running then.
    pub fn start(config: &Config, queues: Vec<Vec<Box<dyn QueuePair>>>) -> io::Result<Self> {
        Self::start_each(config, queues, |_| None)
    }

    /// Starts one protocol thread per core, and an application on each: `application` makes them from the core's index.
    /// Returns when every application has started.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and what an application gave when it started.
    pub fn start_with(
        config: &Config,
        queues: Vec<Vec<Box<dyn QueuePair>>>,
        mut application: impl FnMut(usize) -> Box<dyn Application>,
    ) -> io::Result<Self> {
        Self::start_each(config, queues, |index| Some(application(index)))
    }

    fn start_each(
        config: &Config,
        queues: Vec<Vec<Box<dyn QueuePair>>>,
        mut application: impl FnMut(usize) -> Option<Box<dyn Application>>,
    ) -> io::Result<Self> {
        let cores = config.cores.len().max(1);
        if queues.len() != cores {
            let message =
                format!("{cores} cores want queue pairs each, {} lists were given", queues.len());
            return Err(invalid(message));
        }
        refuse_child()?;
        fork::watch();
        let mut seeds = ChaCha12Rng::from_seed(match config.seed {
            Some(seed) => seed,
            None => random_seed()?,
        });
        let clock = Clock::start();
        let mut seed = [0; 32];
        seeds.fill_bytes(&mut seed);
        let (steering, seats) = seats(config, &queues, &mut Rng::new(seed))?;
        let mut config = config.clone();
        if config.tcp.fast_open.key.is_none() {
            // Any core may be asked to take what another has handed out.
            let mut key = [0; 16];
            seeds.fill_bytes(&mut key);
            config.tcp.fast_open.key = Some(key);
        }
        let mut threads = Starting(Vec::with_capacity(cores));
        for (index, (queues, seat)) in queues.into_iter().zip(seats).enumerate() {
            let placement = Placement {
                cpu: config.cores.get(index).copied(),
                idle: config.idle,
                clock: clock.clone(),
            };
            seeds.fill_bytes(&mut seed);
            let (config, application) = (config.clone(), application(index));
            let shared = seat.shared.clone();
            threads.0.push(thread::start(shared, placement, move || {
                Protocol::on_core(&config, queues, application, seed, seat)
            })?);
        }
        let threads = std::mem::take(&mut threads.0);
        let handle = StackHandle::new(
            threads.iter().map(|thread| thread.shared.clone()).collect(),
            threads.iter().map(|thread| thread.metrics.clone()).collect(),
            config.tcp.ephemeral_ports.clone(),
            steering,
        );
        Ok(Self { threads, handle, clock, spawned: AtomicUsize::new(0) })
    }

    /// A handle for other threads.
    pub fn handle(&self) -> StackHandle {
        self.handle.clone()
    }

    /// Runs an application on a thread of its own: the same object that [`start_with`](Self::start_with) runs on a protocol
    /// thread. Its listeners take connections of all cores. Returns when it has started.
    ///
    /// Applications are dealt out over the cores, beginning with the first: [`Core::index`](crate::Core::index) tells each
    /// which core its connections begin with.
    ///
    /// # Errors
    ///
    /// What the application gave when it started, or that no thread could be started.
    pub fn spawn(&self, application: Box<dyn Application>) -> io::Result<ApplicationThread> {
        let home = self.spawned.fetch_add(1, Ordering::Relaxed) % self.threads.len().max(1);
        ApplicationThread::spawn(self.handle.clone(), self.clock.clone(), home, application)
    }

    /// Whether every protocol thread has ended: because the stack was stopped, or they panicked.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(|thread| thread.handle.is_finished())
    }

    /// Waits until every protocol thread has ended, and returns the last state of the counters.
    ///
    /// # Errors
    ///
    /// [`ThreadPanicked`] for the first core whose thread did.
    pub fn join(mut self) -> Result<Snapshot, ThreadPanicked> {
        join(&mut self.threads)?;
        Ok(Snapshot::new(Vec::new(), self.handle.metrics(), self.handle.steering()))
    }
}

/// What any thread may ask of it.
impl Deref for Stack {
    type Target = StackHandle;

    fn deref(&self) -> &StackHandle {
        &self.handle
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        stop_and_join(&mut self.threads);
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("cores", &self.threads.len()).finish_non_exhaustive()
    }
}

/// Threads of a stack that has not started as a whole: stopped, unless they are taken out.
struct Starting(Vec<ProtocolThread>);

impl Drop for Starting {
    fn drop(&mut self) {
        stop_and_join(&mut self.0);
    }
}

fn stop_and_join(threads: &mut Vec<ProtocolThread>) {
    for thread in &*threads {
        thread.shared.order(crate::protocol::Order::Stop(Duration::ZERO));
    }
    let _who_panicked_is_gone_too = join(threads);
}

fn join(threads: &mut Vec<ProtocolThread>) -> Result<(), ThreadPanicked> {
    if fork::is_child() {
        // They have stayed with the parent.
        threads.clear();
    }
    let mut outcome = Ok(());
    for thread in threads.drain(..) {
        let core = thread.shared.index;
        if thread.handle.join().is_err() {
            outcome = outcome.and(Err(ThreadPanicked { core }));
        }
    }
    outcome
}

/// How many sockets of each kind a core may have.
pub(crate) fn places(config: &Config) -> Places {
    let connections = config.tcp.max_connections.next_multiple_of(crate::table::BLOCK);
    Places {
        tcp: u32::try_from(connections).unwrap_or(u32::MAX),
        udp: u32::try_from(udp::MOST_SOCKETS).unwrap_or(u32::MAX),
    }
}

fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty())?;
    Ok(seed)
}
