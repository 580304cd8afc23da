//! Tail loss probes (RFC 8985, section 7).

use super::*;
use crate::counters::Counter;

#[test]
fn the_last_segment_is_sent_again_before_the_timeout() {
    let mut t = with_sack();
    t.write(3000);
    t.sent();
    // Twice the round trip, and 2 ms.
    t.at(301);
    assert_eq!(t.sent(), [""; 0]);
    t.at(303);
    assert_eq!(t.sent(), ["PA 2001+1000 ack 1"]);
    assert_eq!((t.count(Counter::TcpLossProbes), t.count(Counter::TcpTimeouts)), (1, 0));
    // All three had arrived, and only the ACKs were lost: the probe came twice.
    t.at(403).input("A 1 ack 3001 sack 2001:3001").unwrap();
    assert_eq!((t.windows().0, t.count(Counter::TcpFastRetransmits)), (10, 0));
}

#[test]
fn a_probe_tells_what_is_lost_before_it() {
    let mut t = with_sack();
    t.write(3000);
    t.at(303);
    t.sent();
    // The first two are lost.
    t.at(403).input("A 1 ack 1 sack 2001:3001").unwrap();
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    assert_eq!((t.phase(), t.count(Counter::TcpTimeouts)), (Phase::Recovery, 0));
}

#[test]
fn new_data_is_the_better_probe() {
    let mut t = with_sack();
    t.fill();
    t.write(2000);
    assert_eq!(t.sent(), [""; 0]);
    t.at(303);
    assert_eq!(t.sent(), ["A 10001+1000 ack 1"], "beyond the congestion window");
    t.at(403).input("A 1 ack 11001").unwrap();
    assert_eq!(t.windows().1, (1 << 30) / 1000, "nothing was lost");
}

#[test]
fn a_single_segment_waits_for_a_delayed_ack() {
    let mut t = with_sack();
    t.write(500);
    t.sent();
    // The timeout is 300 ms here: the probe takes its place.
    t.at(399);
    assert_eq!(t.sent(), [""; 0]);
    t.at(401);
    assert_eq!(t.sent(), ["PA 1+500 ack 1"]);
    assert_eq!((t.count(Counter::TcpLossProbes), t.count(Counter::TcpTimeouts)), (1, 0));
}

#[test]
fn there_is_one_probe_and_then_the_timeout() {
    let mut t = with_sack();
    t.write(3000);
    t.at(303);
    t.sent();
    t.at(602);
    assert_eq!(t.sent(), [""; 0]);
    t.at(610);
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    assert_eq!((t.count(Counter::TcpLossProbes), t.count(Counter::TcpTimeouts)), (1, 1));
}

#[test]
fn a_loss_that_the_probe_has_repaired_counts_as_one() {
    let mut t = with_sack();
    t.fill();
    t.at(303);
    assert_eq!(t.sent(), ["PA 9001+1000 ack 1"]);
    t.write(1000);
    t.sent();
    // Something beyond the probe is acknowledged, and no duplicate was reported.
    t.at(403).input("A 1 ack 10001").unwrap();
    assert_eq!(t.windows().0, 10, "both may have arrived");
    t.sent();
    t.at(450).input("A 1 ack 11001").unwrap();
    assert_eq!(t.windows(), (5, 5));
}

#[test]
fn without_sack_there_is_no_probe() {
    let mut t = without_sack();
    t.write(3000);
    t.sent();
    t.at(399);
    assert_eq!(t.sent(), [""; 0]);
    t.at(401);
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    assert_eq!((t.count(Counter::TcpLossProbes), t.count(Counter::TcpTimeouts)), (0, 1));
}
