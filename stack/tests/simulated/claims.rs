//! Two stacks that were given the same address.

use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use darner::{Application, Config, Core, DuplicateDetection, Readiness, Token};
use pmd::sim::{Way, Wire};

use crate::world::World;

const SHARED: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const LEFT_STATION: [u8; 6] = [2, 0, 0, 0, 0, 1];
const RIGHT_STATION: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// What an application was told about an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    Claimed(Ipv4Addr),
    Conflict(Ipv4Addr, [u8; 6]),
}

/// Does nothing but listen to what becomes of its address.
#[derive(Clone, Default)]
struct Claimant(Arc<Mutex<Vec<Told>>>);

impl Claimant {
    fn told(&self) -> Vec<Told> {
        self.0.lock().unwrap().drain(..).collect()
    }
}

impl Application for Claimant {
    fn start(&mut self, _: &mut Core<'_>) -> io::Result<()> {
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}

    fn address_claimed(&mut self, _: &mut Core<'_>, address: Ipv4Addr) {
        self.0.lock().unwrap().push(Told::Claimed(address));
    }

    fn address_conflict(&mut self, _: &mut Core<'_>, address: Ipv4Addr, station: [u8; 6]) {
        self.0.lock().unwrap().push(Told::Conflict(address, station));
    }
}

fn world(left: DuplicateDetection, right: DuplicateDetection) -> (World, Claimant, Claimant) {
    let applications = (Claimant::default(), Claimant::default());
    let config = |duplicate_detection| Config {
        addresses: vec!["10.0.0.9/24".parse().unwrap()],
        duplicate_detection,
        ..Config::default()
    };
    let world = World::with_config(
        1,
        Wire { delay: Duration::from_millis(1), ..Wire::default() },
        (config(left), applications.0.clone()),
        (config(right), applications.1.clone()),
    );
    (world, applications.0, applications.1)
}

#[test]
fn who_comes_second_is_told_and_gets_the_address_when_it_is_free() {
    let (mut world, left, right) = world(DuplicateDetection::Quick, DuplicateDetection::Off);
    world.run_for(Duration::from_secs(30));
    assert_eq!(right.told(), [Told::Claimed(SHARED)]);
    assert_eq!(left.told(), [Told::Conflict(SHARED, RIGHT_STATION)]);

    world.sim.change(world.right.end, Way::Out, |wire| wire.loss = 1.0);
    world.run_for(Duration::from_secs(60));
    assert_eq!(left.told(), [Told::Claimed(SHARED)]);
    world.finish();
}

#[test]
fn two_that_do_not_ask_are_both_told() {
    let (mut world, left, right) = world(DuplicateDetection::Off, DuplicateDetection::Off);
    world.run_for(Duration::from_secs(1));
    let told = |station| [Told::Claimed(SHARED), Told::Conflict(SHARED, station)];
    assert_eq!(left.told(), told(RIGHT_STATION));
    assert_eq!(right.told(), told(LEFT_STATION));
    world.finish();
}
