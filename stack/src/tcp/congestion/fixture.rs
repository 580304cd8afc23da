//! What the tests of the controllers start from.

use super::Handshake;
use super::controller::{Ack, Congested, Controller, Start};
use crate::time::{Instant, Span};

pub(super) const MSS: u32 = 1000;
pub(super) const START: Start =
    Start { mss: MSS, initial_segments: 10, handshake: Handshake::Smooth, round_trip: None };
pub(super) const NOW: Instant = Instant::from_millis(1000);
pub(super) const RTO: Span = Span::from_millis(200);

/// For `acked` bytes out of `flight`, which filled the window.
pub(super) fn ack(acked: u32, flight: u32) -> Ack {
    Ack {
        now: NOW,
        acked,
        delivered: acked,
        flight,
        window_limited: true,
        marked: 0,
        round_trip: None,
        smoothed: None,
        acks: 1,
        round_start: false,
        recovery: false,
        rate: None,
    }
}

/// Acknowledges a full window in steps of `step` bytes while new data keeps it full.
pub(super) fn round(controller: &mut dyn Controller, step: u32) {
    let mut left = controller.window();
    while left > 0 {
        let acked = step.min(left);
        controller.on_ack(&ack(acked, controller.window()));
        left -= acked;
    }
}

/// Brings a new controller that leaves `over / under` of what is in flight into congestion avoidance, with a window of `bytes`.
pub(super) fn avoid_from(controller: &mut dyn Controller, bytes: u32, (over, under): (u32, u32)) {
    let before = (bytes * under).div_ceil(over);
    while controller.window() < before {
        let missing = before - controller.window();
        controller.on_ack(&ack(missing.min(MSS), controller.window()));
    }
    controller.on_congestion(NOW, before, Congested::Loss);
    controller.on_recovered(NOW, bytes);
    assert_eq!((controller.window(), controller.ssthresh()), (bytes, bytes));
}
