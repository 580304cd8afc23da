//! OPEN, passively: LISTEN (RFC 9293, section 3.10.7.2), where a SYN begins a handshake.

use super::Tcp;
use super::auth::Signing;
use super::ecn::{AccurateSyn, Mode};
use super::fast_open::Welcome;
use super::half_open::{HalfOpen, NoRoom, Offers};
use super::segment::Segment;
use super::seq::Seq;
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::net::Net;
use crate::wire::tcp::Flags;

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
            self.reset_stranger(net, flow, segment);
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
        let sack = options.sack_permitted && self.config.sack;
        let stamped = self.config.timestamps && !syn.signing.displaces_timestamps(sack);
        let timestamps = options.timestamps.filter(|_| stamped);
        let window_scale = options.window_scale.filter(|_| self.config.window_scaling);
        let offers = Offers::new(window_scale, timestamps.is_some(), sack);
        let asked = Mode::asked_by(syn.flags, self.config.ecn);
        let accurate = AccurateSyn::new(syn.ecn);
        let entry = HalfOpen {
            irs: syn.seq,
            iss: at_least.map_or(iss, |least| iss.later(least)),
            ts_recent: timestamps.map_or(0, |timestamps| timestamps.value),
            mss: options.max_segment_size.unwrap_or(0),
            offers: if asked == Mode::Classic { offers.with_ecn() } else { offers },
            accurate: (asked == Mode::Accurate).then_some(accurate),
            resent: 0,
            signing: syn.signing,
        };
        // A cookie cannot say what a handshake is signed with.
        let unsigned = syn.signing == Signing::None;
        if at_least.is_none() && unsigned && self.answers_with_cookie(flow) {
            return self.send_cookie(net, flow, entry);
        }
        let welcome = self.welcome(flow, syn);
        if welcome == Welcome::Early && self.open_early(net, flow, &entry, syn) {
            return Ok(());
        }
        self.half_open.insert(net.now, *flow, entry)?;
        net.metrics.count(Counter::TcpPassiveOpens);
        self.arm_half_open(net);
        let fast_open = if let Welcome::Cookie(option) = welcome { Some(option) } else { None };
        let clock = self.clock_of(net, flow);
        self.send_syn_ack_at(net, flow, &entry, (clock, fast_open));
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::api::ListenOptions;
    use crate::socket::ListenerShared;
    use crate::tcp::harness::{Harness, OUR_PORT, US};
    use crate::tcp::listeners::ListenError;
    use crate::tcp::{CookiePolicy, TcpConfig};

    #[test]
    fn the_syn_ack_answers_the_options_of_the_syn() {
        for (syn, scale, echo) in [
            ("S 0 mss 1000", None, None),
            ("S 0 mss 1000 wscale 9", Some(8), None),
            ("S 0 mss 1000 ts 7:0", None, Some(7)),
            ("S 0 mss 1000 wscale 0 ts 8:0", Some(8), Some(8)),
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
