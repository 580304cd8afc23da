//! A segment that arrives for a connection.

use super::flow::{Flow, State, coarse};
use super::http;
use super::plan::{Closer, Pace, Work};
use super::port::Port;
use super::segment::{ACK, FIN, RST, SYN, Segment, precedes};
use super::tcp::Tcp;

/// Whether a segment was answered by one that acknowledges it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    Sent,
    /// It may wait for the next segment to be answered together.
    Due,
}

/// Duplicate ACKs after which a segment is taken to be lost (RFC 5681, section 3.2).
const DUPLICATES: u8 = 3;

impl Tcp {
    pub(super) fn process(&mut self, port: &mut Port, slot: u32, segment: &Segment, text: &[u8]) {
        if segment.flags & RST != 0 {
            self.counts.resets += 1;
            return self.over(port, slot);
        }
        match self.flow(slot).state {
            State::SynSent => self.syn_ack(port, slot, segment),
            _ if segment.flags & SYN != 0 => {
                // Our ACK was lost.
                self.emit(port, slot, ACK, 0);
            }
            _ => self.next_segment(port, slot, segment, text),
        }
    }

    fn syn_ack(&mut self, port: &mut Port, slot: u32, segment: &Segment) {
        let now = self.now;
        let flow = self.flow(slot);
        if segment.flags & (SYN | ACK) != SYN | ACK || segment.ack != flow.next {
            self.counts.strays += 1;
            return;
        }
        flow.state = State::Open;
        flow.acknowledged = segment.ack;
        flow.expected = segment.end();
        flow.timestamps = segment.timestamp.is_some();
        flow.echo = segment.timestamp.unwrap_or(0);
        flow.window_shift = segment.window_shift.unwrap_or(0).min(14);
        // A SYN's window is not shifted (RFC 7323, section 2.2).
        flow.window = segment.window.into();
        flow.progress = coarse(now);
        self.opened(port, slot);
    }

    fn next_segment(&mut self, port: &mut Port, slot: u32, segment: &Segment, text: &[u8]) {
        self.take_ack(slot, segment);
        let fills = segment.len > 0 || segment.flags & FIN != 0;
        if fills && segment.seq != self.flow(slot).expected {
            self.counts.out_of_order += 1;
            self.emit(port, slot, ACK, 0);
            return;
        }
        let mut answer = Answer::Sent;
        if fills {
            let now = coarse(self.now);
            let flow = self.flow(slot);
            flow.expected = segment.end();
            flow.progress = now;
            flow.unacknowledged += 1;
            answer = match self.plan.work {
                Work::Pages { .. } => match self.take_pages(port, slot, segment.len, text) {
                    Some(answer) => answer,
                    // It is over.
                    None => return,
                },
                _ => self.take_text(port, slot, segment.len),
            };
        }
        if segment.flags & FIN != 0 {
            answer = self.take_fin(port, slot);
        }
        if self.flow(slot).state == State::LastAck && self.flow(slot).in_flight() == 0 {
            self.counts.closed += 1;
            return self.over(port, slot);
        }
        if self.can_go_on(slot) {
            self.send_owed(port, slot);
        }
        // Unless what was sent has said it.
        if answer == Answer::Due && self.flow(slot).unacknowledged > 1 {
            self.emit(port, slot, ACK, 0);
        }
    }

    fn can_go_on(&mut self, slot: u32) -> bool {
        let flow = self.flow(slot);
        flow.owed > 0 && flow.state == State::Open
    }

    /// What the segment says of what we have sent.
    fn take_ack(&mut self, slot: u32, segment: &Segment) {
        let now = coarse(self.now);
        let flow = self.flow(slot);
        if let Some(timestamp) = segment.timestamp {
            flow.echo = timestamp;
        }
        let window = u32::from(segment.window) << flow.window_shift;
        // One that tells of another window is no duplicate (RFC 5681, section 2).
        let same_window = std::mem::replace(&mut flow.window, window) == window;
        if precedes(flow.acknowledged, segment.ack) {
            flow.acknowledged = segment.ack;
            flow.progress = now;
            flow.duplicates = 0;
            // What was taken to be lost has arrived after all.
            if precedes(flow.next, segment.ack) {
                flow.next = segment.ack;
            }
        } else if segment.len == 0
            && same_window
            && flow.in_flight() > 0
            && segment.ack == flow.acknowledged
        {
            flow.duplicates = flow.duplicates.saturating_add(1);
            if flow.duplicates == DUPLICATES {
                self.go_back(slot);
            }
        }
    }

    /// Whatever was not acknowledged is sent once more.
    pub(super) fn go_back(&mut self, slot: u32) {
        self.counts.resent += 1;
        let endless = self.plan.sends_without_end();
        let flow = self.flow(slot);
        if !endless {
            flow.owed += flow.in_flight();
        }
        flow.next = flow.acknowledged;
    }

    /// Payload in order.
    fn take_text(&mut self, port: &mut Port, slot: u32, len: u32) -> Answer {
        self.counts.bytes_in += u64::from(len);
        let (request, response, _) = self.plan.exchange();
        if response == 0 || len == 0 {
            return Answer::Due;
        }
        let complete = self.flow(slot).take(len, response);
        if complete == 0 {
            return Answer::Due;
        }
        self.answered(slot, complete);
        match (self.plan.work, &self.plan.pace) {
            (Work::Once { closer: Closer::Client, .. }, _) => {
                self.flow(slot).state = State::Closing;
                self.emit(port, slot, FIN | ACK, 0);
                Answer::Sent
            }
            (Work::Requests { .. }, Pace::Closed) => {
                self.flow(slot).sent_at = super::tcp::wrapped(self.now);
                self.owe(slot, complete * request, complete * response);
                Answer::Sent
            }
            (Work::Requests { .. }, Pace::Open(_)) => {
                if self.flow(slot).awaited == 0 {
                    self.flow(slot).unacknowledged = 2;
                    self.next(port, slot);
                }
                Answer::Due
            }
            _ => Answer::Due,
        }
    }

    /// Payload in order, of responses that say how long they are. `None` if it is not one: then the connection is over.
    fn take_pages(&mut self, port: &mut Port, slot: u32, len: u32, text: &[u8]) -> Option<Answer> {
        self.counts.bytes_in += u64::from(len);
        let mut partial = self.heads.remove(&slot).unwrap_or_default();
        let Ok(complete) = http::take((&mut self.flow(slot).awaited, &mut partial), text, len)
        else {
            self.counts.bad_responses += 1;
            self.emit(port, slot, RST | ACK, 0);
            self.over(port, slot);
            return None;
        };
        if !partial.is_empty() {
            self.heads.insert(slot, partial);
        }
        if complete == 0 {
            return Some(Answer::Due);
        }
        self.answered(slot, complete);
        if let Pace::Open(_) = self.plan.pace {
            self.flow(slot).unacknowledged = 2;
            self.next(port, slot);
            return Some(Answer::Due);
        }
        self.flow(slot).sent_at = super::tcp::wrapped(self.now);
        let (request, ..) = self.plan.exchange();
        self.owe(slot, complete * request, 0);
        Some(Answer::Sent)
    }

    /// The server has closed.
    fn take_fin(&mut self, port: &mut Port, slot: u32) -> Answer {
        let Flow { state, awaited, .. } = *self.flow(slot);
        match state {
            State::Open => {
                self.counts.closed_early += u64::from(awaited > 0 || !self.plan.is_churn());
                self.flow(slot).state = State::LastAck;
                self.emit(port, slot, FIN | ACK, 0);
            }
            State::Closing => {
                self.flow(slot).state = State::LastAck;
                self.emit(port, slot, ACK, 0);
            }
            State::Closed | State::SynSent | State::LastAck => {
                self.emit(port, slot, ACK, 0);
            }
        }
        Answer::Sent
    }

    /// A connection is over; the next one may begin in its place.
    pub(super) fn over(&mut self, port: &mut Port, slot: u32) {
        self.flow(slot).state = State::Closed;
        self.flow(slot).owed = 0;
        self.no_longer_asks(slot);
        self.heads.remove(&slot);
        if self.plan.is_churn() {
            self.next(port, slot);
        } else if let Work::Pages { .. } = self.plan.work {
            // Servers send clients away after some requests.
            self.connect(port, slot, self.now);
        }
    }
}
