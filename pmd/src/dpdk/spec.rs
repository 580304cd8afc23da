//! How users name a device.

use std::fmt;
use std::str::FromStr;

use crate::tap;

/// A device as users write it.
///
/// | text | device |
/// |---|---|
/// | `tap:dtap0` | a new tap interface of the kernel, by net_tap |
/// | `vtap:dtap0,address=10.99.0.1/24` | the same without DPDK, by headers of virtio: [`tap::Spec`] has the keys |
/// | `memif:server`, `memif:client,socket=NAME` | shared memory between two processes; abstract socket unless `socket-abstract=no` |
/// | `memif:NAME,server` | the same with the socket's name first |
/// | `af_packet:eth1` | an interface of the kernel, by AF_PACKET |
/// | `af_xdp:eth1` | an interface of the kernel, by AF_XDP |
/// | `pci:0000:03:00.0` | a NIC that is bound to vfio-pci or uio_pci_generic; the domain `0000:` may be left out |
/// | `vdev:net_null0,size=64` | any virtual device, in DPDK's words |
///
/// Further `,key=value` pairs go to the driver as they are, but for `vtap`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum DeviceSpec {
    /// A tap interface that the driver makes.
    Tap {
        /// The interface's name.
        interface: String,
        /// For the driver: `key=value` pairs.
        options: Vec<String>,
    },
    /// A tap interface of our own: no device of DPDK.
    Vtap(tap::Spec),
    /// One end of a memif.
    Memif {
        /// Which end.
        role: MemifRole,
        /// For the driver: `key=value` pairs.
        options: Vec<String>,
    },
    /// An AF_PACKET socket on an interface.
    AfPacket {
        /// The interface's name.
        interface: String,
        /// For the driver: `key=value` pairs.
        options: Vec<String>,
    },
    /// An AF_XDP socket on an interface.
    AfXdp {
        /// The interface's name.
        interface: String,
        /// For the driver: `key=value` pairs.
        options: Vec<String>,
    },
    /// A PCI function.
    Pci {
        /// Domain, bus, device and function: `0000:03:00.0`.
        address: String,
    },
    /// A virtual device in DPDK's words.
    Vdev {
        /// Its name, which begins with its driver's: `net_null0`.
        name: String,
        /// For the driver: `key=value` pairs.
        options: Vec<String>,
    },
}

/// Which end of a memif.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MemifRole {
    /// Listens on the socket.
    Server,
    /// Connects, and brings the memory.
    Client,
}

/// Why a text names no device.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// Unknown word before the colon, or no colon.
    #[error(
        "\"{0}\" names no device: write tap:NAME, vtap:NAME, memif:server, memif:client, af_packet:IF, af_xdp:IF, pci:ADDRESS or vdev:DEVARGS"
    )]
    Kind(String),
    /// Not the name of an interface.
    #[error(
        "\"{0}\" cannot be the name of a network interface: 1 to 15 characters without spaces, '/', ',' and '='"
    )]
    Interface(String),
    /// Not a PCI address.
    #[error("\"{0}\" is no PCI address: write it as `lspci -D` does, such as 0000:03:00.0")]
    PciAddress(String),
    /// A part that is not `key=value`.
    #[error("\"{part}\" in \"{text}\" is not key=value")]
    Option {
        /// The whole text.
        text: String,
        /// The part.
        part: String,
    },
    /// A memif without a role, or with two.
    #[error("\"{0}\" must say once which end it is: memif:server or memif:client")]
    MemifRole(String),
    /// Not a native tap.
    #[error(transparent)]
    Vtap(#[from] tap::SpecError),
    /// Not the name of a virtual device.
    #[error(
        "\"{0}\" is no virtual device: write vdev:net_DRIVER and a number, such as vdev:net_null0,size=64"
    )]
    Vdev(String),
}

impl FromStr for DeviceSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let (kind, rest) = text.split_once(':').ok_or_else(|| SpecError::Kind(text.to_owned()))?;
        let (first, others) = rest.split_once(',').map_or((rest, None), |(a, b)| (a, Some(b)));
        let options = || pairs(text, others);
        match kind {
            "tap" => Ok(Self::Tap { interface: interface(first)?, options: options()? }),
            "vtap" => Ok(Self::Vtap(rest.parse()?)),
            "memif" => memif(text, rest),
            "af_packet" => Ok(Self::AfPacket { interface: interface(first)?, options: options()? }),
            "af_xdp" => Ok(Self::AfXdp { interface: interface(first)?, options: options()? }),
            "pci" => Ok(Self::Pci { address: pci_address(rest)? }),
            "vdev" => Ok(Self::Vdev { name: vdev_name(first)?, options: options()? }),
            _ => Err(SpecError::Kind(text.to_owned())),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = match self {
            Self::Tap { interface, options } => {
                write!(f, "tap:{interface}")?;
                options
            }
            Self::Vtap(spec) => return write!(f, "vtap:{spec}"),
            Self::Memif { role, options } => {
                write!(f, "memif:{}", role.word())?;
                options
            }
            Self::AfPacket { interface, options } => {
                write!(f, "af_packet:{interface}")?;
                options
            }
            Self::AfXdp { interface, options } => {
                write!(f, "af_xdp:{interface}")?;
                options
            }
            Self::Pci { address } => return write!(f, "pci:{address}"),
            Self::Vdev { name, options } => {
                write!(f, "vdev:{name}")?;
                options
            }
        };
        options.iter().try_for_each(|option| write!(f, ",{option}"))
    }
}

impl DeviceSpec {
    /// Whether it is a device of DPDK's, which is opened within a running EAL.
    pub fn needs_eal(&self) -> bool {
        !matches!(self, Self::Vtap(_))
    }

    /// The driver that a virtual device needs; `None` for PCI, where the NIC decides, and for what is none of DPDK's.
    pub(super) fn driver(&self) -> Option<&str> {
        match self {
            Self::Tap { .. } => Some("net_tap"),
            Self::Memif { .. } => Some("net_memif"),
            Self::AfPacket { .. } => Some("net_af_packet"),
            Self::AfXdp { .. } => Some("net_af_xdp"),
            Self::Pci { .. } | Self::Vtap(_) => None,
            Self::Vdev { name, .. } => Some(name.trim_end_matches(|c: char| c.is_ascii_digit())),
        }
    }

    /// What the driver is told, for a device of `queues` queue pairs.
    pub(super) fn arguments(&self, queues: u16) -> String {
        let (own, options) = match self {
            Self::Tap { interface, options } => (vec![format!("iface={interface}")], options),
            Self::Memif { role, options } => (vec![format!("role={}", role.word())], options),
            Self::AfPacket { interface, options } => {
                (vec![format!("iface={interface}"), format!("qpairs={queues}")], options)
            }
            Self::AfXdp { interface, options } => {
                (vec![format!("iface={interface}"), format!("queue_count={queues}")], options)
            }
            Self::Pci { .. } | Self::Vtap(_) => return String::new(),
            Self::Vdev { options, .. } => (vec![], options),
        };
        // A pair that the user gives replaces ours: drivers refuse a key that comes twice.
        let given = |pair: &String| options.iter().any(|option| key(option) == key(pair));
        let own = own.into_iter().filter(|pair| !given(pair));
        own.chain(options.iter().cloned()).collect::<Vec<_>>().join(",")
    }
}

impl MemifRole {
    fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    fn named(word: &str) -> Option<Self> {
        [Self::Server, Self::Client].into_iter().find(|role| role.word() == word)
    }
}

fn memif(text: &str, rest: &str) -> Result<DeviceSpec, SpecError> {
    let (mut roles, mut options) = (vec![], vec![]);
    for (index, part) in rest.split(',').enumerate() {
        let value = part.strip_prefix("role=").unwrap_or(part);
        match MemifRole::named(value) {
            Some(role) => roles.push(role),
            None if index == 0 && !part.is_empty() && !part.contains('=') => {
                options.push(format!("socket={part}"));
            }
            None => options.push(pair(text, part)?),
        }
    }
    match roles[..] {
        [role] => Ok(DeviceSpec::Memif { role, options }),
        _ => Err(SpecError::MemifRole(text.to_owned())),
    }
}

fn interface(name: &str) -> Result<String, SpecError> {
    match tap::is_interface_name(name) {
        true => Ok(name.to_owned()),
        false => Err(SpecError::Interface(name.to_owned())),
    }
}

/// `[DDDD:]BB:DD.F` in hexadecimal, as the kernel writes it: lower case, with the domain.
fn pci_address(text: &str) -> Result<String, SpecError> {
    let parse = || {
        let (slot, function) = text.split_once('.')?;
        let mut parts = slot.rsplit(':');
        let number = |digits: &str, len: usize, most: u32| {
            let value = u32::from_str_radix(digits, 16).ok()?;
            (digits.len() <= len && !digits.starts_with('+') && value <= most).then_some(value)
        };
        let device = number(parts.next()?, 2, 0x1f)?;
        let bus = number(parts.next()?, 2, 0xff)?;
        let domain = parts.next().map_or(Some(0), |domain| number(domain, 8, u32::MAX))?;
        let function = number(function, 1, 7)?;
        parts.next().is_none().then(|| format!("{domain:04x}:{bus:02x}:{device:02x}.{function}"))
    };
    parse().ok_or_else(|| SpecError::PciAddress(text.to_owned()))
}

/// DPDK finds the driver by the beginning of the name, and holds names of at most 63 bytes.
fn vdev_name(name: &str) -> Result<String, SpecError> {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if name.starts_with("net_") && plain && name.len() < 64 {
        Ok(name.to_owned())
    } else {
        Err(SpecError::Vdev(name.to_owned()))
    }
}

fn pairs(text: &str, parts: Option<&str>) -> Result<Vec<String>, SpecError> {
    parts.map_or(Ok(vec![]), |parts| parts.split(',').map(|part| pair(text, part)).collect())
}

fn pair(text: &str, part: &str) -> Result<String, SpecError> {
    match part.split_once('=') {
        Some((key, _)) if !key.is_empty() => Ok(part.to_owned()),
        _ => Err(SpecError::Option { text: text.to_owned(), part: part.to_owned() }),
    }
}

fn key(pair: &str) -> &str {
    pair.split_once('=').map_or(pair, |(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_reaches_its_driver() {
        for (text, driver, arguments) in [
            ("tap:dtap0", Some("net_tap"), "iface=dtap0"),
            ("tap:dtap0,mac=fixed", Some("net_tap"), "iface=dtap0,mac=fixed"),
            ("vtap:dtap0", None, ""),
            ("memif:server", Some("net_memif"), "role=server"),
            ("memif:role=client,socket=a,id=1", Some("net_memif"), "role=client,socket=a,id=1"),
            ("memif:a.sock,client", Some("net_memif"), "role=client,socket=a.sock"),
            ("af_packet:eth1", Some("net_af_packet"), "iface=eth1,qpairs=2"),
            ("af_packet:eth1,qpairs=1", Some("net_af_packet"), "iface=eth1,qpairs=1"),
            ("af_xdp:eth1", Some("net_af_xdp"), "iface=eth1,queue_count=2"),
            ("pci:3:0.1", None, ""),
            ("vdev:net_null0,size=64", Some("net_null"), "size=64"),
        ] {
            let spec: DeviceSpec = text.parse().unwrap();
            assert_eq!(spec.driver(), driver, "{text}");
            assert_eq!(spec.arguments(2), arguments, "{text}");
        }
    }

    #[test]
    fn what_is_displayed_can_be_read_again() {
        for (text, shown) in [
            ("tap:dtap0,mac=fixed", "tap:dtap0,mac=fixed"),
            ("vtap:t,mtu=9000,address=10.0.0.1/8", "vtap:t,address=10.0.0.1/8,mtu=9000"),
            ("memif:a.sock,client", "memif:client,socket=a.sock"),
            ("af_xdp:eth1,start_queue=2", "af_xdp:eth1,start_queue=2"),
            ("pci:AF:1f.7", "pci:0000:af:1f.7"),
            ("pci:10000:01:00.0", "pci:10000:01:00.0"),
            ("vdev:net_ring0", "vdev:net_ring0"),
        ] {
            let spec: DeviceSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), shown);
            assert_eq!(shown.parse(), Ok(spec));
        }
    }

    #[test]
    fn what_names_no_device_says_why() {
        type Why = fn(String) -> SpecError;
        for (text, part, why) in [
            ("eth0", "eth0", SpecError::Kind as Why),
            ("wifi:x", "wifi:x", SpecError::Kind),
            ("tap:", "", SpecError::Interface),
            ("tap:sixteen_letters_", "sixteen_letters_", SpecError::Interface),
            ("af_packet:a/b", "a/b", SpecError::Interface),
            ("vtap:a/b", "a/b", |text| tap::SpecError::Interface(text).into()),
            ("vtap:t,mac", "mac", |text| tap::SpecError::Option(text).into()),
            ("pci:03:00", "03:00", SpecError::PciAddress),
            ("pci:03:20.0", "03:20.0", SpecError::PciAddress),
            ("pci:03:00.8", "03:00.8", SpecError::PciAddress),
            ("pci:a:0000:03:00.0", "a:0000:03:00.0", SpecError::PciAddress),
            ("memif:", "memif:", |text| SpecError::Option { part: String::new(), text }),
            ("memif:socket=a", "memif:socket=a", SpecError::MemifRole),
            ("memif:server,client", "memif:server,client", SpecError::MemifRole),
            ("vdev:null0", "null0", SpecError::Vdev),
            ("tap:t0,mac", "tap:t0,mac", |text| SpecError::Option { part: "mac".to_owned(), text }),
        ] {
            assert_eq!(text.parse::<DeviceSpec>(), Err(why(part.to_owned())), "{text}");
        }
    }
}
