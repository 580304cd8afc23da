//! net_null: receives as many frames as one asks for, and has the controls of receive-side scaling.

use pmd::dpdk::DeviceConfig;
use pmd::toeplitz::Key;
use pmd::{Burst, Rss};

use super::{eal, open, small};

#[test]
fn a_device_with_a_redirection_table_has_it_filled_evenly() {
    let key = Key::new([7; 40]);
    let config = DeviceConfig { queues: 3, rss_key: Some(key), ..small() };
    let (device, queues) = open(eal(), "vdev:net_null0", &config);
    assert_eq!(queues.len(), 3);
    let scaling = device.rss().scaling().expect("three queues");
    assert!(scaling.key == key);
    let entries = scaling.table.entries();
    assert_eq!(entries.len(), 128);
    assert_eq!(entries[..4], [0, 1, 2, 0]);
    let seen_by_the_stack = queues[2].info().rss.scaling().expect("every queue tells");
    assert!(seen_by_the_stack.key == key);
}

#[test]
fn a_key_that_nobody_gave_is_another_each_time() {
    let eal = eal();
    let config = DeviceConfig { queues: 2, ..small() };
    let keys = ["vdev:net_null0", "vdev:net_null1"].map(|spec| {
        let (device, _) = open(eal, spec, &config);
        device.rss().scaling().expect("two queues").key
    });
    assert!(keys[0] != keys[1] && keys.iter().all(|&key| key != Key::MICROSOFT));
}

#[test]
fn one_queue_needs_no_scaling() {
    let (device, _) = open(eal(), "vdev:net_null0", &small());
    assert!(matches!(device.rss(), Rss::OneQueue));
}

#[test]
fn a_burst_is_filled_up_and_no_further() {
    let (device, mut queues) = open(eal(), "vdev:net_null0,size=100", &small());
    let mut burst = Burst::new();
    burst.push(device.pool().alloc().unwrap()).unwrap();
    assert_eq!(queues[0].rx_burst(&mut burst), Burst::CAPACITY - 1);
    assert_eq!(queues[0].rx_burst(&mut burst), 0);
    assert!(burst.iter().skip(1).all(|frame| frame.len() == 100));
    assert_eq!(queues[0].tx_burst(&mut burst), Burst::CAPACITY);
    assert_eq!(device.statistics().tx_frames, Burst::CAPACITY as u64);
}
