//! A row, pair by pair.

use super::base;
use super::cores;
use super::inside;
use super::machine::DISTURBED;
use super::open;
use super::outcome::{Outcome, median};
use super::rows::{ADDRESSES, Figure, Row};
use super::taps;
use super::window::{Bench, Window};
use crate::failure::Failure;
use crate::load::report::Report;

/// What two windows, one after the other, have shown.
pub(super) struct Pair {
    pub(super) reference: Window,
    pub(super) ours: Window,
}

/// Measures a row: `count` pairs, and up to `retries` more in place of those that were disturbed.
pub(crate) fn measure(
    bench: &Bench,
    row: &Row,
    count: u32,
    retries: u32,
) -> Result<Outcome, Failure> {
    if bench.has_base() {
        return base::measure(bench, row, count, retries);
    }
    if let Some(peer) = row.peer {
        return base::beside_peer(bench, (row, peer), count, retries);
    }
    if let Some(kind) = row.taps {
        return taps::measure(bench, (row, kind), count, retries);
    }
    match row.figure {
        Figure::Cores => cores::measure(bench, row, count),
        Figure::StartUp => start_up(bench, row, count),
        Figure::Memory => memory(bench, row),
        Figure::TimeWait => time_wait(bench, row),
        Figure::ThreadCost | Figure::ThreadLatency => inside::thread(bench, row, count, retries),
        Figure::Growth => inside::growth(bench, row, count),
        Figure::MemoryInside => inside::memory(bench, row),
        Figure::Overload => open::overload(bench, row, count, retries),
        Figure::LatencyOpen => open::latency(bench, row, count, retries),
        _ => beside_the_loop(bench, row, count, retries),
    }
}

fn beside_the_loop(bench: &Bench, row: &Row, count: u32, retries: u32) -> Result<Outcome, Failure> {
    let measure =
        || Ok(Pair { reference: bench.reference(row)?, ours: bench.ours(row, &row.load)? });
    let mut outcome = Outcome::of(row);
    let pairs = collect(&mut outcome, (count, retries), measure)?;
    compare(&mut outcome, row, &pairs);
    if row.figure == Figure::Latency {
        outcome.judge(|added, budget| added <= budget);
    } else {
        outcome.ceiling = Some(figure(row, &bench.ceiling(row)?));
        outcome.judge(|ratio, budget| ratio >= budget);
    }
    Ok(outcome)
}

/// Pairs that nobody has disturbed; or, if the machine is never quiet, those that there are.
pub(super) fn collect(
    outcome: &mut Outcome,
    (count, retries): (u32, u32),
    measure: impl Fn() -> Result<Pair, Failure>,
) -> Result<Vec<Pair>, Failure> {
    let (mut quiet, mut disturbed) = (Vec::new(), Vec::new());
    while quiet.len() < count as usize && quiet.len() + disturbed.len() < (count + retries) as usize
    {
        let pair = measure()?;
        let others = pair.reference.others.max(pair.ours.others);
        if others > DISTURBED { disturbed.push((others, pair)) } else { quiet.push(pair) }
    }
    outcome.discarded = u32::try_from(disturbed.len()).unwrap_or(u32::MAX);
    outcome.disturbed = quiet.is_empty();
    if quiet.is_empty() {
        // The least disturbed ones, and said to be so.
        disturbed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        quiet = disturbed.into_iter().map(|(_, pair)| pair).take(count as usize).collect();
    }
    outcome.pairs = quiet.len();
    Ok(quiet)
}

/// One window that nobody has disturbed; or, if there is none in `retries` more, the least disturbed.
pub(super) fn quiet(
    retries: u32,
    measure: impl Fn() -> Result<Window, Failure>,
) -> Result<Window, Failure> {
    let mut best = measure()?;
    for _ in 0..retries {
        if best.others <= DISTURBED {
            break;
        }
        let next = measure()?;
        if next.others < best.others {
            best = next;
        }
    }
    Ok(best)
}

pub(super) fn compare(outcome: &mut Outcome, row: &Row, pairs: &[Pair]) {
    let of =
        |pick: fn(&Row, &Pair) -> f64| pairs.iter().map(|pair| pick(row, pair)).collect::<Vec<_>>();
    let ours = of(|row, pair| figure(row, &pair.ours));
    let reference = of(|row, pair| reference_figure(row, &pair.reference));
    let ratios: Vec<f64> = ours
        .iter()
        .zip(&reference)
        .map(|(ours, reference)| match row.figure {
            Figure::Latency | Figure::LatencyOpen => ours - reference,
            _ => ours / reference.max(1e-9),
        })
        .collect();
    (outcome.ours, outcome.reference) = (median(&ours), median(&reference));
    outcome.set_ratios(&ratios);
    if let Some(Pair { reference, ours }) = pairs.last() {
        outcome.latency.clone_from(&ours.report.latency);
        outcome.reference_latency.clone_from(&reference.report.latency);
        outcome.drops.clone_from(&ours.server.drops);
        outcome.note = note(row, reference, ours);
    }
}

pub(super) fn note(row: &Row, reference: &Window, ours: &Window) -> Option<String> {
    let counts = &ours.report.counts;
    if let (Figure::Latency, Some(ours), Some(loop_)) =
        (row.figure, &ours.report.latency, &reference.report.latency)
    {
        let added = |ours: u64, reference: u64| (ours as f64 - reference as f64) / 1e3;
        return Some(format!(
            "p99 {:+.1} us, p99.9 {:+.1} us (budget 10)",
            added(ours.p99, loop_.p99),
            added(ours.p999, loop_.p999)
        ));
    }
    let odd = [
        ("sent again", counts.resent),
        ("resets", counts.resets),
        ("closed early", counts.closed_early),
        ("bad responses", counts.bad_responses),
        ("given up", counts.abandoned),
        ("out of order", counts.out_of_order),
    ];
    let odd: Vec<String> = odd
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    (!odd.is_empty()).then(|| odd.join(", "))
}

/// A window's figure.
pub(super) fn figure(row: &Row, window: &Window) -> f64 {
    let report = &window.report;
    match row.figure {
        Figure::Memory => window.grown_kib as f64 * 1024.0 / report.before.opened.max(1) as f64,
        Figure::TimeWait => window.grown_beyond_limit().unwrap_or(0.0),
        Figure::StartUp => window.start_up.as_secs_f64() * 1e3,
        told => told_by_client(told, report),
    }
}

/// What the client's report alone says; nothing where that takes more.
pub(super) fn told_by_client(figure: Figure, report: &Report) -> f64 {
    match figure {
        Figure::Responses | Figure::Cores => report.per_second(report.counts.responses),
        Figure::Connections | Figure::Overload => report.per_second(report.counts.closed),
        Figure::GigabitsIn => report.per_second(report.counts.bytes_in) * 8e-9,
        Figure::GigabitsBoth => {
            report.per_second(report.counts.bytes_in + report.counts.bytes_out) * 8e-9
        }
        Figure::GigabitsOut => report.per_second(report.counts.bytes_out) * 8e-9,
        Figure::Latency | Figure::LatencyOpen => {
            report.latency.as_ref().map_or(0.0, |latency| latency.p50 as f64 / 1e3)
        }
        Figure::Memory | Figure::TimeWait | Figure::StartUp => 0.0,
        // They have no such windows.
        Figure::ThreadCost | Figure::ThreadLatency | Figure::Growth | Figure::MemoryInside => 0.0,
    }
}

/// The loop's figure in the same unit: a full frame counts with the payload that TCP would have in it.
fn reference_figure(row: &Row, window: &Window) -> f64 {
    if row.kernel.is_some() || row.taps.is_some() {
        return figure(row, window);
    }
    let report = &window.report;
    let frames = report.per_second(report.counts.responses);
    match row.figure {
        Figure::GigabitsIn | Figure::GigabitsOut => frames * PAYLOAD * 8e-9,
        // A frame goes there and back.
        Figure::GigabitsBoth => 2.0 * frames * PAYLOAD * 8e-9,
        Figure::Latency | Figure::LatencyOpen => figure(row, window),
        _ => frames,
    }
}

/// Bytes of payload in a full frame with timestamps.
const PAYLOAD: f64 = 1448.0;

fn start_up(bench: &Bench, row: &Row, count: u32) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::of(row);
    let spans = (0..count).map(|_| bench.start_up(row).map(|span| span.as_secs_f64() * 1e3));
    let spans = spans.collect::<Result<Vec<_>, _>>()?;
    outcome.ours = median(&spans);
    outcome.pairs = spans.len();
    Ok(outcome)
}

fn memory(bench: &Bench, row: &Row) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::of(row);
    let window = bench.ours(row, &row.load)?;
    outcome.ours = figure(row, &window);
    outcome.ratio = outcome.ours;
    outcome.pairs = 1;
    outcome.judge(|each, budget| each <= budget);
    outcome.drops = window.server.drops;
    Ok(outcome)
}

/// Connections come and go until TIME-WAIT is full, and then go on: from there on memory is to stay what it is.
fn time_wait(bench: &Bench, row: &Row) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::of(row);
    let window = bench.ours(row, &row.load)?;
    let Some(full) = window.server.resident_kib.time_wait_full else {
        return Err(Failure::failed(
            "TIME-WAIT did not come to its limit in this time: say longer --seconds",
        ));
    };
    outcome.ours = figure(row, &window);
    outcome.ratio = outcome.ours;
    outcome.pairs = 1;
    outcome.note = Some(format!(
        "{:.1} MiB at the limit, {:.1} at the end; {} ended early meanwhile; 2MSL {} s, {ADDRESSES} client addresses; {:.0} k connections/s",
        full as f64 / 1024.0,
        window.server.resident_kib.end as f64 / 1024.0,
        window.server.recycled(),
        window.server.time_wait_seconds,
        window.report.per_second(window.report.counts.closed) / 1e3,
    ));
    outcome.judge(|grown, budget| grown <= budget);
    outcome.drops = window.server.drops;
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    /// How many cores others used in the window that was taken, and in those that were not measured any more.
    fn taken(retries: u32, windows: &[f64]) -> (f64, Vec<f64>) {
        let left = RefCell::new(windows.to_vec());
        let measure = || {
            let others = left.borrow_mut().remove(0);
            let (report, server) = Default::default();
            Ok(Window { report, others, start_up: Duration::ZERO, grown_kib: 0, server })
        };
        let window = quiet(retries, measure).unwrap();
        (window.others, left.into_inner())
    }

    #[test]
    fn a_window_is_measured_again_until_it_is_quiet() {
        assert_eq!(taken(3, &[0.01, 0.0]), (0.01, vec![0.0]));
        assert_eq!(taken(3, &[0.5, 0.9, 0.08, 0.0]), (0.08, vec![0.0]));
    }

    #[test]
    fn where_it_is_never_quiet_the_least_disturbed_counts() {
        assert_eq!(taken(2, &[0.5, 0.2, 0.9, 0.0]), (0.2, vec![0.0]));
        assert_eq!(taken(0, &[0.5, 0.0]), (0.5, vec![0.0]));
    }
}
