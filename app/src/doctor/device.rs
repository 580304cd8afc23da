//! The device that was asked for: whether it opens, and what it says of itself.

use std::time::Duration;

use pmd::dpdk::{Abilities, Device};
use serde::Serialize;

use super::finding::{Finding, Need};
use super::steering;
use crate::device::OpenDevice;
use crate::settings::Settings;

/// What a device says of itself.
#[derive(Debug, Serialize)]
pub(super) struct DeviceFacts {
    device: String,
    driver: String,
    mac: String,
    mtu: u16,
    largest_mtu: u16,
    link: &'static str,
    speed_mbps: Option<u32>,
    /// Queue pairs at most.
    queues: u16,
    numa_node: Option<u32>,
    rss_key_bytes: u8,
    rss_table_entries: u16,
    rss_hashes: Vec<&'static str>,
    receive_offloads: Vec<String>,
    transmit_offloads: Vec<String>,
}

/// Opens the device as the other commands do, and closes it.
pub(super) fn check(settings: &Settings) -> (Vec<Finding>, Option<DeviceFacts>) {
    let (open, queues) = match OpenDevice::open(settings) {
        Ok(opened) => opened,
        Err(failure) => {
            let remedy = "the message says it; the findings above may say more";
            return (vec![Finding::missing(Need::Asked, failure.message(), remedy)], None);
        }
    };
    open.device.wait_for_link(LINK_WITHIN);
    let facts = DeviceFacts::of(&open.device);
    let steering = steering::check(settings, queues);
    open.close();
    match facts {
        Ok(facts) => {
            let mut findings = facts.findings();
            findings.push(steering);
            (findings, Some(facts))
        }
        Err(error) => {
            let remedy = "DPDK_LOG=debug shows more";
            (vec![Finding::missing(Need::Asked, error.to_string(), remedy)], None)
        }
    }
}

impl DeviceFacts {
    fn of(device: &Device) -> Result<Self, pmd::dpdk::Error> {
        let Abilities { queues, mtu, numa_node, rss, rx_offloads, tx_offloads } =
            device.abilities()?;
        let [a, b, c, d, e, f] = device.mac();
        let link = device.link();
        Ok(Self {
            device: device.name().to_owned(),
            driver: device.driver().to_owned(),
            mac: format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
            mtu: device.mtu(),
            largest_mtu: *mtu.end(),
            link: if link.up { "up" } else { "down" },
            speed_mbps: link.speed_mbps,
            queues,
            numa_node,
            rss_key_bytes: rss.key_len,
            rss_table_entries: rss.table_len,
            rss_hashes: rss.hashes,
            receive_offloads: rx_offloads,
            transmit_offloads: tx_offloads,
        })
    }

    fn findings(&self) -> Vec<Finding> {
        let Self { device, driver, mac, mtu, largest_mtu, queues, .. } = self;
        let node = self.numa_node.map_or_else(String::new, |node| format!(", NUMA node {node}"));
        vec![
            Finding::good(format!(
                "{device} opens: {driver}, {mac}, MTU {mtu} of at most {largest_mtu}, {queues} queues at most{node}"
            )),
            self.link(),
            Finding::good(self.rss()),
            Finding::good(format!(
                "receive offloads: {}; transmit offloads: {}",
                listed(&self.receive_offloads),
                listed(&self.transmit_offloads)
            )),
        ]
    }

    fn link(&self) -> Finding {
        match (self.link, self.speed_mbps) {
            ("up", Some(speed)) => Finding::good(format!("the link is up, {speed} Mb/s")),
            ("up", None) => Finding::good("the link is up"),
            _ => Finding::note(
                "the link is down",
                "NICs need some seconds; else look at the cable, the switch or, for a memif, at the other end",
            ),
        }
    }

    fn rss(&self) -> String {
        if self.rss_hashes.is_empty() {
            return "the device spreads no flows over queues (no RSS)".to_owned();
        }
        format!(
            "RSS: a key of {}, a table of {} entries, hashes of {}",
            match self.rss_key_bytes {
                0 => "untold length".to_owned(),
                bytes => format!("{bytes} bytes"),
            },
            self.rss_table_entries,
            self.rss_hashes.join(", ")
        )
    }
}

/// Some NICs need so long.
const LINK_WITHIN: Duration = Duration::from_secs(4);

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::super::fake::expect;
    use super::super::finding::Grade::{Good, Note};
    use super::*;

    fn facts() -> DeviceFacts {
        DeviceFacts {
            device: "pci:0000:03:00.0".to_owned(),
            driver: "net_virtio".to_owned(),
            mac: "02:00:00:00:00:01".to_owned(),
            mtu: 1500,
            largest_mtu: 9698,
            link: "up",
            speed_mbps: Some(10_000),
            queues: 4,
            numa_node: Some(1),
            rss_key_bytes: 40,
            rss_table_entries: 128,
            rss_hashes: vec!["ipv4", "ipv4-tcp"],
            receive_offloads: vec!["TCP_CKSUM".to_owned()],
            transmit_offloads: vec![],
        }
    }

    #[test]
    fn a_device_says_all_of_itself() {
        let findings = facts().findings();
        expect(&findings, Good, &["net_virtio", "MTU 1500", "4 queues", "NUMA node 1"]);
        expect(&findings, Good, &["link is up, 10000 Mb/s"]);
        expect(&findings, Good, &["40 bytes", "128 entries", "ipv4, ipv4-tcp"]);
        expect(&findings, Good, &["receive offloads: TCP_CKSUM; transmit offloads: none"]);
    }

    #[test]
    fn a_link_that_is_down_is_noted() {
        let findings = DeviceFacts { link: "down", speed_mbps: None, ..facts() }.findings();
        expect(&findings, Note, &["the link is down", "cable"]);
        let findings = DeviceFacts { rss_hashes: vec![], ..facts() }.findings();
        expect(&findings, Good, &["no RSS"]);
    }
}
