//! A simulated network in virtual time: wires that delay, lose, reorder, duplicate and corrupt, by a seed.
//!
//! A [`Sim`] is the network and its clock. [`Sim::link`] lays a wire between two ends, [`Sim::switch`] joins any number of
//! ends by a learning switch; each end is a [`QueuePair`](crate::QueuePair) with an Ethernet address of its own. What a
//! wire does to frames is a [`Wire`], one for each direction.
//!
//! Time stands still until [`Sim::advance`] moves it, and is counted in nanoseconds since the simulation's start. Chance
//! comes from the seed alone, with a sequence of its own for each direction: the same seed and the same calls give the
//! same trace, and traffic in one direction does not change the fate of frames in another.
//!
//! ```
//! use std::time::Duration;
//! use pmd::{Burst, Pool, QueuePair};
//! use pmd::sim::{End, Sim, Way, Wire};
//!
//! let mut sim = Sim::new(7);
//! let wire = Wire { delay: Duration::from_millis(5), ..Wire::default() };
//! let (mut left, mut right) = sim.link(End::new(1), End::new(2), wire);
//!
//! let mut burst = Burst::new();
//! burst.push(left.info().pool.frame_of(&[0; 60]).unwrap()).unwrap();
//! left.tx_burst(&mut burst);
//! assert_eq!(right.rx_burst(&mut burst), 0, "still on its way");
//!
//! assert_eq!(sim.next_event(), Some(5_000_000));
//! sim.advance(5_000_000);
//! assert_eq!(right.rx_burst(&mut burst), 1);
//! assert_eq!(sim.statistics(right.id(), Way::In).delivered, 1);
//!
//! // The wire breaks.
//! sim.change(left.id(), Way::Out, |wire| wire.loss = 1.0);
//! ```

mod chance;
mod direction;
mod end;
mod offload;
mod segmentation;
mod switch;
mod wire;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use chance::Chance;
use direction::Direction;
use end::Inlet;
pub use end::{End, EndId, Offload, SimQueue};
use switch::Switch;
pub use wire::{BurstLoss, Rate, Statistics, Wire};

use crate::{Frame, Pool};

/// A simulated network and its clock.
///
/// It and its ends may be held by different threads; the trace is then only as repeatable as the order of their calls.
pub struct Sim {
    network: Shared,
}

impl Sim {
    /// An empty network at time zero. Everything that chance decides in it follows from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { network: Shared(Arc::new(Mutex::new(Network::new(seed)))) }
    }

    /// Lays a wire between two ends, the same in both directions; [`change`](Self::change) makes them differ.
    pub fn link(&mut self, left: End, right: End, wire: Wire) -> (SimQueue, SimQueue) {
        let mut network = self.network.lock();
        let (left_id, right_id) = (EndId(network.inlets.len()), EndId(network.inlets.len() + 1));
        let there = network.add_direction(wire.clone(), Target::End(right_id));
        let back = network.add_direction(wire, Target::End(left_id));
        network.inlets.push(Inlet::new(&left, there, back));
        network.inlets.push(Inlet::new(&right, back, there));
        (
            SimQueue::new(left, left_id, self.network.clone()),
            SimQueue::new(right, right_id, self.network.clone()),
        )
    }

    /// Joins any number of ends by a learning switch, each with a wire that is the same in both directions. A frame from
    /// one end to another passes two wires.
    pub fn switch(&mut self, ends: impl IntoIterator<Item = End>, wire: Wire) -> Vec<SimQueue> {
        let ends: Vec<End> = ends.into_iter().collect();
        let mut network = self.network.lock();
        let switch = network.switches.len();
        network.switches.push(Switch::default());
        let queues = ends.into_iter().map(|end| {
            let id = EndId(network.inlets.len());
            let down = network.add_direction(wire.clone(), Target::End(id));
            let port = network.switches[switch].add_port(down);
            let up = network.add_direction(wire.clone(), Target::Switch { switch, port });
            network.inlets.push(Inlet::new(&end, up, down));
            SimQueue::new(end, id, self.network.clone())
        });
        queues.collect()
    }

    /// Nanoseconds since the simulation's start.
    pub fn now(&self) -> u64 {
        self.network.lock().now
    }

    /// A clock that another part of the program can read: [`now`](Self::now) as a function.
    pub fn clock(&self) -> impl Fn() -> u64 + Clone + Send + 'static {
        let network = self.network.clone();
        move || network.lock().now
    }

    /// When the next frame arrives somewhere, in nanoseconds since the start; `None` while nothing is on its way. Frames
    /// that have arrived and wait to be received do not count.
    pub fn next_event(&self) -> Option<u64> {
        self.network.lock().on_the_way.peek().map(|Reverse(next)| next.at)
    }

    /// Lets time pass until `to`, in nanoseconds since the start: what arrives until then can be received afterwards. A
    /// time in the past changes nothing.
    pub fn advance(&mut self, to: u64) {
        self.network.lock().advance(to);
    }

    /// Changes what the wire at an end does to frames, in one direction and from now on. Frames that are on their way
    /// stay as they are.
    pub fn change(&mut self, end: EndId, way: Way, change: impl FnOnce(&mut Wire)) {
        let mut wire = self.network.lock().direction(end, way).wire.clone();
        change(&mut wire);
        self.network.lock().direction(end, way).wire = wire;
    }

    /// What has happened so far on the wire at an end, in one direction.
    pub fn statistics(&self, end: EndId, way: Way) -> Statistics {
        self.network.lock().direction(end, way).statistics
    }

    /// The pool from which duplicates and corrupted copies are made; all of it is available when none of them is left
    /// anywhere.
    pub fn copies(&self) -> Pool {
        self.network.lock().copies.clone()
    }
}

/// A direction of a wire, as seen from one of its ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// What the end receives.
    In,
    /// What the end sends.
    Out,
}

/// The network as its handle and its ends share it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Network>>);

impl Shared {
    /// No code of a caller's runs under the lock, so it is not poisoned by their panics.
    fn lock(&self) -> MutexGuard<'_, Network> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Network {
    now: u64,
    /// Gives each direction a seed of its own.
    seeds: Chance,
    inlets: Vec<Inlet>,
    directions: Vec<Direction>,
    switches: Vec<Switch>,
    on_the_way: BinaryHeap<Reverse<Arrival>>,
    /// How many arrivals were ever planned: frames that arrive at once arrive in this order.
    planned: u64,
    copies: Pool,
}

impl Network {
    fn new(seed: u64) -> Self {
        Self {
            now: 0,
            seeds: Chance::new(seed),
            inlets: Vec::new(),
            directions: Vec::new(),
            switches: Vec::new(),
            on_the_way: BinaryHeap::new(),
            planned: 0,
            copies: Pool::heap(COPIES, COPY_ROOM),
        }
    }

    fn add_direction(&mut self, wire: Wire, target: Target) -> usize {
        self.directions.push(Direction::new(wire, target, Chance::new(self.seeds.next())));
        self.directions.len() - 1
    }

    fn direction(&mut self, end: EndId, way: Way) -> &mut Direction {
        let inlet = &self.inlets[end.0];
        let index = match way {
            Way::In => inlet.incoming,
            Way::Out => inlet.outgoing,
        };
        &mut self.directions[index]
    }

    fn advance(&mut self, to: u64) {
        while self.on_the_way.peek().is_some_and(|Reverse(next)| next.at <= to) {
            let Some(Reverse(arrival)) = self.on_the_way.pop() else { break };
            self.now = self.now.max(arrival.at);
            self.arrive(arrival.direction, arrival.frame);
        }
        self.now = self.now.max(to);
    }

    /// Puts a frame on a wire: plans its arrival, or drops it, as the wire decides.
    fn send(&mut self, direction: usize, mut frame: Frame) {
        let wire = &mut self.directions[direction];
        let Some(at) = wire.carry(self.now, &mut frame) else { return };
        let duplicate = wire.duplicate(&frame, &self.copies);
        let frame = wire.corrupt(frame, &self.copies);
        self.plan(at, direction, frame);
        if let Some(duplicate) = duplicate {
            self.plan(at, direction, duplicate);
        }
    }

    fn plan(&mut self, at: u64, direction: usize, frame: Frame) {
        self.planned += 1;
        let order = self.planned;
        self.on_the_way.push(Reverse(Arrival { at, order, direction, frame }));
    }

    fn arrive(&mut self, direction: usize, frame: Frame) {
        let wire = &mut self.directions[direction];
        match wire.target {
            Target::End(end) => self.inlets[end.0].receive(frame, &mut wire.statistics),
            Target::Switch { switch, port } => {
                let ports = self.switches[switch].route(port, &frame);
                wire.statistics.pass_switch(&frame, &ports);
                self.send_to_all(&ports, frame);
            }
        }
    }

    fn send_to_all(&mut self, directions: &[usize], frame: Frame) {
        let Some((&last, others)) = directions.split_last() else { return };
        for &direction in others {
            match self.copies.copy_of(&frame) {
                Some(copy) => self.send(direction, copy),
                None => self.directions[direction].statistics.uncopied += 1,
            }
        }
        self.send(last, frame);
    }
}

/// Where a direction of a wire leads.
#[derive(Clone, Copy)]
enum Target {
    End(EndId),
    Switch { switch: usize, port: usize },
}

/// A frame on its way. Two are compared by when they arrive.
struct Arrival {
    at: u64,
    order: u64,
    direction: usize,
    frame: Frame,
}

impl Ord for Arrival {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Arrival {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Arrival {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Arrival {}

fn nanos(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// Copies that exist at once, at most. Their memory is taken when they are first needed.
const COPIES: usize = 16_384;
/// Bytes in one segment of a copy: a jumbo frame fits.
const COPY_ROOM: usize = 9_216;

#[cfg(test)]
mod tests;
