//! TIME-WAIT (RFC 9293, section 3.10.7.4): what is left of a connection while old segments of it may be on their way.

use super::Tcp;
use super::auth::Signer;
use super::connection::WheelEntry;
use super::emit::{NO_PAYLOAD, send_segment};
use super::isn::timestamp;
use super::segment::Segment;
use super::time_wait::TimeWait;
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::ip::Ecn;
use crate::net::Net;
use crate::socket::SocketId;
use crate::time::Instant;
use crate::wire::tcp::{Flags, TcpHeader};
use crate::wire::tcp_options::{TcpOptions, Timestamps};

impl Tcp {
    /// The connection is over on both sides.
    pub(super) fn wait_out(&mut self, net: &mut Net, id: SocketId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let entry = TimeWait {
            snd_nxt: connection.snd.nxt,
            rcv_nxt: connection.rcv.nxt,
            timestamp: connection.timestamps.enabled.then_some(connection.timestamps.recent),
            window: connection.window_field(connection.rcv.edge, Flags::ACK),
            ace: connection.ace(),
        };
        if let Some(recycled) = self.time_wait.insert(net.now, connection.flow, entry) {
            self.late_auths.remove(&recycled);
            net.metrics.count(Counter::TcpTimeWaitRecycled);
        }
        let numbers = connection.numbers();
        if let Some(auth) = connection.rare.take_auth() {
            self.late_auths.insert(connection.flow, auth, numbers);
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
        let clock = segment.timestamps().filter(|_| self.config.timestamps);
        let clock = clock.map(|theirs| theirs.value);
        if entry.is_reopened_by(segment, clock) {
            // Its numbers lie beyond all that the old connection used (RFC 1122, section 4.2.2.13).
            let at_least = Some(entry.snd_nxt + REOPEN_GAP);
            if let Some(begun) = self.arrive_in_listen(net, flow, segment, at_least) {
                begun?;
                self.time_wait.remove(flow);
                self.late_auths.remove(flow);
                return Ok(());
            }
        }
        let fin =
            segment.has(Flags::FIN) && !segment.has(Flags::SYN) && segment.end() == entry.rcv_nxt;
        let entry = if fin { entry.at_clock(clock) } else { entry };
        if fin {
            // Our last ACK was lost: the wait begins again.
            self.time_wait.restart(net.now, flow, entry);
        }
        if fin || self.challenges.admit(net).is_some() {
            self.acknowledge_time_wait(net, flow, &entry);
        }
        Err(Drop::TcpUnacceptable)
    }

    pub(super) fn time_wait_due(&mut self, net: &mut Net) {
        self.time_wait_timer = WheelEntry::NONE;
        while let Some(flow) = self.time_wait.pop_expired(net.now) {
            self.late_auths.remove(&flow);
        }
        self.arm_time_wait(net);
    }

    fn arm_time_wait(&mut self, net: &mut Net) {
        let at = self.time_wait.next_expiry().unwrap_or(Instant::FAR_FUTURE);
        self.time_wait_timer.arm(net, at, super::Timer::TimeWait);
    }

    fn acknowledge_time_wait(&self, net: &mut Net, flow: &FlowKey4, entry: &TimeWait) {
        let signer = self.late_auths.signer(flow, entry.snd_nxt);
        let offset = self.isn.timestamp_offset(flow);
        let timestamps =
            entry.timestamp.map(|echo| Timestamps { value: timestamp(net.now, offset), echo });
        let header = TcpHeader {
            source_port: flow.local_port,
            destination_port: flow.remote_port,
            seq: entry.snd_nxt,
            ack: entry.rcv_nxt,
            flags: Flags::ACK | entry.ace,
            window: entry.window,
            urgent_pointer: 0,
            options: TcpOptions {
                timestamps,
                auth: signer.map(Signer::kind),
                ..TcpOptions::default()
            },
        };
        if send_segment(net, (flow, signer), &header, Ecn::NotCapable, NO_PAYLOAD).is_ok() {
            net.metrics.count(Counter::TcpOutSegs);
        }
    }
}

impl TimeWait {
    /// Whether a segment begins the next connection of this flow: a SYN that cannot be an old one (RFC 6191, section 2).
    ///
    /// The peer's clock decides where both connections have one; where only the new one has, what is left of the old one is told by
    /// having none. Otherwise its number decides (RFC 9293, section 3.10.7.4). Other SYNs are answered with where we are, where
    /// RFC 6191 has them dropped: RFC 5961 wants it so in every state, and a peer that has restarted learns why it is not heard.
    fn is_reopened_by(&self, segment: &Segment, clock: Option<u32>) -> bool {
        if !segment.has(Flags::SYN) || segment.has(Flags::ACK) {
            return false;
        }
        // Strictly, as Linux and the BSDs have it, though one less would do.
        let beyond = segment.seq.follows(self.rcv_nxt);
        match (self.timestamp, clock) {
            (Some(recent), Some(clock)) if clock != recent => is_later(clock, recent),
            (None, Some(_)) => true,
            _ => beyond,
        }
    }

    /// The same, with the peer's clock as it was seen last.
    fn at_clock(self, clock: Option<u32>) -> Self {
        let recent = self.timestamp;
        let newer = clock.filter(|&clock| recent.is_some_and(|recent| is_later(clock, recent)));
        Self { timestamp: newer.or(recent), ..self }
    }
}

/// Whether one reading of a peer's clock comes after another.
fn is_later(clock: u32, than: u32) -> bool {
    clock.wrapping_sub(than).cast_signed() > 0
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

    /// Section 2 of RFC 6191, case by case. The old connection has ended with the number 2 and, if it had a clock, at 500.
    #[test]
    fn a_syn_begins_anew_where_rfc_6191_lets_it() {
        let off = TcpConfig { timestamps: false, ..TcpConfig::default() };
        for (config, before, syn, reopens) in [
            // Both have a clock: it decides, and where it stands still, the number.
            (TcpConfig::default(), "ts 500:0", "S -1000 ts 501:0", true),
            (TcpConfig::default(), "ts 500:0", "S 100 ts 499:0", false),
            (TcpConfig::default(), "ts 500:0", "S 100 ts 500:0", true),
            (TcpConfig::default(), "ts 500:0", "S 2 ts 500:0", false),
            (TcpConfig::default(), "ts 500:0", "S -1000 ts 500:0", false),
            (TcpConfig::default(), "ts 4294967295:0", "S -1000 ts 0:0", true),
            // The new one has none: its number decides.
            (TcpConfig::default(), "ts 500:0", "S 100", true),
            (TcpConfig::default(), "ts 500:0", "S -1000", false),
            // The old one had none: its segments will be told by that.
            (TcpConfig::default(), "", "S -1000 ts 1:0", true),
            (TcpConfig::default(), "", "S 100", true),
            (TcpConfig::default(), "", "S 2", false),
            (TcpConfig::default(), "", "S -1000", false),
            // We take none: what the peer's says will not be in use.
            (off.clone(), "ts 500:0", "S -1000 ts 501:0", false),
            (off.clone(), "ts 500:0", "S 100 ts 499:0", true),
        ] {
            let mut t = waiting(&config, before);
            let before = t.our_iss();
            assert_eq!(t.input(syn).is_ok(), reopens, "{syn} after {before:?}");
            let answer = t.sent();
            if reopens {
                assert!(answer[0].starts_with("SA 0 ack"), "{syn}: {answer:?}");
                assert!(t.our_iss().follows(before + 2), "{syn}: beyond all that was used");
            } else {
                assert_eq!(answer, ["A 2 ack 2"], "{syn}");
            }
            assert_eq!(t.tcp.half_open.len(), usize::from(reopens), "{syn}");
            assert_eq!(t.tcp.time_wait.len(), usize::from(!reopens), "{syn}");
        }
    }

    #[test]
    fn a_repeated_fin_moves_the_clock_on() {
        let mut t = waiting(&TcpConfig::default(), "ts 500:0");
        t.input("FA 1 ack 2 ts 600:0").unwrap_err();
        assert_eq!(t.last().options.timestamps.unwrap().echo, 600);
        t.input("FA 1 ack 2 ts 550:0").unwrap_err();
        assert_eq!(t.last().options.timestamps.unwrap().echo, 600);
        t.input("S 100 ts 550:0").unwrap_err();
        t.input("S -100 ts 601:0").unwrap();
    }

    #[test]
    fn without_a_listener_a_syn_is_answered_and_begins_nothing() {
        let mut t = Harness::connected();
        t.close();
        t.input("FA 1 ack 2").unwrap();
        t.sent();
        t.input("S 100").unwrap_err();
        assert_eq!((t.sent(), t.tcp.time_wait.len()), (vec!["A 2 ack 2".to_owned()], 1));
    }

    #[test]
    fn at_the_limit_the_oldest_ends_early_and_is_counted() {
        let config = TcpConfig { max_time_wait: 2, ..Harness::plain() };
        let mut t = Harness::listening(&config, 8);
        for port in 1..=5 {
            t.peer_port = port;
            t.input("S 0").unwrap();
            t.sent();
            t.input("A 1 ack 1").unwrap();
            assert!(t.accept());
            t.close();
            t.input("FA 1 ack 2").unwrap();
            t.sent();
        }
        assert_eq!((t.tcp.time_wait.len(), t.count(Counter::TcpTimeWaitRecycled)), (2, 3));
        for (port, answer) in [(3, "R 2"), (4, "A 2 ack 2"), (5, "A 2 ack 2")] {
            t.peer_port = port;
            t.input("FA 1 ack 2").unwrap_err();
            assert_eq!(t.sent(), [answer], "port {port}");
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
