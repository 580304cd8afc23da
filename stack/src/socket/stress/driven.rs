//! A protocol loop that the test turns: by hand, or on a thread that measures each turn.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant as Moment};

use pmd::{Pool, QueuePair, mem};

use super::world::{self, LONG, address};
use crate::api::{ConnectOptions, ListenOptions, TcpListener, TcpStream};
use crate::counters::Counter;
use crate::metrics::Metrics;
use crate::protocol::{Order, Protocol};
use crate::socket::{CoreShared, ListenerShared};
use crate::steer::Seat;
use crate::time::Instant;

/// A loop that turns when it is told to.
pub(super) struct Loop {
    protocol: Protocol,
    core: Arc<CoreShared>,
    pool: Pool,
    epoch: Moment,
}

impl Loop {
    pub(super) fn new() -> Self {
        let (config, seed) = (world::config(), [7; 32]);
        let pool = Pool::heap(8192, 2048);
        let (queue, _far_end) = mem::device(pool.clone(), 1500);
        let queues: Vec<Box<dyn QueuePair>> = vec![Box::new(queue)];
        let seat = Seat::alone(&config, &queues, seed).unwrap();
        let core = seat.shared.clone();
        let protocol = Protocol::on_core(&config, queues, None, seed, seat).unwrap();
        Self { protocol, core, pool, epoch: Moment::now() }
    }

    /// One turn; how much it did.
    pub(super) fn turn(&mut self) -> usize {
        self.turn_at(self.now())
    }

    /// What the time is for it.
    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap())
    }

    pub(super) fn turn_at(&mut self, now: Instant) -> usize {
        self.protocol.turn(now).work
    }

    /// Both ends of a connection.
    pub(super) fn pair(&mut self) -> (TcpStream, TcpStream) {
        let (listener, answered) = listen(&self.core, ListenOptions::default());
        self.turn();
        answered.recv().unwrap().unwrap();
        let (answer, answered) = sync_channel(1);
        let SocketAddr::V4(remote) = listener.local_addr() else { unreachable!() };
        self.core.order(Order::Connect {
            local: None,
            remote,
            options: ConnectOptions::default(),
            answer,
        });
        while self.turn() > 0 {}
        let client = answered.recv().unwrap().unwrap();
        (client, listener.accept().unwrap().0)
    }
}

/// A loop on a thread of its own.
pub(super) struct Driven {
    core: Arc<CoreShared>,
    metrics: Arc<Metrics>,
    pool: Pool,
    phase: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Turns>,
}

/// How long turns took, in each phase.
pub(super) type Turns = [Vec<Duration>; 2];

impl Driven {
    /// `prepare` is called on its thread.
    pub(super) fn start(prepare: impl FnOnce() + Send + 'static) -> Self {
        let (started, starting) = sync_channel(1);
        let phase = Arc::new(AtomicUsize::new(0));
        let stopping = Arc::new(AtomicBool::new(false));
        let (now, end) = (phase.clone(), stopping.clone());
        let thread = thread::spawn(move || {
            prepare();
            let mut driven = Loop::new();
            let metrics = driven.protocol.metrics().clone();
            started.send((driven.core.clone(), metrics, driven.pool.clone())).unwrap();
            let mut turns = Turns::default();
            while !end.load(Ordering::Relaxed) {
                let began = Moment::now();
                let work = driven.turn();
                turns[now.load(Ordering::Relaxed)].push(began.elapsed());
                if work == 0 {
                    thread::sleep(Duration::from_micros(20));
                }
            }
            turns
        });
        let (core, metrics, pool) = starting.recv().unwrap();
        Self { core, metrics, pool, phase, stopping, thread }
    }

    /// From now on turns count for this phase.
    pub(super) fn enter(&self, phase: usize) {
        self.phase.store(phase, Ordering::Relaxed);
    }

    pub(super) fn count(&self, counter: Counter) -> u64 {
        self.metrics.counter(counter)
    }

    pub(super) fn listen(&self, backlog: u32) -> TcpListener {
        let (listener, answered) = listen(&self.core, ListenOptions::with_backlog(backlog));
        answered.recv_timeout(LONG).unwrap().unwrap();
        listener
    }

    pub(super) fn connect(&self, to: SocketAddr) -> TcpStream {
        let (answer, answered) = sync_channel(1);
        let SocketAddr::V4(remote) = to else { unreachable!() };
        self.core.order(Order::Connect {
            local: None,
            remote,
            options: ConnectOptions::default(),
            answer,
        });
        let mut stream = answered.recv_timeout(LONG).unwrap().unwrap();
        stream.set_nonblocking(false);
        stream.wait_connected(Some(Moment::now() + LONG)).unwrap();
        stream
    }

    /// Both ends of a connection.
    pub(super) fn pair(&self) -> (TcpStream, TcpStream) {
        let listener = self.listen(1);
        let client = self.connect(listener.local_addr());
        (client, listener.accept().unwrap().0)
    }

    /// Waits until nothing is left, and ends the loop.
    pub(super) fn stop(self) -> Turns {
        let deadline = Moment::now() + LONG;
        loop {
            let (answer, answered) = sync_channel(1);
            self.core.order(Order::Snapshot(answer));
            let open = answered.recv_timeout(LONG).unwrap().connection_count;
            let frames = self.pool.capacity() - self.pool.available();
            if (open, frames) == (0, 0) {
                break;
            }
            let late = Moment::now() > deadline;
            assert!(!late, "{open} connections and {frames} frames are left");
            thread::sleep(Duration::from_millis(1));
        }
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

type Answered = std::sync::mpsc::Receiver<std::io::Result<()>>;

fn listen(core: &Arc<CoreShared>, options: ListenOptions) -> (TcpListener, Answered) {
    let shared = ListenerShared::new(address(), options, 1);
    let (answer, answered) = sync_channel(1);
    core.order(Order::Listen(shared.clone(), answer));
    (TcpListener::new(shared, vec![core.clone()]), answered)
}
