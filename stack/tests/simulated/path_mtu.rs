//! Streams over a wire that drops large frames and tells nobody.

use std::time::Duration;

use darner::counters::Counter;
use darner::{Config, MtuProbing, TcpConfig};
use pmd::sim::{Way, Wire};

use crate::apps::{Script, Talker};
use crate::world::{RIGHT, Side, World};

/// Both sides send `len` bytes through a wire that carries packets of `mtu` bytes. Returns how large segments have become on either side.
fn exchange(mtu: u16, probing: MtuProbing, len: u64) -> (World, [u16; 2]) {
    let wire = Wire { mtu, delay: Duration::from_millis(5), ..Wire::default() };
    let [there, back] = [Script { seed: 1, len }, Script { seed: 2, len }];
    let (left, left_outcomes) = Talker::connecting(&format!("{RIGHT}:80"), 1, there);
    let (right, right_outcomes) = Talker::listening("0.0.0.0:80", back);
    let tcp = TcpConfig { mtu_probing: probing, ..TcpConfig::default() };
    let config = Config { tcp, ..Config::default() };
    let mut world = World::with_config(7, wire, (config.clone(), left), (config, right));
    let mut sizes = [0; 2];
    let done = world.run(Duration::from_secs(60), |world| {
        for (size, side) in sizes.iter_mut().zip([&world.left, &world.right]) {
            if let Some(connection) = side.protocol.snapshot().connections.first() {
                *size = connection.segment_size;
            }
        }
        left_outcomes.ended() == 1 && right_outcomes.ended() == 1
    });
    assert!(done, "{mtu}: {:?} and {:?}", left_outcomes.lock(), right_outcomes.lock());
    for (outcomes, script) in [(left_outcomes, back), (right_outcomes, there)] {
        assert_eq!(outcomes.lock()[0], script.outcome(), "{mtu}");
    }
    (world, sizes)
}

fn counters(side: &Side) -> [u64; 3] {
    let counters = [Counter::TcpMtuBlackHoles, Counter::TcpMtuProbes, Counter::TcpMtuProbesLost];
    counters.map(|counter| side.protocol.metrics().counter(counter))
}

#[test]
fn a_black_hole_is_found_and_the_size_of_the_path_nearly() {
    for mtu in [1492, 1400, 1280, 1100] {
        let (world, sizes) = exchange(mtu, MtuProbing::OnBlackHole, 2_000_000);
        for side in [&world.left, &world.right] {
            let [black_holes, probes, lost] = counters(side);
            assert_eq!(black_holes, 1, "{mtu}");
            assert!(lost >= 3 && probes > lost, "{mtu}: {probes} probes, {lost} of them lost");
            assert!(probes <= 16, "{mtu}: {probes} probes");
            let oversized = world.sim.statistics(side.end, Way::Out).oversized;
            assert!(oversized > 10, "{mtu}: {oversized}");
        }
        for packet in sizes.map(|size| size + HEADERS) {
            assert!((mtu - 32..=mtu).contains(&packet), "{mtu}: {packet}");
        }
    }
}

#[test]
fn a_wide_path_is_found_with_one_probe() {
    let (world, sizes) = exchange(1500, MtuProbing::Always, 500_000);
    for side in [&world.left, &world.right] {
        assert_eq!(counters(side), [0, 1, 0]);
    }
    assert_eq!(sizes, [1500 - HEADERS; 2]);
}

#[test]
fn who_always_probes_sees_no_black_hole() {
    let (world, sizes) = exchange(1280, MtuProbing::Always, 2_000_000);
    for side in [&world.left, &world.right] {
        let [black_holes, _, lost] = counters(side);
        assert_eq!(black_holes, 0);
        assert!(lost >= 3);
        assert_eq!(side.protocol.metrics().counter(Counter::TcpTimeouts), 0);
    }
    for packet in sizes.map(|size| size + HEADERS) {
        assert!((1248..=1280).contains(&packet), "{packet}");
    }
}

/// IP, TCP and timestamps.
const HEADERS: u16 = 20 + 20 + 12;
