//! One cell of the grid: flows over a path, and what becomes of them.

use std::fmt;
use std::time::Duration;

use darner::CongestionAlgorithm;

use crate::floor;
use crate::path::{FRAME, Path};
use crate::snapshot::Figures;
use crate::trace::Trace;
use crate::two_ends::TwoEnds;

/// A path, who decides about the windows, and how many share it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) path: Path,
    pub(crate) congestion: CongestionAlgorithm,
    pub(crate) flows: u64,
}

/// What a cell comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// Payload that has arrived, in percent of what the path can carry in the time.
    pub(crate) throughput: f64,
    /// Segments sent again, in percent of all.
    pub(crate) again: f64,
    /// Jain's index of the flows' shares: one when all are equal.
    pub(crate) fairness: f64,
    /// The throughput that theory asks for in that time.
    pub(crate) floor: f64,
}

impl Figures for Outcome {
    const HEAD: &'static str = "# path: rate, round trip, loss, order, queue; congestion control, flows; throughput in % of the capacity, segments sent again in %, \
fairness; floor of the throughput";
    const COUNT: usize = 4;

    fn from_numbers(numbers: &[f64]) -> Self {
        let [throughput, again, fairness, floor] = *numbers else { panic!("four numbers") };
        Self { throughput, again, fairness, floor }
    }

    /// A little is not worth a failure: another order of the same events.
    fn is_worse_than(&self, before: &Self) -> bool {
        self.throughput < before.throughput * 0.97 - 0.5
            || self.again > before.again * 1.15 + 0.2
            || self.fairness < before.fairness - 0.05
    }

    fn is_out_of_bounds(&self) -> bool {
        self.throughput < self.floor
    }
}

impl Cell {
    /// Runs until so many packets are sent, but at least for as long as the path needs for them.
    pub(crate) fn run(&self, packets: u64) -> Outcome {
        let mut ends = TwoEnds::new(SEED, &self.path, self.congestion, self.flows);
        ends.connect(&self.path);
        let (before, began) = (ends.total(), ends.now());
        let mut trace = Trace::begin(self, &ends);
        ends.run(self.longest(packets), |ends| {
            trace.iter_mut().for_each(|trace| trace.look(ends));
            ends.segments().0 >= packets
        });
        let span = ends.now().since(began);
        let (sent, again) = ends.segments();
        let possible = self.path.capacity() * span.as_secs_f64();
        Outcome {
            throughput: (ends.total() + ends.behind_gaps() - before) as f64 / possible * 100.0,
            again: again as f64 / sent.max(1) as f64 * 100.0,
            fairness: jain(&ends.shares()),
            floor: floor::throughput(&self.path, self.congestion, self.flows, span),
        }
    }

    /// Long enough for hundred round trips where losses leave the path half empty, but not longer than two minutes.
    fn longest(&self, packets: u64) -> Duration {
        let bits = packets * FRAME * 8;
        Duration::from_secs_f64(bits as f64 / self.path.bits_per_second as f64)
            .max(self.path.round_trip * 100)
            .min(Duration::from_secs(120))
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:>5} x{:<2}", self.path, self.congestion.name(), self.flows)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { throughput, again, fairness, floor } = self;
        write!(f, "{throughput:>6.2} {again:>6.2} {fairness:>5.3} {floor:>6.2}")
    }
}

fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|&share| share as f64).sum();
    let squares: f64 = shares.iter().map(|&share| (share as f64).powi(2)).sum();
    if squares == 0.0 { 0.0 } else { sum.powi(2) / (shares.len() as f64 * squares) }
}

const SEED: u64 = 9293;

#[test]
fn equal_shares_are_fair_and_one_for_all_is_not() {
    assert!((jain(&[5, 5, 5, 5]) - 1.0).abs() < 1e-9);
    assert!((jain(&[20, 0, 0, 0]) - 0.25).abs() < 1e-9);
}

#[test]
fn worse_is_less_throughput_more_repeats_or_less_fair() {
    let before = Outcome { throughput: 90.0, again: 1.0, fairness: 0.99, floor: 0.0 };
    for (throughput, again, fairness, want) in [
        (90.0, 1.0, 0.99, false),
        (87.5, 1.2, 0.95, false),
        (86.0, 1.0, 0.99, true),
        (90.0, 1.5, 0.99, true),
        (90.0, 1.0, 0.93, true),
        (99.0, 0.0, 1.0, false),
    ] {
        let now = Outcome { throughput, again, fairness, floor: 0.0 };
        assert_eq!(now.is_worse_than(&before), want);
    }
}
