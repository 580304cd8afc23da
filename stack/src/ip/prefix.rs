//! An address with the length of its network's prefix.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 address and how many of its leading bits name its network, as in `10.0.0.1/24`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Ipv4Prefix {
    address: Ipv4Addr,
    len: u8,
}

impl Ipv4Prefix {
    /// Every address: the network of the default route.
    pub const ALL: Self = Self { address: Ipv4Addr::UNSPECIFIED, len: 0 };

    /// Joins an address and a length of 0 to 32 bits.
    pub fn new(address: Ipv4Addr, len: u8) -> Result<Self, BadPrefix> {
        if len > 32 { Err(BadPrefix::Length) } else { Ok(Self { address, len }) }
    }

    /// The address, host bits included.
    pub fn address(self) -> Ipv4Addr {
        self.address
    }

    /// How many bits name the network.
    #[expect(clippy::len_without_is_empty, reason = "the length of a prefix, not of a collection")]
    pub fn len(self) -> u8 {
        self.len
    }

    /// The address with its host bits cleared.
    pub fn network(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() & self.mask())
    }

    /// Whether `address` lies in the network.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (self.address.to_bits() ^ address.to_bits()) & self.mask() == 0
    }

    /// The address that reaches every host of the network (RFC 922), where the network has room for one (RFC 3021).
    pub fn broadcast(self) -> Option<Ipv4Addr> {
        (self.len < 31).then(|| Ipv4Addr::from_bits(self.address.to_bits() | !self.mask()))
    }

    /// Ones where the address names the network.
    pub(crate) fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.len)).unwrap_or(0)
    }
}

impl From<Ipv4Addr> for Ipv4Prefix {
    /// One address alone.
    fn from(address: Ipv4Addr) -> Self {
        Self { address, len: 32 }
    }
}

impl FromStr for Ipv4Prefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Self, BadPrefix> {
        let (address, len) = text.split_once('/').ok_or(BadPrefix::NoLength)?;
        let address = address.parse().map_err(|_| BadPrefix::Address)?;
        Self::new(address, len.parse().map_err(|_| BadPrefix::Length)?)
    }
}

impl fmt::Display for Ipv4Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

/// Why text is not an address with a prefix length.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadPrefix {
    /// What stands before the slash.
    #[error("not an IPv4 address")]
    Address,
    /// What stands behind it.
    #[error("a prefix has 0 to 32 bits")]
    Length,
    /// There is no slash.
    #[error("an address needs a prefix length, as in 10.0.0.1/24")]
    NoLength,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_broadcasts() {
        for (text, network, broadcast) in [
            ("10.1.2.3/8", "10.0.0.0", Some("10.255.255.255")),
            ("192.168.7.200/25", "192.168.7.128", Some("192.168.7.255")),
            ("192.168.7.5/30", "192.168.7.4", Some("192.168.7.7")),
            ("192.168.7.5/31", "192.168.7.4", None),
            ("192.168.7.5/32", "192.168.7.5", None),
            ("1.2.3.4/0", "0.0.0.0", Some("255.255.255.255")),
        ] {
            let prefix: Ipv4Prefix = text.parse().unwrap();
            assert_eq!(prefix.to_string(), text);
            assert_eq!(prefix.network(), network.parse::<Ipv4Addr>().unwrap(), "{text}");
            assert_eq!(prefix.broadcast(), broadcast.map(|b| b.parse().unwrap()), "{text}");
            assert!(prefix.contains(prefix.network()), "{text}");
        }
        let prefix: Ipv4Prefix = "192.168.7.5/30".parse().unwrap();
        assert!(!prefix.contains(Ipv4Addr::new(192, 168, 7, 8)));
    }

    #[test]
    fn bad_text_says_what_is_wrong() {
        for (text, want) in [
            ("10.0.0.1", BadPrefix::NoLength),
            ("10.0.0/24", BadPrefix::Address),
            ("10.0.0.1/33", BadPrefix::Length),
            ("10.0.0.1/-1", BadPrefix::Length),
            ("10.0.0.1/", BadPrefix::Length),
        ] {
            assert_eq!(text.parse::<Ipv4Prefix>(), Err(want), "{text}");
        }
    }
}
