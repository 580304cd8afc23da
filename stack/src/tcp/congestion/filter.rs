//! The highest value of a recent span, in constant space (Kathleen Nichols' algorithm, as Linux has it in `win_minmax`).

/// The maximum over a window of `span` rounds. Beside the best value it keeps the best two of what came after, to follow it when it
/// leaves the window; so what takes its place may be a little too low, and never too high.
#[derive(Clone, Debug)]
pub(super) struct MaxFilter {
    /// The best, and then each the best since the one before it.
    best: [Sample; 3],
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    round: u32,
    value: u64,
}

impl MaxFilter {
    pub(super) const NEW: Self = Self { best: [Sample { round: 0, value: 0 }; 3] };

    /// Zero before the first.
    pub(super) fn max(&self) -> u64 {
        self.best[0].value
    }

    /// In `round`, which never goes back (but wraps), the value was this.
    pub(super) fn add(&mut self, round: u32, value: u64, span: u32) {
        let sample = Sample { round, value };
        let all_are_old = age(self.best[2], round) > span;
        if value >= self.max() || all_are_old {
            self.best = [sample; 3];
            return;
        }
        if value >= self.best[1].value {
            (self.best[1], self.best[2]) = (sample, sample);
        } else if value >= self.best[2].value {
            self.best[2] = sample;
        }
        self.expire(sample, span);
    }

    /// The best leaves the window with its age; and where nothing good came for a quarter or half of it, anything is taken for a
    /// successor, lest there be none when it is needed.
    fn expire(&mut self, sample: Sample, span: u32) {
        let [first, second, third] = self.best;
        if age(first, sample.round) > span {
            self.best = [second, third, sample];
            if age(second, sample.round) > span {
                self.best = [third, sample, sample];
            }
        } else if second.round == first.round && age(second, sample.round) > span / 4 {
            (self.best[1], self.best[2]) = (sample, sample);
        } else if third.round == second.round && age(first, sample.round) > span / 2 {
            self.best[2] = sample;
        }
    }
}

fn age(sample: Sample, round: u32) -> u32 {
    round.wrapping_sub(sample.round)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPAN: u32 = 10;

    fn filter(samples: &[(u32, u64)]) -> u64 {
        let mut filter = MaxFilter::NEW;
        for (round, value) in samples {
            filter.add(*round, *value, SPAN);
        }
        filter.max()
    }

    #[test]
    fn the_best_counts_for_as_long_as_the_window() {
        assert_eq!(filter(&[]), 0);
        assert_eq!(filter(&[(1, 70), (2, 100), (3, 80)]), 100);
        assert_eq!(filter(&[(2, 100), (5, 80), (12, 60)]), 100, "ten rounds ago");
        assert_eq!(filter(&[(2, 100), (5, 80), (12, 60), (13, 50)]), 80, "eleven");
        assert_eq!(filter(&[(2, 100), (3, 80), (30, 60)]), 60, "a long silence");
        assert_eq!(filter(&[(u32::MAX, 100), (2, 80), (9, 60)]), 100, "rounds wrap");
        assert_eq!(filter(&[(u32::MAX, 100), (2, 80), (10, 60)]), 80);
    }

    #[test]
    fn a_falling_value_is_followed() {
        let mut filter = MaxFilter::NEW;
        for round in 0..100 {
            filter.add(round, 1000 - u64::from(round), SPAN);
            let exact = 1000 - u64::from(round.saturating_sub(SPAN));
            assert!((exact - 5..=exact).contains(&filter.max()), "round {round}");
        }
    }

    proptest! {
        /// Against a plain list: never too high, and never below what the newest samples show.
        #[test]
        fn it_is_the_maximum_or_a_little_less(
            first in any::<u32>(), steps in prop::collection::vec((0_u32..4, 0_u64..100), 1..200),
        ) {
            let (mut filter, mut list, mut round) = (MaxFilter::NEW, Vec::new(), first);
            filter.add(round, 0, SPAN);
            for (step, value) in steps {
                round = round.wrapping_add(step);
                filter.add(round, value, SPAN);
                list.push((round, value));
                let within = |span| list.iter().filter(move |(at, _)| round.wrapping_sub(*at) <= span);
                let exact = within(SPAN).map(|(_, value)| *value).max().unwrap_or(0);
                prop_assert!(filter.max() <= exact);
                prop_assert!(filter.max() >= value);
            }
        }
    }
}
