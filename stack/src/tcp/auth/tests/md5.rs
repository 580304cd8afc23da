//! MD5: what is signed, what is taken, and what is answered, on connections, before there are any, and after them.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::*;
use crate::api::{ConnectOptions, Control, TcpListener};
use crate::counters::Counter;
use crate::tcp::auth::keys::Secret;
use crate::tcp::{CookiePolicy, FastOpenConfig, TcpConfig};

fn keys(peer: Ipv4Addr, key: &str) -> TcpKeys {
    TcpMd5Key::new(peer, key.as_bytes()).unwrap().into()
}

fn auth(key: &str) -> Option<Auth> {
    Some(Auth::Md5(Secret::new(key.as_bytes())))
}

/// We listen with a key for the peer, who has the same.
fn listening(config: &TcpConfig) -> Harness {
    let mut t = Harness::new(config);
    listen(&mut t, keys(PEER, "secret"));
    t.peer_auth = auth("secret");
    t
}

/// A connection that the peer has made.
fn accepted(config: &TcpConfig) -> Harness {
    let mut t = listening(config);
    t.input("S 0 mss 1000").unwrap();
    assert_eq!(signed(&mut t), ["SA 0 ack 1"]);
    t.input("A 1 ack 1").unwrap();
    assert!(t.accept());
    t.connection(|c| c.ack.quick = 0);
    t
}

/// A connection that we have begun.
fn connecting(config: &TcpConfig) -> Harness {
    let mut t = Harness::new(config);
    let remote = SocketAddrV4::new(PEER, PEER_PORT);
    let keys = keys(PEER, "secret");
    let options = ConnectOptions { keys, ..ConnectOptions::default() };
    t.stream = Some(t.tcp.connect_with(&mut t.net, None, remote, &options).unwrap());
    t.peer_auth = auth("secret");
    t
}

#[test]
fn every_segment_of_a_connection_is_signed() {
    let mut t = accepted(&Harness::plain());
    t.write(100);
    assert_eq!(signed(&mut t), ["PA 1+100 ack 1"]);
    t.input("PA 1+1000 ack 101").unwrap();
    assert_eq!(t.read(2000).unwrap(), 1000);
    t.at(100);
    assert_eq!(signed(&mut t), ["A 101 ack 1001"]);
    t.input("PA 5001+10 ack 101").unwrap();
    assert_eq!(signed(&mut t), ["A 101 ack 1001"], "a duplicate ACK");
    t.input("S 1001").unwrap_err();
    assert_eq!(signed(&mut t), ["A 101 ack 1001"], "a challenge");
    t.stream().abort();
    t.application();
    assert_eq!(signed(&mut t), ["RA 101 ack 1001"]);
}

#[test]
fn what_is_not_signed_with_the_key_is_dropped_unanswered() {
    for segment in ["PA 1+10 ack 1", "R 1", "S 1", "FA 1 ack 1", "A 0 ack 1", "A 1 ack 900"] {
        let mut t = accepted(&Harness::plain());
        let (missing, wrong) = (Drop::TcpMd5Missing, Drop::TcpMd5Wrong);
        assert_eq!(input_with(&mut t, None, segment), Err(missing), "{segment}");
        assert_eq!(input_with(&mut t, auth("Secret"), segment), Err(wrong), "{segment}");
        assert_eq!(t.sent(), NOTHING, "{segment}");
        assert_eq!(t.state(), Some(State::Established), "{segment}");
        assert_eq!(t.stream().readable(), 0);
    }
}

/// Each bit that the digest covers, and the key's bytes.
#[test]
fn a_changed_segment_is_dropped() {
    // Ports, numbers, offset and flags, window and urgent pointer, and payload.
    for at in [4, 11, 15, 19, 45] {
        let mut t = accepted(&Harness::plain());
        let mut datagram = t.datagram("PA 1+10 ack 1");
        datagram.frame.head_mut()[20 + at] ^= 1;
        assert_eq!(t.tcp.input(&mut t.net, datagram), Err(Drop::TcpMd5Wrong), "byte {at}");
    }
}

#[test]
fn a_segment_in_pieces_is_signed_as_a_whole() {
    let mut t = accepted(&Harness::plain());
    let mut datagram = t.datagram("PA 1+100 ack 1");
    let bytes: Vec<u8> = datagram.frame.segments().flatten().copied().collect();
    let (first, second) = bytes.split_at(100);
    let offload = datagram.frame.rx_offload();
    datagram.frame = t.net.frame_of(first).unwrap();
    datagram.frame.chain(t.net.frame_of(second).unwrap());
    datagram.frame.set_rx_offload(offload);
    t.tcp.input(&mut t.net, datagram).unwrap();
    assert_eq!(t.read(200).unwrap(), 100);
}

#[test]
fn a_keyed_peer_connects_with_its_key_only() {
    let mut t = listening(&Harness::plain());
    assert_eq!(input_with(&mut t, None, "S 0"), Err(Drop::TcpMd5Missing));
    assert_eq!(input_with(&mut t, auth("other"), "S 0"), Err(Drop::TcpMd5Wrong));
    assert_eq!((t.sent(), t.tcp.half_open.len()), (vec![], 0));
    t.input("S 0").unwrap();
    assert_eq!(signed(&mut t), ["SA 0 ack 1"]);
    for segment in ["A 1 ack 1", "R 1", "S 0", "A 1 ack 7"] {
        assert_eq!(input_with(&mut t, None, segment), Err(Drop::TcpMd5Missing), "{segment}");
        assert_eq!(input_with(&mut t, auth("other"), segment), Err(Drop::TcpMd5Wrong), "{segment}");
    }
    assert_eq!((t.sent(), t.tcp.half_open.len()), (vec![], 1));
    t.at(1000);
    assert_eq!(signed(&mut t), ["SA 0 ack 1"], "sent again");
    t.input("A 1 ack 7").unwrap_err();
    assert_eq!(signed(&mut t), ["R 7"]);
    t.input("A 1 ack 1").unwrap();
    assert!(t.accept());
    assert_eq!(t.connection(|c| c.auth_len()), 20);
}

#[test]
fn peers_without_a_key_connect_as_ever_and_unsigned() {
    let other = Ipv4Addr::new(10, 0, 0, 99);
    for listener_keys in [TcpKeys::NONE, keys(other, "secret")] {
        let mut t = Harness::new(&Harness::plain());
        listen(&mut t, listener_keys);
        t.peer_auth = auth("secret");
        for segment in ["S 0 mss 1000", "A 1 ack 1", "PA 1+10 ack 1", "R 11"] {
            assert_eq!(t.input(segment), Err(Drop::TcpMd5Unexpected), "{segment}");
            input_with(&mut t, None, segment).unwrap();
            assert!(t.emitted().iter().all(|sent| sent.options.auth.is_none()));
        }
        assert!(t.accept());
    }
}

#[test]
fn where_nobody_listens_what_is_signed_is_not_reset() {
    let mut t = Harness::new(&Harness::plain());
    t.peer_auth = auth("secret");
    assert_eq!(t.input("A 1 ack 9"), Err(Drop::TcpMd5Unexpected));
    assert_eq!(t.sent(), NOTHING);
}

#[test]
fn connecting_with_a_key_takes_only_what_is_signed() {
    let mut t = connecting(&Harness::plain());
    assert_eq!(signed(&mut t), ["S 0"]);
    for segment in ["SA 0 ack 1", "RA 0 ack 1", "S 0"] {
        assert_eq!(input_with(&mut t, None, segment), Err(Drop::TcpMd5Missing), "{segment}");
        assert_eq!(input_with(&mut t, auth("other"), segment), Err(Drop::TcpMd5Wrong), "{segment}");
    }
    assert_eq!((t.state(), t.sent()), (Some(State::SynSent), vec![]));
    t.input("SA 0 ack 1 mss 1000").unwrap();
    assert_eq!(signed(&mut t), ["A 1 ack 1"]);
}

#[test]
fn a_key_for_others_signs_nothing() {
    let mut t = Harness::new(&Harness::plain());
    let keys = keys(Ipv4Addr::new(10, 0, 0, 99), "secret");
    let remote = SocketAddrV4::new(PEER, PEER_PORT);
    let options = ConnectOptions { keys, ..ConnectOptions::default() };
    t.stream = Some(t.tcp.connect_with(&mut t.net, None, remote, &options).unwrap());
    assert_eq!(t.last().options.auth, None);
}

#[test]
fn in_time_wait_all_is_signed_too() {
    let mut t = accepted(&Harness::plain());
    t.close();
    assert_eq!(signed(&mut t), ["FA 1 ack 1"]);
    t.input("FA 1 ack 2").unwrap();
    assert_eq!(signed(&mut t), ["A 2 ack 2"]);
    assert_eq!((t.tcp.time_wait.len(), t.tcp.late_auths.is_empty()), (1, false));
    assert_eq!(input_with(&mut t, None, "FA 1 ack 2"), Err(Drop::TcpMd5Missing));
    assert_eq!(input_with(&mut t, auth("other"), "FA 1 ack 2"), Err(Drop::TcpMd5Wrong));
    assert_eq!(t.sent(), NOTHING);
    t.input("FA 1 ack 2").unwrap_err();
    assert_eq!(signed(&mut t), ["A 2 ack 2"]);
    t.at(61_000);
    assert_eq!((t.tcp.time_wait.len(), t.tcp.late_auths.is_empty()), (0, true));
}

#[test]
fn a_signed_syn_reopens_what_is_in_time_wait() {
    let mut t = accepted(&Harness::plain());
    t.close();
    t.input("FA 1 ack 2").unwrap();
    t.sent();
    assert_eq!(input_with(&mut t, None, "S 100"), Err(Drop::TcpMd5Missing));
    t.input("S 100").unwrap();
    assert_eq!(signed(&mut t).len(), 1);
    assert_eq!((t.tcp.half_open.len(), t.tcp.late_auths.is_empty()), (1, true));
}

#[test]
fn a_keyed_peer_gets_no_cookie() {
    let config = TcpConfig { syn_cookies: CookiePolicy::Always, ..Harness::plain() };
    let mut t = listening(&config);
    t.input("S 0").unwrap();
    assert_eq!((t.count(Counter::TcpSynCookiesSent), t.tcp.half_open.len()), (0, 1));
    signed(&mut t);
}

/// It would open a connection without a key.
#[test]
fn a_cookie_from_before_a_peer_had_a_key_opens_nothing() {
    let config = TcpConfig { syn_cookies: CookiePolicy::Always, ..Harness::plain() };
    let mut t = Harness::new(&config);
    listen(&mut t, TcpKeys::NONE);
    t.input("S 0").unwrap();
    t.sent();
    assert_eq!(t.count(Counter::TcpSynCookiesSent), 1);
    let listener = t.listener.clone().unwrap();
    t.tcp.set_listener_keys(&listener, keys(PEER, "secret"));
    assert_eq!(t.input("A 1 ack 1"), Err(Drop::TcpMd5Missing));
    t.peer_auth = auth("secret");
    assert_eq!(t.input("A 1 ack 1"), Err(Drop::TcpAckUnacceptable));
    assert_eq!(signed(&mut t), ["R 1"]);
    assert!(!t.accept());
}

#[test]
fn a_reset_answers_a_signed_stray_and_is_signed() {
    let mut t = listening(&Harness::plain());
    assert_eq!(input_with(&mut t, None, "A 1 ack 9"), Err(Drop::TcpMd5Missing));
    assert_eq!(t.sent(), NOTHING);
    t.input("A 1 ack 9").unwrap_err();
    assert_eq!(signed(&mut t), ["R 9"]);
}

#[test]
fn data_for_a_closed_application_is_reset_with_a_signature() {
    let mut t = accepted(&Harness::plain());
    t.close();
    t.sent();
    t.input("PA 1+10 ack 2").unwrap_err();
    assert_eq!(signed(&mut t), ["R 2"]);
}

#[test]
fn segments_leave_room_for_the_digest() {
    let mut t = accepted(&Harness::plain());
    t.write(2000);
    assert_eq!(signed(&mut t), ["A 1+980 ack 1", "A 981+980 ack 1", "PA 1961+40 ack 1"]);
    let mut t = listening(&TcpConfig { sack: false, ..TcpConfig::default() });
    t.input("S 0 mss 1000 ts 7:0").unwrap();
    let ts = t.last().options.timestamps.unwrap().value;
    t.input(&format!("A 1 ack 1 ts 8:{ts}")).unwrap();
    assert!(t.accept());
    assert_eq!(t.connection(|c| c.snd.mss), 1000 - 20 - 12);
}

/// Beside MD5 and timestamps no block has room: timestamps give way where both ends have SACK.
#[test]
fn sack_comes_before_timestamps() {
    let config = TcpConfig { window_scaling: false, ..TcpConfig::default() };
    let mut t = connecting(&config);
    let syn = t.last().options;
    assert_eq!((syn.sack_permitted, syn.timestamps, syn.auth.is_some()), (true, None, true));
    for (syn, sack, timestamps) in
        [("sackOK ts 7:0", true, false), ("ts 7:0", false, true), ("sackOK", true, false)]
    {
        let mut t = listening(&config);
        t.input(&format!("S 0 mss 1000 {syn}")).unwrap();
        let answer = t.last().options;
        assert_eq!((answer.sack_permitted, answer.timestamps.is_some()), (sack, timestamps));
    }
    let mut t = listening(&config);
    t.input("S 0 mss 1000 sackOK").unwrap();
    signed(&mut t);
    t.input("A 1 ack 1").unwrap();
    assert!(t.accept());
    for at in [1001, 3001, 5001] {
        t.input(&format!("A {at}+100 ack 1")).unwrap();
    }
    let told = t.emitted().pop().unwrap().options.sack_blocks;
    assert_eq!(told.as_slice().len(), 2, "{told:?}");
}

#[test]
fn keys_of_a_listener_change() {
    let mut t = listening(&Harness::plain());
    let listener = TcpListener::new(t.listener.clone().unwrap(), vec![t.core.clone()]);
    t.input("S 0").unwrap();
    t.sent();
    listener.set_keys(&keys(PEER, "new"));
    follow_orders(&mut t);
    assert_eq!(t.input("A 1 ack 1"), Err(Drop::TcpMd5Wrong), "the old key is gone");
    t.peer_auth = auth("new");
    t.input("A 1 ack 1").unwrap();
    listener.set_keys(&TcpKeys::NONE);
    follow_orders(&mut t);
    assert!(t.accept());
    t.input("PA 1+10 ack 1").unwrap();
    assert_eq!(t.read(100).unwrap(), 10, "a connection keeps what it was made with");
    t.peer_port = 9;
    assert_eq!(t.input("S 0"), Err(Drop::TcpMd5Unexpected));
    std::mem::forget(listener);
}

/// The handshake was signed, and does not go on unsigned.
#[test]
fn a_key_that_is_taken_away_ends_its_handshakes() {
    let mut t = listening(&Harness::plain());
    t.input("S 0").unwrap();
    t.sent();
    let listener = t.listener.clone().unwrap();
    t.tcp.set_listener_keys(&listener, TcpKeys::NONE);
    for peer_auth in [None, auth("secret")] {
        assert!(input_with(&mut t, peer_auth, "A 1 ack 1").is_err());
    }
    t.at(100_000);
    assert_eq!((t.sent(), t.tcp.half_open.len()), (vec![], 0));
    assert!(!t.accept());
}

#[test]
fn a_key_of_a_connection_changes() {
    let mut t = Harness::connected();
    let control: Control = t.stream().control().clone();
    control.set_keys(&keys(PEER, "late"));
    follow_orders(&mut t);
    assert_eq!(t.input("PA 1+10 ack 1"), Err(Drop::TcpMd5Missing));
    t.peer_auth = auth("late");
    t.input("PA 1+10 ack 1").unwrap();
    t.write(2000);
    assert_eq!(signed(&mut t)[0], "A 1+980 ack 11");
    control.set_keys(&TcpKeys::NONE);
    follow_orders(&mut t);
    t.peer_auth = None;
    t.input("PA 11+10 ack 2001").unwrap();
    t.write(1000);
    assert_eq!(t.last().text, "PA 2001+1000 ack 21");
}

/// A connection that is made before the handshake is complete would be one without a key.
#[test]
fn what_is_signed_is_not_opened_early() {
    let fast_open = FastOpenConfig { accepts_without_cookie: true, ..FastOpenConfig::default() };
    let mut t = Harness::new(&TcpConfig { fast_open, ..Harness::plain() });
    let keys = keys(PEER, "secret");
    let options = ListenOptions { keys, fast_open: 4, ..ListenOptions::with_backlog(4) };
    let listener = ListenerShared::new((US, OUR_PORT).into(), options, 1);
    t.tcp.listen(&t.net, listener.clone()).unwrap();
    t.peer_auth = auth("secret");
    t.input("S 0+100 mss 1000").unwrap();
    assert_eq!(signed(&mut t), ["SA 0 ack 1"]);
    assert_eq!((t.state(), t.tcp.half_open.len()), (None, 1));
}

/// Whole it has no room beside the digest: as many of its fields are sent as have.
#[test]
fn an_accurate_ecn_option_leaves_room_for_the_digest() {
    let mut t = listening(&TcpConfig::default());
    t.input("SEWN 0 mss 1000 wscale 7 sackOK").unwrap();
    let answer = t.last().options;
    assert!(answer.auth.is_some() && answer.window_scale.is_some());
    assert_eq!(answer.accurate_ecn.map(|option| option.encoded_len()), Some(8));
}

#[test]
fn a_handshake_from_before_a_peer_had_a_key_completes_nothing() {
    let mut t = Harness::new(&Harness::plain());
    listen(&mut t, TcpKeys::NONE);
    t.input("S 0 mss 1000").unwrap();
    assert_eq!(t.sent(), ["SA 0 ack 1"]);
    let listener = t.listener.clone().unwrap();
    t.tcp.set_listener_keys(&listener, keys(PEER, "secret"));
    assert_eq!(t.input("A 1 ack 1"), Err(Drop::TcpMd5Missing));
    assert!(!t.accept());
    // The peer that knows the key begins anew.
    t.peer_auth = auth("secret");
    t.input("S 0 mss 1000").unwrap();
    assert_eq!(signed(&mut t).len(), 1);
}
