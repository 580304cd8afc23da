//! Rows whose requests have times of their own, whatever the server does (open loop).

use super::machine::DISTURBED;
use super::outcome::{Outcome, median};
use super::pairs::{Pair, collect, compare, figure, note, quiet};
use super::rows::{Figure, Row};
use super::window::{Bench, Window};
use crate::failure::Failure;
use crate::load::report::Latency;

/// A closed loop shows once what can be served, in a window that nobody disturbs; then half as much is asked of the loop and of ours.
pub(super) fn latency(
    bench: &Bench,
    row: &Row,
    count: u32,
    retries: u32,
) -> Result<Outcome, Failure> {
    let closed = Row { figure: Figure::Responses, ..row.clone() };
    let window = quiet(retries, || bench.ours(row, &row.load))?;
    let rate = figure(&closed, &window) / 2.0;
    let load = format!("{} --rate {rate:.0}", row.load);
    let measure =
        || Ok(Pair { reference: bench.reference_at(row, rate)?, ours: bench.ours(row, &load)? });
    let mut outcome = Outcome::of(row);
    let pairs = collect(&mut outcome, (count, retries), measure)?;
    compare(&mut outcome, row, &pairs);
    let percentiles = outcome.latency.as_ref().map_or_else(String::new, percentiles);
    let doubt = if window.others > DISTURBED { ", which was measured while disturbed" } else { "" };
    outcome.note = Some(format!("at {:.0} k/s{doubt}; {percentiles}", rate / 1e3));
    Ok(outcome)
}

fn percentiles(latency: &Latency) -> String {
    let Latency { p50, p90, p99, p999, p9999, .. } = *latency;
    let told = [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("p99.99", p9999)];
    told.map(|(name, nanos)| format!("{name} {:.1}", nanos as f64 / 1e3)).join(", ")
}

/// A closed loop shows what can be served; then twice as much is offered, whether it is served or not.
pub(super) fn overload(
    bench: &Bench,
    row: &Row,
    count: u32,
    retries: u32,
) -> Result<Outcome, Failure> {
    let measure = || {
        let reference = bench.ours(row, &row.load)?;
        let offered = 2.0 * figure(row, &reference);
        let load = format!("{OFFERED} --rate {offered:.0}");
        Ok(Pair { ours: bench.ours(row, &load)?, reference })
    };
    let mut outcome = Outcome::of(row);
    let pairs = collect(&mut outcome, (count, retries), measure)?;
    let ratios: Vec<f64> = pairs
        .iter()
        .map(|pair| figure(row, &pair.ours) / figure(row, &pair.reference).max(1.0))
        .collect();
    let of = |pick: fn(&Pair) -> &Window| {
        pairs.iter().map(|pair| figure(row, pick(pair))).collect::<Vec<_>>()
    };
    outcome.ours = median(&of(|pair| &pair.ours));
    outcome.reference = median(&of(|pair| &pair.reference));
    outcome.set_ratios(&ratios);
    if let Some(Pair { reference, ours }) = pairs.last() {
        outcome.latency.clone_from(&ours.report.latency);
        outcome.drops.clone_from(&ours.server.drops);
        outcome.note = note(row, reference, ours);
    }
    outcome.judge(|ratio, budget| ratio >= budget);
    Ok(outcome)
}

/// As many connections as may be under way while nobody waits for the server.
const OFFERED: &str = "--mode churn --server-closes --connections 60000 --addresses 64";
