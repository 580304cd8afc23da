//! Challenge ACKs and their limit (RFC 5961): what might be forged is answered with where we are, and not believed.

use super::connection::{Connection, Context};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::net::Net;
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

    /// Whether another one may be sent; it is counted either way.
    pub(super) fn admit(&mut self, net: &mut Net) -> Option<()> {
        let admitted = self.take(net.now, &mut net.rng);
        match admitted {
            Some(()) => net.metrics.count(Counter::TcpChallengeAcks),
            None => net.metrics.count_drop(Drop::TcpChallengeLimited),
        }
        admitted
    }

    fn take(&mut self, now: Instant, rng: &mut Rng) -> Option<()> {
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
    /// When the period began, in ticks modulo 2^16: a period of a quarter of an hour ago may seem to last for a second more.
    since: u16,
    sent: u8,
}

impl ConnectionChallenges {
    pub(super) const NEW: Self = Self { since: 0, sent: 0 };

    fn take(&mut self, now: Instant) -> Option<()> {
        #[expect(clippy::cast_possible_truncation, reason = "compared modulo 2^16")]
        let now = (now.as_millis() / TICK_MS) as u16;
        if now.wrapping_sub(self.since) >= PERIOD_TICKS {
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
        if self.challenges.take(cx.now()).is_none() {
            cx.net.metrics.count_drop(Drop::TcpChallengeLimited);
        } else if cx.challenges.admit(cx.net).is_some() {
            self.send_ack(cx);
        }
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
const TICK_MS: u64 = 16;
/// About a second.
const PERIOD_TICKS: u16 = 62;
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
        for old in ["A 70000 ack 1", "A 70000 ack 2"] {
            let mut t = Harness::listening(&config, 8);
            t.input("S 0").unwrap();
            t.sent();
            if old.ends_with('2') {
                t.input("A 1 ack 1").unwrap();
                assert!(t.accept());
                t.close();
                t.input("FA 1 ack 2").unwrap();
                assert_eq!(t.tcp.time_wait.len(), 1);
            }
            t.sent();
            for _ in 0..100 {
                t.input(old).unwrap_err();
            }
            let sent = t.sent().len() as u64;
            assert!((2..6).contains(&sent), "{sent}");
            assert_eq!(t.count(Counter::TcpChallengeAcks), sent, "{old}");
            assert_eq!(t.net.metrics.dropped(Drop::TcpChallengeLimited), 100 - sent, "{old}");
        }
    }

    /// What RFC 5961 believes, to the number: the peer has sent up to 1 and offered 5000, we have sent up to 101 and offered 65,535.
    #[test]
    fn what_is_believed_ends_where_rfc_5961_says() {
        let (reset, syn) = (Drop::TcpResetUnacceptable, Drop::TcpSynInWindow);
        let (ack, far) = (Drop::TcpAckUnacceptable, Drop::TcpUnacceptable);
        let (silent, answered) = (0, 1);
        for (section, segment, want, answer) in [
            // A reset: exactly RCV.NXT, else a challenge within the window and nothing outside.
            ("3.2", "R 0", Err(reset), silent),
            ("3.2", "R 1", Ok(()), silent),
            ("3.2", "R 2", Err(reset), answered),
            ("3.2", "R 65535", Err(reset), answered),
            ("3.2", "R 65536", Err(reset), silent),
            // A SYN: always a challenge.
            ("4.2", "S 0", Err(Drop::TcpDuplicate), answered),
            ("4.2", "S 1", Err(syn), answered),
            ("4.2", "S 65535", Err(syn), answered),
            ("4.2", "S 65536", Err(far), answered),
            // An acknowledgement: SND.UNA - MAX.SND.WND to SND.NXT.
            ("5.2", "PA 1+10 ack 102", Err(ack), answered),
            ("5.2", "PA 1+10 ack 101", Ok(()), silent),
            ("5.2", "PA 1+10 ack -4999", Ok(()), silent),
            ("5.2", "PA 1+10 ack -5000", Err(ack), answered),
        ] {
            let mut t = Harness::connecting(&Harness::plain());
            t.sent();
            t.input("SA 0 ack 1 mss 1000 win 5000").unwrap();
            t.connection(|c| c.ack.quick = 0);
            t.write(100);
            t.sent();
            assert_eq!(t.input(&format!("{segment} win 5000")), want, "{section}: {segment}");
            assert_eq!(t.sent().len(), answer, "{section}: {segment}");
            let taken = t.stream().readable();
            assert_eq!(taken > 0, want.is_ok() && segment.starts_with('P'), "{section}: {segment}");
        }
    }
}
