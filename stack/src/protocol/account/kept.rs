//! An account that is kept.

use std::time::Duration;

use super::Stage;
#[cfg(feature = "cycles")]
use crate::clock::Clock;

/// What a thread has spent on each [`Stage`] since it began.
///
/// Adding up goes on all the time: for a span of time take the account at both of its ends, and [`since`](Self::since).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cycles {
    spent: [Spent; STAGES],
    /// Turns, idle ones included.
    pub turns: u64,
    /// Turns that found nothing to do.
    pub idle_turns: u64,
}

/// An amount of a thread's time, in two units.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Spent {
    /// Of the CPU's time-stamp counter, which counts at the CPU's nominal frequency; nanoseconds where the CPU has none that is steady.
    pub ticks: u64,
    /// The same in seconds.
    pub time: Duration,
}

impl Cycles {
    /// What one stage has taken.
    pub fn spent(&self, stage: Stage) -> Spent {
        self.spent[stage as usize]
    }

    /// What all stages but [`Stage::Idle`] have taken.
    pub fn busy(&self) -> Spent {
        let busy = Stage::ALL.into_iter().filter(|stage| *stage != Stage::Idle);
        busy.fold(Spent::default(), |sum, stage| {
            let Spent { ticks, time } = self.spent(stage);
            Spent { ticks: sum.ticks + ticks, time: sum.time + time }
        })
    }

    /// What has been spent since `earlier`, an account of the same thread.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let spent = Stage::ALL.map(|stage| {
            let (now, then) = (self.spent(stage), earlier.spent(stage));
            let ticks = now.ticks.saturating_sub(then.ticks);
            Spent { ticks, time: now.time.saturating_sub(then.time) }
        });
        Self {
            spent,
            turns: self.turns.saturating_sub(earlier.turns),
            idle_turns: self.idle_turns.saturating_sub(earlier.idle_turns),
        }
    }
}

const STAGES: usize = Stage::ALL.len();

/// Reads the clock for a [`Ledger`].
#[cfg(feature = "cycles")]
pub(crate) struct Account {
    clock: Clock,
    ledger: Ledger,
}

#[cfg(feature = "cycles")]
impl Account {
    pub(crate) fn start() -> Self {
        let clock = Clock::start();
        let ledger = Ledger::new(clock.ticks());
        Self { clock, ledger }
    }

    /// A turn begins.
    pub(in crate::protocol) fn begin(&mut self) {
        self.ledger.begin(self.clock.ticks());
    }

    /// What was done since the last mark was `stage`.
    pub(in crate::protocol) fn mark(&mut self, stage: Stage) {
        self.ledger.mark(stage, self.clock.ticks());
    }

    /// The turn ends; it has found so much work.
    pub(in crate::protocol) fn end(&mut self, work: usize) {
        self.mark(Stage::Rest);
        self.ledger.end(work);
    }

    pub(in crate::protocol) fn cycles(&self) -> Cycles {
        let Ledger { sums, turns, idle_turns, .. } = self.ledger;
        let spent = sums.map(|ticks| Spent { ticks, time: self.clock.span(ticks) });
        Cycles { spent, turns, idle_turns }
    }
}

/// Ticks by stages, of a clock that it is told.
#[derive(Clone, Copy, Debug)]
struct Ledger {
    /// Of all turns that have ended, and of this one: only its end shows whether that was idle.
    sums: [u64; STAGES],
    turn: [u64; STAGES],
    last: u64,
    /// Whose the time until the next turn is.
    between: Stage,
    turns: u64,
    idle_turns: u64,
}

impl Ledger {
    fn new(now: u64) -> Self {
        let none = [0; STAGES];
        let between = Stage::Idle;
        Self { sums: none, turn: none, last: now, between, turns: 0, idle_turns: 0 }
    }

    fn begin(&mut self, now: u64) {
        self.mark(self.between, now);
    }

    fn mark(&mut self, stage: Stage, now: u64) {
        // The counters of two CPUs may differ.
        self.turn[stage as usize] += now.saturating_sub(self.last);
        self.last = now;
    }

    fn end(&mut self, work: usize) {
        let turn = std::mem::replace(&mut self.turn, [0; STAGES]);
        self.turns += 1;
        if work == 0 {
            self.idle_turns += 1;
            self.sums[Stage::Idle as usize] += turn.iter().sum::<u64>();
            self.between = Stage::Idle;
            return;
        }
        self.sums.iter_mut().zip(turn).for_each(|(sum, ticks)| *sum += ticks);
        self.between = Stage::Rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A turn's marks: whose the time until then was, and when that is.
    fn turn(ledger: &mut Ledger, begin: u64, marks: &[(Stage, u64)], work: usize) {
        ledger.begin(begin);
        marks.iter().for_each(|(stage, at)| ledger.mark(*stage, *at));
        ledger.end(work);
    }

    fn told(ledger: &Ledger) -> Vec<(Stage, u64)> {
        let of = |stage: Stage| (stage, ledger.sums[stage as usize]);
        Stage::ALL.into_iter().map(of).filter(|(_, ticks)| *ticks > 0).collect()
    }

    use Stage::{Application, Idle, Input, Receive, Rest};

    #[test]
    fn every_tick_is_some_stages() {
        let mut ledger = Ledger::new(1000);
        turn(&mut ledger, 1010, &[(Receive, 1030), (Input, 1060), (Rest, 1070)], 3);
        // A stage may come twice in a turn.
        turn(&mut ledger, 1075, &[(Receive, 1076), (Application, 1080), (Receive, 1090)], 1);
        let want = [(Receive, 31), (Input, 30), (Application, 4), (Rest, 15), (Idle, 10)];
        assert_eq!(told(&ledger), want);
        assert_eq!(want.iter().map(|(_, ticks)| ticks).sum::<u64>(), 1090 - 1000);
        assert_eq!((ledger.turns, ledger.idle_turns), (2, 0));
    }

    #[test]
    fn a_turn_without_work_is_idle_with_the_time_to_the_next() {
        let mut ledger = Ledger::new(0);
        turn(&mut ledger, 0, &[(Receive, 7), (Rest, 9)], 0);
        turn(&mut ledger, 109, &[(Receive, 120)], 1);
        assert_eq!(told(&ledger), [(Receive, 11), (Idle, 109)]);
        assert_eq!((ledger.turns, ledger.idle_turns), (2, 1));
    }

    #[test]
    fn time_that_goes_back_is_nobodys() {
        let mut ledger = Ledger::new(500);
        turn(&mut ledger, 400, &[(Receive, 300), (Input, 310)], 1);
        assert_eq!(told(&ledger), [(Input, 10)]);
    }

    #[test]
    fn what_was_spent_meanwhile_is_the_difference() {
        let of = |ticks, nanos| Spent { ticks, time: Duration::from_nanos(nanos) };
        let mut then = Cycles { spent: [of(5, 50); STAGES], turns: 10, idle_turns: 4 };
        let now = Cycles { spent: [of(8, 80); STAGES], turns: 15, idle_turns: 6 };
        let since = now.since(&then);
        assert_eq!((since.spent(Input), since.spent(Idle)), (of(3, 30), of(3, 30)));
        assert_eq!((since.turns, since.idle_turns), (5, 2));
        then.spent[Idle as usize] = of(0, 0);
        assert_eq!(now.since(&then).busy(), of(27, 270), "of nine stages, and not of the idle one");
    }
}
