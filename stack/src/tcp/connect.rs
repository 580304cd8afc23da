//! OPEN from here: SYN-SENT (RFC 9293, section 3.10.7.3), with the simultaneous open, and what every handshake agrees on.

use std::ops::ControlFlow::{self, Break, Continue};

use super::arrive::{Disposition, Step, done, dropped};
use super::congestion::Handshake;
use super::connection::{Connection, Context, seconds};
use super::isn::timestamp;
use super::segment::Segment;
use super::state::{Event, State};
use crate::api::Readiness;
use crate::drops::Drop;
use crate::socket::{Failure, Phase};
use crate::time::Instant;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::TcpOptions;

/// Whether a segment acknowledges our SYN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum OurSyn {
    Acknowledged,
    NotMentioned,
}

impl Connection {
    pub(super) fn arrive_in_syn_sent(
        &mut self,
        cx: &mut Context<'_>,
        mut segment: Segment,
    ) -> Step {
        let ours = self.first_check_ack(cx, &segment)?;
        self.second_check_reset(cx, &segment, ours)?;
        if !segment.has(Flags::SYN) {
            return dropped(Drop::TcpUnacceptable);
        }
        self.take_syn(cx, &segment);
        self.take_window(&segment);
        segment.trim_before(self.rcv.nxt);
        match ours {
            OurSyn::Acknowledged => {
                self.measure_handshake(cx);
                self.fast_open_answered(cx, &segment);
                self.snd.una = segment.ack;
                self.advance(Event::SynAckArrived);
                self.established(cx);
                self.acknowledge_syn_ack(cx);
                self.process_urgent(cx, &segment);
                self.process_text_and_fin(cx, segment)
            }
            OurSyn::NotMentioned => {
                // The peer has called us at the same time. Its text comes again after our SYN-ACK.
                self.advance(Event::SynArrived);
                self.send_syn(cx);
                self.deadlines.retransmit = cx.now() + self.rtt.rto();
                done()
            }
        }
    }

    /// What does not acknowledge exactly our SYN, or echoes a time at which we have sent none, comes from an old connection, and is reset (unless it is a
    /// reset itself).
    fn first_check_ack(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment,
    ) -> ControlFlow<Disposition, OurSyn> {
        if !segment.has(Flags::ACK) {
            return Continue(OurSyn::NotMentioned);
        }
        if self.acknowledges_our_syn(segment.ack) && self.may_echo_our_syn(cx.now(), segment) {
            return Continue(OurSyn::Acknowledged);
        }
        self.reset_for(cx, segment);
        Break(Disposition::Dropped(Drop::TcpAckUnacceptable))
    }

    /// Whether what is echoed, if anything is, is a time since the connection began. Earlier ones of the same flow had the same clock.
    fn may_echo_our_syn(&self, now: Instant, segment: &Segment) -> bool {
        let echoed = segment.timestamps().map_or(0, |timestamps| timestamps.echo);
        if echoed == 0 || !self.timestamps.enabled {
            return true;
        }
        let begun = timestamp(self.data_at, self.timestamps.offset);
        let age = timestamp(now, self.timestamps.offset).wrapping_sub(begun);
        echoed.wrapping_sub(begun) <= age
    }

    /// Only a reset that acknowledges our SYN can come from the peer.
    fn second_check_reset(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment,
        ours: OurSyn,
    ) -> Step {
        match (segment.has(Flags::RST), ours) {
            (false, _) => Continue(()),
            (true, OurSyn::NotMentioned) => dropped(Drop::TcpResetUnacceptable),
            (true, OurSyn::Acknowledged) => {
                self.fail(cx, Failure::Refused);
                done()
            }
        }
    }

    /// What the peer's SYN says: where its numbers begin, and which options hold.
    fn take_syn(&mut self, cx: &Context<'_>, segment: &Segment) {
        let offered = self.receive_window();
        self.rcv.irs = segment.seq;
        self.rcv.nxt = segment.seq + 1;
        self.rcv.acked = self.rcv.nxt;
        self.learn_isn(segment.seq);
        self.rcv.edge = self.rcv.nxt + offered;
        self.agree_on(cx, &segment.options);
        self.agree_on_ecn(cx, segment);
    }

    /// Options hold if both SYNs have them.
    pub(super) fn agree_on(&mut self, cx: &Context<'_>, theirs: &TcpOptions) {
        let size = theirs.max_segment_size.unwrap_or(DEFAULT_SEGMENT_SIZE);
        self.snd.peer_mss = size.min(self.segment_size_to_offer(cx));
        self.rcv.scaling &= theirs.window_scale.is_some();
        if self.rcv.scaling {
            self.snd.wnd_shift = theirs.window_scale.unwrap_or(0);
        } else {
            self.rcv.wnd_shift = 0;
        }
        self.sack &= theirs.sack_permitted;
        match theirs.timestamps {
            Some(timestamps) if self.timestamps.enabled => {
                self.timestamps.recent = timestamps.value;
                self.timestamps.recent_at = seconds(cx.now());
            }
            _ => self.timestamps.enabled = false,
        }
        self.begin_path(cx);
    }

    /// Both SYNs are acknowledged. SND.UNA is past ours.
    pub(super) fn established(&mut self, cx: &mut Context<'_>) {
        // RFC 6928, section 2, and RFC 6298, rule 5.7.
        let lossy = self.retries > 1 || self.was_opened_with_mark();
        self.handshake = if lossy { Handshake::Lossy } else { Handshake::Smooth };
        if self.retries > 0 {
            self.rtt.distrust_handshake(&cx.config.rto_limits());
        }
        self.retries = 0;
        self.rare.take_fast_open();
        self.rare.set_syn_retries(None);
        if cx.config.unsent_low_water.is_some() {
            self.begin_unsent_low_water(cx);
        }
        self.deadlines.retransmit = Instant::FAR_FUTURE;
        self.deadlines.give_up = Instant::FAR_FUTURE;
        self.heard_at = cx.now();
        self.data_at = cx.now();
        self.socket.words.set_phase(Phase::Connected);
        let told = Readiness::CONNECTED | Readiness::WRITABLE;
        self.socket.raise(&mut cx.net.readies, told);
        self.watch_keepalive(cx);
    }

    /// The first round trip, unless our SYN was sent more than once, or it is not known when.
    pub(super) fn measure_handshake(&mut self, cx: &Context<'_>) {
        let sent_at = std::mem::replace(&mut self.sent_at, cx.now());
        // Data that has followed our SYN-ACK was sent later (TCP Fast Open).
        let alone = self.state == State::SynSent || self.snd.nxt == self.snd.iss + 1;
        if self.retries == 0 && alone && sent_at != Instant::FAR_FUTURE {
            let round_trip = cx.now().span_since(sent_at);
            self.rtt.sample(&cx.config.rto_limits(), round_trip, 1);
        }
    }

    /// Sends our SYN, which acknowledges the peer's in SYN-RECEIVED.
    pub(super) fn send_syn(&mut self, cx: &mut Context<'_>) {
        let flags = match self.state {
            State::SynSent => Flags::SYN,
            _ => Flags::SYN | Flags::ACK,
        };
        let flags = flags | self.ecn_of_syn(cx);
        let len = self.syn_introduction().len;
        if len > 0 {
            // What the application has written is seen only once it was looked for.
            self.socket.send.tail();
        }
        let delayed = cx.net.delayed_by_stations();
        let sent = self.emit(cx, self.snd.iss, len, flags);
        if self.snd.nxt == self.snd.iss {
            self.snd.nxt = self.snd.iss + 1 + len;
            // Claiming our address, or finding the station, is no part of the round trip: it takes hundreds of those.
            let left = delayed == cx.net.delayed_by_stations();
            self.sent_at = if left { cx.now() } else { Instant::FAR_FUTURE };
        }
        if sent.is_err() {
            self.retry_soon(cx.now());
        }
        self.watch_outstanding(cx);
    }
}

/// What a peer takes that does not say (RFC 9293, MUST-15).
pub(super) const DEFAULT_SEGMENT_SIZE: u16 = 536;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddrV4};

    use super::*;
    use crate::neighbor::Neighbors;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::{Harness, PEER, PEER_PORT};
    use crate::wire::arp::{ArpPacket, Operation};
    use crate::wire::ethernet::MacAddr;

    #[test]
    fn three_segments_make_a_connection() {
        let mut t = Harness::connecting(&Harness::plain());
        assert_eq!(t.sent(), ["S 0"]);
        assert!(!t.stream().is_connected());
        t.input("SA 0 ack 1 mss 1000").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 1"]);
        assert!(t.stream().is_connected());
        assert_eq!(t.state(), Some(State::Established));
    }

    /// Connects after 500 s; returns what our SYN's timestamp was.
    fn connecting_late(config: &TcpConfig) -> (Harness, u32) {
        let mut t = Harness::new(config);
        t.at(500_000);
        let remote = SocketAddrV4::new(PEER, PEER_PORT);
        t.stream = Some(t.tcp.connect(&mut t.net, None, remote).unwrap());
        t.tcp.flush(&mut t.net);
        let clock = t.last().options.timestamps.unwrap().value;
        (t, clock)
    }

    /// All connections of a flow have one clock, so an old SYN-ACK gives itself away, and so does a guessed one.
    #[test]
    fn a_syn_ack_that_echoes_what_was_not_sent_is_reset() {
        let (mut t, clock) = connecting_late(&TcpConfig::default());
        let strange = [clock.wrapping_add(1), clock - 1, clock - 60_000, clock - 400_000];
        for echo in strange {
            let syn_ack = format!("SA 0 ack 1 mss 1000 ts 1:{echo}");
            assert_eq!(t.input(&syn_ack), Err(Drop::TcpAckUnacceptable), "{echo} of {clock}");
            assert_eq!((t.sent(), t.state()), (vec!["R 1".to_owned()], Some(State::SynSent)));
        }
        t.at(500_100).input(&format!("SA 0 ack 1 mss 1000 ts 1:{clock}")).unwrap();
        assert_eq!(t.state(), Some(State::Established));
    }

    #[test]
    fn a_syn_ack_may_echo_nothing_or_a_syn_of_long_ago() {
        let config = TcpConfig { syn_retries: 12, ..TcpConfig::default() };
        for (echoes, at) in [(true, 900_000), (false, 500_100)] {
            let (mut t, clock) = connecting_late(&config);
            let echo = if echoes { clock } else { 0 };
            t.at(at).input(&format!("SA 0 ack 1 mss 1000 ts 1:{echo}")).unwrap();
            assert_eq!(t.state(), Some(State::Established), "{echoes}");
        }
    }

    /// RFC 5227 alone may take half a second before the first SYN leaves.
    #[test]
    fn a_syn_that_waits_for_its_station_measures_nothing() {
        let mut t = Harness::new(&Harness::plain());
        t.net.neighbors = Some(Neighbors::new(MacAddr([2; 6])));
        let remote = SocketAddrV4::new(PEER, PEER_PORT);
        t.stream = Some(t.tcp.connect(&mut t.net, None, remote).unwrap());
        // The question for the station, which is no segment.
        t.net.outbox.clear();
        t.at(400).net.arp_heard_elsewhere(&ArpPacket {
            operation: Operation::Reply,
            sender_mac: MacAddr([4; 6]),
            sender_ip: PEER,
            target_mac: MacAddr([2; 6]),
            target_ip: Ipv4Addr::new(10, 0, 0, 1),
        });
        assert_eq!(t.sent(), ["S 0"]);
        t.at(500).input("SA 0 ack 1 mss 1000").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 1"]);
        assert_eq!(t.connection(|c| c.rtt.srtt()), None, "400 ms were no part of it");
    }

    #[test]
    fn the_syn_offers_every_option() {
        let mut t = Harness::connecting(&TcpConfig::default());
        let options = t.last().options;
        assert_eq!(options.max_segment_size, Some(1460));
        assert_eq!(options.window_scale, Some(8));
        assert_eq!(options.timestamps.unwrap().echo, 0);
    }

    #[test]
    fn options_hold_only_if_both_offer_them() {
        let mut t = Harness::connecting(&TcpConfig::default());
        t.sent();
        t.input("SA 0 ack 1 mss 1000 wscale 3").unwrap();
        let ack = t.last();
        assert_eq!((ack.options.timestamps, ack.window), (None, 1024), "2^18 >> 8");
        t.connection(|c| {
            assert_eq!((c.snd.wnd_shift, c.snd.mss), (3, 1000));
            assert_eq!(c.snd.wnd, 65535, "the window of a SYN is not scaled");
        });
    }

    #[test]
    fn without_a_size_in_the_syn_segments_are_small() {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        t.input("SA 0 ack 1").unwrap();
        t.connection(|c| assert_eq!(c.snd.mss, 536));
    }

    /// The window that our SYN has offered holds although our ACK leaves only when the turn ends.
    #[test]
    fn a_peer_that_speaks_at_once_is_heard() {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        let taken = t.burst(&["SA 0 ack 1 mss 1000", "PA 1+10 ack 1", "FA 11 ack 1"]);
        assert_eq!(taken, [Ok(()); 3]);
        assert_eq!(t.sent(), ["A 1 ack 12"]);
        assert_eq!((t.read(100).unwrap(), t.read(100).unwrap()), (10, 0));
    }

    #[test]
    fn an_ack_of_another_syn_is_reset() {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        assert_eq!(t.input("SA 0 ack 7"), Err(Drop::TcpAckUnacceptable));
        assert_eq!(t.sent(), ["R 7"]);
        assert_eq!(t.input("A 0 ack 0"), Err(Drop::TcpAckUnacceptable));
        assert_eq!(t.sent(), ["R 0"]);
        assert_eq!(t.state(), Some(State::SynSent));
    }

    #[test]
    fn a_reset_is_believed_only_if_it_acknowledges_our_syn() {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        assert_eq!(t.input("R 0"), Err(Drop::TcpResetUnacceptable));
        assert_eq!(t.input("RA 0 ack 9"), Err(Drop::TcpAckUnacceptable));
        assert_eq!(t.sent(), [""; 0], "a reset is never answered");
        t.input("RA 0 ack 1").unwrap();
        assert_eq!(t.state(), None);
        let error = t.read(1).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }

    #[test]
    fn both_sides_may_call_at_once() {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        t.input("S 0 mss 1000").unwrap();
        assert_eq!(t.sent(), ["SA 0 ack 1"]);
        assert_eq!(t.state(), Some(State::SynReceived));
        assert!(!t.stream().is_connected());
        t.input("SA 0 ack 1 win 777").unwrap();
        assert_eq!(t.state(), Some(State::Established));
        assert_eq!(t.sent(), [""; 0]);
        t.connection(|c| assert_eq!(c.snd.wnd, 777));
        assert!(t.stream().is_connected());
    }
}
