//! Rows with client and server in one process, over a wire in memory: where the server runs, and how many connections there are.

use super::machine::DISTURBED;
use super::outcome::{Outcome, median};
use super::rows::{Figure, Row};
use super::table::shown;
use super::window::{Bench, Inside};
use crate::failure::Failure;

/// Numbers of connections at which a request's cost is measured; the last ones only where a row says so.
const COUNTS: [u32; 6] = [1, UNDER_WAY, 1000, 10_000, 100_000, 1_000_000];
/// On so many connections requests are under way, if there are as many.
const UNDER_WAY: u32 = 64;

/// The server on a thread of its own, against the same on the protocol thread.
pub(super) fn thread(
    bench: &Bench,
    row: &Row,
    count: u32,
    retries: u32,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::of(row);
    let mut pairs = Vec::new();
    let placed = |placement| bench.inside(&format!("--placement {placement} {}", row.load));
    while pairs.len() < count as usize
        && pairs.len() + discarded(&outcome) < (count + retries) as usize
    {
        let pair = [placed("core")?, placed(row.serve)?];
        outcome.discarded += u32::from(is_disturbed(&pair));
        if !is_disturbed(&pair) || pairs.is_empty() && outcome.discarded == count + retries {
            outcome.disturbed = is_disturbed(&pair);
            pairs.push(pair);
        }
    }
    let of =
        |which: usize| -> Vec<f64> { pairs.iter().map(|pair| figure(row, &pair[which])).collect() };
    let (core, thread) = (of(0), of(1));
    (outcome.reference, outcome.ours) = (median(&core), median(&thread));
    let added: Vec<f64> = thread.iter().zip(&core).map(|(thread, core)| thread - core).collect();
    outcome.set_ratios(&added);
    outcome.pairs = pairs.len();
    if let Some([core, thread]) = pairs.last().filter(|_| row.figure == Figure::ThreadLatency) {
        outcome.latency.clone_from(&thread.report.report.latency);
        outcome.reference_latency.clone_from(&core.report.report.latency);
    }
    outcome.judge(|added, budget| added <= budget);
    Ok(outcome)
}

fn discarded(outcome: &Outcome) -> usize {
    outcome.discarded as usize
}

fn is_disturbed(windows: &[Inside]) -> bool {
    windows.iter().any(|window| window.others > DISTURBED)
}

fn figure(row: &Row, window: &Inside) -> f64 {
    match row.figure {
        Figure::ThreadLatency => {
            let latency = window.report.report.latency.as_ref();
            latency.map_or(0.0, |latency| latency.p50 as f64 / 1e3)
        }
        _ => window.report.nanos_per_request,
    }
}

/// What a request costs with ever more connections, without the client's part. The ratio is that of the most connections to as many as
/// are under way: with a single one each turn of the loop has one request, which is dearer for another reason.
pub(super) fn growth(bench: &Bench, row: &Row, count: u32) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::of(row);
    let counts = COUNTS.iter().filter(|connections| row.connections >= Some(**connections));
    let counts: Vec<u32> = counts.copied().collect();
    let mut runs = Vec::new();
    for _ in 0..count {
        let costs = counts.iter().map(|connections| {
            let arguments = format!("--connections {connections} --under-way {UNDER_WAY}");
            let window = bench.inside(&arguments)?;
            outcome.discarded += u32::from(is_disturbed(std::slice::from_ref(&window)));
            Ok(window.report.nanos_per_request - window.report.client_nanos_per_request)
        });
        runs.push(costs.collect::<Result<Vec<f64>, Failure>>()?);
    }
    // Nothing is thrown away here: what a disturbed window shows is said.
    outcome.disturbed = outcome.discarded > 0;
    outcome.discarded = 0;
    let of = |index: usize| median(&runs.iter().map(|costs| costs[index]).collect::<Vec<_>>());
    outcome.curve =
        counts.iter().enumerate().map(|(index, n)| (f64::from(*n), of(index))).collect();
    let most = counts.len() - 1;
    (outcome.reference, outcome.ours) = (of(1), of(most));
    let ratios: Vec<f64> = runs.iter().map(|costs| costs[most] / costs[1].max(1e-9)).collect();
    outcome.set_ratios(&ratios);
    outcome.pairs = runs.len();
    // It is a series and no point in the plot of throughput.
    outcome.connections = None;
    let told = outcome.curve.iter().map(|(n, cost)| format!("{}: {cost:.0}", shown(*n)));
    outcome.note = Some(format!("ns by connections {}", told.collect::<Vec<_>>().join(", ")));
    outcome.judge(|ratio, budget| ratio <= budget);
    Ok(outcome)
}

/// Memory of idle connections.
pub(super) fn memory(bench: &Bench, row: &Row) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::of(row);
    let window = bench.inside(&row.load)?;
    outcome.ours = window.report.bytes_per_connection;
    outcome.ratio = outcome.ours;
    outcome.pairs = 1;
    outcome.judge(|each, budget| each <= budget);
    Ok(outcome)
}
