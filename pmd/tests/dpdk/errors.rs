//! Wrong use: every text names the device and what to do.

use pmd::dpdk::{Device, DeviceConfig, DeviceSpec, Eal, Error, HugePages, Memory};

use super::namespace::{drop_capability, enter};
use super::{eal, open, small};

const CAP_NET_ADMIN: u32 = 12;

fn failure(eal: Eal, spec: &str, config: &DeviceConfig) -> Error {
    let spec: DeviceSpec = spec.parse().unwrap();
    Device::open(eal, &spec, config).err().expect("this device cannot be opened")
}

#[track_caller]
fn says(error: &Error, parts: &[&str]) {
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "\"{part}\" is not in: {text}");
    }
}

#[test]
fn a_driver_that_is_not_there() {
    let error = failure(eal(), "vdev:net_nosuch0,size=64", &small());
    assert!(matches!(error, Error::NoDriver { .. }));
    says(
        &error,
        &["vdev:net_nosuch0", "net_nosuch is not in this program", "tap", "DPDK_LINK=dynamic"],
    );
}

#[test]
fn a_tap_without_the_capability() {
    enter();
    let eal = eal();
    drop_capability(CAP_NET_ADMIN);
    let error = failure(eal, "tap:dtap0", &small());
    says(&error, &["tap:dtap0", "CAP_NET_ADMIN is missing", "setcap cap_net_admin+ep"]);
}

#[test]
fn a_tap_whose_name_is_in_use() {
    enter();
    let eal = eal();
    let _first = open(eal, "tap:dtap0", &small());
    let error = failure(eal, "tap:dtap0", &small());
    says(&error, &["tap:dtap0", "dtap0 exists already", "take another name"]);
}

#[test]
fn an_argument_that_the_driver_does_not_know() {
    enter();
    let eal = eal();
    let error = failure(eal, "tap:mytap,colour=red", &small());
    says(&error, &["tap:mytap,colour=red", "the driver refused it", "iface=mytap,colour=red"]);
    // And nothing of it stays in the way.
    drop(open(eal, "tap:mytap", &small()));
}

#[test]
fn an_interface_that_is_not_there() {
    let eal = eal();
    for spec in ["af_packet:nosuch0", "af_xdp:nosuch0"] {
        says(&failure(eal, spec, &small()), &[spec, "there is no interface nosuch0", "ip link"]);
    }
}

#[test]
fn more_queues_than_there_are() {
    enter();
    let eal = eal();
    let config = DeviceConfig { queues: 5, ..small() };
    says(&failure(eal, "tap:dtap0", &config), &["5 queue pairs", "1 to 4"]);
    let config = DeviceConfig { queues: 0, ..small() };
    says(&failure(eal, "tap:dtap0", &config), &["0 queue pairs"]);
}

#[test]
fn an_mtu_that_the_device_cannot_have() {
    enter();
    let config = DeviceConfig { mtu: Some(20), ..small() };
    says(&failure(eal(), "tap:dtap0", &config), &["tap:dtap0", "an MTU of 20", "it can have"]);
}

#[test]
fn more_frames_than_memory() {
    let config = DeviceConfig { frames: 1 << 20, ..small() };
    let error = failure(eal(), "vdev:net_ring0", &config);
    says(&error, &["vdev:net_ring0", "no memory for", "memory_mib"]);
}

#[test]
fn a_device_that_is_open_already() {
    let eal = eal();
    let _first = open(eal, "vdev:net_ring0", &small());
    says(&failure(eal, "vdev:net_ring0", &small()), &["vdev:net_ring0", "open already"]);
}

#[test]
fn a_pci_device_that_is_not_there() {
    says(&failure(eal(), "pci:ffff:ff:1f.7", &small()), &["pci:ffff:ff:1f.7", "lspci -D"]);
}

#[test]
fn huge_pages_that_the_kernel_has_not() {
    let builder = || Eal::builder().huge_pages(HugePages::Always).memory_mib(1 << 30);
    let error = builder().start().err().expect("no machine has so many");
    says(&error, &["1073741824 MiB are needed", "hugepages.sh reserve", "HugePages::Never"]);
    // It was found before EAL was asked, so that one can do without.
    let eal = builder().huge_pages(HugePages::Auto).memory_mib(64).start().unwrap();
    assert!(eal.memory_mib() == 64);
}

#[test]
fn eal_starts_once_and_says_how_it_runs() {
    let first = eal();
    assert_eq!(first.memory(), Memory::Ordinary);
    let again = Eal::builder().start().expect("asks for nothing else");
    assert_eq!(again.memory_mib(), first.memory_mib());
    says(
        &Eal::builder().huge_pages(HugePages::Always).start().err().unwrap(),
        &["already runs", "256 MiB of ordinary pages", "huge pages is asked for"],
    );
    says(&Eal::builder().memory_mib(512).start().err().unwrap(), &["512 MiB is asked for"]);
    let nic: DeviceSpec = "pci:03:00.0".parse().unwrap();
    says(&Eal::builder().devices([&nic]).start().err().unwrap(), &["the device 0000:03:00.0"]);
    says(&Eal::builder().vdev("net_null0").start().err().unwrap(), &["the device net_null0"]);
    let shown = first.to_string();
    assert!(
        shown.starts_with("DPDK 22.11") && shown.contains("256 MiB of ordinary pages"),
        "{shown}"
    );
}
