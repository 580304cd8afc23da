//! How long it takes until a transfer is as fast again as it was, after everything was lost for a moment.

use std::time::Duration;

use darner::CongestionAlgorithm::{self, Bbr, Cubic, NewReno};
use darner::counters::Counter;
use pmd::sim::Way;

use crate::path::{Loss, Order, Path, Queue};
use crate::two_ends::TwoEnds;

const PATH: Path = Path {
    bits_per_second: 10_000_000,
    round_trip: Duration::from_millis(40),
    loss: Loss::None,
    order: Order::Kept,
    queue: Queue::Shallow,
};

/// Runs for five seconds, then nothing comes through for `outage`; returns after how long half of the capacity is used again, and how many timeouts
/// there were.
fn recovers_after(congestion: CongestionAlgorithm, outage: Duration) -> (Duration, u64) {
    let mut ends = TwoEnds::new(5, &PATH, congestion, 1);
    ends.connect(&PATH);
    ends.run(Duration::from_secs(5), |_| false);
    let timeouts = ends.counter(Counter::TcpTimeouts);
    let end = ends.source_end;
    ends.sim.change(end, Way::Out, |wire| wire.loss = 1.0);
    ends.run(outage, |_| false);
    ends.sim.change(end, Way::Out, |wire| wire.loss = 0.0);
    let began = ends.now();
    let step = PATH.round_trip;
    let enough = PATH.capacity() * step.as_secs_f64() / 2.0;
    loop {
        let before = ends.total();
        ends.run(step, |_| false);
        if (ends.total() - before) as f64 >= enough {
            return (ends.now().since(began), ends.counter(Counter::TcpTimeouts) - timeouts);
        }
        assert!(ends.now().since(began) < Duration::from_secs(60), "{congestion:?} recovers");
    }
}

/// A few packets: SACK and RACK find them a round trip later.
#[test]
fn a_short_outage_costs_round_trips_and_no_timeout() {
    for congestion in [Cubic, NewReno, Bbr] {
        let (after, timeouts) = recovers_after(congestion, Duration::from_millis(10));
        assert!(after <= 6 * PATH.round_trip, "{congestion:?}: {after:?}");
        assert_eq!(timeouts, 0, "{congestion:?}");
    }
}

/// More than a window: only a timer can tell, and slow start must lead back.
#[test]
fn a_long_outage_costs_a_timeout_and_slow_start() {
    for congestion in [Cubic, NewReno, Bbr] {
        let (after, timeouts) = recovers_after(congestion, Duration::from_millis(500));
        assert!(timeouts >= 1, "{congestion:?}");
        assert!(after <= Duration::from_millis(1500), "{congestion:?}: {after:?}");
    }
}
