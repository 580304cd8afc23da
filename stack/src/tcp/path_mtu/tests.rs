//! Segment sizes by what ICMP says and by what time tells.

use super::*;
use crate::drops::Drop;
use crate::icmp::IcmpError;
use crate::ip::PATH_MTU_AGE;
use crate::tcp::Algorithm;
use crate::tcp::harness::{Harness, PEER};

/// A peer that takes full Ethernet packets, and no options.
fn wide(config: &TcpConfig) -> Harness {
    let mut t = Harness::connecting(config);
    t.sent();
    t.input("SA 0 ack 1 mss 1460").unwrap();
    t.sent();
    t.connection(|connection| connection.ack.quick = 0);
    t
}

fn plain() -> Harness {
    wide(&Harness::plain())
}

/// A router says that the segment which begins with `seq` does not fit its next hop.
fn too_big(t: &mut Harness, seq: u32, mtu: u16, len: u16) -> Result<(), Drop> {
    let flow = t.flow();
    let seq = t.our_iss() + seq;
    let heard = t.tcp.icmp_error(&mut t.net, &flow, seq, IcmpError::TooBig { mtu, len });
    t.tcp.flush(&mut t.net);
    heard
}

fn size(t: &mut Harness) -> u16 {
    t.connection(|c| c.snd.mss)
}

fn window(t: &mut Harness) -> u32 {
    let Harness { tcp, .. } = t;
    let config = tcp.config.clone();
    t.connection(|c| c.congestion_window(&config))
}

fn remembers(t: &mut Harness) -> bool {
    t.connection(|c| c.path_mtu.is_some())
}

/// Of each segment where it begins and how long it is.
fn cut(sent: &[String]) -> Vec<(u32, u32)> {
    let numbers = sent.iter().map(|text| text.split_whitespace().nth(1).unwrap());
    numbers
        .map(|numbers| {
            let (seq, len) = numbers.split_once('+').unwrap_or((numbers, "0"));
            (seq.parse().unwrap(), len.parse().unwrap())
        })
        .collect()
}

mod reports {
    use super::*;

    #[test]
    fn of_a_size_that_has_never_arrived_everything_is_believed_at_once() {
        let mut t = plain();
        t.write(4380);
        assert_eq!(cut(&t.sent()), [(1, 1460), (1461, 1460), (2921, 1460)]);
        let before = window(&mut t);
        too_big(&mut t, 1461, 1280, 1500).unwrap();
        assert_eq!(cut(&t.sent())[..2], [(1, 1240), (1241, 1240)]);
        assert_eq!((size(&mut t), t.net.path_mtu(PEER)), (1240, 1280));
        assert_eq!(window(&mut t), before, "no sign of congestion");
        assert_eq!(t.count(Counter::TcpTimeouts), 0);
    }

    #[test]
    fn of_a_size_that_has_arrived_nothing_is_believed_while_acks_come() {
        let mut t = plain();
        t.write(1460);
        t.input("A 1 ack 1461").unwrap();
        t.write(4380);
        t.sent();
        too_big(&mut t, 1461, 1280, 1500).unwrap();
        assert_eq!((t.sent(), size(&mut t), t.net.path_mtu(PEER)), (vec![], 1460, 1500));
        t.input("A 1 ack 4381").unwrap();
        t.write(1460);
        assert!(!remembers(&mut t), "the segment has arrived");
        // What times out later is no proof of what was said before.
        t.at(500);
        assert_eq!(size(&mut t), 1460);
    }

    #[test]
    fn it_is_believed_when_the_segment_times_out() {
        let mut t = plain();
        t.write(1460);
        t.input("A 1 ack 1461").unwrap();
        t.write(60_000);
        t.sent();
        too_big(&mut t, 1461, 1280, 1500).unwrap();
        t.at(199);
        assert_eq!(t.sent(), [""; 0]);
        t.at(300);
        assert_eq!(cut(&t.sent()), [(1461, 1240)], "slow start: the timeout counts as any other");
        assert_eq!((size(&mut t), t.net.path_mtu(PEER)), (1240, 1280));
        t.input("A 1 ack 2701").unwrap();
        // Nothing new goes before it to see whether the timeout was right (F-RTO).
        assert_eq!(cut(&t.sent()), [(2701, 1240), (3941, 1240)]);
    }

    #[test]
    fn of_no_more_than_has_arrived_it_is_believed_at_once() {
        let mut t = plain();
        t.write(1000);
        t.input("A 1 ack 1001").unwrap();
        t.write(4380);
        t.sent();
        too_big(&mut t, 1001, 1039, 1500).unwrap();
        assert_eq!(size(&mut t), 1460);
        too_big(&mut t, 1001, 1040, 1500).unwrap();
        assert_eq!(size(&mut t), 1000);
    }

    #[test]
    fn after_a_timeout_nothing_is_left_to_wait_for() {
        let mut t = plain();
        t.write(1460);
        t.input("A 1 ack 1461").unwrap();
        t.write(4380);
        t.at(250);
        t.sent();
        too_big(&mut t, 1461, 1280, 1500).unwrap();
        assert_eq!(cut(&t.sent())[0], (1461, 1240));
    }

    /// RFC 5927, section 7.2: a size that is claimed to be too large must have been sent.
    #[test]
    fn what_was_sent_in_smaller_segments_cannot_be_too_large() {
        let mut t = plain();
        t.write(1000);
        t.sent();
        for (mtu, len) in [(1040, 1500), (1300, 1500), (1500, 1600), (9000, 9001)] {
            assert_eq!(too_big(&mut t, 1, mtu, len), Err(Drop::IcmpUnmatched), "{mtu}");
        }
        assert_eq!((size(&mut t), t.net.path_mtu(PEER)), (1460, 1500));
        too_big(&mut t, 1, 1039, 1040).unwrap();
        assert_eq!(size(&mut t), 999);
    }

    #[test]
    fn a_router_that_tells_no_size_gets_the_next_plateau() {
        let mut t = plain();
        t.write(1460);
        t.sent();
        too_big(&mut t, 1, 0, 1500).unwrap();
        assert_eq!(size(&mut t), 1492 - 40);
    }

    #[test]
    fn ten_minutes_later_full_segments_are_sent_again_if_there_is_no_probing() {
        for (probing, want) in [(MtuProbing::Off, 1460), (MtuProbing::OnBlackHole, 1240)] {
            let mut t = wide(&TcpConfig { mtu_probing: probing, ..Harness::plain() });
            t.write(1460);
            too_big(&mut t, 1, 1280, 1500).unwrap();
            t.input("A 1 ack 1461").unwrap();
            t.at(599_000).write(1460);
            t.input("A 1 ack 2921").unwrap();
            t.at(601_000).sent();
            t.write(2920);
            assert_eq!(cut(&t.sent())[0], (2921, want), "{probing:?}");
            assert_eq!(remembers(&mut t), probing == MtuProbing::OnBlackHole);
        }
    }

    /// A later connection begins with what an earlier one was told, and forgets it ten minutes later too.
    #[test]
    fn a_path_that_is_known_to_be_narrow_is_tried_again_later() {
        let mut t =
            Harness::connecting(&TcpConfig { mtu_probing: MtuProbing::Off, ..Harness::plain() });
        t.sent();
        t.net.narrow_path(PEER, 1280, 1500).unwrap();
        t.input("SA 0 ack 1 mss 1460").unwrap();
        assert_eq!(size(&mut t), 1240);
        t.at(PATH_MTU_AGE.as_secs() * 1000 + 1000).write(1460);
        assert_eq!((size(&mut t), remembers(&mut t)), (1460, false));
    }
}

mod black_holes {
    use super::*;

    #[test]
    fn three_timeouts_of_full_segments_make_smaller_ones() {
        let mut t = plain();
        t.write(14_600);
        assert_eq!(t.sent().len(), 10);
        for at in [210, 650] {
            t.at(at);
            assert_eq!(cut(&t.sent()), [(1, 1460)], "at {at}: no proof yet");
        }
        t.at(1500);
        assert_eq!(cut(&t.sent()), [(1, 1024)]);
        assert_eq!(t.count(Counter::TcpMtuBlackHoles), 1);
        t.input("A 1 ack 1025").unwrap();
        assert_eq!(cut(&t.sent()), [(1025, 1024), (2049, 1024)]);
        assert_eq!(t.net.path_mtu(PEER), 1500, "that is this connection's finding, and no fact");
    }

    #[test]
    fn three_more_halve_them_down_to_what_routers_are_believed() {
        let mut t = plain();
        t.write(14_600);
        t.sent();
        let mut sizes = vec![];
        for at in [210, 650, 1500, 3200, 6500, 13_000, 26_000, 52_000, 103_000] {
            t.at(at);
            sizes.push(cut(&t.sent())[0].1);
        }
        assert_eq!(sizes, [1460, 1460, 1024, 1024, 1024, 512, 512, 512, 512]);
        assert_eq!(t.count(Counter::TcpMtuBlackHoles), 2);
    }

    #[test]
    fn small_segments_that_time_out_say_nothing_about_size() {
        for (len, until) in [(1024, 2000), (512, 20_000)] {
            let mut t = plain();
            t.write(len);
            t.at(until);
            assert!(t.count(Counter::TcpTimeouts) >= 3);
            assert_eq!((size(&mut t), t.count(Counter::TcpMtuBlackHoles)), (1460, 0), "{len}");
        }
    }

    /// What a window does not hold the peer may have refused, not the path.
    #[test]
    fn a_window_that_has_shrunk_is_no_black_hole() {
        let mut t = plain();
        t.write(14_600);
        t.input("A 1 ack 1 win 1000").unwrap();
        t.at(2000);
        assert!(t.count(Counter::TcpTimeouts) >= 3);
        assert_eq!((size(&mut t), t.count(Counter::TcpMtuBlackHoles)), (1460, 0));
    }

    #[test]
    fn timeouts_with_progress_between_them_are_losses() {
        let mut t = plain();
        t.write(14_600);
        for (at, next) in [(210, 1461), (700, 2921), (1500, 4381), (2500, 5841)] {
            t.at(at);
            t.input(&format!("A 1 ack {next}")).unwrap();
        }
        assert!(t.count(Counter::TcpTimeouts) >= 3);
        assert_eq!((size(&mut t), t.count(Counter::TcpMtuBlackHoles)), (1460, 0));
    }

    #[test]
    fn without_probing_there_is_no_suspicion() {
        let mut t = wide(&TcpConfig { mtu_probing: MtuProbing::Off, ..Harness::plain() });
        t.write(14_600);
        t.at(10_000);
        assert_eq!((size(&mut t), t.count(Counter::TcpMtuBlackHoles)), (1460, 0));
    }

    /// Both may be: the timeouts tell of a size that a router would have told otherwise.
    #[test]
    fn a_report_counts_more_than_a_suspicion() {
        let mut t = plain();
        t.write(1460);
        t.input("A 1 ack 1461").unwrap();
        t.write(4380);
        t.sent();
        too_big(&mut t, 1461, 1280, 1500).unwrap();
        t.at(500);
        assert_eq!((size(&mut t), t.count(Counter::TcpMtuBlackHoles)), (1240, 0));
    }
}

mod probes {
    use super::*;

    /// Ten segments of 1024 bytes may leave.
    fn probing() -> Harness {
        let mut t = wide(&TcpConfig { mtu_probing: MtuProbing::Always, ..Harness::plain() });
        assert_eq!((size(&mut t), window(&mut t)), (1024, 10_240));
        t
    }

    #[test]
    fn enough_to_send_lets_a_probe_out_and_its_arrival_makes_segments_larger() {
        let mut t = probing();
        t.write(1460 + 3 * 1024 - 1);
        assert_eq!(cut(&t.sent())[0], (1, 1024), "too little follows");
        t.input("A 1 ack 4532").unwrap();
        t.sent();
        t.write(1460 + 3 * 1024);
        let want = [(4532, 1460), (5992, 1024), (7016, 1024), (8040, 1024)];
        assert_eq!(cut(&t.sent()), want);
        assert_eq!(size(&mut t), 1024);
        t.input("A 1 ack 9064").unwrap();
        assert_eq!((size(&mut t), remembers(&mut t)), (1460, false));
        assert_eq!((t.count(Counter::TcpMtuProbes), t.count(Counter::TcpMtuProbesLost)), (1, 0));
        // It has arrived: nobody is believed at once who says that it cannot.
        t.write(1460);
        t.sent();
        too_big(&mut t, 9064, 1280, 1500).unwrap();
        assert_eq!(size(&mut t), 1460);
    }

    #[test]
    fn a_lost_probe_is_sent_again_in_pieces_and_costs_no_window() {
        for (sack, news) in [(false, ["A 1 ack 1"; 3]), (true, ["A 1 ack 1 sack 1461:4533"; 3])] {
            let mut t = probing();
            t.connection(|c| c.sack = sack);
            t.write(1460 + 6 * 1024);
            t.sent();
            let before = window(&mut t);
            t.burst(&news);
            assert_eq!(cut(&t.sent()), [(1, 1024), (1025, 436)], "SACK: {sack}");
            assert_eq!(window(&mut t), before);
            let counters = [Counter::TcpMtuProbesLost, Counter::TcpFastRetransmits];
            assert_eq!(counters.map(|counter| t.count(counter)), [1, 0]);
            t.input("A 1 ack 7605").unwrap();
            t.write(8000);
            assert_eq!(cut(&t.sent())[0], (7605, 1460), "once more");
        }
    }

    #[test]
    fn no_controller_hears_of_a_lost_probe() {
        for congestion in [Algorithm::Cubic, Algorithm::Bbr, Algorithm::Dctcp] {
            let always = TcpConfig { mtu_probing: MtuProbing::Always, ..Harness::plain() };
            let mut t = wide(&TcpConfig { congestion, ..always });
            t.connection(|c| c.sack = true);
            t.write(1460 + 6 * 1024);
            t.sent();
            let before = window(&mut t);
            t.at(10).input("A 1 ack 1 sack 1461:4533").unwrap();
            assert_eq!(t.count(Counter::TcpMtuProbesLost), 1);
            assert!(window(&mut t) >= before, "{congestion:?}");
        }
    }

    #[test]
    fn what_is_sent_again_and_lost_again_is_congestion() {
        let mut t = probing();
        t.connection(|c| c.sack = true);
        t.write(9000);
        let before = window(&mut t);
        t.at(10).input("A 1 ack 1 sack 1461:5557").unwrap();
        let sent = cut(&t.sent());
        assert!(sent.ends_with(&[(1, 1024), (1025, 436)]), "{sent:?}");
        t.at(50).input("A 1 ack 1 sack 1461:9001").unwrap();
        assert_eq!(t.count(Counter::TcpFastRetransmits), 0);
        t.write(3072);
        t.sent();
        t.at(100).input("A 1 ack 1 sack 1461:12073").unwrap();
        assert_eq!(t.count(Counter::TcpFastRetransmits), 1);
        assert!(window(&mut t) < before);
    }

    #[test]
    fn a_probe_that_is_lost_with_others_says_nothing() {
        let mut t = probing();
        t.connection(|c| {
            c.sack = true;
            let search = &mut c.path_mtu.as_mut().unwrap().search;
            while search.candidate() == Some(1460) {
                search.sent(1460);
                search.lost(Instant::ZERO);
            }
        });
        t.write(9000);
        assert_eq!(cut(&t.sent())[0], (1, 1242));
        t.input("A 1 ack 1 sack 2267:6363").unwrap();
        assert_eq!(t.count(Counter::TcpFastRetransmits), 1);
        t.input("A 1 ack 9001").unwrap();
        let next = t.connection(|c| c.path_mtu.as_ref().unwrap().search.candidate());
        assert_eq!(next, Some(1242), "the same size again");
        assert_eq!(t.count(Counter::TcpMtuProbesLost), 0);
    }

    #[test]
    fn a_timeout_says_nothing_about_a_probe() {
        let mut t = probing();
        t.write(9000);
        t.sent();
        t.at(300);
        assert_eq!(cut(&t.sent()), [(1, 1024)]);
        t.input("A 1 ack 9001").unwrap();
        assert_eq!((size(&mut t), t.count(Counter::TcpMtuProbesLost)), (1024, 0));
    }

    #[test]
    fn what_a_router_says_of_a_probe_is_believed_at_once() {
        let mut t = probing();
        t.write(1460 + 6 * 1024);
        t.sent();
        too_big(&mut t, 1, 1300, 1500).unwrap();
        assert_eq!(cut(&t.sent()), [(1, 1024), (1025, 436)]);
        assert_eq!((size(&mut t), t.net.path_mtu(PEER)), (1024, 1500));
        t.input("A 1 ack 7605").unwrap();
        t.write(8000);
        assert_eq!(cut(&t.sent())[0], (7605, 1260));
        // Somebody else's word about it is none.
        assert_eq!(too_big(&mut t, 8865, 1200, 1300), Err(Drop::IcmpUnmatched));
    }

    /// Else a probe that is larger than what an ACK lets go would never leave.
    #[test]
    fn a_probe_waits_for_room_and_nothing_overtakes_it() {
        let mut t = probing();
        t.write(60_000);
        t.input("A 1 ack 1461").unwrap();
        assert_eq!(size(&mut t), 1460);
        t.connection(|c| {
            c.path_mtu = Some(PathMtu::new(Search::between(1460, 2000, Instant::ZERO)));
            c.snd.peer_mss = 2000;
        });
        t.net.interface.mtu = 2040;
        t.sent();
        let out =
            |t: &mut Harness| t.connection(|c| (c.flight(), c.snd.una.offset_from(c.snd.iss)));
        // Room for a full segment and not for the probe. In slow start an ACK makes twice as much as it acknowledges.
        let (flight, una) = out(&mut t);
        let missing = 1800 - (window(&mut t) - flight);
        t.input(&format!("A 1 ack {}", una + missing / 2)).unwrap();
        assert_eq!(t.sent(), [""; 0]);
        let next = out(&mut t).0 + out(&mut t).1;
        t.input(&format!("A 1 ack {}", una + missing / 2 + 200)).unwrap();
        assert_eq!(cut(&t.sent()), [(next, 2000)]);
    }

    #[test]
    fn a_window_that_does_not_hold_a_probe_and_what_follows_lets_none_out() {
        let mut t = probing();
        t.input("A 1 ack 1 win 4000").unwrap();
        t.write(60_000);
        assert_eq!(cut(&t.sent())[0], (1, 1024));
        assert_eq!(t.count(Counter::TcpMtuProbes), 0);
    }

    #[test]
    fn ten_minutes_later_another_search_begins() {
        let mut t = probing();
        let mut next = 1;
        let mut tried = vec![];
        for _ in 0..12 {
            t.write(9000);
            let sent = cut(&t.sent());
            let probe = sent.iter().find(|(_, len)| *len > 1024);
            tried.extend(probe.map(|(_, len)| *len));
            if probe.is_some() {
                let dup = format!("A 1 ack {next}");
                t.burst(&[dup.as_str(); 3]);
                t.sent();
            }
            next += 9000;
            t.input(&format!("A 1 ack {next}")).unwrap();
            t.sent();
        }
        assert_eq!(tried, [1460, 1460, 1460, 1242, 1133, 1078, 1051, 1037, 1030]);
        t.at(599_000).write(9000);
        assert_eq!(cut(&t.sent())[0], (next, 1024));
        t.input(&format!("A 1 ack {}", next + 9000)).unwrap();
        t.at(601_000).write(9000);
        assert_eq!(cut(&t.sent())[0], (next + 9000, 1460));
    }
}
