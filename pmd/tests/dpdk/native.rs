//! A native tap among the devices of DPDK: the same calls, and no EAL.

use pmd::dpdk::{Device, DeviceConfig, DeviceSpec, Error};

use super::namespace::{drop_capability, enter, has, ip};
use super::small;

fn native(config: &DeviceConfig) -> Result<Device, Error> {
    let spec: DeviceSpec = "vtap:vtap0".parse().unwrap();
    Device::open(None, &spec, config).map(|(device, _queues)| device)
}

#[test]
fn a_native_tap_is_a_device_without_eal() {
    enter();
    let device = native(&DeviceConfig { mtu: Some(1400), ..small() }).unwrap();
    assert_eq!((device.name(), device.driver(), device.mtu()), ("vtap:vtap0", "vtap", 1400));
    assert!(device.link().up);
    ip("link set vtap0 down");
    assert!(!device.link().up);
    assert_eq!(device.statistics().rx_frames, 0);
    let abilities = device.abilities().unwrap();
    assert_eq!((abilities.queues, abilities.mtu), (256, 68..=65_521));
    assert!(abilities.rx_offloads.contains(&"TCP_LRO".to_owned()));
    assert!(abilities.tx_offloads.contains(&"TCP_TSO".to_owned()));
    drop(device);
    assert!(!has("vtap0"));
    let device = native(&DeviceConfig { checksum_offload: false, ..small() }).unwrap();
    assert_eq!(device.abilities().unwrap().rx_offloads, [""; 0]);
}

#[test]
fn what_fails_is_told_as_for_other_devices() {
    enter();
    let error = native(&DeviceConfig { queues: 300, ..small() }).err().unwrap();
    assert!(matches!(error, Error::Queues { asked: 300, most: 256, .. }), "{error}");
    let error = native(&DeviceConfig { mtu: Some(20), ..small() }).err().unwrap();
    assert!(matches!(error, Error::Mtu { asked: 20, least: 68, .. }), "{error}");
    drop_capability(12);
    let error = native(&small()).err().unwrap();
    assert!(error.to_string().contains("vtap:vtap0: CAP_NET_ADMIN is missing"), "{error}");
    let error = Device::open(None, &"tap:dtap0".parse().unwrap(), &small()).err().unwrap();
    assert_eq!(error, Error::NoEal { device: "tap:dtap0".to_owned() });
}
