//! Classic feedback (RFC 3168, section 6.1): the receiver says with each ACK that a mark has come, until the sender says that it has reduced its window.
//! With DCTCP (RFC 8257) the receiver says exactly which segments were marked.

use crate::ip::Ecn;
use crate::tcp::congestion::algorithm::Algorithm;
use crate::tcp::connection::{Connection, Context};
use crate::tcp::segment::Segment;
use crate::wire::tcp::Flags;

/// What a connection with classic feedback remembers.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::tcp) struct Classic {
    /// Both sides take part.
    pub(super) enabled: bool,
    /// What we send may be marked.
    marking: bool,
    /// ACKs say that a mark has come: until the peer says that it has reduced its window, or with DCTCP as long as marks come.
    echo: bool,
    /// The next new segment says that the window was reduced.
    reduced: bool,
}

impl Classic {
    pub(super) const ENABLED: Self =
        Self { enabled: true, marking: true, echo: false, reduced: false };
    /// Of one whose SYN has gone out without asking as well: it MUST NOT let its data be marked (section 6.1.1), for the peer may go by that SYN. It still
    /// says which of the peer's came marked.
    pub(super) const UNMARKED: Self = Self { marking: false, ..Self::ENABLED };

    /// A SYN of the peer's has asked for nothing: SHOULD NOT set ECT (section 6.1.1).
    pub(super) fn stop_marking(&mut self) {
        self.marking = false;
    }

    /// Whether ACKs say that a mark has come.
    pub(in crate::tcp) fn echoes(&self) -> bool {
        self.echo
    }

    /// The window was reduced: because of a mark, a loss or a timeout (section 6.1.2).
    pub(super) fn window_reduced(&mut self) {
        self.reduced = true;
    }

    /// What a segment says of it, and whether routers may mark it: only new data (sections 6.1.4 and 6.1.5).
    pub(super) fn of_segment(&self, new_data: bool) -> (Flags, Ecn) {
        let echo = if self.echo { Flags::ECE } else { Flags::NONE };
        let capable = if self.marking { Ecn::Capable } else { Ecn::NotCapable };
        match (new_data, self.reduced) {
            (false, _) => (echo, Ecn::NotCapable),
            (true, false) => (echo, capable),
            (true, true) => (echo | Flags::CWR, capable),
        }
    }

    /// A segment has left.
    pub(super) fn told(&mut self, flags: Flags) {
        if flags.contains(Flags::CWR) {
            self.reduced = false;
        }
    }
}

impl Connection {
    /// Data has come, marked or not (section 6.1.3; RFC 8257, section 3.2).
    pub(super) fn notice_classic_mark(&mut self, cx: &mut Context<'_>, segment: &Segment) {
        let marked = segment.ecn == Ecn::Marked;
        if segment.payload_len() == 0 {
            return;
        }
        if cx.config.congestion == Algorithm::Dctcp {
            if self.ecn.echo != marked {
                if self.rcv.acked != self.rcv.nxt {
                    // What came before is acknowledged as it came.
                    self.send_ack(cx);
                }
                // And this does not wait either: the sender is to hear of the change.
                self.ack_now();
            }
            self.ecn.echo = marked;
            return;
        }
        if segment.has(Flags::CWR) {
            self.ecn.echo = false;
        }
        if marked {
            self.ecn.echo = true;
            self.ack_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use crate::counters::Counter;
    use crate::tcp::congestion::controller::Controller;
    use crate::tcp::harness::Harness;
    use crate::tcp::{Algorithm, EcnPolicy, TcpConfig};

    fn with_ecn() -> TcpConfig {
        TcpConfig { ecn: EcnPolicy::Ask, sack: true, ..Harness::plain() }
    }

    fn connected(config: &TcpConfig) -> Harness {
        let mut t = Harness::connecting(config);
        assert_eq!(t.sent(), ["SEW 0"]);
        t.at(100).input("SAE 0 ack 1 mss 1000 sackOK").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 1"]);
        t.connection(|c| c.ack.quick = 0);
        t
    }

    #[test]
    fn both_sides_must_want_it() {
        for (answer, want) in [("SAE", true), ("SA", false), ("SAEW", false), ("SAW", false)] {
            let mut t = Harness::connecting(&with_ecn());
            t.sent();
            t.input(&format!("{answer} 0 ack 1 mss 1000")).unwrap();
            assert_eq!(t.connection(|c| c.ecn_mode() == Mode::Classic), want, "{answer}");
        }
        let mut t = Harness::connecting(&Harness::plain());
        assert_eq!(t.sent(), ["S 0"]);
        t.input("SAE 0 ack 1 mss 1000").unwrap();
        assert!(!t.connection(|c| c.ecn_mode() == Mode::Classic), "we have not asked");
        let mut t = Harness::connecting(&TcpConfig { ecn: EcnPolicy::WhenAsked, ..with_ecn() });
        assert_eq!(t.sent(), ["S 0"], "it waits to be asked");
    }

    #[test]
    fn a_listener_agrees_if_it_is_asked() {
        for (syn, on, answer) in [
            ("SEW", EcnPolicy::Ask, "SAE"),
            ("SEW", EcnPolicy::WhenAsked, "SAE"),
            ("SE", EcnPolicy::Ask, "SAW"),
            ("S", EcnPolicy::Ask, "SA"),
            ("SEW", EcnPolicy::Off, "SA"),
        ] {
            let mut t = Harness::listening(&TcpConfig { ecn: on, ..with_ecn() }, 1);
            t.input(&format!("{syn} 0 mss 1000")).unwrap();
            assert_eq!(t.sent(), [format!("{answer} 0 ack 1")], "{syn}");
            t.input("A 1 ack 1").unwrap();
            t.accept();
            assert_eq!(t.connection(|c| c.ecn_mode() == Mode::Classic), answer == "SAE");
        }
    }

    #[test]
    fn a_syn_that_is_sent_for_the_third_time_asks_no_more() {
        let mut t = Harness::connecting(&with_ecn());
        assert_eq!(t.sent(), ["SEW 0"]);
        t.at(999).at(1000);
        assert_eq!(t.sent(), ["SEW 0"]);
        t.at(3000);
        assert_eq!(t.sent(), ["S 0"]);
    }

    /// An answer may be late: that says nothing of firewalls.
    #[test]
    fn a_syn_that_was_sent_twice_is_agreed_on() {
        let mut t = Harness::connecting(&with_ecn());
        t.at(999).at(1000).sent();
        t.input("SAE 0 ack 1 mss 1000 sackOK").unwrap();
        t.sent();
        t.write(1000);
        assert_eq!(t.last().tos, 2);
    }

    /// Section 6.1.1: MUST NOT set ECT. What it receives is echoed all the same.
    #[test]
    fn who_has_sent_a_syn_that_asks_for_nothing_sends_nothing_that_may_be_marked() {
        let mut t = Harness::connecting(&with_ecn());
        t.at(999).at(1000).at(3000);
        assert_eq!(t.sent(), ["SEW 0", "SEW 0", "S 0"]);
        t.input("SAE 0 ack 1 mss 1000 sackOK").unwrap();
        t.sent();
        t.write(1000);
        assert_eq!(t.last().tos, 0);
        t.input("PA 1+10 ack 1001 ce 1").unwrap();
        assert_eq!(t.sent(), ["AE 1001 ack 11"]);
    }

    #[test]
    fn nor_does_a_listener_to_whose_peer_asks_for_nothing_the_second_time() {
        let mut t = Harness::listening(&with_ecn(), 1);
        t.input("SEW 0 mss 1000").unwrap();
        t.input("S 0 mss 1000").unwrap_err();
        assert_eq!(t.sent(), ["SAE 0 ack 1"; 2]);
        t.input("A 1 ack 1").unwrap();
        assert!(t.accept());
        t.write(1000);
        assert_eq!(t.last().tos, 0);
        t.input("PA 1+10 ack 1001 ce 1").unwrap();
        assert_eq!(t.sent(), ["AE 1001 ack 11"]);
    }

    #[test]
    fn new_data_may_be_marked_and_nothing_else() {
        let mut t = connected(&with_ecn());
        t.write(1500);
        t.close();
        let capable = |t: &mut Harness| -> Vec<(String, u8)> {
            t.emitted().into_iter().map(|segment| (segment.text, segment.tos)).collect()
        };
        let want = [("A 1+1000 ack 1", 2), ("PA 1001+500 ack 1", 2), ("FA 1501 ack 1", 0)];
        assert_eq!(capable(&mut t), want.map(|(text, tos)| (text.to_owned(), tos)));
        t.at(2000);
        assert!(capable(&mut t).iter().all(|(_, tos)| *tos == 0), "nothing that goes again");
        t.input("PA 1+10 ack 1502").unwrap_err();
        assert!(capable(&mut t).iter().all(|(_, tos)| *tos == 0), "no reset");
    }

    #[test]
    fn a_mark_is_echoed_until_the_peer_has_reduced_its_window() {
        let mut t = connected(&with_ecn());
        t.input("PA 1+10 ack 1 ce 1").unwrap();
        assert_eq!(t.sent(), ["AE 1 ack 11"], "at once");
        t.input("PA 11+10 ack 1").unwrap();
        t.at(200);
        assert_eq!(t.sent(), ["AE 1 ack 21"]);
        t.input("PAW 21+10 ack 1").unwrap();
        t.at(300);
        assert_eq!(t.sent(), ["A 1 ack 31"]);
        t.input("PAW 31+10 ack 1 ce 1").unwrap();
        assert_eq!(t.sent(), ["AE 1 ack 41"], "marked again since");
        t.input("A 41 ack 1 ce 1").unwrap();
        assert_eq!(t.sent(), [""; 0]);
    }

    #[test]
    fn an_echo_reduces_the_window_once_in_a_round_trip_and_is_answered() {
        let mut t = connected(&with_ecn());
        t.write(20_000);
        assert_eq!(t.sent().len(), 10);
        let window =
            |t: &mut Harness| t.connection(|c| c.sender.as_ref().unwrap().controller.window());
        t.at(200).input("AE 1 ack 1001").unwrap();
        assert_eq!(window(&mut t), 8000, "RFC 8511");
        t.burst(&["AE 1 ack 2001", "AE 1 ack 3001", "AE 1 ack 6001"]);
        assert_eq!(window(&mut t), 8000, "the same mark");
        assert_eq!(t.sent()[0], "AW 10001+1000 ack 1");
        t.input("AE 1 ack 7001").unwrap();
        assert_eq!(t.sent(), ["A 14001+1000 ack 1"], "said once, and still echoed");
        t.input("AE 1 ack 10001").unwrap();
        assert_eq!(window(&mut t), 8000, "sent before it could be heard");
        t.sent();
        t.at(300).input("A 1 ack 11001").unwrap();
        t.input("AE 1 ack 12001").unwrap();
        assert!(window(&mut t) < 8000, "the next round trip");
        assert_eq!(t.count(Counter::TcpRetransSegs), 0);
    }

    /// RFC 9937: four fifths of what each ACK delivers, until no more is in flight than may be.
    #[test]
    fn after_a_mark_the_flight_sinks_with_the_acks_and_does_not_pause() {
        let mut t = connected(&TcpConfig { initial_window: 40, ..with_ecn() });
        t.write(80_000);
        assert_eq!(t.sent().len(), 40);
        t.at(200);
        let mut sent_for = |acks: std::ops::RangeInclusive<u32>| -> Vec<usize> {
            let sent_for = |n: u32| {
                t.input(&format!("A{} 1 ack {}", if n == 1 { "E" } else { "" }, 1 + 1000 * n))
                    .unwrap();
                t.sent().len()
            };
            acks.map(sent_for).collect()
        };
        assert_eq!(sent_for(1..=10), [0, 1, 1, 1, 1, 0, 1, 1, 1, 1]);
        assert_eq!(sent_for(11..=35).iter().sum::<usize>(), 20);
        assert_eq!(sent_for(36..=39).iter().sum::<usize>(), 4);
        assert_eq!(sent_for(40..=43), [1; 4], "32 in flight");
    }

    /// Section 6.1.2: "for any reason".
    #[test]
    fn the_peer_is_told_of_a_window_that_a_loss_or_a_timeout_has_reduced() {
        let mut t = connected(&with_ecn());
        t.write(20_000);
        t.sent();
        t.at(200).input("A 1 ack 1 sack 1001:10001").unwrap();
        let sent = t.sent();
        assert!(sent.contains(&"AW 10001+1000 ack 1".to_owned()), "{sent:?}");
        let mut t = connected(&with_ecn());
        t.write(1000);
        t.at(2000);
        t.input("A 1 ack 1001").unwrap();
        t.sent();
        t.write(1000);
        assert_eq!(t.sent(), ["PAW 1001+1000 ack 1"]);
    }

    /// Section 6.1.2: dropped or marked, it is one window of data.
    #[test]
    fn a_loss_in_the_same_window_is_of_the_same_congestion() {
        let mut t = connected(&with_ecn());
        t.write(30_000);
        t.sent();
        let window =
            |t: &mut Harness| t.connection(|c| c.sender.as_ref().unwrap().controller.window());
        t.at(200).input("AE 1 ack 1001").unwrap();
        assert_eq!(window(&mut t), 8000);
        t.input("A 1 ack 1001 sack 2001:10001").unwrap();
        assert_eq!(
            (t.count(Counter::TcpFastRetransmits), window(&mut t)),
            (1, 5000),
            "a half in all"
        );
        t.at(300).input("A 1 ack 10001").unwrap();
        t.sent();
        t.at(400).input("A 1 ack 11001").unwrap();
        t.at(500).input("A 1 ack 11001 sack 12001:15001").unwrap();
        assert_eq!(t.count(Counter::TcpFastRetransmits), 2);
        assert!(window(&mut t) < 5000, "another window");
    }

    #[test]
    fn a_peer_that_never_agreed_says_nothing_by_it() {
        let mut t = Harness::connected();
        t.write(10_000);
        t.input("AE 1 ack 1001").unwrap();
        assert!(t.connection(|c| c.sender.as_ref().unwrap().window()) > 10_000);
        t.sent();
        t.input("PA 1+10 ack 1001 ce 1").unwrap();
        t.at(100);
        assert_eq!(t.sent(), ["A 10001 ack 11"]);
    }

    /// RFC 8257, section 3.2, figure 1: an ACK of what came before the change, and one at once of what shows it.
    #[test]
    fn with_dctcp_each_ack_says_whether_what_it_acknowledges_was_marked() {
        let mut t = connected(&TcpConfig { congestion: Algorithm::Dctcp, ..with_ecn() });
        t.input("A 1+1000 ack 1").unwrap();
        assert_eq!(t.sent(), [""; 0]);
        t.input("A 1001+1000 ack 1 ce 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 1001", "AE 1 ack 2001"]);
        t.input("A 2001+1000 ack 1 ce 1").unwrap();
        assert_eq!(t.sent(), [""; 0], "no change");
        t.input("A 3001+1000 ack 1").unwrap();
        assert_eq!(t.sent(), ["AE 1 ack 3001", "A 1 ack 4001"], "without any CWR");
        t.input("A 4001+1000 ack 1").unwrap();
        t.input("A 5001+1000 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 6001"]);
    }
}
