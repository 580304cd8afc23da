//! Where the protocol thread's time went: what `serve` of a build with the feature `cycles` tells at its end.

use std::fmt::Write as _;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use darner::counters::Counter;
use darner::{Cycles, Snapshot, Stack, Stage};
use serde::{Deserialize, Serialize};

use super::application::Totals;
use super::end;
use crate::failure::Failure;

/// Keeps what there was at the beginning, which a line on standard input sets anew: so set-up is no part of what was measured.
pub(super) struct Watch {
    lines: Receiver<()>,
    /// `None`: the start.
    begin: Option<Moment>,
}

struct Moment {
    cycles: Cycles,
    frames: u64,
    requests: u64,
}

/// How long the server has to say what it has done.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

impl Watch {
    /// Begins to watch, for the end, too.
    pub(super) fn start() -> Result<(Self, Receiver<()>), Failure> {
        let (tell, lines) = channel();
        let ends = end::watch_input(move || {
            // At the end nobody may hear it.
            let _ = tell.send(());
        })?;
        Ok((Self { lines, begin: None }, ends))
    }

    /// Begins anew if a line has come.
    pub(super) fn look(&mut self, stack: &Stack, told: &Receiver<Totals>) {
        if self.lines.try_recv().is_err() {
            return;
        }
        if let Some(waker) = stack.waker(0) {
            waker.wake();
        }
        let totals = told.recv_timeout(ANSWER_WITHIN).unwrap_or_default();
        self.begin = Moment::of(&stack.snapshot(), &totals);
    }

    /// What has been since the beginning. `None` if the core has not answered.
    pub(super) fn end(self, snapshot: &Snapshot, totals: &Totals) -> Option<Account> {
        let end = Moment::of(snapshot, totals)?;
        Some(match self.begin {
            Some(begin) => Account::new(
                &end.cycles.since(&begin.cycles),
                end.frames.saturating_sub(begin.frames),
                end.requests.saturating_sub(begin.requests),
            ),
            None => Account::new(&end.cycles, end.frames, end.requests),
        })
    }
}

impl Moment {
    fn of(snapshot: &Snapshot, totals: &Totals) -> Option<Self> {
        let frames =
            snapshot.counter(Counter::FramesReceived) + snapshot.counter(Counter::FramesSent);
        let cycles = snapshot.cores.first()?.cycles.clone();
        Some(Self { cycles, frames, requests: totals.requests })
    }
}

/// Where the time went, as JSON and as a table.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Account {
    /// In the order of a turn; the idle time last.
    stages: Vec<Spent>,
    turns: u64,
    idle_turns: u64,
    /// Received and sent.
    frames: u64,
    /// Requests answered; none where there are no requests.
    requests: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Spent {
    stage: String,
    /// Of the CPU's time-stamp counter.
    ticks: u64,
    nanos: u64,
}

impl Account {
    fn new(cycles: &Cycles, frames: u64, requests: u64) -> Self {
        let spent = |stage: Stage| {
            let spent = cycles.spent(stage);
            let nanos = u64::try_from(spent.time.as_nanos()).unwrap_or(u64::MAX);
            Spent { stage: stage.name().to_owned(), ticks: spent.ticks, nanos }
        };
        let Cycles { turns, idle_turns, .. } = *cycles;
        Self { stages: Stage::ALL.map(spent).into(), turns, idle_turns, frames, requests }
    }

    /// A line for each stage: its part of the time that was not idle, and what it takes for a frame and for a request.
    pub(crate) fn table(&self) -> String {
        let (idle, busy): (Vec<_>, Vec<_>) =
            self.stages.iter().partition(|spent| spent.stage == Stage::Idle.name());
        let sum = |stages: &[&Spent]| Spent {
            stage: "all".to_owned(),
            ticks: stages.iter().map(|spent| spent.ticks).sum(),
            nanos: stages.iter().map(|spent| spent.nanos).sum(),
        };
        let (idle, all) = (sum(&idle), sum(&busy));
        let mut text = format!(
            "{:<14}{:>8}{:>12}{:>14}{:>16}\n",
            "stage", "part", "ns/frame", "ns/request", "cycles/request"
        );
        for Spent { stage, ticks, nanos } in busy.into_iter().chain([&all]) {
            let part = 100.0 * ratio(*nanos, all.nanos).unwrap_or(0.0);
            let each = |count, of| {
                ratio(count, of).map_or_else(String::new, |each: f64| format!("{each:.1}"))
            };
            let _ = writeln!(
                text,
                "{stage:<14}{part:>6.1} %{:>12}{:>14}{:>16}",
                each(*nanos, self.frames),
                each(*nanos, self.requests),
                each(*ticks, self.requests),
            );
        }
        let working = self.turns.saturating_sub(self.idle_turns);
        let _ = writeln!(
            text,
            "{} frames in {working} turns, {:.1} each; {} idle turns, {:.1} % of the time",
            self.frames,
            ratio(self.frames, working).unwrap_or(0.0),
            self.idle_turns,
            100.0 * ratio(idle.nanos, idle.nanos + all.nanos).unwrap_or(0.0),
        );
        text
    }
}

/// `None` where there is nothing to divide by.
fn ratio(count: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| count as f64 / of as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(requests: u64) -> Account {
        let spent =
            |stage: Stage, nanos| Spent { stage: stage.name().to_owned(), ticks: 3 * nanos, nanos };
        let stages =
            vec![spent(Stage::Input, 750), spent(Stage::Hints, 250), spent(Stage::Idle, 1000)];
        Account { stages, turns: 30, idle_turns: 25, frames: 20, requests }
    }

    #[test]
    fn idle_time_is_no_part_of_what_a_request_takes() {
        let table = account(10).table();
        let lines: Vec<Vec<&str>> =
            table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["input", "75.0", "%", "37.5", "75.0", "225.0"]);
        assert_eq!(lines[2], ["hints", "25.0", "%", "12.5", "25.0", "75.0"]);
        assert_eq!(lines[3], ["all", "100.0", "%", "50.0", "100.0", "300.0"]);
        let last = "20 frames in 5 turns, 4.0 each; 25 idle turns, 50.0 % of the time";
        assert_eq!(lines[4].join(" "), last);
    }

    #[test]
    fn where_nobody_asks_there_is_only_the_frame() {
        let table = account(0).table();
        let input = table.lines().nth(1).unwrap().trim_end();
        assert!(input.ends_with("37.5"), "{input}");
    }
}
