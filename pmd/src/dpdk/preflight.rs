//! What is checked before a driver is asked, because drivers say "error -1" where a user needs a remedy.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::holder::{Holder, Listener};
use super::{DeviceSpec, Eal, Error, MemifRole, Memory, NicModel, drivers, nic};

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
        DeviceSpec::Memif { role: MemifRole::Server, options } => {
            memif(Path::new(ROOT), spec, options)
        }
        // A native tap finds out by itself.
        DeviceSpec::Memif { .. } | DeviceSpec::Vdev { .. } | DeviceSpec::Vtap(_) => Ok(()),
    }
}

/// Whether a NIC that sees physical addresses will see them. EAL, which it keeps from starting otherwise, does not say why.
pub(super) fn physical_addresses(
    root: &Path,
    address: &str,
    memory: Memory,
    mib: &MemoryMib,
) -> Result<(), Error> {
    if !nic::sees_physical_addresses(root, address) {
        return Ok(());
    }
    capability(&DeviceSpec::Pci { address: address.to_owned() }, SYS_ADMIN)?;
    match memory {
        Memory::HugePages => Ok(()),
        Memory::Ordinary => Err(Error::PhysicalAddresses {
            address: address.to_owned(),
            needed_mib: mib.needed,
            free_mib: mib.free,
        }),
    }
}

/// Memory in MiB.
pub(super) struct MemoryMib {
    pub(super) needed: usize,
    /// In huge pages.
    pub(super) free: usize,
}

/// The cause that a driver does not tell when it cannot be attached.
pub(super) fn explain(root: &Path, spec: &DeviceSpec, queues: u16, error: Error) -> Error {
    let Error::Refused { reason, .. } = &error else { return error };
    match spec {
        DeviceSpec::Pci { address } => unknown_nic(root, spec, address).unwrap_or(error),
        DeviceSpec::AfXdp { .. } => too_many_queues(spec, queues, reason).unwrap_or(error),
        _ => error,
    }
}

/// net_af_xdp looks how many queues its interface has when it is attached, where others do when they are configured.
fn too_many_queues(spec: &DeviceSpec, asked: u16, reason: &str) -> Option<Error> {
    let (_, most) = reason.split_once("is larger than combined queue count ")?;
    let most = most.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    Some(Error::Queues { device: spec.to_string(), asked, most })
}

fn unknown_nic(root: &Path, spec: &DeviceSpec, address: &str) -> Option<Error> {
    let model = NicModel::read(&nic::folder(root, address))?;
    model.driver().is_none().then(|| Error::UnknownNic {
        device: spec.to_string(),
        vendor: model.vendor,
        model: model.device,
        have: drivers(),
    })
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
        let holder = Holder::of_tap(Path::new(ROOT), interface);
        let interface = interface.to_owned();
        return Err(Error::InterfaceInUse { device: spec.to_string(), interface, holder });
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

/// The driver says that the address is in use, and not by whom; or leaves out the device.
fn memif(root: &Path, spec: &DeviceSpec, options: &[String]) -> Result<(), Error> {
    let option = |name| options.iter().find_map(|option| option.strip_prefix(name));
    let path = option("socket=").unwrap_or("/run/memif.sock");
    let is_abstract = option("socket-abstract=") != Some("no");
    let name = if is_abstract { format!("@{path}") } else { path.to_owned() };
    match Listener::at(root, &name) {
        Listener::Other(holder) => Err(Error::InUse { device: spec.to_string(), holder }),
        Listener::Nobody if !is_abstract && Path::new(path).exists() => {
            Err(Error::StaleSocket { device: spec.to_string(), path: path.to_owned() })
        }
        Listener::Nobody | Listener::ThisProcess => Ok(()),
    }
}

fn pci(eal: Eal, spec: &DeviceSpec, address: &str) -> Result<(), Error> {
    let root = Path::new(ROOT);
    let device = spec.to_string();
    if !nic::folder(root, address).exists() {
        return Err(Error::NoPciDevice { device });
    }
    let driver = nic::kernel_driver(root, address);
    if !driver.as_ref().is_some_and(|name| USABLE.contains(&name.as_str())) {
        return Err(Error::PciNotBound { device, address: address.to_owned(), driver });
    }
    for file in nic::device_files(root, address) {
        access(spec, &file)?;
    }
    if let Some(holder) = Holder::of_nic(root, address) {
        return Err(Error::InUse { device, holder: Some(holder) });
    }
    if eal.allows_pci(address) { Ok(()) } else { Err(Error::PciNotAllowed { device }) }
}

/// Asks without opening it: a VFIO group can be opened once.
fn access(spec: &DeviceSpec, file: &Path) -> Result<(), Error> {
    let opened = CString::new(file.as_os_str().as_bytes()).is_ok_and(|path| {
        // SAFETY: a C string that lives during the call.
        unsafe { libc::access(path.as_ptr(), libc::R_OK | libc::W_OK) == 0 }
    });
    if opened {
        return Ok(());
    }
    let reason = io::Error::last_os_error().to_string();
    Err(Error::NoAccess { device: spec.to_string(), file: file.display().to_string(), reason })
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

pub(super) const ROOT: &str = "/";

/// Kernel drivers that leave a NIC to DPDK; Mellanox's share it.
const USABLE: [&str; 5] = ["vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core"];

#[cfg(test)]
mod tests {
    use super::super::fake::Root;
    use super::*;

    const ADDRESS: &str = "0000:03:00.0";
    const NIC: &str = "sys/bus/pci/devices/0000:03:00.0";

    #[track_caller]
    fn says(outcome: Result<(), Error>, parts: &[&str]) {
        let text = outcome.expect_err("it is in the way").to_string();
        for part in parts {
            assert!(text.contains(part), "\"{part}\" is not in: {text}");
        }
    }

    fn spec(text: &str) -> DeviceSpec {
        text.parse().unwrap()
    }

    #[test]
    fn a_nic_that_sees_physical_addresses_needs_huge_pages() {
        let mib = MemoryMib { needed: 256, free: 4 };
        let check = |driver: &str, memory| {
            let root = Root::new().with_link(&format!("{NIC}/driver"), &format!("../{driver}"));
            physical_addresses(root.path(), ADDRESS, memory, &mib)
        };
        let words = [ADDRESS, "256 MiB, of which 4 MiB are free", "hugepages.sh reserve 256M"];
        says(check("uio_pci_generic", Memory::Ordinary), &words);
        says(check("igb_uio", Memory::Ordinary), &words);
        assert_eq!(check("uio_pci_generic", Memory::HugePages), Ok(()));
        assert_eq!(check("vfio-pci", Memory::Ordinary), Ok(()));
    }

    #[test]
    fn a_nic_that_no_driver_serves_is_named() {
        let root = |vendor: &str, device: &str| {
            Root::new()
                .with(&format!("{NIC}/vendor"), vendor)
                .with(&format!("{NIC}/device"), device)
                .with(&format!("{NIC}/subsystem_vendor"), "0x0001\n")
                .with(&format!("{NIC}/subsystem_device"), "0x0002\n")
        };
        let refused = |device: &str| Error::Refused {
            device: device.to_owned(),
            arguments: String::new(),
            reason: "it made no device of it".to_owned(),
        };
        let explained =
            |root: &Root, device: &str| explain(root.path(), &spec(device), 1, refused(device));
        let stranger = root("0x1234\n", "0xabcd\n");
        let words = ["pci:0000:03:00.0", "1234:abcd", "ixgbe", "DPDK_LINK=dynamic"];
        says(Err(explained(&stranger, "pci:0000:03:00.0")), &words);
        let known = root("0x8086\n", "0x10fb\n");
        let device = "pci:0000:03:00.0";
        assert_eq!(explained(&known, device), refused(device));
        assert_eq!(explained(&stranger, "tap:x"), refused("tap:x"));
    }

    #[test]
    fn a_memif_socket_of_another_process_is_named() {
        let root = Root::new()
            .with(
                "proc/net/unix",
                "0: 2 0 00010000 0005 01 501 @/run/memif.sock\n\
                   0: 2 0 00010000 0005 01 502 @demo\n",
            )
            .with("proc/77/comm", "darner\n")
            .with_link("proc/77/fd/5", "socket:[501]");
        let check = |text: &str| {
            let spec = spec(text);
            let DeviceSpec::Memif { options, .. } = &spec else { unreachable!() };
            memif(root.path(), &spec, options)
        };
        says(check("memif:server"), &["memif:server", "process 77 (darner) has it", "end that"]);
        says(check("memif:demo,server"), &["socket=demo", "another process has it"]);
        assert_eq!(check("memif:other,server"), Ok(()));
        let place = root.path().join("dead.sock");
        fs::write(&place, "").unwrap();
        let device = format!("memif:server,socket={},socket-abstract=no", place.display());
        says(check(&device), &["nobody listens", "rm /", "dead.sock"]);
        fs::remove_file(&place).unwrap();
        assert_eq!(check(&device), Ok(()));
    }

    #[test]
    fn an_xdp_interface_with_fewer_queues_says_how_many() {
        let refused = |reason: &str| Error::Refused {
            device: "af_xdp:eth1".to_owned(),
            arguments: String::new(),
            reason: reason.to_owned(),
        };
        let said = refused("Specified queue count 4 is larger than combined queue count 2.; EAL");
        let root = Root::new();
        let explained = explain(root.path(), &spec("af_xdp:eth1"), 4, said.clone());
        let device = "af_xdp:eth1".to_owned();
        assert_eq!(explained, Error::Queues { device, asked: 4, most: 2 });
        assert_eq!(explain(root.path(), &spec("tap:x"), 4, said.clone()), said);
        let other = refused("no such interface");
        assert_eq!(explain(root.path(), &spec("af_xdp:eth1"), 4, other.clone()), other);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let outcome = access(&spec("pci:03:00.0"), Path::new("/dev/vfio/none"));
        says(outcome, &["pci:0000:03:00.0", "/dev/vfio/none cannot be opened", "No such file"]);
    }
}
