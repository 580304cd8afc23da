//! What belongs to no connection by its own addresses and ports: ICMP errors, pings, ARP, UDP, packets to ourselves.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use super::apps::Talker;
use super::nic::Spread;
use super::packet;
use super::world::{PEER, Plan, Road, US, World, at};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::wire::icmpv4::{IcmpHeader, Unreachable};

///
#[test]
fn an_icmp_error_finds_the_flow_that_it_quotes_from_any_queue() {
    for queue in 0..3 {
        let caller = |_| Talker { call: Some((at(PEER), 4)), ..Talker::default() };
        let mut world = World::new(&Plan::new(Spread::ByTurns, 3, 3), caller, Talker::default());
        world.road = Road::Closed;
        world.settle();
        let syns = std::mem::take(&mut world.sent);
        assert_eq!(syns.len(), 12);
        let unreachable = IcmpHeader::DestinationUnreachable(Unreachable::Port);
        for syn in &syns {
            let error = packet::icmp_error(syn, "10.0.0.9".parse().unwrap(), unreachable);
            world.nic.receive_at(queue, &error);
        }
        world.settle();
        let calls = world.log.calls();
        assert_eq!(calls.len(), 12, "queue {queue}");
        assert!(calls.iter().all(|call| call.outcome == Err(ErrorKind::ConnectionRefused)));
        assert_eq!(world.count(Counter::ForwardedOut), world.count(Counter::ForwardedIn));
        assert_eq!(world.dropped(Drop::IcmpUnmatched), 0);
        world.finish();
    }
}

#[test]
fn an_icmp_error_about_nothing_ends_where_it_would_belong() {
    let caller = |_| Talker { call: Some((at(PEER), 4)), ..Talker::default() };
    let mut world = World::new(&Plan::new(Spread::ByTurns, 2, 2), caller, Talker::default());
    world.road = Road::Closed;
    world.settle();
    let unreachable = IcmpHeader::DestinationUnreachable(Unreachable::Port);
    let mut other = world.sent[0].clone();
    other[36] ^= 1; // The port of nobody.
    let error = packet::icmp_error(&other, "10.0.0.9".parse().unwrap(), unreachable);
    (0..2).for_each(|queue| world.nic.receive_at(queue, &error));
    world.settle();
    assert_eq!((world.dropped(Drop::IcmpUnmatched), world.log.calls().len()), (2, 0));
    world.finish();
}

#[test]
fn an_answer_to_a_ping_reaches_the_core_that_asked() {
    for asks in 0..3 {
        let ping = |core| Talker {
            ping: (core == asks).then(|| PEER.parse().unwrap()),
            ..Talker::default()
        };
        let mut world = World::new(&Plan::new(Spread::ByTurns, 3, 3), ping, Talker::default());
        world.settle();
        let told: Vec<usize> =
            world.log.lock().echo_replies.iter().map(|&(core, _)| core).collect();
        assert!(told.contains(&asks), "{asks}: {told:?}");
        world.finish();
    }
}

#[test]
fn what_one_core_hears_by_arp_every_core_knows() {
    for queues in [1, 4] {
        let mut world = World::new(
            &Plan::new(Spread::ByTurns, queues, 4),
            |_| Talker { call: Some((at(PEER), 1)), ..Talker::default() },
            Talker { listen: Some(at(PEER)), ..Talker::default() },
        );
        let done = world.run(Duration::from_millis(10), |world| world.log.calls().len() == 4);
        assert!(done, "no core waits for an answer that another has got");
        assert_eq!(
            world.count(Counter::ArpRequestsSent),
            4 + 4,
            "each asks once, and announces once"
        );
        world.finish();
    }
}

#[test]
fn one_core_answers_who_asks_for_us() {
    let mut world = World::new(
        &Plan::new(Spread::ByTurns, 4, 4),
        |_| Talker { listen: Some(at(US)), ..Talker::default() },
        Talker { call: Some((at(US), 1)), ..Talker::default() },
    );
    assert!(world.run(Duration::from_secs(1), |world| world.peer_log.calls().len() == 1));
    assert_eq!(world.count(Counter::ArpRepliesSent), 1);
    world.finish();
}

/// S-14.
#[test]
fn calls_to_ourselves_live_on_their_owners_and_never_meet_the_device() {
    let talker = |_| Talker {
        listen: Some(at(US)),
        call: Some((at(US), 10)),
        len: 2000,
        ..Talker::default()
    };
    let mut world = World::new(&Plan::new(Spread::ByItsKey, 3, 3), talker, Talker::default());
    let done = world.run(Duration::from_secs(60), |world| world.log.calls().len() == 60);
    assert!(done, "{:?}", world.log.calls().len());
    for call in world.log.calls() {
        assert_eq!(call.outcome, Ok(2000));
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (call.local, call.remote) else {
            panic!("{call:?}")
        };
        let flow = crate::demux::FlowKey4 {
            remote: *remote.ip(),
            local: *local.ip(),
            remote_port: remote.port(),
            local_port: local.port(),
        };
        assert_eq!(world.steering.owner(&flow), call.core);
    }
    assert_eq!(world.sent.len(), 0);
    assert_eq!(world.dropped(Drop::TcpNoSocket), 0);
    world.finish();
}
