//! BBR, version 1 (draft-cardwell-iccrg-bbr-congestion-control-00): goes by a model of the path instead of by its losses.
//!
//! The model is two numbers: the most that the path has lately delivered per second, and the shortest round trip. Their
//! product is what must be in flight to fill the path without a queue. As one of them can only be measured with a queue and
//! the other only without, the phases take turns.
//!
//! From later versions there is the pacing margin. What version 1 is known for stays: two of them are not always fair to each
//! other, and other flows behind a short queue are not spared.

use super::controller::{Ack, Congested, Controller, RateSample, Start};
use super::filter::MaxFilter;
use super::rounds::RoundTrip;
use super::window::{LARGEST, MSS_MAX, initial};
use super::{Handshake, Timeout};
use crate::time::{Instant, Span};

/// The model of a connection's path, and the rate and window that follow from it.
#[derive(Clone, Debug)]
pub(crate) struct Bbr {
    phase: Phase,
    /// BtlBw, in bytes per second.
    bandwidth: MaxFilter,
    /// RTprop, and when it was last seen.
    min_round_trip: Option<Span>,
    min_seen: Instant,
    pacing_rate: u64,
    /// The bandwidth at which it last grew by a quarter, and for how many rounds it has not.
    full_bandwidth: u64,
    full_rounds: u8,
    pipe: Pipe,
    recovery: Recovery,
    restart: Restart,
    /// How many rounds have begun.
    rounds: u32,
    /// For so many rounds samples still are of what was sent slowly on purpose, and say nothing of the path.
    slow_rounds: u8,
    mss: u32,
    window: u32,
    /// The window before recovery or ProbeRTT took it down.
    prior: u32,
    initial: u32,
}

/// Section 4.3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Doubles the rate each round until the bandwidth grows no more.
    Startup,
    /// Lets go the queue that Startup has made.
    Drain,
    /// Sends at the bandwidth, and now and then more, followed by less: steps of [`CYCLE`].
    ProbeBandwidth { step: u8, since: Instant },
    /// Sends next to nothing, to see the path without a queue: for a while, and a round trip, from when little is in flight.
    ProbeRoundTrip { drained: Option<Drained> },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Drained {
    until: Instant,
    round_trip: RoundTrip,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pipe {
    Filling,
    /// Startup has found the bandwidth.
    Filled,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Recovery {
    No,
    /// Its first round trip: what leaves the network is replaced, and no more.
    Conserving(RoundTrip),
    Growing,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Restart {
    No,
    /// Nothing has been delivered since a pause.
    FromIdle,
}

impl Bbr {
    pub(crate) fn new(start: Start) -> Self {
        let mss = start.mss.clamp(1, MSS_MAX);
        let initial = initial(mss, start.initial_segments);
        Self {
            phase: Phase::Startup,
            bandwidth: MaxFilter::NEW,
            min_round_trip: None,
            min_seen: Instant::ZERO,
            pacing_rate: times(
                HIGH_GAIN,
                rate(initial.into(), start.round_trip.unwrap_or(NO_ROUND_TRIP)),
            ),
            full_bandwidth: 0,
            full_rounds: 0,
            pipe: Pipe::Filling,
            recovery: Recovery::No,
            restart: Restart::No,
            rounds: 0,
            slow_rounds: 0,
            mss,
            window: if start.handshake == Handshake::Smooth { initial } else { mss },
            prior: 0,
            initial,
        }
    }

    /// Section 4.1: what the ACK says of the path.
    fn measure(&mut self, ack: &Ack) {
        if ack.round_start {
            self.rounds = self.rounds.wrapping_add(1);
            self.slow_rounds = self.slow_rounds.saturating_sub(1);
        }
        if let Some(sample) = ack.rate.as_ref().filter(|sample| !sample.interval.is_zero()) {
            self.measure_bandwidth(sample);
            if ack.round_start && !self.is_limited(sample) {
                self.check_full_pipe();
            }
        }
        let expired = self.min_is_old(ack.now);
        if let Some(round_trip) = ack.round_trip
            && (expired || self.min_round_trip.is_none_or(|least| round_trip <= least))
        {
            self.min_round_trip = Some(round_trip);
            self.min_seen = ack.now;
        }
    }

    /// Section 4.1.1.3: what an application or we ourselves have slowed down counts only if it is faster all the same.
    fn measure_bandwidth(&mut self, sample: &RateSample) {
        let bandwidth = rate(sample.delivered, sample.interval);
        if bandwidth >= self.bandwidth.max() || !self.is_limited(sample) {
            self.bandwidth.add(self.rounds, bandwidth, BANDWIDTH_ROUNDS);
        }
    }

    fn is_limited(&self, sample: &RateSample) -> bool {
        let probing = matches!(self.phase, Phase::ProbeRoundTrip { .. });
        sample.app_limited || probing || self.slow_rounds > 0
    }

    /// Section 4.3.2.2: three rounds without a quarter more.
    fn check_full_pipe(&mut self) {
        if self.pipe == Pipe::Filled {
            return;
        }
        if self.bandwidth.max() >= self.full_bandwidth.saturating_add(self.full_bandwidth / 4) {
            self.full_bandwidth = self.bandwidth.max();
            self.full_rounds = 0;
            return;
        }
        self.full_rounds += 1;
        if self.full_rounds >= FULL_ROUNDS {
            self.pipe = Pipe::Filled;
        }
    }

    /// Sections 4.3.3 and 4.3.4: where the state machine stands, with `flight` in flight after the ACK.
    fn advance(&mut self, ack: &Ack, flight: u32) {
        if self.phase == Phase::Startup && self.pipe == Pipe::Filled {
            self.phase = Phase::Drain;
        }
        match self.phase {
            Phase::Drain if flight <= self.inflight(UNIT) => self.probe_bandwidth(ack.now),
            Phase::ProbeBandwidth { step, since } if self.step_is_over(step, since, ack) => {
                let step = (step + 1) % CYCLE_STEPS;
                self.phase = Phase::ProbeBandwidth { step, since: ack.now };
            }
            _ => {}
        }
    }

    /// Section 4.3.4.2: begins anywhere but with the step that drains, by chance, so that flows do not all probe at once. The
    /// nanosecond is chance enough, and the same in every run of a simulation.
    fn probe_bandwidth(&mut self, now: Instant) {
        let step = match now.as_nanos() % 7 {
            0 => 0,
            1 => 2,
            2 => 3,
            3 => 4,
            4 => 5,
            5 => 6,
            _ => 7,
        };
        self.phase = Phase::ProbeBandwidth { step, since: now };
    }

    /// Section 4.3.4.3.
    fn step_is_over(&self, step: u8, since: Instant, ack: &Ack) -> bool {
        let gain = CYCLE[usize::from(step)];
        let full_length = ack.now.span_since(since) > self.min_round_trip.unwrap_or_default();
        if gain > UNIT {
            full_length && (newly_lost(ack) > 0 || ack.flight >= self.inflight(gain))
        } else if gain < UNIT {
            full_length || ack.flight <= self.inflight(UNIT)
        } else {
            full_length
        }
    }

    /// Section 4.3.5. After a pause there is no queue of ours to be drained.
    fn check_round_trip(&mut self, ack: &Ack, flight: u32, expired: Expired) {
        let probing = matches!(self.phase, Phase::ProbeRoundTrip { .. });
        if expired == Expired::Yes && !probing && self.restart == Restart::No {
            self.prior = self.window_to_restore();
            self.phase = Phase::ProbeRoundTrip { drained: None };
        }
        if let Phase::ProbeRoundTrip { drained } = self.phase {
            self.probe_round_trip(ack, flight, drained);
        }
        if ack.delivered > 0 {
            self.restart = Restart::No;
        }
    }

    fn probe_round_trip(&mut self, ack: &Ack, flight: u32, drained: Option<Drained>) {
        let Some(mut drained) = drained else {
            if flight <= self.least() {
                let drained = Drained {
                    until: ack.now + PROBE_ROUND_TRIP_FOR,
                    round_trip: RoundTrip::begin(flight),
                };
                self.phase = Phase::ProbeRoundTrip { drained: Some(drained) };
            }
            return;
        };
        drained.round_trip.pass(ack.delivered);
        self.phase = Phase::ProbeRoundTrip { drained: Some(drained) };
        if drained.round_trip.is_over() && ack.now > drained.until {
            self.end_probe(ack.now);
        }
    }

    /// The path was seen.
    fn end_probe(&mut self, now: Instant) {
        self.min_seen = now;
        self.window = self.window.max(self.prior);
        // What is measured in the next round was still sent in this one.
        self.slow_rounds = 2;
        match self.pipe {
            Pipe::Filled => self.probe_bandwidth(now),
            Pipe::Filling => self.phase = Phase::Startup,
        }
    }

    /// Section 4.2.1. Startup never slows down. One percent less than the bandwidth lets a queue drain that the measure has
    /// overlooked (version 2, section 4.6.2).
    fn set_pacing_rate(&mut self, gain: Gain) {
        let bandwidth = self.bandwidth.max();
        let rate = times(gain, bandwidth - bandwidth / 100);
        if self.pipe == Pipe::Filled || rate > self.pacing_rate {
            self.pacing_rate = rate;
        }
    }

    /// Without any bandwidth yet: the initial window per round trip.
    fn pace_from_round_trip(&mut self, ack: &Ack) {
        if self.min_round_trip.is_none()
            && let Some(round_trip) = ack.smoothed.or(ack.round_trip)
        {
            self.pacing_rate = times(HIGH_GAIN, rate(self.initial.into(), round_trip));
        }
    }

    /// Sections 4.2.3.4 to 4.2.3.6.
    fn set_window(&mut self, ack: &Ack, flight: u32) {
        let conserved = self.conserve(ack, flight);
        let target = self.inflight(self.window_gain());
        if !conserved {
            let grown = self.window.saturating_add(ack.delivered);
            if self.pipe == Pipe::Filled {
                self.window = grown.min(target);
            } else if self.window < target || self.has_just_begun(ack) {
                self.window = grown;
            }
            self.window = self.window.max(self.least());
        }
        if matches!(self.phase, Phase::ProbeRoundTrip { .. }) {
            self.window = self.window.min(self.least());
        }
        self.window = self.window.clamp(self.mss, LARGEST);
    }

    /// Section 4.2.3.4. Whether packets are conserved, and so the window left alone.
    fn conserve(&mut self, ack: &Ack, flight: u32) -> bool {
        if self.recovery == Recovery::No {
            return false;
        }
        self.window = self.window.saturating_sub(newly_lost(ack)).max(self.mss);
        let Recovery::Conserving(mut round_trip) = self.recovery else {
            return false;
        };
        self.window = self.window.max(flight.saturating_add(ack.delivered));
        round_trip.pass(ack.delivered.saturating_add(newly_lost(ack)));
        self.recovery =
            if round_trip.is_over() { Recovery::Growing } else { Recovery::Conserving(round_trip) };
        true
    }

    /// Too little is delivered yet for the model to mean anything.
    fn has_just_begun(&self, ack: &Ack) -> bool {
        ack.rate.as_ref().is_none_or(|sample| sample.total_delivered < self.initial.into())
    }

    /// BBRInflight (section 4.2.3.2): `gain` times what fills the path, and some for what offloading and delayed ACKs hold back.
    fn inflight(&self, gain: Gain) -> u32 {
        let Some(round_trip) = self.min_round_trip.filter(|_| self.bandwidth.max() > 0) else {
            return self.initial;
        };
        let path =
            u128::from(self.bandwidth.max()) * u128::from(round_trip.as_nanos()) / 1_000_000_000;
        let path = u64::try_from(path).unwrap_or(u64::MAX);
        let bytes = times(gain, path).saturating_add(3 * self.quantum());
        u32::try_from(bytes).unwrap_or(LARGEST).min(LARGEST)
    }

    /// BBR.send_quantum (section 4.2.2): what leaves at once.
    fn quantum(&self) -> u64 {
        match self.pacing_rate {
            0..150_000 => self.mss.into(),
            150_000..3_000_000 => 2 * u64::from(self.mss),
            fast => (fast / 1000).min(64 * 1024),
        }
    }

    /// BBRMinPipeCwnd (section 4.2.3.3).
    fn least(&self) -> u32 {
        4 * self.mss
    }

    fn pacing_gain(&self) -> Gain {
        match self.phase {
            Phase::Startup => HIGH_GAIN,
            Phase::Drain => DRAIN_GAIN,
            Phase::ProbeBandwidth { step, .. } => CYCLE[usize::from(step)],
            Phase::ProbeRoundTrip { .. } => UNIT,
        }
    }

    fn window_gain(&self) -> Gain {
        match self.phase {
            Phase::Startup | Phase::Drain => HIGH_GAIN,
            Phase::ProbeBandwidth { .. } => WINDOW_GAIN,
            Phase::ProbeRoundTrip { .. } => UNIT,
        }
    }

    /// BBRSaveCwnd: the last window that neither recovery nor ProbeRTT has touched.
    fn window_to_restore(&self) -> u32 {
        let touched =
            self.recovery != Recovery::No || matches!(self.phase, Phase::ProbeRoundTrip { .. });
        if touched { self.window.max(self.prior) } else { self.window }
    }

    fn min_is_old(&self, now: Instant) -> bool {
        self.min_round_trip.is_some() && now.span_since(self.min_seen) > PROBE_ROUND_TRIP_EVERY
    }
}

/// Whether the shortest round trip was seen too long ago.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Expired {
    No,
    Yes,
}

impl Controller for Bbr {
    fn name(&self) -> &'static str {
        "bbr"
    }

    fn window(&self) -> u32 {
        self.window
    }

    /// There is no threshold.
    fn ssthresh(&self) -> u32 {
        LARGEST
    }

    fn pacing_rate(&self) -> Option<u64> {
        Some(self.pacing_rate.max(1))
    }

    fn owns_recovery(&self) -> bool {
        true
    }

    fn on_ack(&mut self, ack: &Ack) {
        let flight = ack.flight.saturating_sub(ack.delivered).saturating_sub(newly_lost(ack));
        let expired = if self.min_is_old(ack.now) { Expired::Yes } else { Expired::No };
        self.pace_from_round_trip(ack);
        self.measure(ack);
        self.advance(ack, flight);
        self.check_round_trip(ack, flight, expired);
        self.set_pacing_rate(self.pacing_gain());
        self.set_window(ack, flight);
    }

    /// Marks say nothing to version 1.
    fn on_congestion(&mut self, _now: Instant, flight: u32, why: Congested) {
        if why != Congested::Marked {
            self.prior = self.window_to_restore();
            self.window = flight.saturating_add(self.mss).min(LARGEST);
            self.recovery = Recovery::Conserving(RoundTrip::begin(flight));
        }
    }

    fn on_recovered(&mut self, _now: Instant, _flight: u32) {
        if self.recovery != Recovery::No {
            self.recovery = Recovery::No;
            self.window = self.window.max(self.prior);
        }
    }

    /// One segment, and from there as fast as ACKs come. What Startup thought to know of a full pipe is forgotten.
    fn on_timeout(&mut self, _now: Instant, _flight: u32, which: Timeout) {
        if which == Timeout::First {
            self.prior = self.window_to_restore();
        }
        self.recovery = Recovery::Growing;
        self.full_bandwidth = 0;
        self.window = self.mss;
    }

    fn undo(&mut self, _now: Instant) {
        self.recovery = Recovery::No;
        (self.full_bandwidth, self.full_rounds) = (0, 0);
        self.window = self.window.max(self.prior);
    }

    /// Section 4.3.4.4: the window stays, and the path is filled at just its bandwidth. A look at the path is over if only time was missing.
    fn on_idle(&mut self, now: Instant, _idle: Span, _rto: Span) {
        self.restart = Restart::FromIdle;
        if let Phase::ProbeRoundTrip { drained: Some(drained) } = self.phase
            && now > drained.until
        {
            self.end_probe(now);
        }
        if matches!(self.phase, Phase::ProbeBandwidth { .. }) {
            self.set_pacing_rate(UNIT);
        }
    }

    fn on_mss(&mut self, mss: u32) {
        self.mss = mss.clamp(1, MSS_MAX);
        self.window = self.window.max(self.mss);
    }
}

fn newly_lost(ack: &Ack) -> u32 {
    let lost = ack.rate.as_ref().map_or(0, |sample| sample.lost);
    u32::try_from(lost).unwrap_or(u32::MAX)
}

/// Bytes per second; none if it took no time.
fn rate(bytes: u64, interval: Span) -> u64 {
    let per_second = (u128::from(bytes) * 1_000_000_000).checked_div(interval.as_nanos().into());
    u64::try_from(per_second.unwrap_or(0)).unwrap_or(u64::MAX)
}

/// A factor, in 256ths.
type Gain = u32;

fn times(gain: Gain, value: u64) -> u64 {
    u64::from(gain).saturating_mul(value) / u64::from(UNIT)
}

const UNIT: Gain = 256;

/// 2 / ln 2: the least by which the rate can double each round (section 4.3.2.1).
const HIGH_GAIN: Gain = 739;
/// Its inverse.
const DRAIN_GAIN: Gain = 88;
/// cwnd_gain of ProbeBW: room for ACKs that come late and many at once.
const WINDOW_GAIN: Gain = 512;
/// The pacing gains of ProbeBW: 5/4, 3/4, and six rounds of 1.
const CYCLE: [Gain; CYCLE_STEPS as usize] = [320, 192, 256, 256, 256, 256, 256, 256];
const CYCLE_STEPS: u8 = 8;

/// BtlBwFilterLen.
const BANDWIDTH_ROUNDS: u32 = 10;
const FULL_ROUNDS: u8 = 3;
/// ProbeRTTInterval, which MUST be ten seconds, so that flows drain a queue together.
const PROBE_ROUND_TRIP_EVERY: Span = Span::from_secs(10);
/// ProbeRTTDuration.
const PROBE_ROUND_TRIP_FOR: Span = Span::from_millis(200);
/// What stands for the round trip while none is known (section 4.2.1).
const NO_ROUND_TRIP: Span = Span::from_millis(1);

const _: () = assert!(size_of::<Bbr>() <= 200);

#[cfg(test)]
mod tests;
