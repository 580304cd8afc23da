//! A wire in memory, and the client behind it as a queue pair of the stack: what the protocol thread receives, the client makes in the
//! same call, and what it transmits the client takes in the next.
//!
//! So client and protocol thread share one CPU, and a second is free for the application.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pmd::{Burst, Frame, Medium, Pool, QueueInfo, QueuePair, Rss, TxOffload};

use super::stage::Stages;
use crate::load::port::{Port, WhenFull};
use crate::load::traffic::Traffic;

/// The stack's queue pair.
pub(super) struct ClientQueue {
    info: QueueInfo,
    wire: Wire,
    port: Port,
    traffic: Box<dyn Traffic + Send>,
    stages: Stages,
}

/// Frames on their way. One thread has both ends, so nobody ever waits for the lock; it is taken once a burst.
type Wire = Arc<Mutex<Ways>>;

#[derive(Default)]
struct Ways {
    to_stack: VecDeque<Frame>,
    to_client: VecDeque<Frame>,
}

/// The stack's station address, and the client's.
const STATIONS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]];
const MTU: u16 = 1500;
/// All frames, and the room in each: several times what may be under way.
const FRAMES: usize = 1 << 13;
const ROOM: usize = 2048;

impl ClientQueue {
    /// `make` makes the client from its station address.
    pub(super) fn new(
        make: impl FnOnce([u8; 6]) -> Box<dyn Traffic + Send>,
        stages: Stages,
    ) -> Self {
        let pool = Pool::heap(FRAMES, ROOM);
        touch(&pool);
        let wire = Wire::default();
        let [stack, client] = STATIONS.map(|station| info(station, &pool));
        let near = Near { info: client, wire: wire.clone() };
        let port = Port::new(Box::new(near), WhenFull::Wait);
        let traffic = make(port.station());
        Self { info: stack, wire, port, traffic, stages }
    }
}

impl QueuePair for ClientQueue {
    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        self.stages.turn(&mut self.port, self.traffic.as_mut());
        take(&mut lock(&self.wire).to_stack, burst)
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        give(&mut lock(&self.wire).to_client, burst)
    }

    fn info(&self) -> &QueueInfo {
        &self.info
    }
}

/// The client's own end.
struct Near {
    info: QueueInfo,
    wire: Wire,
}

impl QueuePair for Near {
    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        take(&mut lock(&self.wire).to_client, burst)
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        give(&mut lock(&self.wire).to_stack, burst)
    }

    fn info(&self) -> &QueueInfo {
        &self.info
    }
}

fn take(way: &mut VecDeque<Frame>, burst: &mut Burst) -> usize {
    let count = burst.room().min(way.len());
    for frame in way.drain(..count) {
        // There is as much room.
        let _ = burst.push(frame);
    }
    count
}

fn give(way: &mut VecDeque<Frame>, burst: &mut Burst) -> usize {
    let count = burst.len();
    way.extend(burst.drain());
    count
}

fn info(station: [u8; 6], pool: &Pool) -> QueueInfo {
    QueueInfo {
        device: "inside".to_owned(),
        queue: 0,
        medium: Medium::Ethernet(station),
        mtu: MTU,
        tx_offload: TxOffload::default(),
        rss: Rss::default(),
        pool: pool.clone(),
    }
}

/// Has every frame in memory: it is nobody's connection that will pay for it.
fn touch(pool: &Pool) {
    let frames = std::iter::from_fn(|| {
        let mut frame = pool.alloc()?;
        frame.extend_from_slice(&[1; ROOM])?;
        Some(frame)
    });
    drop(frames.collect::<Vec<_>>());
}

fn lock(wire: &Wire) -> MutexGuard<'_, Ways> {
    wire.lock().unwrap_or_else(PoisonError::into_inner)
}
