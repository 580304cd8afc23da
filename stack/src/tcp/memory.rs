//! How much memory a core's connections take for what they have received and nobody has read.
//!
//! The window bounds what one connection holds; many slow readers together could hold more than there is. What counts is
//! memory: the chunks of receive rings, whole, and what has arrived out of order. Applications give the memory of a ring back without
//! a word, so a connection's share is counted anew whenever something happens to it; and once a segment was refused, that of
//! others as well.

use super::Tcp;
use super::connection::Connection;
use crate::drops::Drop;

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

/// Shares counted in a turn after a refusal.
const COUNT_AT_ONCE: u32 = 256;

impl Memory {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, used: 0, refused: Refused::None, next: 0 }
    }

    /// As last counted.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Whether there are `bytes` more.
    pub(super) fn admit(&mut self, bytes: usize) -> Result<(), Drop> {
        if bytes > self.limit.saturating_sub(self.used) {
            self.refused = Refused::Some;
            return Err(Drop::TcpMemoryLimit);
        }
        Ok(())
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
    pub(super) fn count_memory(&mut self, memory: &mut Memory) {
        let waiting = self.reassembly.as_ref().map_or(0, |queue| queue.bytes());
        let now = self.socket.receive.memory() + waiting;
        memory.recount(&mut self.buffered, now);
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

    /// After a refusal: some connections may hold less than was counted last.
    pub(super) fn count_memory_again(&mut self) {
        if std::mem::take(&mut self.memory.refused) == Refused::None {
            return;
        }
        let places = self.connections.places();
        for _ in 0..COUNT_AT_ONCE.min(places) {
            self.memory.next = (self.memory.next + 1) % places;
            if let Some(id) = self.connections.id_at(self.memory.next)
                && let Some(connection) = self.connections.get_mut(id)
            {
                connection.count_memory(&mut self.memory);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use darner_ring::CHUNK;

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
        assert_eq!(t.tcp.buffered(), CHUNK);
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
        assert_eq!(t.input("A 40001+1000 ack 1"), Err(Drop::TcpMemoryLimit));
        assert_eq!(read_all(&mut t), 32_700);
        assert_eq!(t.tcp.buffered(), 0);
        t.input("FA 32701+1000 ack 1").unwrap();
        assert_eq!(read_all(&mut t), 1000);
    }

    #[test]
    fn what_waits_for_a_gap_counts_too() {
        let mut t = Harness::connected_with(&config(1));
        for part in 1..17 {
            t.input(&format!("A {}+1000 ack 1", 1 + part * 1000)).unwrap();
        }
        assert_eq!(t.tcp.buffered(), 16_000);
        assert_eq!(t.input("A 17001+1000 ack 1"), Err(Drop::TcpMemoryLimit));
        assert_eq!(t.input("A 1+1000 ack 1"), Err(Drop::TcpMemoryLimit));
        t.input("RA 1 ack 1").unwrap();
        assert_eq!(t.tcp.buffered(), 0);
    }

    /// Small reads are not told, so the first refusal is what brings them to light.
    #[test]
    fn memory_that_was_given_back_unnoticed_is_found() {
        let mut t = Harness::listening(&config(1), 2);
        let connect = |t: &mut Harness, port| {
            t.peer_port = port;
            t.input("S 0 mss 1000").unwrap();
            t.sent();
            t.input("A 1 ack 1").unwrap();
        };
        connect(&mut t, 1);
        assert!(t.accept());
        t.input("A 1+10 ack 1").unwrap();
        assert_eq!(t.read(100).unwrap(), 10);
        assert_eq!(t.tcp.buffered(), CHUNK, "nobody was told");
        connect(&mut t, 2);
        assert_eq!(t.input("A 1+10 ack 1"), Err(Drop::TcpMemoryLimit));
        assert_eq!(t.tcp.buffered(), 0);
        assert_eq!(t.input("A 1+10 ack 1"), Ok(()));
    }
}
