//! SYN-RECEIVED (RFC 9293, section 3.10.7.4) of a connection that the peer opens.
//!
//! Until the peer acknowledges our SYN, a connection is an entry of the half-open table and nothing else: a SYN costs its sender nothing, so it must
//! cost little here. The connection itself is made by the ACK that completes the handshake.

use std::sync::Arc;

use super::Tcp;
use super::connection::{Connection, Context, WheelEntry};
use super::ecn::{Mode, contradict};
use super::half_open::{Due, HalfOpen};
use super::segment::Segment;
use super::state::State;
use super::stateless::count_cookie_accepted;
use crate::api::{Overflow, TcpStream};
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::net::Net;
use crate::socket::{Birth, ListenerShared, NoPlace};
use crate::time::Instant;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::{TcpOptions, Timestamps};

impl Tcp {
    /// Section 3.10.7.4 for SYN-RECEIVED, as far as there is no connection yet.
    pub(super) fn arrive_half_open(
        &mut self,
        net: &mut Net,
        flow: FlowKey4,
        entry: &HalfOpen,
        segment: Segment,
    ) -> Result<(), Drop> {
        let expected = entry.irs + 1;
        let bare_syn =
            segment.has(Flags::SYN) && !segment.flags.intersects(Flags::ACK | Flags::RST);
        if bare_syn && segment.seq == entry.irs {
            return Err(self.answer_syn_again(net, &flow, entry, &segment));
        }
        self.check_half_open_sequence(net, &flow, entry, &segment)?;
        if segment.has(Flags::RST) {
            if segment.seq != expected {
                self.acknowledge_half_open(net, &flow, entry);
                return Err(Drop::TcpResetUnacceptable);
            }
            self.half_open.remove(&flow);
            net.metrics.count(Counter::TcpAttemptFails);
            return Ok(());
        }
        if segment.has(Flags::SYN) {
            // The peer begins anew; so does the listener, with its next SYN.
            self.half_open.remove(&flow);
            net.metrics.count(Counter::TcpAttemptFails);
            return Err(Drop::TcpSynUnexpected);
        }
        if !segment.has(Flags::ACK) {
            return Err(Drop::TcpNoAck);
        }
        if segment.ack != entry.iss + 1 {
            self.reset_stranger(net, &flow, &segment);
            return Err(Drop::TcpAckUnacceptable);
        }
        if self.defers(&flow, entry, &segment) {
            self.half_open.defer(&flow);
            return Err(Drop::TcpAcceptDeferred);
        }
        self.complete_half_open(net, flow, entry, segment)
    }

    /// Our SYN-ACK was lost, or is late. The last SYN is the one that counts, but two that ask for different feedback leave nobody sure which was agreed on: the connection
    /// MUST be reset (RFC 9768, section 3.1.5).
    fn answer_syn_again(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        entry: &HalfOpen,
        syn: &Segment,
    ) -> Drop {
        let asked = Mode::asked_by(syn.flags, self.config.ecn);
        if contradict(entry.mode(), asked) {
            self.half_open.remove(flow);
            net.metrics.count(Counter::TcpAttemptFails);
            self.reset_stranger(net, flow, syn);
            return Drop::TcpSynUnexpected;
        }
        let entry = self.half_open.note_syn(flow, syn.ecn, asked).unwrap_or(*entry);
        self.send_syn_ack(net, flow, &entry);
        Drop::TcpDuplicate
    }

    /// Whether the listener waits for a segment that brings something. Once the time for that is over our SYN-ACK is sent again, and
    /// any answer will do.
    fn defers(&mut self, flow: &FlowKey4, entry: &HalfOpen, segment: &Segment) -> bool {
        let brings = segment.payload_len() > 0 || segment.has(Flags::FIN);
        !brings && entry.rounds() < self.deferred_rounds(flow)
    }

    fn deferred_rounds(&mut self, flow: &FlowKey4) -> u8 {
        let listener = self.listeners.find(flow);
        let span = listener.and_then(|listener| listener.shared().options().defer_accept);
        span.map_or(0, |span| self.half_open.rounds_within(span))
    }

    /// The first step, with PAWS.
    fn check_half_open_sequence(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        entry: &HalfOpen,
        segment: &Segment,
    ) -> Result<(), Drop> {
        let (expected, window) = (entry.irs + 1, self.first_window(flow));
        let reset = segment.has(Flags::RST);
        let theirs = segment.timestamps().filter(|_| entry.offers.timestamps());
        if entry.offers.timestamps() && theirs.is_none() && !reset && !segment.has(Flags::SYN) {
            // A connection would drop it too, and then has nothing to complete its handshake with.
            return Err(Drop::TcpTimestampMissing);
        }
        let old = theirs
            .is_some_and(|theirs| theirs.value.wrapping_sub(entry.ts_recent).cast_signed() < 0);
        let within = segment.seq.is_within(expected, window);
        let wrong = match () {
            () if old && !reset => Drop::TcpPaws,
            () if !within => Drop::TcpUnacceptable,
            () => return Ok(()),
        };
        if !reset {
            self.acknowledge_half_open(net, flow, entry);
        }
        Err(wrong)
    }

    /// The handshake is complete. The place in the backlog comes first: without one the ACK is as good as lost, and comes
    /// again when our SYN-ACK is sent again.
    pub(super) fn complete_half_open(
        &mut self,
        net: &mut Net,
        flow: FlowKey4,
        entry: &HalfOpen,
        segment: Segment,
    ) -> Result<(), Drop> {
        let auth = self.half_open_auth(&flow, entry)?;
        let shared = self.reserve_place(net, &flow, &segment)?;
        let numbers = (entry.iss, self.isn.timestamp_offset(&flow));
        let birth = Birth::Queue(shared.clone());
        let created = self.create(net, flow, (birth, State::SynReceived), numbers);
        let Ok((id, child)) = created else {
            shared.release();
            return Err(Drop::TcpConnectionLimit);
        };
        let sent_at = self.half_open.sent_at(&flow);
        if self.half_open.remove(&flow).is_none() {
            count_cookie_accepted(net);
        }
        let window = self.first_window(&flow);
        let arrived = self.with_connection(net, id, |connection, cx| {
            connection.begin_auth(auth);
            connection.take_half_open(cx, entry, window);
            connection.sent_at = sent_at.unwrap_or(Instant::FAR_FUTURE);
            connection.arrive(cx, segment)
        });
        self.queue_child(net, &flow, child);
        arrived.unwrap_or(Ok(()))
    }

    /// A connection that a place was reserved for waits to be accepted.
    pub(super) fn queue_child(&mut self, net: &mut Net, flow: &FlowKey4, child: TcpStream) {
        if let Some(listener) = self.listeners.find(flow)
            && listener.push(child, &mut net.readies).is_err()
        {
            net.metrics.count(Counter::AcceptDeferrals);
            self.listeners.note_stashed();
        }
    }

    /// A place in the backlog of whoever listens. Without one the ACK is as good as lost, unless the listener wants the peer
    /// to know.
    fn reserve_place(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        segment: &Segment,
    ) -> Result<Arc<ListenerShared>, Drop> {
        let Some(listener) = self.listeners.find(flow) else {
            self.half_open.remove(flow);
            self.reset_stranger(net, flow, segment);
            return Err(Drop::TcpNoSocket);
        };
        self.memory.admit_connection()?;
        let why = match listener.shared().reserve() {
            Ok(()) => return Ok(listener.shared().clone()),
            Err(NoPlace::BacklogFull) => Drop::TcpListenOverflow,
            Err(NoPlace::TooManyChildren) => Drop::TcpListenerLimit,
        };
        if listener.shared().options().overflow == Overflow::Reset {
            self.half_open.remove(flow);
            self.reset_stranger(net, flow, segment);
        }
        Err(why)
    }

    /// SYN-ACKs were not answered in time.
    pub(super) fn half_open_due(&mut self, net: &mut Net) {
        self.half_open_timer = WheelEntry::NONE;
        while let Some(due) = self.half_open.pop_due(net.now) {
            match due {
                Due::Resend(flow, entry)
                    if entry.offers.deferred() && entry.rounds() < self.deferred_rounds(&flow) => {}
                Due::Resend(flow, entry) if self.listeners.find(&flow).is_some() => {
                    net.metrics.count(Counter::TcpRetransSegs);
                    self.send_syn_ack(net, &flow, &entry);
                }
                Due::Resend(flow, _) => {
                    self.half_open.remove(&flow);
                    net.metrics.count(Counter::TcpAttemptFails);
                }
                Due::GivenUp(..) => net.metrics.count(Counter::TcpAttemptFails),
            }
        }
        self.arm_half_open(net);
    }

    pub(super) fn arm_half_open(&mut self, net: &mut Net) {
        let at = self.half_open.next_deadline().unwrap_or(Instant::FAR_FUTURE);
        self.half_open_timer.arm(net, at, super::Timer::HalfOpen);
    }
}

impl Connection {
    /// Goes on from where the half-open table has come to: both SYNs are sent.
    pub(super) fn take_half_open(&mut self, cx: &Context<'_>, entry: &HalfOpen, window: u32) {
        self.snd.nxt = entry.iss + 1;
        self.rcv.irs = entry.irs;
        self.rcv.nxt = entry.irs + 1;
        self.rcv.acked = self.rcv.nxt;
        self.rcv.edge = self.rcv.nxt + window;
        self.retries = entry.sent_again();
        self.agree_on_ecn_as(entry);
        let timestamps = Timestamps { value: entry.ts_recent, echo: 0 };
        let options = TcpOptions {
            max_segment_size: Some(entry.mss).filter(|&size| size > 0),
            window_scale: entry.offers.window_scale(),
            timestamps: entry.offers.timestamps().then_some(timestamps),
            sack_permitted: entry.offers.sack(),
            ..TcpOptions::default()
        };
        self.agree_on(cx, &options);
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::api::ListenOptions;
    use crate::api::TcpListener;
    use crate::protocol::Order;
    use crate::tcp::congestion::Handshake;
    use crate::tcp::harness::{Harness, OUR_PORT, US};
    use crate::tcp::{EcnPolicy, TcpConfig};

    #[test]
    fn a_peer_connects_and_talks() {
        let mut t = Harness::accepted();
        assert_eq!(t.state(), Some(State::Established));
        t.input("PA 1+10 ack 1").unwrap();
        assert_eq!(t.read(100).unwrap(), 10);
        t.write(20);
        assert_eq!(t.sent(), ["PA 1+20 ack 11"]);
    }

    #[test]
    fn the_ack_of_the_handshake_may_carry_everything() {
        let mut t = Harness::listening(&Harness::plain(), 1);
        t.input("S 0 mss 1000").unwrap();
        t.sent();
        t.input("FPA 1+100 ack 1").unwrap();
        assert!(t.accept());
        assert_eq!(t.state(), Some(State::CloseWait));
        assert_eq!(t.read(1000).unwrap(), 100);
        assert_eq!(t.read(1000).unwrap(), 0);
        assert_eq!(t.sent(), ["A 1 ack 102"]);
    }

    #[test]
    fn a_syn_ack_is_sent_again_and_then_forgotten() {
        let config = TcpConfig { syn_ack_retries: 2, ..Harness::plain() };
        let mut t = Harness::listening(&config, 1);
        t.input("S 0").unwrap();
        assert_eq!(t.sent(), ["SA 0 ack 1"]);
        for at in [1000, 3000] {
            t.at(at);
            assert_eq!(t.sent(), ["SA 0 ack 1"], "at {at}");
        }
        t.at(7000);
        assert_eq!(t.sent(), [""; 0]);
        assert_eq!(t.tcp.half_open.len(), 0);
        assert_eq!(t.count(Counter::TcpAttemptFails), 1);
    }

    /// A listener that waits five seconds for what a peer sends first.
    fn deferring(config: &TcpConfig) -> Harness {
        let defer_accept = Some(Duration::from_secs(5));
        let options = ListenOptions { defer_accept, ..ListenOptions::default() };
        let listener = ListenerShared::new((US, OUR_PORT).into(), options, 1);
        let mut t = Harness::new(config);
        t.tcp.listen(&t.net, listener.clone()).unwrap();
        t.listener = Some(listener);
        t
    }

    /// A peer that answers the SYN-ACK after 10 ms, and sends something at `data_ms`.
    fn deferred(config: &TcpConfig, (syn, ack): (&str, &str), data_ms: u64) -> Harness {
        let mut t = deferring(config);
        t.input(&format!("{syn} 0 mss 1000")).unwrap();
        t.sent();
        assert_eq!(t.at(10).input(&format!("{ack} 1 ack 1")), Err(Drop::TcpAcceptDeferred));
        t.at(data_ms);
        assert_eq!(t.sent(), [""; 0], "it is not asked again");
        t.input("PAEN 1+10 ack 1").unwrap();
        assert!(t.accept());
        t
    }

    #[test]
    fn how_long_a_deferred_peer_thinks_is_no_sign_of_its_path() {
        for data_ms in [800, 2000, 5000] {
            let mut t = deferred(&Harness::plain(), ("S", "A"), data_ms);
            t.connection(|c| {
                assert_eq!(c.handshake, Handshake::Smooth, "{data_ms}");
                assert_eq!(c.rtt.srtt(), None, "{data_ms}");
                assert_eq!(Duration::from(c.rtt.rto()), Duration::from_secs(1), "{data_ms}");
            });
        }
        let config = TcpConfig { ecn: EcnPolicy::WhenAsked, ..Harness::plain() };
        let mut t = deferred(&config, ("SEWN", "AW"), 5000);
        t.write(1000);
        assert_eq!(t.emitted().pop().unwrap().tos, 2, "nor of one that drops what asks for ECN");
    }

    #[test]
    fn a_syn_ack_that_was_lost_before_is_one() {
        let mut t = deferring(&Harness::plain());
        t.input("S 0 mss 1000").unwrap();
        t.at(3000);
        assert_eq!(t.sent(), ["SA 0 ack 1"; 3]);
        t.input("A 1 ack 1").unwrap_err();
        t.at(4000).input("PA 1+10 ack 1").unwrap();
        assert!(t.accept());
        assert_eq!(t.connection(|c| c.handshake), Handshake::Lossy);
    }

    #[test]
    fn a_syn_that_comes_again_is_answered_again() {
        let mut t = Harness::listening(&Harness::plain(), 1);
        t.input("S 0").unwrap();
        t.at(500).input("S 0").unwrap_err();
        assert_eq!(t.sent(), ["SA 0 ack 1", "SA 0 ack 1"]);
        t.at(510).input("A 1 ack 1").unwrap();
        assert!(t.accept());
        let measured = t.connection(|c| (c.rtt.srtt(), c.rtt.rto().into()));
        assert_eq!(measured, (None, Duration::from_secs(1)), "which of the two was answered?");
    }

    #[test]
    fn the_backlog_is_exact_and_a_full_one_keeps_peers_waiting() {
        let mut t = Harness::listening(&Harness::plain(), 2);
        for port in 1..=3 {
            t.peer_port = port;
            t.input("S 0").unwrap();
            t.sent();
            let done = t.input("A 1 ack 1");
            assert_eq!(done.err(), (port == 3).then_some(Drop::TcpListenOverflow));
        }
        assert_eq!((t.tcp.half_open.len(), t.tcp.connections.len()), (1, 2));
        assert!(t.accept());
        t.at(1000);
        assert_eq!(t.sent(), ["SA 0 ack 1"]);
        t.input("A 1 ack 1").unwrap();
        assert_eq!((t.tcp.half_open.len(), t.tcp.connections.len()), (0, 3));
    }

    #[test]
    fn a_connection_that_was_reset_while_it_waited_is_passed_over_and_counted() {
        let mut t = Harness::listening(&Harness::plain(), 2);
        for (port, then) in [(1, "R 1"), (2, "PA 1+10 ack 1")] {
            t.peer_port = port;
            t.input("S 0").unwrap();
            t.sent();
            t.input("A 1 ack 1").unwrap();
            t.input(then).unwrap();
        }
        let listener = TcpListener::new(t.listener.clone().unwrap(), vec![t.core.clone()]);
        assert_eq!(listener.accept().unwrap().1.port(), 2);
        let orders = std::iter::from_fn(|| t.core.pop_order());
        let skipped = orders.filter(|order| matches!(order, Order::CountSkipped));
        assert_eq!(skipped.count(), 1);
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    /// RFC 7323, section 2.2: shifted where both sides offer it, but never on a SYN.
    #[test]
    fn a_challenge_before_the_handshake_is_done_offers_a_shifted_window() {
        for (syn, window) in [("S 0", 16_384), ("S 0 wscale 0", 16_384 >> 5)] {
            let config = TcpConfig {
                window_scaling: true,
                receive_buffer: 16_384,
                receive_buffer_max: 1 << 20,
                ..Harness::plain()
            };
            let mut t = Harness::listening(&config, 1);
            t.input(syn).unwrap();
            assert_eq!(t.last().window, 16_384);
            t.input("A 70000 ack 1").unwrap_err();
            let answer = t.last();
            assert_eq!((answer.text.as_str(), answer.window), ("A 1 ack 1", window), "{syn}");
        }
    }

    #[test]
    fn in_syn_received_only_the_exact_ack_counts() {
        for (segment, want, answer) in [
            ("A 1 ack 0", Drop::TcpAckUnacceptable, vec!["R 0"]),
            ("A 1 ack 2", Drop::TcpAckUnacceptable, vec!["R 2"]),
            ("A 70000 ack 1", Drop::TcpUnacceptable, vec!["A 1 ack 1"]),
            ("R 70000", Drop::TcpUnacceptable, vec![]),
            ("R 2", Drop::TcpResetUnacceptable, vec!["A 1 ack 1"]),
            ("RS 0", Drop::TcpUnacceptable, vec![]),
            ("SA 0 ack 1", Drop::TcpUnacceptable, vec!["A 1 ack 1"]),
            ("P 1+5", Drop::TcpNoAck, vec![]),
        ] {
            let mut t = Harness::listening(&Harness::plain(), 1);
            t.input("S 0").unwrap();
            t.sent();
            assert_eq!(t.input(segment), Err(want), "{segment}");
            assert_eq!(t.sent(), answer, "{segment}");
            t.input("A 1 ack 1").unwrap();
            assert!(t.accept(), "{segment}");
        }
    }

    /// A connection made of it would take nothing of what its peer sends, and no timer would end it.
    #[test]
    fn an_ack_without_the_agreed_timestamps_completes_nothing() {
        let mut t = Harness::listening(&TcpConfig::default(), 1);
        t.input("S 0 mss 1000 ts 7:0").unwrap();
        t.sent();
        assert_eq!(t.input("A 1 ack 1"), Err(Drop::TcpTimestampMissing));
        assert_eq!(t.sent(), [""; 0]);
        assert_eq!((t.tcp.half_open.len(), t.tcp.connections.len()), (1, 0));
        t.input("A 1 ack 1 ts 8:0").unwrap();
        assert!(t.accept());
        assert_eq!(t.state(), Some(State::Established));
    }

    #[test]
    fn a_reset_or_a_new_syn_ends_a_handshake() {
        for (syn, segment) in [("S 0", "R 1"), ("S 0", "S 5"), ("S 0 ts 7:0", "S 5")] {
            let mut t = Harness::listening(&TcpConfig::default(), 1);
            t.input(syn).unwrap();
            let _dropped = t.input(segment);
            assert_eq!(t.tcp.half_open.len(), 0, "{segment}");
            t.sent();
            t.input("A 1 ack 1").unwrap_err();
            assert_eq!(t.sent(), ["R 1"], "{segment}");
        }
    }

    #[test]
    fn a_listener_that_closes_forgets_handshakes() {
        let mut t = Harness::listening(&Harness::plain(), 1);
        t.input("S 0").unwrap();
        t.sent();
        let listener = t.listener.take().unwrap();
        t.tcp.unlisten(&mut t.net.readies, &listener);
        assert_eq!(t.input("A 1 ack 1"), Err(Drop::TcpNoSocket));
        assert_eq!(t.sent(), ["R 1"]);
        assert_eq!(t.tcp.half_open.len(), 0);
    }
}
