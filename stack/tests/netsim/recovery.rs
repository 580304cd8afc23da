//! How long it takes until a transfer is as fast again as it was, after everything was lost for a moment.

use std::fmt;
use std::time::Duration;

use darner::CongestionAlgorithm::{self, Bbr, Cubic, NewReno};
use darner::counters::Counter;
use pmd::sim::Way;

use crate::path::{FRAME, Loss, Order, Path, Queue};
use crate::snapshot::{Figures, check};
use crate::two_ends::TwoEnds;

/// A transfer that runs for a while before nothing comes through.
struct Outage {
    path: Path,
    congestion: CongestionAlgorithm,
    lasts: Duration,
}

/// What became of it once packets came through again.
struct Recovered {
    /// Until half of the capacity was used again for a round trip, in milliseconds.
    after: f64,
    timeouts: f64,
    /// The longest that theory allows, in milliseconds.
    bound: f64,
}

impl Outage {
    const BEGINS_AFTER: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_secs(60);

    fn run(&self) -> Recovered {
        let Self { path, congestion, lasts } = self;
        let mut ends = TwoEnds::new(5, path, *congestion, 1);
        ends.connect(path);
        ends.run(Self::BEGINS_AFTER, |_| false);
        let timeouts = ends.counter(Counter::TcpTimeouts);
        let end = ends.source_end;
        ends.sim.change(end, Way::Out, |wire| wire.loss = 1.0);
        ends.run(*lasts, |_| false);
        ends.sim.change(end, Way::Out, |wire| wire.loss = 0.0);
        let began = ends.now();
        let enough = path.capacity() * path.round_trip.as_secs_f64() / 2.0;
        while ends.now().since(began) < Self::LONGEST {
            let before = ends.total();
            ends.run(path.round_trip, |_| false);
            if (ends.total() - before) as f64 >= enough {
                break;
            }
        }
        Recovered {
            after: ends.now().since(began).as_secs_f64() * 1000.0,
            timeouts: (ends.counter(Counter::TcpTimeouts) - timeouts) as f64,
            bound: self.bound().as_secs_f64() * 1000.0,
        }
    }

    /// What a window that stays on its way (RFC 8985: found a round trip later, sent again in the next) may take, or one that is lost whole: the last
    /// timeout waits as long again as all was lost (RFC 6298, section 5.5), and slow start leads from one segment to half of the path.
    fn bound(&self) -> Duration {
        let round_trip = self.path.round_trip;
        let queue = self.path.queue_bytes() as f64 * 8.0 / self.path.bits_per_second as f64;
        let filled = round_trip + Duration::from_secs_f64(queue);
        if self.lasts < round_trip {
            return 6 * filled;
        }
        let half = (self.path.product() / FRAME / 2).max(2) as f64;
        // As the floors have it: a window grows by half each round trip.
        let rounds = half.log(1.5).ceil() + 2.0;
        self.lasts.max(TIMEOUT_MIN + filled) + filled.mul_f64(rounds)
    }
}

/// `TcpConfig::min_rto`.
const TIMEOUT_MIN: Duration = Duration::from_millis(200);

impl Figures for Recovered {
    const HEAD: &'static str = "# path; congestion control, nothing comes through for so long; until half of the capacity is used again in ms, timeouts; \
longest that theory allows";
    const COUNT: usize = 3;

    fn from_numbers(numbers: &[f64]) -> Self {
        let [after, timeouts, bound] = *numbers else { panic!("three numbers") };
        Self { after, timeouts, bound }
    }

    fn is_worse_than(&self, before: &Self) -> bool {
        self.after > before.after * 1.25 || self.timeouts > before.timeouts
    }

    fn is_out_of_bounds(&self) -> bool {
        self.after > self.bound
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (congestion, lasts) = (self.congestion.name(), self.lasts.as_millis());
        write!(f, "{} {congestion:>5} {lasts:>4}ms", self.path)
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, timeouts, bound } = self;
        write!(f, "{after:>7.0} {timeouts:>3} {bound:>7.0}")
    }
}

#[test]
fn outages() {
    let mut cells = Vec::new();
    for (megabits, round_trip) in [(1, 100), (10, 40), (100, 20), (100, 100)] {
        let path = Path {
            bits_per_second: megabits * 1_000_000,
            round_trip: Duration::from_millis(round_trip),
            loss: Loss::None,
            order: Order::Kept,
            queue: Queue::Shallow,
        };
        for congestion in [Cubic, NewReno, Bbr] {
            for lasts in [10, 500, 2000].map(Duration::from_millis) {
                cells.push(Outage { path, congestion, lasts });
            }
        }
    }
    check("outages", &cells, Outage::run);
}
