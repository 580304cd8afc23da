//! Timeouts (RFC 6298) where something is known of what has arrived.

use super::*;
use crate::counters::Counter;
use crate::tcp::congestion::controller::Controller;

#[test]
fn what_has_arrived_is_not_sent_again_after_a_timeout() {
    let mut t = with_sack();
    t.fill();
    // Two behind two gaps, and then nothing more is heard.
    t.at(200).input("A 1 ack 1 sack 2001:3001,5001:6001").unwrap();
    t.at(226);
    t.sent();
    t.at(2000);
    let mut again = t.sent();
    for (at, ack) in [(2100, 1001), (2200, 3001), (2300, 4001), (2400, 6001), (2500, 8001)] {
        t.at(at).input(&format!("A 1 ack {ack}")).unwrap();
        again.extend(t.sent());
    }
    let arrived = |segment: &&String| segment.contains(" 2001+") || segment.contains(" 5001+");
    assert_eq!(again.iter().find(arrived), None, "{again:?}");
}

/// RFC 2018, section 8.
#[test]
fn a_peer_that_takes_back_what_it_has_told_gets_it_again() {
    let mut t = with_sack();
    t.fill();
    t.at(200).input("A 1 ack 1 sack 1001:10001").unwrap();
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    t.at(250).input("A 1 ack 1001").unwrap();
    t.at(299);
    assert_eq!(t.sent(), [""; 0], "half of a round trip for an ACK that was overtaken");
    t.at(301);
    assert_eq!(t.sent(), ["A 1001+1000 ack 1"]);
    t.at(400).input("A 1 ack 3001").unwrap();
    assert!(!t.sent().is_empty());
}

#[test]
fn what_has_just_left_is_not_lost_with_the_rest() {
    let mut t = with_sack();
    t.write(2000);
    t.at(150).write(1000);
    t.sent();
    t.at(160).input("A 1 ack 1 sack 1001:2001").unwrap();
    // The gap is late at 225 ms, and repaired; then nobody answers.
    t.at(226);
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    t.connection(|c| {
        let board = &c.sender.as_ref().unwrap().board;
        assert_eq!((board.in_flight(), board.arrived(), board.lost()), (2000, 1000, 0));
    });
    t.at(1000);
    assert_eq!(t.sent().first().map(String::as_str), Some("A 1+1000 ack 1"));
}

/// RFC 5681, section 3.1: the threshold stays while the same segment is sent again, also if the peer has closed its window meanwhile.
#[test]
fn a_peer_that_answers_without_taking_anything_makes_no_new_loss() {
    let mut t = with_sack();
    t.fill();
    t.at(200).input("A 1 ack 1 win 0").unwrap();
    t.at(2000);
    let threshold = t.windows().1;
    t.input("A 1 ack 1 win 0").unwrap();
    t.at(10_000);
    assert!(t.count(Counter::TcpTimeouts) >= 2);
    assert_eq!(t.windows().1, threshold);
}

/// Small segments, the first of which is lost.
#[test]
fn a_timeout_sends_nothing_again_that_has_arrived() {
    let mut t = with_sack();
    t.stream().set_nodelay(true);
    t.write(100);
    t.write(500);
    t.sent();
    t.at(101).input("A 1 ack 1 sack 101:601").unwrap();
    t.at(5000);
    let again = t.sent();
    assert!(again.iter().all(|segment| segment.starts_with("A 1+100 ")), "{again:?}");
}

#[test]
fn a_second_timeout_is_the_same_loss() {
    let mut t = with_sack();
    t.fill();
    t.at(5000);
    assert!(t.count(Counter::TcpTimeouts) >= 3);
    assert_eq!(t.windows(), (1, 5));
}

/// RFC 5681, equation 4: of what is outstanding, also of what has arrived behind the gap.
#[test]
fn a_timeout_in_a_recovery_halves_the_window_again_and_no_more() {
    let mut t = with_sack();
    t.fill();
    t.at(200).input("A 1 ack 1 sack 1001:10001").unwrap();
    assert_eq!(t.windows(), (5, 5));
    t.at(1000);
    assert_eq!(t.count(Counter::TcpTimeouts), 1);
    let ssthresh = t.connection(|c| c.sender.as_ref().unwrap().controller.ssthresh());
    assert_eq!(ssthresh, 2500);
}

/// Its model of the path does not shrink by losses, and the window follows from it.
#[test]
fn bbr_has_its_window_back_when_a_timeout_is_repaired() {
    let bbr = TcpConfig { sack: true, congestion: Algorithm::Bbr, ..Harness::plain() };
    let mut t = connected(&bbr, "sackOK");
    t.write(10_000);
    t.at(199).sent();
    t.at(210).input("A 1 ack 1 sack 1001:10001").unwrap();
    t.at(2000);
    assert!(t.count(Counter::TcpTimeouts) > 0);
    assert_eq!(t.windows().0, 1);
    t.at(2100).input("A 1 ack 10001").unwrap();
    assert!(t.windows().0 >= 10, "{:?}", t.windows());
}

#[test]
fn a_rest_forgets_the_path_and_no_byte() {
    let mut t = with_sack();
    t.fill();
    t.at(200).input("A 1 ack 10001").unwrap();
    t.connection(|c| assert!(c.sender.is_some()));
    t.at(10_000);
    t.connection(|c| assert!(c.sender.is_none()));
    t.fill();
    t.at(10_100).input("A 1 ack 20001").unwrap();
    assert_eq!(t.sent(), [""; 0]);
}
