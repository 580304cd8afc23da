//! What is done while memory runs out, step by step, so that connections which are read go on to the last.
//!
//! | in use | what gives way | counted as |
//! |---|---|---|
//! | 1/2 | windows: none opens by more than a few segments, and what was promised holds | `tcpMemorySqueezed` |
//! | 3/4 | what waits for a gap, old and new: it comes again | `tcp-memory-out-of-order` |
//! | 7/8 | connections: none begins | `tcp-memory-connection` |
//! | all | segments in order, after what waits for them | `tcp-memory-limit` |

use super::Tcp;
use super::connection::{Connection, Context};
use super::memory::Memory;
use crate::counters::Counter;
use crate::drops::Drop;

/// How far memory for what nobody has read is used up, and so what gives way. Each step includes those before it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum MemoryPressure {
    /// Nothing does.
    #[default]
    None,
    /// Windows shrink to a few segments.
    Windows,
    /// What has arrived out of order is dropped.
    OutOfOrder,
    /// New connections are refused.
    Connections,
}

impl MemoryPressure {
    pub(super) fn of(used: usize, limit: usize) -> Self {
        let eighth = limit.div_ceil(8);
        match used {
            _ if used >= 7 * eighth => Self::Connections,
            _ if used >= 6 * eighth => Self::OutOfOrder,
            _ if used >= 4 * eighth => Self::Windows,
            _ => Self::None,
        }
    }

    /// The step, as `darner stat` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Windows => "windows",
            Self::OutOfOrder => "windows and data out of order",
            Self::Connections => "windows, data out of order and new connections",
        }
    }
}

impl Connection {
    /// Notes whether windows are to be kept small. They grow again with the next ACK after the pressure is over: a window of a few
    /// segments makes the peer ask for that, where one that was closed would need an update.
    pub(super) fn feel_pressure(&mut self, cx: &Context<'_>) {
        let squeezed = cx.memory.pressure() >= MemoryPressure::Windows;
        if squeezed && !self.rcv.squeezed {
            cx.net.metrics.count(Counter::TcpMemorySqueezed);
        }
        self.rcv.squeezed = squeezed;
    }

    /// Most bytes that a window may hold beyond what was promised.
    pub(super) fn squeeze(&self, room: u32) -> u32 {
        if self.rcv.squeezed { room.min(SEGMENTS * u32::from(self.rcv.full)) } else { room }
    }

    /// Gives up what waits for a gap, if it has come to that.
    pub(super) fn drop_out_of_order(&mut self, cx: &mut Context<'_>) {
        if cx.memory.pressure() >= MemoryPressure::OutOfOrder {
            self.give_up_out_of_order(cx);
        }
    }

    /// Gives up what waits for a gap, if that takes memory. The peer was told that it is here, and must be able to send it again (RFC 2018, section 8).
    pub(super) fn give_up_out_of_order(&mut self, cx: &mut Context<'_>) {
        if let Some(queue) = self.reassembly.take_if(|queue| queue.bytes() > 0) {
            let segments = queue.segments();
            (0..segments).for_each(|_| cx.net.metrics.count_drop(Drop::TcpMemoryOutOfOrder));
        }
    }
}

impl Memory {
    /// Whether bytes may be kept that wait for a gap.
    pub(super) fn admit_out_of_order(&mut self, bytes: usize) -> Result<(), Drop> {
        if self.pressure() >= MemoryPressure::OutOfOrder {
            return self.refuse(Drop::TcpMemoryOutOfOrder);
        }
        self.admit(bytes)
    }

    /// Whether a connection may begin.
    pub(super) fn admit_connection(&mut self) -> Result<(), Drop> {
        match self.pressure() {
            MemoryPressure::Connections => self.refuse(Drop::TcpMemoryConnection),
            _ => Ok(()),
        }
    }
}

impl Tcp {
    /// How far memory is used up.
    pub(crate) fn memory_pressure(&self) -> MemoryPressure {
        self.memory.pressure()
    }
}

/// Enough for the peer to go on, an ACK for every other of them.
const SEGMENTS: u32 = 4;

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use darner_ring::CHUNK;

    use super::*;
    use crate::api::TcpStream;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::{Harness, PEER};
    use crate::tcp::open::ConnectError;

    const LIMIT: usize = 8 * CHUNK;

    fn listening() -> Harness {
        let config = TcpConfig { max_buffered: LIMIT, receive_buffer: 60_000, ..Harness::plain() };
        Harness::listening(&config, 100)
    }

    /// A connection from this port, without quick ACKs, whose application reads nothing yet.
    fn connect(t: &mut Harness, port: u16) -> TcpStream {
        t.peer_port = port;
        t.input("S 0 mss 1000").unwrap();
        t.sent();
        t.input("A 1 ack 1").unwrap();
        assert!(t.accept());
        t.connection(|c| c.ack.quick = 0);
        t.stream.take().unwrap()
    }

    /// What does not fit a small chunk takes a large one on each of these connections for as long as it is not read.
    fn occupy(t: &mut Harness, ports: std::ops::Range<u16>) -> Vec<TcpStream> {
        let streams = ports.clone().map(|port| connect(t, port)).collect();
        for port in ports {
            t.peer_port = port;
            t.input("PA 1+1000 ack 1").unwrap();
        }
        streams
    }

    fn read_all(t: &mut Harness, stream: &mut TcpStream) -> usize {
        let mut bytes = [0; 60_000];
        let read =
            std::iter::from_fn(|| stream.read(&mut bytes).ok()).take_while(|&len| len > 0).sum();
        t.application();
        read
    }

    #[test]
    fn each_step_comes_when_it_should() {
        use MemoryPressure::*;
        for (used, want) in [
            (0, None),
            (499, None),
            (500, Windows),
            (749, Windows),
            (750, OutOfOrder),
            (874, OutOfOrder),
            (875, Connections),
            (1000, Connections),
            (5000, Connections),
        ] {
            assert_eq!(MemoryPressure::of(used, 1000), want, "{used} of 1000");
        }
    }

    #[test]
    fn windows_shrink_to_a_few_segments_and_what_was_promised_holds() {
        let mut t = listening();
        let mut reader = connect(&mut t, 1);
        let others = occupy(&mut t, 2..6);
        assert_eq!(t.tcp.memory_pressure(), MemoryPressure::Windows);
        t.peer_port = 1;
        t.connection(|c| c.ack.quick = u8::MAX);
        for part in 0..80 {
            t.emitted();
            t.input(&format!("A {}+1000 ack 1", 1 + part * 1000)).unwrap();
            let promised = 59_000_u32.saturating_sub(part * 1000);
            assert_eq!(u32::from(t.last().window), promised.max(4000), "after {part}");
            assert_eq!(read_all(&mut t, &mut reader), 1000);
        }
        assert_eq!(t.count(Counter::TcpMemorySqueezed), 5);
        drop(others);
        t.application();
        assert_eq!(t.tcp.memory_pressure(), MemoryPressure::None);
        t.emitted();
        t.input("A 80001+1000 ack 1").unwrap();
        assert_eq!(read_all(&mut t, &mut reader), 1000);
        t.input("A 81001+1000 ack 1").unwrap();
        assert_eq!(t.emitted().last().unwrap().window, 59_000);
    }

    #[test]
    fn then_what_waits_for_a_gap_is_dropped_and_what_does_not_is_taken() {
        let mut t = listening();
        let mut gapped = connect(&mut t, 1);
        t.burst(&["A 1001+1000 ack 1", "A 3001+1000 ack 1"]);
        let others = occupy(&mut t, 2..8);
        assert_eq!(t.tcp.memory_pressure(), MemoryPressure::OutOfOrder);
        assert_eq!(t.tcp.buffered(), 6 * CHUNK + 2000, "nobody was in the way of it yet");
        let another = connect(&mut t, 9);
        assert_eq!(t.input("A 2001+1000 ack 1"), Err(Drop::TcpMemoryOutOfOrder));
        assert_eq!(t.net.metrics.dropped(Drop::TcpMemoryOutOfOrder), 2, "what was held");
        assert_eq!(t.tcp.buffered(), 6 * CHUNK);
        t.peer_port = 1;
        t.input("A 1+2000 ack 1").unwrap();
        assert_eq!(read_all(&mut t, &mut gapped), 2000);
        drop((others, another));
        t.application();
        t.burst(&["A 3001+1000 ack 1", "A 2001+1000 ack 1"]);
        assert_eq!(read_all(&mut t, &mut gapped), 2000);
    }

    #[test]
    fn then_no_connection_begins() {
        let mut t = listening();
        let others = occupy(&mut t, 1..8);
        assert_eq!(t.tcp.memory_pressure(), MemoryPressure::Connections);
        t.emitted();
        t.peer_port = 20;
        assert_eq!(t.input("S 0"), Err(Drop::TcpMemoryConnection));
        assert_eq!((t.sent(), t.tcp.half_open.len()), (vec![], 0));
        let peer = std::net::SocketAddrV4::new(PEER, 80);
        assert_eq!(t.tcp.connect(&mut t.net, None, peer).err(), Some(ConnectError::TooMany));
        drop(others);
        t.application();
        t.emitted();
        t.input("S 0").unwrap();
        assert_eq!(t.sent(), ["SA 0 ack 1"]);
    }

    /// A handshake that is half done waits for its SYN-ACK to be sent again.
    #[test]
    fn a_handshake_is_not_completed_until_there_is_memory() {
        let mut t = listening();
        t.peer_port = 20;
        t.input("S 0").unwrap();
        t.sent();
        let others = occupy(&mut t, 1..8);
        t.peer_port = 20;
        assert_eq!(t.input("A 1 ack 1"), Err(Drop::TcpMemoryConnection));
        drop(others);
        t.application();
        t.emitted();
        t.at(1000);
        assert!(t.sent().contains(&"SA 0 ack 1".to_owned()));
        t.input("A 1 ack 1").unwrap();
        assert!(t.accept());
    }

    /// The last memory is for connections that are there, and in order.
    #[test]
    fn what_is_in_order_is_taken_to_the_last_byte() {
        let mut t = listening();
        let _others = occupy(&mut t, 1..8);
        t.peer_port = 1;
        for part in 1..16 {
            t.input(&format!("A {}+1000 ack 1", 1 + part * 1000)).unwrap();
        }
        assert_eq!(t.tcp.buffered(), 7 * CHUNK);
        t.input("A 16001+1000 ack 1").unwrap();
        assert_eq!(t.tcp.buffered(), LIMIT);
        t.peer_port = 2;
        t.input("A 1001+15000 ack 1").unwrap();
        assert_eq!(t.input("A 16001+1000 ack 1"), Err(Drop::TcpMemoryLimit));
    }
}
