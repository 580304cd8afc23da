//! What the peer knows of a connection from the stack's segments, and what must hold of each.

use crate::{ACK, FIN, SYN, Segment, stream};

/// One life of a connection, from a SYN of the stack's on.
#[derive(Clone, Debug)]
pub struct Known {
    pub stack_port: u16,
    /// The number of the stack's SYN.
    pub stack_iss: u32,
    /// The number of the peer's SYN, once the stack has acknowledged it.
    pub peer_iss: Option<u32>,
    /// The number of the peer's last SYN before that.
    peer_syn: Option<u32>,
    /// As far as the stack has acknowledged.
    pub acked: u32,
    /// The right edge of the window that it has offered.
    pub edge: u32,
    /// As far as it has sent.
    pub sent: u32,
    offered_shift: u8,
    /// By how much its window fields are shifted.
    pub shift: u8,
    /// Its clock, if it tells it.
    pub stamp: Option<u32>,
    /// How much the application has written.
    pub written: u32,
    /// Whether the application has said that this is all.
    pub shut: bool,
}

impl Known {
    /// A life that begins with this SYN.
    pub fn begin(syn: &Segment) -> Self {
        let mut known = Self {
            stack_port: syn.source_port,
            stack_iss: syn.seq,
            peer_iss: None,
            peer_syn: None,
            acked: 0,
            edge: 0,
            sent: syn.seq.wrapping_add(1),
            offered_shift: syn.option(3).map_or(0, |shift| shift[0]),
            shift: syn.option(3).map_or(0, |shift| shift[0]),
            stamp: syn.stamp(),
            written: 0,
            shut: false,
        };
        if syn.has(ACK) {
            known.hear_ack(syn);
        }
        known
    }

    /// The peer sends a SYN, which may be the one that begins this life: windows are shifted only if both sides offer it.
    pub fn answer(&mut self, segment: &Segment) {
        if segment.has(SYN) && self.peer_iss.is_none() {
            self.peer_syn = Some(segment.seq);
            let both = segment.option(3).is_some_and(|shift| shift.len() == 1);
            self.shift = if both { self.offered_shift } else { 0 };
        }
    }

    /// Whether a SYN of the stack's, perhaps sent again, belongs to this life. One that begins at the same moment has the same numbers, and
    /// differs only in what has been agreed on or sent since.
    pub fn began_with(&self, syn: &Segment) -> bool {
        let shift = syn.option(3).map_or(0, |shift| shift[0]);
        let first = !syn.has(ACK) || self.peer_iss.is_none();
        self.stack_iss == syn.seq && (first || (self.acked == syn.ack && self.shift == shift))
    }

    /// Where a number of the stack's lies in what it sends: 0 is its SYN.
    pub fn offset(&self, seq: u32) -> u32 {
        seq.wrapping_sub(self.stack_iss)
    }

    /// The stack sends this, which is no reset.
    ///
    /// # Panics
    ///
    /// If it may not.
    pub fn hear(&mut self, segment: &Segment) {
        assert_eq!(segment.source_port, self.stack_port);
        if !segment.has(SYN) {
            assert!(segment.has(ACK), "every segment behind the SYN has an ACK");
            self.judge_payload(segment);
        }
        let end = segment.seq.wrapping_add(segment.len());
        if follows(end, self.sent) {
            self.sent = end;
        }
        self.stamp = segment.stamp().or(self.stamp);
        if segment.has(ACK) {
            self.hear_ack(segment);
        }
    }

    /// Only what was written is sent, in its place; a FIN only behind all of it.
    fn judge_payload(&self, segment: &Segment) {
        let at = self.offset(segment.seq);
        let end = at.wrapping_add(segment.len());
        let limit = 1 + self.written + u32::from(self.shut);
        // A keep-alive or a probe may lie one before what is acknowledged.
        assert!(at <= limit && end <= limit, "{at} to {end} of {limit}: {segment:?}");
        if !segment.payload.is_empty() {
            assert_eq!(segment.payload, stream(at - 1, segment.payload.len()), "at {at}");
        }
        if segment.has(FIN) {
            assert!(self.shut, "a FIN that nobody asked for");
            assert_eq!(end, limit, "the FIN is behind all that was written");
        }
    }

    /// Acknowledgements and right edges never go back (RFC 9293, section 3.8.6).
    fn hear_ack(&mut self, segment: &Segment) {
        let shift = if segment.has(SYN) { 0 } else { self.shift };
        let edge = segment.ack.wrapping_add(u32::from(segment.window) << shift);
        if self.peer_iss.is_none() {
            // A SYN that brings data is acknowledged together with that.
            self.peer_iss = self.peer_syn.or(Some(segment.ack.wrapping_sub(1)));
            (self.acked, self.edge) = (segment.ack, edge);
            return;
        }
        assert!(!follows(self.acked, segment.ack), "the acknowledgement goes back: {segment:?}");
        let rounding = (1 << self.shift) - 1;
        let shrinks = follows(self.edge, edge.wrapping_add(rounding));
        assert!(!shrinks, "the window shrinks: {segment:?} after {self:?}");
        (self.acked, self.edge) = (segment.ack, edge);
    }
}

/// Whether one number lies behind another, along the shorter way.
pub fn follows(number: u32, other: u32) -> bool {
    (number.wrapping_sub(other) as i32) > 0
}
