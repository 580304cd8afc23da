//! What a socket does, said as plainly as possible: one value that a call or a segment has for itself while it lasts.
//!
//! This is the socket of the mail before anything was done about its lock: the application and the protocol thread change the
//! same fields, each behind the other's back only between two steps, never within one. It knows of the network what
//! arrives and nothing else, and judges what the stack under test sends by what its application has said.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::Duration;

use crate::time::Instant;

/// Where the connection stands for whoever holds the socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Open,
    /// Both directions have ended, or nobody waits for the peer's any more.
    Over,
    Failed,
}

/// One end of a connection that both sides have agreed to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reference {
    limits: Limits,
    pub(super) fate: Fate,
    error: Option<ErrorKind>,
    /// The application sends no more, reads no more, has reset the connection, or has no handle left.
    pub(super) shut_write: bool,
    pub(super) shut_read: bool,
    pub(super) aborted: bool,
    pub(super) closed: bool,
    /// Bytes that `send` has taken, and how many of them, with the FIN behind them, the peer has acknowledged.
    pub(super) sent: u64,
    acked: u64,
    fin_acked: bool,
    /// Bytes that have arrived without a gap, and how many of them were read or are not to be.
    pub(super) arrived: u64,
    read: u64,
    /// Bytes that have arrived ahead of a gap.
    ahead: BTreeSet<u64>,
    /// Where the peer's stream ends, and whether everything up to there has arrived.
    fin_at: Option<u64>,
    pub(super) finished: bool,
    /// The peer was told that it may send up to here.
    edge: u64,
    /// Until when a peer is waited for of which nothing is wanted any more.
    patience: Option<Instant>,
    /// A reset is due to the peer; one was sent.
    pub(super) owes_reset: bool,
    pub(super) has_reset: bool,
}

/// Most bytes that are buffered in each direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    pub(super) send: u64,
    pub(super) receive: u64,
}

/// A segment, in positions of both streams: 0 is the first byte.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) seq: u64,
    pub(super) len: u64,
    pub(super) fin: bool,
    pub(super) reset: bool,
    /// What it acknowledges, a FIN counted as a byte.
    pub(super) ack: u64,
    pub(super) window: u64,
}

impl Reference {
    pub(super) fn new(limits: Limits, window: u64) -> Self {
        Self {
            limits,
            fate: Fate::Open,
            error: None,
            shut_write: false,
            shut_read: false,
            aborted: false,
            closed: false,
            sent: 0,
            acked: 0,
            fin_acked: false,
            arrived: 0,
            read: 0,
            ahead: BTreeSet::new(),
            fin_at: None,
            finished: false,
            edge: window,
            patience: None,
            owes_reset: false,
            has_reset: false,
        }
    }

    /// The number that the peer's next byte, or its FIN, has.
    pub(super) fn next(&self) -> u64 {
        self.arrived + u64::from(self.finished)
    }
}

/// What the application calls.
impl Reference {
    pub(super) fn send(&mut self, len: u64) -> Result<u64, ErrorKind> {
        if self.aborted {
            return Err(ErrorKind::BrokenPipe);
        }
        if self.fate != Fate::Open {
            return Err(self.error.take().unwrap_or(ErrorKind::BrokenPipe));
        }
        if self.shut_write {
            return Err(ErrorKind::BrokenPipe);
        }
        let taken = len.min(self.limits.send - (self.sent - self.acked));
        if taken == 0 {
            return Err(ErrorKind::WouldBlock);
        }
        self.sent += taken;
        Ok(taken)
    }

    pub(super) fn receive(&mut self, len: u64) -> Result<u64, ErrorKind> {
        let unread = self.arrived - self.read;
        if unread > 0 {
            let taken = len.min(unread);
            self.read += taken;
            return Ok(taken);
        }
        if self.fate == Fate::Failed {
            return self.error.take().map_or(Ok(0), Err);
        }
        if self.shut_read || self.finished {
            return Ok(0);
        }
        Err(ErrorKind::WouldBlock)
    }

    pub(super) fn shut_read(&mut self) {
        self.shut_read = true;
        self.read = self.arrived;
    }

    pub(super) fn take_error(&mut self) -> Option<ErrorKind> {
        self.error.take()
    }

    /// How far it has been read: the position of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.read
    }
}

/// What the protocol does.
impl Reference {
    /// Follows what the application has said, in the poll after it was said.
    pub(super) fn look(&mut self, now: Instant) {
        if self.fate == Fate::Open && self.aborted {
            self.owes_reset = true;
            self.fail(ErrorKind::ConnectionAborted);
        }
        if self.fate == Fate::Open && self.closed && self.arrived > self.read {
            self.owes_reset = true;
            self.fail(ErrorKind::ConnectionAborted);
        }
        self.be_patient(now);
    }

    /// Time has come to `now`.
    pub(super) fn time(&mut self, now: Instant) {
        if self.fate == Fate::Open && self.patience.is_some_and(|until| until <= now) {
            self.fate = Fate::Over;
        }
    }

    /// A segment of the peer's arrives.
    pub(super) fn arrive(&mut self, segment: Seen, now: Instant) {
        if self.fate != Fate::Open || !self.is_acceptable(&segment) {
            return;
        }
        if segment.reset {
            if segment.seq == self.next() {
                self.fail(ErrorKind::ConnectionReset);
            }
            return;
        }
        self.acked = self.acked.max(segment.ack.min(self.sent));
        self.fin_acked |= segment.ack > self.sent;
        if !self.finished {
            self.take_text(&segment);
        }
        if self.finished && self.fin_acked && self.fate == Fate::Open {
            self.fate = Fate::Over;
        }
        self.be_patient(now);
    }

    /// Table 6 of RFC 9293, and the one exception to it: what asks whether a closed window is still closed counts as
    /// an acknowledgement.
    fn is_acceptable(&self, segment: &Seen) -> bool {
        let len = segment.len + u64::from(segment.fin);
        let window = self.next()..self.edge.max(self.next());
        if len == 0 || window.is_empty() {
            return segment.seq == self.next() || (len == 0 && window.contains(&segment.seq));
        }
        window.contains(&segment.seq) || window.contains(&(segment.seq + len - 1))
    }

    fn take_text(&mut self, segment: &Seen) {
        let end = segment.seq + segment.len;
        let wanted = segment.seq.max(self.arrived)..end.min(self.edge);
        if !wanted.is_empty() && self.closed {
            // Nobody will ever read it, and the peer must know (RFC 1122, section 4.2.2.13).
            self.owes_reset = true;
            return self.fail(ErrorKind::ConnectionAborted);
        }
        self.ahead.extend(wanted);
        if segment.fin && end < self.edge {
            self.fin_at = Some(end);
        }
        while self.ahead.remove(&self.arrived) {
            self.arrived += 1;
        }
        if self.shut_read {
            self.read = self.arrived;
        }
        self.finished = self.fin_at == Some(self.arrived);
    }

    /// C-12: the peer of a connection of which nothing is wanted any more is not waited for for ever.
    fn be_patient(&mut self, now: Instant) {
        let unwanted = self.closed || self.shut_read;
        if self.fate == Fate::Open && self.fin_acked && unwanted && self.patience.is_none() {
            self.patience = Some(now + FIN_WAIT_2);
        }
    }

    fn fail(&mut self, error: ErrorKind) {
        self.fate = Fate::Failed;
        self.error = Some(error);
    }
}

/// What the stack under test sends in this socket's name.
impl Reference {
    /// # Panics
    ///
    /// If the application's words are no reason for it.
    pub(super) fn judge(&mut self, segment: &Seen) {
        if segment.reset {
            self.has_reset = true;
            assert!(self.owes_reset || self.fate != Fate::Open, "a reset without a reason");
            return;
        }
        assert!(self.fate != Fate::Failed, "of a connection that failed only resets are left");
        let end = segment.seq.wrapping_add(segment.len);
        assert!(segment.len == 0 || end <= self.sent, "bytes of nobody");
        if segment.fin {
            assert!(self.shut_write || self.closed, "a FIN that nobody asked for");
            assert_eq!(end, self.sent, "where the FIN is (C-15)");
        }
        assert!(segment.ack <= self.next(), "what never came is acknowledged");
        let edge = segment.ack + segment.window;
        let held = if self.closed { 0 } else { self.arrived - self.read };
        let room = self.limits.receive.saturating_sub(held);
        assert!(edge <= self.edge.max(self.next() + room), "more room than there is");
        self.edge = self.edge.max(edge);
    }

    /// # Panics
    ///
    /// If something is left undone that a network without losses leaves no excuse for. Whoever can read has read.
    pub(super) fn judge_rest(&self, peer: &Self) {
        assert!(!self.owes_reset || self.has_reset, "the peer was never reset");
        if [self.fate, peer.fate].contains(&Fate::Failed) {
            return;
        }
        assert_eq!(peer.arrived, self.sent, "every byte that was taken arrives");
        assert_eq!(
            peer.finished,
            self.shut_write || self.closed,
            "the end arrives, if there is one"
        );
    }
}

const FIN_WAIT_2: Duration = Duration::from_secs(60);
