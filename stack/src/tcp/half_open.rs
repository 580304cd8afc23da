//! Connections in SYN-RECEIVED that a peer has opened (RFC 9293, section 3.10.7.2): they wait for the third segment of
//! the handshake, and most of them may be a flood's. So they get a table entry each and nothing else.

use std::time::Duration;

use super::auth::Signing;
use super::compact::{Compact, Entry, bytes_per_flow};
use super::ecn::{AccurateSyn, Mode};
use super::seq::Seq;
use super::shares::Shares;
use crate::demux::{FlowHash, FlowKey, FlowKey4, FlowKey6};
use crate::ip::Ecn;
use crate::linked::List;
use crate::time::Instant;

/// The half-open connections of one core.
///
/// SYN-ACKs are sent again after 1, 2, 4 and so on times the initial timeout (RFC 6298, rule 5.5). Connections that have been
/// sent equally many wait equally long, and form a queue each: no timers.
///
/// One listener, and those of one network, may have a part of the table each: a flood of one is not the others' (and is itself
/// answered with [cookies](super::stateless)).
pub(super) struct HalfOpenTable<K> {
    entries: Compact<Waiting<K>>,
    /// By how often the SYN-ACK was sent again.
    rounds: Box<[Round]>,
    shares: Shares<K>,
    limits: Limits,
}

/// Most entries of the table, of one listener, and of one network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) all: usize,
    pub(super) listener: usize,
    pub(super) source: usize,
}

impl Limits {
    /// Beyond the most: a signed SYN was sent by somebody who has a key, so few come.
    fn kept_for_signed(&self) -> usize {
        (self.all / 8).max(1)
    }
}

/// What must be remembered of a SYN to make a connection of its ACK.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct HalfOpen {
    /// The number of the peer's SYN.
    pub(super) irs: Seq,
    /// The number of our SYN.
    pub(super) iss: Seq,
    /// The SYN's timestamp, which our SYN-ACKs echo; of no meaning if none was offered.
    pub(super) ts_recent: u32,
    /// The largest segment that the peer takes; zero if it has not said.
    pub(super) mss: u16,
    pub(super) offers: Offers,
    /// Its SYN has asked for accurate ECN feedback.
    pub(super) accurate: Option<AccurateSyn>,
    /// How many rounds have passed (bits 0 to 4), and [`ANSWERED`], [`AGAIN`] and [`PLAIN`]; the table counts. A SYN-ACK was sent again in each, unless only the
    /// listener waits.
    pub(super) resent: u8,
    pub(super) signing: Signing,
}

/// The options that the SYN offered: window scale with its shift (bits 0 to 3), selective acknowledgements (bit 4), classic ECN (bit 5) and timestamps
/// (bit 6), and besides whether the handshake is complete but for the listener (bit 7): what has no timestamps needs none of the others in a [cookie](super::syn_cookie).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Offers(u8);

/// What time has brought about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due<K> {
    /// The SYN-ACK is to be sent again.
    Resend(K, HalfOpen),
    /// The last SYN-ACK has not been answered either; the entry is gone.
    GivenUp(K, HalfOpen),
}

/// Who has as many half-open connections as may be: the core, the listener, or the network that the peer is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoRoom {
    OnCore,
    ForListener,
    ForSource,
}

impl<K: FlowKey> HalfOpenTable<K> {
    /// An empty table. A SYN-ACK is sent again up to `retries` times, `first_wait` after the first one was sent, then after
    /// twice as long, up to `longest_wait`.
    pub(super) fn new(
        hash: FlowHash,
        limits: Limits,
        retries: u8,
        first_wait: Duration,
        longest_wait: Duration,
    ) -> Self {
        let round = |times| {
            let doubled = 1_u32.checked_shl(times).unwrap_or(u32::MAX);
            let wait = first_wait.saturating_mul(doubled).min(longest_wait);
            Round { queue: List::EMPTY, wait }
        };
        let rounds = (0..=u32::from(retries.min(ROUNDS))).map(round).collect();
        Self { entries: Compact::new(hash.clone()), rounds, shares: Shares::new(hash), limits }
    }

    /// A SYN-ACK is about to be sent for the first time, to a flow that is not in the table. One whose SYN was signed comes in where others find no room: a flood that
    /// has no key must not keep out who has one, and a cookie cannot say what is signed.
    pub(super) fn insert(&mut self, now: Instant, flow: K, state: HalfOpen) -> Result<(), NoRoom> {
        if state.signing == Signing::None {
            self.room_for(&flow)?;
        } else if self.entries.len() >= self.limits.all + self.limits.kept_for_signed() {
            return Err(NoRoom::OnCore);
        }
        self.shares.add(&flow);
        let state = HalfOpen { resent: 0, ..state };
        let Round { queue, wait } = &mut self.rounds[0];
        self.entries.insert(queue, Waiting { flow, state, until: now + *wait });
        Ok(())
    }

    /// Whether a flow that is not in the table may come in.
    pub(super) fn room_for(&self, flow: &K) -> Result<(), NoRoom> {
        let Limits { all, listener, source } = self.limits;
        match () {
            () if self.entries.len() >= all => Err(NoRoom::OnCore),
            () if self.shares.of_destination(flow) >= listener => Err(NoRoom::ForListener),
            () if self.shares.of_source(flow) >= source => Err(NoRoom::ForSource),
            () => Ok(()),
        }
    }

    /// The peer has acknowledged our SYN, and the listener wants to see more of it.
    pub(super) fn defer(&mut self, flow: &K) {
        if let Some(number) = self.entries.find(flow) {
            let HalfOpen { offers, resent, .. } = &mut self.entries.get_mut(number).state;
            *offers = Offers(offers.0 | DEFERRED);
            if *resent & ROUNDS == 0 {
                *resent |= ANSWERED;
            }
        }
    }

    /// The SYN has come again, and asks for what `asked` says. What is remembered now.
    pub(super) fn note_syn(&mut self, flow: &K, arrived: Ecn, asked: Mode) -> Option<HalfOpen> {
        let number = self.entries.find(flow)?;
        let state = &mut self.entries.get_mut(number).state;
        state.accurate = state.accurate.map(|accurate| accurate.again(arrived, asked));
        state.resent |= if asked == Mode::Off { AGAIN | PLAIN } else { AGAIN };
        Some(*state)
    }

    /// How often a SYN-ACK can be sent again within `span`: so many times a connection is deferred.
    pub(super) fn rounds_within(&self, span: Duration) -> u8 {
        let mut passed = Duration::ZERO;
        let enough = self.rounds.iter().position(|round| {
            passed += round.wait;
            passed >= span
        });
        u8::try_from(enough.unwrap_or(self.rounds.len().saturating_sub(1)) + 1).unwrap_or(u8::MAX)
    }

    pub(super) fn get(&self, flow: &K) -> Option<&HalfOpen> {
        Some(&self.entries.get(self.entries.find(flow)?).state)
    }

    /// When the SYN-ACK was sent, if it was sent once: what is sent twice measures no round trip (Karn's algorithm). Nor does what was answered before now.
    pub(super) fn sent_at(&self, flow: &K) -> Option<Instant> {
        let entry = self.entries.get(self.entries.find(flow)?);
        (entry.state.resent == 0).then(|| entry.until - self.rounds[0].wait)
    }

    /// The handshake is finished, or has failed.
    pub(super) fn remove(&mut self, flow: &K) -> Option<HalfOpen> {
        let number = self.entries.find(flow)?;
        self.shares.remove(flow);
        let round = usize::from(self.entries.get(number).state.rounds());
        Some(self.entries.remove(&mut self.rounds[round].queue, number).state)
    }

    /// Takes the next step for one entry whose time has come. To be called until it says `None`.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Due<K>> {
        let is_due = |round: &Round| {
            round.queue.first().is_some_and(|first| self.entries.get(first).until <= now)
        };
        let round = self.rounds.iter().position(is_due)?;
        let number = self.rounds[round].queue.first()?;
        let Some([this, next]) =
            self.rounds.get_mut(round..).and_then(|rest| rest.first_chunk_mut())
        else {
            let Waiting { flow, state, .. } =
                self.entries.remove(&mut self.rounds[round].queue, number);
            self.shares.remove(&flow);
            return Some(Due::GivenUp(flow, state));
        };
        self.entries.take_off(&mut this.queue, number);
        self.entries.append(&mut next.queue, number);
        let entry = self.entries.get_mut(number);
        entry.state.resent += 1;
        entry.until = now + next.wait;
        Some(Due::Resend(entry.flow, entry.state))
    }

    /// When the next step is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let first = |round: &Round| Some(self.entries.get(round.queue.first()?).until);
        self.rounds.iter().filter_map(first).min()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl HalfOpen {
    /// How many rounds have passed since the SYN-ACK was first sent.
    pub(super) fn rounds(&self) -> u8 {
        self.resent & ROUNDS
    }

    /// How often the SYN-ACK was sent again because nobody has answered it.
    pub(super) fn sent_again(&self) -> u8 {
        if self.resent & ANSWERED != 0 { 0 } else { self.rounds() }
    }

    /// Whether the SYN has come more than once, and so the SYN-ACK was sent again.
    pub(super) fn has_come_again(&self) -> bool {
        self.resent & AGAIN != 0
    }

    /// Whether a later SYN asks for nothing of ECN, so that its sender may have heard of no agreement.
    pub(super) fn has_come_plain(&self) -> bool {
        self.resent & PLAIN != 0
    }

    /// What the SYN-ACK agrees to.
    pub(super) fn mode(&self) -> Mode {
        match self.accurate {
            Some(_) => Mode::Accurate,
            None if self.offers.ecn() => Mode::Classic,
            None => Mode::Off,
        }
    }
}

impl Offers {
    /// A shift above 14 counts as 14 (RFC 7323, section 2.3).
    pub(super) fn new(window_scale: Option<u8>, timestamps: bool, sack: bool) -> Self {
        let shift = window_scale.map_or(NO_SCALE, |shift| shift.min(14));
        let flag = |offered, bit| if offered { bit } else { 0 };
        Self(shift | flag(sack, SACK) | flag(timestamps, TIMESTAMPS))
    }

    /// The same from a peer that takes part in classic ECN too.
    pub(super) fn with_ecn(self) -> Self {
        Self(self.0 | ECN)
    }

    /// No options but the segment size.
    pub(super) const NONE: Self = Self(NO_SCALE);
    /// Bits of [`Offers::beside_timestamps`].
    pub(super) const BITS: u32 = 6;

    /// All but the timestamps.
    pub(super) fn beside_timestamps(self) -> u32 {
        u32::from(self.0) & LOW_BITS
    }

    /// Timestamps and the options in the low bits of `marked`.
    pub(super) fn with_timestamps(marked: u32) -> Self {
        let [.., low] = (marked & LOW_BITS).to_be_bytes();
        Self(low | TIMESTAMPS)
    }

    pub(super) fn window_scale(self) -> Option<u8> {
        Some(self.0 & NO_SCALE).filter(|&shift| shift != NO_SCALE)
    }

    pub(super) fn timestamps(self) -> bool {
        self.0 & TIMESTAMPS != 0
    }

    pub(super) fn sack(self) -> bool {
        self.0 & SACK != 0
    }

    pub(super) fn ecn(self) -> bool {
        self.0 & ECN != 0
    }

    /// Whether the peer has acknowledged our SYN.
    pub(super) fn deferred(self) -> bool {
        self.0 & DEFERRED != 0
    }

    /// As a hash sees them.
    pub(super) fn byte(self) -> u8 {
        self.0
    }
}

struct Round {
    queue: List,
    wait: Duration,
}

#[derive(Clone, Copy)]
struct Waiting<K> {
    flow: K,
    state: HalfOpen,
    until: Instant,
}

impl<K: FlowKey> Entry for Waiting<K> {
    type Key = K;

    fn flow(&self) -> &K {
        &self.flow
    }
}

const NO_SCALE: u8 = 15;
const SACK: u8 = 1 << 4;
const ECN: u8 = 1 << 5;
const TIMESTAMPS: u8 = 1 << 6;
const DEFERRED: u8 = 1 << 7;
/// Of [`HalfOpen::resent`]: the first SYN-ACK was answered, and the listener waits for more. So the path has lost nothing.
const ANSWERED: u8 = 1 << 7;
/// The SYN has come again.
const AGAIN: u8 = 1 << 6;
/// And has asked for nothing of ECN.
const PLAIN: u8 = 1 << 5;
const ROUNDS: u8 = PLAIN - 1;
const LOW_BITS: u32 = (1 << Offers::BITS) - 1;

const _: () = assert!(bytes_per_flow::<Waiting<FlowKey4>>() <= 64);
const _: () = assert!(bytes_per_flow::<Waiting<FlowKey6>>() <= 96);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn flow(port: u16) -> FlowKey4 {
        FlowKey4 {
            remote: [10, 0, 0, 1].into(),
            local: [10, 0, 0, 2].into(),
            remote_port: port,
            local_port: 80,
        }
    }

    fn state(number: u32) -> HalfOpen {
        HalfOpen {
            irs: Seq(number),
            iss: Seq(number),
            ts_recent: 0,
            mss: 536,
            offers: Offers::new(None, false, false),
            accurate: None,
            resent: 0,
            signing: Signing::None,
        }
    }

    fn resent(number: u32, resent: u8) -> HalfOpen {
        HalfOpen { resent, ..state(number) }
    }

    fn table(limit: usize, retries: u8) -> HalfOpenTable<FlowKey4> {
        limited(Limits { all: limit, listener: limit, source: limit }, retries)
    }

    fn limited(limits: Limits, retries: u8) -> HalfOpenTable<FlowKey4> {
        HalfOpenTable::new(FlowHash::new([1, 2]), limits, retries, SECOND, 5 * SECOND)
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn the_syn_ack_is_sent_again_with_doubled_waits() {
        let mut table = table(10, 4);
        table.insert(at(0), flow(1), state(1)).unwrap();
        for (second, times) in [(1, 1), (3, 2), (7, 3), (12, 4)] {
            assert_eq!(table.pop_due(at(second) - Duration::from_nanos(1)), None);
            assert_eq!(table.next_deadline(), Some(at(second)));
            assert_eq!(table.pop_due(at(second)), Some(Due::Resend(flow(1), resent(1, times))));
            assert_eq!(table.pop_due(at(second)), None);
        }
        assert_eq!(table.pop_due(at(17)), Some(Due::GivenUp(flow(1), resent(1, 4))));
        assert_eq!((table.get(&flow(1)), table.next_deadline(), table.len()), (None, None, 0));
    }

    #[test]
    fn no_retries_means_one_wait() {
        let mut table = table(1, 0);
        table.insert(at(0), flow(1), state(1)).unwrap();
        assert_eq!(table.pop_due(at(1)), Some(Due::GivenUp(flow(1), state(1))));
    }

    #[test]
    fn an_answer_ends_the_wait() {
        let mut table = table(10, 3);
        table.insert(at(7), flow(1), state(1)).unwrap();
        table.insert(at(7), flow(2), state(2)).unwrap();
        assert_eq!(table.sent_at(&flow(1)), Some(at(7)));
        assert_eq!(table.remove(&flow(1)), Some(state(1)));
        assert_eq!((table.remove(&flow(1)), table.sent_at(&flow(1))), (None, None));
        assert_eq!(table.pop_due(at(8)), Some(Due::Resend(flow(2), resent(2, 1))));
        assert_eq!(table.sent_at(&flow(2)), None, "which of the two was answered?");
        assert_eq!(table.remove(&flow(2)), Some(resent(2, 1)));
        assert_eq!(table.pop_due(at(100)), None);
    }

    #[test]
    fn a_full_table_refuses() {
        let mut table = table(1, 3);
        assert_eq!(table.insert(at(0), flow(1), resent(1, 200)), Ok(()));
        assert_eq!(table.insert(at(0), flow(2), state(2)), Err(NoRoom::OnCore));
        assert_eq!(table.remove(&flow(1)), Some(state(1)));
        assert_eq!(table.insert(at(0), flow(2), state(2)), Ok(()));
    }

    #[test]
    fn who_has_a_key_comes_in_where_others_find_no_room() {
        let signed = HalfOpen { signing: Signing::Md5, ..state(1) };
        let mut table = limited(Limits { all: 16, listener: 16, source: 3 }, 0);
        (1..=3).for_each(|port| table.insert(at(0), flow(port), state(1)).unwrap());
        assert_eq!(table.insert(at(0), flow(4), state(1)), Err(NoRoom::ForSource));
        (4..=18).for_each(|port| table.insert(at(0), flow(port), signed).unwrap());
        assert_eq!(table.insert(at(0), flow(19), signed), Err(NoRoom::OnCore), "an eighth more");
        table.remove(&flow(18));
        table.insert(at(0), flow(19), signed).unwrap();
    }

    #[test]
    fn a_listener_and_a_network_have_a_part_of_the_table_each() {
        let mut table = limited(Limits { all: 10, listener: 4, source: 2 }, 0);
        let from = |last, port| FlowKey4 { remote: [10, 0, last, 9].into(), ..flow(port) };
        let other = |flow| FlowKey4 { local_port: 81, ..flow };
        assert_eq!(table.insert(at(0), from(1, 1), state(1)), Ok(()));
        assert_eq!(table.insert(at(0), from(1, 2), state(1)), Ok(()));
        assert_eq!(table.insert(at(0), from(1, 3), state(1)), Err(NoRoom::ForSource));
        assert_eq!(table.insert(at(0), other(from(1, 3)), state(1)), Err(NoRoom::ForSource));
        assert_eq!(table.insert(at(0), from(2, 1), state(1)), Ok(()));
        assert_eq!(table.insert(at(0), from(3, 1), state(1)), Ok(()));
        assert_eq!(table.insert(at(0), from(4, 1), state(1)), Err(NoRoom::ForListener));
        assert_eq!(table.insert(at(0), other(from(4, 1)), state(1)), Ok(()));
        // Whichever way an entry leaves, its part is free again.
        assert_eq!(table.remove(&from(1, 1)), Some(state(1)));
        assert_eq!(table.remove(&from(9, 9)), None);
        assert_eq!(table.insert(at(0), from(1, 3), state(1)), Ok(()));
        assert_eq!(table.insert(at(0), from(4, 1), state(1)), Err(NoRoom::ForListener));
        while table.pop_due(at(1)).is_some() {}
        for port in 1..=2 {
            assert_eq!(table.insert(at(1), from(1, port), state(1)), Ok(()));
            assert_eq!(table.insert(at(1), from(2, port), state(1)), Ok(()));
        }
    }

    #[test]
    fn offers_are_what_was_offered() {
        for scale in [None, Some(0), Some(7), Some(14)] {
            for (timestamps, sack) in [(false, false), (false, true), (true, false), (true, true)] {
                let offers = Offers::new(scale, timestamps, sack);
                assert_eq!(offers.window_scale(), scale);
                assert_eq!((offers.timestamps(), offers.sack()), (timestamps, sack));
            }
        }
        assert_eq!(Offers::new(Some(15), false, false).window_scale(), Some(14));
        assert_eq!(Offers::new(Some(255), false, true), Offers::new(Some(14), false, true));
    }

    proptest! {
        /// The oracle is a list of flows, searched for the one that is due. Which of several comes first is open.
        #[test]
        fn every_entry_takes_its_steps_in_time(
            limit in 0_usize..12, retries in 0_u8..5,
            ops in prop::collection::vec((0_u8..6, 0_u16..16, 0_u64..4), 1..200),
        ) {
            let mut table = table(limit, retries);
            let mut model: Vec<(Instant, u16, HalfOpen)> = vec![];
            let mut now = Instant::ZERO;
            for ((op, port, seconds), number) in ops.into_iter().zip(0..) {
                now = now + Duration::from_secs(seconds);
                let held = model.iter().position(|&(_, other, _)| other == port);
                match (op, held) {
                    (0..3, None) => {
                        let became = table.insert(now, flow(port), state(number));
                        prop_assert_eq!(became.is_ok(), model.len() < limit);
                        if became.is_ok() {
                            model.push((now + SECOND, port, state(number)));
                        }
                    }
                    (3, _) => {
                        let removed = held.map(|held| model.swap_remove(held).2);
                        prop_assert_eq!(table.remove(&flow(port)), removed);
                    }
                    _ => while let Some(due) = table.pop_due(now) {
                        let (Due::Resend(flow, state) | Due::GivenUp(flow, state)) = due;
                        let held = model.iter().position(|&(_, port, _)| port == flow.remote_port).unwrap();
                        let (until, port, before) = model.swap_remove(held);
                        prop_assert!(until <= now, "early");
                        let last = before.resent == retries;
                        prop_assert_eq!(last, matches!(due, Due::GivenUp(..)));
                        if !last {
                            prop_assert_eq!(state, HalfOpen { resent: before.resent + 1, ..before });
                            let wait = (SECOND * (1 << state.resent)).min(5 * SECOND);
                            model.push((now + wait, port, state));
                        }
                    },
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.next_deadline(), model.iter().map(|&(until, ..)| until).min());
                let held = model.iter().find(|&&(_, other, _)| other == port).map(|(.., state)| state);
                prop_assert_eq!(table.get(&flow(port)), held);
            }
        }
    }
}
