//! How fast the path delivers (draft-cheng-iccrg-delivery-rate-estimation).

use super::delivery::Delivery;
use super::scoreboard::Stamp;
use crate::tcp::congestion::controller::RateSample;
use crate::time::{Instant, Span};

/// A connection's delivery so far.
#[derive(Debug)]
pub(super) struct DeliveryRate {
    /// Bytes delivered since the connection began to send, or began again after a rest.
    delivered: u64,
    delivered_at: Instant,
    /// When what was acknowledged last was sent.
    first_sent_at: Instant,
    /// As long as less was delivered than this, the application did not offer enough to measure by.
    app_limited_until: u64,
    /// The round ends once something is delivered that was sent when so much was.
    round_ends_at: u64,
    lost: u64,
}

impl DeliveryRate {
    pub(super) const NEW: Self = Self {
        delivered: 0,
        delivered_at: Instant::ZERO,
        first_sent_at: Instant::ZERO,
        app_limited_until: 0,
        round_ends_at: 0,
        lost: 0,
    };

    /// Something is sent while `in_flight` bytes are on their way (section 3.3).
    pub(super) fn stamp(&mut self, now: Instant, in_flight: u32) -> Stamp {
        if in_flight == 0 {
            self.first_sent_at = now;
            self.delivered_at = now;
        }
        Stamp {
            sent_at: now,
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            first_sent_at: self.first_sent_at,
            app_limited: self.delivered < self.app_limited_until,
        }
    }

    /// The application has nothing more to send, though the windows would allow it (section 3.4).
    pub(super) fn application_limits(&mut self, in_flight: u32) {
        self.app_limited_until = (self.delivered + u64::from(in_flight)).max(1);
    }

    /// An ACK has delivered something; `lost` bytes were taken for lost since the last one (section 3.5). What seems to have taken less than
    /// the `shortest` round trip is no measure: the ACK may be for an earlier transmission of the same numbers.
    pub(super) fn sample(
        &mut self,
        now: Instant,
        delivery: &Delivery,
        lost: u32,
        shortest: Option<Span>,
    ) -> Option<RateSample> {
        self.lost += u64::from(lost);
        if delivery.delivered == 0 {
            return None;
        }
        self.delivered += u64::from(delivery.delivered);
        self.delivered_at = now;
        let stamp = delivery.newest()?;
        self.first_sent_at = stamp.sent_at;
        let sending = stamp.sent_at.span_since(stamp.first_sent_at);
        let acknowledging = now.span_since(stamp.delivered_at);
        let interval = Some(sending.max(acknowledging)).filter(|took| Some(*took) >= shortest);
        Some(RateSample {
            delivered: self.delivered - stamp.delivered,
            interval: interval.unwrap_or_default(),
            app_limited: stamp.app_limited,
            lost: std::mem::take(&mut self.lost),
            total_delivered: self.delivered,
        })
    }

    /// Whether with this ACK a new round trip begins.
    pub(super) fn begins_round(&mut self, delivery: &Delivery) -> bool {
        let over = delivery.newest().is_some_and(|stamp| stamp.delivered >= self.round_ends_at);
        if over {
            self.round_ends_at = self.delivered;
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::seq::Seq;

    #[test]
    fn less_than_the_shortest_round_trip_is_no_measure() {
        for (name, took, shortest, want) in [
            ("as long", 100, Some(100), 100),
            ("shorter", 99, Some(100), 0),
            ("none is known", 99, None, 99),
        ] {
            let sent_at = Instant::from_millis(1000);
            let mut rate = DeliveryRate::NEW;
            let stamp = rate.stamp(sent_at, 0);
            let now = sent_at + Span::from_millis(took);
            let mut delivery = Delivery::new(now, None, Span::ZERO);
            delivery.delivered = 1000;
            delivery.newest_certain = Some((stamp, Seq(1)));
            let shortest = shortest.map(Span::from_millis);
            let sample = rate.sample(now, &delivery, 500, shortest).unwrap();
            assert_eq!(sample.interval, Span::from_millis(want), "{name}");
            assert_eq!((sample.delivered, sample.lost), (1000, 500), "{name}");
        }
    }
}
