//! What the algorithms make of a path: that they fill it, share it, and how long a queue they keep.

use super::algorithm::{Algorithm, new};
use super::controller::Start;
use super::fixture::START;
use super::path::{Network, Path, SEGMENT};
use crate::time::{Instant, Span};

/// 100 Mb/s and 50 ms, with a queue of so many hundredths of the product of the two.
fn hundred_megabits(queue_percent: u64) -> Path {
    let path = Path { rate: 12_500_000, delay: Span::from_millis(50), queue: 0, mark: None };
    Path { queue: path.product() * queue_percent / 100, ..path }
}

/// Flows that begin a second apart.
fn network(path: Path, algorithms: &[Algorithm]) -> Network {
    let start = Start { mss: SEGMENT, ..START };
    let mut network = Network::new(path);
    for (n, algorithm) in (0..).zip(algorithms) {
        network.join(Box::new(new(*algorithm, start)), Instant::from_millis(n * 1000 + 1));
    }
    network
}

const fn secs(secs: u64) -> Span {
    Span::from_secs(secs)
}

/// Reaches the bandwidth within a second, and keeps it for a minute.
#[test]
fn a_flow_fills_a_path_whose_queue_takes_as_much_as_the_path() {
    for algorithm in [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr] {
        let mut network = network(hundred_megabits(100), &[algorithm]);
        network.run(secs(1));
        for _ in 0..12 {
            let share = network.shares(secs(5))[0];
            assert!(share > 0.94, "{algorithm}: {share} at {:?}", network.now);
        }
        assert_eq!(network.flows[0].timeouts, 0, "{algorithm}");
    }
}

/// After a loss a third of the window is missing, and the curve brings it back soon.
#[test]
fn cubic_fills_a_path_with_a_short_queue_sooner_than_reno() {
    let mut filled = [Algorithm::Cubic, Algorithm::NewReno].map(|algorithm| {
        let mut network = network(hundred_megabits(20), &[algorithm]);
        network.run(secs(15));
        network.shares(secs(60))[0]
    });
    assert!(filled[0] > 0.95, "{filled:?}");
    filled.reverse();
    assert!(filled.is_sorted(), "NewReno, CUBIC: {filled:?}");
}

#[test]
fn two_flows_come_to_equal_shares() {
    for (algorithm, path) in [
        (Algorithm::Cubic, hundred_megabits(100)),
        (Algorithm::NewReno, hundred_megabits(100)),
        (Algorithm::Bbr, hundred_megabits(100)),
    ] {
        let mut network = network(path, &[algorithm; 2]);
        network.run(secs(5));
        let early = network.shares(secs(5));
        network.run(secs(50));
        let late = network.shares(secs(60));
        println!("{algorithm} {early:?} {late:?}");
        assert!(late.iter().sum::<f64>() > 0.94, "{algorithm}: {late:?}");
        assert!(late.iter().all(|share| *share > 0.4), "{algorithm}: {early:?}, then {late:?}");
    }
}

/// Section 4.3 of RFC 9438: where the window is small, CUBIC is Reno.
#[test]
fn cubic_leaves_reno_its_share_of_a_short_path() {
    let path = Path { rate: 1_250_000, delay: Span::from_millis(10), queue: 25_000, mark: None };
    let mut network = network(path, &[Algorithm::Cubic, Algorithm::NewReno]);
    network.run(secs(10));
    let shares = network.shares(secs(60));
    assert!(shares.iter().all(|share| *share > 0.4), "{shares:?}");
}

#[test]
fn bbr_fills_a_path_with_a_short_queue_whatever_is_lost() {
    let mut network = network(hundred_megabits(20), &[Algorithm::Bbr]);
    network.run(secs(1));
    for _ in 0..6 {
        let share = network.shares(secs(10))[0];
        assert!(share > 0.95, "{share} at {:?}", network.now);
    }
}

#[test]
fn bbr_leaves_a_long_queue_empty() {
    let [bbr, cubic] = [Algorithm::Bbr, Algorithm::Cubic].map(|algorithm| {
        let mut network = network(hundred_megabits(400), &[algorithm]);
        network.run(secs(2));
        let share = network.shares(secs(60))[0];
        assert!(share > 0.95, "{algorithm}: {share}");
        (network.mean_queue(), network.dropped)
    });
    assert!(bbr.0 < 0.15 && bbr.1 == 0, "{bbr:?}");
    assert!(cubic.0 > 2.0, "{cubic:?}");
}

/// Ten gigabits and 100 us, and a switch that marks at thirty packets: more than a seventh of the product (RFC 8257, section 4.1).
#[test]
fn dctcp_keeps_a_data_centre_queue_at_the_mark() {
    const MARK: u64 = 30 * SEGMENT as u64;
    let path = || Path {
        rate: 1_250_000_000,
        delay: Span::from_micros(100),
        queue: 1_250_000,
        mark: Some(MARK),
    };
    let mut network = network(path(), &[Algorithm::Dctcp; 2]);
    network.run(secs(1) + Span::from_millis(100));
    let shares = network.shares(Span::from_millis(100));
    assert!(shares.iter().sum::<f64>() > 0.99, "{shares:?}");
    assert!(shares.iter().all(|share| *share > 0.4), "{shares:?}");
    let queue = network.mean_queue() * path().product() as f64;
    assert!(queue < 1.2 * MARK as f64, "{queue}");
    assert_eq!(network.dropped, 0);
}
