//! TCP-AO: what differs from MD5, for what is the same is in [`md5`](super::md5).

use std::net::SocketAddrV4;

use super::super::session::Session;
use super::super::{Signer, Signing, TcpAoAlgorithm, TcpAoKey, extension};
use super::*;
use crate::api::{ConnectOptions, Control};
use crate::tcp::TcpConfig;
use crate::tcp::harness::{IP_LEN, PEER_ISS};
use crate::wire::tcp_options::AuthKind;

fn key(ids: (u8, u8), secret: &str) -> TcpAoKey {
    TcpAoKey::new(PEER, ids, TcpAoAlgorithm::HmacSha1, secret.as_bytes()).unwrap()
}

/// Ours, by SendID and RecvID. The secret follows from the ids.
fn ours(ids: &[(u8, u8)]) -> TcpKeys {
    let mut keys = TcpKeys::NONE;
    for &(send, recv) in ids {
        keys.add_ao(key((send, recv), &format!("secret {send} {recv}"))).unwrap();
    }
    keys
}

/// The peer's, by our SendID and RecvID.
fn theirs(t: &Harness, ids: &[(u8, u8)]) -> Session {
    let keys: Vec<_> = ids
        .iter()
        .map(|&(send, recv)| key((recv, send), &format!("secret {send} {recv}")))
        .collect();
    Session::new(keys.iter(), &t.flow_of_peer(), PEER_ISS, None).unwrap()
}

fn listening(config: &TcpConfig, ids: &[(u8, u8)]) -> Harness {
    let mut t = Harness::new(config);
    listen(&mut t, ours(ids));
    t.peer_auth = Some(Auth::Ao(Box::new(theirs(&t, ids))));
    t
}

/// The peer has seen our SYN, or SYN-ACK.
fn peer_learns(t: &mut Harness) {
    let iss = t.our_iss();
    peer(t).learn_isn(iss);
}

fn peer(t: &mut Harness) -> &mut Session {
    match &mut t.peer_auth {
        Some(Auth::Ao(session)) => session,
        _ => panic!("the peer has no keys"),
    }
}

fn accepted(config: &TcpConfig, ids: &[(u8, u8)]) -> Harness {
    let mut t = listening(config, ids);
    t.input("S 0 mss 1000").unwrap();
    assert_eq!(signed(&mut t), ["SA 0 ack 1"]);
    peer_learns(&mut t);
    t.input("A 1 ack 1").unwrap();
    assert!(t.accept());
    t.connection(|c| c.ack.quick = 0);
    t
}

fn connecting(config: &TcpConfig, ids: &[(u8, u8)]) -> Harness {
    let mut t = Harness::new(config);
    let remote = SocketAddrV4::new(PEER, PEER_PORT);
    let options = ConnectOptions { keys: ours(ids), ..ConnectOptions::default() };
    t.stream = Some(t.tcp.connect_with(&mut t.net, None, remote, &options).unwrap());
    let text = t.net.outbox.front().unwrap().head()[IP_LEN..IP_LEN + 2].to_vec();
    t.our_port = u16::from_be_bytes([text[0], text[1]]);
    t.peer_auth = Some(Auth::Ao(Box::new(theirs(&t, ids))));
    t
}

/// The ids of our connection's keys: that which signs, and that which is asked for.
fn ids(t: &mut Harness) -> (u8, u8) {
    t.tcp.connections(t.net.now).next().unwrap().ao_keys.expect("no keys")
}

/// The peer plays without a signature, or with that of another session.
fn other(t: &mut Harness, session: Option<Session>, segment: &str) -> Result<(), Drop> {
    let auth = session.map(|mut session| {
        session.learn_isn(t.our_iss());
        Auth::Ao(Box::new(session))
    });
    input_with(t, auth, segment)
}

const ONE: &[(u8, u8)] = &[(1, 2)];
const TWO: &[(u8, u8)] = &[(1, 2), (3, 4)];

#[test]
fn a_connection_is_signed_from_its_first_segment_to_time_wait() {
    let mut t = accepted(&Harness::plain(), ONE);
    t.write(100);
    assert_eq!(signed(&mut t), ["PA 1+100 ack 1"]);
    t.input("PA 1+1000 ack 101").unwrap();
    assert_eq!(t.read(2000).unwrap(), 1000);
    t.close();
    assert_eq!(signed(&mut t), ["FA 101 ack 1001"]);
    t.input("FA 1001 ack 102").unwrap();
    assert_eq!(signed(&mut t), ["A 102 ack 1002"]);
    assert_eq!(other(&mut t, None, "FA 1001 ack 102"), Err(Drop::TcpAoMissing));
    t.input("FA 1001 ack 102").unwrap_err();
    assert_eq!(signed(&mut t), ["A 102 ack 1002"]);
}

#[test]
fn connecting_signs_the_syn_before_the_peers_number_is_known() {
    let mut t = connecting(&Harness::plain(), ONE);
    assert_eq!(signed(&mut t), ["S 0"]);
    peer_learns(&mut t);
    assert_eq!(other(&mut t, None, "SA 0 ack 1"), Err(Drop::TcpAoMissing));
    assert_eq!(t.input("SA 0 ack 9"), Err(Drop::TcpAckUnacceptable));
    assert_eq!(t.sent(), NOTHING, "no key signs a reset yet");
    t.at(1000);
    assert_eq!(signed(&mut t), ["S 0"]);
    t.input("SA 0 ack 1 mss 1000").unwrap();
    assert_eq!(signed(&mut t), ["A 1 ack 1"]);
    t.write(2000);
    assert_eq!(signed(&mut t)[0], "A 1+984 ack 1");
}

#[test]
fn both_ends_may_connect_at_once() {
    let mut t = connecting(&Harness::plain(), ONE);
    signed(&mut t);
    t.input("S 0").unwrap();
    peer_learns(&mut t);
    assert_eq!(signed(&mut t), ["SA 0 ack 1"]);
    t.input("SA 0 ack 1").unwrap();
    assert_eq!(t.state(), Some(State::Established));
}

#[test]
fn what_is_not_signed_as_it_must_be_is_dropped_unanswered() {
    for segment in ["PA 1+10 ack 1", "R 1", "FA 1 ack 1", "A 1 ack 900"] {
        let mut t = accepted(&Harness::plain(), ONE);
        let unknown = theirs(&t, &[(9, 9)]);
        let wrong = Session::new([key((2, 1), "else")].iter(), &t.flow_of_peer(), PEER_ISS, None);
        assert_eq!(other(&mut t, None, segment), Err(Drop::TcpAoMissing), "{segment}");
        assert_eq!(other(&mut t, Some(unknown), segment), Err(Drop::TcpAoKeyUnknown), "{segment}");
        assert_eq!(other(&mut t, wrong, segment), Err(Drop::TcpAoWrong), "{segment}");
        assert_eq!(t.sent(), NOTHING, "{segment}");
        assert_eq!(t.state(), Some(State::Established), "{segment}");
    }
}

#[test]
fn where_there_is_no_connection_nothing_is_answered() {
    let mut t = listening(&Harness::plain(), ONE);
    assert_eq!(t.input("A 1 ack 9"), Err(Drop::TcpAoUnexpected));
    for segment in ["S 0", "A 1 ack 9", "R 1"] {
        assert_eq!(other(&mut t, None, segment), Err(Drop::TcpAoMissing), "{segment}");
    }
    let mut nobody = Harness::new(&Harness::plain());
    nobody.peer_auth = Some(Auth::Ao(Box::new(theirs(&nobody, ONE))));
    assert_eq!(nobody.input("S 0"), Err(Drop::TcpAoUnexpected));
    assert_eq!((t.sent(), nobody.sent()), (vec![], vec![]));
}

/// The peer's SYN is 21 numbers before the sequence space begins anew.
#[test]
fn a_replay_from_before_the_numbers_began_anew_is_dropped() {
    let mut t = accepted(&Harness::plain(), ONE);
    t.input("PA 1+100 ack 1").unwrap();
    t.input("PA 101+10 ack 1").unwrap();
    assert_eq!(t.read(1000).unwrap(), 110);
    let mut replay = t.datagram("PA 111+10 ack 1");
    let flow = t.flow_of_peer();
    let seq = PEER_ISS + 111;
    let segment = &mut replay.frame.head_mut()[IP_LEN..];
    let (header, payload) = segment.split_at_mut(36);
    // Signed before 2^32 more were sent.
    Signer::Ao(peer(&mut t).signer(seq.0.into(), seq)).sign(&flow, header, payload);
    assert_eq!(t.tcp.input(&mut t.net, replay), Err(Drop::TcpAoWrong));
    t.input("PA 111+10 ack 1").unwrap();
}

#[test]
fn extensions_count_how_often_the_numbers_began_anew() {
    let [near, anew] = [u32::MAX - 9, 10];
    for (nearby, seq, want) in [
        (0, 0, 0),
        (u64::from(near), near, 0),
        (u64::from(near), anew, 1),
        (1 << 32, near, 0),
        ((1 << 32) + 500, anew, 1),
        ((7 << 32) + u64::from(near), near - 1000, 7),
        ((7 << 32) + u64::from(near), anew, 8),
        (8 << 32, near, 7),
    ] {
        assert_eq!(extension(nearby, Seq(seq)), want, "{seq} near {nearby:#x}");
    }
}

#[test]
fn keys_roll_over_as_either_end_asks() {
    let mut t = accepted(&Harness::plain(), TWO);
    assert_eq!(ids(&mut t), (1, 2));
    // The peer wants us to sign with its second key.
    peer(&mut t).ask_for(3);
    t.input("PA 1+10 ack 1").unwrap();
    assert_eq!(ids(&mut t), (3, 2));
    t.at(100);
    assert_eq!(signed(&mut t), ["A 1 ack 11"]);
    // And we it with ours: it hears of it at once, and does so.
    let control: Control = t.stream().control().clone();
    control.set_next_ao_key(4);
    follow_orders(&mut t);
    assert_eq!(signed(&mut t), ["A 1 ack 11"]);
    assert_eq!(peer(&mut t).ids(), (4, 3));
    t.input("PA 11+10 ack 1").unwrap();
    assert_eq!(ids(&mut t), (3, 4));
    control.set_next_ao_key(77);
    follow_orders(&mut t);
    assert_eq!(ids(&mut t), (3, 4), "there is none");
}

#[test]
fn a_listener_signs_with_the_key_that_the_syn_asks_for() {
    let mut t = listening(&Harness::plain(), TWO);
    peer(&mut t).ask_for(3);
    t.input("S 0 mss 1000").unwrap();
    let entry = *t.tcp.half_open.get(&t.flow()).unwrap();
    assert_eq!(entry.signing, Signing::Ao { current: 3, next: 2 });
    // Only what is signed with the second key is taken from now on.
    let second = theirs(&t, &TWO[1..]);
    let both = t.peer_auth.replace(Auth::Ao(Box::new(second)));
    assert_eq!(signed(&mut t), ["SA 0 ack 1"]);
    t.at(1000);
    assert_eq!(signed(&mut t), ["SA 0 ack 1"], "sent again");
    t.peer_auth = both;
    peer_learns(&mut t);
    t.input("A 1 ack 1").unwrap();
    assert_eq!(ids(&mut t), (3, 2));
}

#[test]
fn keys_are_added_and_taken_away_while_a_connection_lasts() {
    let mut t = accepted(&Harness::plain(), ONE);
    let control: Control = t.stream().control().clone();
    let set = |t: &mut Harness, keys: TcpKeys| {
        control.set_keys(&keys);
        follow_orders(t);
        t.sent();
    };
    set(&mut t, ours(&[(5, 6), (1, 2)]));
    assert_eq!(ids(&mut t), (1, 2), "what signs goes on");
    let iss = t.our_iss();
    let mut both = theirs(&t, &[(1, 2), (5, 6)]);
    both.learn_isn(iss);
    both.ask_for(5);
    t.peer_auth = Some(Auth::Ao(Box::new(both)));
    t.input("PA 1+10 ack 1").unwrap();
    assert_eq!(ids(&mut t), (5, 2));
    set(&mut t, ours(&[(5, 6)]));
    assert_eq!(ids(&mut t), (5, 6), "the other is gone");
    assert_eq!(t.input("PA 11+10 ack 1"), Err(Drop::TcpAoKeyUnknown));
    set(&mut t, TcpKeys::NONE);
    assert_eq!(ids(&mut t), (5, 6), "it does not go on unsigned");
    let mut unsigned = Harness::connected();
    unsigned.stream().control().set_keys(&ours(ONE));
    follow_orders(&mut unsigned);
    assert!(unsigned.connection(|c| c.auth().is_none()), "nor does one begin");
}

/// Timestamps may be changed on the way where the key says so.
#[test]
fn options_are_covered_or_not() {
    for (excluded, want) in [(false, Err(Drop::TcpAoWrong)), (true, Ok(()))] {
        let mode = |key: TcpAoKey| if excluded { key.excluding_options() } else { key };
        let mut t = Harness::new(&TcpConfig { window_scaling: false, ..TcpConfig::default() });
        listen(&mut t, mode(key((1, 2), "s")).into());
        let session =
            Session::new([mode(key((2, 1), "s"))].iter(), &t.flow_of_peer(), PEER_ISS, None);
        t.peer_auth = Some(Auth::Ao(Box::new(session.unwrap())));
        t.input("S 0 mss 1000 ts 7:0").unwrap();
        let ts = t.last().options.timestamps.unwrap().value;
        peer_learns(&mut t);
        t.input(&format!("A 1 ack 1 ts 8:{ts}")).unwrap();
        let mut datagram = t.datagram(&format!("PA 1+10 ack 1 ts 9:{ts}"));
        // The last byte of the timestamp: options are TCP-AO, two no-operations, the timestamps.
        datagram.frame.head_mut()[IP_LEN + 20 + 16 + 7] ^= 16;
        assert_eq!(t.tcp.input(&mut t.net, datagram), want, "{excluded}");
    }
}

#[test]
fn timestamps_and_one_sack_block_have_room() {
    let mut t = connecting(&TcpConfig::default(), ONE);
    let syn = t.last().options;
    assert_eq!((syn.sack_permitted, syn.timestamps.is_some()), (true, true));
    assert_eq!(syn.auth, Some(AuthKind::Ao));
    peer_learns(&mut t);
    t.input("SA 0 ack 1 mss 1000 sackOK ts 7:0").unwrap();
    t.sent();
    for at in [1001, 3001] {
        t.input(&format!("A {at}+100 ack 1 ts 8:0")).unwrap();
    }
    let told = t.emitted().pop().unwrap().options.sack_blocks;
    assert_eq!(told.as_slice().len(), 1, "{told:?}");
    assert_eq!(t.connection(|c| c.snd.mss), 1000 - 16 - 12);
}

#[test]
fn a_handshake_whose_key_is_taken_away_ends() {
    let mut t = listening(&Harness::plain(), ONE);
    t.input("S 0").unwrap();
    signed(&mut t);
    peer_learns(&mut t);
    let listener = t.listener.clone().unwrap();
    t.tcp.set_listener_keys(&listener, ours(&[(5, 6)]));
    assert_eq!(t.input("A 1 ack 1"), Err(Drop::TcpAoUnexpected));
    t.at(100_000);
    assert_eq!((t.sent(), t.tcp.half_open.len()), (vec![], 0));
}

/// RFC 5925, section 7.8.
#[test]
fn icmp_errors_that_could_end_or_narrow_a_connection_are_ignored() {
    use crate::icmp::IcmpError;
    let mut t = accepted(&Harness::plain(), ONE);
    t.write(500);
    signed(&mut t);
    let (flow, seq) = (t.flow(), t.our_iss() + 1);
    let mut heard = |error| t.tcp.icmp_error(&mut t.net, &flow, seq, error);
    for error in [
        IcmpError::ProtocolUnreachable,
        IcmpError::PortUnreachable,
        IcmpError::TooBig { mtu: 600, len: 1500 },
    ] {
        assert_eq!(heard(error), Err(Drop::IcmpSigned), "{error:?}");
    }
    assert_eq!(heard(IcmpError::HostUnreachable), Ok(()));
}

#[test]
fn an_old_segment_brings_no_key_back() {
    let mut t = accepted(&Harness::plain(), TWO);
    let old = t.datagram("PA 1+100 ack 1");
    t.input("PA 1+100 ack 1").unwrap();
    peer(&mut t).ask_for(3);
    t.input("PA 101+100 ack 1").unwrap();
    let rolled = ids(&mut t);
    t.tcp.input(&mut t.net, old).unwrap_err();
    assert_eq!(ids(&mut t), rolled);
}

#[test]
fn a_key_that_is_asked_for_while_connecting_is_told_by_the_handshake() {
    let mut t = connecting(&Harness::plain(), TWO);
    signed(&mut t);
    let control: Control = t.stream().control().clone();
    control.set_next_ao_key(4);
    follow_orders(&mut t);
    assert_eq!(t.sent(), NOTHING);
}
