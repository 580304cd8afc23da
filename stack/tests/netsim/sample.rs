//! The cells that every run of the tests looks at: up to 100 Mb/s, a few seconds each group.

use std::time::Duration;

use darner::CongestionAlgorithm::{self, Bbr, Cubic, Dctcp, NewReno};

use crate::cell::Cell;
use crate::path::{Loss, Order, Path, Queue};
use crate::snapshot;

const PACKETS: u64 = 50_000;

fn check(group: &str, cells: &[Cell]) {
    snapshot::check(group, cells, |cell| cell.run(PACKETS));
}

fn path(megabits: u64, round_trip_ms: u64) -> Path {
    Path {
        bits_per_second: megabits * 1_000_000,
        round_trip: Duration::from_millis(round_trip_ms),
        loss: Loss::None,
        order: Order::Kept,
        queue: Queue::Shallow,
    }
}

fn one(path: Path, congestion: CongestionAlgorithm) -> Cell {
    Cell { path, congestion, flows: 1 }
}

#[test]
fn clean_paths() {
    let mut cells = Vec::new();
    for megabits in [1, 10, 100] {
        for round_trip in [1, 20, 100, 300] {
            cells.push(one(path(megabits, round_trip), Cubic));
        }
    }
    check("clean", &cells);
}

#[test]
fn lossy_paths() {
    let mut cells = Vec::new();
    for megabits in [1, 10, 100] {
        for round_trip in [10, 100] {
            for percent in [0.1, 1.0, 5.0] {
                let loss = Loss::Percent(percent);
                cells.push(one(Path { loss, ..path(megabits, round_trip) }, Cubic));
            }
        }
    }
    check("lossy", &cells);
}

#[test]
fn bursts_and_reordering() {
    let mut cells = Vec::new();
    for (megabits, round_trip) in [(1, 100), (10, 20), (100, 20), (100, 100)] {
        let path = path(megabits, round_trip);
        cells.push(one(Path { loss: Loss::Bursts, ..path }, Cubic));
        cells.push(one(Path { order: Order::Mixed, ..path }, Cubic));
    }
    check("bursts", &cells);
}

#[test]
fn bloated_queues() {
    let bloated = |megabits, ms| Path { queue: Queue::Bloated, ..path(megabits, ms) };
    let cells = [
        one(bloated(10, 20), Cubic),
        one(bloated(10, 20), NewReno),
        one(bloated(10, 20), Bbr),
        one(bloated(100, 20), Cubic),
    ];
    check("bloated", &cells);
}

#[test]
fn queues_that_mark() {
    let marking = |megabits, ms| Path { queue: Queue::Marking, ..path(megabits, ms) };
    let mut cells = Vec::new();
    for congestion in [Cubic, NewReno, Dctcp, Bbr] {
        cells.extend(
            [(10, 20), (100, 20)].map(|(megabits, ms)| one(marking(megabits, ms), congestion)),
        );
    }
    check("marking", &cells);
}

#[test]
fn queues_that_mark_for_ends_that_count() {
    let counting = |megabits, ms| Path { queue: Queue::Counting, ..path(megabits, ms) };
    let cells = [Cubic, NewReno, Dctcp].map(|congestion| one(counting(100, 20), congestion));
    check("counting", &cells);
}

#[test]
fn every_controller() {
    let mut cells = Vec::new();
    for congestion in [NewReno, Bbr, Dctcp] {
        for (megabits, round_trip, percent) in [(10, 20, 0.0), (100, 50, 0.0), (10, 50, 1.0)] {
            let loss = if percent > 0.0 { Loss::Percent(percent) } else { Loss::None };
            cells.push(one(Path { loss, ..path(megabits, round_trip) }, congestion));
        }
    }
    check("controllers", &cells);
}

#[test]
fn several_flows() {
    let mut cells = Vec::new();
    for congestion in [Cubic, NewReno, Bbr] {
        for flows in [2, 16] {
            cells.push(Cell { path: path(10, 20), congestion, flows });
        }
    }
    check("fairness", &cells);
}
