//! A stack on real threads that talks to itself, and what every stress test needs.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use darner::{Application, Config, DuplicateDetection, Idle, Stack, TcpListener, TcpStream};
use pmd::{Pool, QueuePair, mem};

const ADDRESS: &str = "10.0.0.1";

/// Longer than anything takes that is not stuck, on a machine that has other work too.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// How long a test goes on.
pub(crate) fn duration() -> Duration {
    let told = std::env::var("DARNER_STRESS_SECONDS").ok().and_then(|text| text.parse().ok());
    told.map_or(Duration::from_millis(1500), Duration::from_secs)
}

/// A running stack, and the pools of its devices.
pub(crate) struct World {
    stack: Stack,
    pools: Vec<Pool>,
}

impl Deref for World {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        &self.stack
    }
}

impl World {
    pub(crate) fn new(config: &Config) -> Self {
        Self::start(config, Stack::start)
    }

    /// The same with an application on each core.
    pub(crate) fn with(
        config: &Config,
        application: impl FnMut(usize) -> Box<dyn Application>,
    ) -> Self {
        Self::start(config, |config, queues| Stack::start_with(config, queues, application))
    }

    fn start(
        config: &Config,
        start: impl FnOnce(&Config, Vec<Vec<Box<dyn QueuePair>>>) -> std::io::Result<Stack>,
    ) -> Self {
        let cores = config.cores.len().max(1);
        let pools: Vec<Pool> = (0..cores).map(|_| Pool::heap(8192, 2048)).collect();
        let queues = pools.iter().map(queues_of).collect();
        Self { stack: start(config, queues).unwrap(), pools }
    }

    pub(crate) fn listen(&self) -> TcpListener {
        self.stack.listen(address()).unwrap()
    }

    /// Both ends of a connection.
    pub(crate) fn pair(&self) -> (TcpStream, TcpStream) {
        let listener = self.listen();
        let client = self.stack.connect(listener.local_addr()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// Waits until no connection is left and every frame is back in its pool, and stops the stack.
    pub(crate) fn assert_balanced(self) {
        let left = || {
            let cores = self.stack.snapshot().cores;
            let open: usize = cores.iter().map(|core| core.connection_count).sum();
            let frames: usize =
                self.pools.iter().map(|pool| pool.capacity() - pool.available()).sum();
            (open, frames, cores)
        };
        let deadline = Instant::now() + LONG;
        loop {
            let (open, frames, cores) = left();
            if (open, frames) == (0, 0) {
                break;
            }
            let late = Instant::now() > deadline;
            assert!(!late, "{open} connections and {frames} frames are left: {cores:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.stack.stop(Duration::ZERO);
        self.stack.join().unwrap();
    }
}

/// One core that sleeps when it has nothing to do. Who has closed is soon forgotten.
pub(crate) fn config() -> Config {
    let mut config = Config {
        addresses: vec![format!("{ADDRESS}/24").parse().unwrap()],
        duplicate_detection: DuplicateDetection::Off,
        idle: Idle::Sleep,
        ..Config::default()
    };
    config.tcp.time_wait = Duration::from_millis(1);
    config
}

/// The same with two cores.
pub(crate) fn two_cores() -> Config {
    Config { cores: vec![0, 1], ..config() }
}

/// The queue pairs of one core that is connected to nothing.
fn queues_of(pool: &Pool) -> Vec<Box<dyn QueuePair>> {
    let (queue, _far_end) = mem::device(pool.clone(), 1500);
    vec![Box::new(queue)]
}

/// An address of the stack that no other listener of this process has.
pub(crate) fn address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1000);
    format!("{ADDRESS}:{}", NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

/// Does something when it goes out of scope, also by a failed assertion: threads that wait for it do not wait for ever.
pub(crate) struct Finally<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Chance that repeats itself.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 to below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        // Xorshift.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit
    }

    /// Small more often than large, up to `most`, at least one.
    pub(crate) fn size(&mut self, most: usize) -> usize {
        let most = [1, 100, 1460, 10_000, most][self.below(5)].min(most);
        1 + self.below(most)
    }
}

/// The bytes of a stream from `position` on: none of another stream or place looks the same.
pub(crate) fn fill(stream: u64, position: u64, bytes: &mut [u8]) {
    for (at, byte) in (position..).zip(bytes) {
        *byte = byte_at(stream, at);
    }
}

pub(crate) fn check(stream: u64, position: u64, bytes: &[u8]) {
    for (at, &byte) in (position..).zip(bytes) {
        assert_eq!(byte, byte_at(stream, at), "stream {stream} at byte {at}");
    }
}

fn byte_at(stream: u64, position: u64) -> u8 {
    let mixed = (position ^ stream << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}
