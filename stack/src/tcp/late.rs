//! TIME-WAIT (RFC 9293, section 3.10.7.4): what is left of a connection while old segments of it may be on their way.

use super::Tcp;
use super::connection::{Connection, WheelEntry};
use super::emit::send_segment;
use super::isn::timestamp;
use super::segment::Segment;
use super::time_wait::TimeWait;
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::net::Net;
use crate::time::Instant;
use crate::wire::tcp::{Flags, TcpHeader};
use crate::wire::tcp_options::{TcpOptions, Timestamps};

impl Tcp {
    /// The connection is over on both sides.
    pub(super) fn wait_out(&mut self, net: &mut Net, connection: &Connection) {
        let entry = TimeWait {
            snd_nxt: connection.snd.nxt,
            rcv_nxt: connection.rcv.nxt,
            timestamp: connection.timestamps.enabled.then_some(connection.timestamps.recent),
            window: connection.window_field(connection.rcv.edge, Flags::ACK),
        };
        if self.time_wait.insert(net.now, connection.flow, entry).is_some() {
            net.metrics.count(Counter::TcpTimeWaitRecycled);
        }
        self.arm_time_wait(net);
    }

    pub(super) fn arrive_in_time_wait(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        entry: TimeWait,
        segment: &Segment,
    ) -> Result<(), Drop> {
        if segment.has(Flags::RST) {
            // An old reset must not end it early (RFC 1337, section 3, fix F1).
            return Err(Drop::TcpResetUnacceptable);
        }
        if entry.is_reopened_by(segment) {
            // Its numbers lie beyond all that the old connection used (RFC 1122, section 4.2.2.13).
            let at_least = Some(entry.snd_nxt + REOPEN_GAP);
            if let Some(begun) = self.arrive_in_listen(net, flow, segment, at_least) {
                begun?;
                self.time_wait.remove(flow);
                return Ok(());
            }
        }
        let fin = segment.has(Flags::FIN) && segment.end() == entry.rcv_nxt;
        if fin {
            // Our last ACK was lost: the wait begins again.
            self.time_wait.restart(net.now, flow);
        }
        if fin || self.challenges.take(net.now, &mut net.rng).is_some() {
            self.acknowledge_time_wait(net, flow, &entry);
        }
        Err(Drop::TcpUnacceptable)
    }

    pub(super) fn time_wait_due(&mut self, net: &mut Net) {
        self.time_wait_timer = WheelEntry::NONE;
        while self.time_wait.pop_expired(net.now).is_some() {}
        self.arm_time_wait(net);
    }

    fn arm_time_wait(&mut self, net: &mut Net) {
        let at = self.time_wait.next_expiry().unwrap_or(Instant::FAR_FUTURE);
        self.time_wait_timer.arm(net, at, super::Timer::TimeWait);
    }

    fn acknowledge_time_wait(&self, net: &mut Net, flow: &FlowKey4, entry: &TimeWait) {
        let offset = self.isn.timestamp_offset(flow);
        let timestamps =
            entry.timestamp.map(|echo| Timestamps { value: timestamp(net.now, offset), echo });
        let header = TcpHeader {
            source_port: flow.local_port,
            destination_port: flow.remote_port,
            seq: entry.snd_nxt,
            ack: entry.rcv_nxt,
            flags: Flags::ACK,
            window: entry.window,
            urgent_pointer: 0,
            options: TcpOptions { timestamps, ..TcpOptions::default() },
        };
        if send_segment(net, flow, &header, 0, |_| ()).is_ok() {
            net.metrics.count(Counter::TcpOutSegs);
        }
    }
}

impl TimeWait {
    /// A SYN that cannot be an old one, by the peer's clock (RFC 6191) or, without one, by its number (RFC 1122,
    /// section 4.2.2.13).
    fn is_reopened_by(&self, segment: &Segment) -> bool {
        if !segment.has(Flags::SYN) || segment.has(Flags::ACK) {
            return false;
        }
        match (self.timestamp, segment.timestamps()) {
            (Some(recent), Some(theirs)) if theirs.value != recent => {
                theirs.value.wrapping_sub(recent).cast_signed() > 0
            }
            _ => segment.seq.follows(self.rcv_nxt),
        }
    }
}

/// More than a window of the old connection's could still hold.
const REOPEN_GAP: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::harness::Harness;
    use crate::tcp::{TcpConfig, TcpState};

    /// The peer has connected, and we have closed first.
    fn waiting(config: &TcpConfig, options: &str) -> Harness {
        let mut t = Harness::listening(config, 8);
        t.input(&format!("S 0 mss 1000 {options}")).unwrap();
        t.sent();
        t.input(&format!("A 1 ack 1 {options}")).unwrap();
        assert!(t.accept());
        t.close();
        t.input(&format!("FA 1 ack 2 {options}")).unwrap();
        assert_eq!(t.sent(), ["FA 1 ack 1", "A 2 ack 2"]);
        assert_eq!((t.state(), t.tcp.time_wait.len()), (None, 1));
        t
    }

    fn plain() -> Harness {
        waiting(&Harness::plain(), "")
    }

    #[test]
    fn it_lasts_a_minute() {
        let mut t = plain();
        assert!(t.tcp.is_idle(), "it holds no connection");
        t.at(59_999);
        assert_eq!(t.tcp.time_wait.len(), 1);
        t.at(60_001);
        assert_eq!(t.tcp.time_wait.len(), 0);
        t.input("FA 1 ack 2").unwrap_err();
        assert_eq!(t.sent(), ["R 2"]);
    }

    #[test]
    fn a_repeated_fin_is_acknowledged_and_starts_it_anew() {
        let mut t = plain();
        t.at(50_000);
        t.input("FA 1 ack 2").unwrap_err();
        assert_eq!(t.sent(), ["A 2 ack 2"]);
        t.at(109_000);
        assert_eq!(t.tcp.time_wait.len(), 1);
        t.at(111_000);
        assert_eq!(t.tcp.time_wait.len(), 0);
    }

    #[test]
    fn another_fin_does_not_start_it_anew() {
        let mut t = plain();
        t.at(50_000);
        for segment in ["FA 70000 ack 2", "FA 5 ack 2", "FA -9 ack 2"] {
            t.input(segment).unwrap_err();
            assert_eq!(t.sent(), ["A 2 ack 2"], "{segment}");
        }
        t.at(61_000);
        assert_eq!(t.tcp.time_wait.len(), 0);
    }

    #[test]
    fn no_reset_ends_it() {
        let mut t = plain();
        for segment in ["R 2", "RA 2 ack 2", "R 1"] {
            assert_eq!(t.input(segment), Err(Drop::TcpResetUnacceptable));
        }
        assert_eq!((t.sent(), t.tcp.time_wait.len()), (vec![], 1));
    }

    #[test]
    fn old_segments_are_told_where_we_are() {
        let mut t = plain();
        for segment in ["PA 1+10 ack 1", "A 2 ack 2", "S 0", "S 1", "SA 9 ack 1"] {
            t.input(segment).unwrap_err();
            assert_eq!(t.sent(), ["A 2 ack 2"], "{segment}");
        }
    }

    #[test]
    fn a_syn_beyond_the_old_numbers_begins_a_new_connection() {
        let mut t = plain();
        let before = t.our_iss();
        t.input("S 100 mss 1000").unwrap();
        assert_eq!(t.sent(), ["SA 0 ack 101"]);
        assert_eq!((t.tcp.time_wait.len(), t.tcp.half_open.len()), (0, 1));
        assert!(t.our_iss().follows(before + REOPEN_GAP), "the ISS is beyond all that was used");
        t.input("A 101 ack 1").unwrap();
        assert_eq!(t.state(), Some(TcpState::Established));
    }

    #[test]
    fn with_timestamps_the_clock_decides() {
        for (syn, reopens) in [
            ("S -1000 mss 1000 ts 501:0", true),
            ("S 100 mss 1000 ts 499:0", false),
            ("S 100 mss 1000 ts 500:0", true),
        ] {
            let mut t = waiting(&TcpConfig::default(), "ts 500:0");
            assert_eq!(t.input(syn).is_ok(), reopens, "{syn}");
            assert_eq!(t.tcp.half_open.len(), usize::from(reopens), "{syn}");
        }
    }

    #[test]
    fn its_addresses_are_not_taken_for_a_connection_of_ours() {
        let mut t = Harness::connected();
        let flow = t.flow();
        t.close();
        t.input("FA 1 ack 2").unwrap();
        assert!(!t.tcp.is_free(&flow));
        t.at(60_001);
        assert!(t.tcp.is_free(&flow));
    }
}
