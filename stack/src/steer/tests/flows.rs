//! Connections both ways: each lives on its owner, and every packet of it gets there in one step.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use super::apps::{Call, Talker};
use super::nic::{ALL, Spread};
use super::packet;
use super::world::{PEER, Plan, Road, US, World, at};
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::steer::{Steering, Verdict};

const SHAPES: [(u16, usize); 5] = [(1, 2), (2, 2), (1, 3), (3, 4), (4, 4)];

#[test]
fn whatever_the_card_does_calls_to_us_are_taken_by_their_owners() {
    for spread in ALL {
        for (queues, cores) in SHAPES {
            let name = format!("{spread:?}, {queues} queues, {cores} cores");
            let mut world = called(&Plan::new(spread, queues, cores), 60, 5000, Road::Straight);
            all_on_their_owners(&world, 60, 5000, &name);
            steered_in_one_step(&mut world, &name);
            world.finish();
        }
    }
}

#[test]
fn whatever_the_card_does_our_calls_come_back_to_their_callers() {
    for spread in ALL {
        for (queues, cores) in SHAPES {
            let name = format!("{spread:?}, {queues} queues, {cores} cores");
            let peer = Talker { listen: Some(at(PEER)), len: 3000, ..Talker::default() };
            let caller = |_| Talker { call: Some((at(PEER), 20)), len: 3000, ..Talker::default() };
            let mut world = World::new(&Plan::new(spread, queues, cores), caller, peer);
            let count = 20 * cores;
            let done = world.run(Duration::from_secs(60), |world| world.log.calls().len() == count);
            assert!(done, "{name}: {} of {count}", world.log.calls().len());
            let calls = world.log.calls();
            for core in 0..cores {
                let own = calls.iter().filter(|call| call.core == core).count();
                assert_eq!(own, 20, "{name}: a connection stays with the core that asked for it");
            }
            check(&calls, &world.steering, Ok(3000), &name);
            steered_in_one_step(&mut world, &name);
            world.finish();
        }
    }
}

#[test]
fn fragments_meet_and_what_they_make_goes_to_its_owner() {
    for spread in ALL {
        for (queues, cores) in SHAPES {
            let name = format!("{spread:?}, {queues} queues, {cores} cores");
            let mut world = called(&Plan::new(spread, queues, cores), 20, 5000, Road::Narrow(256));
            all_on_their_owners(&world, 20, 5000, &name);
            steered_in_one_step(&mut world, &name);
            assert!(world.count(Counter::IpReasmOks) >= 20 * 4, "{name}");
            world.finish();
        }
    }
}

#[test]
fn a_card_that_keeps_its_word_costs_no_step_at_all() {
    for spread in [Spread::ByItsKey, Spread::Silently] {
        let world = called(&Plan::new(spread, 4, 4), 60, 5000, Road::Straight);
        assert_eq!(world.count(Counter::Missteered), 0);
        let checked = world.count(Counter::RssChecked);
        assert!(checked > 100);
        assert_eq!(world.snapshot().steering, Verdict::Verified { packets: checked });
        world.finish();
    }
}

#[test]
fn a_card_that_does_not_is_found_out() {
    for spread in [Spread::ByAnotherKey, Spread::Mistakenly] {
        let world = called(&Plan::new(spread, 4, 4), 60, 5000, Road::Straight);
        let wrong = world.count(Counter::RssMismatches);
        assert!((1..=4).contains(&wrong), "no core asks once one has found out: {wrong}");
        assert_eq!(world.snapshot().steering, Verdict::Differs { packets: wrong });
        world.finish();
    }
}

#[test]
fn a_card_that_promises_nothing_is_not_checked() {
    for (spread, queues, want) in [
        (Spread::ByTurns, 2, "no RSS by a key of ours: steering in software"),
        (Spread::ByAddresses, 2, "RSS hashes addresses without ports: steering in software"),
        (Spread::ByItsKey, 1, "1 queue for 2 cores: steering in software"),
    ] {
        let world = called(&Plan::new(spread, queues, 2), 10, 100, Road::Straight);
        assert_eq!(world.count(Counter::RssChecked), 0);
        assert_eq!(world.snapshot().steering.to_string(), want);
        world.finish();
    }
}

/// T-12.
#[test]
fn rings_that_are_full_drop_by_name_and_tcp_recovers() {
    let plan = Plan { ring: 8, ..Plan::new(Spread::ByTurns, 3, 3) };
    let world = called(&plan, 300, 20_000, Road::Straight);
    all_on_their_owners(&world, 300, 20_000, "rings of eight");
    let dropped = world.dropped(Drop::ForwardFull);
    assert!(dropped > 100, "{dropped}");
    let (out, taken) = (world.count(Counter::ForwardedOut), world.count(Counter::ForwardedIn));
    assert_eq!(out, taken, "what fits is taken, once");
    assert!(world.peer.metrics().counter(Counter::TcpRetransSegs) > 0);
    world.finish();
}

#[test]
fn when_a_cores_share_of_ports_is_used_up_it_says_so() {
    let peer = Talker { listen: Some(at(PEER)), len: 10, ..Talker::default() };
    let caller =
        |core| Talker { call: (core == 0).then(|| (at(PEER), 512)), len: 10, ..Talker::default() };
    let plan = Plan { ports: 40_960..=41_471, ..Plan::new(Spread::ByItsKey, 2, 2) };
    let mut world = World::new(&plan, caller, peer);
    let refused = world.log.lock().refused.clone();
    // A key spreads a power of two of ports evenly, or leaves some cores out.
    assert!((128..=384).contains(&refused.len()), "the other core's share: {}", refused.len());
    assert!(refused.iter().all(|&kind| kind == ErrorKind::AddrNotAvailable));
    let made = 512 - refused.len();
    assert!(world.run(Duration::from_secs(60), |world| world.log.calls().len() == made));
    world.finish();
}

#[test]
fn a_core_with_nothing_left_to_do_receives_and_sends_for_the_others_to_the_end() {
    let peer = Talker { call: Some((at(US), 20)), len: 1000, stays: true, ..Talker::default() };
    let server = |_| Talker { listen: Some(at(US)), len: 1000, ..Talker::default() };
    let mut world = World::new(&Plan::new(Spread::ByTurns, 1, 4), server, peer);
    world.run(Duration::from_secs(1), |_| false);
    assert_eq!(world.count(Counter::TcpPassiveOpens), 20);
    let took = world.finish();
    assert!(took < Duration::from_secs(1), "every connection was closed in good order: {took:?}");
}

#[test]
fn the_last_resets_of_cores_without_a_queue_leave_although_the_deadline_has_passed() {
    let peer = Talker { call: Some((at(US), 20)), len: 1000, stays: true, ..Talker::default() };
    let server = |_| Talker { listen: Some(at(US)), len: 1000, ..Talker::default() };
    let mut world = World::new(&Plan::new(Spread::ByTurns, 1, 3), server, peer);
    world.run(Duration::from_secs(1), |_| false);
    assert_eq!(world.count(Counter::TcpPassiveOpens), 20);
    world.road = Road::Closed;
    let resets = world.stop_within(Duration::from_secs(5)).into_iter();
    let resets: HashSet<_> = resets.filter_map(|frame| packet::reset_port(&frame)).collect();
    assert_eq!(resets.len(), 20, "each connection of a peer that does not answer ends by one");
    world.finish();
}

/// The peer has called us so many times, and got so many bytes back each time.
fn called(plan: &Plan, times: usize, len: usize, road: Road) -> World {
    let peer = Talker { call: Some((at(US), times)), len, ..Talker::default() };
    let server = |_| Talker { listen: Some(at(US)), len, ..Talker::default() };
    let mut world = World::new(plan, server, peer);
    world.road = road;
    let done = world.run(Duration::from_secs(600), |world| {
        world.peer_log.calls().len() == times && world.log.calls().len() == times
    });
    assert!(done, "{} of {times} calls", world.peer_log.calls().len());
    world
}

fn all_on_their_owners(world: &World, times: usize, len: usize, name: &str) {
    let theirs = world.peer_log.calls();
    assert!(theirs.iter().all(|call| call.outcome == Ok(len)), "{name}: {theirs:?}");
    let ours = world.log.calls();
    assert_eq!(ours.len(), times, "{name}");
    check(&ours, &world.steering, Ok(len), name);
}

fn check(calls: &[Call], steering: &Steering, outcome: Result<usize, ErrorKind>, name: &str) {
    for call in calls {
        let (SocketAddr::V4(local), SocketAddr::V4(remote)) = (call.local, call.remote) else {
            panic!("{call:?}")
        };
        let flow = FlowKey4 {
            remote: *remote.ip(),
            local: *local.ip(),
            remote_port: remote.port(),
            local_port: local.port(),
        };
        assert_eq!(steering.owner(&flow), call.core, "{name}: {call:?}");
        assert_eq!(call.outcome, outcome, "{name}");
    }
}

/// What the card took to the wrong core was forwarded, once; what is forwarded twice would be counted twice.
fn steered_in_one_step(world: &mut World, name: &str) {
    world.settle();
    assert_eq!(world.count(Counter::Missteered), world.strays, "{name}");
    let (out, taken) = (world.count(Counter::ForwardedOut), world.count(Counter::ForwardedIn));
    assert_eq!(out, taken, "{name}");
    assert_eq!(world.dropped(Drop::ForwardFull), 0, "{name}");
    assert_eq!(world.dropped(Drop::TcpNoSocket), 0, "{name}: nobody is reset for want of an owner");
}
