//! Setting up a device by its capabilities, in DPDK's order: configure, MTU, queues, start, the rest.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ptr;

use dpdk_sys as sys;

use super::{DeviceConfig, Port, scaling};
use crate::dpdk::pool::{Lease, Shape};
use crate::dpdk::{Error, log};
use crate::{Pool, Rss, TxOffload};

/// A started device's constants.
pub(in crate::dpdk) struct Plan {
    pub(in crate::dpdk) mac: [u8; 6],
    pub(in crate::dpdk) mtu: u16,
    pub(in crate::dpdk) tx: TxOffload,
    /// Segments of the longest chain of one frame that the device takes where it takes chains.
    pub(in crate::dpdk) longest_chain: u16,
    pub(in crate::dpdk) pool: Pool,
    pub(in crate::dpdk) rss: Rss,
}

/// Starts an attached device. When that fails, dropping the port detaches it.
pub(super) fn start(mut port: Port, config: &DeviceConfig) -> Result<(Port, Plan), Error> {
    log::forget();
    let capabilities = capabilities(&mut port)?;
    check_queues(&port, &capabilities, config.queues)?;
    let offloads = configure(&mut port, &capabilities, config)?;
    let mtu = set_mtu(&port, &capabilities, config.mtu)?;
    let pool = set_up_queues(&mut port, &capabilities, config, mtu)?;
    // SAFETY: the port is configured, and all its queues are set up.
    done(&port, "start it", unsafe { sys::rte_eth_dev_start(port.id) })?;
    port.running = config.queues;
    if config.promiscuous {
        // SAFETY: the port is open.
        let code = unsafe { sys::rte_eth_promiscuous_enable(port.id) };
        done(&port, "make it promiscuous", code)?;
    }
    let rss = match offloads.spread {
        Spread::OneQueue => Rss::OneQueue,
        Spread::Unsupported => Rss::Unsupported,
        Spread::Refused => Rss::Refused("take a key"),
        Spread::ByKey => scaling::set(&mut port, &capabilities, config),
    };
    let longest_chain = longest_chain(&capabilities);
    let tx = offloads.tx(&port, longest_chain, pool.room());
    let plan = Plan { mac: mac(&port)?, mtu, tx, longest_chain, pool, rss };
    Ok((port, plan))
}

fn capabilities(port: &mut Port) -> Result<sys::rte_eth_dev_info, Error> {
    let mut info = MaybeUninit::<sys::rte_eth_dev_info>::zeroed();
    // SAFETY: the port is open.
    let code = unsafe { sys::rte_eth_dev_info_get(port.id, info.as_mut_ptr()) };
    done(port, "ask for its capabilities", code)?;
    // SAFETY: it was zeroed, which is valid, and then filled.
    let info = unsafe { info.assume_init() };
    if !info.driver_name.is_null() {
        // SAFETY: a static C string of the driver.
        port.driver = unsafe { CStr::from_ptr(info.driver_name) }.to_string_lossy().into_owned();
    }
    Ok(info)
}

fn check_queues(port: &Port, device: &sys::rte_eth_dev_info, asked: u16) -> Result<(), Error> {
    let most = most_queues(port, device);
    if (1..=most).contains(&asked) {
        return Ok(());
    }
    Err(Error::Queues { device: port.label.clone(), asked, most })
}

pub(super) fn most_queues(port: &Port, device: &sys::rte_eth_dev_info) -> u16 {
    let said = device.max_rx_queues.min(device.max_tx_queues);
    match port.driver.as_str() {
        TAP => said.min(TAP_QUEUES),
        E1000 => said.min(1),
        _ => said,
    }
}

/// What the device is asked to do for us, as DPDK's bits.
#[derive(Clone, Copy)]
struct Offloads {
    rx: u64,
    tx: u64,
    spread: Spread,
}

/// What becomes of receive-side scaling when the device is configured.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Spread {
    OneQueue,
    Unsupported,
    Refused,
    ByKey,
}

impl Offloads {
    fn of(device: &sys::rte_eth_dev_info, config: &DeviceConfig, spread: Spread) -> Self {
        let (mut rx, mut tx) = (0, u64::from(sys::RTE_ETH_TX_OFFLOAD_MULTI_SEGS));
        if spread == Spread::ByKey {
            rx |= u64::from(sys::RTE_ETH_RX_OFFLOAD_RSS_HASH);
        }
        if config.checksum_offload {
            rx |= RX_CHECKSUMS;
            tx |= TX_CHECKSUMS;
            // What cuts a packet sums its segments, and takes it as a chain.
            if device.tx_offload_capa & FOR_CUTTING == FOR_CUTTING {
                tx |= FOR_CUTTING;
            }
        }
        Self { rx: rx & device.rx_offload_capa, tx: tx & device.tx_offload_capa, spread }
    }

    /// What the device does with frames of chains with so many segments at most, each of which has `room` bytes.
    fn tx(self, port: &Port, longest_chain: u16, room: usize) -> TxOffload {
        let has = |bit: u32| self.tx & u64::from(bit) != 0;
        let cuts = has(sys::RTE_ETH_TX_OFFLOAD_TCP_TSO);
        let most = if port.driver == TAP { TAP_IS_GIVEN } else { u16::MAX };
        TxOffload {
            ipv4: has(sys::RTE_ETH_TX_OFFLOAD_IPV4_CKSUM),
            tcp: has(sys::RTE_ETH_TX_OFFLOAD_TCP_CKSUM),
            udp: has(sys::RTE_ETH_TX_OFFLOAD_UDP_CKSUM),
            multi_segment: has(sys::RTE_ETH_TX_OFFLOAD_MULTI_SEGS),
            tcp_segmentation: if cuts { largest_chain(longest_chain, room) } else { 0 },
            tcp_segments: if cuts { most } else { 0 },
        }
    }
}

/// Configures the device, without receive-side scaling where it cannot do that: whoever steers in software needs none.
fn configure(
    port: &mut Port,
    device: &sys::rte_eth_dev_info,
    config: &DeviceConfig,
) -> Result<Offloads, Error> {
    let offloads = Offloads::of(device, config, spread(port, device, config));
    match configure_with(port, device, config, offloads) {
        Err(_) if offloads.spread == Spread::ByKey => {
            let offloads = Offloads::of(device, config, Spread::Refused);
            configure_with(port, device, config, offloads).map(|()| offloads)
        }
        outcome => outcome.map(|()| offloads),
    }
}

fn spread(port: &Port, device: &sys::rte_eth_dev_info, config: &DeviceConfig) -> Spread {
    if config.queues == 1 {
        return Spread::OneQueue;
    }
    // net_tap says so and does not: the kernel's tun driver spreads flows by a hash of its own.
    if port.driver != TAP && scaling::is_possible(device) {
        Spread::ByKey
    } else {
        Spread::Unsupported
    }
}

fn configure_with(
    port: &mut Port,
    device: &sys::rte_eth_dev_info,
    config: &DeviceConfig,
    offloads: Offloads,
) -> Result<(), Error> {
    // SAFETY: all zeros is DPDK's configuration of defaults.
    let mut wanted: sys::rte_eth_conf = unsafe { MaybeUninit::zeroed().assume_init() };
    wanted.rxmode.offloads = offloads.rx;
    wanted.txmode.offloads = offloads.tx;
    if offloads.spread == Spread::ByKey {
        wanted.rx_adv_conf.rss_conf = scaling::wanted(port, device, config);
        wanted.rxmode.mq_mode = sys::RTE_ETH_MQ_RX_RSS;
    }
    if port.driver == TAP {
        wanted.intr_conf.set_rxq(1);
    }
    // SAFETY: the port is open and stopped. The configuration is copied; the key is not, and stays with the port.
    let code = unsafe {
        sys::rte_eth_dev_configure(port.id, config.queues, config.queues, &raw const wanted)
    };
    done(port, "configure it", code).map(drop)
}

/// The device's MTU, after setting it if one is asked for.
fn set_mtu(port: &Port, device: &sys::rte_eth_dev_info, asked: Option<u16>) -> Result<u16, Error> {
    let mut mtu = 0;
    // SAFETY: the port is open, and `mtu` a place for the answer.
    done(port, "ask for its MTU", unsafe { sys::rte_eth_dev_get_mtu(port.id, &raw mut mtu) })?;
    let Some(asked) = asked.filter(|&asked| asked != mtu) else { return Ok(mtu) };
    if !(device.min_mtu..=device.max_mtu.min(LARGEST_MTU)).contains(&asked) {
        return Err(Error::Mtu {
            device: port.label.clone(),
            asked,
            least: device.min_mtu,
            most: device.max_mtu.min(LARGEST_MTU),
        });
    }
    // SAFETY: the port is configured and stopped.
    match unsafe { sys::rte_eth_dev_set_mtu(port.id, asked) } {
        0 => Ok(asked),
        code if code == -libc::ENOTSUP => {
            Err(Error::Mtu { device: port.label.clone(), asked, least: mtu, most: mtu })
        }
        code => Err(port.failed("set its MTU", code)),
    }
}

/// Sets up the queues, with a pool that has what they hold and the frames that are asked for beyond.
fn set_up_queues(
    port: &mut Port,
    device: &sys::rte_eth_dev_info,
    config: &DeviceConfig,
    mtu: u16,
) -> Result<Pool, Error> {
    let (mut rx, mut tx) = (config.rx_descriptors, config.tx_descriptors);
    // SAFETY: the port is configured, and both are places to adjust.
    let code = unsafe { sys::rte_eth_dev_adjust_nb_rx_tx_desc(port.id, &raw mut rx, &raw mut tx) };
    done(port, "choose its descriptors", code)?;
    let node = port.numa_node();
    let held = match port.driver.as_str() {
        "net_af_xdp" => AF_XDP_HOLDS,
        _ => u32::from(rx) + u32::from(tx),
    };
    let frames = config.frames.saturating_add(held.saturating_mul(config.queues.into()));
    let shape = Shape { node, frames, room: room(device, mtu) };
    let lease = Lease::take(shape).ok_or_else(|| Error::NoMemory {
        device: port.label.clone(),
        frames: shape.frames as usize,
        room: usize::from(shape.room),
    })?;
    let pool = lease.pool;
    port.lease = Some(lease);
    // -1, any node, is DPDK's own value there.
    let node = node.cast_unsigned();
    for queue in 0..config.queues {
        // SAFETY: the port is configured with this many queues; null asks for the driver's defaults, and the pool lives for
        // ever.
        let codes = unsafe {
            [
                sys::rte_eth_rx_queue_setup(port.id, queue, rx, node, ptr::null(), pool.as_ptr()),
                sys::rte_eth_tx_queue_setup(port.id, queue, tx, node, ptr::null()),
            ]
        };
        receive_queue_set_up(port, codes[0])?;
        done(port, "set up its transmit queues", codes[1])?;
    }
    Ok(Pool::mbuf(pool))
}

/// net_af_xdp does not say why it gets no queue of its interface.
fn receive_queue_set_up(port: &Port, code: i32) -> Result<(), Error> {
    match port.driver.as_str() {
        "net_af_xdp" if code < 0 => {
            Err(Error::XdpQueues { device: port.label.clone(), reason: log::reason(code) })
        }
        _ => done(port, "set up its receive queues", code).map(drop),
    }
}

/// Bytes of a frame, so that a packet of the MTU fits in one segment.
fn room(device: &sys::rte_eth_dev_info, mtu: u16) -> u16 {
    let packet = mtu.saturating_add(LINK_OVERHEAD).next_multiple_of(64);
    let least = u16::try_from(device.min_rx_bufsize).unwrap_or(LEAST_ROOM);
    packet.max(least).max(LEAST_ROOM)
}

/// Drivers say nothing where they have no limit.
fn longest_chain(device: &sys::rte_eth_dev_info) -> u16 {
    match device.tx_desc_lim.nb_seg_max {
        0 => u16::MAX,
        most => most,
    }
}

/// Bytes of the largest IP packet in a chain of so many segments: where a driver takes short ones, that is less than a packet can have.
fn largest_chain(longest: u16, room: usize) -> u16 {
    let bytes = usize::from(longest).saturating_mul(room).saturating_sub(LINK_OVERHEAD.into());
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

fn mac(port: &Port) -> Result<[u8; 6], Error> {
    let mut address = sys::rte_ether_addr::default();
    // SAFETY: the port is open, and `address` a place for the answer.
    let code = unsafe { sys::rte_eth_macaddr_get(port.id, &raw mut address) };
    done(port, "ask for its address", code)?;
    let mut mac = address.addr_bytes;
    if port.driver == TAP {
        // net_tap tells the address of the kernel's interface. What is on the other side of the wire is another station,
        // and gets the address next to it: a frame from one's own address is an echo.
        mac[5] ^= 1;
    }
    Ok(mac)
}

pub(super) fn done(port: &Port, step: &'static str, code: i32) -> Result<i32, Error> {
    if code < 0 { Err(port.failed(step, code)) } else { Ok(code) }
}

pub(in crate::dpdk) const TAP: &str = "net_tap";

/// net_tap has room for so many segments of one packet; with one for which it has none it would wait for ever (DPDK 22.11).
pub(in crate::dpdk) const TAP_CUTS: u16 = 64;

/// Its segments are shorter than they are asked to be by the link's header: of so many, however short, no more than it has room for
/// become.
const TAP_IS_GIVEN: u16 = TAP_CUTS / 2;

/// net_tap says 16; five or more overrun its memory (DPDK 22.11).
const TAP_QUEUES: u16 = 4;

/// Says that it has two queues, also for cards that have one, where what the second is given to send is lost without a word. The
/// cards that have two spread nothing over them by this driver (DPDK 22.11).
const E1000: &str = "net_e1000_em";

/// Frames in the rings of one queue pair of net_af_xdp, whatever is asked for.
const AF_XDP_HOLDS: u32 = 2 * 2048;

/// Ethernet's header, two VLAN tags and its checksum.
const LINK_OVERHEAD: u16 = 14 + 2 * 4 + 4;

/// What many NICs take at least, and what holds an ordinary packet.
const LEAST_ROOM: u16 = 2048;

/// A segment counts its buffer in 16 bits, headroom included.
const LARGEST_MTU: u16 = 65_000;

const RX_CHECKSUMS: u64 = (sys::RTE_ETH_RX_OFFLOAD_IPV4_CKSUM
    | sys::RTE_ETH_RX_OFFLOAD_TCP_CKSUM
    | sys::RTE_ETH_RX_OFFLOAD_UDP_CKSUM) as u64;

const TX_CHECKSUMS: u64 = (sys::RTE_ETH_TX_OFFLOAD_IPV4_CKSUM
    | sys::RTE_ETH_TX_OFFLOAD_TCP_CKSUM
    | sys::RTE_ETH_TX_OFFLOAD_UDP_CKSUM) as u64;

const FOR_CUTTING: u64 =
    TX_CHECKSUMS | (sys::RTE_ETH_TX_OFFLOAD_TCP_TSO | sys::RTE_ETH_TX_OFFLOAD_MULTI_SEGS) as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_that_is_to_be_cut_fits_the_longest_chain() {
        assert_eq!(largest_chain(u16::MAX, 2048), u16::MAX);
        assert_eq!(largest_chain(40, 2048), u16::MAX);
        assert_eq!(largest_chain(17, 2048), 17 * 2048 - 26);
        assert_eq!(largest_chain(0, 2048), 0);
    }
}
