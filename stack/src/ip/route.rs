//! Where packets go next: the longest prefix that covers their destination.

use std::net::Ipv4Addr;

use super::Ipv4Prefix;

/// A way to a network.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Route {
    pub(crate) network: Ipv4Prefix,
    pub(crate) next: NextHop,
}

/// Who gets a packet first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NextHop {
    /// The destination itself: it is on our link.
    Destination,
    /// A router on our link.
    Gateway(Ipv4Addr),
}

/// A bounded set of routes, the most specific first.
///
/// A host has a handful of routes, so they stand in one short array that is searched from the front.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    /// By falling prefix length, then by network: no network occurs twice.
    routes: Vec<Route>,
}

impl RouteTable {
    /// Adds a route. One to the same network is replaced and returned.
    pub(crate) fn insert(&mut self, route: Route) -> Result<Option<Route>, TableFull> {
        match self.place(route.network) {
            Ok(index) => Ok(Some(std::mem::replace(&mut self.routes[index], route))),
            Err(_) if self.routes.len() == MOST_ROUTES => Err(TableFull),
            Err(index) => {
                self.routes.insert(index, route);
                Ok(None)
            }
        }
    }

    /// The most specific route to `destination`.
    pub(crate) fn lookup(&self, destination: Ipv4Addr) -> Option<&Route> {
        self.routes.iter().find(|route| route.network.contains(destination))
    }

    /// Where the route to `network` is, or where it would stand.
    fn place(&self, network: Ipv4Prefix) -> Result<usize, usize> {
        let key = |prefix: Ipv4Prefix| (std::cmp::Reverse(prefix.len()), prefix.network());
        self.routes.binary_search_by_key(&key(network), |route| key(route.network))
    }
}

#[cfg(test)]
impl RouteTable {
    /// Takes out the route to exactly this network.
    pub(crate) fn remove(&mut self, network: Ipv4Prefix) -> Option<Route> {
        self.place(network).ok().map(|index| self.routes.remove(index))
    }
}

/// The table holds as many routes as it may.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TableFull;

/// The search is linear, so the number is small.
const MOST_ROUTES: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The model keeps networks in a map and tries every prefix length from 32 down.
        #[test]
        fn the_longest_prefix_wins(
            steps in prop::collection::vec((prefix(), any::<u32>(), any::<bool>()), 1..60),
            probes in prop::collection::vec(address(), 1..40),
        ) {
            let mut table = RouteTable::default();
            let mut model = HashMap::new();
            for (network, gateway, add) in steps {
                let key = (network.network(), network.len());
                if add {
                    let next = NextHop::Gateway(Ipv4Addr::from_bits(gateway));
                    let replaced = table.insert(Route { network, next }).unwrap();
                    prop_assert_eq!(replaced.map(|r| r.next), model.insert(key, next));
                } else {
                    prop_assert_eq!(table.remove(network).map(|r| r.next), model.remove(&key));
                }
            }
            for address in probes {
                let want = (0..=32).rev().find_map(|len| {
                    let network = Ipv4Prefix::new(address, len).unwrap().network();
                    model.get(&(network, len))
                });
                prop_assert_eq!(table.lookup(address).map(|r| &r.next), want);
            }
            prop_assert_eq!(table.routes.len(), model.len());
        }
    }

    #[test]
    fn a_full_table_still_replaces() {
        let mut table = RouteTable::default();
        let host = |n: usize| Route {
            network: Ipv4Prefix::new(Ipv4Addr::from_bits(u32::try_from(n).unwrap()), 32).unwrap(),
            next: NextHop::Destination,
        };
        for n in 0..MOST_ROUTES {
            assert_eq!(table.insert(host(n)), Ok(None));
        }
        assert_eq!(table.insert(host(MOST_ROUTES)), Err(TableFull));
        assert_eq!(table.insert(host(3)), Ok(Some(host(3))));
    }

    /// Addresses that share long prefixes often.
    fn address() -> impl Strategy<Value = Ipv4Addr> {
        (0_u32..4, 0_u32..4, 0_u32..32)
            .prop_map(|(a, b, c)| Ipv4Addr::from_bits(a << 30 | b << 15 | c))
    }

    fn prefix() -> impl Strategy<Value = Ipv4Prefix> {
        (address(), 0_u8..=32).prop_map(|(address, len)| Ipv4Prefix::new(address, len).unwrap())
    }
}
