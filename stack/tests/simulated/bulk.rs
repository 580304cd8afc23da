//! Streams over wires that lose, reorder, duplicate and corrupt.

use std::io::ErrorKind;
use std::time::Duration;

use pmd::sim::{BurstLoss, Rate, Wire};

use crate::apps::{Script, Talker};
use crate::world::{RIGHT, World};

/// Sends `len` bytes each way over `count` connections, and checks every byte and every frame.
fn exchange(seed: u64, wire: Wire, count: usize, len: u64) {
    let [there, back] = [Script { seed, len }, Script { seed: !seed, len: len / 2 }];
    let (left, left_outcomes) = Talker::connecting(&format!("{RIGHT}:80"), count, there);
    let (right, right_outcomes) = Talker::listening("0.0.0.0:80", back);
    let lossy = wire.loss > 0.0 || wire.burst_loss.is_some();
    let mut world = World::new(seed, wire, left, right);
    let done = world.run(Duration::from_secs(3600), |_| {
        left_outcomes.ended() == count && right_outcomes.ended() == count
    });
    // ARP asks three times. Of thousands of lossy paths a few lose every question or answer.
    let unreachable = Some(Err(ErrorKind::HostUnreachable));
    if lossy && left_outcomes.lock().iter().all(|outcome| outcome.ended == unreachable) {
        return world.finish();
    }
    assert!(
        done,
        "seed {seed}, of {count}: {:?} and {:?}",
        left_outcomes.lock(),
        right_outcomes.lock()
    );
    for (outcomes, script) in [(left_outcomes, back), (right_outcomes, there)] {
        let want = script.outcome();
        for outcome in outcomes.lock().iter() {
            assert_eq!(*outcome, want, "seed {seed}");
        }
    }
    world.finish();
}

/// A wire that takes a while.
fn wire() -> Wire {
    Wire { delay: Duration::from_millis(2), ..Wire::default() }
}

#[test]
fn a_clean_wire_carries_streams_both_ways() {
    exchange(1, wire(), 1, 3_000_000);
    exchange(2, Wire::default(), 1, 3_000_000);
}

#[test]
fn many_connections_share_a_wire() {
    exchange(3, wire(), 100, 40_000);
}

#[test]
fn empty_streams_end_too() {
    exchange(4, wire(), 3, 0);
    exchange(5, wire(), 3, 1);
}

#[test]
fn a_slow_wire_with_a_short_queue_overflows_and_recovers() {
    let rate = Rate { queue_frames: 20, ..Rate::new(20_000_000) };
    exchange(6, Wire { rate: Some(rate), ..wire() }, 4, 500_000);
}

#[test]
fn lost_frames_are_sent_again() {
    for (seed, loss) in [(10, 0.001), (11, 0.01), (12, 0.05), (13, 0.1), (14, 0.2)] {
        exchange(seed, Wire { loss, ..wire() }, 4, 100_000);
    }
}

#[test]
fn reordered_frames_find_their_place() {
    for (seed, reorder) in [(20, 0.01), (21, 0.05), (22, 0.2)] {
        let reorder_by = Duration::from_millis(3);
        exchange(seed, Wire { reorder, reorder_by, ..wire() }, 4, 200_000);
    }
}

#[test]
fn duplicates_are_taken_once() {
    for (seed, duplicate) in [(30, 0.01), (31, 0.2)] {
        exchange(seed, Wire { duplicate, ..wire() }, 4, 200_000);
    }
}

#[test]
fn corrupted_frames_are_never_believed() {
    for (seed, corrupt) in [(40, 0.01), (41, 0.1), (42, 0.2)] {
        exchange(seed, Wire { corrupt, ..wire() }, 4, 100_000);
    }
}

#[test]
fn losses_in_bursts_are_survived() {
    let burst_loss = Some(BurstLoss { begin: 0.01, end: 0.3, loss: 0.9 });
    for seed in 50..53 {
        exchange(seed, Wire { burst_loss, ..wire() }, 4, 100_000);
    }
}

/// Everything at once, from many seeds. `DARNER_SEEDS` widens it.
#[test]
fn a_bad_path_from_many_seeds() {
    let seeds =
        std::env::var("DARNER_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(2000);
    for seed in 1000..1000 + seeds {
        let bad = |step: u64| (seed >> step & 3) as f64 * 0.02;
        let wire = Wire {
            loss: bad(0),
            reorder: bad(1),
            reorder_by: Duration::from_millis(3),
            duplicate: bad(2),
            corrupt: bad(3) / 2.0,
            jitter: Duration::from_micros(300),
            ..wire()
        };
        exchange(seed, wire, 3, 60_000);
    }
}
