use std::net::{Ipv4Addr, SocketAddrV4};

use crate::api::{ConnectOptions, ListenOptions, TcpListener};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::socket::ListenerShared;
use crate::tcp::harness::{Harness, OUR_PORT, PEER, PEER_PORT, US, pattern};
use crate::tcp::state::State;
use crate::tcp::{EcnPolicy, FastOpenConfig, TcpConfig, TcpMd5Key};
use crate::wire::tcp_options::{FastOpenCookie, FastOpenForm, FastOpenOption};

fn config() -> TcpConfig {
    let fast_open = FastOpenConfig { key: Some([7; 16]), ..FastOpenConfig::default() };
    TcpConfig { fast_open, ecn: EcnPolicy::Off, ..Harness::plain() }
}

/// A listener that lets so many connections open early.
fn listening(config: &TcpConfig, limit: u32) -> Harness {
    let mut t = Harness::new(config);
    let options = ListenOptions { fast_open: limit, ..ListenOptions::with_backlog(4) };
    let listener = ListenerShared::new((US, OUR_PORT).into(), options, 1);
    t.tcp.listen(&t.net, listener.clone()).unwrap();
    t.listener = Some(listener);
    t
}

/// What the listener hands out to our peer.
fn cookie(t: &mut Harness) -> String {
    t.input("S 0 mss 1000 fo -").unwrap();
    let option = t.last().options.fast_open.unwrap();
    assert_eq!(option.form, FastOpenForm::Standard);
    t.input("R 1").unwrap();
    format!("{:?}", option.cookie)
}

/// Of what was sent last.
fn text_and_option(t: &mut Harness) -> (String, Option<FastOpenOption>) {
    let last = t.last();
    (last.text, last.options.fast_open)
}

#[test]
fn data_on_a_syn_with_a_good_cookie_is_there_before_the_handshake_is_complete() {
    let mut t = listening(&config(), 1);
    let cookie = cookie(&mut t);
    t.input(&format!("S 0+100 mss 1000 fo {cookie}")).unwrap();
    assert_eq!(t.sent(), ["SA 0 ack 101"]);
    assert!(t.accept());
    assert_eq!(t.state(), Some(State::SynReceived));
    assert_eq!(t.read(1000).unwrap(), 100);
    t.write(50);
    assert_eq!(t.sent(), ["PA 1+50 ack 101"]);
    t.input("A 101 ack 51").unwrap();
    assert_eq!(t.state(), Some(State::Established));
    t.input("PA 101+10 ack 51").unwrap();
    assert_eq!(t.read(1000).unwrap(), 10);
    assert_eq!(t.count(Counter::TcpFastOpens), 1);
}

#[test]
fn without_a_good_cookie_only_the_syn_is_taken_and_a_new_one_is_handed_out() {
    for (name, option) in [("a wrong one", "fo 0102030405060708"), ("none", "fo -")] {
        let mut t = listening(&config(), 1);
        t.input(&format!("S 0+100 mss 1000 {option}")).unwrap();
        let answer = t.last();
        assert_eq!(answer.text, "SA 0 ack 1", "{name}");
        assert!(!answer.options.fast_open.unwrap().cookie.is_none(), "{name}");
        assert_eq!((t.tcp.half_open.len(), t.tcp.connections.len()), (1, 0), "{name}");
    }
    let mut t = listening(&config(), 1);
    t.input("S 0+100 mss 1000").unwrap();
    assert_eq!(text_and_option(&mut t), ("SA 0 ack 1".to_owned(), None));
}

#[test]
fn a_listener_that_does_not_take_part_hands_out_nothing() {
    let mut t = listening(&config(), 0);
    t.input("S 0+100 mss 1000 fo -").unwrap();
    assert_eq!(text_and_option(&mut t), ("SA 0 ack 1".to_owned(), None));
}

/// Section 5.1: whoever has a cookie could fill memory from one address.
#[test]
fn so_many_may_be_open_early_and_no_more() {
    let mut t = listening(&config(), 2);
    let cookie = cookie(&mut t);
    for port in 1..=3 {
        t.peer_port = port;
        t.input(&format!("S 0+100 mss 1000 fo {cookie}")).unwrap();
        let want = if port == 3 { "SA 0 ack 1" } else { "SA 0 ack 101" };
        assert_eq!(t.sent(), [want], "{port}");
    }
    // One completes its handshake, and one is reset: both make room.
    t.peer_port = 1;
    t.input("A 101 ack 1").unwrap();
    t.peer_port = 2;
    t.input("R 101").unwrap();
    for port in 4..=5 {
        t.peer_port = port;
        t.input(&format!("S 0+100 mss 1000 fo {cookie}")).unwrap();
        assert_eq!(t.sent(), ["SA 0 ack 101"], "{port}");
    }
}

#[test]
fn a_syn_that_comes_again_is_answered_again_and_its_data_is_taken_once() {
    let mut t = listening(&config(), 1);
    let cookie = cookie(&mut t);
    let syn = format!("S 0+100 mss 1000 fo {cookie}");
    t.input(&syn).unwrap();
    assert_eq!(t.input(&syn), Err(Drop::TcpDuplicate));
    assert_eq!(t.sent(), ["SA 0 ack 101", "SA 0 ack 101"]);
    assert!(t.accept());
    assert_eq!(t.read(1000).unwrap(), 100);
    assert!(t.read(1000).is_err());
}

#[test]
fn a_syn_ack_is_sent_again_and_the_connection_given_up() {
    let mut t = listening(&TcpConfig { syn_ack_retries: 2, ..config() }, 1);
    let cookie = cookie(&mut t);
    t.input(&format!("S 0+100 mss 1000 fo {cookie}")).unwrap();
    t.sent();
    assert!(t.accept());
    for at in [1000, 3000] {
        t.at(at);
        assert_eq!(t.sent(), ["SA 0 ack 101"], "at {at}");
    }
    t.at(7000);
    assert_eq!((t.state(), t.sent()), (None, vec![]));
}

#[test]
fn a_reset_before_the_connection_is_accepted_is_passed_over() {
    let mut t = listening(&config(), 1);
    let cookie = cookie(&mut t);
    t.input(&format!("S 0+100 mss 1000 fo {cookie}")).unwrap();
    t.input("R 101").unwrap();
    let listener = TcpListener::new(t.listener.clone().unwrap(), vec![t.core.clone()]);
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// Connects to the peer with so much of the pattern; returns how much was taken.
fn connect(t: &mut Harness, len: usize) -> usize {
    connect_with(t, &ConnectOptions::default(), len)
}

fn connect_with(t: &mut Harness, options: &ConnectOptions, len: usize) -> usize {
    let remote = SocketAddrV4::new(PEER, PEER_PORT);
    let data = pattern(0, len);
    let opened = t.tcp.connect_with_data(&mut t.net, None, remote, options, &data);
    let (stream, taken) = opened.unwrap();
    t.our_port = stream.local_addr().port();
    t.stream = Some(stream);
    t.written = taken as u64;
    t.application();
    taken
}

/// Of a first connection, to which the peer answers so.
fn learn(t: &mut Harness, answer: &str) -> Option<FastOpenOption> {
    assert_eq!(connect(t, 500), 0);
    let asked = t.last().options.fast_open;
    t.input(answer).unwrap();
    t.stream().control().abort();
    t.close();
    t.sent();
    asked
}

/// What the application says of segments and attempts counts for what goes with a SYN, too.
#[test]
fn data_on_a_syn_is_sent_as_the_options_have_it() {
    let mut t = Harness::new(&config());
    learn(&mut t, "SA 0 ack 1 mss 1400 fo 01020304").unwrap();
    let options =
        ConnectOptions { max_segment_size: Some(700), syn_retries: Some(1), ..Default::default() };
    assert_eq!(connect_with(&mut t, &options, 5000), 660, "beside 40 bytes of options");
    let syn = t.last();
    assert_eq!((syn.options.max_segment_size, syn.text.as_str()), (Some(700), "S 0+660"));
    t.at(0).at(1000);
    assert_eq!(t.sent(), ["S 0"]);
    t.at(3000);
    assert_eq!((t.state(), t.sent()), (None, vec![]));
}

/// What the peer takes is remembered, not what we have said for once.
#[test]
fn a_size_that_was_set_is_that_of_one_connection() {
    let mut t = Harness::new(&config());
    learn(&mut t, "SA 0 ack 1 mss 1400 fo 01020304").unwrap();
    let options = ConnectOptions { max_segment_size: Some(700), ..Default::default() };
    assert_eq!(connect_with(&mut t, &options, 5000), 660);
    assert_eq!(t.last().text, "S 0+660");
    t.input("SA 0 ack 661 mss 1300").unwrap();
    t.stream().control().abort();
    t.close();
    assert_eq!(connect(&mut t, 5000), 1260);
}

/// As the SYN announces it.
#[test]
fn a_size_below_the_least_is_the_least_for_data_on_a_syn() {
    let mut t = Harness::new(&config());
    learn(&mut t, "SA 0 ack 1 mss 1400 fo 01020304").unwrap();
    let options = ConnectOptions { max_segment_size: Some(50), ..Default::default() };
    assert_eq!(connect_with(&mut t, &options, 5000), 48);
    assert_eq!(t.last().options.max_segment_size, Some(88));
}

#[test]
fn nothing_goes_on_a_syn_that_is_signed() {
    let stranger = Ipv4Addr::new(192, 0, 2, 99);
    for (whose, taken, syn) in [(PEER, 0, "S 0"), (stranger, 1360, "S 0+1360")] {
        let mut t = Harness::new(&config());
        learn(&mut t, "SA 0 ack 1 mss 1400 fo 01020304").unwrap();
        let keys = TcpMd5Key::new(whose, b"secret").unwrap().into();
        let options = ConnectOptions { keys, ..Default::default() };
        assert_eq!(connect_with(&mut t, &options, 5000), taken, "a key of {whose}");
        let sent = t.last();
        assert_eq!((sent.options.fast_open.is_some(), sent.text.as_str()), (taken > 0, syn));
    }
}

#[test]
fn a_cookie_is_asked_for_once_and_then_brings_data_on_the_syn() {
    let mut t = Harness::new(&config());
    let asked = learn(&mut t, "SA 0 ack 1 mss 800 fo 01020304").unwrap();
    assert_eq!((asked.cookie, asked.form), (FastOpenCookie::NONE, FastOpenForm::Standard));
    assert_eq!(connect(&mut t, 5000), 760, "what fits beside 40 bytes of options");
    let syn = t.last();
    assert_eq!(syn.text, "S 0+760");
    assert_eq!(format!("{:?}", syn.options.fast_open.unwrap().cookie), "01020304");
    t.input("SA 0 ack 761 mss 800").unwrap();
    assert_eq!(t.sent(), ["A 761 ack 1"]);
    assert!(t.connection(|c| c.syn_data));
    t.write(100);
    assert_eq!(t.sent(), ["PA 761+100 ack 1"]);
}

#[test]
fn what_the_peer_has_not_taken_of_it_is_sent_again_and_is_no_congestion() {
    for (ack, again) in [(1, "PA 1+760 ack 1"), (101, "PA 101+660 ack 1")] {
        let mut t = Harness::new(&config());
        learn(&mut t, "SA 0 ack 1 mss 800 fo 01020304");
        connect(&mut t, 760);
        t.sent();
        t.input(&format!("SA 0 ack {ack} mss 800")).unwrap();
        assert_eq!(t.sent(), [again]);
        t.input("A 1 ack 761").unwrap();
        assert_eq!(t.count(Counter::TcpFastRetransmits) + t.count(Counter::TcpTimeouts), 0);
        assert!(!t.connection(|c| c.syn_data || c.is_outstanding()));
    }
}

#[test]
fn an_ack_beyond_it_is_reset() {
    let mut t = Harness::new(&config());
    learn(&mut t, "SA 0 ack 1 mss 800 fo 01020304");
    connect(&mut t, 760);
    t.sent();
    assert_eq!(t.input("SA 0 ack 762 mss 800"), Err(Drop::TcpAckUnacceptable));
    assert_eq!(t.sent(), ["R 762"]);
}

/// Section 4.2.1: whatever was in the way of the first may have been the option, or the data.
#[test]
fn a_syn_that_is_sent_again_is_an_ordinary_one() {
    let mut t = Harness::new(&config());
    learn(&mut t, "SA 0 ack 1 mss 800 fo 01020304");
    connect(&mut t, 100);
    assert_eq!(t.sent(), ["S 0+100"]);
    t.at(1000);
    let again = t.last();
    assert_eq!((again.text.as_str(), again.options.fast_open), ("S 0", None));
    t.input("SA 0 ack 1 mss 800").unwrap();
    assert_eq!(t.sent(), ["PA 1+100 ack 1"]);
}

#[test]
fn a_server_that_does_not_answer_is_asked_in_the_older_form_and_then_not_again() {
    let mut t = Harness::new(&config());
    let forms: Vec<_> = (0..3).map(|_| learn(&mut t, "SA 0 ack 1 mss 800").unwrap().form).collect();
    let (standard, experimental) = (FastOpenForm::Standard, FastOpenForm::Experimental);
    assert_eq!(forms, [standard, experimental, standard]);
}

#[test]
fn data_goes_without_a_cookie_where_that_is_configured() {
    let mut config = config();
    config.fast_open.sends_without_cookie = true;
    config.fast_open.accepts_without_cookie = true;
    let mut t = Harness::new(&config);
    assert_eq!(connect(&mut t, 300), 300);
    assert_eq!(text_and_option(&mut t), ("S 0+300".to_owned(), None));
    let mut t = listening(&config, 1);
    t.input("S 0+100 mss 1000").unwrap();
    assert_eq!(t.sent(), ["SA 0 ack 101"]);
}

/// RFC 9768, sections 3.1.5, 3.2 and 5.2.
#[test]
fn an_early_connection_may_have_accurate_ecn_feedback() {
    let config = TcpConfig { ecn: EcnPolicy::WhenAsked, ..config() };
    let mut t = listening(&config, 1);
    let cookie = cookie(&mut t);
    let syn = |flags: &str, mark: &str| format!("{flags} 0+100 mss 1000 fo {cookie}{mark}");
    t.input(&syn("SEWN", " ce 1")).unwrap();
    let answer = t.last();
    assert_eq!(answer.text, "SAWN 0 ack 101", "the SYN was marked");
    assert!(answer.options.accurate_ecn.is_some());
    let [_, received] = t.connection(|c| c.ecn_counts());
    assert_eq!((received.marked_packets, received.marked_bytes), (0, 0), "a SYN does not count");
    t.input(&syn("SEWN", " ect0 1")).unwrap_err();
    let again = t.last();
    assert_eq!((again.text.as_str(), again.options.accurate_ecn), ("SAN 0 ack 101", None));
    assert_eq!(t.input(&syn("SEW", "")), Err(Drop::TcpSynUnexpected));
    assert_eq!((t.sent(), t.state()), (vec!["RA 0 ack 101".to_owned()], None));
}

/// RFC 3168, section 6.1.1: SHOULD NOT.
#[test]
fn a_syn_that_asks_for_nothing_the_second_time_ends_marking() {
    let config = TcpConfig { ecn: EcnPolicy::WhenAsked, ..config() };
    let mut t = listening(&config, 1);
    let cookie = cookie(&mut t);
    t.input(&format!("SEW 0+100 mss 1000 fo {cookie}")).unwrap();
    t.input("S 0 mss 1000").unwrap_err();
    assert!(t.accept());
    t.input("A 101 ack 1").unwrap();
    t.sent();
    t.write(1000);
    assert_eq!(t.last().tos, 0);
}
