//! What is lost is sent again: the table is looked through, a part of it at a time.

use std::ops::Range;

use super::flow::{State, coarse};
use super::plan::Pace;
use super::port::Port;
use super::segment::{ACK, FIN, RST, SYN};
use super::tcp::{Tcp, wrapped};

/// Which part of the table is looked at next.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Place in the table, and when it was last looked at.
    next: u32,
    last: u64,
}

/// How long it takes to look through the whole table.
const ROUND: u64 = 20_000_000;
/// Most connections in one turn, so that no segment waits for long: microseconds.
const AT_ONCE: u64 = 1024;

/// How long nothing may have gone on, in units of the coarse clock: the 200 ms that Linux waits at least, and a second before anything is known of the path
/// (RFC 6298, section 2, rule 2.1).
const PATIENCE: u16 = 48;
const PATIENCE_WITH_SYN: u16 = 240;
/// How long an ACK waits for data to ride on: Linux's 40 ms at most, with what a round takes.
const ACK_WITHIN: u16 = 4;
/// How long an exchange may take where requests have times; then the client has lost interest.
const INTEREST: u32 = 1_000_000_000;

impl Scan {
    /// The part that is due at `now`, in a table of `len`.
    pub(super) fn due(&mut self, now: u64, len: u32) -> Range<u32> {
        let part = (now - self.last) * u64::from(len) / ROUND;
        if part == 0 {
            return 0..0;
        }
        self.last = now;
        let first = if self.next < len { self.next } else { 0 };
        let part = wrapped(part.min(AT_ONCE)).min(len - first);
        self.next = first + part;
        first..self.next
    }
}

impl Tcp {
    /// Sends again if nothing has gone on for too long although something should.
    pub(super) fn look_after(&mut self, port: &mut Port, slot: u32) {
        let (now, time) = (coarse(self.now), wrapped(self.now));
        let flow = self.flow(slot);
        let silent = now.wrapping_sub(flow.progress);
        let opening = flow.state == State::SynSent;
        let stuck = silent > if opening { PATIENCE_WITH_SYN } else { PATIENCE };
        if flow.state == State::Open && flow.unacknowledged > 0 && silent >= ACK_WITHIN {
            self.emit(port, slot, ACK, 0);
            return;
        }
        if flow.state == State::Closed || !stuck {
            return;
        }
        if matches!(self.plan.pace, Pace::Open(_)) && self.plan.is_churn() {
            let since = self.flow(slot).sent_at;
            if time.wrapping_sub(since) > INTEREST {
                return self.abandon(port, slot);
            }
        }
        let flow = self.flow(slot);
        if flow.in_flight() == 0 {
            return;
        }
        flow.progress = now;
        match flow.state {
            State::SynSent => self.repeat(port, slot, SYN),
            State::Closing | State::LastAck => self.repeat(port, slot, FIN | ACK),
            State::Open => {
                self.go_back(slot);
                self.send_owed(port, slot);
            }
            State::Closed => {}
        }
    }

    fn repeat(&mut self, port: &mut Port, slot: u32, flags: u8) {
        self.counts.resent += 1;
        let flow = self.flow(slot);
        flow.next = flow.acknowledged;
        self.emit(port, slot, flags, 0);
    }

    /// Who was never answered goes without a word.
    fn abandon(&mut self, port: &mut Port, slot: u32) {
        self.counts.abandoned += 1;
        if self.flow(slot).state != State::SynSent {
            self.emit(port, slot, RST | ACK, 0);
        }
        self.over(port, slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_looks_at_everything_once() {
        let mut scan = Scan::default();
        let mut seen = vec![0; 1000];
        for turn in 1..=200_u64 {
            for slot in scan.due(turn * 100_000, 1000) {
                seen[slot as usize] += 1;
            }
        }
        assert!(seen.iter().all(|count| *count == 1), "{seen:?}");
    }

    #[test]
    fn a_turn_is_short_however_long_the_last_one_was() {
        let mut scan = Scan::default();
        assert_eq!(scan.due(10_000_000_000, 100_000), 0..1024);
    }
}
