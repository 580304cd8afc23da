//! Another server beside ours, with the same client: that of another build, or a peer over the same kind of device.

use super::outcome::{Outcome, median};
use super::pairs::{Pair, collect, figure, note};
use super::rows::{Figure, Peer, Row};
use super::window::Bench;
use crate::failure::Failure;

/// Whether two servers can be told apart by a row: it has one server, and nothing of it is made for each window.
pub(super) fn compares(row: &Row) -> bool {
    use Figure::{Connections, GigabitsBoth, GigabitsIn, GigabitsOut};
    use Figure::{Latency, Memory, Responses, StartUp};
    let figures =
        [Connections, GigabitsBoth, GigabitsIn, GigabitsOut, Latency, Memory, Responses, StartUp];
    row.kernel.is_none()
        && row.peer.is_none()
        && row.taps.is_none()
        && figures.contains(&row.figure)
}

/// Beside the other build.
pub(super) fn measure(
    bench: &Bench,
    row: &Row,
    count: u32,
    retries: u32,
) -> Result<Outcome, Failure> {
    let measure = || Ok(Pair { reference: bench.base(row)?, ours: bench.ours(row, &row.load)? });
    beside(row, (count, retries), measure)
}

/// Beside a peer over a tap device.
pub(super) fn beside_peer(
    bench: &Bench,
    (row, peer): (&Row, Peer),
    count: u32,
    retries: u32,
) -> Result<Outcome, Failure> {
    let measure = || {
        Ok(Pair { reference: bench.over_tap(row, Some(peer))?, ours: bench.over_tap(row, None)? })
    };
    beside(row, (count, retries), measure)
}

/// Pairs of windows, the other's first; the ratio is of their figures, also for latencies.
fn beside(
    row: &Row,
    (count, retries): (u32, u32),
    measure: impl Fn() -> Result<Pair, Failure>,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome { budget: None, ..Outcome::of(row) };
    let pairs = collect(&mut outcome, (count, retries), measure)?;
    let base: Vec<f64> = pairs.iter().map(|pair| figure(row, &pair.reference)).collect();
    let ours: Vec<f64> = pairs.iter().map(|pair| figure(row, &pair.ours)).collect();
    let ratios: Vec<f64> =
        ours.iter().zip(&base).map(|(ours, base)| ours / base.max(1e-9)).collect();
    (outcome.reference, outcome.ours) = (median(&base), median(&ours));
    outcome.set_ratios(&ratios);
    if let Some(Pair { reference, ours }) = pairs.last() {
        outcome.latency.clone_from(&ours.report.latency);
        outcome.reference_latency.clone_from(&reference.report.latency);
        outcome.drops.clone_from(&ours.server.drops);
        outcome.note = note(row, reference, ours).filter(|_| row.figure != Figure::Latency);
    }
    Ok(outcome)
}
