//! What a transfer must get, by theory: the path's capacity, or what its losses leave of it, once the window has grown.

use std::time::Duration;

use darner::CongestionAlgorithm;

use crate::path::{Loss, Order, Path, Queue, SEGMENT};

/// The least throughput, in percent of what the path can carry in `span`.
pub(crate) fn throughput(
    path: &Path,
    congestion: CongestionAlgorithm,
    flows: u64,
    span: Duration,
) -> f64 {
    let capacity = path.capacity();
    let each = response(path, congestion).min(regrown(path, congestion, span));
    let steady = capacity.min(flows as f64 * each);
    let full = delivered(path, (congestion, flows), steady, span) / (capacity * span.as_secs_f64());
    full * share(path, congestion) * 100.0
}

/// How much of the ideal is asked for. A loss takes half of Reno's window and the queue holds the rest of it up: without one, three quarters
/// remain in the mean; and what the model leaves out (timeouts, the time that a recovery takes, reordering taken for loss) costs more where more is lost.
fn share(path: &Path, congestion: CongestionAlgorithm) -> f64 {
    let clean = if path.queue == Queue::Shallow { 0.75 } else { 0.85 };
    let lossy = match (path.loss_rate(), congestion) {
        (0.0, _) => 1.0,
        (0.02.., CongestionAlgorithm::Bbr) => 0.8,
        (0.02.., _) => 0.6,
        _ => 0.8,
    };
    let mixed = if path.order == Order::Mixed { 0.85 } else { 1.0 };
    clean * lossy * mixed
}

/// Bytes per second that a window of one flow makes where so much is lost: the mean window over the round trip.
fn response(path: &Path, congestion: CongestionAlgorithm) -> f64 {
    let lost = path.loss_events();
    if lost == 0.0 || congestion == CongestionAlgorithm::Bbr {
        return f64::INFINITY;
    }
    let round_trip = path.round_trip.as_secs_f64();
    let reno = reno(lost, round_trip);
    let segments = match congestion {
        // RFC 9438, equation 6, with C = 0.4 and beta = 0.7; never less than Reno (section 4.3).
        CongestionAlgorithm::Cubic => reno.max(1.054 * (round_trip / lost).powf(0.75) / round_trip),
        _ => reno,
    };
    segments * f64::from(SEGMENT)
}

/// Bytes per second that a window makes in the mean which grows by a segment each round, from where it has fallen to after slow start. On a path that changes the
/// order of packets RACK waits before it takes any for lost (RFC 8985, section 6.2, step 4), and slow start goes on: more than twice what path and queue
/// hold is in flight then, half of it is too much still, and is lost again. Two reductions are due, as for a lost retransmission (RFC 5681, section 4.3).
fn regrown(path: &Path, congestion: CongestionAlgorithm, span: Duration) -> f64 {
    let overshoots = path.order == Order::Mixed && path.queue != Queue::Marking;
    let (kept, step) = match congestion {
        _ if path.loss != Loss::None || !overshoots => return f64::INFINITY,
        CongestionAlgorithm::Bbr => return f64::INFINITY,
        // RFC 9438, sections 4.3 and 4.6: the window grows as Reno's would that keeps as much.
        CongestionAlgorithm::Cubic => (0.7, 3.0 * 0.3 / 1.7),
        _ => (0.5, 1.0),
    };
    let round_trip = path.round_trip.as_secs_f64();
    let fallen = f64::powi(kept, 2) * (path.product() + path.queue_bytes()) as f64;
    let rounds = span.as_secs_f64() / round_trip;
    (fallen + step * rounds / 2.0 * f64::from(SEGMENT)) / round_trip
}

/// Segments per second: Mathis, Semke, Mahdavi and Ott 1997, with the timeouts of Padhye, Firoiu, Towsley and Kurose 1998 (equation 30, every
/// segment acknowledged): on short paths the least timeout costs a thousand round trips.
fn reno(lost: f64, round_trip: f64) -> f64 {
    let timeout = TIMEOUT_MIN.max(2.0 * round_trip);
    let losses = round_trip * (2.0 * lost / 3.0).sqrt();
    let timeouts =
        timeout * (3.0 * (3.0 * lost / 8.0).sqrt()).min(1.0) * lost * (1.0 + 32.0 * lost.powi(2));
    // A window of many segments has none: SACK repairs what it loses.
    let windows_are_small = lost >= 0.01;
    1.0 / (losses + if windows_are_small { timeouts } else { 0.0 })
}

/// `TcpConfig::min_rto`.
const TIMEOUT_MIN: f64 = 0.2;

/// Bytes delivered in `span` when the window grows every round trip from ten segments up to what the steady rate takes.
fn delivered(
    path: &Path,
    (congestion, flows): (CongestionAlgorithm, u64),
    steady: f64,
    span: Duration,
) -> f64 {
    let (round_trip, end) = (path.round_trip.as_secs_f64().max(1e-6), span.as_secs_f64());
    let (mut at, mut bytes) = (round_trip, 0.0);
    let mut window = 10.0 * f64::from(SEGMENT) * flows as f64;
    while at < end && window / round_trip < steady {
        bytes += window;
        window *= match congestion {
            CongestionAlgorithm::Bbr => startup_growth(path, window / f64::from(SEGMENT)),
            // Slow start by CUBIC's HyStart++ may leave early, and grows by an eighth of that then: a round more for each doubling.
            _ => 1.5,
        };
        at += round_trip;
    }
    bytes + steady * (end - at).max(0.0)
}

/// By how much BBR's window of so many segments grows in a round before the pipe is full.
fn startup_growth(path: &Path, window: f64) -> f64 {
    let lost = path.loss_rate();
    match window * path.loss_events() {
        // More than two percent, and six of them in a round, end Startup (draft-ietf-ccwg-bbr, section 5.3.1.3); version 1 knows no such rule, but sees its bandwidth
        // grow by less than a quarter thrice in a row by chance there. What is left to grow by is the quarter in eight rounds of ProbeBW.
        6.0.. if lost > 0.02 => (1.25 * (1.0 - lost)).max(1.0).powf(1.0 / 8.0),
        // Every window loses something: a recovery conserves packets in its first round (draft-cardwell-iccrg-bbr-congestion-control-00, section 4.2.3.4), in
        // which what is lost is not replaced, and only in its second the window grows by what is delivered.
        1.0.. => ((1.0 - lost) * (2.0 - lost)).sqrt(),
        _ => 1.5,
    }
}

#[test]
fn a_window_grows_back_slowly_where_the_order_changes_and_the_queue_is_short() {
    let path = |round_trip_ms, order, queue| Path {
        bits_per_second: 100_000_000,
        round_trip: Duration::from_millis(round_trip_ms),
        loss: Loss::None,
        order,
        queue,
    };
    let of_capacity = |path: Path, congestion| {
        regrown(&path, congestion, path.round_trip * 100) / path.capacity()
    };
    let (reno, cubic) = (CongestionAlgorithm::NewReno, CongestionAlgorithm::Cubic);
    let long = path(100, Order::Mixed, Queue::Shallow);
    // A quarter of 1.5 times the path, and half of a hundred segments, of 825.
    assert!((of_capacity(long, reno) - 0.45).abs() < 0.01);
    assert!((of_capacity(long, cubic) - 0.80).abs() < 0.01);
    for path in [
        path(100, Order::Mixed, Queue::Bloated),
        path(100, Order::Mixed, Queue::Marking),
        path(100, Order::Kept, Queue::Shallow),
    ] {
        assert!(of_capacity(path, reno) > 1.0, "{path}");
    }
}

#[test]
fn bbr_grows_by_what_losses_leave_it() {
    for (percent, window, want) in [
        (0.0, 1e6, 1.5),
        (0.1, 900.0, 1.5),
        (0.1, 1100.0, 1.413),
        (1.0, 1000.0, 1.404),
        (5.0, 19.0, 1.5),
        (5.0, 100.0, 1.361),
        (5.0, 121.0, 1.022),
    ] {
        let path = Path {
            bits_per_second: 10_000_000_000,
            round_trip: Duration::from_millis(100),
            loss: Loss::Percent(percent),
            order: Order::Kept,
            queue: Queue::Shallow,
        };
        let growth = startup_growth(&path, window);
        assert!((growth - want).abs() < 0.001, "{percent}% of {window}: {growth}");
    }
}

#[test]
fn the_response_functions_are_those_of_the_literature() {
    let path = Path {
        bits_per_second: 10_000_000_000,
        round_trip: Duration::from_millis(100),
        loss: Loss::Percent(0.01),
        order: Order::Kept,
        queue: Queue::Shallow,
    };
    let segments = |congestion| response(&path, congestion) / f64::from(SEGMENT) * 0.1;
    // RFC 9438, table 2: at a packet loss rate of 1e-4 and 100 ms, Reno has 120 segments and CUBIC 187.
    assert!((segments(CongestionAlgorithm::NewReno) - 122.0).abs() < 1.0);
    assert!((segments(CongestionAlgorithm::Cubic) - 187.0).abs() < 1.0);
}
