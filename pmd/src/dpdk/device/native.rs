//! A native tap among the devices.

use super::{Abilities, Device, DeviceConfig, Kind, Link, RssAbilities, Statistics};
use crate::dpdk::Error;
use crate::tap::{self, LARGEST_MTU, LEAST_MTU, MOST_QUEUES, Offload, Tap};
use crate::{QueuePair, Rss};

pub(super) struct Native {
    pub(super) tap: Tap,
    offload: Offload,
}

impl Device {
    pub(super) fn open_tap(
        spec: &tap::Spec,
        config: &DeviceConfig,
    ) -> Result<(Self, Vec<Box<dyn QueuePair>>), Error> {
        let offload = if config.checksum_offload { Offload::Full } else { Offload::None };
        let options = tap::Options {
            queues: config.queues,
            frames: config.frames as usize,
            mtu: config.mtu,
            offload,
        };
        let (tap, queue_pairs) = tap::open(spec, &options)?;
        let (mac, mtu, pool) = (tap.mac(), tap.mtu(), tap.pool().clone());
        let rss = if config.queues == 1 { Rss::OneQueue } else { Rss::Unsupported };
        Ok((Self { kind: Kind::Tap(Native { tap, offload }), mac, mtu, rss, pool }, queue_pairs))
    }
}

impl Native {
    pub(super) fn link(&self) -> Link {
        Link { up: self.tap.is_up(), speed_mbps: None }
    }

    pub(super) fn statistics(&self) -> Statistics {
        let counted = self.tap.statistics();
        Statistics {
            rx_frames: counted.rx_frames,
            tx_frames: counted.tx_frames,
            rx_bytes: counted.rx_bytes,
            tx_bytes: counted.tx_bytes,
            rx_missed: counted.rx_missed,
            rx_errors: counted.rx_bad_header + counted.rx_runt,
            rx_no_frame: counted.rx_no_frame,
            tx_errors: counted.tx_refused,
            tx_discarded: counted.tx_bad_request + counted.tx_link_down,
        }
    }

    /// In DPDK's words: to receive what is larger than the MTU is its LRO.
    pub(super) fn abilities(&self) -> Abilities {
        let (rx, tx): (&[&str], &[&str]) = match self.offload {
            Offload::None => (&[], &["MULTI_SEGS"]),
            Offload::Full => (
                &["UDP_CKSUM", "TCP_CKSUM", "TCP_LRO"],
                &["UDP_CKSUM", "TCP_CKSUM", "TCP_TSO", "MULTI_SEGS"],
            ),
        };
        let names = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        Abilities {
            queues: MOST_QUEUES,
            mtu: LEAST_MTU..=LARGEST_MTU,
            numa_node: None,
            rss: RssAbilities { key_len: 0, table_len: 0, hashes: vec![] },
            rx_offloads: names(rx),
            tx_offloads: names(tx),
        }
    }
}

pub(super) const DRIVER: &str = "vtap";
