//! Recoveries that were not needed, found out and taken back.

use super::*;
use crate::counters::Counter;

fn with_timestamps(sack: bool) -> (Harness, u32) {
    let config = TcpConfig { timestamps: true, sack, ..Harness::plain() };
    let mut t = Harness::connecting(&config);
    let clock = t.last().options.timestamps.unwrap().value;
    let permitted = if sack { "sackOK" } else { "" };
    t.at(100).input(&format!("SA 0 ack 1 mss 1012 {permitted} ts 1:{clock}")).unwrap();
    t.sent();
    t.connection(|c| c.ack.quick = 0);
    (t, clock)
}

/// RFC 3522 and 4015.
#[test]
fn an_echo_from_before_the_repair_gives_the_window_back() {
    let (mut t, clock) = with_timestamps(true);
    t.fill();
    let early = format!("ts 2:{}", clock + 100);
    t.at(200).input(&format!("A 1 ack 1 sack 1001:4001 {early}")).unwrap();
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    assert_eq!(t.windows().1, 5);
    // The original was late.
    t.at(210).input(&format!("A 1 ack 4001 {early}")).unwrap();
    assert_eq!((t.phase(), t.count(Counter::TcpSpuriousRecoveries)), (Phase::Open, 1));
    assert!(t.windows().0 >= 10, "{:?}", t.windows());
}

#[test]
fn an_echo_of_the_repair_takes_nothing_back() {
    let (mut t, clock) = with_timestamps(true);
    t.fill();
    t.at(200).input(&format!("A 1 ack 1 sack 1001:4001 ts 2:{}", clock + 100)).unwrap();
    t.sent();
    t.at(300).input(&format!("A 1 ack 10001 ts 3:{}", clock + 200)).unwrap();
    assert_eq!((t.phase(), t.count(Counter::TcpSpuriousRecoveries)), (Phase::Open, 0));
    assert_eq!(t.windows(), (5, 5));
}

/// What was sent during a recovery and is lost is repaired in it, and may outlast it.
#[test]
fn an_echo_of_an_earlier_recoverys_repair_takes_nothing_back() {
    let (mut t, clock) = with_timestamps(true);
    t.fill();
    t.write(20_000);
    t.at(200).input(&format!("A 1 ack 1 sack 1001:10001 ts 2:{}", clock + 100)).unwrap();
    let sent = t.sent();
    assert_eq!((sent[0].as_str(), sent.len()), ("A 1+1000 ack 1", 5), "{sent:?}");
    let at_100 = clock + 100;
    t.at(300).input(&format!("A 1 ack 1 sack 1001:10001,11001:12001 ts 2:{at_100}")).unwrap();
    assert!(t.sent().contains(&"A 10001+1000 ack 1".to_owned()));
    t.at(310).input(&format!("A 1 ack 10001 sack 11001:12001 ts 3:{}", clock + 200)).unwrap();
    t.sent();
    assert_eq!(t.phase(), Phase::Open);
    let at_200 = clock + 200;
    t.at(320).input(&format!("A 1 ack 10001 sack 13001:14001,11001:12001 ts 3:{at_200}")).unwrap();
    t.sent();
    assert_eq!((t.at(350).sent()[0].as_str(), t.phase()), ("A 12001+1000 ack 1", Phase::Recovery));
    t.at(400).input(&format!("A 1 ack 12001 sack 13001:14001 ts 4:{}", clock + 300)).unwrap();
    assert_eq!((t.phase(), t.count(Counter::TcpSpuriousRecoveries)), (Phase::Recovery, 0));
}

/// RFC 3708.
#[test]
fn duplicates_of_all_repairs_give_the_window_back() {
    let mut t = with_sack();
    t.fill();
    t.at(200).input("A 1 ack 1 sack 1001:4001").unwrap();
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    t.at(210).input("A 1 ack 10001").unwrap();
    assert_eq!(t.windows(), (5, 5));
    t.at(300).input("A 1 ack 10001 sack 1:1001").unwrap();
    assert_eq!(t.count(Counter::TcpSpuriousRecoveries), 1);
    assert_eq!(t.windows().0, 10);
}

#[test]
fn a_duplicate_of_one_of_two_repairs_does_not() {
    let mut t = with_sack();
    t.fill();
    t.at(200).input("A 1 ack 1 sack 2001:6001").unwrap();
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    t.input("A 1 ack 1 sack 2001:10001").unwrap();
    t.sent();
    t.at(300).input("A 1 ack 2001 sack 2001:10001").unwrap();
    t.input("A 1 ack 10001").unwrap();
    t.at(310).input("A 1 ack 10001 sack 1:1001").unwrap();
    assert_eq!(t.count(Counter::TcpSpuriousRecoveries), 0);
    t.at(311).input("A 1 ack 10001 sack 1001:2001").unwrap();
    assert_eq!(t.count(Counter::TcpSpuriousRecoveries), 1);
}

/// RFC 8985, section 6.2, step 4.
#[test]
fn a_duplicate_makes_the_next_repair_wait_longer() {
    let mut t = with_sack();
    t.fill();
    t.at(200).input("A 1 ack 1 sack 1001:4001").unwrap();
    t.at(205).input("A 1 ack 10001").unwrap();
    t.at(206).input("A 1 ack 10001 sack 1:1001").unwrap();
    t.write(5000);
    t.sent();
    // Half of the round trip of 100 ms instead of a quarter.
    t.at(306).input("A 1 ack 10001 sack 11001:15001").unwrap();
    assert_eq!(t.sent(), [""; 0]);
    t.at(350);
    assert_eq!(t.sent(), [""; 0]);
    t.at(360);
    assert_eq!(t.sent(), ["A 10001+1000 ack 1"]);
}

/// RFC 5682, section 2.1.
#[test]
fn an_early_timeout_is_found_out_by_two_acks() {
    let mut t = without_sack();
    t.fill();
    t.write(10_000);
    t.at(401);
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    assert_eq!(t.windows(), (1, 5));
    t.at(410).input("A 1 ack 1001").unwrap();
    assert_eq!(t.sent(), ["A 10001+1000 ack 1", "A 11001+1000 ack 1"], "new data, no repairs");
    t.at(420).input("A 1 ack 2001").unwrap();
    assert_eq!((t.phase(), t.count(Counter::TcpSpuriousRecoveries)), (Phase::Open, 1));
    assert!(t.windows().0 >= 10);
    let sent = t.sent();
    assert!(sent.iter().all(|segment| !segment.starts_with("A 2001")), "{sent:?}");
}

#[test]
fn a_timeout_that_was_right_is_recovered_from() {
    let mut t = without_sack();
    t.fill();
    t.write(10_000);
    t.at(401);
    t.sent();
    t.at(501).input("A 1 ack 1001").unwrap();
    t.sent();
    // The next hole: duplicates from the new data.
    t.at(601).input("A 1 ack 1001").unwrap();
    assert_eq!(t.sent()[0], "A 1001+1000 ack 1");
    assert_eq!((t.phase(), t.count(Counter::TcpSpuriousRecoveries)), (Phase::Loss, 0));
}

/// RFC 5682, section 2.1, step 1.
#[test]
fn the_second_timeout_of_a_recovery_is_not_doubted() {
    let mut t = with_sack();
    t.fill();
    t.write(10_000);
    t.at(604);
    assert_eq!(t.sent().last().unwrap(), "A 1+1000 ack 1");
    t.at(700).input("A 1 ack 1001").unwrap();
    assert!(!t.sent().contains(&"A 1001+1000 ack 1".to_owned()), "new data, no repairs");
    // Nothing comes of it, not even a SACK.
    t.at(1700);
    assert_eq!(t.sent(), ["A 1001+1000 ack 1"]);
    t.at(1800).input("A 1 ack 2001").unwrap();
    assert_eq!(t.sent(), ["A 2001+1000 ack 1", "A 3001+1000 ack 1"]);
}

/// RFC 5682, section 3.1.
#[test]
fn with_sack_one_arrival_is_enough_to_find_a_timeout_early() {
    let mut t = with_sack();
    t.fill();
    t.at(303);
    t.sent();
    t.at(604);
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    t.at(610).input("A 1 ack 1 sack 4001:5001").unwrap();
    assert_eq!((t.phase(), t.count(Counter::TcpSpuriousRecoveries)), (Phase::Open, 1));
    assert!(t.windows().0 >= 10);
}
