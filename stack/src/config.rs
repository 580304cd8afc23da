//! What a stack is told at its start.

use std::io;
use std::net::Ipv4Addr;

use pmd::QueueInfo;

use crate::ip::{Ipv4Prefix, NextHop, Route};
use crate::neighbor::Detection;
use crate::net::NetConfig;
use crate::tcp::TcpConfig;

/// A stack's configuration. The default is one unpinned core without an address: give it at least one.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our addresses with their networks, such as `10.0.0.2/24`. The first is the source of what goes elsewhere.
    pub addresses: Vec<Ipv4Prefix>,
    /// Where packets to other networks go.
    pub gateway: Option<Ipv4Addr>,
    /// More networks, and who on our link leads to each.
    pub routes: Vec<(Ipv4Prefix, Ipv4Addr)>,
    /// The VLAN that our frames are tagged for, 1 to 4094.
    pub vlan: Option<u16>,
    /// Largest IP packet in bytes, if it is to be smaller than the device's; at least 576.
    pub mtu: Option<u16>,
    /// One protocol thread for each of these CPUs, pinned to it. Empty: one thread, not pinned.
    pub cores: Vec<usize>,
    /// What a protocol thread does while there is nothing to do.
    pub idle: Idle,
    /// Makes chance repeat itself: for simulations only, because it makes ports and sequence numbers predictable. `None`
    /// takes a seed from the operating system.
    pub seed: Option<[u8; 32]>,
    /// How flows are spread over the cores.
    pub steering: SteeringConfig,
    /// How our addresses are tested before they are used.
    pub duplicate_detection: DuplicateDetection,
    /// TCP's times and limits.
    pub tcp: TcpConfig,
    /// Datagrams that a UDP socket holds in each direction.
    pub udp_queue: usize,
}

/// How a protocol thread rests when nothing is to be done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Idle {
    /// It does not: lowest latency, a whole CPU.
    Spin,
    /// It offers its CPU to others, and takes what is left.
    Yield,
    /// It spins and yields for a moment, and then sleeps until a packet or a timer wakes it.
    #[default]
    Sleep,
}

/// How flows are spread over the cores. Each belongs to one of them, by a hash of its addresses and ports.
#[derive(Clone, Debug)]
pub struct SteeringConfig {
    /// The hash's key. `None` takes the device's, or else a random one: who knows it can aim all flows at one core.
    pub key: Option<[u8; 40]>,
    /// Entries of the table from hashes to cores, a power of two, where the device has none that fits.
    pub table_len: usize,
    /// Packets that wait at most on their way from one core to another.
    pub ring: usize,
}

impl Default for SteeringConfig {
    fn default() -> Self {
        Self { key: None, table_len: 128, ring: 512 }
    }
}

/// Whether other stations are asked for our addresses before we use them (RFC 5227).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DuplicateDetection {
    /// No: an address is announced and used at once.
    Off,
    /// Three probes within 0.4 s: for links that are up before we are.
    #[default]
    Quick,
    /// As the RFC has it, in 4 to 7 s: for links with bridges that are slow to forward.
    Rfc5227,
}

/// Every link of the Internet carries this much (RFC 791).
const MTU_MIN: u16 = 576;

/// More entries than any device's table has, and more packets than a device's pool has for each ring.
const STEERING_MAX: usize = 1 << 15;

/// More than any device's pool has frames for.
const UDP_QUEUE_MAX: usize = 1 << 16;

impl Default for Config {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            gateway: None,
            routes: Vec::new(),
            vlan: None,
            mtu: None,
            cores: Vec::new(),
            idle: Idle::default(),
            seed: None,
            steering: SteeringConfig::default(),
            duplicate_detection: DuplicateDetection::default(),
            tcp: TcpConfig::default(),
            udp_queue: 256,
        }
    }
}

impl Config {
    /// Whether a stack can start so over `device`.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput), saying what to change.
    pub fn check(&self, device: &QueueInfo) -> io::Result<()> {
        if self.addresses.is_empty() {
            return Err(invalid("no address: give at least one, such as 10.0.0.2/24".to_owned()));
        }
        for address in &self.addresses {
            let host = address.address();
            if !is_host(host) || address.broadcast() == Some(host) {
                return Err(invalid(format!("{address} cannot be a host's address")));
            }
        }
        let gateways = self.gateway.iter().chain(self.routes.iter().map(|(_, gateway)| gateway));
        for gateway in gateways {
            if !self.addresses.iter().any(|network| network.contains(*gateway)) {
                let networks: Vec<String> =
                    self.addresses.iter().map(ToString::to_string).collect();
                let networks = networks.join(", ");
                return Err(invalid(format!("gateway {gateway} is not on our link ({networks})")));
            }
        }
        if self.vlan.is_some_and(|id| !(1..=4094).contains(&id)) {
            return Err(invalid("a VLAN id is 1 to 4094".to_owned()));
        }
        if let Some(mtu) = self.mtu
            && !(MTU_MIN..=device.mtu).contains(&mtu)
        {
            let most = device.mtu;
            return Err(invalid(format!("MTU {mtu}: {} takes {MTU_MIN} to {most}", device.device)));
        }
        self.check_steering()?;
        if !(1..=UDP_QUEUE_MAX).contains(&self.udp_queue) {
            return Err(invalid(format!(
                "a UDP socket's queue holds 1 to {UDP_QUEUE_MAX} datagrams"
            )));
        }
        self.tcp.check()
    }

    fn check_steering(&self) -> io::Result<()> {
        let SteeringConfig { table_len, ring, .. } = self.steering;
        if !table_len.is_power_of_two() || !(1..=STEERING_MAX).contains(&table_len) {
            return Err(invalid(format!(
                "steering: {table_len} table entries: give a power of two up to {STEERING_MAX}"
            )));
        }
        if table_len < self.cores.len() {
            let cores = self.cores.len();
            return Err(invalid(format!("steering: {table_len} table entries for {cores} cores")));
        }
        if !(1..=STEERING_MAX).contains(&ring) {
            return Err(invalid(format!("steering: a ring holds 1 to {STEERING_MAX} packets")));
        }
        Ok(())
    }

    /// What of it the layers below the transports are told.
    pub(crate) fn net(&self) -> NetConfig {
        let via = |network, gateway| Route { network, next: NextHop::Gateway(gateway) };
        let default = self.gateway.map(|gateway| via(Ipv4Prefix::ALL, gateway));
        let routes = self.routes.iter().map(|&(network, gateway)| via(network, gateway));
        NetConfig {
            addresses: self.addresses.clone(),
            routes: default.into_iter().chain(routes).collect(),
            vlan: self.vlan,
            mtu: self.mtu,
            detection: match self.duplicate_detection {
                DuplicateDetection::Off => Detection::OFF,
                DuplicateDetection::Quick => Detection::QUICK,
                DuplicateDetection::Rfc5227 => Detection::RFC_5227,
            },
        }
    }
}

fn is_host(address: Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_loopback())
}

pub(crate) fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}
