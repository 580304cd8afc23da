//! What can go wrong with EAL and devices, and what to do about it.

use super::{Holder, SpecError};
use crate::tap;

/// Why EAL or a device could not be started. Every text names the device and the remedy.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Huge pages were asked for, and the kernel has too few.
    #[error(
        "huge pages: {needed_mib} MiB are needed and {free_mib} MiB are free: reserve them with `./hugepages.sh reserve \
         {needed_mib}M`, or do without (HugePages::Never)"
    )]
    NoHugePages {
        /// Asked for.
        needed_mib: usize,
        /// What the kernel can give.
        free_mib: usize,
    },
    /// EAL refused to start, and cannot be tried again in this process.
    #[error("EAL did not start: {reason}; DPDK_LOG=debug shows more")]
    EalFailed {
        /// What it said.
        reason: String,
    },
    /// EAL runs since earlier in this process, and not in the way that is now asked for.
    #[error(
        "EAL already runs in this process, {running}, but {asked} is asked for: EAL starts once, so ask at its first start"
    )]
    EalDiffers {
        /// How it runs.
        running: String,
        /// What was asked for.
        asked: String,
    },
    /// An argument that cannot be passed on.
    #[error("EAL: {0}")]
    EalArgument(String),
    /// A text names no device.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A native tap could not be opened.
    #[error(transparent)]
    Tap(tap::Error),
    /// A device of DPDK's was to be opened without EAL.
    #[error(
        "{device}: EAL was not started, and this is a device of DPDK's: start it first (Eal::builder)"
    )]
    NoEal {
        /// Which device.
        device: String,
    },
    /// The process may not do what the driver needs.
    #[error(
        "{device}: {capability} is missing: run as root, or once `sudo setcap {} PROGRAM`",
        setcap(.capability)
    )]
    MissingCapability {
        /// Which device.
        device: String,
        /// Such as `CAP_NET_ADMIN`.
        capability: &'static str,
    },
    /// The kernel's tun driver is out of reach.
    #[error(
        "{device}: /dev/net/tun cannot be opened ({reason}): `modprobe tun`, or in a container start it with `--device /dev/net/tun`"
    )]
    NoTunDevice {
        /// Which device.
        device: String,
        /// The kernel's words.
        reason: String,
    },
    /// The interface that was to be made exists.
    #[error(
        "{device}: the interface {interface} exists already{}: take another name, or end what uses it (`ip link show {interface}`)",
        .holder.as_ref().map_or_else(String::new, |holder| format!(", {holder} has it"))
    )]
    InterfaceInUse {
        /// Which device.
        device: String,
        /// The interface.
        interface: String,
        /// Who made it, if that can be seen.
        holder: Option<Holder>,
    },
    /// Another process has the device.
    #[error("{device}: {} has it: end that, or take another device", someone(.holder))]
    InUse {
        /// Which device.
        device: String,
        /// Who, if that can be seen.
        holder: Option<Holder>,
    },
    /// A queue of an interface is another program's, in all likelihood.
    #[error(
        "{device}: the interface's queues cannot be had: {reason}; another AF_XDP program may have them: `ip link show` names its \
         XDP program: end it, or take another interface"
    )]
    XdpQueues {
        /// Which device.
        device: String,
        /// What DPDK said.
        reason: String,
    },
    /// A program that was killed left its socket.
    #[error(
        "{device}: nobody listens on the socket {path} that is there: remove it (`rm {path}`), or name another"
    )]
    StaleSocket {
        /// Which device.
        device: String,
        /// The socket.
        path: String,
    },
    /// The kernel keeps a device's file from this user.
    #[error(
        "{device}: {file} cannot be opened ({reason}): run as root, or give it to your user once (`sudo chown $USER {file}`)"
    )]
    NoAccess {
        /// Which device.
        device: String,
        /// The file.
        file: String,
        /// The kernel's words.
        reason: String,
    },
    /// A NIC sees physical addresses, and there are no huge pages that keep theirs.
    #[error(
        "pci:{address}: without an IOMMU it needs huge pages: {needed_mib} MiB, of which {free_mib} MiB are free: reserve them \
         with `./hugepages.sh reserve {needed_mib}M`, and do not refuse them"
    )]
    PhysicalAddresses {
        /// The NIC.
        address: String,
        /// Asked for.
        needed_mib: usize,
        /// What the kernel can give.
        free_mib: usize,
    },
    /// No driver in this program serves the NIC.
    #[error(
        "{device}: no driver in this program serves a NIC {vendor:04x}:{model:04x}; it has {}: build with DPDK_LINK=dynamic for \
         every installed driver",
        .have.join(", ")
    )]
    UnknownNic {
        /// Which device.
        device: String,
        /// The maker's number.
        vendor: u16,
        /// The maker's number for the chip.
        model: u16,
        /// The drivers that are there.
        have: Vec<String>,
    },
    /// The interface does not exist.
    #[error("{device}: there is no interface {interface}: `ip link` lists them")]
    NoInterface {
        /// Which device.
        device: String,
        /// The interface.
        interface: String,
    },
    /// The driver is not in this program.
    #[error(
        "{device}: the driver {driver} is not in this program, which has {}: build with DPDK_LINK=dynamic for every installed driver",
        .have.join(", ")
    )]
    NoDriver {
        /// Which device.
        device: String,
        /// The driver it needs.
        driver: String,
        /// The drivers that are there.
        have: Vec<String>,
    },
    /// No such PCI function.
    #[error("{device}: there is no such PCI device: `lspci -D` lists them")]
    NoPciDevice {
        /// Which device.
        device: String,
    },
    /// The NIC still belongs to the kernel.
    #[error("{device}: {}: `sudo ./hugepages.sh bind {address}` gives it to DPDK", bound(.driver))]
    PciNotBound {
        /// Which device.
        device: String,
        /// Its PCI address.
        address: String,
        /// The kernel driver that has it.
        driver: Option<String>,
    },
    /// EAL was started without this PCI function.
    #[error(
        "{device}: EAL runs without this PCI device: name it when EAL starts (EalBuilder::devices)"
    )]
    PciNotAllowed {
        /// Which device.
        device: String,
    },
    /// The device is open.
    #[error("{device}: this device is open already")]
    AlreadyOpen {
        /// Which device.
        device: String,
    },
    /// The driver did not take the device.
    #[error(
        "{device}: the driver refused it: {reason}; check what it was told (\"{arguments}\"), DPDK_LOG=debug shows more"
    )]
    Refused {
        /// Which device.
        device: String,
        /// What the driver was told.
        arguments: String,
        /// What it said.
        reason: String,
    },
    /// More queue pairs than the device has, or none.
    #[error("{device}: {asked} queue pairs were asked for, it has 1 to {most}")]
    Queues {
        /// Which device.
        device: String,
        /// Asked for.
        asked: u16,
        /// What it has.
        most: u16,
    },
    /// An MTU that the device cannot have.
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
    /// Frame memory is short.
    #[error(
        "{device}: no memory for {frames} frames of {room} B: give EAL more (EalBuilder::memory_mib), reserve huge pages \
         (`./hugepages.sh reserve`), or ask for fewer frames"
    )]
    NoMemory {
        /// Which device.
        device: String,
        /// How many were asked for.
        frames: usize,
        /// Bytes in each.
        room: usize,
    },
    /// A step of the configuration failed.
    #[error("{device}: cannot {step}: {reason}; DPDK_LOG=debug shows more")]
    Configure {
        /// Which device.
        device: String,
        /// Which step.
        step: &'static str,
        /// What DPDK said.
        reason: String,
    },
    /// DPDK knows at most 128 threads.
    #[error("this thread cannot be registered with DPDK: {reason}")]
    Thread {
        /// What DPDK said.
        reason: String,
    },
}

impl From<tap::Error> for Error {
    fn from(error: tap::Error) -> Self {
        match error {
            tap::Error::Queues { device, asked, most } => Self::Queues { device, asked, most },
            tap::Error::Mtu { device, asked, least, most } => {
                Self::Mtu { device, asked, least, most }
            }
            other => Self::Tap(other),
        }
    }
}

fn someone(holder: &Option<Holder>) -> String {
    holder.as_ref().map_or("another process".to_owned(), Holder::to_string)
}

fn setcap(capability: &str) -> String {
    format!("{}+ep", capability.to_ascii_lowercase())
}

fn bound(driver: &Option<String>) -> String {
    driver
        .as_ref()
        .map_or("no driver has it".to_owned(), |name| format!("the kernel's driver {name} has it"))
}
