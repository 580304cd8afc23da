//! What an ACK, or the time that passes, says about what is outstanding: the connection's side of its [sender](super::sender).

use arrayvec::ArrayVec;

use super::connection::{Connection, Context};
use super::ecn::Echo;
use super::isn::timestamp;
use super::rtt::samples_per_round;
use super::segment::Segment;
use super::sender::{Carries, News, Outcome, Path, Phase};
use crate::counters::Counter;
use crate::time::{Instant, Span};
use crate::wire::tcp_options::{MAX_SACK_BLOCKS, SackBlock};

/// What the SACK option of a segment says.
struct Selective {
    blocks: ArrayVec<SackBlock, MAX_SACK_BLOCKS>,
    twice: Option<SackBlock>,
}

impl Connection {
    /// An acceptable ACK has come. SND.UNA and the window are still what they were before it.
    pub(super) fn recover(&mut self, cx: &mut Context<'_>, segment: &Segment) {
        let echo = self.echo(segment);
        let Some(sender) = &self.sender else { return };
        let (phase, doubtful) = (sender.phase(), sender.has_sent_again());
        let Selective { blocks, twice } = self.selective(segment);
        let repeats = self.is_duplicate_ack(segment);
        let advances = segment.ack.follows(self.snd.una);
        let marked = echo == Echo::Marked;
        if !(advances || repeats || marked || twice.is_some() || !blocks.is_empty()) {
            return;
        }
        let news = News {
            now: cx.now(),
            ack: segment.ack.later(self.snd.una),
            nxt: self.snd.nxt,
            blocks: &blocks,
            twice,
            repeats,
            echo,
            echo_ms: if doubtful { self.echo_ms(cx.now(), segment) } else { None },
            path: self.path(),
        };
        let Some(sender) = &mut self.sender else { return };
        let outcome = sender.acknowledged(&news, self.rare.accurate_mut());
        let by_echo = advances && (phase != Phase::Open || self.retries > 0);
        self.learn_round_trip(cx, (outcome.round_trip, news.echo_ms.filter(|_| by_echo)), 1);
        self.follow(cx, &outcome);
    }

    /// Either a tail loss probe is due, or something that was only late so far (RFC 8985).
    pub(super) fn probe_due(&mut self, cx: &mut Context<'_>) {
        let (path, numbers) = (self.path(), (self.snd.una, self.snd.nxt));
        let Some(sender) = &mut self.sender else { return };
        if sender.late_at().is_some() {
            let outcome = sender.look_for_losses(cx.now(), numbers, path);
            self.follow(cx, &outcome);
            self.watch_tail(cx.now());
        } else if sender.probe_after(path).is_some() {
            self.probe_tail(cx);
        }
    }

    /// When to look for what is late, or else to probe for a loss at the end of what is in flight: counted from the last segment sent,
    /// or the last ACK.
    pub(super) fn watch_tail(&mut self, now: Instant) {
        let Some(sender) = &self.sender else { return };
        self.deadlines.probe = match (sender.late_at(), sender.probe_after(self.path())) {
            (Some(at), _) => at,
            // Instead of the timeout, if that came first (RFC 8985, section 7.2).
            (None, Some(after)) => (now + after).min(self.deadlines.retransmit),
            (None, None) => Instant::FAR_FUTURE,
        };
    }

    /// Nothing is outstanding: after a while nothing is left to be remembered of the path.
    pub(super) fn rest_due(&mut self, now: Instant) {
        let rests_at = self.rests_at();
        if self.is_outstanding() || rests_at > now {
            self.deadlines.rest = rests_at.max(now + self.rtt.rto());
        } else {
            self.sender = None;
        }
    }

    /// When it has been silent for so long, if nothing more is sent.
    pub(super) fn rests_at(&self) -> Instant {
        self.sent_at + self.rtt.rto() * RESTS_AFTER
    }

    pub(super) fn path(&self) -> Path {
        Path { mss: self.snd.mss.into(), smoothed: self.rtt.srtt(), sack: self.sack }
    }

    fn follow(&mut self, cx: &mut Context<'_>, outcome: &Outcome) {
        if outcome.recovers {
            cx.net.metrics.count(Counter::TcpFastRetransmits);
        }
        if outcome.reduced {
            self.window_reduced();
        }
        if outcome.undone {
            cx.net.metrics.count(Counter::TcpSpuriousRecoveries);
        }
    }

    /// The last segment is sent a second time, or a new one in its place, so that its acknowledgement tells what is lost
    /// before it (RFC 8985, section 7.3).
    fn probe_tail(&mut self, cx: &mut Context<'_>) {
        let sent = match self.send_one_more(cx) {
            Ok(true) => Ok(Carries::New),
            Ok(false) => self.send_last_again(cx).map(|_| Carries::Again),
            Err(refused) => Err(refused),
        };
        let (Ok(carries), Some(sender)) = (sent, &mut self.sender) else {
            // The timeout will come.
            return;
        };
        cx.net.metrics.count(Counter::TcpLossProbes);
        sender.probe_sent(self.snd.nxt, carries);
        self.deadlines.retransmit = cx.now() + self.rtt.rto();
    }

    /// The blocks that can be true. A first block that lies before the ACK, or within the second, reports a duplicate (RFC 2883,
    /// section 5).
    fn selective(&self, segment: &Segment) -> Selective {
        let all = segment.options.sack_blocks;
        let all = all.as_slice();
        if all.is_empty() || !self.sack {
            return Selective { blocks: ArrayVec::new(), twice: None };
        }
        let twice = all.first().copied().filter(|first| {
            let within = |outer: &SackBlock| {
                first.left.at_or_after(outer.left) && first.right.at_or_before(outer.right)
            };
            let old = self.snd.una - self.snd.max_wnd;
            let sent = first.left.at_or_after(old) && first.right.at_or_before(self.snd.nxt);
            let told = first.right.at_or_before(segment.ack) || all.get(1).is_some_and(within);
            sent && told && first.left.precedes(first.right)
        });
        let from = segment.ack.later(self.snd.una);
        let sent = |block: &&SackBlock| {
            let SackBlock { left, right } = **block;
            left.precedes(right) && left.at_or_after(from) && right.at_or_before(self.snd.nxt)
        };
        Selective { blocks: all.iter().filter(sent).copied().collect(), twice }
    }

    /// When the segment was sent that the peer echoes, by our own clock.
    fn echo_ms(&self, now: Instant, segment: &Segment) -> Option<u64> {
        let timestamps = segment.timestamps().filter(|_| self.timestamps.enabled)?;
        let elapsed = timestamp(now, self.timestamps.offset).wrapping_sub(timestamps.echo);
        now.as_millis().checked_sub(elapsed.into()).filter(|_| elapsed < ECHO_MAX_MS)
    }

    /// A sample for each ACK of something new (RFC 6298, section 3), be it behind a gap: of a segment that was sent once, by our own clock, which is
    /// finer than a timestamp's. While something is being sent again, by the clock that the peer echoes, which cannot mistake one transmission for
    /// another (RFC 7323, section 4). What counts as one ACK may have been several.
    pub(super) fn learn_round_trip(
        &mut self,
        cx: &Context<'_>,
        (own, echo_ms): (Option<Span>, Option<u64>),
        acks: u32,
    ) {
        let echoed = echo_ms
            .map(|echo_ms| Span::from_millis(cx.now().as_millis().saturating_sub(echo_ms).max(1)));
        if let Some(round_trip) = own.or(echoed) {
            let per_round = samples_per_round(self.flight(), self.snd.mss.into());
            self.rtt.sample(&cx.config.rto_limits(), round_trip, per_round / acks);
        }
    }
}

/// An echo older than this is no round trip.
const ECHO_MAX_MS: u32 = 300_000;
/// Timeouts' worth of silence after which no congestion window is larger than at the beginning.
const RESTS_AFTER: u32 = 10;

#[cfg(test)]
mod tests;
