//! Our hash of receive-side scaling against DPDK's.

use std::net::{Ipv4Addr, SocketAddrV4};

use pmd::toeplitz::{Key, Toeplitz};
use proptest::prelude::*;

proptest! {
    #[test]
    fn hashes_are_those_of_rte_softrss(
        key in proptest::collection::vec(any::<u8>(), Key::LEN),
        source: [u8; 4], destination: [u8; 4], ports: [u16; 2],
    ) {
        let key: [u8; Key::LEN] = key.try_into().unwrap();
        let toeplitz = Toeplitz::new(&Key::new(key));
        let (from, to) = (Ipv4Addr::from(source), Ipv4Addr::from(destination));
        let words = [
            u32::from_be_bytes(source),
            u32::from_be_bytes(destination),
            u32::from(ports[0]) << 16 | u32::from(ports[1]),
        ];
        prop_assert_eq!(toeplitz.ipv4(from, to), softrss(&words[..2], &key));
        let (from, to) = (SocketAddrV4::new(from, ports[0]), SocketAddrV4::new(to, ports[1]));
        prop_assert_eq!(toeplitz.ipv4_ports(from, to), softrss(&words, &key));
    }
}

fn softrss(words: &[u32], key: &[u8; Key::LEN]) -> u32 {
    let mut words = words.to_vec();
    let count = u32::try_from(words.len()).unwrap();
    // SAFETY: reads `count` words, and at most as many bytes of the key plus four: 16 of 40.
    unsafe { dpdk_sys::pmd_softrss(words.as_mut_ptr(), count, key.as_ptr()) }
}
