//! TIME-WAIT: what a connection leaves behind for twice the longest life of a segment (RFC 9293, section 3.4.2), so
//! that its peer's last FIN finds an answer and its stray segments find no new connection.

use std::time::Duration;

use super::compact::{Compact, Entry, bytes_per_flow};
use super::seq::Seq;
use crate::demux::{FlowHash, FlowKey, FlowKey4, FlowKey6};
use crate::linked::List;
use crate::time::Instant;
use crate::wire::tcp::Flags;

/// The connections of one core that are in TIME-WAIT.
///
/// All of them stay for the same time, so the one that came first ends first: a queue, in which the sender of another FIN
/// goes back to the end, does what timers would do.
pub(super) struct TimeWaitTable<K> {
    entries: Compact<Waiting<K>>,
    queue: List,
    limit: usize,
    lasts: Duration,
}

/// What is left of a connection: enough to answer with an ACK (section 3.10.7.4), and to tell whether a SYN
/// begins a new connection (section 3.10.7.4, and RFC 6191 where timestamps are in use).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TimeWait {
    /// SND.NXT: the number after our FIN.
    pub(super) snd_nxt: Seq,
    /// RCV.NXT: the number after the peer's FIN.
    pub(super) rcv_nxt: Seq,
    /// TS.Recent, if segments carry timestamps.
    pub(super) timestamp: Option<u32>,
    /// The window field of our last ACK.
    pub(super) window: u16,
    /// Its ACE field, with accurate ECN feedback.
    pub(super) ace: Flags,
}

impl<K: FlowKey> TimeWaitTable<K> {
    /// An empty table for at most `limit` connections, each for as long as `lasts`.
    pub(super) fn new(hash: FlowHash, limit: usize, lasts: Duration) -> Self {
        Self { entries: Compact::new(hash), queue: List::EMPTY, limit: limit.max(1), lasts }
    }

    /// A connection enters TIME-WAIT. At the limit the one that has been here longest leaves early, and is returned.
    pub(super) fn insert(&mut self, now: Instant, flow: K, state: TimeWait) -> Option<K> {
        self.remove(&flow);
        let full = self.entries.len() >= self.limit;
        let recycled = full.then(|| self.remove_first()).flatten();
        let entry = Waiting { flow, state, until: now + self.lasts };
        self.entries.insert(&mut self.queue, entry);
        recycled
    }

    pub(super) fn get(&self, flow: &K) -> Option<&TimeWait> {
        Some(&self.entries.get(self.entries.find(flow)?).state)
    }

    /// The peer's FIN came again: its two segment lifetimes begin anew.
    pub(super) fn restart(&mut self, now: Instant, flow: &K, state: TimeWait) {
        let Some(number) = self.entries.find(flow) else { return };
        let entry = self.entries.get_mut(number);
        (entry.state, entry.until) = (state, now + self.lasts);
        self.entries.take_off(&mut self.queue, number);
        self.entries.append(&mut self.queue, number);
    }

    /// Ends a connection's wait before its time: a SYN has begun the next connection of this flow.
    pub(super) fn remove(&mut self, flow: &K) -> Option<TimeWait> {
        let number = self.entries.find(flow)?;
        Some(self.entries.remove(&mut self.queue, number).state)
    }

    /// Ends one wait that is over, if there is one, and says for which flow.
    pub(super) fn pop_expired(&mut self, now: Instant) -> Option<K> {
        self.next_expiry().filter(|&until| until <= now)?;
        self.remove_first()
    }

    /// When the first wait will be over.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        Some(self.entries.get(self.queue.first()?).until)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    fn remove_first(&mut self) -> Option<K> {
        let first = self.queue.first()?;
        Some(self.entries.remove(&mut self.queue, first).flow)
    }
}

#[derive(Clone, Copy)]
struct Waiting<K> {
    flow: K,
    state: TimeWait,
    until: Instant,
}

impl<K: FlowKey> Entry for Waiting<K> {
    type Key = K;

    fn flow(&self) -> &K {
        &self.flow
    }
}

const _: () = assert!(bytes_per_flow::<Waiting<FlowKey4>>() <= 64);
const _: () = assert!(bytes_per_flow::<Waiting<FlowKey6>>() <= 96);

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn flow(port: u16) -> FlowKey4 {
        FlowKey4 {
            remote: [10, 0, 0, 1].into(),
            local: [10, 0, 0, 2].into(),
            remote_port: port,
            local_port: 80,
        }
    }

    fn state(number: u32) -> TimeWait {
        TimeWait {
            snd_nxt: Seq(number),
            rcv_nxt: Seq(number),
            timestamp: None,
            window: 0,
            ace: Flags::NONE,
        }
    }

    fn table(limit: usize) -> TimeWaitTable<FlowKey4> {
        TimeWaitTable::new(FlowHash::new([1, 2]), limit, MINUTE)
    }

    #[test]
    fn a_wait_ends_after_its_time_and_not_before() {
        let at = |seconds: u64| Instant::from_millis(seconds * 1000);
        let mut table = table(10);
        assert_eq!(table.next_expiry(), None);
        table.insert(at(0), flow(1), state(1));
        table.insert(at(10), flow(2), state(2));
        table.insert(at(20), flow(3), state(3));
        assert_eq!(table.pop_expired(at(60) - Duration::from_nanos(1)), None);
        assert_eq!(table.pop_expired(at(60)), Some(flow(1)));
        assert_eq!(table.get(&flow(1)), None);

        table.restart(at(65), &flow(2), state(22));
        table.restart(at(65), &flow(9), state(9));
        assert_eq!(table.next_expiry(), Some(at(80)), "the next in line is now 3");
        assert_eq!(table.pop_expired(at(200)), Some(flow(3)));
        assert_eq!(table.next_expiry(), Some(at(125)));
        assert_eq!(table.get(&flow(2)), Some(&state(22)));
        assert_eq!(table.pop_expired(at(200)), Some(flow(2)));
        assert_eq!((table.pop_expired(at(200)), table.len()), (None, 0));
    }

    #[test]
    fn at_the_limit_the_oldest_goes() {
        let mut table = table(2);
        assert_eq!(table.insert(Instant::ZERO, flow(1), state(1)), None);
        assert_eq!(table.insert(Instant::ZERO, flow(2), state(2)), None);
        assert_eq!(table.insert(Instant::ZERO, flow(2), state(22)), None, "replaced");
        assert_eq!(table.insert(Instant::ZERO, flow(3), state(3)), Some(flow(1)));
        assert_eq!((table.get(&flow(1)), table.get(&flow(2))), (None, Some(&state(22))));
        assert_eq!(table.len(), 2);
    }

    #[test]
    fn a_new_connection_takes_over_the_flow() {
        let mut table = table(10);
        table.insert(Instant::ZERO, flow(1), state(1));
        assert_eq!(table.remove(&flow(1)), Some(state(1)));
        assert_eq!((table.remove(&flow(1)), table.next_expiry()), (None, None));
    }

    proptest! {
        /// The oracle is a queue of flows, searched from end to end.
        #[test]
        fn the_table_is_a_queue(
            limit in 1_usize..12, ops in prop::collection::vec((0_u8..6, 0_u16..16, 0_u64..30), 1..200),
        ) {
            let mut table = table(limit);
            let mut model: VecDeque<(Instant, u16, TimeWait)> = VecDeque::new();
            let mut now = Instant::ZERO;
            for ((op, port, seconds), number) in ops.into_iter().zip(0..) {
                now = now + Duration::from_secs(seconds);
                let held = model.iter().position(|&(_, other, _)| other == port);
                match op {
                    0 | 1 => {
                        held.map(|held| model.remove(held));
                        let recycled = (model.len() == limit).then(|| model.pop_front().unwrap().1);
                        model.push_back((now + MINUTE, port, state(number)));
                        prop_assert_eq!(table.insert(now, flow(port), state(number)), recycled.map(flow));
                    }
                    2 => {
                        let removed = held.map(|held| model.remove(held).unwrap().2);
                        prop_assert_eq!(table.remove(&flow(port)), removed);
                    }
                    3 => {
                        if let Some((_, port, _)) = held.and_then(|held| model.remove(held)) {
                            model.push_back((now + MINUTE, port, state(number)));
                        }
                        table.restart(now, &flow(port), state(number));
                    }
                    _ => {
                        let due = model.front().is_some_and(|&(until, ..)| until <= now);
                        let expired = due.then(|| model.pop_front().unwrap().1);
                        prop_assert_eq!(table.pop_expired(now), expired.map(flow));
                    }
                }
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(table.next_expiry(), model.front().map(|&(until, ..)| until));
                let held = model.iter().find(|&&(_, other, _)| other == port).map(|(.., state)| state);
                prop_assert_eq!(table.get(&flow(port)), held);
            }
        }
    }
}
