//! Explicit congestion notification: a router marks what it would else drop, the receiver says so with its ACKs, and the sender reduces its window.
//!
//! How the receiver says it is agreed on in the [`handshake`]: [classic] feedback (RFC 3168) tells of one mark in a round trip, [accurate] feedback
//! (AccECN, RFC 9768) counts them.

mod accurate;
mod classic;
mod handshake;

use std::num::NonZeroU8;

use super::congestion::controller::{Congested, Controller};
use super::connection::{Connection, Context, Owed};
use super::half_open::HalfOpen;
use super::info::EcnCounts;
use super::segment::Segment;
use super::seq::Seq;
use super::state::State;
use crate::ip::Ecn;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::{AccurateEcnOption, MAX_LEN, SackBlocks, TcpOptions};
use accurate::Sent;
use handshake::Answer;

pub(super) use accurate::{Accurate, ace_at_first, first_option};
pub(super) use classic::Classic;
pub(super) use handshake::Mode;

/// What a half-open connection keeps of SYNs that ask for accurate feedback, in one byte: the ECN field of the last one (bits 0 and 1), and whether another one has
/// asked for nothing, so that its sender may have heard of no agreement (bit 2). Bit 7 is set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct AccurateSyn(NonZeroU8);

impl AccurateSyn {
    pub(super) fn new(arrived: Ecn) -> Self {
        Self(Self::SOME | arrived.bits())
    }

    /// Another SYN has come, and asks for what `asked` says.
    pub(super) fn again(self, arrived: Ecn, asked: Mode) -> Self {
        let doubtful = self.is_doubtful() || asked == Mode::Off;
        Self(Self::new(arrived).0 | if doubtful { Self::DOUBTFUL } else { 0 })
    }

    pub(super) fn arrived(self) -> Ecn {
        Ecn::of(self.0.get())
    }

    pub(super) fn is_doubtful(self) -> bool {
        self.0.get() & Self::DOUBTFUL != 0
    }

    const SOME: NonZeroU8 = NonZeroU8::new(1 << 7).expect("not zero");
    const DOUBTFUL: u8 = 1 << 2;
}

/// What an ACK says of marks, before it is known whether it says anything new.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Echo {
    #[default]
    Nothing,
    /// Some data was marked.
    Marked,
    /// The ACE field, unless it means something else here, and the option.
    Counted(Option<u8>, Option<AccurateEcnOption>),
}

/// What is new of that.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Marks {
    pub(super) told: bool,
    /// How much of what was delivered had them.
    pub(super) bytes: u32,
}

/// What an ACK that has `delivered` so many bytes says that is new.
pub(super) fn marks(
    echo: Echo,
    accurate: Option<&mut Accurate>,
    delivered: u32,
    mss: u32,
) -> Marks {
    match (echo, accurate) {
        (Echo::Marked, _) => Marks { told: true, bytes: delivered },
        (Echo::Counted(ace, option), Some(accurate)) => {
            accurate.reports.read(ace, option, delivered, mss)
        }
        _ => Marks::default(),
    }
}

/// The flags of the SYN-ACK to a half-open connection. The third one says nothing: something on the way may drop those that do (RFC 9768, section 3.2.3.2.2).
pub(super) fn of_syn_ack(entry: &HalfOpen) -> Flags {
    match (entry.accurate, entry.mode()) {
        (Some(_), _) if entry.sent_again() >= PLAIN_AFTER => Flags::NONE,
        (Some(syn), _) => Answer::Accurate(syn.arrived()).flags(),
        (None, Mode::Classic) => Answer::Classic.flags(),
        (None, _) => Flags::NONE,
    }
}

impl Connection {
    /// What was agreed on.
    pub(super) fn ecn_mode(&self) -> Mode {
        match (self.rare.accurate(), self.ecn.enabled) {
            (Some(_), _) => Mode::Accurate,
            (None, true) => Mode::Classic,
            (None, false) => Mode::Off,
        }
    }

    /// What a listener has agreed on.
    pub(super) fn agree_on_ecn_as(&mut self, entry: &HalfOpen) {
        match (entry.accurate, entry.mode()) {
            (Some(syn), _) => self.rare.set_accurate(Accurate::server(syn, entry.sent_again())),
            (None, Mode::Classic) if entry.has_come_plain() => self.ecn = Classic::UNMARKED,
            (None, Mode::Classic) => self.ecn = Classic::ENABLED,
            (None, _) => {}
        }
    }

    /// A SYN or SYN-ACK of ours was marked on its way.
    pub(super) fn was_opened_with_mark(&self) -> bool {
        self.rare.accurate().is_some_and(|accurate| accurate.reports.opened_with_mark())
    }

    /// Tells of marks that have come, if they are to be told at once, whatever else an ACK may wait for.
    pub(super) fn tell_marks(&mut self, cx: &mut Context<'_>) {
        if self.rare.accurate().is_some_and(|accurate| accurate.arrivals.owes_ack()) {
            self.send_ack(cx);
        }
    }

    /// The ACE field of an ACK, with accurate feedback.
    pub(super) fn ace(&self) -> Flags {
        self.rare.accurate().map_or(Flags::NONE, |accurate| accurate.arrivals.ace(false))
    }

    /// What of our data has arrived, and what has come, as accurate feedback counts it.
    pub(super) fn ecn_counts(&self) -> [EcnCounts; 2] {
        self.rare.accurate().map_or_else(Default::default, |accurate| accurate.counts())
    }

    /// What our SYN says. One that is sent for the third time asks for nothing: a firewall on the way may drop those that do (RFC 3168, section 6.1.1.1; RFC 9768,
    /// section 3.1.4.1). The first may be lost, or its answer late, as any other.
    pub(super) fn ecn_of_syn(&mut self, cx: &Context<'_>) -> Flags {
        let asks = Mode::of_policy(cx.config.ecn);
        match (self.state, self.ecn_mode()) {
            (State::SynSent, _) if !self.asks_no_more() => asks.asks(),
            (State::SynReceived, Mode::Classic) => Answer::Classic.flags(),
            (State::SynReceived, Mode::Accurate) => self.accurate_syn_ack(),
            _ => Flags::NONE,
        }
    }

    fn asks_no_more(&self) -> bool {
        self.retries >= PLAIN_AFTER
    }

    fn accurate_syn_ack(&mut self) -> Flags {
        let again = if self.is_early() { self.retries } else { 0 };
        let Some(accurate) = self.rare.accurate_mut() else { return Flags::NONE };
        if again > 0 {
            accurate.arrivals.stop_options();
        }
        if again >= PLAIN_AFTER {
            // Section 3.1.5: the peer may believe that nothing was agreed on.
            accurate.reports.stop_marking();
            return Flags::NONE;
        }
        Answer::Accurate(accurate.arrivals.syn()).flags()
    }

    /// What the peer's SYN, or SYN-ACK, says. Where both call at once, each can go by what the other one's SYN asks for.
    pub(super) fn agree_on_ecn(&mut self, cx: &Context<'_>, segment: &Segment) {
        let asked = Mode::of_policy(cx.config.ecn);
        let theirs = Mode::asked_by(segment.flags, cx.config.ecn).min(asked);
        let answer = match theirs {
            _ if segment.has(Flags::ACK) => Answer::of(asked, segment.flags),
            Mode::Off => Answer::Off,
            Mode::Classic => Answer::Classic,
            Mode::Accurate => Answer::Accurate(segment.ecn),
        };
        let plain = self.asks_no_more();
        match answer {
            Answer::Off => {}
            Answer::Classic if plain => self.ecn = Classic::UNMARKED,
            Answer::Classic => self.ecn = Classic::ENABLED,
            Answer::Accurate(syn) if segment.has(Flags::ACK) => {
                self.rare.set_accurate(Accurate::client(syn, segment));
            }
            Answer::Accurate(arrived) => {
                let mut accurate = Accurate::server(AccurateSyn::new(arrived), 0);
                if plain {
                    // Section 3.1.5: the peer may have got only the SYN that asks for nothing.
                    accurate.reports.stop_marking();
                }
                self.rare.set_accurate(accurate);
            }
        }
    }

    /// Acknowledges a SYN-ACK. The ACK that says how that has arrived carries no data (RFC 9768, section 3.2.2.1), so it does not wait for any.
    pub(super) fn acknowledge_syn_ack(&mut self, cx: &mut Context<'_>) {
        if self.rare.accurate().is_some() {
            self.send_ack(cx);
        } else {
            self.ack_now();
        }
    }

    /// What a segment that cannot be accepted may be: the SYN-ACK again, whose ACK was lost. That one says how the last of them has arrived.
    pub(super) fn notice_syn_ack_again(&mut self, segment: &Segment) {
        if let Some(accurate) = self.rare.accurate_mut()
            && segment.has(Flags::SYN | Flags::ACK)
            && segment.seq == self.rcv.irs
        {
            accurate.arrivals.syn_ack_again(segment.ecn);
        }
    }

    /// What may have been the SYN-ACK again was answered, or too much was answered before.
    pub(super) fn syn_ack_is_answered(&mut self) {
        if let Some(accurate) = self.rare.accurate_mut() {
            accurate.arrivals.syn_ack_is_told();
        }
    }

    /// The SYN-ACK of a peer that has called at the same time says how our SYN has arrived, and not what an ACE field would (RFC 9768, section 3.2.2): it counts as the
    /// ACK of our own SYN-ACK that it also is, from a peer that has received no mark.
    pub(super) fn notice_crossing_syn_ack(&mut self, segment: &mut Segment) {
        let answer = segment.flags.ecn();
        segment.clear(answer);
        if let Some(accurate) = self.rare.accurate_mut() {
            accurate.syn_answered(answer);
            segment.flags = segment.flags | ace_at_first();
        }
    }

    /// The SYN that has opened an early connection comes again. Returns whether it asks for another feedback than before: then nobody can know
    /// what was agreed on, and the connection MUST be reset (RFC 9768, section 3.1.5).
    pub(super) fn contradicts_syn(&mut self, cx: &Context<'_>, segment: &Segment) -> bool {
        let asked = Mode::asked_by(segment.flags, cx.config.ecn);
        let mode = self.ecn_mode();
        if let Some(accurate) = self.rare.accurate_mut() {
            accurate.syn_again(segment.ecn, asked);
        }
        if asked == Mode::Off {
            self.ecn.stop_marking();
        }
        contradict(mode, asked)
    }

    /// The ACK that ends the handshake: how our SYN-ACK has arrived, if it carries nothing (RFC 9768, table 4).
    pub(super) fn syn_ack_answered(&mut self, cx: &Context<'_>, segment: &Segment) {
        let Some(accurate) = self.rare.accurate_mut() else { return };
        let bare = segment.payload_len() == 0 && segment.options.sack_blocks.as_slice().is_empty();
        accurate.reports.handshake_ended(segment, bare);
        if accurate.reports.opened_with_mark()
            && let Some(sender) = &mut self.sender
        {
            let flight = self.snd.nxt.offset_from(self.snd.una);
            sender.controller.on_congestion(cx.now(), flight, Congested::Marked);
        }
    }

    /// A segment was accepted that came with `carried` bytes, new or not.
    pub(super) fn notice_mark(&mut self, cx: &mut Context<'_>, segment: &Segment, carried: u32) {
        if self.ecn.enabled {
            self.notice_classic_mark(cx, segment);
        } else if let Some(accurate) = self.rare.accurate_mut() {
            let unacknowledged = self.rcv.acked != self.rcv.nxt;
            accurate.arrivals.notice(segment.ecn, carried, unacknowledged);
        }
    }

    /// What a segment says of marks to the sending side.
    pub(super) fn echo(&mut self, segment: &Segment) -> Echo {
        if self.ecn.enabled {
            return if segment.has(Flags::ECE) { Echo::Marked } else { Echo::Nothing };
        }
        match self.rare.accurate_mut() {
            Some(accurate) => accurate.reports.echo(segment),
            None => Echo::Nothing,
        }
    }

    /// The window was reduced, for whatever reason. Only classic feedback tells the peer of it.
    pub(super) fn window_reduced(&mut self) {
        self.ecn.window_reduced();
    }

    /// What a segment of `len` bytes at `seq` says of marks, and whether routers may mark it: only new data (RFC 3168, sections 6.1.4 and 6.1.5).
    pub(super) fn ecn_of(&self, seq: Seq, len: u32, flags: Flags) -> (Flags, Ecn) {
        if flags.contains(Flags::SYN) {
            return (Flags::NONE, Ecn::NotCapable);
        }
        let new_data = len > 0 && seq == self.snd.nxt;
        if self.ecn.enabled && !flags.contains(Flags::RST) {
            return self.ecn.of_segment(new_data);
        }
        let Some(accurate) = self.rare.accurate() else {
            return (Flags::NONE, Ecn::NotCapable);
        };
        let capable = new_data && accurate.reports.may_mark();
        let ecn = if capable { Ecn::Capable } else { Ecn::NotCapable };
        (accurate.arrivals.ace(is_bare(len, flags)), ecn)
    }

    /// The AccECN option of a SYN-ACK that goes out for the first time; a SYN MUST NOT have one (RFC 9768, section 3.2.3.2.1).
    pub(super) fn option_of_syn(
        &self,
        flags: Flags,
        others: &TcpOptions,
    ) -> Option<AccurateEcnOption> {
        let accurate = self.rare.accurate().filter(|_| flags.contains(Flags::ACK))?;
        let first = self.retries == 0 && accurate.arrivals.sends_options();
        if first { first_option(MAX_LEN - others.fixed_len()) } else { None }
    }

    /// The options of a segment with an AccECN option, if one is due, that shares `room` bytes with the SACK blocks: two of these come first, and others give way (RFC
    /// 9768, section 3.2.3.3).
    pub(super) fn with_accurate_option(
        &self,
        options: TcpOptions,
        (seq, len, flags): (Seq, u32, Flags),
        room: usize,
    ) -> TcpOptions {
        let Some(accurate) = self.rare.accurate() else { return options };
        // Section 3.2.2.5.1: an ACK of ACKs MUST NOT have any, or it would count as a duplicate. Unless it is owed for something else as well.
        let of_acks = accurate.arrivals.owes_ack_of_acks() && self.ack.owed == Owed::Nothing;
        let plain = is_bare(len, flags) && (accurate.arrivals.tells_syn_ack() || of_acks);
        let sack_blocks = if plain { SackBlocks::default() } else { options.sack_blocks };
        let options = TcpOptions { sack_blocks, ..options };
        let again = len > 0 && seq.precedes(self.snd.nxt);
        let first_data = len > 0 && seq == self.snd.iss + 1;
        if again || !accurate.arrivals.wants_option(first_data) {
            return options;
        }
        let room = room.min(MAX_LEN - options.fixed_len());
        let taken = match sack_blocks.as_slice().len() {
            0 => 0,
            1 => 12,
            _ => 20,
        };
        let Some(option) = accurate.arrivals.option(room.saturating_sub(taken)) else {
            return options;
        };
        let sack_blocks = if taken == 0 {
            sack_blocks
        } else {
            self.sack_blocks(room.saturating_sub(option.encoded_len()))
        };
        TcpOptions { accurate_ecn: Some(option), sack_blocks, ..options }
    }

    /// A segment has left.
    pub(super) fn ecn_told(
        &mut self,
        (seq, len, flags): (Seq, u32, Flags),
        option: Option<AccurateEcnOption>,
    ) {
        if flags.contains(Flags::SYN) {
            return;
        }
        if self.ecn.enabled {
            return self.ecn.told(flags);
        }
        let Some(accurate) = self.rare.accurate_mut() else { return };
        let first_data = len > 0 && seq == self.snd.iss + 1;
        let again = seq.precedes(self.snd.nxt);
        accurate.arrivals.told(&Sent { first_data, again, option });
        if accurate.arrivals.needs_segment_of_its_own() {
            self.ack_now();
        }
    }
}

/// Whether a peer asks for two kinds of feedback.
pub(super) fn contradict(mode: Mode, asked: Mode) -> bool {
    mode != Mode::Off && asked != Mode::Off && mode != asked
}

fn is_bare(len: u32, flags: Flags) -> bool {
    len == 0 && !flags.intersects(Flags::FIN | Flags::RST)
}

/// SYNs that say nothing of ECN, and SYN-ACKs that say nothing of accurate feedback, begin after so many that do.
const PLAIN_AFTER: u8 = 2;
