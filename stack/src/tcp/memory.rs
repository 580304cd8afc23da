//! How much memory a core's connections take for what they have received and nobody has read.
//!
//! The window bounds what one connection holds; many slow readers together could hold more than there is. What counts is
//! memory: the chunks of receive rings, whole, and what has arrived out of order. Applications give the memory of a ring back without
//! a word, so a connection's share is counted anew whenever something happens to it; and once a segment was refused, that of
//! others as well. What is done before it comes to that is in [`pressure`](super::pressure).

use super::Tcp;
use super::connection::{Connection, Context};
use super::pressure::MemoryPressure;
use crate::drops::Drop;
use crate::net::Net;

/// The memory of one core's connections.
pub(super) struct Memory {
    limit: usize,
    used: usize,
    refused: Refused,
    /// The place in the table whose share is counted next, after a refusal.
    next: u32,
}

/// Whether a segment was refused in this turn.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Refused {
    #[default]
    None,
    Some,
}

/// Shares counted in a turn.
const COUNT_AFTER_REFUSAL: u32 = 256;
const COUNT_UNDER_PRESSURE: u32 = 16;

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0, refused: Refused::None, next: 0 }
    }

    /// As last counted.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// How much of what there is is in use, as last counted.
    pub(super) fn pressure(&self) -> MemoryPressure {
        MemoryPressure::of(self.used, self.limit)
    }

    /// Whether no share is to be counted again before something happens to a connection.
    pub(super) fn is_counted(&self) -> bool {
        self.refused == Refused::None && self.pressure() == MemoryPressure::None
    }

    /// How many bytes more there are.
    pub(super) fn left(&self) -> usize {
        self.limit.saturating_sub(self.used)
    }

    /// Whether there are `bytes` more.
    pub(super) fn admit(&mut self, bytes: usize) -> Result<(), Drop> {
        if bytes > self.left() {
            return self.refuse(Drop::TcpMemoryLimit);
        }
        Ok(())
    }

    /// Something is turned away: others may hold less than was counted.
    pub(super) fn refuse(&mut self, why: Drop) -> Result<(), Drop> {
        self.count_others_again();
        Err(why)
    }

    /// What others hold is counted again at the end of the turn.
    pub(super) fn count_others_again(&mut self) {
        self.refused = Refused::Some;
    }

    /// What was counted as `share` is `now`.
    fn recount(&mut self, share: &mut u32, now: usize) {
        self.used -= *share as usize;
        // A ring and the segments before it are each within a window.
        *share = u32::try_from(now).unwrap_or(u32::MAX);
        self.used += *share as usize;
    }
}

impl Connection {
    /// Counts what this connection holds.
    pub(super) fn count_memory(&mut self, cx: &mut Context<'_>) {
        let waiting = self.reassembly.as_ref().map_or(0, |queue| queue.bytes());
        let now = self.socket.receive.memory() + waiting;
        cx.memory.recount(&mut self.buffered, now);
        self.feel_pressure(cx);
    }

    /// The connection is gone, and the application has what is left.
    pub(super) fn release_memory(&mut self, memory: &mut Memory) {
        memory.recount(&mut self.buffered, 0);
    }
}

impl Tcp {
    /// The bytes of memory that received data takes.
    pub(crate) fn buffered(&self) -> usize {
        self.memory.used()
    }

    /// Under pressure, and after a refusal more so: some connections may hold less than was counted last, and some may have to give
    /// up what waits for a gap.
    pub(super) fn count_memory_again(&mut self, net: &mut Net) {
        let count = match std::mem::take(&mut self.memory.refused) {
            Refused::Some => COUNT_AFTER_REFUSAL,
            Refused::None if self.memory.pressure() > MemoryPressure::None => COUNT_UNDER_PRESSURE,
            Refused::None => return,
        };
        let places = self.connections.places();
        for _ in 0..count.min(places) {
            self.memory.next = (self.memory.next + 1) % places;
            if let Some(id) = self.connections.id_at(self.memory.next)
                && let Some((connection, mut cx)) = self.borrow(net, id)
            {
                connection.drop_out_of_order(&mut cx);
                connection.count_memory(&mut cx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use darner_ring::{CHUNK, SMALL_CHUNK};

    use super::*;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::Harness;

    fn config(chunks: usize) -> TcpConfig {
        TcpConfig { max_buffered: chunks * CHUNK, receive_buffer: 60_000, ..Harness::plain() }
    }

    fn read_all(t: &mut Harness) -> usize {
        std::iter::from_fn(|| t.read(60_000).ok()).take_while(|&len| len > 0).sum()
    }

    #[test]
    fn memory_is_taken_by_the_chunk_and_given_back_when_all_is_read() {
        let mut t = Harness::connected();
        assert_eq!(t.tcp.buffered(), 0);
        t.input("A 1+1 ack 1").unwrap();
        assert_eq!(t.tcp.buffered(), SMALL_CHUNK);
        for part in 0..33 {
            t.input(&format!("A {}+1000 ack 1", 2 + part * 1000)).unwrap();
        }
        assert_eq!(t.tcp.buffered(), 3 * CHUNK);
        assert_eq!(read_all(&mut t), 33_001);
        assert_eq!(t.tcp.buffered(), 0);
    }

    #[test]
    fn a_segment_without_memory_is_dropped_and_taken_when_it_comes_again() {
        let mut t = Harness::connected_with(&config(2));
        for part in 0..32 {
            t.input(&format!("A {}+1000 ack 1", 1 + part * 1000)).unwrap();
        }
        t.sent();
        assert_eq!(t.input("A 32001+1000 ack 1"), Err(Drop::TcpMemoryLimit));
        assert_eq!(t.sent(), ["A 1 ack 32001"], "nothing is acknowledged that was not kept");
        assert_eq!(t.input("A 32001+700 ack 1"), Ok(()), "there is room in the last chunk");
        assert_eq!(t.input("A 40001+1000 ack 1"), Err(Drop::TcpMemoryOutOfOrder));
        assert_eq!(read_all(&mut t), 32_700);
        assert_eq!(t.tcp.buffered(), 0);
        t.input("FA 32701+1000 ack 1").unwrap();
        assert_eq!(read_all(&mut t), 1000);
    }

    #[test]
    fn what_waits_for_a_gap_counts_too() {
        let mut t = Harness::connected_with(&config(4));
        for part in 1..17 {
            t.input(&format!("A {}+1000 ack 1", 1 + part * 1000)).unwrap();
        }
        assert_eq!(t.tcp.buffered(), 16_000);
        t.input("RA 1 ack 1").unwrap();
        assert_eq!(t.tcp.buffered(), 0);
    }

    /// A ring takes memory by the chunk, and so more than what has waited for a gap did.
    #[test]
    fn what_waits_gives_way_if_it_would_take_more_in_the_ring_than_there_is() {
        let mut t = Harness::connected_with(&config(1));
        t.burst(&["A 1+980 ack 1", "A 991+20 ack 1", "A 1021+1 ack 1"]);
        assert_eq!(t.tcp.buffered(), SMALL_CHUNK + 21);
        t.sent();
        assert_eq!(t.input("A 981+10 ack 1"), Ok(()));
        assert_eq!(t.sent(), ["A 1 ack 991"], "what waited was given up");
        assert_eq!(t.net.metrics.dropped(Drop::TcpMemoryOutOfOrder), 2);
        assert_eq!(t.tcp.buffered(), SMALL_CHUNK);
        t.input("A 991+31 ack 1").unwrap();
        assert_eq!(read_all(&mut t), 1021);
    }

    /// Who has read everything is not kept waiting by what came too early.
    #[test]
    fn what_waits_gives_way_to_what_it_waits_for() {
        let mut t = Harness::connected_with(&config(1));
        t.input("A 1501+10 ack 1").unwrap();
        assert_eq!(t.input("A 1+1400 ack 1"), Ok(()));
        assert_eq!(read_all(&mut t), 1400);
    }

    /// Moving it frees the memory that it has had.
    #[test]
    fn what_waits_is_taken_if_there_is_room_for_it_in_the_ring() {
        let mut t = Harness::connected_with(&config(2));
        t.input("A 1001+17000 ack 1").unwrap();
        assert_eq!(t.input("A 1+1000 ack 1"), Ok(()));
        assert_eq!(
            (read_all(&mut t), t.net.metrics.dropped(Drop::TcpMemoryOutOfOrder)),
            (18_000, 0)
        );
    }

    #[test]
    fn what_waits_gives_way_to_what_reaches_over_it() {
        let mut t = Harness::connected_with(&config(2));
        t.input("A 1+8000 ack 1").unwrap();
        t.burst(&["A 16001+300 ack 1", "A 17001+1 ack 1"]);
        assert_eq!(t.tcp.memory.left(), CHUNK - 301);
        assert_eq!(t.input("A 8001+9000 ack 1"), Ok(()), "it ends in another chunk");
        assert_eq!(t.net.metrics.dropped(Drop::TcpMemoryOutOfOrder), 2);
        assert_eq!(read_all(&mut t), 17_000);
    }

    /// What was read without a word is looked at before anything gives way.
    #[test]
    fn what_waits_stays_if_the_application_has_read() {
        let mut t = Harness::connected_with(&config(3));
        t.input("A 1+20000 ack 1").unwrap();
        let mut bytes = [0; 20_000];
        t.input("A 37001+100 ack 1").unwrap();
        let mut stream = t.stream.take().unwrap();
        let read = std::iter::from_fn(|| std::io::Read::read(&mut stream, &mut bytes).ok());
        assert_eq!(read.take_while(|&len| len > 0).sum::<usize>(), 20_000);
        assert_eq!(t.tcp.buffered(), 2 * CHUNK + 100, "nobody was told");
        assert_eq!(t.input("A 20001+17000 ack 1"), Ok(()));
        assert_eq!(t.net.metrics.dropped(Drop::TcpMemoryOutOfOrder), 0);
        t.stream = Some(stream);
    }

    /// The place of a FIN takes no memory.
    #[test]
    fn a_fin_that_waits_is_not_forgotten_for_want_of_memory() {
        let mut t = Harness::listening(&config(1), 2);
        for port in [1, 2] {
            t.peer_port = port;
            t.input("S 0 mss 1000").unwrap();
            t.sent();
            t.input("A 1 ack 1").unwrap();
        }
        t.input("FA 101 ack 1").unwrap();
        t.peer_port = 1;
        t.input("A 1+1000 ack 1").unwrap();
        assert_eq!(t.tcp.memory.left(), 0);
        t.peer_port = 2;
        assert_eq!(t.input("A 1+100 ack 1"), Err(Drop::TcpMemoryLimit));
        t.peer_port = 1;
        t.input("RA 1001 ack 1").unwrap();
        t.peer_port = 2;
        t.input("A 1+100 ack 1").unwrap();
        assert_eq!(t.sent().last().unwrap(), "A 1 ack 102", "with its FIN");
    }

    /// Small reads are not told, so the first refusal is what brings them to light.
    #[test]
    fn memory_that_was_given_back_unnoticed_is_found() {
        let mut t = Harness::listening(&config(1), 2);
        for port in [1, 2] {
            t.peer_port = port;
            t.input("S 0 mss 1000").unwrap();
            t.sent();
            t.input("A 1 ack 1").unwrap();
        }
        t.peer_port = 1;
        assert!(t.accept());
        t.input("A 1+1000 ack 1").unwrap();
        let mut bytes = [0; 1000];
        assert_eq!(std::io::Read::read(t.stream(), &mut bytes).unwrap(), 1000);
        assert_eq!(t.tcp.buffered(), CHUNK, "nobody was told");
        t.peer_port = 2;
        assert_eq!(t.input("A 1+10 ack 1"), Err(Drop::TcpMemoryLimit));
        assert_eq!(t.tcp.buffered(), 0);
        assert_eq!(t.input("A 1+10 ack 1"), Ok(()));
    }
}
