//! What is counted, told and made of it (sections 3.2.2.5 and 3.2.3).

use super::*;

/// Section 3.2: every acceptable packet, and no other.
#[test]
fn section_3_2_what_arrives_is_counted_by_its_marks() {
    let mut t = server();
    t.input("AEN 1+1000 ack 1 ect0 1").unwrap();
    t.input("AEN 1001+500 ack 1 ect1 1").unwrap();
    t.input("AEN 1501+200 ack 1 ce 1").unwrap();
    t.input("AEN 1701+100 ack 1").unwrap();
    t.input("AEN 1801 ack 1 ce 1").unwrap();
    let want =
        EcnCounts { marked_packets: 2, marked_bytes: 200, ect0_bytes: 1000, ect1_bytes: 500 };
    assert_eq!(counts(&mut t)[1], want);
    for unacceptable in ["AEN 1+1000 ack 1 ce 1", "AEN 1801+10 ack 9999 ce 1", "S 1801 ce 1"] {
        t.input(unacceptable).unwrap_err();
    }
    assert_eq!(counts(&mut t)[1], want);
    t.input("AEN 1701+200 ack 1 ce 1").unwrap();
    assert_eq!(counts(&mut t)[1].marked_bytes, 400, "half of it had come before");
}

#[test]
fn section_3_2_2_5_1_a_change_to_marked_is_acknowledged_at_once() {
    let mut t = server();
    t.input("AEN 1+100 ack 1 ect0 1").unwrap();
    assert_eq!(t.sent(), NOTHING);
    t.input("AEN 101+100 ack 1 ce 1").unwrap();
    assert_eq!(t.sent(), ["AWN 1 ack 201"]);
    t.input("AEN 201+100 ack 1 ce 1").unwrap();
    assert_eq!(t.sent(), NOTHING, "no change");
    t.input("AEN 301+100 ack 1 ect0 1").unwrap();
    assert_eq!(t.sent(), NOTHING, "only to marked");
    t.at(100);
    assert_eq!(t.sent(), ["AEWN 1 ack 401"]);
    t.input("AEN 401 ack 1").unwrap();
    t.input("AEN 401+100 ack 1 ce 1").unwrap();
    assert_eq!(t.sent(), ["A 1 ack 501"], "8");
}

#[test]
fn section_3_2_2_5_1_nor_does_a_mark_wait_where_the_ack_of_a_fin_may() {
    for (ecn, want) in [("", 0), (" ce 1", 1)] {
        let mut t = client_with(&TcpConfig { delay_fin_ack: true, ..asking() });
        t.input(&format!("FAEN 1+100 ack 1{ecn}")).unwrap();
        assert_eq!(t.sent().len(), want, "{ecn}");
    }
}

#[test]
fn section_3_2_2_5_1_every_second_mark_of_data_is_acknowledged() {
    let mut t = server();
    t.input("AEN 1+100 ack 1 ce 1").unwrap();
    t.sent();
    let burst: Vec<String> =
        (1..=6).map(|n| format!("AEN {}+100 ack 1 ce 1", 1 + 100 * n)).collect();
    t.burst(&burst.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(t.sent(), ["A 1 ack 301", "AW 1 ack 501", "AN 1 ack 701"], "8, 10 and 12");
}

#[test]
fn section_3_2_2_5_1_marked_acks_are_acknowledged_three_by_three() {
    let mut t = server();
    for _ in 0..2 {
        for _ in 0..2 {
            t.input("AEN 1 ack 1 ce 1").unwrap();
            assert_eq!(t.sent(), NOTHING);
        }
        t.input("AEN 1 ack 1 ce 1").unwrap();
        assert_eq!(t.sent().len(), 1);
    }
    t.input("AEN 1+10 ack 1").unwrap();
    t.input("AEN 11 ack 1 ce 1").unwrap();
    t.input("AEN 11 ack 1 ce 1").unwrap();
    assert_eq!(t.sent().len(), 1, "two, while data is not acknowledged");
}

#[test]
fn section_3_2_2_5_1_acks_of_acks_have_no_sack_blocks() {
    let mut t = server();
    let blocks = |t: &mut Harness| -> Vec<usize> {
        t.emitted().iter().map(|ack| ack.options.sack_blocks.as_slice().len()).collect()
    };
    t.input("AEN 1001+100 ack 1").unwrap();
    assert_eq!(blocks(&mut t), [1]);
    let marked = ["AEN 1 ack 1 ce 1"; 3];
    t.burst(&marked);
    assert_eq!(blocks(&mut t), [0]);
    t.burst(&[&["AEN -99+100 ack 1"][..], &marked].concat());
    assert_eq!(blocks(&mut t), [2], "what has come twice is told of as well");
    t.input("AEN 2001+100 ack 1").unwrap();
    assert_eq!(blocks(&mut t), [2]);
}

/// The examples of section 3.2.3.3.
#[test]
fn section_3_2_3_3_an_option_has_every_counter_that_has_changed() {
    let mut t = server();
    let answer = |t: &mut Harness, segment: &str| {
        t.input(segment).unwrap();
        let now = t.net.now.as_millis() + 50;
        t.at(now);
        t.last().options.accurate_ecn
    };
    assert_eq!(answer(&mut t, "AEN 1+1000 ack 1 ect0 1"), option(1001, 0, 1, 1));
    assert_eq!(answer(&mut t, "AEN 1001+10 ack 1"), None, "nothing has changed");
    assert_eq!(answer(&mut t, "AEN 1011+90 ack 1 ce 1"), option(1001, 90, 1, 2));
    assert_eq!(answer(&mut t, "AEN 1101+100 ack 1 ect0 1"), option(1101, 90, 1, 2));
    assert_eq!(answer(&mut t, "AEN 1201+100 ack 1 ect1 1"), option(1101, 90, 101, 3));
    let mut t = server();
    let first = EcnBytes { ect0: 1, ce: 0, ect1: 101 };
    let want = AccurateEcnOption::new(FieldOrder::Ect1First, first, 1);
    assert_eq!(answer(&mut t, "AEN 1+100 ack 1 ect1 1"), Some(want));
    let mut t = server();
    assert_eq!(answer(&mut t, "AEN 1+100 ack 1 ce 1"), option(1, 100, 1, 2), "either order");
}

/// Two SACK blocks come first, and the third gives way.
#[test]
fn section_3_2_3_3_options_share_the_header_with_sack_blocks() {
    let config = TcpConfig { timestamps: true, ..asking() };
    let mut t = Harness::listening(&config, 1);
    t.input("SEWN 0 mss 1000 sackOK ts 1:0").unwrap();
    t.sent();
    t.input("AW 1 ack 1 ts 1:0 acc 1:0:1").unwrap();
    assert!(t.accept());
    let mut sent = |segment: &str| {
        t.input(segment).unwrap();
        let options = t.emitted().pop().unwrap().options;
        (options.sack_blocks.as_slice().len(), options.accurate_ecn)
    };
    assert_eq!(sent("AEN 1001+100 ack 1 ts 1:0 ect0 1"), (1, option(101, 0, 1, 1)));
    assert_eq!(sent("AEN 2001+100 ack 1 ts 1:0 ect0 1"), (2, option(201, 0, 1, 1)));
    assert_eq!(sent("AEN 3001+100 ack 1 ts 1:0"), (3, None), "nothing new of bytes");
    assert_eq!(sent("AEN 4001+100 ack 1 ts 1:0 ce 1"), (2, option(201, 100, 1, 2)));
    let last = EcnBytes { ect0: 201, ce: 100, ect1: 101 };
    let ect1 = AccurateEcnOption::new(FieldOrder::Ect1First, last, 1);
    assert_eq!(sent("AEN 5001+100 ack 1 ts 1:0 ect1 1"), (2, Some(ect1)), "what has changed since");
}

#[test]
fn section_3_2_3_3_full_segments_leave_no_room_and_marks_get_an_ack_of_their_own() {
    let mut t = server();
    t.burst(&["AEN 1+1000 ack 1 ect0 1"]);
    t.write(2000);
    let sent = t.emitted();
    assert_eq!(options(&sent), [None, None], "no hurry");
    t.input("AEN 1001+100 ack 2001 ect0 1").unwrap();
    t.sent();
    t.write(2000);
    t.sent();
    t.input("AEN 1101+100 ack 4001 ce 1").unwrap();
    assert_eq!(options(&t.emitted()), [option(1101, 100, 1, 2)]);
    t.input("AEN 1201+100 ack 4001 ce 1").unwrap();
    t.write(2000);
    let sent = t.emitted();
    assert_eq!(options(&sent), [None, None, option(1101, 200, 1, 2)]);
}

#[test]
fn section_3_2_3_2_2_first_data_that_is_lost_goes_again_without_option_and_no_other_has_one() {
    let mut t = client();
    t.write(500);
    assert!(t.last().options.accurate_ecn.is_some());
    t.at(450);
    let again = t.emitted();
    assert_eq!(options(&again[..1]), [None], "{again:?}");
    t.input("AEN 1+100 ack 501 ect0 1").unwrap();
    t.at(500);
    let ack = t.emitted().pop().unwrap();
    assert_eq!((ack.text.as_str(), ack.options.accurate_ecn), ("AEN 501 ack 101", None));
}

#[test]
fn section_3_1_5_cwr_is_never_said_and_a_mark_reduces_the_window_once_in_a_round_trip() {
    let mut t = client();
    t.write(40_000);
    assert_eq!(t.sent().len(), 10);
    t.at(200).input("AWN 1 ack 1001").unwrap();
    assert_eq!(window(&mut t), 8000, "RFC 8511");
    t.burst(&["AEWN 1 ack 2001", "A 1 ack 3001", "AE 1 ack 10001"]);
    assert_eq!(window(&mut t), 8000, "the same round trip");
    assert_eq!(counts(&mut t)[0].marked_packets, 4);
    let sent = t.sent();
    assert!(sent.iter().all(|text| !text.contains('W')), "{sent:?}");
    t.at(300).input("AE 1 ack 11001").unwrap();
    assert_eq!(window(&mut t), 8000, "nothing new");
    t.input("AW 1 ack 12001").unwrap();
    assert!(window(&mut t) < 8000, "the next round trip");
}

/// The exact echo of RFC 8257, section 3.2, is not needed.
#[test]
fn with_dctcp_bytes_are_counted_and_nothing_is_acknowledged_for_what_came_before() {
    let mut t = client_with(&TcpConfig { congestion: Algorithm::Dctcp, ..asking() });
    t.write(40_000);
    t.sent();
    t.at(200).input("AEN 1 ack 5001 acc 5001:0").unwrap();
    t.input("AWN 1 ack 10001 acc 9001:1000").unwrap();
    let [delivered, _] = counts(&mut t);
    assert_eq!((delivered.marked_packets, delivered.marked_bytes), (1, 1000));
    assert!(window(&mut t) < 10_000, "alpha begins at one");
    t.input("AEN 1+1000 ack 10001").unwrap();
    t.sent();
    t.input("AEN 1001+1000 ack 10001 ce 1").unwrap();
    assert_eq!(t.sent().pop().unwrap(), "AWN 19001 ack 2001", "no ACK for what came before");
}

#[test]
fn time_wait_goes_on_with_the_counter() {
    let mut t = server();
    t.input("AEN 1+10 ack 1 ce 1").unwrap();
    t.read(10).unwrap();
    t.close();
    t.input("FAEN 11 ack 2").unwrap();
    t.sent();
    t.input("FAEN 11 ack 2").unwrap_err();
    assert_eq!(t.sent(), ["AWN 2 ack 12"]);
}

#[test]
fn ecn_fields_of_the_ip_header_are_what_they_are() {
    for (bits, want) in (0..4).zip([Ecn::NotCapable, Ecn::Capable1, Ecn::Capable, Ecn::Marked]) {
        assert_eq!((Ecn::of(0xb8 | bits), want.bits()), (want, bits));
    }
}
