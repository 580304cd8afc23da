//! How connections begin and end.

use std::io::ErrorKind;
use std::time::Duration;

use darner::counters::Counter;
use darner::drops::Drop;
use pmd::sim::{Rate, Way, Wire};

use crate::apps::{Outcome, Script, Talker};
use crate::world::{RIGHT, World};

const NOTHING: Script = Script { seed: 0, len: 0 };

fn wire() -> Wire {
    Wire { delay: Duration::from_millis(2), ..Wire::default() }
}

/// How a connection attempt ends, and when.
fn failure(world: &mut World, outcomes: &crate::apps::Outcomes, within: Duration) -> Outcome {
    assert!(world.run(within, |_| outcomes.ended() == 1), "it ends");
    outcomes.lock()[0].clone()
}

#[test]
fn a_port_without_a_listener_refuses() {
    let (left, outcomes) = Talker::connecting(&format!("{RIGHT}:81"), 1, NOTHING);
    let (right, _) = Talker::listening("0.0.0.0:80", NOTHING);
    let mut world = World::new(1, wire(), left, right);
    let outcome = failure(&mut world, &outcomes, Duration::from_secs(10));
    assert_eq!(outcome.ended, Some(Err(ErrorKind::ConnectionRefused)));
    assert_eq!(world.right.protocol.metrics().dropped(Drop::TcpNoSocket), 1);
    world.finish();
}

#[test]
fn a_neighbour_that_is_not_there_is_unreachable() {
    let (left, outcomes) = Talker::connecting("10.0.0.77:80", 1, NOTHING);
    let (right, _) = Talker::listening("0.0.0.0:80", NOTHING);
    let mut world = World::new(2, wire(), left, right);
    let outcome = failure(&mut world, &outcomes, Duration::from_secs(30));
    assert_eq!(outcome.ended, Some(Err(ErrorKind::HostUnreachable)));
    world.finish();
}

#[test]
fn a_dead_wire_times_a_connection_out() {
    let script = Script { seed: 1, len: 100_000_000 };
    let (left, outcomes) = Talker::connecting(&format!("{RIGHT}:80"), 1, script);
    let (right, _) = Talker::listening("0.0.0.0:80", NOTHING);
    let slow = Wire { rate: Some(Rate::new(10_000_000)), ..wire() };
    let mut world = World::new(3, slow, left, right);
    world.run_for(Duration::from_secs(5));
    assert_eq!(outcomes.ended(), 0);
    world.sim.change(world.left.end, Way::Out, |wire| wire.loss = 1.0);
    world.sim.change(world.left.end, Way::In, |wire| wire.loss = 1.0);
    let outcome = failure(&mut world, &outcomes, Duration::from_secs(3600));
    let ended = outcome.ended.unwrap().unwrap_err();
    assert!(matches!(ended, ErrorKind::TimedOut | ErrorKind::HostUnreachable), "{ended:?}");
    world.finish();
}

#[test]
fn time_wait_ends_and_is_counted() {
    let (left, left_outcomes) = Talker::connecting(&format!("{RIGHT}:80"), 10, NOTHING);
    let (right, right_outcomes) = Talker::listening("0.0.0.0:80", NOTHING);
    let mut world = World::new(4, wire(), left, right);
    let done = world
        .run(Duration::from_secs(30), |_| left_outcomes.ended() + right_outcomes.ended() == 20);
    assert!(done);
    assert_eq!(world.left.protocol.metrics().counter(Counter::TcpActiveOpens), 10);
    assert_eq!(world.right.protocol.metrics().counter(Counter::TcpPassiveOpens), 10);
    world.finish();
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let trace = || {
        let script = Script { seed: 9, len: 200_000 };
        let (left, _) = Talker::connecting(&format!("{RIGHT}:80"), 3, script);
        let (right, outcomes) = Talker::listening("0.0.0.0:80", script);
        let mut world = World::new(5, Wire { loss: 0.05, reorder: 0.1, ..wire() }, left, right);
        world.run(Duration::from_secs(600), |_| outcomes.ended() == 3);
        (
            world.now(),
            world.sim.statistics(world.left.end, Way::Out),
            world.sim.statistics(world.left.end, Way::In),
        )
    };
    let first = trace();
    assert_eq!(first, trace());
    assert!(first.1.lost > 0);
}
