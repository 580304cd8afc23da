//! Challenge ACKs and their limit (RFC 5961): what might be forged is answered with where we are, and not believed.

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
    /// When the period began: in milliseconds, and only to be compared with moments soon after it.
    since: u32,
    sent: u8,
}

impl ConnectionChallenges {
    pub(super) const NEW: Self = Self { since: 0, sent: 0 };

    fn take(&mut self, now: Instant) -> Option<()> {
        #[expect(clippy::cast_possible_truncation, reason = "compared modulo 2^32")]
        let now = now.as_millis() as u32;
        if now.wrapping_sub(self.since) >= PERIOD_MS {
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

    /// Answers a segment without data from outside of the window: a keep-alive, a window probe, or a peer that is out of
    /// step. The limit is this connection's alone, so that the probes of many do not starve each other.
    pub(super) fn answer_probe(&mut self, cx: &mut Context<'_>) {
        if self.challenges.take(cx.now()).is_none() {
            cx.net.metrics.count_drop(Drop::TcpChallengeLimited);
            return;
        }
        self.send_ack(cx);
    }
}

const SECOND: u64 = 1_000_000_000;
const PERIOD_MS: u32 = 1000;
const PER_PERIOD: u8 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::Harness;

    #[test]
    fn one_connection_is_challenged_ten_times_a_second() {
        let mut t = Harness::connected();
        for at in 0..3 {
            t.at(at * 1000 + 1);
            for _ in 0..1000 {
                t.input("S 5").unwrap_err();
            }
            assert_eq!(t.sent().len(), 10);
        }
        assert_eq!(t.count(Counter::TcpChallengeAcks), 30);
        assert_eq!(t.net.metrics.dropped(Drop::TcpChallengeLimited), 2970);
    }

    #[test]
    fn probes_are_answered_though_the_limit_of_all_is_used_up() {
        let mut t = Harness::connected_with(&TcpConfig { challenge_acks: 0, ..Harness::plain() });
        t.input("A 0 ack 1").unwrap_err();
        assert_eq!(t.sent(), ["A 1 ack 1"]);
        t.input("S 5").unwrap_err();
        assert_eq!(t.sent(), [""; 0], "a forgery is not answered");
    }

    #[test]
    fn the_limit_of_all_together_cannot_be_counted() {
        let mut challenges = Challenges::new(100);
        let mut rng = Rng::new([9; 32]);
        let per_second: Vec<usize> = (0..50)
            .map(|second| {
                let now = Instant::from_millis(second * 1000);
                (0..1000).filter(|_| challenges.take(now, &mut rng).is_some()).count()
            })
            .collect();
        assert!(per_second.iter().all(|count| (50..150).contains(count)), "{per_second:?}");
        assert!(per_second.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn handshakes_and_old_connections_share_the_limit() {
        let config = TcpConfig { challenge_acks: 4, ..Harness::plain() };
        let mut t = Harness::listening(&config, 8);
        t.input("S 0").unwrap();
        t.sent();
        for _ in 0..100 {
            t.input("A 70000 ack 1").unwrap_err();
        }
        assert!(t.sent().len() < 6);
    }
}
