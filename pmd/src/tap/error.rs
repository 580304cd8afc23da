//! What can go wrong with a tap, and what to do about it.

use std::io;

/// Why a tap could not be opened. Every text names the device and the remedy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel has no tun driver, or its file is missing.
    #[error(
        "{device}: there is no /dev/net/tun ({reason}): `modprobe tun`; where only the file is missing, `mknod /dev/net/tun c 10 200`; \
         start a container with `--device /dev/net/tun`"
    )]
    NoTunDevice {
        /// Which device.
        device: String,
        /// The kernel's words.
        reason: String,
    },
    /// The file of the tun driver is kept from this user.
    #[error(
        "{device}: /dev/net/tun may not be opened ({reason}): run as root, or `sudo chmod 666 /dev/net/tun`, which gives nobody more \
         than to ask"
    )]
    NoAccess {
        /// Which device.
        device: String,
        /// The kernel's words.
        reason: String,
    },
    /// The process may not make interfaces.
    #[error(
        "{device}: CAP_NET_ADMIN is missing: run as root, or once `sudo setcap cap_net_admin+ep PROGRAM`"
    )]
    NotPermitted {
        /// Which device.
        device: String,
    },
    /// The interface that was to be made exists.
    #[error(
        "{device}: the interface {interface} exists already: take another name, or end what uses it (`ip link show {interface}`)"
    )]
    InterfaceInUse {
        /// Which device.
        device: String,
        /// The interface.
        interface: String,
    },
    /// More queue pairs than an interface has, or none.
    #[error("{device}: {asked} queue pairs were asked for, it has 1 to {most}")]
    Queues {
        /// Which device.
        device: String,
        /// Asked for.
        asked: u16,
        /// What it has.
        most: u16,
    },
    /// An MTU that the interface cannot have.
    #[error("{device}: an MTU of {asked} was asked for, it can have {least} to {most}")]
    Mtu {
        /// Which device.
        device: String,
        /// Asked for.
        asked: u16,
        /// Smallest.
        least: u16,
        /// Largest.
        most: u16,
    },
    /// A step of the configuration failed.
    #[error("{device}: cannot {step}: {reason}; `ip link` shows what is there")]
    Configure {
        /// Which device.
        device: String,
        /// Which step.
        step: &'static str,
        /// The kernel's words.
        reason: String,
    },
}

impl Error {
    /// Why the tun driver's file did not open.
    pub(super) fn of_opening(device: &str, error: &io::Error) -> Self {
        let (device, reason) = (device.to_owned(), error.to_string());
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::NoAccess { device, reason },
            _ => Self::NoTunDevice { device, reason },
        }
    }

    /// Why the interface, or its queue of this number, was not made.
    pub(super) fn of_making(device: &str, interface: &str, queue: u16, error: &io::Error) -> Self {
        let device = device.to_owned();
        match error.raw_os_error() {
            Some(libc::EPERM) => Self::NotPermitted { device },
            Some(libc::EBUSY) => Self::InterfaceInUse { device, interface: interface.to_owned() },
            Some(libc::E2BIG) => Self::Queues { device, asked: queue + 1, most: queue },
            _ => Self::Configure { device, step: "make it", reason: error.to_string() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_remedy() {
        let of = |number| io::Error::from_raw_os_error(number);
        let opening = |number| Error::of_opening("vtap:t0", &of(number)).to_string();
        let making = |number| Error::of_making("vtap:t0", "t0", 4, &of(number)).to_string();
        for (text, parts) in [
            (opening(libc::ENOENT), ["there is no /dev/net/tun", "modprobe tun"]),
            (opening(libc::ENODEV), ["there is no /dev/net/tun", "mknod"]),
            (opening(libc::EACCES), ["may not be opened", "chmod 666"]),
            (making(libc::EPERM), ["CAP_NET_ADMIN is missing", "setcap cap_net_admin+ep"]),
            (making(libc::EBUSY), ["t0 exists already", "take another name"]),
            (making(libc::E2BIG), ["5 queue pairs were asked for", "1 to 4"]),
            (making(libc::EINVAL), ["cannot make it", "Invalid argument"]),
        ] {
            assert!(text.starts_with("vtap:t0: "), "{text}");
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        }
    }
}
