//! The handshake (sections 3.1 and 3.2.2.1 to 3.2.2.4), and what is concluded from it.

use super::super::{Arrivals, Sent, ace_at_first};
use super::*;
use crate::wire::tcp::Flags;

#[test]
fn section_3_1_1_both_ends_enter_accurate_mode() {
    for mut t in [client(), server()] {
        assert_eq!(mode(&mut t), Mode::Accurate);
        t.write(1500);
        let sent = t.emitted();
        let seen: Vec<_> = sent.iter().map(|one| (one.text.as_str(), one.tos)).collect();
        assert_eq!(seen, [("AEN 1+1000 ack 1", 2), ("PAEN 1001+500 ack 1", 2)], "ACE is 5");
    }
}

#[test]
fn section_3_1_2_the_client_enters_the_mode_of_the_first_syn_ack() {
    for (answer, want) in [
        ("SAW", Mode::Accurate),
        ("SAEW", Mode::Accurate),
        ("SAN", Mode::Accurate),
        ("SAWN", Mode::Accurate),
        ("SAEN", Mode::Accurate),
        ("SAE", Mode::Classic),
        ("SA", Mode::Off),
        ("SAEWN", Mode::Off),
    ] {
        let mut t = Harness::connecting(&asking());
        t.sent();
        t.input(&format!("{answer} 0 ack 1 mss 1000")).unwrap();
        assert_eq!(mode(&mut t), want, "{answer}");
        t.sent();
        for again in ["SAE", "SA", "SAW"] {
            let _ = t.input(&format!("{again} 0 ack 1 mss 1000"));
            assert_eq!(mode(&mut t), want, "{answer}, then {again} (section 3.1.5)");
        }
    }
}

#[test]
fn section_3_1_2_the_server_answers_what_the_syn_asks_for() {
    for (policy, syn, answer, want) in [
        (EcnPolicy::WhenAsked, "SEWN", "SAW", Mode::Accurate),
        (EcnPolicy::Ask, "SEWN", "SAW", Mode::Accurate),
        (EcnPolicy::AskAccurate, "SEW", "SAE", Mode::Classic),
        (EcnPolicy::AskAccurate, "SE", "SAW", Mode::Accurate),
        (EcnPolicy::AskAccurate, "S", "SA", Mode::Off),
        (EcnPolicy::Off, "SEWN", "SA", Mode::Off),
    ] {
        let mut t = Harness::listening(&TcpConfig { ecn: policy, ..asking() }, 1);
        t.input(&format!("{syn} 0 mss 1000")).unwrap();
        assert_eq!(t.sent(), [format!("{answer} 0 ack 1")], "{policy:?} {syn}");
        t.input("AW 1 ack 1").unwrap();
        assert!(t.accept());
        assert_eq!(mode(&mut t), want, "{policy:?} {syn}");
    }
}

#[test]
fn section_3_1_2_where_both_call_each_goes_by_the_syn_of_the_other() {
    for (policy, syn, answer, want) in [
        (EcnPolicy::AskAccurate, "SEWN", "SAW", Mode::Accurate),
        (EcnPolicy::AskAccurate, "SEW", "SAE", Mode::Classic),
        (EcnPolicy::AskAccurate, "S", "SA", Mode::Off),
        (EcnPolicy::Ask, "SEWN", "SAE", Mode::Classic),
        (EcnPolicy::WhenAsked, "SEWN", "SA", Mode::Off),
    ] {
        let mut t = Harness::connecting(&TcpConfig { ecn: policy, ..asking() });
        t.sent();
        t.input(&format!("{syn} 0 mss 1000")).unwrap();
        assert_eq!(t.sent(), [format!("{answer} 0 ack 1")], "{policy:?} {syn}");
        t.input(&format!("{answer} 0 ack 1")).unwrap();
        assert_eq!(mode(&mut t), want, "{policy:?} {syn}");
    }
}

#[test]
fn section_3_1_4_1_the_third_syn_asks_for_nothing_and_the_first_answer_counts() {
    for (answer, want) in [("SAW", Mode::Accurate), ("SA", Mode::Off), ("SAE", Mode::Classic)] {
        let mut t = Harness::connecting(&asking());
        t.at(1000);
        t.at(3001);
        assert_eq!(t.sent(), ["SEWN 0", "SEWN 0", "S 0"]);
        t.input(&format!("{answer} 0 ack 1 mss 1000")).unwrap();
        assert_eq!(mode(&mut t), want);
        t.sent();
        t.write(1000);
        let tos = t.last().tos;
        assert_eq!(tos == 2, want == Mode::Accurate, "but RFC 3168, section 6.1.1, for Classic");
    }
}

/// Section 3.1.5: the peer may have got no other.
#[test]
fn where_both_call_a_syn_of_ours_that_asked_for_nothing_ends_marking() {
    for (syn, answer, want) in
        [("SEWN", "SAW", Mode::Accurate), ("SEW", "SAE", Mode::Classic), ("S", "SA", Mode::Off)]
    {
        let mut t = Harness::connecting(&asking());
        t.at(1000);
        t.at(3001);
        t.sent();
        t.input(&format!("{syn} 0 mss 1000")).unwrap();
        t.sent();
        t.input(&format!("{answer} 0 ack 1")).unwrap();
        t.sent();
        t.write(1000);
        assert_eq!((mode(&mut t), t.last().tos), (want, 0), "{syn}");
    }
}

/// Section 3.2.2: with SYN the flags are no ACE field.
#[test]
fn where_both_call_the_syn_ack_says_how_our_syn_has_arrived_and_counts_nothing() {
    for (answer, marking, slow) in [
        ("SAW", true, false),
        ("SAN", false, false),
        ("SAWN", false, true),
        ("SA", false, false),
        ("SAEN", true, false),
    ] {
        let mut t = Harness::connecting(&asking());
        t.sent();
        t.input("SEWN 0 mss 1000").unwrap();
        t.sent();
        t.input(&format!("{answer} 0 ack 1")).unwrap();
        assert_eq!(may_mark(&mut t), marking, "{answer}");
        assert_eq!(counts(&mut t)[0].marked_packets, 0, "{answer}");
        let lossy = t.connection(|c| c.handshake == Handshake::Lossy);
        assert_eq!(lossy, slow, "{answer}");
        t.write(10_000);
        t.sent();
        t.input("AEN 1 ack 1001").unwrap();
        assert_eq!(counts(&mut t)[0].marked_packets, 0, "{answer}");
    }
}

#[test]
fn section_3_1_5_the_last_syn_is_told_and_one_that_asks_for_nothing_ends_marking() {
    let mut t = Harness::listening(&asking(), 1);
    t.input("SEWN 0 mss 1000").unwrap();
    assert!(t.last().options.accurate_ecn.is_some());
    t.input("SEWN 0 mss 1000 ect0 1").unwrap_err();
    let again = t.last();
    assert_eq!((again.text.as_str(), again.options.accurate_ecn), ("SAN 0 ack 1", None));
    t.input("SEWN 0 mss 1000 ce 1").unwrap_err();
    assert_eq!(t.sent(), ["SAWN 0 ack 1"]);
    t.input("S 0 mss 1000").unwrap_err();
    assert_eq!(t.sent(), ["SAW 0 ack 1"], "an AccECN SYN-ACK all the same");
    t.input("AW 1 ack 1").unwrap();
    assert!(t.accept());
    t.write(1000);
    assert_eq!((mode(&mut t), t.last().tos), (Mode::Accurate, 0));
    assert_eq!(counts(&mut t)[1].marked_packets, 0, "a mark on a SYN is not counted");
}

#[test]
fn section_3_1_5_syns_that_contradict_each_other_are_reset() {
    for (first, second) in [("SEWN", "SEW"), ("SEW", "SEWN")] {
        let mut t = Harness::listening(&asking(), 1);
        t.input(&format!("{first} 0 mss 1000")).unwrap();
        t.sent();
        let second = format!("{second} 0 mss 1000");
        assert_eq!(t.input(&second), Err(Drop::TcpSynUnexpected));
        assert_eq!((t.sent(), t.tcp.half_open.len()), (vec!["RA 0 ack 1".to_owned()], 0));
    }
}

#[test]
fn section_3_2_1_and_3_2_3_2_1_counters_begin_so_that_zeros_are_found_out() {
    let mut t = Harness::listening(&asking(), 1);
    t.input("SEWN 0 mss 1000 acc 0:0:0").unwrap();
    assert_eq!(t.last().options.accurate_ecn, option(1, 0, 1, 3));
    let mut t = Harness::connecting(&asking());
    assert_eq!(t.last().options.accurate_ecn, None, "MUST NOT be on a SYN");
    t.input("SAW 0 ack 1 mss 1000").unwrap();
    assert_eq!(t.last().options.accurate_ecn, option(1, 0, 1, 3));
    t.write(900);
    assert_eq!(t.last().options.accurate_ecn, option(1, 0, 1, 3), "and on the first data");
    t.input("AEN 1 ack 901").unwrap();
    t.write(900);
    assert_eq!(t.last().options.accurate_ecn, None);
}

/// Table 3.
#[test]
fn section_3_2_2_1_the_ack_of_a_syn_ack_says_how_that_has_arrived() {
    for (arrived, want, marked) in
        [("", "AW", 0), (" ect1 1", "AEW", 0), (" ect0 1", "AN", 0), (" ce 1", "AWN", 1)]
    {
        let mut t = Harness::connecting(&asking());
        t.sent();
        t.write(10);
        t.input(&format!("SAW 0 ack 1 mss 1000 sackOK{arrived}")).unwrap();
        let sent = t.sent();
        assert_eq!(sent[0], format!("{want} 1 ack 1"), "without data, though there is some");
        assert_eq!(counts(&mut t)[1].marked_packets, marked);
        assert!(may_mark(&mut t), "that is for the server to judge");
    }
}

#[test]
fn section_3_2_2_1_the_syn_ack_again_is_told_as_the_last_one_arrived_and_marked_once() {
    let mut t = Harness::connecting(&asking());
    t.sent();
    t.input("SAW 0 ack 1 mss 1000 sackOK ect0 1").unwrap();
    assert_eq!(t.sent(), ["AN 1 ack 1"]);
    for _ in 0..2 {
        t.input("SAW 0 ack 1 mss 1000 sackOK ce 1").unwrap_err();
        assert_eq!(t.sent(), ["AWN 1 ack 1"]);
        assert_eq!(counts(&mut t)[1].marked_packets, 1);
    }
    t.write(10);
    assert_eq!(t.sent(), ["PAWN 1+10 ack 1"], "6, from now on a counter");
}

/// By then the server takes the field for the counter.
#[test]
fn section_3_2_2_1_nothing_but_the_answer_says_how_the_syn_ack_has_arrived() {
    let mut t = client();
    for _ in 0..20 {
        t.input("SAW 0 ack 1 mss 1000 sackOK").unwrap_err();
    }
    assert_eq!(t.sent(), ["AW 1 ack 1"; 10], "and no more in a second");
    t.burst(&["AEN 1+1000 ack 1", "AEN 1001+1000 ack 1"]);
    assert_eq!(t.sent(), ["AEN 1 ack 2001"], "5");
    let mut arrivals = Arrivals::client(Ecn::NotCapable);
    assert_eq!(arrivals.ace(true), Flags::CWR);
    arrivals.told(&Sent { first_data: true, again: false, option: None });
    assert_eq!(arrivals.ace(true), ace_at_first(), "data went in its place");
}

/// Table 4: what the server makes of the ACK of its SYN-ACK.
#[test]
fn section_3_2_2_1_the_server_reads_how_its_syn_ack_has_arrived() {
    for (ace, marked, marking, heeding) in [
        ("A", 0, false, false),
        ("AE", 0, true, true),
        ("AW", 0, true, true),
        ("AEW", 0, false, true),
        ("AN", 0, false, true),
        ("AEN", 0, true, true),
        ("AWN", 1, false, true),
        ("AEWN", 0, true, true),
    ] {
        let mut t = Harness::listening(&asking(), 1);
        t.input("SEWN 0 mss 1000 sackOK").unwrap();
        t.sent();
        t.input(&format!("{ace} 1 ack 1 acc 1:0:1")).unwrap();
        assert!(t.accept());
        assert_eq!(
            (counts(&mut t)[0].marked_packets, may_mark(&mut t)),
            (marked, marking),
            "{ace}"
        );
        let slow = t.connection(|c| c.handshake == Handshake::Lossy);
        assert_eq!(slow, marked == 1, "{ace}: the mark is reacted to");
        t.write(20_000);
        t.sent();
        let before = window(&mut t);
        let ack = if marked == 1 { "AEWN" } else { "AWN" };
        t.input(&format!("{ack} 1 ack 1001")).unwrap();
        let reduced = window(&mut t) < before;
        assert_eq!(reduced, heeding && marked == 0, "{ace}: feedback is believed");
        t.input("PAEN 1+10 ack 1001 ce 1").unwrap();
        assert_eq!(counts(&mut t)[1].marked_packets, 1, "MUST NOT disable AccECN feedback");
    }
}

#[test]
fn section_3_2_2_2_feedback_of_a_marked_syn_is_reacted_to_and_not_counted() {
    let mut t = Harness::connecting(&asking());
    t.sent();
    t.input("SAWN 0 ack 1 mss 1000 sackOK").unwrap();
    assert_eq!(t.sent(), ["AW 1 ack 1"]);
    t.write(5000);
    let sent = t.emitted();
    assert_eq!((sent.len(), sent[0].tos), (1, 0), "one segment, and section 3.2.2.3");
    assert_eq!(counts(&mut t)[0].marked_packets, 0);
}

#[test]
fn section_3_2_2_3_a_syn_that_was_changed_on_its_way_ends_marking() {
    for (answer, want) in [("SAW", true), ("SAEW", false), ("SAN", false), ("SAEN", true)] {
        let mut t = Harness::connecting(&asking());
        t.sent();
        t.input(&format!("{answer} 0 ack 1 mss 1000 sackOK")).unwrap();
        assert_eq!(may_mark(&mut t), want, "{answer}");
    }
}

#[test]
fn section_3_2_2_4_a_first_counter_of_zero_ends_ecn_one_way() {
    let mut t = client();
    t.write(20_000);
    t.sent();
    let before = window(&mut t);
    t.input("A 1 ack 1001").unwrap();
    assert!(!may_mark(&mut t));
    t.input("AEWN 1 ack 2001").unwrap();
    assert!(window(&mut t) >= before, "nothing is believed any more");
    t.sent();
    t.input("PA 1+10 ack 2001 ce 1").unwrap();
    assert_eq!(counts(&mut t)[1].marked_packets, 1, "MUST continue to provide feedback");
    let mut t = client();
    t.write(20_000);
    t.input("AEN 1 ack 1001").unwrap();
    t.input("A 1 ack 4001").unwrap();
    assert!(may_mark(&mut t), "later it is a number like others");
}

#[test]
fn section_3_2_3_2_2_syn_acks_that_are_lost_come_without_option_and_then_without_anything() {
    let mut t = Harness::listening(&asking(), 1);
    t.input("SEWN 0 mss 1000 sackOK").unwrap();
    t.at(1000);
    t.at(3000);
    let sent = t.emitted();
    let texts: Vec<&str> = sent.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(texts, ["SAW 0 ack 1", "SAW 0 ack 1", "SA 0 ack 1"]);
    assert_eq!(options(&sent), [option(1, 0, 1, 3), None, None]);
    t.input("AW 1 ack 1").unwrap();
    assert!(t.accept());
    assert_eq!(mode(&mut t), Mode::Accurate, "it remains in AccECN feedback mode");
    t.write(1000);
    assert_eq!(t.last().tos, 0, "section 3.1.5");
    t.input("AEN 1+10 ack 1001 ce 1").unwrap();
    let sent = t.last();
    assert_eq!((sent.text.as_str(), sent.options.accurate_ecn), ("AWN 1001 ack 11", None));
}

#[test]
fn a_half_open_connection_has_received_no_mark() {
    let mut t = Harness::listening(&asking(), 1);
    t.input("SEWN 0 mss 1000").unwrap();
    t.sent();
    t.input("A 70000 ack 1").unwrap_err();
    assert_eq!(t.sent(), ["AEN 1 ack 1"]);
}

/// Section 5.1.
#[test]
fn section_5_1_the_ack_of_a_cookie_shows_what_it_does_not_keep() {
    use crate::tcp::CookiePolicy;
    for (syn, ack, want) in [
        ("SEWN", "A", Mode::Off),
        ("SEWN", "AE", Mode::Off),
        ("SEWN", "AW", Mode::Accurate),
        ("SEWN", "AEW", Mode::Accurate),
        ("SEWN", "AN", Mode::Accurate),
        ("SEWN", "AEN", Mode::Accurate),
        ("SEWN", "AWN", Mode::Accurate),
        ("SEWN", "AEWN", Mode::Accurate),
        ("S", "A", Mode::Off),
    ] {
        let config = TcpConfig { syn_cookies: CookiePolicy::Always, ..asking() };
        let mut t = Harness::listening(&config, 1);
        t.input(&format!("{syn} 0 mss 1000")).unwrap();
        t.sent();
        t.input(&format!("{ack} 1 ack 1")).unwrap();
        assert!(t.accept());
        assert_eq!(mode(&mut t), want, "{syn} {ack}");
    }
    for (ack, want) in [("PAEN", Mode::Accurate), ("PAEW", Mode::Off)] {
        let config = TcpConfig { syn_cookies: CookiePolicy::Always, ..asking() };
        let mut t = Harness::listening(&config, 1);
        t.input("SEWN 0 mss 1000").unwrap();
        t.sent();
        t.input(&format!("{ack} 1+10 ack 1")).unwrap();
        assert!(t.accept());
        assert_eq!(mode(&mut t), want, "{ack}: data brings a counter");
    }
}
