//! From a packet's addresses and ports to what they belong to, at a cost that no peer can raise.
//!
//! Peers choose their addresses and ports, so the hash is keyed with a secret that no packet reveals
//! (SipHash-1-3); the NIC's RSS hash is public and is never used here.

use std::cell::Cell;
use std::net::{Ipv4Addr, Ipv6Addr};

use siphasher::sip::SipHasher13;

use crate::gradual::GradualTable;

/// Values by flow.
///
/// An IPv4 flow with a 4-byte value takes 17 bytes per bucket, and 35 to 80 % of the buckets are
/// used: 19 to 49 bytes per flow, typically 30. While the table changes size it holds the old
/// buckets too. It grows, shrinks and moves a few flows at a time, see [`GradualTable`].
pub(crate) struct FlowTable<K, V> {
    table: GradualTable<(K, V)>,
    hash: FlowHash,
}

impl<K: FlowKey, V: Copy> FlowTable<K, V> {
    pub(crate) fn new(hash: FlowHash) -> Self {
        Self { table: GradualTable::new(), hash }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.table.find(self.hash.of(key), |(held, _)| held == key).map(|&(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let found = self.table.find_mut(self.hash.of(key), |(held, _)| held == key);
        found.map(|(_, value)| value)
    }

    /// Files `value` under `key` and returns what was there before.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        let hash = self.hash.of(&key);
        if let Some((_, held)) = self.table.find_mut(hash, |(held, _)| *held == key) {
            return Some(std::mem::replace(held, value));
        }
        self.table.insert(hash, (key, value), |(key, _)| self.hash.of(key));
        None
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let hash = self.hash.of(key);
        let found = self.table.remove(hash, |(held, _)| held == key, |(key, _)| self.hash.of(key));
        found.map(|(_, value)| value)
    }
}

/// A flow's hash under a secret: 128 random bits, drawn once per protocol thread.
#[derive(Clone)]
pub(crate) struct FlowHash {
    hasher: SipHasher13,
    /// The flow that was asked of last: a segment that opens or ends a connection asks of the same in several tables.
    last: Cell<([u8; 12], u64)>,
}

impl FlowHash {
    pub(crate) fn new(secret: [u64; 2]) -> Self {
        let hasher = SipHasher13::new_with_keys(secret[0], secret[1]);
        let last = Cell::new(([0; 12], hasher.hash(&[0; 12])));
        Self { hasher, last }
    }

    #[inline]
    pub(crate) fn of(&self, key: &impl FlowKey) -> u64 {
        let bytes = key.bytes();
        let Ok(bytes) = bytes.as_ref().try_into() else { return self.hasher.hash(bytes.as_ref()) };
        let (last, hash) = self.last.get();
        if last == bytes { hash } else { self.look(bytes) }
    }

    fn look(&self, bytes: [u8; 12]) -> u64 {
        let hash = self.hasher.hash(&bytes);
        self.last.set((bytes, hash));
        hash
    }
}

/// The addresses and ports of a flow, in either family.
pub(crate) trait FlowKey: Copy + Eq {
    /// An array of bytes.
    type Bytes: AsRef<[u8]>;

    /// The key as a hash sees it: different keys have different bytes.
    fn bytes(&self) -> Self::Bytes;

    /// The network that the flow comes from, as a flow without anything else: a /24, or a /64 of IPv6. These are the smallest that
    /// are routed, so whoever has one address of it may have all.
    fn source(&self) -> Self;

    /// The address and port here, as a flow without anything else.
    fn destination(&self) -> Self;
}

/// A flow over IPv4, seen from here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct FlowKey4 {
    pub(crate) remote: Ipv4Addr,
    pub(crate) local: Ipv4Addr,
    pub(crate) remote_port: u16,
    pub(crate) local_port: u16,
}

impl FlowKey for FlowKey4 {
    type Bytes = [u8; 12];

    fn bytes(&self) -> Self::Bytes {
        let [r0, r1, r2, r3] = self.remote.octets();
        let [l0, l1, l2, l3] = self.local.octets();
        let ([p0, p1], [q0, q1]) = (self.remote_port.to_be_bytes(), self.local_port.to_be_bytes());
        [r0, r1, r2, r3, l0, l1, l2, l3, p0, p1, q0, q1]
    }

    fn source(&self) -> Self {
        let [a, b, c, _] = self.remote.octets();
        let (remote, local) = ([a, b, c, 0].into(), Ipv4Addr::UNSPECIFIED);
        Self { remote, local, remote_port: 0, local_port: 0 }
    }

    fn destination(&self) -> Self {
        Self { remote: Ipv4Addr::UNSPECIFIED, remote_port: 0, ..*self }
    }
}

/// A flow over IPv6, seen from here.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct FlowKey6 {
    pub(crate) remote: Ipv6Addr,
    pub(crate) local: Ipv6Addr,
    pub(crate) remote_port: u16,
    pub(crate) local_port: u16,
}

impl FlowKey for FlowKey6 {
    type Bytes = [u8; 36];

    fn bytes(&self) -> Self::Bytes {
        let mut bytes = [0; 36];
        bytes[..16].copy_from_slice(&self.remote.octets());
        bytes[16..32].copy_from_slice(&self.local.octets());
        bytes[32..34].copy_from_slice(&self.remote_port.to_be_bytes());
        bytes[34..].copy_from_slice(&self.local_port.to_be_bytes());
        bytes
    }

    fn source(&self) -> Self {
        let network = self.remote.to_bits() & !u128::from(u64::MAX);
        let (remote, local) = (Ipv6Addr::from_bits(network), Ipv6Addr::UNSPECIFIED);
        Self { remote, local, remote_port: 0, local_port: 0 }
    }

    fn destination(&self) -> Self {
        Self { remote: Ipv6Addr::UNSPECIFIED, remote_port: 0, ..*self }
    }
}

const _: () = assert!(size_of::<FlowKey4>() == 12 && size_of::<FlowKey6>() == 36);
const _: () = assert!(size_of::<(FlowKey4, u32)>() == 16 && size_of::<(FlowKey6, u32)>() == 40);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    const SECRET: [u64; 2] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];

    fn flow4(remote: u32, local: u32, remote_port: u16, local_port: u16) -> FlowKey4 {
        FlowKey4 { remote: remote.into(), local: local.into(), remote_port, local_port }
    }

    fn flow6(remote: u128, local: u128, remote_port: u16, local_port: u16) -> FlowKey6 {
        FlowKey6 { remote: remote.into(), local: local.into(), remote_port, local_port }
    }

    #[test]
    fn every_field_counts() {
        let mut table = FlowTable::new(FlowHash::new(SECRET));
        let flows = [
            flow4(1, 2, 3, 4),
            flow4(9, 2, 3, 4),
            flow4(1, 9, 3, 4),
            flow4(1, 2, 9, 4),
            flow4(1, 2, 3, 9),
        ];
        for (flow, name) in flows.into_iter().zip('a'..) {
            assert_eq!(table.insert(flow, name), None);
        }
        for (flow, name) in flows.into_iter().zip('a'..) {
            assert_eq!(table.get(&flow), Some(name));
        }
        let mut table = FlowTable::new(FlowHash::new(SECRET));
        let flows = [
            flow6(1, 2, 3, 4),
            flow6(9, 2, 3, 4),
            flow6(1, 9, 3, 4),
            flow6(1, 2, 9, 4),
            flow6(1, 2, 3, 9),
        ];
        for (flow, name) in flows.into_iter().zip('a'..) {
            assert_eq!(table.insert(flow, name), None);
        }
        for (flow, name) in flows.into_iter().zip('a'..) {
            assert_eq!(table.get(&flow), Some(name));
        }
    }

    #[test]
    fn the_bytes_of_a_key_are_its_fields_in_order() {
        let four = flow4(0x0001_0203, 0x0405_0607, 0x0809, 0x0a0b);
        assert_eq!(four.bytes(), std::array::from_fn(|n| u8::try_from(n).unwrap()));
        let six = flow6(
            0x0001_0203_0405_0607_0809_0a0b_0c0d_0e0f,
            0x1011_1213_1415_1617_1819_1a1b_1c1d_1e1f,
            0x2021,
            0x2223,
        );
        assert_eq!(six.bytes(), std::array::from_fn(|n| u8::try_from(n).unwrap()));
    }

    #[test]
    fn another_secret_is_another_hash() {
        let flow = flow4(1, 2, 3, 4);
        let hash = FlowHash::new(SECRET).of(&flow);
        assert_ne!(hash, FlowHash::new([SECRET[0] ^ 1, SECRET[1]]).of(&flow));
        assert_ne!(hash, FlowHash::new([SECRET[0], SECRET[1] ^ 1]).of(&flow));
    }

    proptest! {
        #[test]
        fn flows_are_found_like_in_a_map(
            ops in prop::collection::vec((0_u8..3, 0_u32..20, 0_u16..20, any::<u32>()), 1..400),
        ) {
            let mut table = FlowTable::new(FlowHash::new(SECRET));
            let mut model = HashMap::new();
            for (op, remote, port, value) in ops {
                let flow = flow4(remote, 7, port, 80);
                match op {
                    0 => prop_assert_eq!(table.insert(flow, value), model.insert(flow, value)),
                    1 => prop_assert_eq!(table.remove(&flow), model.remove(&flow)),
                    _ => prop_assert_eq!(table.get(&flow), model.get(&flow).copied()),
                }
                prop_assert_eq!(table.table.len(), model.len());
            }
        }
    }
}
