//! What is checked before a driver is asked, because drivers say "error -1" where a user needs a remedy.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::path::PathBuf;

use super::{DeviceSpec, Eal, Error, drivers};

/// Whether the driver is there, the process has the privileges, and the interface or NIC is as it must be.
pub(super) fn check(eal: Eal, spec: &DeviceSpec) -> Result<(), Error> {
    driver_present(spec)?;
    match spec {
        DeviceSpec::Tap { interface, .. } => tap(spec, interface),
        DeviceSpec::AfPacket { interface, .. } => {
            capability(spec, NET_RAW)?;
            interface_exists(spec, interface)
        }
        DeviceSpec::AfXdp { interface, .. } => {
            [NET_ADMIN, NET_RAW, SYS_ADMIN]
                .iter()
                .try_for_each(|&needed| capability(spec, needed))?;
            interface_exists(spec, interface)
        }
        DeviceSpec::Pci { address } => pci(eal, spec, address),
        DeviceSpec::Memif { .. } | DeviceSpec::Vdev { .. } => Ok(()),
    }
}

/// net_tap ignores all that it was told when one argument is unknown to it, the interface's name included.
pub(super) fn check_attached(spec: &DeviceSpec, queues: u16) -> Result<(), Error> {
    match spec {
        DeviceSpec::Tap { interface, .. } if !exists(interface) => Err(Error::Refused {
            device: spec.to_string(),
            arguments: spec.arguments(queues),
            reason: "it made another interface, as it does when an argument is unknown to it"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

fn driver_present(spec: &DeviceSpec) -> Result<(), Error> {
    let Some(driver) = spec.driver() else { return Ok(()) };
    let have = drivers();
    let wanted = driver.trim_start_matches("net_");
    // One family can have several drivers: net_virtio_user is virtio's.
    if have.iter().any(|family| wanted.starts_with(family.as_str())) {
        return Ok(());
    }
    Err(Error::NoDriver { device: spec.to_string(), driver: driver.to_owned(), have })
}

fn tap(spec: &DeviceSpec, interface: &str) -> Result<(), Error> {
    let opened = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    opened.map_err(|error| Error::NoTunDevice {
        device: spec.to_string(),
        reason: error.to_string(),
    })?;
    capability(spec, NET_ADMIN)?;
    // The driver would share an existing interface, and then take its address and its end with it.
    if exists(interface) {
        let interface = interface.to_owned();
        return Err(Error::InterfaceInUse { device: spec.to_string(), interface });
    }
    Ok(())
}

fn interface_exists(spec: &DeviceSpec, interface: &str) -> Result<(), Error> {
    if exists(interface) {
        return Ok(());
    }
    Err(Error::NoInterface { device: spec.to_string(), interface: interface.to_owned() })
}

/// Whether the calling thread's network namespace has the interface.
fn exists(interface: &str) -> bool {
    // SAFETY: a C string that lives during the call.
    CString::new(interface).is_ok_and(|name| unsafe { libc::if_nametoindex(name.as_ptr()) } != 0)
}

fn pci(eal: Eal, spec: &DeviceSpec, address: &str) -> Result<(), Error> {
    let device = spec.to_string();
    let folder = PathBuf::from("/sys/bus/pci/devices").join(address);
    if !folder.exists() {
        return Err(Error::NoPciDevice { device });
    }
    let driver = fs::read_link(folder.join("driver")).ok();
    let driver = driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned()));
    if !driver.as_ref().is_some_and(|name| USABLE.contains(&name.as_str())) {
        return Err(Error::PciNotBound { device, address: address.to_owned(), driver });
    }
    if eal.allows_pci(address) { Ok(()) } else { Err(Error::PciNotAllowed { device }) }
}

fn capability(spec: &DeviceSpec, needed: Capability) -> Result<(), Error> {
    if effective_capabilities() & 1 << needed.bit != 0 {
        return Ok(());
    }
    Err(Error::MissingCapability { device: spec.to_string(), capability: needed.name })
}

/// The calling thread's, one bit each.
fn effective_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    bits.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

/// A capability and its number in linux/capability.h.
#[derive(Clone, Copy)]
struct Capability {
    name: &'static str,
    bit: u32,
}

const NET_ADMIN: Capability = Capability { name: "CAP_NET_ADMIN", bit: 12 };
const NET_RAW: Capability = Capability { name: "CAP_NET_RAW", bit: 13 };
const SYS_ADMIN: Capability = Capability { name: "CAP_SYS_ADMIN", bit: 21 };

/// Kernel drivers that leave a NIC to DPDK; Mellanox's share it.
const USABLE: [&str; 5] = ["vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core"];
