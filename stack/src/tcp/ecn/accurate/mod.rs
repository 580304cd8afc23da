//! Accurate feedback (AccECN, RFC 9768): each side counts the packets that arrive with a mark, and the bytes by their marks, and tells its counters: three bits of
//! the first with every segment (the ACE field), the others in an option where they have changed.
//!
//! The RFC's r.cep, r.ceb, r.e0b and r.e1b are [`Arrivals`], and s.cep and so on [`Reports`].

mod arrivals;
mod reports;

use super::handshake::{Answer, Mode};
use super::{AccurateSyn, PLAIN_AFTER};
use crate::ip::Ecn;
use crate::tcp::info::EcnCounts;
use crate::tcp::segment::Segment;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::EcnBytes;

use arrivals::Arrivals;
pub(super) use arrivals::Sent;
pub(in crate::tcp) use arrivals::first_option;
use reports::Reports;

/// What a connection with accurate feedback counts, both ways.
#[derive(Debug)]
pub(in crate::tcp) struct Accurate {
    pub(super) arrivals: Arrivals,
    pub(super) reports: Reports,
}

impl Accurate {
    /// Of the side that has connected: how its `syn` and the SYN-ACK have arrived.
    pub(super) fn client(syn: Ecn, syn_ack: &Segment) -> Self {
        let mut reports = Reports::new();
        reports.option_expected(syn_ack.options.accurate_ecn);
        reports.syn_arrived(syn);
        Self { arrivals: Arrivals::client(syn_ack.ecn), reports }
    }

    /// Of the side that has listened, whose SYN-ACK was sent again so often.
    pub(super) fn server(syn: AccurateSyn, resent: u8) -> Self {
        let mut reports = Reports::new();
        if syn.is_doubtful() || resent >= PLAIN_AFTER {
            // Section 3.1.5: the peer may believe that nothing was agreed on.
            reports.stop_marking();
        }
        Self { arrivals: Arrivals::server(syn.arrived(), resent), reports }
    }

    /// The SYN has come again.
    pub(super) fn syn_again(&mut self, arrived: Ecn, asked: Mode) {
        self.arrivals.syn_again(arrived);
        if asked == Mode::Off {
            self.reports.stop_marking();
        }
    }

    /// By a SYN-ACK that says so, of one who has called at the same time and goes by our SYN. Where that has asked for nothing, or seems to (section 3.1.5), he may
    /// have agreed on nothing.
    pub(super) fn syn_answered(&mut self, answer: Flags) {
        match Answer::of(Mode::Accurate, answer) {
            Answer::Accurate(arrived) => self.reports.syn_arrived(arrived),
            Answer::Classic | Answer::Off => self.reports.stop_marking(),
        }
    }

    /// What was sent, and what was received.
    pub(super) fn counts(&self) -> [EcnCounts; 2] {
        [self.reports.counts(), self.arrivals.counts()]
    }
}

/// The lowest three bits of a counter of packets (figure 3).
fn ace(packets: u32) -> Flags {
    let bits = u16::try_from(packets % ACE_VALUES).unwrap_or(0);
    Flags(bits << ACE_SHIFT)
}

/// The ACE field.
fn ace_of(flags: Flags) -> u8 {
    u8::try_from(flags.ecn().0 >> ACE_SHIFT).unwrap_or(0)
}

/// The field of one who has received no mark yet.
pub(in crate::tcp) fn ace_at_first() -> Flags {
    ace(FIRST_PACKETS)
}

fn counts(packets: u32, bytes: EcnBytes) -> EcnCounts {
    EcnCounts {
        marked_packets: packets.wrapping_sub(FIRST_PACKETS),
        marked_bytes: bytes.ce.wrapping_sub(FIRST_BYTES.ce),
        ect0_bytes: bytes.ect0.wrapping_sub(FIRST_BYTES.ect0),
        ect1_bytes: bytes.ect1.wrapping_sub(FIRST_BYTES.ect1),
    }
}

/// Section 3.2.1.
const FIRST_PACKETS: u32 = 5;
const FIRST_BYTES: EcnBytes = EcnBytes { ect0: 1, ce: 0, ect1: 1 };

const ACE_VALUES: u32 = 8;
/// Where the field's lowest bit stands: it is the flag ECE.
const ACE_SHIFT: u16 = 6;

#[cfg(test)]
mod tests;
