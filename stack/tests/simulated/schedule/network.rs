//! Two or three whole stacks at a switch, with applications that act when a schedule says so.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use darner::time::Instant;
use darner::{
    Application, Config, Core, DuplicateDetection, ErrorMapping, Protocol, Readiness, TcpConfig,
    Token,
};
use pmd::pcap::{self, Recording};
use pmd::sim::{self, EndId, Sim, Way, Wire};
use pmd::{Pool, QueuePair};

use super::model::Verdict;

pub(super) struct Network {
    sim: Sim,
    pub(super) stacks: Vec<Protocol>,
    ends: Vec<EndId>,
    pools: Vec<Pool>,
    recordings: Vec<Recording>,
    /// The stacks whose frames may be lost.
    bad: Vec<bool>,
}

impl Network {
    /// What each stack sends and receives is recorded, if so, to files whose names begin with `pcap`.
    pub(super) fn new(seed: u64, count: usize, pcap: Option<&str>) -> Self {
        let mut sim = Sim::new(seed);
        let pools: Vec<Pool> = (0..count).map(|_| Pool::heap(4096, 2048)).collect();
        let ends = pools.iter().zip(1..).map(|(pool, n)| sim::End::new(n).with_pool(pool.clone()));
        let queues = sim.switch(ends.collect::<Vec<_>>(), wire());
        let ends = queues.iter().map(sim::SimQueue::id).collect();
        let mut recordings = Vec::new();
        let mut stacks = Vec::new();
        for (index, queue) in queues.into_iter().enumerate() {
            let mut queue: Box<dyn QueuePair + Send> = Box::new(queue);
            if let Some(stem) = pcap {
                let file = File::create(format!("{stem}-{index}.pcap")).unwrap();
                let clock = sim.clock();
                let clock = move || Duration::from_nanos(clock());
                let (tap, recording) =
                    pcap::record(queue, file, pcap::Options::default(), clock).unwrap();
                queue = Box::new(tap);
                recordings.push(recording);
            }
            let mut key = [index as u8; 32];
            key[..8].copy_from_slice(&seed.to_ne_bytes());
            stacks.push(Protocol::new(&config(index), vec![queue], Box::new(Idle), key).unwrap());
        }
        let mut network = Self { sim, stacks, ends, pools, recordings, bad: vec![false; count] };
        network.pass(Duration::from_millis(10));
        network
    }

    pub(super) fn now(&self) -> Instant {
        Instant::from_nanos(self.sim.now())
    }

    /// What becomes of the frames that a stack sends from now on, in per mille.
    pub(super) fn change(&mut self, stack: usize, [loss, reorder, duplicate, corrupt]: [u16; 4]) {
        self.bad[stack] = loss > 0;
        let share = |per_mille: u16| f64::from(per_mille) / 1000.0;
        self.sim.change(self.ends[stack], Way::Out, |wire| {
            wire.loss = share(loss);
            wire.reorder = share(reorder);
            wire.duplicate = share(duplicate);
            wire.corrupt = share(corrupt);
        });
    }

    /// Whether frames may be lost somewhere.
    pub(super) fn is_bad(&self) -> bool {
        self.bad.contains(&true)
    }

    /// Lets time pass, with everything that happens in it.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now() + span;
        loop {
            self.settle();
            let arrival = self.sim.next_event().map(Instant::from_nanos);
            let next = self.stacks.iter().filter_map(Protocol::next_deadline).chain(arrival).min();
            let Some(next) = next.filter(|&next| next <= end) else { break };
            self.sim.advance(next.max(self.now()).as_nanos());
        }
        self.sim.advance(end.as_nanos());
        self.settle();
    }

    /// Turns all stacks until none has anything to do at this moment.
    pub(super) fn settle(&mut self) {
        let now = self.now();
        while self.stacks.iter_mut().any(|stack| stack.turn(now).is_busy()) {}
    }

    /// Judges what is left when no application has a socket and every patience has run out, then stops the stacks.
    pub(super) fn finish(mut self) -> Verdict {
        for stack in &self.stacks {
            let left = stack.snapshot();
            if left.connection_count != 0 || left.buffered != 0 {
                return Err(format!(
                    "{} connections and {} buffered bytes are left: {:?}",
                    left.connection_count, left.buffered, left.connections
                ));
            }
            if let Some(deadline) = stack.next_deadline() {
                return Err(format!(
                    "a timer is left for {deadline:?}, and it is {:?}",
                    self.now()
                ));
            }
        }
        let now = self.now();
        self.stacks.iter_mut().for_each(|stack| stack.stop(now));
        if !self.stacks.iter_mut().all(|stack| stack.turn(now).finished) {
            return Err("a stack with nothing left to do does not stop".to_owned());
        }
        self.pools.push(self.sim.copies());
        drop((self.stacks, self.sim));
        for recording in self.recordings {
            recording.finish().unwrap();
        }
        match self.pools.iter().map(|pool| pool.capacity() - pool.available()).sum() {
            0_usize => Ok(()),
            kept => Err(format!("{kept} frames did not come back")),
        }
    }
}

pub(super) fn address(stack: usize) -> SocketAddr {
    ([10, 0, 0, 1 + stack as u8], 80).into()
}

fn wire() -> Wire {
    let millisecond = Duration::from_millis(1);
    Wire { delay: millisecond, reorder_by: 3 * millisecond, ..Wire::default() }
}

/// Nobody gives up before a schedule is over, so every error has a cause in it.
fn config(stack: usize) -> Config {
    Config {
        addresses: vec![format!("{}/24", address(stack).ip()).parse().unwrap()],
        duplicate_detection: DuplicateDetection::Off,
        tcp: TcpConfig {
            receive_buffer: 1 << 16,
            send_buffer: 1 << 16,
            fin_wait_2: Duration::from_secs(3600),
            syn_retries: 15,
            syn_ack_retries: 15,
            orphan_retries: 15,
            max_rto: Duration::from_secs(10),
            // The model tells a reset from the end of a stream.
            errors: ErrorMapping::FreeBsd,
            ..TcpConfig::default()
        },
        ..Config::default()
    }
}

/// Does nothing of its own.
struct Idle;

impl Application for Idle {
    fn start(&mut self, _: &mut Core<'_>) -> io::Result<()> {
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}
}
