//! How users name a tap, and what they want of it.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An interface to be made: `NAME[,key=value...]`.
///
/// | key | the interface's |
/// |---|---|
/// | `address=10.99.0.1/24` | IPv4 address, the kernel's end of the wire |
/// | `mac=02:00:00:00:00:02` | Ethernet address; the kernel makes one up unless said |
/// | `mtu=9000` | MTU, unless the program asks for another |
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spec {
    interface: String,
    pub(super) address: Option<(Ipv4Addr, u8)>,
    pub(super) mac: Option<[u8; 6]>,
    pub(super) mtu: Option<u16>,
}

/// Why a text names no tap.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// Not the name of an interface.
    #[error(
        "\"{0}\" cannot be the name of a network interface: 1 to 15 characters without spaces, '/', ',', ':', '=' and '%'"
    )]
    Interface(String),
    /// A part that is none of the known `key=value`, or comes twice.
    #[error("\"{0}\" is not once address=ADDRESS/LENGTH, mac=XX:XX:XX:XX:XX:XX or mtu=BYTES")]
    Option(String),
    /// A value that does not fit its key.
    #[error("\"{part}\" is no {wanted}")]
    Value {
        /// The part.
        part: String,
        /// What it had to be.
        wanted: &'static str,
    },
}

impl Spec {
    /// An interface of this name, with nothing configured.
    pub fn new(interface: &str) -> Result<Self, SpecError> {
        if !is_interface_name(interface) {
            return Err(SpecError::Interface(interface.to_owned()));
        }
        Ok(Self { interface: interface.to_owned(), address: None, mac: None, mtu: None })
    }

    /// The interface's name.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// The kernel's address on the wire, and the length of its prefix, where it was said.
    pub fn address(&self) -> Option<(Ipv4Addr, u8)> {
        self.address
    }

    fn set(&mut self, part: &str) -> Result<(), SpecError> {
        let value = |wanted| SpecError::Value { part: part.to_owned(), wanted };
        let fresh = match part.split_once('=') {
            Some(("address", text)) => {
                let address =
                    address(text).ok_or(value("address with the length of its prefix"))?;
                self.address.replace(address).is_none()
            }
            Some(("mac", text)) => {
                let mac = mac(text).ok_or(value("Ethernet address of one station"))?;
                self.mac.replace(mac).is_none()
            }
            Some(("mtu", text)) => {
                let mtu = text.parse().map_err(|_| value("number of bytes"))?;
                self.mtu.replace(mtu).is_none()
            }
            _ => false,
        };
        if fresh { Ok(()) } else { Err(SpecError::Option(part.to_owned())) }
    }
}

impl FromStr for Spec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let mut parts = text.split(',');
        let mut spec = Self::new(parts.next().unwrap_or_default())?;
        parts.try_for_each(|part| spec.set(part))?;
        Ok(spec)
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.interface)?;
        if let Some((address, len)) = self.address {
            write!(f, ",address={address}/{len}")?;
        }
        if let Some([a, b, c, d, e, g]) = self.mac {
            write!(f, ",mac={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, ",mtu={mtu}")?;
        }
        Ok(())
    }
}

/// Whether the kernel takes it as an interface's name, and devices can be written with it.
pub(crate) fn is_interface_name(name: &str) -> bool {
    let fits = (1..=15).contains(&name.len()) && name != "." && name != "..";
    fits && !name.contains(|c: char| c.is_whitespace() || c.is_control() || "/,=:%".contains(c))
}

fn address(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, len) = text.split_once('/')?;
    let len = len.parse().ok().filter(|&len| len <= 32)?;
    Some((address.parse().ok()?, len))
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let mut parts = text.split(':');
    let mut mac = [0; 6];
    for byte in &mut mac {
        let two = |text: &&str| text.len() == 2 && text.chars().all(|c| c.is_ascii_hexdigit());
        let digits = parts.next().filter(two)?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    let one_station = mac[0] & 1 == 0 && mac != [0; 6];
    (parts.next().is_none() && one_station).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_displayed_can_be_read_again() {
        for (text, shown) in [
            ("dtap0", "dtap0"),
            ("t,mtu=9000,address=10.0.0.1/8", "t,address=10.0.0.1/8,mtu=9000"),
            ("t,mac=02:0A:00:00:00:fe", "t,mac=02:0a:00:00:00:fe"),
        ] {
            let spec: Spec = text.parse().unwrap();
            assert_eq!(spec.to_string(), shown);
            assert_eq!(shown.parse(), Ok(spec));
        }
    }

    #[test]
    fn what_names_no_tap_says_why() {
        for (text, part) in [
            ("", "\"\" cannot be the name"),
            ("sixteen_letters_", "sixteen_letters_"),
            ("a b", "cannot be the name"),
            // The kernel would put a number there.
            ("tap%d", "cannot be the name"),
            ("t,queues=2", "\"queues=2\" is not once"),
            ("t,mtu=1,mtu=2", "\"mtu=2\" is not once"),
            ("t,", "\"\" is not once"),
            ("t,mtu=70000", "\"mtu=70000\" is no number"),
            ("t,address=10.0.0.1", "\"address=10.0.0.1\" is no address"),
            ("t,address=10.0.0.1/33", "is no address"),
            ("t,mac=03:00:00:00:00:01", "is no Ethernet address of one station"),
            ("t,mac=00:00:00:00:00:00", "is no Ethernet address"),
            ("t,mac=02:00:00:00:00", "is no Ethernet address"),
            ("t,mac=02:00:00:00:00:01:02", "is no Ethernet address"),
            ("t,mac=+2:00:00:00:00:01", "is no Ethernet address"),
        ] {
            let error = text.parse::<Spec>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
