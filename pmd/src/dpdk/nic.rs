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

/// What a program opens to have the NIC, which depends on its kernel driver.
pub(super) fn device_files(root: &Path, address: &str) -> Vec<PathBuf> {
    let folder = folder(root, address);
    match kernel_driver(root, address).as_deref() {
        Some("vfio-pci") => vfio_group(&folder).into_iter().collect(),
        Some(driver) if PHYSICAL.contains(&driver) => {
            let uio = fs::read_dir(folder.join("uio")).into_iter().flatten().flatten();
            uio.map(|entry| Path::new("/dev").join(entry.file_name())).collect()
        }
        _ => vec![],
    }
}

/// A group of a machine without an IOMMU is named otherwise.
fn vfio_group(folder: &Path) -> Option<PathBuf> {
    let group = fs::read_link(folder.join("iommu_group")).ok()?;
    let number = group.file_name()?.to_str()?;
    let name = fs::read_to_string(folder.join("iommu_group/name")).unwrap_or_default();
    let file = match name.trim() {
        "vfio-noiommu" => format!("noiommu-{number}"),
        _ => number.to_owned(),
    };
    Some(Path::new("/dev/vfio").join(file))
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
    use super::super::fake::Root;
    use super::*;

    const ADDRESS: &str = "0000:03:00.0";
    const NIC: &str = "sys/bus/pci/devices/0000:03:00.0";

    #[test]
    fn what_is_opened_depends_on_the_kernel_driver() {
        // With an IOMMU, NICs have groups whatever their driver is.
        for (driver, files) in [
            ("vfio-pci", vec!["/dev/vfio/7"]),
            ("uio_pci_generic", vec!["/dev/uio3"]),
            ("ixgbe", vec![]),
        ] {
            let root = Root::new()
                .with_link(&format!("{NIC}/driver"), &format!("../../drivers/{driver}"))
                .with_link(&format!("{NIC}/iommu_group"), "../../../kernel/iommu_groups/7")
                .with(&format!("{NIC}/uio/uio3/name"), "");
            let want: Vec<PathBuf> = files.into_iter().map(PathBuf::from).collect();
            assert_eq!(device_files(root.path(), ADDRESS), want, "{driver}");
        }
    }

    #[test]
    fn a_group_without_an_iommu_has_a_name_of_its_own() {
        let root = Root::new()
            .with_link(&format!("{NIC}/driver"), "../../drivers/vfio-pci")
            .with("sys/bus/pci/groups/0/name", "vfio-noiommu\n")
            .with_link(&format!("{NIC}/iommu_group"), "../../groups/0");
        let want = [PathBuf::from("/dev/vfio/noiommu-0")];
        assert_eq!(device_files(root.path(), ADDRESS), want);
    }

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
