//! CUBIC (RFC 9438): the window grows with the cube of the time since it was last reduced, slowly near where it was then.
//!
//! The names are the RFC's: W_max is the window at which the last reduction came, K how long the way back to it takes, and
//! W_est what Reno's window would be, below which CUBIC's does not stay.

use super::Timeout;
use super::controller::{Ack, Congested, Controller, Start};
use super::hystart::{CSS_GROWTH_DIVISOR, HyStart, Pace};
use super::window::{LARGEST, Window, part};
use crate::time::{Instant, Span};

/// The window of a connection under CUBIC.
#[derive(Clone, Debug)]
pub(crate) struct Cubic {
    window: Window,
    /// Growth that does not make a whole byte yet.
    fraction: f32,
    hystart: HyStart,
    epoch: Epoch,
    /// As it was before the last loss or timeout, until that is undone.
    prior: Epoch,
    /// When the last ACK came, or the last pause ended.
    seen: Instant,
}

/// One stretch of congestion avoidance, and what it knows of those before.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// t: how long it has lasted, but for the time during which the window was not the limit.
    elapsed: Elapsed,
    /// W_max in bytes; zero while there is none.
    w_max: u32,
    /// cwnd_prior: the window before the last reduction, in bytes.
    prior: u32,
    /// K in seconds.
    k: f32,
    /// W_est in bytes.
    w_est: f64,
}

/// `None` before the first ACK of it.
type Elapsed = Option<Nanos>;
type Nanos = u64;

impl Cubic {
    pub(crate) fn new(start: Start) -> Self {
        Self {
            window: Window::new(start),
            fraction: 0.0,
            hystart: HyStart::NEW,
            epoch: Epoch::NONE,
            prior: Epoch::NONE,
            seen: Instant::ZERO,
        }
    }

    /// HyStart++ decides how fast (section 4.10).
    fn start_slowly(&mut self, ack: &Ack) {
        let pace = self.hystart.on_ack(ack);
        if pace == Pace::Avoid {
            // W_max is undefined: congestion avoidance begins at the plateau.
            self.window.settle();
            self.epoch = Epoch { prior: self.window.bytes(), ..Epoch::NONE };
        } else if ack.may_widen() {
            let divisor = if pace == Pace::Full { 1 } else { CSS_GROWTH_DIVISOR };
            self.window.start_slowly(ack.acked / divisor, ack.acks);
        }
    }

    /// Sections 4.2 to 4.5. `since` is how long ago the last ACK came.
    fn avoid(&mut self, ack: &Ack, since: Span) {
        let (window, mss) = (self.window.bytes(), self.window.mss());
        let Some(elapsed) = self.epoch.elapsed else {
            self.epoch.begin(window, mss);
            return;
        };
        // Section 4.2: t MUST NOT include time during which the application was the limit.
        if !ack.window_limited {
            return;
        }
        // Nor a pause that is too short for on_idle: a full window hears of itself within a round trip.
        let since = ack.smoothed.map_or(since, |round_trip| since.min(round_trip));
        let elapsed = elapsed.saturating_add(nanos(since));
        self.epoch.elapsed = Some(elapsed);
        if !ack.may_widen() {
            return;
        }
        let share = f64::from(ack.acked.min(window)) / f64::from(window);
        let reno = self.epoch.reno(share, mss);
        let t = seconds(elapsed);
        let grown = if self.epoch.cubic(t, mss) < reno {
            reno - f64::from(window)
        } else {
            let round_trip = ack.smoothed.unwrap_or_default().as_secs_f64();
            let most = f64::from(window) * 1.5;
            let target = self.epoch.cubic(t + round_trip, mss).min(most);
            (target - f64::from(window)) * share
        };
        self.grow(grown);
    }

    /// The window never shrinks here.
    fn grow(&mut self, bytes: f64) {
        let sum = f64::from(self.fraction) + bytes.clamp(0.0, f64::from(LARGEST));
        #[expect(clippy::cast_possible_truncation, reason = "the whole part, and at most 1 GiB")]
        let whole = sum as u32;
        #[expect(clippy::cast_possible_truncation, reason = "less precision is enough")]
        let fraction = (sum - f64::from(whole)) as f32;
        self.fraction = fraction;
        self.window.widen(whole);
    }

    /// A window that was reduced without congestion finds its own way back to W_max.
    fn decayed_from(&mut self, before: u32) {
        if self.window.bytes() < before {
            self.epoch.elapsed = None;
        }
    }

    /// Section 4.6: what is left of the window, which does not grow while it is not used, and not of what is in flight: an application that has
    /// just paused is not to pay for it.
    fn reduced(&self, why: Congested) -> u32 {
        let (over, under) = match why {
            Congested::Loss => BETA,
            Congested::Marked => BETA_ECN,
            // The rest of what a loss alone takes.
            Congested::LossAfterMark => (BETA.0 * BETA_ECN.1, BETA.1 * BETA_ECN.0),
        };
        part(self.window.bytes(), over, under)
    }

    /// A reduction is due.
    fn interrupt(&mut self) {
        self.hystart.end();
        self.fraction = 0.0;
        self.prior = self.epoch;
        self.epoch.reduce(self.window.bytes());
    }
}

impl Controller for Cubic {
    fn name(&self) -> &'static str {
        "cubic"
    }

    fn window(&self) -> u32 {
        self.window.bytes()
    }

    fn ssthresh(&self) -> u32 {
        self.window.ssthresh()
    }

    fn on_ack(&mut self, ack: &Ack) {
        let since = ack.now.span_since(self.seen);
        self.seen = ack.now;
        let before = self.window.bytes();
        self.window.validate(ack);
        self.decayed_from(before);
        if ack.recovery {
            return;
        }
        if self.window.is_slow_starting() {
            self.start_slowly(ack);
        } else {
            self.avoid(ack, since);
        }
    }

    fn on_congestion(&mut self, _now: Instant, _flight: u32, why: Congested) {
        if why == Congested::LossAfterMark {
            // The epoch has ended with the mark, and it was the window then that was too large.
            (self.fraction, self.prior) = (0.0, self.epoch);
            self.epoch.elapsed = None;
        } else {
            self.interrupt();
        }
        self.window.reduce(self.reduced(why), why);
    }

    /// Section 4.8: as Reno, but by beta_cubic; and the next congestion avoidance begins at the plateau.
    fn on_timeout(&mut self, _now: Instant, _flight: u32, which: Timeout) {
        if which == Timeout::First {
            self.interrupt();
        }
        self.epoch.w_max = 0;
        self.epoch.elapsed = None;
        self.window.collapse(self.reduced(Congested::Loss), which);
    }

    /// Section 4.9. A window that has meanwhile grown beyond keeps what it goes by. The initial slow start, if this is it again, is
    /// guarded again (RFC 9406, section 4.2).
    fn undo(&mut self, now: Instant) {
        let before = self.window.bytes();
        self.window.undo();
        if self.window.ssthresh() == LARGEST {
            self.hystart = HyStart::NEW;
        }
        if self.window.bytes() > before {
            self.epoch = self.prior;
        }
        self.seen = now;
    }

    /// The pause does not count.
    fn on_idle(&mut self, now: Instant, idle: Span, rto: Span) {
        let before = self.window.bytes();
        self.window.rest(idle, rto);
        self.decayed_from(before);
        self.seen = now;
    }

    /// C is in segments, so the curve is another one.
    fn on_mss(&mut self, mss: u32) {
        self.window.set_mss(mss);
        self.epoch.elapsed = None;
    }
}

impl Epoch {
    const NONE: Self = Self { elapsed: None, w_max: 0, prior: 0, k: 0.0, w_est: 0.0 };

    /// Sections 4.2 and 4.3: congestion avoidance begins with `window`. From a window as large as W_max there is no way back
    /// to go: the curve begins at its plateau, as it does where W_max is undefined (sections 4.8 and 4.10).
    fn begin(&mut self, window: u32, mss: u32) {
        self.elapsed = Some(0);
        self.w_max = self.w_max.max(window);
        self.w_est = f64::from(window);
        let back = f64::from(self.w_max - window) / (C * f64::from(mss));
        #[expect(clippy::cast_possible_truncation, reason = "less precision is enough")]
        let k = back.cbrt() as f32;
        self.k = k;
    }

    /// Congestion with `window` ends it. Sections 4.6, and 4.7: a flow that did not come up to its old W_max leaves room to
    /// others (fast convergence).
    fn reduce(&mut self, window: u32) {
        self.prior = window;
        self.w_max = if window < self.w_max { part(window, 17, 20) } else { window };
        self.elapsed = None;
    }

    /// W_cubic after `t` seconds, in bytes (figure 1).
    fn cubic(&self, t: f64, mss: u32) -> f64 {
        C * f64::from(mss) * (t - f64::from(self.k)).powi(3) + f64::from(self.w_max)
    }

    /// W_est, now that `share` of a window is acknowledged (figure 4). Once it is where the window was before the reduction it
    /// grows as Reno's.
    fn reno(&mut self, share: f64, mss: u32) -> f64 {
        let alpha = if self.w_est < f64::from(self.prior) { ALPHA } else { 1.0 };
        self.w_est += alpha * share * f64::from(mss);
        self.w_est
    }
}

fn nanos(span: Span) -> Nanos {
    span.as_nanos()
}

fn seconds(nanos: Nanos) -> f64 {
    Span::from_nanos(nanos).as_secs_f64()
}

/// beta_cubic (section 4.6) and beta_ecn (RFC 8511, section 3.1), as fractions.
const BETA: (u32, u32) = (7, 10);
const BETA_ECN: (u32, u32) = (17, 20);

/// Segments per second cubed (section 5.1).
const C: f64 = 0.4;

/// 3 * (1 - beta) / (1 + beta) for a beta of 0.7 (section 4.3).
const ALPHA: f64 = 9.0 / 17.0;

const _: () = assert!(size_of::<Cubic>() <= 152);

#[cfg(test)]
mod tests;
