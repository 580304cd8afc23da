//! What a device says that it can do.

use std::ffi::{CStr, c_char};
use std::mem::MaybeUninit;
use std::ops::RangeInclusive;

use dpdk_sys as sys;

use super::{Device, Kind, Port, TAP, configure};
use crate::dpdk::Error;

/// What a device says that it can do; less may be in use.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Abilities {
    /// Queue pairs at most.
    pub queues: u16,
    /// The MTUs that it can have.
    pub mtu: RangeInclusive<u16>,
    /// Where it sits, on a machine with NUMA nodes; virtual devices sit nowhere.
    pub numa_node: Option<u32>,
    /// How it spreads flows over queues.
    pub rss: RssAbilities,
    /// What it does with received frames, in DPDK's words.
    pub rx_offloads: Vec<String>,
    /// What it does with frames to send.
    pub tx_offloads: Vec<String>,
}

/// How a device can spread flows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RssAbilities {
    /// Bytes of its key; 0 if it does not say.
    pub key_len: u8,
    /// Entries of its redirection table; 0 if it has none.
    pub table_len: u16,
    /// What it hashes; nothing if it does not spread flows.
    pub hashes: Vec<&'static str>,
}

impl Device {
    /// What the device says that it can do.
    pub fn abilities(&self) -> Result<Abilities, Error> {
        let port = match &self.kind {
            Kind::Port(port) => port,
            Kind::Tap(native) => return Ok(native.abilities()),
        };
        let info = information(port)?;
        // net_tap says so and does not: the kernel's tun driver spreads flows by a hash of its own.
        let flows = if self.driver() == TAP { 0 } else { info.flow_type_rss_offloads };
        let hashes = HASHES.iter().filter(|&&(bit, _)| flows & u64::from(bit) != 0);
        Ok(Abilities {
            queues: configure::most_queues(port, &info),
            mtu: info.min_mtu..=info.max_mtu,
            numa_node: u32::try_from(port.numa_node()).ok(),
            rss: RssAbilities {
                key_len: info.hash_key_size,
                table_len: info.reta_size,
                hashes: hashes.map(|&(_, name)| name).collect(),
            },
            rx_offloads: names(info.rx_offload_capa, sys::rte_eth_dev_rx_offload_name),
            tx_offloads: names(info.tx_offload_capa, sys::rte_eth_dev_tx_offload_name),
        })
    }
}

fn information(port: &Port) -> Result<sys::rte_eth_dev_info, Error> {
    let mut info = MaybeUninit::zeroed();
    // SAFETY: the port is open.
    let code = unsafe { sys::rte_eth_dev_info_get(port.id, info.as_mut_ptr()) };
    configure::done(port, "ask for its capabilities", code)?;
    // SAFETY: it was zeroed, which is valid, and then filled.
    Ok(unsafe { info.assume_init() })
}

/// DPDK's names of the bits that are set.
fn names(bits: u64, name: unsafe extern "C" fn(u64) -> *const c_char) -> Vec<String> {
    let set = (0..u64::BITS).map(|shift| 1 << shift).filter(|bit| bits & bit != 0);
    // SAFETY: DPDK has a static C string for every number.
    set.map(|bit| unsafe { CStr::from_ptr(name(bit)) }.to_string_lossy().into_owned()).collect()
}

const HASHES: [(u32, &str); 12] = [
    (sys::RTE_ETH_RSS_IPV4, "ipv4"),
    (sys::RTE_ETH_RSS_FRAG_IPV4, "ipv4-fragment"),
    (sys::RTE_ETH_RSS_NONFRAG_IPV4_TCP, "ipv4-tcp"),
    (sys::RTE_ETH_RSS_NONFRAG_IPV4_UDP, "ipv4-udp"),
    (sys::RTE_ETH_RSS_NONFRAG_IPV4_SCTP, "ipv4-sctp"),
    (sys::RTE_ETH_RSS_NONFRAG_IPV4_OTHER, "ipv4-other"),
    (sys::RTE_ETH_RSS_IPV6, "ipv6"),
    (sys::RTE_ETH_RSS_FRAG_IPV6, "ipv6-fragment"),
    (sys::RTE_ETH_RSS_NONFRAG_IPV6_TCP, "ipv6-tcp"),
    (sys::RTE_ETH_RSS_NONFRAG_IPV6_UDP, "ipv6-udp"),
    (sys::RTE_ETH_RSS_NONFRAG_IPV6_SCTP, "ipv6-sctp"),
    (sys::RTE_ETH_RSS_NONFRAG_IPV6_OTHER, "ipv6-other"),
];
