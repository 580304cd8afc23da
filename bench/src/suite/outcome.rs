//! What came of a row.

use std::collections::BTreeMap;

use serde::Serialize;

use super::rows::{Figure, Row};
use crate::failure::Failure;
use crate::load::report::Latency;

/// One row of the results, as results.json has it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) connections: Option<u32>,
    /// Medians of ours and of the reference.
    pub(crate) ours: f64,
    pub(crate) reference: f64,
    /// Median, lowest and highest of the pairs' own ratios; for latencies what is added, in microseconds.
    pub(crate) ratio: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
    pub(crate) budget: Option<f64>,
    pub(crate) verdict: Verdict,
    /// What the client can make at most.
    pub(crate) ceiling: Option<f64>,
    pub(crate) pairs: usize,
    /// Pairs that were thrown away because the machine did other work.
    pub(crate) discarded: u32,
    /// The machine was never quiet: what is shown was disturbed.
    pub(crate) disturbed: bool,
    pub(crate) latency: Option<Latency>,
    pub(crate) reference_latency: Option<Latency>,
    /// The figure by the number of connections, or of cores, for a row that goes through several.
    pub(crate) curve: Vec<(f64, f64)>,
    /// What the server dropped in the last window.
    pub(crate) drops: BTreeMap<String, u64>,
    /// Anything else that is to be known.
    pub(crate) note: Option<String>,
}

/// Whether the budget is met.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    #[default]
    NoBudget,
    Met,
    Missed,
    /// The client could not offer enough.
    ClientTooSlow,
    Failed,
}

/// By how much the client has to be faster than what it measures.
const MARGIN: f64 = 1.3;

impl Outcome {
    pub(crate) fn of(row: &Row) -> Self {
        Self {
            name: row.name,
            what: row.what,
            unit: row.figure.unit(),
            connections: row.connections,
            budget: row.budget,
            ..Self::default()
        }
    }

    pub(crate) fn failed(row: &Row, failure: &Failure) -> Self {
        let note = Some(failure.to_string());
        Self { verdict: Verdict::Failed, note, ..Self::of(row) }
    }

    /// Sets the ratios' median and spread.
    pub(crate) fn set_ratios(&mut self, ratios: &[f64]) {
        self.ratio = median(ratios);
        self.lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        self.highest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    }

    fn is_stream(&self) -> bool {
        self.unit == Figure::GigabitsIn.unit()
    }

    /// Judges by the budget: the ratio is to be at least that, or at most.
    pub(crate) fn judge(&mut self, is_met: impl Fn(f64, f64) -> bool) {
        // No client sends more than the wire takes: of a stream it has to make as much as the budget wants.
        let enough = match self.budget {
            budget if self.is_stream() => budget.unwrap_or(0.0) * self.reference,
            _ => MARGIN * self.ours,
        };
        let slow = self.ceiling.is_some_and(|ceiling| ceiling < enough);
        self.verdict = match self.budget {
            Some(budget) if is_met(self.ratio, budget) => Verdict::Met,
            _ if slow => Verdict::ClientTooSlow,
            Some(_) => Verdict::Missed,
            None => Verdict::NoBudget,
        };
    }
}

/// The middle one; of an even number the mean of both.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted[..] {
        [] => 0.0,
        _ => f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_not_moved_by_one_that_is_far_off() {
        assert!((median(&[3.0, 1.0, 900.0]) - 3.0).abs() < 1e-9);
        assert!((median(&[1.0, 2.0, 3.0, 4.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }

    #[test]
    fn a_row_does_not_count_where_the_client_is_the_limit() {
        let judged = |ceiling, ratio| {
            let mut outcome =
                Outcome { ours: 100.0, budget: Some(0.5), ceiling, ratio, ..Outcome::default() };
            outcome.judge(|ratio, budget| ratio >= budget);
            outcome.verdict
        };
        assert_eq!(judged(Some(129.0), 0.4), Verdict::ClientTooSlow);
        assert_eq!(judged(Some(131.0), 0.4), Verdict::Missed);
        // A slow client only makes us look worse.
        assert_eq!(judged(Some(101.0), 0.6), Verdict::Met);
    }

    #[test]
    fn a_client_that_fills_what_the_budget_wants_of_the_wire_is_fast_enough() {
        let judged = |ceiling| {
            let mut outcome = Outcome {
                unit: "Gb/s",
                ours: 7.0,
                reference: 10.0,
                budget: Some(0.8),
                ceiling: Some(ceiling),
                ratio: 0.7,
                ..Outcome::default()
            };
            outcome.judge(|ratio, budget| ratio >= budget);
            outcome.verdict
        };
        assert_eq!(judged(8.1), Verdict::Missed);
        assert_eq!(judged(7.9), Verdict::ClientTooSlow);
    }
}
