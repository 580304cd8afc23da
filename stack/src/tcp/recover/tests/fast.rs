//! Losses found without a timeout: by SACK (RFC 6675) and time (RACK, RFC 8985), repaired at the pace of PRR (RFC 9937).

use super::*;
use crate::counters::Counter;

#[test]
fn three_segments_behind_a_gap_repair_it() {
    let mut t = with_sack();
    t.fill();
    t.at(200).input("A 1 ack 1 sack 1001:2001").unwrap();
    t.input("A 1 ack 1 sack 1001:3001").unwrap();
    assert_eq!(t.sent(), [""; 0]);
    t.input("A 1 ack 1 sack 1001:4001").unwrap();
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    assert_eq!((t.phase(), t.count(Counter::TcpFastRetransmits)), (Phase::Recovery, 1));
    t.input("A 1 ack 1 sack 1001:10001").unwrap();
    assert_eq!(t.sent(), [""; 0], "once");
    t.at(300).input("A 1 ack 10001").unwrap();
    assert_eq!((t.phase(), t.windows()), (Phase::Open, (5, 5)));
}

#[test]
fn every_hole_is_repaired_and_no_segment_that_has_arrived() {
    let mut t = with_sack();
    t.fill();
    t.at(200);
    // The 1st, 3rd, 5th and 7th are lost.
    t.burst(&[
        "A 1 ack 1 sack 1001:2001",
        "A 1 ack 1 sack 3001:4001,1001:2001",
        "A 1 ack 1 sack 5001:6001,3001:4001,1001:2001",
        "A 1 ack 1 sack 7001:8001,5001:6001,3001:4001,1001:2001",
        "A 1 ack 1 sack 7001:9001,5001:6001,3001:4001,1001:2001",
        "A 1 ack 1 sack 7001:10001,5001:6001,3001:4001,1001:2001",
    ]);
    let mut again = t.sent();
    for (at, ack) in [(300, 2001), (310, 4001), (320, 6001), (330, 10_001)] {
        t.at(at).input(&format!("A 1 ack {ack} sack 7001:10001")).unwrap();
        again.extend(t.sent());
    }
    let want = ["A 1+1000 ack 1", "A 2001+1000 ack 1", "A 4001+1000 ack 1", "A 6001+1000 ack 1"];
    assert_eq!(again, want);
    assert_eq!(t.count(Counter::TcpFastRetransmits), 1, "one loss of one window");
    assert_eq!(t.count(Counter::TcpTimeouts), 0);
}

/// RFC 8985, section 3.1: what RACK adds to counting.
#[test]
fn a_repair_that_is_lost_is_repaired_without_a_timeout() {
    let mut t = with_sack();
    t.fill();
    t.at(200).input("A 1 ack 1 sack 1001:4001").unwrap();
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    t.write(10_000);
    t.input("A 1 ack 1 sack 1001:10001").unwrap();
    let new = t.sent();
    assert_eq!(new[0], "A 10001+1000 ack 1");
    // What was sent after the repair arrives, and the repair does not.
    t.at(310).input("A 1 ack 1 sack 1001:11001").unwrap();
    assert_eq!(t.sent()[0], "A 1+1000 ack 1");
    assert_eq!(t.count(Counter::TcpTimeouts), 0);
}

#[test]
fn what_is_only_overtaken_is_waited_for_by_a_quarter_of_the_round_trip() {
    let mut t = with_sack();
    t.fill();
    t.at(200).input("A 1 ack 1001").unwrap();
    t.sent();
    // One behind a gap: less than three, so the gap has time until 100 + 100 + 25 ms.
    t.input("A 1 ack 1001 sack 2001:3001").unwrap();
    t.at(224);
    assert_eq!(t.sent(), [""; 0]);
    t.at(226);
    assert_eq!(t.sent(), ["A 1001+1000 ack 1"]);
}

#[test]
fn a_path_that_is_known_to_reorder_is_given_the_time_whatever_is_counted() {
    let mut t = with_sack();
    t.fill();
    t.at(200).input("A 1 ack 1 sack 2001:3001").unwrap();
    t.input("A 1 ack 3001").unwrap();
    t.sent();
    t.at(201).input("A 1 ack 3001 sack 4001:8001").unwrap();
    assert_eq!(t.sent(), [""; 0], "four behind the gap");
    assert_eq!(t.phase(), Phase::Open);
    t.at(230);
    assert_eq!(t.sent()[0], "A 3001+1000 ack 1");
}

/// RFC 8985, section 6.2, step 2: RACK.rtt is that of what has arrived, also if something newer had arrived before.
#[test]
fn an_old_segment_that_arrives_late_gives_the_others_of_its_time_more() {
    let mut t = with_sack();
    t.fill();
    // The first three SACKs repair the first segment; then the fourth arrives, which was only slow, and with it the repair.
    t.at(200);
    for blocks in ["1001:2001", "1001:3001", "1001:3001,8001:9001"] {
        t.input(&format!("A 1 ack 1 sack {blocks}")).unwrap();
    }
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    t.at(320).input("A 1 ack 4001 sack 8001:9001").unwrap();
    let lost = |t: &mut Harness| t.connection(|c| c.sender.as_ref().unwrap().board.lost());
    assert_eq!((t.sent().len(), lost(&mut t)), (3, 1000), "the eighth, and not the tenth");
    assert_eq!(t.connection(|c| c.sender.as_ref().unwrap().reordering()), (1, 6000));
    t.at(350);
    assert_eq!((t.sent(), lost(&mut t)), (vec!["A 7001+1000 ack 1".to_owned()], 1000), "the tenth");
}

#[test]
fn what_was_delivered_behind_a_gap_widens_no_window_unless_the_path_reorders_much() {
    let mut t = with_sack();
    t.fill();
    t.write(30_000);
    t.at(200).input("A 1 ack 1 sack 1001:3001").unwrap();
    t.at(201).input("A 1 ack 3001").unwrap();
    assert_eq!(t.windows().0, 11, "one of the three is news");
    t.sent();
    t.at(300).input("A 1 ack 3001 sack 9001:10001").unwrap();
    t.at(301).input("A 1 ack 5001 sack 9001:10001").unwrap();
    assert_eq!(t.windows().0, 13, "overtaken by five segments");
    t.at(302).input("A 1 ack 5001 sack 7001:10001").unwrap();
    assert_eq!(t.windows().0, 15, "what has arrived");
}

/// RFC 9937, section 6: RecoverFS.
#[test]
fn what_had_arrived_before_the_recovery_is_no_part_of_its_proportion() {
    let config = TcpConfig { sack: true, initial_window: 20, ..Harness::plain() };
    let mut t = connected(&config, "sackOK");
    t.write(40_000);
    assert_eq!(t.sent().len(), 20);
    t.at(200);
    for right in [2001, 3001, 4001] {
        t.input(&format!("A 1 ack 1 sack 1001:{right}")).unwrap();
    }
    assert_eq!(t.sent(), ["A 20001+1000 ack 1", "A 21001+1000 ack 1", "A 1+1000 ack 1"]);
    for right in (5001..=11_001).step_by(1000) {
        t.input(&format!("A 1 ack 1 sack 1001:{right}")).unwrap();
    }
    assert_eq!(t.sent().len(), 3, "eight of twenty delivered, half of it, and one was the repair");
}

#[test]
fn the_window_sinks_in_proportion_to_what_is_delivered() {
    let mut t = with_sack();
    t.fill();
    t.write(20_000);
    t.at(200).input("A 1 ack 1 sack 1001:4001").unwrap();
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    // Half of what is delivered goes out while the flight sinks from ten to five.
    let mut out = 0;
    for (n, right) in (5001..=10_001).step_by(1000).enumerate() {
        t.input(&format!("A 1 ack 1 sack 1001:{right}")).unwrap();
        out += t.sent().len();
        assert!(out <= n + 2, "{out} after {n}");
    }
    assert_eq!(out, 4, "nine delivered, half of it rounded up, and one was the repair");
}

#[test]
fn without_sack_a_duplicate_stands_for_a_segment() {
    let mut t = without_sack();
    t.fill();
    t.write(10_000);
    t.at(200);
    t.burst(&["A 1 ack 1"; 2]);
    assert_eq!(t.sent(), ["A 10001+1000 ack 1", "PA 11001+1000 ack 1"], "limited transmit");
    t.input("A 1 ack 1").unwrap();
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    assert_eq!(t.windows().1, 5);
    // Nine more duplicates for what was behind the gap: half of it goes out.
    let before = t.sent().len();
    t.burst(&["A 1 ack 1"; 8]);
    assert!((2..=5).contains(&(t.sent().len() - before)));
    t.at(300).input("A 1 ack 12001").unwrap();
    assert_eq!((t.phase(), t.windows()), (Phase::Open, (5, 5)));
}

#[test]
fn blocks_that_cannot_be_true_are_ignored() {
    let mut t = with_sack();
    t.fill();
    t.at(200);
    for blocks in ["10001:20001", "9001:10002", "2001:1001", "-5000:-4000", "3001:3001"] {
        t.burst(&[format!("A 1 ack 1 sack {blocks}").as_str(); 4]);
        t.connection(|c| {
            let board = &c.sender.as_ref().unwrap().board;
            assert_eq!((board.arrived(), board.lost()), (0, 0), "{blocks}");
        });
    }
}

#[test]
fn a_peer_that_did_not_permit_it_says_nothing_by_sack() {
    let mut t = without_sack();
    t.fill();
    t.at(200).input("A 1 ack 1 sack 1001:4001").unwrap();
    t.connection(|c| assert_eq!(c.sender.as_ref().unwrap().board.arrived(), 0));
}

#[test]
fn what_is_paced_leaves_bit_by_bit() {
    let pacing = Pacing::Always;
    let mut t = connected(&TcpConfig { sack: true, pacing, ..Harness::plain() }, "sackOK");
    t.write(10_000);
    // Ten segments in half a round trip of 100 ms.
    let sent: Vec<usize> = (100..=150).map(|at| t.at(at).sent().len()).collect();
    assert!(sent.iter().all(|&n| n <= 1), "{sent:?}");
    assert_eq!(sent.iter().sum::<usize>(), 10, "{sent:?}");
    assert_eq!(sent[47..].iter().sum::<usize>(), 0, "{sent:?}");
    t.at(200).input("A 1 ack 10001").unwrap();
    assert_eq!(t.count(Counter::TcpRetransSegs), 0);
}

#[test]
fn bbr_paces_by_itself_and_the_others_do_not() {
    for (congestion, at_once) in [(Algorithm::Bbr, 1), (Algorithm::Cubic, 10)] {
        let config = TcpConfig { sack: true, congestion, ..Harness::plain() };
        let mut t = connected(&config, "sackOK");
        t.write(1000);
        t.at(200).input("A 1 ack 1001").unwrap();
        t.sent();
        t.write(10_000);
        assert_eq!(t.sent().len(), at_once, "{congestion}");
    }
}

#[test]
fn a_path_that_has_narrowed_is_no_congestion() {
    let mut t = with_sack();
    t.fill();
    t.connection(|c| c.snd.mss = 500);
    t.connection(|c| {
        let nxt = c.snd.nxt;
        c.sender.as_mut().unwrap().lose_all(nxt);
    });
    t.input("A 1 ack 1001").unwrap();
    let sent = t.sent();
    assert_eq!(sent[0], "A 1001+500 ack 1");
    assert_eq!(t.windows().1, (1 << 30) / 1000, "no threshold");
}

/// Otherwise a recovery, in which nothing else is certain, would go by the round trip of before.
#[test]
fn what_arrives_behind_a_gap_tells_the_round_trip() {
    let mut t = with_sack();
    t.fill();
    t.sent();
    let before = t.connection(|c| c.rtt.srtt()).unwrap();
    t.at(150).input("A 1 ack 1 sack 1001:2001").unwrap();
    let after = t.connection(|c| c.rtt.srtt()).unwrap();
    assert!(after < before, "100 ms, and now 50: {before:?} {after:?}");
}
