//! Challenge ACKs and their limit (RFC 5961): what might be forged is answered with where we are, and not believed.

use std::time::Duration;

use super::connection::{Connection, Context};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::rng::Rng;
use crate::time::Instant;

/// The limit of one core.
///
/// A limit that an attacker can count tells him whether a connection exists: he uses it up with segments of his own and
/// watches how much of it somebody else's segment took. So it differs from second to second by chance.
pub(super) struct Challenges {
    mean: u32,
    left: u32,
    second: u64,
}

impl Challenges {
    pub(super) fn new(mean: u32) -> Self {
        Self { mean, left: 0, second: u64::MAX }
    }

    pub(super) fn take(&mut self, now: Instant, rng: &mut Rng) -> Option<()> {
        let second = now.as_nanos() / SECOND;
        if second != self.second {
            self.second = second;
            self.left = (self.mean / 2).saturating_add(rng.below(self.mean.max(1)));
        }
        self.left = self.left.checked_sub(1)?;
        Some(())
    }
}

/// The limit of one connection: two ends that are out of step would otherwise tell each other so for ever.
pub(super) struct ConnectionChallenges {
    since: Instant,
    sent: u8,
}

impl ConnectionChallenges {
    pub(super) const NEW: Self = Self { since: Instant::ZERO, sent: 0 };

    fn take(&mut self, now: Instant) -> Option<()> {
        if now.since(self.since) >= PERIOD {
            *self = Self { since: now, sent: 0 };
        }
        if self.sent >= PER_PERIOD {
            return None;
        }
        self.sent += 1;
        Some(())
    }
}

impl Connection {
    /// Tells the peer where we are, unless that was done too often just now.
    pub(super) fn challenge(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        let allowed =
            self.challenges.take(now).and_then(|()| cx.challenges.take(now, &mut cx.net.rng));
        if allowed.is_none() {
            cx.net.metrics.count_drop(Drop::TcpChallengeLimited);
            return;
        }
        cx.net.metrics.count(Counter::TcpChallengeAcks);
        self.send_ack(cx);
    }
}

const SECOND: u64 = 1_000_000_000;
const PERIOD: Duration = Duration::from_secs(1);
const PER_PERIOD: u8 = 10;
