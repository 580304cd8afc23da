//! Receive-side scaling: what is asked of a device, and whether it has it afterwards.

use std::ptr;
use std::sync::Arc;

use dpdk_sys as sys;

use super::{DeviceConfig, Port};
use crate::toeplitz::{Key, RedirectionTable};
use crate::{Hashed, Rss, Scaling};

/// Whether the device has what it takes.
pub(super) fn is_possible(device: &sys::rte_eth_dev_info) -> bool {
    device.flow_type_rss_offloads & FLOWS != 0
        && key_len(device) >= Key::LEN
        && device.reta_size.is_power_of_two()
}

/// The part of the configuration that asks for it. The key stays with the port, which the result points into.
pub(super) fn wanted(
    port: &mut Port,
    device: &sys::rte_eth_dev_info,
    config: &DeviceConfig,
) -> sys::rte_eth_rss_conf {
    // Devices that want a longer key never use the bytes behind ours.
    port.rss_key = config.rss_key.unwrap_or_else(random_key).bytes().to_vec();
    port.rss_key.resize(key_len(device), 0);
    conf(&mut port.rss_key, FLOWS & device.flow_type_rss_offloads)
}

/// Spreads hashes evenly over the queues, and looks whether the device does as it was told.
pub(super) fn set(port: &mut Port, device: &sys::rte_eth_dev_info, config: &DeviceConfig) -> Rss {
    let table = RedirectionTable::even(usize::from(device.reta_size), config.queues);
    if fill(port, &table) < 0 {
        return Rss::Refused("take a redirection table");
    }
    let ours = Key::new(*port.rss_key.first_chunk().expect("as long as a key at least"));
    let is_ours = |told: &Told| told.key.get(..Key::LEN) == Some(ours.bytes());
    // net_null, for one, takes no key when it is configured.
    let told = ask(port, device).filter(is_ours).or_else(|| {
        update(port, device);
        ask(port, device)
    });
    let Some(told) = told else { return Rss::Refused("tell its key") };
    if !is_ours(&told) {
        return Rss::KeyNotKept;
    }
    let Some(entries) = entries(port, table.entries().len()) else {
        return Rss::Refused("tell its redirection table");
    };
    if entries != table.entries() {
        return Rss::TableNotKept;
    }
    let hashed = |ports| match () {
        () if told.flows & u64::from(ports) != 0 => Hashed::Ports,
        () if told.flows & u64::from(sys::RTE_ETH_RSS_IPV4) != 0 => Hashed::Addresses,
        () => Hashed::Nothing,
    };
    Rss::AsAsked(Arc::new(Scaling {
        key: ours,
        table,
        tcp: hashed(sys::RTE_ETH_RSS_NONFRAG_IPV4_TCP),
        udp: hashed(sys::RTE_ETH_RSS_NONFRAG_IPV4_UDP),
    }))
}

fn random_key() -> Key {
    loop {
        let mut bytes = [0; Key::LEN];
        // SAFETY: fills at most as many bytes as there are. So few never fail to come once the kernel has seeded itself, which it
        // waits for.
        unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        if let Some(key) = Key::from_random(bytes) {
            return key;
        }
    }
}

fn fill(port: &Port, table: &RedirectionTable) -> i32 {
    let mut groups = groups(table.entries());
    let len = u16::try_from(table.entries().len()).unwrap_or(u16::MAX);
    // SAFETY: the port runs, and `groups` covers `len` entries.
    unsafe { sys::rte_eth_dev_rss_reta_update(port.id, groups.as_mut_ptr(), len) }
}

/// What a device tells of its hash.
struct Told {
    key: Vec<u8>,
    /// The kinds of packet that it hashes.
    flows: u64,
}

fn ask(port: &Port, device: &sys::rte_eth_dev_info) -> Option<Told> {
    let mut key = vec![0; key_len(device)];
    let mut conf = conf(&mut key, 0);
    // SAFETY: the port runs, and `conf` has room for a key of the device's length.
    let code = unsafe { sys::rte_eth_dev_rss_hash_conf_get(port.id, &raw mut conf) };
    let flows = conf.rss_hf;
    (code >= 0).then_some(Told { key, flows })
}

/// Gives the device the key once more, now that it runs. Whether that was of use is asked for next.
fn update(port: &mut Port, device: &sys::rte_eth_dev_info) {
    let mut conf = conf(&mut port.rss_key, FLOWS & device.flow_type_rss_offloads);
    // SAFETY: the port runs, and the key has the device's length.
    unsafe { sys::rte_eth_dev_rss_hash_update(port.id, &raw mut conf) };
}

/// The table that the device says it has.
fn entries(port: &Port, count: usize) -> Option<Vec<u16>> {
    // What is not answered is no queue of anybody's.
    let mut groups = groups(&vec![u16::MAX; count]);
    let len = u16::try_from(count).ok()?;
    // SAFETY: the port runs, and `groups` covers `len` entries.
    let code = unsafe { sys::rte_eth_dev_rss_reta_query(port.id, groups.as_mut_ptr(), len) };
    let entries = groups.iter().flat_map(|group| group.reta).take(count);
    (code >= 0).then(|| entries.collect())
}

/// Entries as DPDK wants them: in groups, each with a mask of those that are meant.
fn groups(entries: &[u16]) -> Vec<sys::rte_eth_rss_reta_entry64> {
    let group = |queues: &[u16]| {
        let mut group = sys::rte_eth_rss_reta_entry64 { mask: 0, reta: [0; 64] };
        for (index, &queue) in queues.iter().enumerate() {
            group.mask |= 1 << index;
            group.reta[index] = queue;
        }
        group
    };
    entries.chunks(sys::RTE_ETH_RETA_GROUP_SIZE as usize).map(group).collect()
}

fn conf(key: &mut [u8], flows: u64) -> sys::rte_eth_rss_conf {
    let mut conf =
        sys::rte_eth_rss_conf { rss_key: ptr::null_mut(), rss_key_len: 0, rss_hf: flows };
    conf.rss_key = key.as_mut_ptr();
    conf.rss_key_len = u8::try_from(key.len()).unwrap_or(u8::MAX);
    conf
}

/// Bytes of the key that the device wants; the usual length where it does not say.
fn key_len(device: &sys::rte_eth_dev_info) -> usize {
    match device.hash_key_size {
        0 => Key::LEN,
        len => usize::from(len),
    }
}

/// Addresses, and ports where the packet has them and is no fragment.
const FLOWS: u64 = (sys::RTE_ETH_RSS_IPV4
    | sys::RTE_ETH_RSS_IPV6
    | sys::RTE_ETH_RSS_NONFRAG_IPV4_TCP
    | sys::RTE_ETH_RSS_NONFRAG_IPV4_UDP
    | sys::RTE_ETH_RSS_NONFRAG_IPV6_TCP
    | sys::RTE_ETH_RSS_NONFRAG_IPV6_UDP) as u64;
