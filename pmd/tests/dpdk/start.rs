//! Starting EAL leaves the caller as it was.

use std::mem::MaybeUninit;
use std::path::Path;

use pmd::dpdk::{Eal, HugePages, drivers, register_thread};

use super::{eal, open, small};

#[test]
fn no_thread_of_the_callers_changes_its_cpus() {
    let before = affinity();
    // EAL pins its threads to the last of them.
    let last = last_cpu(&before);
    let eal = Eal::builder().huge_pages(HugePages::Never).cpus([last]).start().unwrap();
    assert_eq!(affinity(), before);
    let started_later = std::thread::spawn(affinity).join().unwrap();
    assert_eq!(started_later, before);
    assert_eq!(eal.cpus().len(), before.iter().map(|byte| byte.count_ones() as usize).sum());

    register_thread().unwrap();
    register_thread().expect("twice is as good as once");
    assert_eq!(affinity(), before);
}

#[test]
fn nothing_is_left_in_the_file_system() {
    Eal::builder().huge_pages(HugePages::Never).file_prefix("darner-test").start().unwrap();
    for parent in ["/var/run/dpdk", "/run/dpdk"] {
        assert!(!Path::new(parent).join("darner-test").exists());
    }
}

#[test]
fn devices_named_at_the_start_are_opened_by_their_name() {
    let eal = Eal::builder().huge_pages(HugePages::Never).vdev("net_ring7").start().unwrap();
    let (device, _) = open(eal, "vdev:net_ring7", &small());
    assert_eq!(device.name(), "vdev:net_ring7");
}

#[test]
fn the_program_has_its_drivers() {
    // A program that links DPDK dynamically loads them when EAL starts.
    eal();
    let drivers = drivers();
    for name in ["af_packet", "memif", "null", "ring", "tap", "virtio"] {
        assert!(drivers.iter().any(|driver| driver == name), "{name} is not among {drivers:?}");
    }
}

#[test]
fn registering_a_thread_needs_eal() {
    assert!(register_thread().is_err());
    eal();
    register_thread().unwrap();
}

/// The highest CPU of the set.
fn last_cpu(set: &[u8]) -> usize {
    (0..set.len() * 8).rfind(|cpu| set[cpu / 8] & 1 << (cpu % 8) != 0).unwrap()
}

fn affinity() -> Vec<u8> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the kernel fills at most the size of the set, which is plain bits.
    unsafe {
        assert_eq!(libc::sched_getaffinity(0, size_of_val(&set), set.as_mut_ptr()), 0);
        std::slice::from_raw_parts(set.as_ptr().cast::<u8>(), size_of_val(&set)).to_vec()
    }
}
