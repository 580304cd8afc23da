//! What is sent and not acknowledged, run by run: on its way, arrived behind a gap, or lost (RFC 6675, section 3).
//!
//! Segments of one turn are one run until the peer tells them apart, so a run costs a turn and not a segment. Beside the runs in the order
//! of their numbers there is the order in which they were sent: RACK looks at the oldest first, and at each transmission once. Both are the
//! same until something is out of the ordinary, and the second is not written down before.

use std::collections::VecDeque;

use darner_ring::prefetch;

use super::delivery::Delivery;
use crate::tcp::seq::Seq;
use crate::time::Instant;

/// The numbers from SND.UNA to SND.NXT, and what is known of each.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))]
pub(in crate::tcp) struct Scoreboard {
    /// By number, without gaps.
    runs: VecDeque<Run>,
    /// By time. Of an entry only that part counts which is in flight with the entry's time: the rest has arrived, or was sent again. `None` while
    /// nothing was sent again, nor has arrived behind a gap.
    order: Option<VecDeque<Sending>>,
    in_flight: u32,
    arrived: u32,
    lost: u32,
    /// Bytes that were ever found lost, modulo 2^32.
    losses: u32,
    /// No byte before this number is lost, as long as anything is.
    lost_from: Option<Seq>,
}

/// Numbers in a row that have the same fate, and were sent at the same time.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) start: Seq,
    pub(super) len: u32,
    pub(super) fate: Fate,
    pub(super) sent: Transmissions,
    pub(super) stamp: Stamp,
}

/// What has become of something that was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    InFlight,
    /// The peer has said so, by SACK: it may still take it back.
    Arrived,
    Lost,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Transmissions {
    One,
    More,
}

/// When a run was sent last, and what was delivered by then (draft-cheng-iccrg-delivery-rate-estimation, section 3.1.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::tcp) struct Stamp {
    pub(in crate::tcp) sent_at: Instant,
    pub(in crate::tcp) delivered: u64,
    pub(in crate::tcp) delivered_at: Instant,
    pub(in crate::tcp) first_sent_at: Instant,
    pub(in crate::tcp) app_limited: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sending {
    sent_at: Instant,
    start: Seq,
    end: Seq,
}

impl Run {
    pub(super) fn end(&self) -> Seq {
        self.start + self.len
    }

    /// Cuts the first `len` numbers off.
    fn split_off_front(&mut self, len: u32) -> Self {
        let front = Self { len, ..self.clone() };
        self.start += len;
        self.len -= len;
        front
    }
}

impl Scoreboard {
    /// Asks for what was sent first.
    pub(super) fn prefetch(&self) {
        self.runs.front().into_iter().for_each(prefetch);
    }

    pub(in crate::tcp) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Bytes that are taken to be on their way.
    pub(in crate::tcp) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Bytes that have arrived behind a gap.
    pub(in crate::tcp) fn arrived(&self) -> u32 {
        self.arrived
    }

    /// Bytes that are lost and not sent again yet.
    pub(in crate::tcp) fn lost(&self) -> u32 {
        self.lost
    }

    /// Bytes that were ever found lost, each time they were, modulo 2^32.
    pub(super) fn losses(&self) -> u32 {
        self.losses
    }

    /// Numbers from the first on that have the same fate.
    pub(in crate::tcp) fn first_len(&self) -> u32 {
        self.runs.front().map_or(0, |run| run.len)
    }

    /// Bytes on their way that were sent before.
    pub(in crate::tcp) fn in_flight_again(&self) -> u32 {
        let again = |run: &&Run| run.fate == Fate::InFlight && run.sent == Transmissions::More;
        self.runs.iter().filter(again).map(|run| run.len).sum()
    }

    /// `len` numbers were sent for the first time, right behind the last.
    pub(in crate::tcp) fn sent(&mut self, start: Seq, len: u32, stamp: Stamp) {
        debug_assert!(self.runs.back().is_none_or(|last| last.end() == start));
        let full = self.runs.len() >= self.runs_max();
        let of_this_turn = |last: &Run| last.stamp == stamp && last.sent == Transmissions::One;
        // What joins what was sent before counts as sent with it, in either order.
        let mut together = (start, len);
        match self.runs.back_mut() {
            Some(last) if last.fate == Fate::InFlight && (of_this_turn(last) || full) => {
                last.len += len;
                if last.stamp != stamp {
                    last.stamp = stamp;
                    together = (last.start, last.len);
                }
            }
            _ => self.runs.push_back(Run {
                start,
                len,
                fate: Fate::InFlight,
                sent: Transmissions::One,
                stamp,
            }),
        }
        self.in_flight += len;
        if self.order.is_some() {
            self.note_sending(together.0, together.1, stamp.sent_at);
        }
    }

    /// These numbers were sent again.
    pub(in crate::tcp) fn sent_again(&mut self, start: Seq, len: u32, stamp: Stamp) {
        self.write_order();
        self.split_at(start);
        self.split_at(start + len);
        let first = self.index_of(start);
        let mut at = first;
        while let Some(run) = self.runs.get_mut(at).filter(|run| run.start.precedes(start + len)) {
            let (fate, bytes) = (run.fate, run.len);
            run.fate = Fate::InFlight;
            run.sent = Transmissions::More;
            run.stamp = stamp;
            *self.total(fate) -= bytes;
            self.in_flight += bytes;
            at += 1;
        }
        self.join(first, at);
        self.note_sending(start, len, stamp.sent_at);
    }

    /// Everything before `ack` is acknowledged.
    pub(in crate::tcp) fn acknowledge(&mut self, ack: Seq, delivery: &mut Delivery) {
        while let Some(run) = self.runs.front_mut() {
            if ack.at_or_before(run.start) {
                break;
            }
            let piece = if run.end().at_or_before(ack) {
                let Some(whole) = self.runs.pop_front() else { break };
                whole
            } else {
                run.split_off_front(ack.offset_from(run.start))
            };
            *self.total(piece.fate) -= piece.len;
            delivery.acknowledged(&piece);
        }
        self.cut_order(ack);
    }

    /// Whether nothing has arrived behind a gap, or is lost.
    #[inline]
    pub(super) fn is_in_flight(&self) -> bool {
        self.arrived == 0 && self.lost == 0
    }

    /// What [`acknowledge`](Self::acknowledge) comes to where everything [is in flight](Self::is_in_flight) that was sent once. `None` if `ack` is of nothing
    /// new.
    pub(super) fn advance(&mut self, ack: Seq, now: Instant) -> Option<Delivery> {
        let first = self.runs.front()?;
        let (start, first_sent_at) = (first.start, first.stamp.sent_at);
        let mut newest = None;
        while let Some(run) = self.runs.front_mut() {
            if ack.at_or_before(run.start) {
                break;
            }
            newest = Some(run.stamp);
            if ack.precedes(run.end()) {
                let _acknowledged = run.split_off_front(ack.offset_from(run.start));
                break;
            }
            self.runs.pop_front();
        }
        self.cut_order(ack);
        let newest = newest?;
        self.in_flight -= ack.offset_from(start);
        Some(Delivery::in_order(now, (start, ack), first_sent_at, newest))
    }

    /// What was sent before `ack` is of no interest any more.
    #[inline]
    fn cut_order(&mut self, ack: Seq) {
        let Some(order) = &mut self.order else { return };
        while order.pop_front_if(|sending| sending.end.at_or_before(ack)).is_some() {}
        if self.runs.is_empty() {
            self.order = None;
        }
    }

    /// The peer has these numbers, by SACK. Where there is no room for another run, they count as not told.
    pub(in crate::tcp) fn arrive(&mut self, left: Seq, right: Seq, delivery: &mut Delivery) {
        let first = self.index_of(left);
        let known = |run: &Run| run.fate == Fate::Arrived && right.at_or_before(run.end());
        if self.runs.get(first).is_none_or(known) || self.runs.len() >= self.runs_max() {
            return;
        }
        self.write_order();
        self.split_at(left);
        self.split_at(right);
        let first = self.index_of(left);
        let mut at = first;
        while let Some(run) = self.runs.get_mut(at).filter(|run| run.start.precedes(right)) {
            if run.fate != Fate::Arrived {
                delivery.arrived(run);
                let (fate, bytes) = (std::mem::replace(&mut run.fate, Fate::Arrived), run.len);
                *self.total(fate) -= bytes;
                self.arrived += bytes;
            }
            at += 1;
        }
        self.join(first, at);
    }

    /// Whether nothing whose loss is not decided was sent at this time or before.
    pub(super) fn is_all_sent_after(&self, at: Instant) -> bool {
        let oldest = match &self.order {
            Some(order) => order.front().map(|sending| sending.sent_at),
            None => self.runs.front().map(|run| run.stamp.sent_at),
        };
        oldest.is_none_or(|oldest| oldest > at)
    }

    /// The oldest transmission whose loss is not decided: when it was sent, and its numbers.
    pub(super) fn oldest(&mut self) -> Option<(Instant, Seq, Seq)> {
        self.write_order();
        while let Some(&Sending { sent_at, start, end }) = self.order.as_ref()?.front() {
            let mut at = self.index_of(start);
            while let Some(run) = self.runs.get(at).filter(|run| run.start.precedes(end)) {
                if run.fate == Fate::InFlight && run.stamp.sent_at == sent_at {
                    return Some((sent_at, run.start.later(start), end));
                }
                at += 1;
            }
            self.order.as_mut()?.pop_front();
        }
        None
    }

    /// Of the [oldest](Self::oldest) transmission, what lies before `end` is lost.
    pub(super) fn lose_oldest(&mut self, end: Seq) {
        let Some(order) = &mut self.order else { return };
        let Some(oldest) = order.front_mut() else { return };
        let Sending { sent_at, start, .. } = *oldest;
        oldest.start = end;
        order.pop_front_if(|oldest| oldest.end.at_or_before(end));
        self.lose(start, end, |run| run.stamp.sent_at == sent_at);
    }

    /// The first `len` numbers are lost, if they are in flight.
    pub(super) fn lose_first(&mut self, len: u32) {
        if let Some(first) = self.runs.front().map(|run| run.start) {
            self.lose(first, first + len, |_| true);
        }
    }

    /// What is in flight of these numbers is lost.
    pub(super) fn lose_between(&mut self, start: Seq, end: Seq) {
        self.lose(start, end, |_| true);
    }

    /// How much of these numbers is lost that was sent once.
    pub(super) fn lost_once_between(&self, start: Seq, end: Seq) -> u32 {
        let from = self.index_of(start);
        let within = self.runs.iter().skip(from).take_while(|run| run.start.precedes(end));
        let lost = within.filter(|run| {
            let once = run.fate == Fate::Lost && run.sent == Transmissions::One;
            once && run.start.at_or_after(start) && run.end().at_or_before(end)
        });
        lost.map(|run| run.len).sum()
    }

    /// Nothing that is in flight will arrive.
    pub(in crate::tcp) fn lose_all(&mut self) {
        if let (Some(first), Some(last)) = (self.runs.front(), self.runs.back()) {
            let (start, end) = (first.start, last.end());
            self.lose(start, end, |_| true);
        }
        self.order.as_mut().into_iter().for_each(VecDeque::clear);
    }

    /// Nothing was lost: what was not sent again is still on its way.
    pub(super) fn find_all(&mut self) {
        let mut found = Vec::new();
        for run in self.runs.iter_mut().filter(|run| run.fate == Fate::Lost) {
            run.fate = Fate::InFlight;
            found.push(Sending { sent_at: run.stamp.sent_at, start: run.start, end: run.end() });
        }
        // What was given up was sent before whatever is still in order.
        found.sort_by_key(|sending| sending.sent_at);
        if let Some(order) = &mut self.order {
            found.into_iter().rev().for_each(|sending| order.push_front(sending));
        }
        self.in_flight += std::mem::take(&mut self.lost);
        self.lost_from = None;
    }

    /// Whether the peer has said that it has the first number, and yet does not acknowledge it.
    pub(in crate::tcp) fn is_first_arrived(&self) -> bool {
        self.runs.front().is_some_and(|run| run.fate == Fate::Arrived)
    }

    /// The peer has thrown away what it had (RFC 2018, section 8).
    pub(super) fn forget_arrived(&mut self) {
        for run in self.runs.iter_mut().filter(|run| run.fate == Fate::Arrived) {
            run.fate = Fate::Lost;
            // What has arrived is joined, so nobody knows any more.
            run.sent = Transmissions::More;
        }
        self.lost += std::mem::take(&mut self.arrived);
        self.lost_from = self.runs.front().map(|run| run.start);
    }

    /// The first numbers in a row that are lost, at most `most`.
    pub(in crate::tcp) fn next_lost(&mut self, most: u32) -> Option<(Seq, u32)> {
        if self.lost == 0 {
            return None;
        }
        let mut at = self.index_of(self.lost_from?);
        while self.runs.get(at)?.fate != Fate::Lost {
            at += 1;
        }
        let start = self.runs.get(at)?.start;
        self.lost_from = Some(start);
        let lost = self.runs.iter().skip(at).take_while(|run| run.fate == Fate::Lost);
        let len = lost.take_while(|run| run.start.offset_from(start) < most).map(|run| run.len);
        Some((start, len.sum::<u32>().min(most)))
    }

    fn lose(&mut self, start: Seq, end: Seq, which: impl Fn(&Run) -> bool) {
        self.split_at(start);
        self.split_at(end);
        let first = self.index_of(start);
        let mut at = first;
        while let Some(run) = self.runs.get_mut(at).filter(|run| run.start.precedes(end)) {
            if run.fate == Fate::InFlight && which(run) {
                run.fate = Fate::Lost;
                let (start, bytes) = (run.start, run.len);
                self.in_flight -= bytes;
                self.lost += bytes;
                self.losses = self.losses.wrapping_add(bytes);
                self.lost_from = Some(self.lost_from.map_or(start, |from| from.earlier(start)));
            }
            at += 1;
        }
    }

    /// The run that holds a number, or the first one behind it.
    fn index_of(&self, seq: Seq) -> usize {
        match self.runs.front() {
            Some(first) if seq.follows(first.start) => {
                let Self { runs, .. } = self;
                runs.partition_point(|run| run.end().at_or_before(seq))
            }
            _ => 0,
        }
    }

    /// Sees to it that a run begins with `seq`, if that is within one.
    fn split_at(&mut self, seq: Seq) {
        let at = self.index_of(seq);
        if let Some(run) = self.runs.get_mut(at).filter(|run| run.start.precedes(seq)) {
            let front = run.split_off_front(seq.offset_from(run.start));
            self.runs.insert(at, front);
        }
    }

    /// Makes one run of neighbours that nothing tells apart, `first` to `end` and those beside them.
    fn join(&mut self, first: usize, end: usize) {
        let mut into = first.saturating_sub(1);
        let last = end.min(self.runs.len().saturating_sub(1));
        let mut gone = 0;
        for at in into + 1..=last {
            let (run, before) = (self.runs[at].clone(), &mut self.runs[into]);
            let alike = before.fate == run.fate
                && (run.fate == Fate::Arrived
                    || (before.stamp == run.stamp && before.sent == run.sent));
            if alike {
                before.len += run.len;
                gone += 1;
            } else {
                into += 1;
                self.runs[into] = run;
            }
        }
        if gone > 0 {
            self.runs.drain(into + 1..=into + gone);
        }
    }

    /// From now on the order of time may not be that of the numbers.
    fn write_order(&mut self) {
        if self.order.is_some() {
            return;
        }
        self.order = Some(VecDeque::with_capacity(self.runs.len()));
        for at in 0..self.runs.len() {
            let Run { start, len, fate, stamp, .. } = self.runs[at];
            if fate == Fate::InFlight {
                self.note_sending(start, len, stamp.sent_at);
            }
        }
    }

    fn note_sending(&mut self, start: Seq, len: u32, sent_at: Instant) {
        let most = self.runs_max();
        let order = self.order.get_or_insert_default();
        match order.back_mut() {
            Some(last) if last.sent_at == sent_at && last.end == start => last.end += len,
            _ => {
                // What was sent again counts twice. What is lost of the oldest a timeout will find.
                if order.len() >= 2 * most {
                    order.pop_front();
                }
                order.push_back(Sending { sent_at, start, end: start + len });
            }
        }
    }

    fn runs_max(&self) -> usize {
        let bytes = self.in_flight + self.arrived + self.lost;
        RUNS_MAX + (bytes / BYTES_PER_RUN) as usize
    }

    fn total(&mut self, fate: Fate) -> &mut u32 {
        match fate {
            Fate::InFlight => &mut self.in_flight,
            Fate::Arrived => &mut self.arrived,
            Fate::Lost => &mut self.lost,
        }
    }
}

/// Runs that there may be in any case, and one more for each so many bytes: more than segments of an ordinary size can make, and all that a peer can cost us
/// that names every second byte. (What is lost and sent again a segment at a time may make more, but a segment is not a byte.)
const RUNS_MAX: usize = 1024;
const BYTES_PER_RUN: u32 = 512;

#[cfg(test)]
mod tests;
