//! When requests are due, whatever becomes of the ones before.
//!
//! A client that waits for an answer before it asks again asks a slow server less often, and so measures what is slow less often
//! (coordinated omission). Here a request has its time from the start; what it waits for a free connection counts as its latency.

use std::collections::VecDeque;

/// Times of requests, and those that are due and not made yet.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// In nanoseconds.
    next: f64,
    interval: f64,
    arrival: Arrival,
    chance: fastrand::Rng,
    late: VecDeque<u64>,
}

/// Reads how many requests there are per second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "a rate is a number above zero".to_owned())
}

/// How requests are spread.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Arrival {
    /// As those of many who know nothing of each other.
    Poisson,
    /// One after each interval.
    Fixed,
}

/// What is late beyond this is forgotten, and counted: nobody waits for ever.
const LATE_MOST: usize = 1 << 20;

impl Schedule {
    /// `rate` requests per second, once it has begun.
    pub(crate) fn new(rate: f64, arrival: Arrival, seed: u64) -> Self {
        let chance = fastrand::Rng::with_seed(seed);
        Self { next: f64::INFINITY, interval: 1e9 / rate, arrival, chance, late: VecDeque::new() }
    }

    /// Begins at `now`: what would have been due before is not.
    pub(crate) fn begin(&mut self, now: u64) {
        self.next = now as f64;
    }

    /// The time of the next request that is due at `now`; it is to be made, or said to be [`late`](Self::late).
    pub(crate) fn due(&mut self, now: u64) -> Option<u64> {
        if self.next > now as f64 {
            return None;
        }
        // Times are positive, and far below 2^53.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "whole nanoseconds"
        )]
        let due = self.next as u64;
        self.next += self.interval
            * match self.arrival {
                Arrival::Fixed => 1.0,
                Arrival::Poisson => -(1.0 - self.chance.f64()).ln(),
            };
        Some(due)
    }

    /// A request for which no connection is free. Returns how many were given up for it.
    pub(crate) fn is_late(&mut self, due: u64) -> u64 {
        self.late.push_back(due);
        if self.late.len() <= LATE_MOST {
            return 0;
        }
        self.late.pop_front();
        1
    }

    /// The one that has been late for longest.
    pub(crate) fn late(&mut self) -> Option<u64> {
        self.late.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(schedule: &mut Schedule, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| schedule.due(now)).collect()
    }

    #[test]
    fn fixed_requests_are_due_when_they_were_to_be_however_late_one_looks() {
        let mut schedule = Schedule::new(1e6, Arrival::Fixed, 1);
        schedule.begin(500);
        assert!(until(&mut schedule, 499).is_empty());
        assert_eq!(until(&mut schedule, 3600), [500, 1500, 2500, 3500]);
        assert!(until(&mut schedule, 4400).is_empty());
    }

    #[test]
    fn poisson_keeps_the_rate_and_not_the_interval() {
        let mut schedule = Schedule::new(1e6, Arrival::Poisson, 1);
        schedule.begin(0);
        let times = until(&mut schedule, 100_000_000);
        assert!((98_000..102_000).contains(&times.len()), "{}", times.len());
        let short = times.windows(2).filter(|pair| pair[1] - pair[0] < 1000).count();
        // 1 - 1/e of the intervals are shorter than the mean.
        assert!((62_000..65_000).contains(&short), "{short}");
    }

    #[test]
    fn the_oldest_late_request_is_made_first_and_keeps_its_time() {
        let mut schedule = Schedule::new(1e6, Arrival::Fixed, 1);
        assert_eq!((schedule.is_late(7), schedule.is_late(9)), (0, 0));
        assert_eq!((schedule.late(), schedule.late(), schedule.late()), (Some(7), Some(9), None));
    }
}
