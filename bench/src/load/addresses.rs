//! Which connection a packet belongs to, from its addresses alone.

use std::net::Ipv4Addr;

/// The client's addresses and ports: connection `number` has the address `number % count`, so that neighbours in the
/// table are of different addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    first: u32,
    count: u32,
}

/// Ports below belong to servers.
const FIRST_PORT: u16 = 1024;
/// Ports of one address.
const PORTS: u32 = 65_536 - FIRST_PORT as u32;

impl Addresses {
    /// `count` addresses in a row; at least one.
    pub(crate) fn new(first: Ipv4Addr, count: u32) -> Self {
        Self { first: first.to_bits(), count: count.max(1) }
    }

    /// How many connections to one server they allow.
    pub(crate) fn capacity(self) -> u32 {
        self.count.saturating_mul(PORTS)
    }

    /// How many addresses there are.
    pub(crate) fn count(self) -> u32 {
        self.count
    }

    /// The `index`th address.
    pub(crate) fn address(self, index: u32) -> u32 {
        self.first.wrapping_add(index)
    }

    /// Whether an address is one of them.
    pub(crate) fn contains(self, address: u32) -> bool {
        address.wrapping_sub(self.first) < self.count
    }

    /// Address and port of a connection.
    #[inline]
    pub(crate) fn of(self, number: u32) -> (u32, u16) {
        let (port, address) = (number / self.count, number % self.count);
        // A number is below the capacity.
        (self.first.wrapping_add(address), FIRST_PORT + u16::try_from(port).unwrap_or(0))
    }

    /// The connection of an address and a port, if they are the client's.
    #[inline]
    pub(crate) fn number(self, address: u32, port: u16) -> Option<u32> {
        let address = address.wrapping_sub(self.first);
        let port = u32::from(port.checked_sub(FIRST_PORT)?);
        (address < self.count).then_some(port * self.count + address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_is_found_by_its_address_and_port() {
        let addresses = Addresses::new(Ipv4Addr::new(10, 0, 0, 16), 3);
        for number in [0, 1, 2, 3, 100, addresses.capacity() - 1] {
            let (address, port) = addresses.of(number);
            assert_eq!(addresses.number(address, port), Some(number), "{number}");
        }
        assert_eq!(addresses.of(4), (Ipv4Addr::new(10, 0, 0, 17).to_bits(), 1025));
    }

    #[test]
    fn others_addresses_and_ports_are_nobodys() {
        let addresses = Addresses::new(Ipv4Addr::new(10, 0, 0, 16), 3);
        for (address, port) in
            [([10, 0, 0, 15], 1024), ([10, 0, 0, 19], 1024), ([10, 0, 0, 16], 1023)]
        {
            assert_eq!(addresses.number(Ipv4Addr::from(address).to_bits(), port), None);
        }
    }
}
