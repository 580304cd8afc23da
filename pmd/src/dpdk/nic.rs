//! NICs as the kernel's PCI bus shows them, and the drivers that this program has for them.

use std::fs;
use std::path::{Path, PathBuf};

/// What kind of NIC a PCI function is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NicModel {
    /// The maker's number.
    pub vendor: u16,
    /// The maker's number for the chip.
    pub device: u16,
    /// Who made the card.
    pub subsystem_vendor: u16,
    /// That maker's number for the card.
    pub subsystem_device: u16,
}

impl NicModel {
    /// Reads it from a PCI function's folder in sysfs.
    pub fn read(folder: &Path) -> Option<Self> {
        let number = |file| {
            let text = fs::read_to_string(folder.join(file)).ok()?;
            u16::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
        };
        Some(Self {
            vendor: number("vendor")?,
            device: number("device")?,
            subsystem_vendor: number("subsystem_vendor")?,
            subsystem_device: number("subsystem_device")?,
        })
    }

    /// The driver of this program that serves it, such as `net_ixgbe`.
    ///
    /// A program that links DPDK dynamically answers for the drivers that were installed where it was built.
    pub fn driver(self) -> Option<&'static str> {
        let serves = |&[vendor, device, subsystem_vendor, subsystem_device]: &[u16; 4]| {
            [
                (vendor, self.vendor),
                (device, self.device),
                (subsystem_vendor, self.subsystem_vendor),
                (subsystem_device, self.subsystem_device),
            ]
            .iter()
            .all(|&(wanted, has)| wanted == ANY || wanted == has)
        };
        dpdk_sys::NICS.iter().find(|(_, nics)| nics.iter().any(serves)).map(|&(driver, _)| driver)
    }
}

/// Whether a NIC is with a kernel driver that shows it physical addresses, which ordinary pages do not keep.
pub(super) fn sees_physical_addresses(root: &Path, address: &str) -> bool {
    kernel_driver(root, address).is_some_and(|driver| PHYSICAL.contains(&driver.as_str()))
}

/// The kernel driver that has a NIC.
pub(super) fn kernel_driver(root: &Path, address: &str) -> Option<String> {
    let driver = fs::read_link(folder(root, address).join("driver")).ok()?;
    Some(driver.file_name()?.to_str()?.to_owned())
}

/// What a program opens to have the NIC.
pub(super) fn device_files(root: &Path, address: &str) -> Vec<PathBuf> {
    let folder = folder(root, address);
    let group = fs::read_link(folder.join("iommu_group")).ok();
    let group = group.and_then(|group| Some(Path::new("/dev/vfio").join(group.file_name()?)));
    let uio = fs::read_dir(folder.join("uio")).into_iter().flatten().flatten();
    let uio = uio.map(|entry| Path::new("/dev").join(entry.file_name()));
    group.into_iter().chain(uio).collect()
}

/// A PCI function's folder in sysfs.
pub(super) fn folder(root: &Path, address: &str) -> PathBuf {
    root.join("sys/bus/pci/devices").join(address)
}

const PHYSICAL: [&str; 2] = ["uio_pci_generic", "igb_uio"];

/// Whatever it is.
const ANY: u16 = 0xffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_nics_have_their_drivers() {
        for (vendor, device, driver) in [
            (0x1af4, 0x1041, Some("net_virtio")),
            (0x1af4, 0x1000, Some("net_virtio")),
            (0x8086, 0x100e, Some("net_e1000_em")),
            (0x8086, 0x10fb, Some("net_ixgbe")),
            (0x8086, 0x1572, Some("net_i40e")),
            (0x8086, 0x1889, Some("net_iavf")),
            (0x15ad, 0x07b0, Some("net_vmxnet3")),
            // A disk of virtio's, and Mellanox's, which a static program does not have.
            (0x1af4, 0x1042, None),
            (0xffff, 0xffff, None),
        ] {
            let model = NicModel { vendor, device, subsystem_vendor: 1, subsystem_device: 2 };
            assert_eq!(model.driver(), driver, "{vendor:04x}:{device:04x}");
        }
    }

    #[test]
    fn a_folder_without_its_files_is_no_nic() {
        assert_eq!(NicModel::read(Path::new("/nowhere")), None);
    }
}
