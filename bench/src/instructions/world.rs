//! A protocol thread, its device, and time.

use std::time::Duration;

use darner::drops::Drop;
use darner::time::Instant;
use darner::{Config, DuplicateDetection, Protocol, TcpConfig, Turn};
use pmd::mem::{self, MemHandle};
use pmd::{Pool, TxOffload};

use crate::peer::{self, ACK, Flow, SYN, Seen};
use crate::server::{Role, Server};

/// A protocol thread over a device in memory.
pub(crate) struct World {
    protocol: Protocol,
    far_end: MemHandle,
    pool: Pool,
    now: Instant,
}

/// From one turn to the next.
const STEP: Duration = Duration::from_micros(50);

/// Every instruction in here is counted, and none outside.
#[inline(never)]
pub(crate) fn counted_turn(protocol: &mut Protocol, now: Instant) -> Turn {
    protocol.turn(now)
}

impl World {
    pub(crate) fn new(role: Role) -> Self {
        let pool = Pool::heap(1024, 2048);
        let (queue, far_end) = mem::ethernet(pool.clone(), 1500, peer::STACK_MAC);
        let checksums = TxOffload { ipv4: true, tcp: true, udp: true, ..TxOffload::default() };
        let offload = TxOffload { multi_segment: true, ..checksums };
        let queue = queue.with_tx_offload(offload);
        let config = Config {
            addresses: vec![format!("{}/24", peer::STACK).parse().expect("an address")],
            duplicate_detection: DuplicateDetection::Off,
            tcp: TcpConfig {
                max_connections: 4096,
                max_half_open: 4096,
                max_time_wait: 4096,
                ..TcpConfig::default()
            },
            ..Config::default()
        };
        let server = Box::new(Server::new(role));
        let protocol = Protocol::new(&config, vec![Box::new(queue)], server, [5; 32])
            .expect("a good configuration");
        let mut world = Self { protocol, far_end, pool, now: Instant::ZERO };
        // Our address is announced first. Then the peer makes itself known, so that no answer waits for ARP.
        world.turn();
        world.far_end.inject_bytes(&peer::arp_request()).expect("the pool is full");
        world.turn();
        world.take();
        world
    }

    /// With one connection, established.
    pub(crate) fn with_connection(role: Role) -> (Self, Flow) {
        let mut world = Self::new(role);
        let mut flow = Flow::new(0);
        world.send(&mut flow, SYN, 0);
        world.turn();
        world.take().iter().for_each(|segment| flow.see(segment));
        world.send(&mut flow, ACK, 0);
        world.turn();
        (world, flow)
    }

    /// Lets the next segment of `flow` arrive.
    pub(crate) fn send(&mut self, flow: &mut Flow, flags: u8, len: usize) {
        self.far_end.inject(flow.segment(&self.pool, self.now, flags, len));
    }

    /// How many frames the next turn will find.
    pub(crate) fn arriving(&self) -> usize {
        self.far_end.arriving()
    }

    /// Turns until all is done.
    pub(crate) fn turn(&mut self) {
        self.now = self.now + STEP;
        while self.protocol.turn(self.now).is_busy() {}
    }

    /// One turn, which is counted if `counted`.
    pub(crate) fn turn_counted_if(&mut self, counted: bool) {
        if counted {
            self.now = self.now + STEP;
            counted_turn(&mut self.protocol, self.now);
        } else {
            self.turn();
        }
    }

    /// Asserts that the last turn left nothing to do, so that all of the work was counted.
    pub(crate) fn expect_idle(&mut self) {
        let Turn { work, .. } = self.protocol.turn(self.now);
        assert_eq!(work, 0, "one turn did all the work");
    }

    /// The segments that the stack has sent.
    pub(crate) fn take(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.far_end.take()).filter_map(|frame| Seen::of(&frame)).collect()
    }

    /// Asserts that nothing was dropped on the way.
    pub(crate) fn finish(self) {
        for &reason in Drop::ALL {
            assert_eq!(self.protocol.metrics().dropped(reason), 0, "{reason:?}");
        }
    }
}
