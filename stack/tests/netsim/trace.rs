//! What a cell does over time, for whoever looks for the cause of its outcome: a line for each round trip.

use std::env;
use std::time::Duration;

use darner::ConnectionInfo;
use darner::time::Instant;
use pmd::sim::{Statistics, Way};

use crate::cell::Cell;
use crate::path::SEGMENT;
use crate::two_ends::TwoEnds;

/// Prints a line for every round trip, if the environment asks for it.
pub(crate) struct Trace {
    every: Duration,
    next: Instant,
    delivered: u64,
    wire: Statistics,
}

impl Trace {
    pub(crate) fn begin(cell: &Cell, ends: &TwoEnds) -> Option<Self> {
        env::var_os("DARNER_GRID_TRACE")?;
        println!("{cell}\n{HEAD}");
        let every = cell.path.round_trip.max(Duration::from_millis(1));
        Some(Self { every, next: ends.now() + every, delivered: ends.total(), wire: wire(ends) })
    }

    pub(crate) fn look(&mut self, ends: &TwoEnds) {
        if ends.now() < self.next {
            return;
        }
        self.next = ends.now() + self.every;
        let (delivered, wire) = (ends.total(), wire(ends));
        let segments = (delivered - self.delivered) / u64::from(SEGMENT);
        let overflowed = wire.overflowed - self.wire.overflowed;
        let lost = wire.lost + wire.lost_in_burst - self.wire.lost - self.wire.lost_in_burst;
        let marked = wire.marked - self.wire.marked;
        for info in ends.connections() {
            println!(
                "{:>9.4} {segments:>6} {overflowed:>6} {lost:>5} {marked:>6} {}",
                ends.now().as_nanos() as f64 / 1e9,
                line(&info)
            );
        }
        (self.delivered, self.wire) = (delivered, wire);
    }
}

/// In segments and milliseconds.
fn line(info: &ConnectionInfo) -> String {
    let segments = |bytes: u32| bytes / SEGMENT;
    let millis = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64() * 1000.0;
    format!(
        "{:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>8.2} {:>8.2} {:>8.2} {:>6}",
        segments(info.congestion_window),
        info.slow_start_threshold
            .map_or_else(|| "-".to_owned(), |bytes| segments(bytes).to_string()),
        segments(info.send_window),
        segments(info.in_flight),
        segments(info.selectively_acknowledged),
        segments(info.lost),
        millis(info.round_trip),
        millis(info.shortest_round_trip),
        millis(Some(info.timeout)),
        info.retransmitted
    )
}

fn wire(ends: &TwoEnds) -> Statistics {
    ends.sim.statistics(ends.source_end, Way::Out)
}

const HEAD: &str = "  seconds   segs   full  lost  marks   cwnd thresh  offer flight sacked   lost     srtt      min      rto  again";
