//! OPEN, passively: LISTEN (RFC 9293, section 3.10.7.2), and SYN-RECEIVED until the peer acknowledges our SYN.
//!
//! Until then a connection is an entry of the half-open table and nothing else: a SYN costs its sender nothing, so it must
//! cost little here. The connection itself is made by the ACK that completes the handshake.

use std::sync::Arc;

use super::Tcp;
use super::connection::{Connection, Context, WheelEntry};
use super::ecn;
use super::emit::{NO_PAYLOAD, max_segment_size, send_segment};
use super::half_open::{Due, HalfOpen, NoRoom, Offers};
use super::isn::timestamp;
use super::reset::reset_segment;
use super::segment::Segment;
use super::seq::Seq;
use super::state::State;
use super::stateless::count_cookie_accepted;
use crate::api::Overflow;
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::ip::Ecn;
use crate::net::Net;
use crate::socket::{Birth, ListenerShared, NoPlace};
use crate::time::Instant;
use crate::wire::tcp::{Flags, TcpHeader};
use crate::wire::tcp_options::{TcpOptions, Timestamps};

impl Tcp {
    /// Section 3.10.7.2: a segment for a listener. `None` if nobody listens: the segment is not looked at then.
    pub(super) fn arrive_in_listen(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        segment: &Segment,
        at_least: Option<Seq>,
    ) -> Option<Result<(), Drop>> {
        self.listeners.find(flow)?;
        if segment.has(Flags::RST) {
            return Some(Err(Drop::TcpResetUnacceptable));
        }
        if segment.has(Flags::ACK) {
            reset_segment(net, flow, segment);
            return Some(Err(Drop::TcpAckUnacceptable));
        }
        if !segment.has(Flags::SYN) || segment.has(Flags::FIN) {
            return Some(Err(Drop::TcpFlags));
        }
        Some(self.begin_handshake(net, flow, segment, at_least))
    }

    /// A SYN for a listener: answered, remembered, and no more. Data on it comes again.
    fn begin_handshake(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        syn: &Segment,
        at_least: Option<Seq>,
    ) -> Result<(), Drop> {
        self.memory.admit_connection()?;
        let iss = self.isn.first(flow, net.now);
        let options = &syn.options;
        let timestamps = options.timestamps.filter(|_| self.config.timestamps);
        let window_scale = options.window_scale.filter(|_| self.config.window_scaling);
        let sack = options.sack_permitted && self.config.sack;
        let offers = Offers::new(window_scale, timestamps.is_some(), sack);
        let ecn = self.config.ecn && ecn::asks(syn.flags);
        let entry = HalfOpen {
            irs: syn.seq,
            iss: at_least.map_or(iss, |least| iss.later(least)),
            ts_recent: timestamps.map_or(0, |timestamps| timestamps.value),
            mss: options.max_segment_size.unwrap_or(0),
            offers: if ecn { offers.with_ecn() } else { offers },
            resent: 0,
        };
        if at_least.is_none() && self.answers_with_cookie(flow) {
            return self.send_cookie(net, flow, entry);
        }
        self.half_open.insert(net.now, *flow, entry)?;
        net.metrics.count(Counter::TcpPassiveOpens);
        self.arm_half_open(net);
        self.send_syn_ack(net, flow, &entry);
        Ok(())
    }

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
            // Our answer was lost, or is late.
            self.send_syn_ack(net, &flow, entry);
            return Err(Drop::TcpDuplicate);
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
            reset_segment(net, &flow, &segment);
            return Err(Drop::TcpAckUnacceptable);
        }
        self.complete_half_open(net, flow, entry, segment)
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
            connection.take_half_open(cx, entry, window);
            connection.sent_at = sent_at.unwrap_or(Instant::FAR_FUTURE);
            connection.arrive(cx, segment)
        });
        if let Some(listener) = self.listeners.find(&flow)
            && listener.push(child, &mut net.readies).is_err()
        {
            net.metrics.count(Counter::AcceptDeferrals);
            self.listeners.note_stashed();
        }
        arrived.unwrap_or(Ok(()))
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
            reset_segment(net, flow, segment);
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
            reset_segment(net, flow, segment);
        }
        Err(why)
    }

    /// SYN-ACKs were not answered in time.
    pub(super) fn half_open_due(&mut self, net: &mut Net) {
        self.half_open_timer = WheelEntry::NONE;
        while let Some(due) = self.half_open.pop_due(net.now) {
            match due {
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

    fn arm_half_open(&mut self, net: &mut Net) {
        let at = self.half_open.next_deadline().unwrap_or(Instant::FAR_FUTURE);
        self.half_open_timer.arm(net, at, super::Timer::HalfOpen);
    }

    /// The window that our SYN-ACK offers: not scaled, and no more than the connection will buffer.
    pub(super) fn first_window(&mut self, flow: &FlowKey4) -> u32 {
        let listener = self.listeners.find(flow);
        let wanted = listener.and_then(|listener| listener.shared().options().receive_buffer);
        let buffer = wanted.unwrap_or(self.config.receive_buffer);
        u32::try_from(buffer).unwrap_or(u32::MAX).min(u16::MAX.into())
    }

    fn send_syn_ack(&mut self, net: &mut Net, flow: &FlowKey4, entry: &HalfOpen) {
        let clock = self.clock_of(net, flow);
        self.send_syn_ack_at(net, flow, entry, clock);
    }

    /// What our timestamps to this peer say now.
    pub(super) fn clock_of(&self, net: &Net, flow: &FlowKey4) -> u32 {
        timestamp(net.now, self.isn.timestamp_offset(flow))
    }

    pub(super) fn send_syn_ack_at(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        entry: &HalfOpen,
        clock: u32,
    ) {
        let options = TcpOptions {
            max_segment_size: Some(max_segment_size(net)),
            window_scale: entry.offers.window_scale().map(|_| self.config.window_shift()),
            sack_permitted: entry.offers.sack(),
            ..TcpOptions::default()
        };
        let ecn = if entry.offers.ecn() { ecn::AGREES } else { Flags::NONE };
        let segment = (entry.iss, Flags::SYN | Flags::ACK | ecn, options);
        self.send_half_open(net, flow, entry, segment, clock);
    }

    /// Tells the peer where we are.
    fn acknowledge_half_open(&mut self, net: &mut Net, flow: &FlowKey4, entry: &HalfOpen) {
        if self.challenges.admit(net).is_none() {
            return;
        }
        let segment = (entry.iss + 1, Flags::ACK, TcpOptions::default());
        let clock = self.clock_of(net, flow);
        self.send_half_open(net, flow, entry, segment, clock);
    }

    /// Without a frame to be had it is as good as lost on the way.
    fn send_half_open(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        entry: &HalfOpen,
        (seq, flags, options): (Seq, Flags, TcpOptions),
        clock: u32,
    ) {
        let timestamps =
            entry.offers.timestamps().then_some(Timestamps { value: clock, echo: entry.ts_recent });
        let header = TcpHeader {
            source_port: flow.local_port,
            destination_port: flow.remote_port,
            seq,
            ack: entry.irs + 1,
            flags,
            window: u16::try_from(self.first_window(flow)).unwrap_or(u16::MAX),
            urgent_pointer: 0,
            options: TcpOptions { timestamps, ..options },
        };
        if send_segment(net, flow, &header, Ecn::NotCapable, NO_PAYLOAD).is_ok() {
            net.metrics.count(Counter::TcpOutSegs);
        }
    }
}

impl From<NoRoom> for Drop {
    fn from(full: NoRoom) -> Self {
        match full {
            NoRoom::OnCore => Self::TcpHalfOpenLimit,
            NoRoom::ForListener => Self::TcpHalfOpenListener,
            NoRoom::ForSource => Self::TcpHalfOpenSource,
        }
    }
}

impl Connection {
    /// Goes on from where the half-open table has come to: both SYNs are sent.
    fn take_half_open(&mut self, cx: &Context<'_>, entry: &HalfOpen, window: u32) {
        self.snd.nxt = entry.iss + 1;
        self.rcv.irs = entry.irs;
        self.rcv.nxt = entry.irs + 1;
        self.rcv.acked = self.rcv.nxt;
        self.rcv.edge = self.rcv.nxt + window;
        self.retries = entry.resent;
        self.ecn.enabled = entry.offers.ecn();
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
    use std::net::Ipv4Addr;

    use super::*;
    use crate::api::ListenOptions;
    use crate::api::TcpListener;
    use crate::protocol::Order;
    use crate::tcp::harness::{Harness, OUR_PORT, US};
    use crate::tcp::listeners::ListenError;
    use crate::tcp::{CookiePolicy, TcpConfig};

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
    fn the_syn_ack_answers_the_options_of_the_syn() {
        for (syn, scale, echo) in [
            ("S 0 mss 1000", None, None),
            ("S 0 mss 1000 wscale 9", Some(5), None),
            ("S 0 mss 1000 ts 7:0", None, Some(7)),
            ("S 0 mss 1000 wscale 0 ts 8:0", Some(5), Some(8)),
        ] {
            let mut t = Harness::listening(&TcpConfig::default(), 1);
            t.input(syn).unwrap();
            let options = t.last().options;
            assert_eq!(options.max_segment_size, Some(1460));
            assert_eq!(options.window_scale, scale, "{syn}");
            assert_eq!(options.timestamps.map(|ts| ts.echo), echo, "{syn}");
        }
    }

    #[test]
    fn a_syn_ack_offers_what_the_listeners_connections_buffer() {
        let mut t = Harness::new(&Harness::plain());
        let options = ListenOptions { receive_buffer: Some(1000), ..ListenOptions::default() };
        let listener = ListenerShared::new((US, OUR_PORT).into(), options, 1);
        t.tcp.listen(&t.net, listener).unwrap();
        t.input("S 0 mss 1000").unwrap();
        assert_eq!(t.last().window, 1000);
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

    #[test]
    fn a_syn_that_comes_again_is_answered_again() {
        let mut t = Harness::listening(&Harness::plain(), 1);
        t.input("S 0").unwrap();
        t.input("S 0").unwrap_err();
        assert_eq!(t.sent(), ["SA 0 ack 1", "SA 0 ack 1"]);
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

    #[test]
    fn half_open_connections_are_bounded() {
        let config =
            TcpConfig { max_half_open: 2, syn_cookies: CookiePolicy::Off, ..Harness::plain() };
        let mut t = Harness::listening(&config, 8);
        for port in 1..=1000 {
            t.peer_port = port;
            let answer = t.input("S 0");
            assert_eq!(answer.err(), (port > 2).then_some(Drop::TcpHalfOpenLimit));
        }
        assert_eq!(t.sent().len(), 2);
    }

    #[test]
    fn what_is_no_syn_gets_what_the_rfc_says() {
        for (segment, want, answer) in [
            ("R 0", Drop::TcpResetUnacceptable, vec![]),
            ("A 0 ack 9", Drop::TcpAckUnacceptable, vec!["R 9"]),
            ("SA 0 ack 9", Drop::TcpAckUnacceptable, vec!["R 9"]),
            ("P 0+5", Drop::TcpFlags, vec![]),
            ("FS 0", Drop::TcpFlags, vec![]),
        ] {
            let mut t = Harness::listening(&Harness::plain(), 1);
            assert_eq!(t.input(segment), Err(want), "{segment}");
            assert_eq!(t.sent(), answer, "{segment}");
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

    #[test]
    fn an_address_is_listened_at_once() {
        let mut t = Harness::listening(&Harness::plain(), 1);
        let listen = |t: &mut Harness, address: (Ipv4Addr, u16)| {
            t.tcp.listen(
                &t.net,
                ListenerShared::new(address.into(), ListenOptions::with_backlog(1), 1),
            )
        };
        let [anywhere, nowhere] = [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 9, 9, 9)];
        assert_eq!(listen(&mut t, (US, OUR_PORT)), Err(ListenError::AddressInUse));
        assert_eq!(listen(&mut t, (anywhere, OUR_PORT)), Ok(()));
        assert_eq!(listen(&mut t, (anywhere, OUR_PORT)), Err(ListenError::AddressInUse));
        assert_eq!(listen(&mut t, (nowhere, 81)), Err(ListenError::AddressNotAvailable));
    }
}
