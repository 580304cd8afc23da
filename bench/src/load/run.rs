//! A generator in real time: set up, warm up, measure.

use std::time::{Duration, Instant};

use super::counts::Counts;
use super::port::Port;
use super::report::{Latency, Report};
use super::traffic::Traffic;
use crate::failure::Failure;

/// How long each part takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spans {
    pub(crate) set_up_most: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
}

/// What the line begins with by which others know that measuring has begun.
pub(crate) const MEASURING: &str = "measuring";

/// Turns between two looks at what is left, while nothing else reads the clock for it.
const LOOK_EVERY: u32 = 64;

/// Runs `traffic` over `port`, and tells how it goes on standard error.
pub(crate) fn run(
    port: &mut Port,
    traffic: &mut dyn Traffic,
    spans: &Spans,
) -> Result<Report, Failure> {
    let start = Instant::now();
    eprintln!("setting up");
    let ready = |traffic: &dyn Traffic| traffic.is_ready();
    turn_until(port, traffic, (start, spans.set_up_most), ready);
    if !traffic.is_ready() {
        return Err(not_ready(&totals(port, traffic), spans));
    }
    eprintln!("warming up, after {:.2} s", start.elapsed().as_secs_f64());
    traffic.begin(nanos(start));
    let never = |_: &dyn Traffic| false;
    turn_until(port, traffic, (start, start.elapsed() + spans.warm_up), never);
    eprintln!("{MEASURING} for {:.2} s", spans.measure.as_secs_f64());
    traffic.latencies().reset();
    let (before, begin) = (totals(port, traffic), start.elapsed());
    turn_until(port, traffic, (start, begin + spans.measure), never);
    let seconds = (start.elapsed() - begin).as_secs_f64();
    let counts = totals(port, traffic).since(&before);
    Ok(Report { seconds, counts, before, latency: Latency::of(traffic.latencies()) })
}

fn turn_until(
    port: &mut Port,
    traffic: &mut dyn Traffic,
    (start, end): (Instant, Duration),
    is_done: impl Fn(&dyn Traffic) -> bool,
) {
    let end = u64::try_from(end.as_nanos()).unwrap_or(u64::MAX);
    loop {
        for _ in 0..LOOK_EVERY {
            let now = nanos(start);
            traffic.turn(port, now);
            if now >= end {
                return;
            }
        }
        if is_done(traffic) {
            return;
        }
    }
}

/// What traffic and port have counted together.
fn totals(port: &Port, traffic: &dyn Traffic) -> Counts {
    let frames = port.counts();
    Counts {
        frames_in: frames.received,
        frames_out: frames.sent,
        frames_lost: frames.lost + frames.without_frame,
        ..traffic.counts()
    }
}

fn not_ready(counts: &Counts, spans: &Spans) -> Failure {
    let Counts { opened, frames_in, frames_out, resets, .. } = counts;
    let waited = spans.set_up_most.as_secs_f64();
    let hint = match (frames_in, resets) {
        (0, _) => {
            "nothing has come back: does a server run on the other end of the device, and has it this address?"
        }
        (_, 0) => "the server answers, but too slowly or not to this",
        _ => "the server refuses connections: is the port right, and are its tables large enough?",
    };
    Failure::failed(format_args!(
        "not ready after {waited:.1} s ({opened} connections open, {frames_out} frames sent, {frames_in} received, {resets} resets): {hint}"
    ))
}

fn nanos(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
