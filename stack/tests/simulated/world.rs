//! Two stacks joined by a wire, and the clock that drives all three.

use std::time::Duration;

use darner::time::Instant;
use darner::{Application, Config, Protocol};
use pmd::Pool;
use pmd::sim::{End, EndId, Sim, Wire};

pub(crate) const LEFT: &str = "10.0.0.1";
pub(crate) const RIGHT: &str = "10.0.0.2";

/// Time that a test gives its stacks to come up before anybody connects: an address is probed for before it is used.
pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) left: Side,
    pub(crate) right: Side,
}

/// One stack and its end of the wire.
pub(crate) struct Side {
    pub(crate) protocol: Protocol,
    pub(crate) end: EndId,
    pub(crate) pool: Pool,
}

impl World {
    pub(crate) fn new(
        seed: u64,
        wire: Wire,
        left: impl Application + 'static,
        right: impl Application + 'static,
    ) -> Self {
        Self::with_config(seed, wire, (Config::default(), left), (Config::default(), right))
    }

    pub(crate) fn with_config(
        seed: u64,
        wire: Wire,
        (left_config, left): (Config, impl Application + 'static),
        (right_config, right): (Config, impl Application + 'static),
    ) -> Self {
        let mut sim = Sim::new(seed);
        let pools = [Pool::heap(4096, 2048), Pool::heap(4096, 2048)];
        let [left_pool, right_pool] = pools.clone();
        let ends =
            (End::new(1).with_pool(left_pool.clone()), End::new(2).with_pool(right_pool.clone()));
        let (left_queue, right_queue) = sim.link(ends.0, ends.1, wire);
        let (left_end, right_end) = (left_queue.id(), right_queue.id());
        let side = |queue, mut config: Config, address: &str, application, end, pool, tag: u8| {
            if config.addresses.is_empty() {
                config.addresses = vec![format!("{address}/24").parse().unwrap()];
            }
            let mut bytes = [tag; 32];
            bytes[..8].copy_from_slice(&seed.to_ne_bytes());
            let protocol =
                Protocol::new(&config, vec![Box::new(queue)], application, bytes).unwrap();
            Side { protocol, end, pool }
        };
        let left = side(
            left_queue,
            left_config,
            LEFT,
            Box::new(left) as Box<dyn Application>,
            left_end,
            left_pool,
            1,
        );
        let right =
            side(right_queue, right_config, RIGHT, Box::new(right), right_end, right_pool, 2);
        Self { sim, left, right }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(self.sim.now())
    }

    /// Runs until `done`, or `span` of virtual time has passed, or nothing will ever happen. Says whether `done`.
    pub(crate) fn run(&mut self, span: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now() + span;
        loop {
            self.settle();
            if done(self) {
                return true;
            }
            let next = [
                self.sim.next_event().map(Instant::from_nanos),
                self.left.protocol.next_deadline(),
                self.right.protocol.next_deadline(),
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

    pub(crate) fn run_for(&mut self, span: Duration) {
        self.run(span, |_| false);
    }

    /// Turns both stacks until neither has anything to do at this moment.
    fn settle(&mut self) {
        let now = self.now();
        loop {
            let left = self.left.protocol.turn(now);
            let right = self.right.protocol.turn(now);
            if !left.is_busy() && !right.is_busy() {
                return;
            }
        }
    }

    /// Stops both stacks and asserts that every frame has come home.
    pub(crate) fn finish(mut self) {
        let deadline = self.now() + Duration::from_secs(300);
        self.left.protocol.stop(deadline);
        self.right.protocol.stop(deadline);
        let stopped = self.run(Duration::from_secs(301), |world| {
            let now = world.now();
            world.left.protocol.turn(now).finished && world.right.protocol.turn(now).finished
        });
        assert!(stopped, "both stacks stop");
        let copies = self.sim.copies();
        let pools = [self.left.pool, self.right.pool, copies];
        drop((self.left.protocol, self.right.protocol, self.sim));
        for pool in pools {
            assert_eq!(pool.available(), pool.capacity(), "every frame is back in its pool");
        }
    }
}
