//! Buffers that grow with the path: from [`TcpConfig::receive_buffer`] to [`TcpConfig::receive_buffer_max`], and the same for sending.
//!
//! A window that is smaller than what the path holds in a round trip is what limits a connection, and one that is larger costs memory
//! if the application does not read. So the receive buffer follows what the application has read in a round trip ("dynamic right-sizing",
//! Fisk and Feng, 2001), and the send buffer follows the congestion window. A buffer whose size the application has chosen stays as it is.
//! Neither shrinks: a buffer takes memory only for what is in it.

use super::config::TcpConfig;
use super::connection::{Connection, Context};
use super::isn::timestamp;
use crate::api::Readiness;
use crate::time::{Instant, Span};

/// Who says how large a buffer is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sizing {
    /// It grows by itself.
    Automatic,
    /// The application has said.
    Fixed,
}

impl Sizing {
    /// Of a buffer whose size the application has chosen, or not.
    pub(super) fn of(chosen: Option<usize>) -> Self {
        if chosen.is_some() { Self::Fixed } else { Self::Automatic }
    }
}

/// What is measured of a connection that receives.
#[derive(Debug)]
pub(super) struct Reading {
    /// When the round trip began that is being measured.
    since: Instant,
    /// What had been read by then, modulo 2^32.
    read: u32,
    /// Most bytes read in one round trip so far.
    most: u32,
}

impl Reading {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, read: 0, most: 0 }
    }

    /// At the end of a round trip: what the buffer should hold, if that is more than was thought.
    ///
    /// The peer may send twice as much in the next round trip, and needs a window for that when the first of it arrives (RFC 5681,
    /// section 3.1); if this round trip has brought more than the most before, then as much again at most.
    fn wanted(&mut self, now: Instant, read: u32) -> Option<usize> {
        let copied = read.wrapping_sub(self.read);
        (self.since, self.read) = (now, read);
        if copied <= self.most {
            return None;
        }
        let (copied, most) = (u64::from(copied), u64::from(self.most));
        let faster = (2 * copied * (copied - most) / most.max(1)).min(2 * copied);
        self.most = u32::try_from(copied).unwrap_or(u32::MAX);
        usize::try_from(2 * copied + faster).ok()
    }
}

impl TcpConfig {
    /// The most that a receive buffer grows to.
    pub(super) fn largest_receive_buffer(&self) -> usize {
        self.receive_buffer_max.max(self.receive_buffer)
    }

    fn largest_send_buffer(&self) -> usize {
        self.send_buffer_max.max(self.send_buffer)
    }
}

impl Connection {
    /// Data has come in order.
    pub(super) fn tune_receive_buffer(&mut self, cx: &Context<'_>, echo: Option<u32>) {
        let measured = cx.now().span_since(self.rcv.reading.since);
        // What most segments come to: the round trip is not over.
        if self.rtt.srtt().is_some_and(|srtt| measured < srtt) {
            return;
        }
        let (limit, largest) = (self.socket.receive.limit(), cx.config.largest_receive_buffer());
        if self.rcv.sizing == Sizing::Fixed || self.rcv.squeezed || limit >= largest {
            return;
        }
        if measured < self.receiver_round_trip(cx.now(), echo) {
            return;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a round trip brings less than 2^32")]
        let read = self.socket.receive.consumed() as u32;
        if let Some(wanted) = self.rcv.reading.wanted(cx.now(), read)
            && wanted > limit
        {
            self.socket.receive.set_limit(wanted.min(largest));
        }
    }

    /// The round trip as the receiver of data sees it: how old the timestamp is that comes back with them, or what was measured of
    /// our own segments, the handshake at least. The former counts milliseconds and the peer's pauses, the latter may be out of date.
    fn receiver_round_trip(&self, now: Instant, echo: Option<u32>) -> Span {
        let clock = timestamp(now, self.timestamps.offset);
        let echo = echo.filter(|_| self.timestamps.enabled);
        let echoed = echo.map(|echo| Span::from_millis(clock.wrapping_sub(echo).into()));
        echoed.max(self.rtt.srtt()).unwrap_or(UNKNOWN_ROUND_TRIP)
    }

    /// Something was acknowledged. While the application keeps half the buffer in use, the buffer holds two congestion windows: one is on
    /// its way, and another may be allowed by the time that is acknowledged.
    pub(super) fn tune_send_buffer(&mut self, cx: &mut Context<'_>) {
        let limit = self.send_buffer();
        let largest = cx.config.largest_send_buffer();
        let Some(sender) = self.sender.as_ref().filter(|_| self.snd.sizing == Sizing::Automatic)
        else {
            return;
        };
        if limit >= largest || 2 * sender.window() as usize <= limit {
            return;
        }
        let buffered = self.socket.send.tail().position - self.socket.send.released();
        if buffered >= limit as u64 / 2 {
            // By steps: each lets a writer go on that waits.
            self.set_send_buffer((2 * limit).min(largest));
            self.begin_unsent_low_water(cx);
            self.socket.raise(&mut cx.net.readies, Readiness::WRITABLE);
        }
    }
}

/// Where nothing was measured: a handshake that was answered by a cookie, without timestamps.
const UNKNOWN_ROUND_TRIP: Span = Span::from_millis(100);

#[cfg(test)]
mod tests {
    use darner_ring::CHUNK;

    use super::*;
    use crate::socket::{Part, Target};
    use crate::tcp::harness::Harness;

    const FIRST: usize = 4096;
    const LARGEST: usize = 40_000;

    fn growing() -> TcpConfig {
        TcpConfig {
            receive_buffer: FIRST,
            receive_buffer_max: LARGEST,
            send_buffer: FIRST,
            send_buffer_max: LARGEST,
            ..Harness::plain()
        }
    }

    /// Round trips of so many segments of 1000 bytes each, a handshake of 10 ms before; the buffer at the end of each.
    fn receive_rounds(t: &mut Harness, rounds: &[usize], reads: bool) -> Vec<usize> {
        let mut next = 1;
        let mut sizes = Vec::new();
        for (&segments, round) in rounds.iter().zip(2..) {
            t.at(round * 11);
            for _ in 0..segments {
                t.input(&format!("A {next}+1000 ack 1")).unwrap();
                next += 1000;
            }
            if reads {
                t.read(segments * 1000).unwrap();
            }
            sizes.push(t.connection(|c| c.socket.receive.limit()));
        }
        sizes
    }

    fn slow_handshake(config: &TcpConfig) -> Harness {
        let mut t = Harness::connecting(config);
        t.emitted();
        t.at(10);
        t.input("SA 0 ack 1 mss 1000 win 60000").unwrap();
        t.emitted();
        t
    }

    #[test]
    fn the_receive_buffer_follows_what_is_read_in_a_round_trip() {
        let mut t = slow_handshake(&growing());
        let sizes = receive_rounds(&mut t, &[2, 4, 8, 8, 8], true);
        // Four times what a round trip brought while that grows, and what has sufficed stays.
        assert_eq!(sizes, [FIRST, 8000, 16_000, 32_000, 32_000]);
    }

    #[test]
    fn it_does_not_grow_beyond_the_largest() {
        let mut t = slow_handshake(&growing());
        assert_eq!(
            receive_rounds(&mut t, &[2, 4, 8, 16, 2], true),
            [FIRST, 8000, 16_000, 32_000, LARGEST]
        );
    }

    /// What arrives would be enough, if it were read.
    #[test]
    fn nor_for_who_does_not_read() {
        let mut t = slow_handshake(&growing());
        assert_eq!(receive_rounds(&mut t, &[2, 1, 1], false), [FIRST; 3]);
    }

    #[test]
    fn nor_while_memory_runs_out() {
        let config = TcpConfig { max_buffered: 2 * CHUNK, ..growing() };
        let mut t = slow_handshake(&config);
        for round in 0..3 {
            t.at(22 + 11 * round);
            t.input(&format!("A {}+2000 ack 1", 1 + 2000 * round)).unwrap();
            // What is left keeps a chunk, which is half of what there is.
            assert_eq!(t.read(1900).unwrap(), 1900);
        }
        t.connection(|c| assert_eq!((c.rcv.squeezed, c.socket.receive.limit()), (true, FIRST)));
    }

    #[test]
    fn nor_within_a_round_trip() {
        let mut t = slow_handshake(&growing());
        t.connection(|c| c.rtt.sample(&growing().rto_limits(), Span::from_secs(1), 1));
        assert_eq!(receive_rounds(&mut t, &[2, 4, 4], true), [FIRST; 3]);
    }

    #[test]
    fn nor_where_the_application_has_said_how_large() {
        let mut t = slow_handshake(&growing());
        let Target::Tcp(id) = t.stream().words().target() else { panic!() };
        t.tcp.set_buffers(&mut t.net, id, (Some(5000), Some(6000)));
        assert_eq!(receive_rounds(&mut t, &[2, 4, 4, 4], true), [5000; 4]);
        assert_eq!(t.write(6000), 6000);
        t.emitted();
        t.input("A 14001 ack 1001 win 60000").unwrap();
        t.connection(|c| assert_eq!(c.socket.send.limit(), 6000));
    }

    /// What comes back late tells of a path that has become longer than its handshake was; a timestamp that was not agreed on tells nothing.
    #[test]
    fn nor_before_our_timestamps_come_back() {
        for (timestamps, want) in [(true, FIRST), (false, 8000)] {
            let mut t = Harness::connecting(&TcpConfig { timestamps, ..growing() });
            let clock = t.emitted()[0].options.timestamps.map_or(7, |ours| ours.value);
            t.at(10).input(&format!("SA 0 ack 1 mss 1012 win 60000 ts 1:{clock}")).unwrap();
            t.emitted();
            for round in 0..3 {
                t.at(22 + 11 * round);
                let seq = 1 + 2000 * round;
                t.input(&format!("A {seq}+2000 ack 1 ts 1:{clock}")).unwrap();
                t.read(2000).unwrap();
            }
            assert_eq!(t.connection(|c| c.socket.receive.limit()), want);
        }
    }

    /// Who found the buffer full, and less than half of it free since.
    #[test]
    fn who_waits_for_room_is_told_when_the_send_buffer_grows() {
        let config = TcpConfig { send_buffer: 22_500, ..growing() };
        let mut t = slow_handshake(&config);
        let took = |t: &mut Harness| t.stream().words().take_events(Part::Write);
        assert_eq!(t.write(30_000), 22_500);
        t.emitted();
        took(&mut t);
        t.input("A 1 ack 1001 win 60000").unwrap();
        assert_eq!(took(&mut t), Readiness::empty(), "a window of 11,000 fits twice");
        t.input("A 1 ack 2001 win 60000").unwrap();
        assert_eq!(took(&mut t), Readiness::WRITABLE);
    }

    #[test]
    fn the_send_buffer_holds_two_windows_of_who_fills_it() {
        let mut t = slow_handshake(&TcpConfig { unsent_low_water: Some(u32::MAX), ..growing() });
        let mut size_after = |write: usize, ack: usize| {
            assert_eq!(t.write(write), write);
            t.emitted();
            t.input(&format!("A 1 ack {ack} win 60000")).unwrap();
            t.connection(|c| c.socket.send.limit())
        };
        assert_eq!(size_after(FIRST, 1001), 2 * FIRST);
        assert_eq!(size_after(0, 2001), 2 * FIRST, "most of it is free");
        assert_eq!(size_after(6000, 3001), 4 * FIRST);
        assert_eq!(size_after(8000, 4001), 8 * FIRST);
        assert_eq!(size_after(18_000, 5001), 8 * FIRST, "two windows fit");
    }

    #[test]
    fn a_send_buffer_that_has_grown_holds_no_more_unsent_than_at_first() {
        let mut t = slow_handshake(&growing());
        for ack in [1001, 2001, 3001] {
            t.write(LARGEST);
            t.emitted();
            t.input(&format!("A 1 ack {ack} win 60000")).unwrap();
        }
        while t.write(LARGEST) > 0 {}
        assert_eq!(t.connection(|c| c.unsent()), FIRST as u64);
        t.connection(|c| assert!(c.send_buffer() > FIRST && c.send_buffer() < LARGEST));
        // Whoever says how large it is gets all of that.
        let Target::Tcp(id) = t.stream().words().target() else { panic!() };
        t.tcp.set_buffers(&mut t.net, id, (None, Some(LARGEST)));
        t.connection(|c| assert_eq!(c.socket.send.limit(), LARGEST));
    }
}
