//! What the kernel has for DPDK: the tun driver, and drivers that leave a NIC to user space.

use std::fs::OpenOptions;

use pmd::dpdk::DeviceSpec;

use super::finding::{Finding, Need};
use super::machine::Machine;
use super::{Asked, cards};

pub(super) fn check(machine: &Machine, asked: &Asked) -> Vec<Finding> {
    let mut findings = vec![tun(machine, asked)];
    findings.extend(nic_drivers(machine, asked));
    findings
}

fn tun(machine: &Machine, asked: &Asked) -> Finding {
    let need =
        Need::when(matches!(asked.device, Some(DeviceSpec::Tap { .. } | DeviceSpec::Vtap(_))));
    match OpenOptions::new().read(true).write(true).open(machine.path(TUN)) {
        Ok(_) => Finding::good("/dev/net/tun can be opened"),
        Err(error) => Finding::missing(
            need,
            format!("/dev/net/tun cannot be opened, and tap devices need it: {error}"),
            "`modprobe tun`; start a container with `--device /dev/net/tun`",
        ),
    }
}

fn nic_drivers(machine: &Machine, asked: &Asked) -> Vec<Finding> {
    let need = Need::when(asked.pci().is_some_and(|address| !cards::is_bound(machine, address)));
    let [vfio, uio] = ["vfio-pci", "uio_pci_generic"].map(|name| Module::find(machine, name));
    let iommu = !machine.names("sys/kernel/iommu_groups").is_empty();
    let mut findings = vec![];
    if vfio == Module::Missing && uio == Module::Missing {
        findings.push(Finding::missing(
            need,
            "this kernel has neither vfio-pci nor uio_pci_generic: no NIC can be given to DPDK",
            "install all modules of the running kernel (Debian: linux-image-amd64, not -cloud-amd64), or run where they are",
        ));
        return findings;
    }
    let state = format!("vfio-pci {}, uio_pci_generic {}", vfio.describe(), uio.describe());
    match (vfio, iommu) {
        (Module::Missing, _) | (_, true) => findings.push(Finding::good(format!(
            "{state}; the IOMMU is {}",
            if iommu { "on" } else { "off, which uio_pci_generic does not need" }
        ))),
        (_, false) => findings.push(Finding::missing(
            if uio == Module::Missing { need } else { Need::Optional },
            format!("{state}; the IOMMU is off, and vfio-pci needs it"),
            "turn it on in the firmware, and boot with intel_iommu=on (AMD: amd_iommu=on); else `./hugepages.sh bind` takes uio_pci_generic",
        )),
    }
    findings
}

/// Whether the kernel has a driver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Module {
    Loaded,
    /// `hugepages.sh bind` loads it.
    Installed,
    Missing,
}

impl Module {
    fn find(machine: &Machine, name: &str) -> Self {
        if machine.has(&format!("sys/bus/pci/drivers/{name}")) {
            return Self::Loaded;
        }
        let release = machine.text("proc/sys/kernel/osrelease").unwrap_or_default();
        // A module's file has either of the two, and may be compressed.
        let files = [format!("/{name}.ko"), format!("/{}.ko", name.replace('_', "-"))];
        let installed = machine
            .text(&format!("lib/modules/{release}/modules.dep"))
            .is_some_and(|list| files.iter().any(|file| list.contains(file)));
        if installed { Self::Installed } else { Self::Missing }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Loaded => "is loaded",
            Self::Installed => "is installed",
            Self::Missing => "is missing",
        }
    }
}

const TUN: &str = "dev/net/tun";

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, expect, nothing, on};
    use super::super::finding::Grade::{Good, Note, Problem};
    use super::*;

    const VFIO: &str = "sys/bus/pci/drivers/vfio-pci";
    const UIO: &str = "sys/bus/pci/drivers/uio_pci_generic";
    const GROUP: &str = "sys/kernel/iommu_groups/0";

    #[test]
    fn taps_need_the_tun_driver() {
        let words = ["/dev/net/tun cannot be opened", "No such file", "modprobe tun"];
        expect(&check(&Fake::new().machine(), &nothing()), Note, &words);
        expect(&check(&Fake::new().machine(), &on("tap:dtap0")), Problem, &words);
        expect(&check(&Fake::new().machine(), &on("vtap:dtap0")), Problem, &words);
        let fake = Fake::new().with(TUN, "");
        expect(&check(&fake.machine(), &on("tap:dtap0")), Good, &["/dev/net/tun can be opened"]);
    }

    #[test]
    fn nics_need_a_driver_of_user_space() {
        let words = ["neither vfio-pci nor uio_pci_generic", "install"];
        expect(&check(&Fake::new().machine(), &nothing()), Note, &words);
        expect(&check(&Fake::new().machine(), &on("pci:0000:03:00.0")), Problem, &words);
        let bound = Fake::new()
            .with_link("sys/bus/pci/devices/0000:03:00.0/driver", "../../drivers/igb_uio");
        expect(&check(&bound.machine(), &on("pci:0000:03:00.0")), Note, &words);
    }

    #[test]
    fn vfio_needs_the_iommu() {
        let words = ["vfio-pci is loaded", "the IOMMU is off", "intel_iommu=on"];
        let fake = Fake::new().with_folder(VFIO);
        expect(&check(&fake.machine(), &nothing()), Note, &words);
        expect(&check(&fake.machine(), &on("pci:0000:03:00.0")), Problem, &words);
        let fake = fake.with_folder(UIO);
        expect(&check(&fake.machine(), &on("pci:0000:03:00.0")), Note, &words);
        let fake = fake.with_folder(GROUP);
        expect(&check(&fake.machine(), &nothing()), Good, &["vfio-pci is loaded", "IOMMU is on"]);
    }

    #[test]
    fn modules_that_are_not_loaded_are_found_in_their_list() {
        let list = "kernel/drivers/uio/uio_pci_generic.ko.xz: kernel/drivers/uio/uio.ko.xz\n";
        let fake = Fake::new()
            .with("proc/sys/kernel/osrelease", "6.1.0-32-amd64\n")
            .with("lib/modules/6.1.0-32-amd64/modules.dep", list);
        let words = ["vfio-pci is missing, uio_pci_generic is installed", "IOMMU is off"];
        expect(&check(&fake.machine(), &on("pci:0000:03:00.0")), Good, &words);
    }
}
