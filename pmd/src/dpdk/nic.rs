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

/// A process that has a NIC open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holder {
    /// Its number.
    pub process: u32,
    /// Its name.
    pub name: String,
}

impl Holder {
    /// Who has a NIC open through VFIO or UIO, this process aside. Files of others show only to root.
    ///
    /// `root` is where `/proc` and `/sys` are: the root folder.
    pub fn of_nic(root: &Path, address: &str) -> Option<Self> {
        let files = device_files(root, address);
        if files.is_empty() {
            return None;
        }
        entries(&root.join("proc")).into_iter().find_map(|(process, folder)| {
            let process = process.parse().ok().filter(|&process| process != std::process::id())?;
            let open = entries(&folder.join("fd"));
            let holds =
                |link: &Path| fs::read_link(link).is_ok_and(|target| files.contains(&target));
            open.iter().any(|(_, link)| holds(link)).then(|| Self {
                process,
                name: fs::read_to_string(folder.join("comm")).unwrap_or_default().trim().to_owned(),
            })
        })
    }
}

/// What a program opens to have the NIC.
fn device_files(root: &Path, address: &str) -> Vec<PathBuf> {
    let folder = root.join("sys/bus/pci/devices").join(address);
    let group = fs::read_link(folder.join("iommu_group")).ok();
    let group = group.and_then(|group| Some(Path::new("/dev/vfio").join(group.file_name()?)));
    let uio = entries(&folder.join("uio"));
    group.into_iter().chain(uio.into_iter().map(|(name, _)| Path::new("/dev").join(name))).collect()
}

/// What a folder holds: names and paths.
fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect()
}

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
