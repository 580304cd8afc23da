//! Two stacks at the ends of a path, and the clock that drives all three.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use darner::counters::Counter;
use darner::time::Instant;
use darner::{Config, CongestionAlgorithm, ConnectionInfo, EcnPolicy, Protocol, TcpConfig};
use pmd::Pool;
use pmd::sim::{End, EndId, Sim, Way};

use crate::flows::{Delivered, Sink, Source};
use crate::path::{FRAME, Path, Queue};

/// A source, a sink, and what lies between.
pub(crate) struct TwoEnds {
    pub(crate) sim: Sim,
    source: Protocol,
    sink: Protocol,
    pub(crate) source_end: EndId,
    pub(crate) delivered: Delivered,
    connected: Arc<Mutex<Vec<Instant>>>,
    flows: u64,
}

impl TwoEnds {
    pub(crate) fn new(seed: u64, path: &Path, congestion: CongestionAlgorithm, flows: u64) -> Self {
        let mut sim = Sim::new(seed);
        let on_the_way = (path.product() + path.queue_bytes()) / FRAME;
        let frames = (2 * on_the_way as usize + 4096).next_power_of_two().min(1 << 17);
        let end = |tag| End::new(tag).with_pool(Pool::heap(frames, 2048));
        let (left, right) = sim.link(end(1), end(2), path.back());
        let source_end = left.id();
        sim.change(source_end, Way::Out, |wire| *wire = path.forth(false));
        let to = SocketAddr::from(([10, 0, 0, 2], 80));
        let (source, sink) = (Source::new(to, flows), Sink::new(to));
        let (connected, delivered) = (source.connected.clone(), sink.delivered.clone());
        let config = |address: &str| Config {
            addresses: vec![address.parse().unwrap()],
            tcp: tcp(path, congestion, flows),
            ..Config::default()
        };
        let source =
            Protocol::new(&config("10.0.0.1/24"), vec![Box::new(left)], Box::new(source), [1; 32]);
        let sink =
            Protocol::new(&config("10.0.0.2/24"), vec![Box::new(right)], Box::new(sink), [2; 32]);
        let (source, sink) = (source.unwrap(), sink.unwrap());
        Self { sim, source, sink, source_end, delivered, connected, flows }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(self.sim.now())
    }

    /// Runs until every flow is connected; from then on the path is as bad as it is.
    pub(crate) fn connect(&mut self, path: &Path) {
        let flows = self.flows as usize;
        let connected = self.connected.clone();
        let made = self.run(Duration::from_secs(30), |_| connected.lock().unwrap().len() == flows);
        assert!(made, "{path}: every flow connects");
        self.sim.change(self.source_end, Way::Out, |wire| *wire = path.forth(true));
    }

    /// Bytes that each flow has delivered.
    pub(crate) fn shares(&self) -> Vec<u64> {
        self.delivered.lock().unwrap().values().copied().collect()
    }

    pub(crate) fn total(&self) -> u64 {
        self.shares().iter().sum()
    }

    /// Bytes that have arrived, as far as the source knows, and wait for others before them. A cell may end in the recovery from slow start's overshoot, with as
    /// much behind its gaps as the path and the queue hold several times over: the path has carried that, which is what floors are about.
    pub(crate) fn behind_gaps(&self) -> u64 {
        self.connections().iter().map(|info| u64::from(info.selectively_acknowledged)).sum()
    }

    /// Segments sent, and how many of them again.
    pub(crate) fn segments(&self) -> (u64, u64) {
        let metrics = self.source.metrics();
        let again = metrics.counter(Counter::TcpRetransSegs);
        (metrics.counter(Counter::TcpOutSegs) + again, again)
    }

    pub(crate) fn counter(&self, counter: Counter) -> u64 {
        self.source.metrics().counter(counter)
    }

    /// The source's connections.
    pub(crate) fn connections(&self) -> Vec<ConnectionInfo> {
        self.source.snapshot().connections
    }

    /// Runs until `done`, or `span` of virtual time has passed. Says whether `done`.
    pub(crate) fn run(&mut self, span: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now() + span;
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            let next = [
                self.sim.next_event().map(Instant::from_nanos),
                self.source.next_deadline(),
                self.sink.next_deadline(),
            ];
            match next.into_iter().flatten().min() {
                Some(next) if next <= end => self.sim.advance(next.max(self.now()).as_nanos()),
                _ => {
                    self.sim.advance(end.as_nanos());
                    self.settle();
                    return done(self);
                }
            }
        }
    }

    fn settle(&mut self) {
        let now = self.now();
        loop {
            let source = self.source.turn(now);
            let sink = self.sink.turn(now);
            if !source.is_busy() && !sink.is_busy() {
                return;
            }
        }
    }
}

/// Buffers are no limit here: each flow can have the whole path, and for all together there is more to send than any cell lasts.
fn tcp(path: &Path, congestion: CongestionAlgorithm, flows: u64) -> TcpConfig {
    let buffer = (8 * (path.product() + path.queue_bytes())).clamp(1 << 20, 1 << 29) as usize;
    let offered = (1 << 27) / flows as usize;
    let counted = path.queue == Queue::Counting;
    TcpConfig {
        ecn: if counted { EcnPolicy::AskAccurate } else { EcnPolicy::default() },
        receive_buffer: buffer,
        send_buffer: buffer.min(offered),
        max_buffered: 1 << 30,
        congestion,
        ..TcpConfig::default()
    }
}
