//! The receiving side (RFC 9768, sections 3.2.2 and 3.2.3): what has come, and when and how the peer is told.

use super::super::handshake::arrival;
use super::{FIRST_BYTES, FIRST_PACKETS, ace, counts};
use crate::ip::Ecn;
use crate::tcp::info::EcnCounts;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::{AccurateEcnOption, EcnBytes, FieldOrder, accurate_ecn_len};

/// What was counted, and what of it was told.
#[derive(Debug)]
pub(in crate::tcp::ecn) struct Arrivals {
    /// r.cep.
    packets: u32,
    /// r.e0b, r.ceb and r.e1b.
    bytes: EcnBytes,
    /// Which of these have ever changed, and which since the last option.
    changed: Changed,
    untold: Changed,
    /// Bytes since the last option.
    untold_bytes: u32,
    /// Marked packets since the last ACK.
    untold_marks: u8,
    /// The packet before was marked.
    after_mark: bool,
    ack_due: bool,
    /// Data has come since the last ACK.
    data: bool,
    opening: Opening,
    options: Options,
}

/// Counters, in the order of AccECN0: ECT(0), CE, ECT(1).
type Changed = [bool; 3];

/// How the connection was opened, and how that has arrived.
#[derive(Clone, Copy, Debug)]
enum Opening {
    /// By a SYN of the peer's.
    Syn(Ecn),
    /// By its SYN-ACK.
    SynAck {
        arrived: Ecn,
        /// The next ACK without data says so.
        untold: bool,
        /// It was marked once, which counts no more than once however often it comes.
        counted: bool,
    },
}

/// Whether options come through to the peer, as far as is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Options {
    Sent,
    /// With the first data: if that is lost they may be the cause.
    SentWithFirstData,
    /// They seem to be the cause of losses.
    Stopped,
}

/// A segment that has left.
pub(in crate::tcp::ecn) struct Sent {
    pub(in crate::tcp::ecn) first_data: bool,
    pub(in crate::tcp::ecn) again: bool,
    pub(in crate::tcp::ecn) option: Option<AccurateEcnOption>,
}

impl Arrivals {
    fn new(opening: Opening, options: Options) -> Self {
        Self {
            packets: FIRST_PACKETS,
            bytes: FIRST_BYTES,
            changed: [false; 3],
            untold: [false; 3],
            untold_bytes: 0,
            untold_marks: 0,
            after_mark: false,
            ack_due: false,
            data: false,
            opening,
            options,
        }
    }

    pub(super) fn client(syn_ack: Ecn) -> Self {
        let opening = Opening::SynAck { arrived: Ecn::NotCapable, untold: true, counted: false };
        let mut arrivals = Self::new(opening, Options::Sent);
        arrivals.syn_ack_again(syn_ack);
        arrivals
    }

    /// A mark on the SYN is not counted: the SYN-ACK tells of it (section 3.2.2.2). Where that had to be sent again, its option may have been the cause
    /// (section 3.2.3.2.2).
    pub(super) fn server(syn: Ecn, resent: u8) -> Self {
        let options = if resent == 0 { Options::Sent } else { Options::Stopped };
        Self::new(Opening::Syn(syn), options)
    }

    /// How the peer's SYN has arrived.
    pub(in crate::tcp::ecn) fn syn(&self) -> Ecn {
        match self.opening {
            Opening::Syn(arrived) => arrived,
            Opening::SynAck { .. } => Ecn::NotCapable,
        }
    }

    /// The last one counts (section 3.1.5). A second SYN says that the SYN-ACK may have been lost for its option.
    pub(super) fn syn_again(&mut self, arrived: Ecn) {
        self.opening = Opening::Syn(arrived);
        self.stop_options();
    }

    /// Something on the way may drop what has them.
    pub(in crate::tcp::ecn) fn stop_options(&mut self) {
        self.options = Options::Stopped;
    }

    pub(in crate::tcp::ecn) fn sends_options(&self) -> bool {
        self.options != Options::Stopped
    }

    /// The last one counts (section 3.1.5), and a mark once (section 3.2.2.2).
    pub(in crate::tcp::ecn) fn syn_ack_again(&mut self, arrived: Ecn) {
        let Opening::SynAck { counted, .. } = self.opening else { return };
        let marked = arrived == Ecn::Marked;
        if marked && !counted {
            self.packets += 1;
        }
        self.opening = Opening::SynAck { arrived, untold: true, counted: counted || marked };
    }

    /// The next ACK without data says how the SYN-ACK has arrived.
    pub(in crate::tcp::ecn) fn tells_syn_ack(&self) -> bool {
        matches!(self.opening, Opening::SynAck { untold: true, .. })
    }

    /// The server has heard of it, or may have ended its handshake by another segment: from then on it takes the field for the counter.
    pub(in crate::tcp::ecn) fn syn_ack_is_told(&mut self) {
        if let Opening::SynAck { untold, .. } = &mut self.opening {
            *untold = false;
        }
    }

    /// An acceptable segment has come, with so many bytes (sections 3.2 and 3.2.2.5.1).
    pub(in crate::tcp::ecn) fn notice(&mut self, ecn: Ecn, len: u32, unacknowledged: bool) {
        self.data |= len > 0;
        let EcnBytes { ect0, ce, ect1 } = &mut self.bytes;
        let (counter, which) = match ecn {
            Ecn::NotCapable => {
                self.after_mark = false;
                return;
            }
            Ecn::Capable => (ect0, 0),
            Ecn::Marked => (ce, 1),
            Ecn::Capable1 => (ect1, 2),
        };
        *counter = counter.wrapping_add(len);
        self.changed[which] |= len > 0;
        self.untold[which] |= len > 0;
        self.untold_bytes = self.untold_bytes.saturating_add(len);
        let marked = ecn == Ecn::Marked;
        if marked {
            self.packets = self.packets.wrapping_add(1);
            self.untold_marks = self.untold_marks.saturating_add(1);
            let most = if unacknowledged || len > 0 { MARKS_OF_DATA } else { MARKS_OF_ACKS };
            self.ack_due |= self.untold_marks >= most || (len > 0 && !self.after_mark);
        }
        self.after_mark = marked;
    }

    pub(in crate::tcp::ecn) fn owes_ack(&self) -> bool {
        self.ack_due
    }

    /// Only of marks on ACKs.
    pub(in crate::tcp::ecn) fn owes_ack_of_acks(&self) -> bool {
        self.ack_due && !self.data
    }

    /// The ACE field of a segment (section 3.2.2.1, table 3, and section 3.2.2.2).
    pub(in crate::tcp::ecn) fn ace(&self, bare: bool) -> Flags {
        match self.opening {
            Opening::SynAck { arrived, untold: true, .. } if bare => arrival(arrived),
            _ => ace(self.packets),
        }
    }

    /// Whether the next segment should have an option: where a counter has changed (section 3.2.3.3), and to try whether it comes through (section
    /// 3.2.3.2.1).
    pub(in crate::tcp::ecn) fn wants_option(&self, first_data: bool) -> bool {
        let tries =
            self.tells_syn_ack() || (first_data && matches!(self.opening, Opening::SynAck { .. }));
        self.sends_options() && (tries || self.untold.contains(&true))
    }

    /// An option of at most `room` bytes: with every counter that has ever changed, or else with those that have since the last one.
    pub(in crate::tcp::ecn) fn option(&self, room: usize) -> Option<AccurateEcnOption> {
        let all = (FieldOrder::Ect0First, 3);
        let first = if self.changed.contains(&true) { covering(self.changed) } else { all };
        let choices = [first, covering(self.untold)];
        let fits = choices.into_iter().find(|&(_, fields)| accurate_ecn_len(fields) <= room);
        fits.map(|(order, fields)| AccurateEcnOption::new(order, self.bytes, fields))
    }

    pub(in crate::tcp::ecn) fn told(&mut self, sent: &Sent) {
        self.untold_marks = 0;
        self.ack_due = false;
        self.data = false;
        self.syn_ack_is_told();
        if sent.first_data && sent.again && self.options == Options::SentWithFirstData {
            self.stop_options();
        }
        if sent.option.is_none() {
            return;
        }
        self.untold = [false; 3];
        self.untold_bytes = 0;
        if sent.first_data {
            self.options = Options::SentWithFirstData;
        }
    }

    /// Segments that carry data have left no room, and the peer should not wait any more (section 3.2.3.3).
    pub(in crate::tcp::ecn) fn needs_segment_of_its_own(&self) -> bool {
        let [_, marks, _] = self.untold;
        self.sends_options() && (marks || self.untold_bytes >= UNTOLD_MAX)
    }

    pub(super) fn counts(&self) -> EcnCounts {
        counts(self.packets, self.bytes)
    }
}

/// The shortest option that has these counters.
fn covering(changed: Changed) -> (FieldOrder, u8) {
    let fields = |changed: Changed| {
        (1..).zip(changed).filter(|&(_, has)| has).map(|(place, _)| place).max().unwrap_or(0)
    };
    let [ect0, ce, ect1] = changed;
    let (zero, one) = (fields([ect0, ce, ect1]), fields([ect1, ce, ect0]));
    if one < zero { (FieldOrder::Ect1First, one) } else { (FieldOrder::Ect0First, zero) }
}

/// An option on a SYN-ACK, which has `room` for so many bytes.
pub(in crate::tcp) fn first_option(room: usize) -> Option<AccurateEcnOption> {
    let fields = (0..=3).rev().find(|&fields| accurate_ecn_len(fields) <= room)?;
    Some(AccurateEcnOption::new(FieldOrder::Ect0First, FIRST_BYTES, fields))
}

/// Marks that are acknowledged at once: of data, or while data is not acknowledged; and else, where three is the least, so that ACKs of marked ACKs die out.
const MARKS_OF_DATA: u8 = 2;
const MARKS_OF_ACKS: u8 = 3;

/// Half of 2^22, the most that a counter SHOULD grow untold.
const UNTOLD_MAX: u32 = 1 << 21;
