//! darner and smoltcp at the ends of a bad wire, each as the client.
//!
//! `docs/interop.md` has a row for each test here, and says what the patterns are.

mod actor;
mod part;
mod peer;

use std::time::Duration;

use darner::time::Instant;
use darner::{Config, Protocol};
use pmd::Pool;
use pmd::sim::{End, Sim, Wire};

use crate::world::LEFT;
use actor::Actor;
use part::{PATTERNS, Pattern};
use peer::Peer;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Client {
    Darner,
    Smoltcp,
}

#[test]
fn darner_connects_to_smoltcp_in_virtual_time() {
    play_all(Client::Darner);
}

#[test]
fn smoltcp_connects_to_darner_in_virtual_time() {
    play_all(Client::Smoltcp);
}

/// Every pattern over wires from good to bad. `DARNER_SEEDS` tries more of each.
fn play_all(client: Client) {
    let seeds =
        std::env::var("DARNER_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(10);
    for (name, pattern) in PATTERNS {
        for (kind, wire) in wires().into_iter().enumerate() {
            for seed in 0..seeds {
                let seed = seed * 100 + kind as u64;
                Meeting::new(seed, wire.clone(), client, pattern).play(name);
            }
        }
    }
}

fn wires() -> [Wire; 4] {
    let wire = Wire { delay: Duration::from_millis(2), ..Wire::default() };
    let reorder_by = Duration::from_millis(3);
    let late = Wire { reorder: 0.05, reorder_by, duplicate: 0.02, ..wire.clone() };
    [
        Wire { loss: 0.01, ..wire.clone() },
        Wire { loss: 0.05, ..wire },
        late.clone(),
        Wire { loss: 0.02, corrupt: 0.02, jitter: Duration::from_micros(300), ..late },
    ]
}

/// One connection, and the clock that drives both its ends.
struct Meeting {
    seed: u64,
    client: Client,
    sim: Sim,
    darner: Protocol,
    darners: actor::Outcome,
    smoltcp: Peer,
    pools: [Pool; 3],
}

impl Meeting {
    fn new(seed: u64, wire: Wire, client: Client, pattern: Pattern) -> Self {
        let mut sim = Sim::new(seed);
        let pools = [Pool::heap(4096, 2048), Pool::heap(4096, 2048), sim.copies()];
        let ends = (1..).zip(&pools).map(|(n, pool)| End::new(n).with_pool(pool.clone()));
        let [left, right] = ends.take(2).collect::<Vec<_>>().try_into().ok().unwrap();
        let (left, right) = sim.link(left, right, wire);
        let [first, second] = pattern(seed);
        let (ours, theirs) = match client {
            Client::Darner => (first, second),
            Client::Smoltcp => (second, first),
        };
        let addresses = vec![format!("{LEFT}/24").parse().unwrap()];
        let config = Config { addresses, ..Config::default() };
        let (actor, darners) = Actor::new(client, ours);
        let key = [seed.to_le_bytes(); 4].concat().try_into().unwrap();
        let darner = Protocol::new(&config, vec![Box::new(left)], Box::new(actor), key).unwrap();
        let smoltcp = Peer::new(seed, right, client, theirs);
        Self { seed, client, sim, darner, darners, smoltcp, pools }
    }

    /// Both ends play their parts, and every frame comes home.
    fn play(mut self, name: &str) {
        let done = self.run(|meeting| meeting.darners.is_done() && meeting.smoltcp.is_done());
        let Self { seed, client, darners, .. } = &self;
        let peer = &self.smoltcp;
        assert!(done, "{name}, {client:?} connects, seed {seed}: {darners:?} and {peer:?}");
        let shut = peer.shut_windows();
        assert!(
            name != "zero windows" || shut.iter().all(|&count| count > 0),
            "{shut:?}, seed {seed}"
        );
        self.darner.stop(self.now());
        let stopped = self.run(|meeting| meeting.darner.turn(meeting.now()).finished);
        assert!(stopped, "darner stops");
        drop((self.sim, self.darner, self.smoltcp));
        for pool in self.pools {
            assert_eq!(pool.available(), pool.capacity(), "every frame is back in its pool");
        }
    }

    fn now(&self) -> Instant {
        Instant::from_nanos(self.sim.now())
    }

    /// Lets time pass, an hour at most, until `done`.
    fn run(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now() + Duration::from_secs(3600);
        loop {
            let now = self.now();
            while self.darner.turn(now).is_busy() {}
            self.smoltcp.turn(now);
            if done(self) {
                return true;
            }
            let next = [
                self.sim.next_event().map(Instant::from_nanos),
                self.darner.next_deadline(),
                self.smoltcp.next_deadline(now),
            ];
            match next.into_iter().flatten().min() {
                Some(next) if next <= end => self.sim.advance(next.max(now).as_nanos()),
                _ => return false,
            }
        }
    }
}
