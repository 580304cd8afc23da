//! How many entries of a table each listener and each network of peers has.

use crate::demux::{FlowHash, FlowKey, FlowTable};

/// Who has nothing costs nothing, so there are at most as many counts of either kind as entries.
pub(super) struct Shares<K> {
    /// By [`FlowKey::source`].
    sources: FlowTable<K, u32>,
    /// By [`FlowKey::destination`], of which there are few: a table of their own remembers the hash of the last.
    destinations: FlowTable<K, u32>,
}

impl<K: FlowKey> Shares<K> {
    pub(super) fn new(hash: FlowHash) -> Self {
        Self { sources: FlowTable::new(hash.clone()), destinations: FlowTable::new(hash) }
    }

    /// Of the network that the flow's peer is in.
    pub(super) fn of_source(&self, flow: &K) -> usize {
        self.sources.get(&flow.source()).unwrap_or(0) as usize
    }

    /// Of the flow's listener.
    pub(super) fn of_destination(&self, flow: &K) -> usize {
        self.destinations.get(&flow.destination()).unwrap_or(0) as usize
    }

    /// A flow comes into the table.
    pub(super) fn add(&mut self, flow: &K) {
        let Self { sources, destinations } = self;
        for (counts, whose) in [(sources, flow.source()), (destinations, flow.destination())] {
            match counts.get_mut(&whose) {
                Some(count) => *count += 1,
                None => drop(counts.insert(whose, 1)),
            }
        }
    }

    /// A flow that is in the table leaves.
    pub(super) fn remove(&mut self, flow: &K) {
        let Self { sources, destinations } = self;
        for (counts, whose) in [(sources, flow.source()), (destinations, flow.destination())] {
            match counts.get_mut(&whose) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(counts.remove(&whose)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::demux::{FlowKey4, FlowKey6};

    fn flow(network: u8, host: u8, local_port: u16) -> FlowKey4 {
        FlowKey4 {
            remote: [10, 0, network, host].into(),
            local: [10, 9, 9, 9].into(),
            remote_port: 4000 + u16::from(host),
            local_port,
        }
    }

    #[test]
    fn a_network_is_a_24_or_a_64() {
        let [one, other] = [flow(1, 2, 80), flow(1, 3, 81)];
        assert_eq!(one.source(), other.source());
        assert_ne!(one.source(), flow(2, 2, 80).source());
        assert_ne!(one.destination(), other.destination());
        let six = |remote: &str| FlowKey6 {
            remote: remote.parse().unwrap(),
            local: Ipv6Addr::LOCALHOST,
            remote_port: 1,
            local_port: 80,
        };
        assert_eq!(six("2001:db8::1").source(), six("2001:db8::ffff:0:0:1").source());
        assert_ne!(six("2001:db8::1").source(), six("2001:db8:0:1::1").source());
        assert_eq!(six("2001:db8::1").destination(), six("2001:db8::2").destination());
    }

    proptest! {
        /// The oracle counts the flows that are in.
        #[test]
        fn counts_are_those_of_the_flows_that_are_in(
            ops in prop::collection::vec((any::<bool>(), 0_u8..4, 0_u8..4, 80_u16..84), 1..200),
        ) {
            let mut shares = Shares::new(FlowHash::new([1, 2]));
            let mut inside: BTreeMap<(u8, u8, u16), FlowKey4> = BTreeMap::new();
            for (comes, network, host, port) in ops {
                let (key, flow) = ((network, host, port), flow(network, host, port));
                match (comes, inside.contains_key(&key)) {
                    (true, false) => {
                        shares.add(&flow);
                        inside.insert(key, flow);
                    }
                    (false, true) => {
                        shares.remove(&flow);
                        inside.remove(&key);
                    }
                    _ => {}
                }
                let count = |is: &dyn Fn(&FlowKey4) -> bool| inside.values().filter(|flow| is(flow)).count();
                let (source, destination) = (flow.source(), flow.destination());
                prop_assert_eq!(shares.of_source(&flow), count(&|other| other.source() == source));
                prop_assert_eq!(shares.of_destination(&flow), count(&|other| other.destination() == destination));
            }
        }
    }
}
