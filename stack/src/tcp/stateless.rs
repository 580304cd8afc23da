//! Handshakes without an entry in the half-open table: a SYN that finds no room there is answered with a cookie (RFC 4987,
//! section 3.6), and the ACK that brings it back makes the connection.

use super::Tcp;
use super::auth::Signing;
use super::config::{CookiePolicy, EcnPolicy};
use super::ecn::AccurateSyn;
use super::half_open::{HalfOpen, Offers};
use super::segment::Segment;
use super::syn_cookie::marked_timestamp;
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::ip::Ecn;
use crate::net::Net;
use crate::wire::tcp::Flags;

impl Tcp {
    /// Whether a SYN gets a cookie.
    pub(super) fn answers_with_cookie(&self, flow: &FlowKey4) -> bool {
        match self.config.syn_cookies {
            CookiePolicy::Off => false,
            CookiePolicy::OnPressure => self.half_open.room_for(flow).is_err(),
            CookiePolicy::Always => true,
        }
    }

    /// Answers a SYN that says `entry`, and forgets it.
    ///
    /// Not while the backlog is full: nothing here would send the SYN-ACK again when there is room, and the peer would
    /// take itself for connected.
    pub(super) fn send_cookie(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        entry: HalfOpen,
    ) -> Result<(), Drop> {
        if self.listeners.find(flow).is_some_and(|listener| listener.shared().is_full()) {
            return Err(Drop::TcpListenOverflow);
        }
        let offers = if entry.offers.timestamps() { entry.offers } else { Offers::NONE };
        let entry = HalfOpen { offers, ..entry };
        let iss = self.syn_cookies.make(net.now, &mut net.rng, flow, &entry);
        let clock = marked_timestamp(self.clock_of(net, flow), offers);
        self.send_syn_ack_at(net, flow, &HalfOpen { iss, ..entry }, (clock, None));
        net.metrics.count(Counter::TcpSynCookiesSent);
        Ok(())
    }

    /// What there was to be remembered, if this segment brings it back. The first of the peer's segments may do so that comes
    /// through, with whatever it carries, as long as its number is the one after the SYN's.
    pub(super) fn open_cookie(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        segment: &Segment,
    ) -> Option<HalfOpen> {
        let completes =
            segment.has(Flags::ACK) && !segment.flags.intersects(Flags::SYN | Flags::RST);
        let unsigned = segment.signing == Signing::None;
        if !completes || !unsigned || !self.syn_cookies.are_awaited(net.now) {
            return None;
        }
        self.listeners.find(flow)?;
        let theirs = segment.timestamps().filter(|_| self.config.timestamps);
        let offers = theirs.map_or(Offers::NONE, |theirs| Offers::with_timestamps(theirs.echo));
        let accurate = !offers.ecn() && self.shows_accurate_ecn(segment);
        let entry = HalfOpen {
            irs: segment.seq - 1,
            iss: segment.ack - 1,
            ts_recent: theirs.map_or(0, |theirs| theirs.value),
            mss: 0,
            offers,
            accurate: accurate.then(|| AccurateSyn::new(Ecn::NotCapable)),
            resent: 0,
            signing: Signing::None,
        };
        let Some(mss) = self.syn_cookies.open(net.now, &mut net.rng, flow, &entry) else {
            net.metrics.count(Counter::TcpSynCookiesRejected);
            return None;
        };
        Some(HalfOpen { mss, ..entry })
    }

    /// What a cookie need not keep: the ACE field of one who has agreed to accurate feedback is never 0 or 1 at first, if his segment carries nothing (RFC 9768,
    /// section 5.1). With data it is a counter that begins at 5, and one who has agreed to classic feedback never sets its highest bit.
    fn shows_accurate_ecn(&self, segment: &Segment) -> bool {
        let bare = segment.payload_len() == 0 && !segment.has(Flags::FIN);
        let shown = if bare { Flags::AE | Flags::CWR } else { Flags::AE };
        self.config.ecn != EcnPolicy::Off && segment.flags.intersects(shown)
    }
}

/// A connection was made of what was in no table.
pub(super) fn count_cookie_accepted(net: &Net) {
    net.metrics.count(Counter::TcpPassiveOpens);
    net.metrics.count(Counter::TcpSynCookiesAccepted);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::harness::Harness;
    use crate::tcp::{TcpConfig, TcpState};

    const NOTHING: [&str; 0] = [];

    fn always() -> TcpConfig {
        TcpConfig { syn_cookies: CookiePolicy::Always, ..TcpConfig::default() }
    }

    /// The peer's SYN, and what it then sends in answer to our SYN-ACK.
    fn shake_hands(t: &mut Harness, syn: &str, ack: &str) -> Result<(), Drop> {
        t.input(syn).unwrap();
        let ack = match t.last().options.timestamps {
            Some(ours) => format!("{ack} ts 1001:{}", ours.value),
            None => ack.to_owned(),
        };
        t.input(&ack)
    }

    /// Everything that the handshake has settled.
    fn settled(t: &mut Harness) -> impl PartialEq + std::fmt::Debug + use<> {
        let state = t.state();
        t.connection(|c| {
            let stamps = (c.timestamps.enabled, c.timestamps.recent, c.timestamps.offset);
            let received = (c.rcv.irs, c.rcv.nxt, c.rcv.acked, c.rcv.edge, c.rcv.scaling);
            let scales = (c.rcv.wnd_shift, c.snd.wnd_shift, c.sack, c.ecn_mode());
            let sent = c.snd.nxt.offset_from(c.snd.una);
            (state, stamps, received, scales, (sent, c.snd.mss, c.snd.wnd, c.snd.peer_mss))
        })
    }

    #[test]
    fn a_connection_of_a_cookie_is_like_one_of_a_table_entry() {
        for syn in [
            "S 0 mss 1460 wscale 7 sackOK ts 1000:0",
            "SEW 0 mss 1460 wscale 7 sackOK ts 1000:0",
            "SEW 0 mss 1460 ts 1000:0",
            "SEWN 0 mss 1460 wscale 7 sackOK ts 1000:0",
            "SEWN 0 mss 1460",
            "S 0 mss 1440 wscale 0 ts 1000:0",
            "S 0 mss 536 sackOK ts 1000:0",
            "S 0 mss 1460 ts 1000:0",
            "S 0 ts 1000:0",
            "S 0 mss 1400",
            "S 0",
        ] {
            let of = |policy| {
                let config = TcpConfig { syn_cookies: policy, ..TcpConfig::default() };
                let mut t = Harness::listening(&config, 1);
                t.at(123_456);
                let ack = if syn.starts_with("SEWN") { "AW" } else { "A" };
                shake_hands(&mut t, syn, &format!("{ack} 1 ack 1 win 500")).unwrap();
                assert!(t.accept(), "{syn}");
                (settled(&mut t), t.sent(), t.count(Counter::TcpPassiveOpens))
            };
            assert_eq!(of(CookiePolicy::Always), of(CookiePolicy::Off), "{syn}");
        }
    }

    #[test]
    fn without_timestamps_nothing_is_offered_that_could_not_be_remembered() {
        let mut t = Harness::listening(&always(), 1);
        t.input("SEW 0 mss 1400 wscale 7 sackOK").unwrap();
        let answer = t.last();
        assert_eq!(answer.text, "SA 0 ack 1", "no ECN");
        assert_eq!((answer.options.window_scale, answer.options.sack_permitted), (None, false));
        t.input("A 1 ack 1").unwrap();
        assert!(t.accept());
        t.connection(|c| assert_eq!((c.snd.mss, c.rcv.scaling, c.sack), (1400, false, false)));
    }

    #[test]
    fn cookies_are_made_while_the_table_is_full_and_no_longer() {
        let config = TcpConfig { max_half_open: 2, ..Harness::plain() };
        let mut t = Harness::listening(&config, 8);
        for port in 1..=1000 {
            t.peer_port = port;
            t.input("S 0").unwrap();
            assert_eq!(t.sent(), ["SA 0 ack 1"], "everyone is answered");
        }
        assert_eq!((t.tcp.half_open.len(), t.count(Counter::TcpSynCookiesSent)), (2, 998));
        for port in [1, 2, 3, 1000] {
            t.peer_port = port;
            t.input("A 1 ack 1").unwrap();
        }
        assert_eq!((t.tcp.half_open.len(), t.tcp.connections.len()), (0, 4));
        assert_eq!(t.count(Counter::TcpSynCookiesAccepted), 2);
        assert_eq!(t.count(Counter::TcpPassiveOpens), 4);
        t.peer_port = 1001;
        t.input("S 0").unwrap();
        assert_eq!((t.tcp.half_open.len(), t.count(Counter::TcpSynCookiesSent)), (1, 998));
    }

    /// A network's flood is answered with cookies, and everyone else as ever; with cookies off it is dropped, by name.
    #[test]
    fn a_network_or_a_listener_that_has_its_part_gets_cookies_for_the_rest() {
        for (policy, listener, source, refused) in [
            (CookiePolicy::OnPressure, 100, 5, None),
            (CookiePolicy::OnPressure, 5, 100, None),
            (CookiePolicy::Off, 100, 5, Some(Drop::TcpHalfOpenSource)),
            (CookiePolicy::Off, 5, 100, Some(Drop::TcpHalfOpenListener)),
        ] {
            let mut t = Harness::listening(
                &TcpConfig {
                    syn_cookies: policy,
                    max_half_open_per_listener: listener,
                    max_half_open_per_source: source,
                    ..Harness::plain()
                },
                8,
            );
            for host in 0..50 {
                let mut syn = t.datagram("S 0");
                syn.source = [10, 7, 7, host].into();
                let answered = t.tcp.input(&mut t.net, syn);
                assert_eq!(answered.err(), refused.filter(|_| host >= 5), "{refused:?}");
            }
            assert_eq!(t.tcp.half_open.len(), 5);
            let cookies = if refused.is_none() { 45 } else { 0 };
            assert_eq!(t.count(Counter::TcpSynCookiesSent), cookies);
            if source == 5 {
                t.input("S 0").unwrap();
                assert_eq!(t.tcp.half_open.len(), 6, "another network has its own part");
            }
        }
    }

    #[test]
    fn a_cookie_costs_nothing_however_many_there_are() {
        let mut t = Harness::listening(&always(), 8);
        for port in 1..=u16::MAX {
            t.peer_port = port;
            t.input("S 0 mss 1460 ts 1:0").unwrap();
            t.emitted();
        }
        assert_eq!((t.tcp.half_open.len(), t.tcp.connections.len()), (0, 0));
        assert_eq!(t.net.timers.next_deadline(), None);
    }

    /// It is not remembered when the SYN-ACK left.
    #[test]
    fn a_cookie_measures_no_round_trip() {
        for (policy, measured) in [(CookiePolicy::Always, None), (CookiePolicy::Off, Some(50))] {
            let config = TcpConfig { syn_cookies: policy, ..Harness::plain() };
            let mut t = Harness::listening(&config, 1);
            t.input("S 0 mss 1000").unwrap();
            t.sent();
            t.at(50).input("A 1 ack 1").unwrap();
            let srtt = t.connection(|c| c.rtt.srtt().map(|srtt| srtt.as_millis()));
            assert_eq!(srtt, measured, "{policy:?}");
        }
    }

    #[test]
    fn the_first_segment_that_comes_through_completes_the_handshake() {
        let mut t = Harness::listening(&always(), 1);
        shake_hands(&mut t, "S 0 mss 1000 ts 1000:0", "FPA 1+100 ack 1").unwrap();
        assert!(t.accept());
        assert_eq!(t.state(), Some(TcpState::CloseWait));
        assert_eq!((t.read(1000).unwrap(), t.read(1000).unwrap()), (100, 0));
    }

    #[test]
    fn what_brings_no_cookie_is_reset_and_counted_while_cookies_are_about() {
        let mut t = Harness::listening(&always(), 1);
        t.input("A 1 ack 1").unwrap_err();
        assert_eq!(t.count(Counter::TcpSynCookiesRejected), 0, "none was sent");
        t.emitted();
        t.input("S 0 mss 1000").unwrap();
        t.emitted();
        for (segment, answer) in [
            ("A 1 ack 2", "R 2"),
            ("A 2 ack 1", "R 1"),
            ("A 1 ack 9999", "R 9999"),
            ("A 1 ack 1 ts 5:6", "R 1"),
        ] {
            assert_eq!(t.input(segment), Err(Drop::TcpAckUnacceptable), "{segment}");
            assert_eq!(t.sent(), [answer], "{segment}");
        }
        assert_eq!(t.count(Counter::TcpSynCookiesRejected), 4);
        for segment in ["R 1", "RA 1 ack 1", "SA 1 ack 1"] {
            t.input(segment).unwrap_err();
            assert_eq!(t.tcp.connections.len(), 0, "{segment}");
        }
        t.emitted();
        t.at(120_000);
        t.input("A 1 ack 1").unwrap_err();
        assert_eq!(t.sent(), ["R 1"]);
        assert_eq!(t.count(Counter::TcpSynCookiesRejected), 4, "none is expected any more");
    }

    /// The options ride in the echo: who changes it there gets no connection with others.
    #[test]
    fn an_echo_that_was_tampered_with_opens_nothing() {
        let mut t = Harness::listening(&always(), 1);
        t.input("S 0 mss 1000 wscale 7 sackOK ts 1000:0").unwrap();
        let ours = t.last().options.timestamps.unwrap().value;
        for bit in 0..6 {
            t.input(&format!("A 1 ack 1 ts 1001:{}", ours ^ 1 << bit)).unwrap_err();
        }
        t.input("A 1 ack 1").unwrap_err();
        t.input(&format!("A 1 ack 1 ts 1001:{}", ours.wrapping_add(64))).unwrap();
        assert!(t.accept(), "the rest of it is a clock");
    }

    #[test]
    fn timestamps_go_on_where_the_cookies_began_and_old_ones_are_found_out() {
        let mut t = Harness::listening(&always(), 1);
        t.at(50_000);
        t.input("S 0 mss 1000 wscale 7 sackOK ts 1000:0").unwrap();
        let first = t.last().options.timestamps.unwrap();
        assert_eq!(first.echo, 1000);
        t.input(&format!("A 1 ack 1 ts 1010:{}", first.value)).unwrap();
        assert!(t.accept());
        t.emitted();
        t.write(10);
        let next = t.last().options.timestamps.unwrap();
        assert!(next.value.wrapping_sub(first.value) < 64, "{next:?} after {first:?}");
        assert_eq!(next.echo, 1010);
        let old = format!("PA 1+10 ack 1 ts 1009:{}", next.value);
        assert_eq!(t.input(&old), Err(Drop::TcpPaws));
        t.input(&format!("PA 1+10 ack 11 ts 1011:{}", next.value)).unwrap();
        assert_eq!(t.read(100).unwrap(), 10);
    }

    #[test]
    fn the_peers_clock_may_stand_anywhere() {
        for clock in [0, 1 << 31, 3_000_000_000, u32::MAX] {
            let mut t = Harness::listening(&always(), 1);
            t.input(&format!("S 0 mss 1000 ts {clock}:0")).unwrap();
            let ours = t.last().options.timestamps.unwrap().value;
            t.input(&format!("A 1 ack 1 ts {clock}:{ours}")).unwrap();
            assert!(t.accept(), "{clock}");
        }
    }

    #[test]
    fn a_full_backlog_makes_no_cookies_and_no_connections() {
        let mut t = Harness::listening(&TcpConfig { timestamps: false, ..always() }, 1);
        for port in [1, 2] {
            t.peer_port = port;
            t.input("S 0").unwrap();
        }
        t.emitted();
        t.peer_port = 1;
        t.input("A 1 ack 1").unwrap();
        t.peer_port = 2;
        assert_eq!(t.input("A 1 ack 1"), Err(Drop::TcpListenOverflow));
        t.peer_port = 3;
        assert_eq!(t.input("S 0"), Err(Drop::TcpListenOverflow));
        assert_eq!(t.sent(), NOTHING);
        assert!(t.accept());
        t.peer_port = 2;
        t.input("PA 1+10 ack 1").unwrap();
        assert!(t.accept(), "its data brings the cookie again");
        assert_eq!(t.read(100).unwrap(), 10);
    }

    /// The number of its SYN-ACK must lie beyond those of the connection before, which a cookie's does not.
    #[test]
    fn a_flow_in_time_wait_gets_no_cookie() {
        let mut t = Harness::listening(&TcpConfig { timestamps: false, ..always() }, 1);
        t.input("S 0").unwrap();
        t.emitted();
        t.input("A 1 ack 1").unwrap();
        assert!(t.accept());
        t.close();
        t.input("FA 1 ack 2").unwrap();
        assert_eq!(t.tcp.time_wait.len(), 1);
        t.input("S 100").unwrap();
        assert_eq!((t.tcp.time_wait.len(), t.tcp.half_open.len()), (0, 1));
    }
}
