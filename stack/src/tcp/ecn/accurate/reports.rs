//! The sending side (RFC 9768, sections 3.2.2.5.2 and 3.2.3.1, appendix A): how much of what was sent has arrived with a mark, as the peer reports it.

use super::super::handshake::SYNS_ARE_SENT;
use super::super::handshake::arrived_as;
use super::super::{Echo, Marks};
use super::{ACE_VALUES, FIRST_BYTES, FIRST_PACKETS, ace_of, counts};
use crate::ip::Ecn;
use crate::tcp::info::EcnCounts;
use crate::tcp::segment::Segment;
use crate::wire::tcp_options::{AccurateEcnOption, EcnBytes, FIELD_MAX};

/// The peer's counters, as far as they are known here.
#[derive(Debug)]
pub(in crate::tcp::ecn) struct Reports {
    /// s.cep.
    packets: u32,
    /// s.e0b, s.ceb and s.e1b.
    bytes: EcnBytes,
    /// s.cep at the last option.
    packets_at_option: u32,
    /// Marked bytes that were only guessed since then.
    guessed: u32,
    /// Segments that were acknowledged since then.
    since_option: u32,
    /// How often in a row an option has contradicted the field.
    contradictions: u8,
    /// How many segments an ACK acknowledges on average, times [`AVERAGE_UNIT`]; zero before the first.
    acked: u32,
    /// What we send may be marked.
    marking: bool,
    /// Marks are believed.
    heeding: bool,
    /// Our SYN or SYN-ACK was marked.
    opened_with_mark: bool,
    ace: Ace,
    options: Options,
}

/// What the next ACE field means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ace {
    /// It says how our SYN-ACK has arrived, and is dealt with.
    OfHandshake,
    /// The first counter.
    First,
    Counter,
}

/// Whether the peer's options come through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Options {
    /// None has come yet. One that does shows that they do.
    Absent,
    Seen,
    /// Something on the way writes zeros into them.
    Zeroed,
}

impl Reports {
    pub(super) fn new() -> Self {
        Self {
            packets: FIRST_PACKETS,
            bytes: FIRST_BYTES,
            packets_at_option: FIRST_PACKETS,
            guessed: 0,
            since_option: 0,
            contradictions: 0,
            acked: 0,
            marking: true,
            heeding: true,
            opened_with_mark: false,
            ace: Ace::First,
            options: Options::Absent,
        }
    }

    pub(in crate::tcp::ecn) fn may_mark(&self) -> bool {
        self.marking
    }

    pub(in crate::tcp::ecn) fn stop_marking(&mut self) {
        self.marking = false;
    }

    /// How our SYN has arrived. A mark on it is no matter of the counter (section 3.2.2.2).
    pub(super) fn syn_arrived(&mut self, arrived: Ecn) {
        self.opened_with_mark |= arrived == Ecn::Marked;
        self.expect_as_sent(arrived);
    }

    /// Section 3.2.2.3: something on the way may change the field.
    fn expect_as_sent(&mut self, arrived: Ecn) {
        self.marking &= arrived == SYNS_ARE_SENT;
    }

    pub(in crate::tcp::ecn) fn opened_with_mark(&self) -> bool {
        self.opened_with_mark
    }

    /// The segment that should have an option, if options come through: the SYN-ACK, or what acknowledges it (sections 3.2.3.2.3 and 3.2.3.2.4).
    pub(super) fn option_expected(&mut self, option: Option<AccurateEcnOption>) {
        self.options = match option {
            None => Options::Absent,
            Some(option) if [option.ect0(), option.ect1()].contains(&Some(0)) => Options::Zeroed,
            Some(_) => Options::Seen,
        };
    }

    /// Our SYN-ACK is acknowledged, by a segment that carries nothing or by another (section 3.2.2.1, table 4).
    pub(in crate::tcp::ecn) fn handshake_ended(&mut self, segment: &Segment, bare: bool) {
        self.option_expected(segment.options.accurate_ecn);
        if !bare {
            return;
        }
        self.ace = Ace::OfHandshake;
        if ace_of(segment.flags) == 0 {
            // The peer has agreed on nothing, as it seems.
            (self.marking, self.heeding) = (false, false);
            return;
        }
        let Some(arrived) = arrived_as(segment.flags) else { return };
        if arrived == Ecn::Marked {
            self.packets += 1;
            self.packets_at_option = self.packets;
            self.opened_with_mark = true;
        }
        self.expect_as_sent(arrived);
    }

    /// What an acceptable segment says. The first counter cannot be zero (section 3.2.2.4): if it is, something on the way has cleared it, and whatever it
    /// will say is not to be believed.
    pub(in crate::tcp::ecn) fn echo(&mut self, segment: &Segment) -> Echo {
        let field = ace_of(segment.flags);
        let counter = self.ace != Ace::OfHandshake;
        if self.ace == Ace::First && field == 0 {
            (self.marking, self.heeding) = (false, false);
        }
        self.ace = if counter { Ace::Counter } else { Ace::First };
        Echo::Counted(counter.then_some(field), segment.options.accurate_ecn)
    }

    /// What is new in an ACK that has delivered so many bytes. One that has delivered nothing may be older than what is known (appendix A.1), and what is
    /// new in it comes again with the next: nothing of ours can be marked that is not acknowledged.
    pub(in crate::tcp::ecn) fn read(
        &mut self,
        ace: Option<u8>,
        option: Option<AccurateEcnOption>,
        delivered: u32,
        mss: u32,
    ) -> Marks {
        let Some(ace) = ace.filter(|_| delivered > 0) else { return Marks::default() };
        let mss = mss.max(1);
        let segments = delivered.div_ceil(mss);
        let told = self.take_option(option);
        let least = u32::from(ace).wrapping_sub(self.packets) % ACE_VALUES;
        let packets = self.settle(least, segments, told, mss);
        self.average(segments);
        self.packets = self.packets.wrapping_add(packets);
        self.since_option = self.since_option.saturating_add(segments);
        let bytes = match told {
            Some(bytes) => {
                self.check(bytes);
                (self.packets_at_option, self.since_option) = (self.packets, 0);
                bytes.saturating_sub(std::mem::take(&mut self.guessed))
            }
            None => {
                let guess = packets.saturating_mul(mss).min(delivered);
                self.guessed = self.guessed.saturating_add(guess);
                guess
            }
        };
        let marks = Marks { told: packets > 0, bytes };
        if self.heeding { marks } else { Marks::default() }
    }

    /// How many more bytes were marked, if the option says it. A field is left out only while it has not changed, or at least not since the option before, which
    /// may have been lost.
    fn take_option(&mut self, option: Option<AccurateEcnOption>) -> Option<u32> {
        let option = option.filter(|_| self.options != Options::Zeroed)?;
        self.options = Options::Seen;
        let grow = |counter: &mut u32, field: Option<u32>| {
            let more = field.map(|field| field.wrapping_sub(*counter) & FIELD_MAX);
            *counter = counter.wrapping_add(more.unwrap_or(0));
            more
        };
        grow(&mut self.bytes.ect0, option.ect0());
        grow(&mut self.bytes.ect1, option.ect1());
        let never = self.bytes.ce == FIRST_BYTES.ce;
        grow(&mut self.bytes.ce, option.ce()).or(never.then_some(0))
    }

    /// How many more packets were marked, at `least`: the field may have gone round (section 3.2.2.5.2, appendix A.2). The safest is that it did, unless the
    /// option says otherwise, or ACKs are known to be few.
    fn settle(&self, least: u32, segments: u32, told: Option<u32>, mss: u32) -> u32 {
        let most = safest(least, segments);
        if most == least {
            return least;
        }
        let fits = match told {
            Some(bytes) => {
                let since = self.packets.wrapping_sub(self.packets_at_option) + least;
                let size = bytes / (since + most - least);
                bytes <= mss.saturating_mul(since) && size < mss / SAFETY_FACTOR
            }
            None if self.acked == 0 => true,
            None => self.acked > MANY_ACKED * AVERAGE_UNIT,
        };
        if fits { least } else { most }
    }

    /// More bytes are marked, and not one packet: what we are told was changed on the way (section 3.2.3.2.5: MUST disable sending ECN-capable packets). That is certain only
    /// where the field cannot have gone round, and segments may be smaller than they are taken for here. Often in a row it is no chance.
    fn check(&mut self, bytes: u32) {
        if self.packets != self.packets_at_option {
            self.contradictions = 0;
        } else if bytes > 0 && self.since_option < ACE_VALUES {
            self.contradictions = self.contradictions.saturating_add(1);
            self.marking &= self.contradictions < CONTRADICTIONS;
        }
    }

    fn average(&mut self, segments: u32) {
        let sample = segments.min(u32::from(u16::MAX)) * AVERAGE_UNIT;
        self.acked = if self.acked == 0 {
            sample
        } else {
            self.acked - self.acked / AVERAGE_WEIGHT + sample / AVERAGE_WEIGHT
        };
    }

    pub(super) fn counts(&self) -> EcnCounts {
        counts(self.packets, self.bytes)
    }
}

/// dSafer.cep of appendix A.2.1: as many as can be of so many segments, if the field may have gone round.
fn safest(least: u32, segments: u32) -> u32 {
    segments.checked_sub(least).map_or(least, |more| segments - more % ACE_VALUES)
}

/// As many as leave no doubt.
const CONTRADICTIONS: u8 = 3;
/// Appendix A.2.2.
const SAFETY_FACTOR: u32 = 2;
/// ACKs that acknowledge more than so many segments are few by themselves, and not because most were lost (appendix A.2.1, as in Linux).
const MANY_ACKED: u32 = 4;
const AVERAGE_UNIT: u32 = 64;
const AVERAGE_WEIGHT: u32 = 8;

#[cfg(test)]
mod tests;
