//! Who owns what, computed.

use std::net::{Ipv4Addr, SocketAddrV4};

use pmd::Rss;
use pmd::toeplitz::{Key, RedirectionTable, Toeplitz};
use proptest::prelude::*;

use crate::config::SteeringConfig;
use crate::demux::FlowKey4;
use crate::rng::Rng;
use crate::steer::Steering;

#[test]
fn owners_follow_the_published_hashes() {
    // Microsoft's verification suite: destination, source, hash with ports, hash of the addresses.
    const VECTORS: &[(&str, &str, u32, u32)] = &[
        ("161.142.100.80:1766", "66.9.149.187:2794", 0x51cc_c178, 0x323e_8fc2),
        ("65.69.140.83:4739", "199.92.111.2:14230", 0xc626_b0ea, 0xd718_262a),
        ("12.22.207.184:38024", "24.19.198.95:12898", 0x5c2b_394a, 0xd2d0_a5de),
        ("209.142.163.6:2217", "38.27.205.30:48228", 0xafc7_327f, 0x8298_9176),
        ("202.188.127.2:1303", "153.39.163.191:44251", 0x10e8_28a2, 0x5d18_09c5),
    ];
    let steering = steering(Key::MICROSOFT, 128, 3);
    for &(destination, source, with_ports, addresses) in VECTORS {
        let (local, remote): (SocketAddrV4, SocketAddrV4) =
            (destination.parse().unwrap(), source.parse().unwrap());
        let flow = FlowKey4 {
            remote: *remote.ip(),
            local: *local.ip(),
            remote_port: remote.port(),
            local_port: local.port(),
        };
        assert_eq!(steering.owner(&flow), (with_ports & 127) as usize % 3, "{source}");
        let fragments = steering.owner_of_fragments(*remote.ip(), *local.ip());
        assert_eq!(fragments, (addresses & 127) as usize % 3, "{source}");
    }
}

proptest! {
    #[test]
    fn an_owner_is_what_a_device_with_the_same_key_and_table_makes_of_the_packet(
        key in prop::collection::vec(any::<u8>(), Key::LEN), bits in 3_u32..10, cores in 2_u16..8,
        remote: u32, local: u32, remote_port: u16, local_port: u16,
    ) {
        let key = Key::new(key.try_into().unwrap());
        let table_len = 1 << bits;
        let (device, table) = (Toeplitz::new(&key), RedirectionTable::even(table_len, cores));
        let flow = FlowKey4 {
            remote: remote.into(), local: local.into(), remote_port, local_port,
        };
        let hash = device.ipv4_ports(
            SocketAddrV4::new(flow.remote, remote_port), SocketAddrV4::new(flow.local, local_port),
        );
        let owner = steering(key, table_len, usize::from(cores)).owner(&flow);
        prop_assert_eq!(owner, usize::from(table.queue(hash)));
    }
}

#[test]
fn a_random_key_spreads_flows_over_all_cores() {
    let polled: Vec<Vec<u16>> = (0..4).map(|core| vec![core]).collect();
    for seed in 0..50 {
        let mut rng = Rng::new([seed; 32]);
        let steering =
            Steering::new(&SteeringConfig::default(), &Rss::Unsupported, &polled, &mut rng);
        let mut counts = [0; 4];
        for number in 0..4000_u32 {
            counts[steering.owner(&flow(number))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }
}

/// What a connect costs (S-10): tries until a source port leads to the core that one has in mind.
#[test]
fn a_few_tries_find_a_port_that_leads_to_any_core() {
    for (cores, mean_at_most, most) in [(2, 4.0, 256), (4, 8.0, 512), (8, 16.0, 512)] {
        let (mut sum, mut worst, mut searches) = (0, 0, 0);
        for seed in 0..100 {
            let mut rng = Rng::new([seed; 32]);
            let polled: Vec<Vec<u16>> = (0..cores).map(|core| vec![core]).collect();
            let config = SteeringConfig::default();
            let steering = Steering::new(&config, &Rss::Unsupported, &polled, &mut rng);
            for _ in 0..40 {
                let want = rng.below(cores.into()) as usize;
                let (remote, local) = (rng.next_u32(), rng.next_u32());
                let start = rng.below(28_000);
                let tries = (0..28_000).position(|step| {
                    let port = u16::try_from(32_768 + (start + step) % 28_000).unwrap();
                    let flow = FlowKey4 {
                        remote: remote.into(),
                        local: local.into(),
                        remote_port: 443,
                        local_port: port,
                    };
                    steering.owner(&flow) == want
                });
                let tries = tries.expect("a good key reaches every core") + 1;
                (sum, worst, searches) = (sum + tries, worst.max(tries), searches + 1);
            }
        }
        let mean = f64::from(u32::try_from(sum).unwrap()) / f64::from(searches);
        println!("{cores} cores: {mean:.1} tries on average, at most {worst}");
        assert!(mean < mean_at_most && worst < most, "{cores} cores: {mean}, {worst}");
    }
}

pub(super) fn steering(key: Key, table_len: usize, cores: usize) -> Steering {
    let config = SteeringConfig { key: Some(*key.bytes()), table_len, ..SteeringConfig::default() };
    let polled: Vec<Vec<u16>> = (0..cores).map(|core| vec![u16::try_from(core).unwrap()]).collect();
    Steering::new(&config, &Rss::Unsupported, &polled, &mut Rng::new([1; 32]))
}

fn flow(number: u32) -> FlowKey4 {
    FlowKey4 {
        remote: Ipv4Addr::from_bits(0x0a00_0000 + number / 1000),
        local: Ipv4Addr::new(10, 0, 0, 2),
        remote_port: u16::try_from(32_768 + number % 1000).unwrap(),
        local_port: 80,
    }
}
