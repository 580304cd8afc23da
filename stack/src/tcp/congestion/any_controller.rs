//! One of the controllers that there are, in place: asked with every segment and ACK, it is not worth an allocation nor a call by
//! pointer.

use super::Timeout;
use super::bbr::Bbr;
use super::controller::{Ack, Congested, Controller};
use super::cubic::Cubic;
use super::dctcp::Dctcp;
use super::new_reno::NewReno;
use crate::time::{Instant, Span};

/// A controller of any algorithm.
pub(crate) enum AnyController {
    Cubic(Cubic),
    NewReno(NewReno),
    Bbr(Bbr),
    Dctcp(Dctcp),
    /// What a test wants to know.
    #[cfg(test)]
    Test(Box<dyn Controller>),
}

macro_rules! of_any {
    ($any:expr, $controller:ident => $answer:expr) => {
        match $any {
            Self::Cubic($controller) => $answer,
            Self::NewReno($controller) => $answer,
            Self::Bbr($controller) => $answer,
            Self::Dctcp($controller) => $answer,
            #[cfg(test)]
            Self::Test($controller) => $answer,
        }
    };
}

impl Controller for AnyController {
    fn name(&self) -> &'static str {
        of_any!(self, controller => controller.name())
    }

    #[inline]
    fn window(&self) -> u32 {
        of_any!(self, controller => controller.window())
    }

    #[inline]
    fn ssthresh(&self) -> u32 {
        of_any!(self, controller => controller.ssthresh())
    }

    #[inline]
    fn pacing_rate(&self) -> Option<u64> {
        of_any!(self, controller => controller.pacing_rate())
    }

    #[inline]
    fn owns_recovery(&self) -> bool {
        of_any!(self, controller => controller.owns_recovery())
    }

    #[inline]
    fn on_ack(&mut self, ack: &Ack) {
        of_any!(self, controller => controller.on_ack(ack));
    }

    fn on_congestion(&mut self, now: Instant, flight: u32, why: Congested) {
        of_any!(self, controller => controller.on_congestion(now, flight, why));
    }

    fn on_recovered(&mut self, now: Instant, flight: u32) {
        of_any!(self, controller => controller.on_recovered(now, flight));
    }

    fn on_timeout(&mut self, now: Instant, flight: u32, which: Timeout) {
        of_any!(self, controller => controller.on_timeout(now, flight, which));
    }

    fn undo(&mut self, now: Instant) {
        of_any!(self, controller => controller.undo(now));
    }

    fn on_idle(&mut self, now: Instant, idle: Span, rto: Span) {
        of_any!(self, controller => controller.on_idle(now, idle, rto));
    }

    fn on_mss(&mut self, mss: u32) {
        of_any!(self, controller => controller.on_mss(mss));
    }
}
