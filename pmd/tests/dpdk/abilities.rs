//! What devices and the machine say of themselves.

use super::namespace::enter;
use super::{eal, open, small};

#[test]
fn a_device_says_what_it_can_do() {
    let (device, _queues) = open(eal(), "vdev:net_null0", &small());
    let abilities = device.abilities().unwrap();
    assert_eq!((abilities.queues, abilities.numa_node), (1024, None));
    assert_eq!(abilities.rss.table_len, 128);
    assert!(abilities.rss.hashes.contains(&"ipv4-tcp"), "{:?}", abilities.rss);
}

#[test]
fn a_tap_says_no_more_than_is_true() {
    enter();
    let (device, _queues) = open(eal(), "tap:dtap0", &small());
    let abilities = device.abilities().unwrap();
    assert_eq!(abilities.queues, 4);
    assert_eq!(abilities.rss.hashes, [""; 0]);
    assert!(abilities.mtu.contains(&1500));
    for offloads in [&abilities.rx_offloads, &abilities.tx_offloads] {
        assert!(offloads.iter().any(|name| name == "TCP_CKSUM"), "{offloads:?}");
    }
}

/// DPDK rounds what it measures to 10 MHz at worst, and machines have a GHz.
#[test]
fn the_time_stamp_counter_runs_about_as_dpdk_believes() {
    let rate = eal().tsc_rate();
    let off = rate.assumed_hz.abs_diff(rate.measured_hz);
    assert!(off < rate.measured_hz / 50 && rate.measured_hz > 100_000_000, "{rate:?}");
}
