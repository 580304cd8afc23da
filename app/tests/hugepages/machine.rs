//! A machine that is a folder: what `/sys` and `/proc` would show, and programs that act on it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Outcome, script};

/// It ends with its folder.
pub(crate) struct Machine {
    root: PathBuf,
}

impl Machine {
    /// Without cards, pages and routes; vfio-pci and uio_pci_generic can be loaded.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("hugepages-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let machine = Self { root: std::env::temp_dir().join(name) };
        for folder in [
            "sys/bus/pci/devices",
            "sys/bus/pci/drivers",
            "sys/class/net",
            "sys/kernel/iommu_groups",
        ] {
            fs::create_dir_all(machine.path(folder)).expect("the temporary folder is writable");
        }
        for file in [
            "log",
            "routes4",
            "routes6",
            "proc/mounts",
            "proc/net/if_inet6",
            "sys/bus/pci/drivers_probe",
        ] {
            machine.write(file, "");
        }
        machine.with_module("vfio-pci").with_module("uio_pci_generic")
    }

    /// `modprobe` can load a driver.
    fn with_module(self, module: &str) -> Self {
        self.write(&format!("modules/{module}"), "");
        self
    }

    pub(crate) fn without_module(self, module: &str) -> Self {
        fs::remove_file(self.path(&format!("modules/{module}"))).expect("it was there");
        self
    }

    /// A driver that cannot take any card.
    pub(crate) fn with_refusing(self, driver: &str) -> Self {
        self.write(&format!("refusing/{driver}"), "");
        self
    }

    /// A driver that takes no card, and reports no failure.
    pub(crate) fn with_ignoring(self, driver: &str) -> Self {
        self.write(&format!("ignoring/{driver}"), "");
        self
    }

    /// A network card with its kernel driver and an interface that is down.
    pub(crate) fn with_card(self, card: &str, driver: &str, interface: &str) -> Self {
        self.device(card, "0x020000", driver);
        let real = format!("sys/devices/pci0000:00/{card}/net/{interface}");
        self.write(&format!("{real}/flags"), "0x1002\n");
        let link = self.path(&format!("sys/class/net/{interface}"));
        symlink(self.path(&real), link).expect("the interface is new");
        self
    }

    /// A device that is no network card.
    pub(crate) fn with_disk(self, card: &str) -> Self {
        self.device(card, "0x010802", "nvme");
        self
    }

    fn device(&self, card: &str, class: &str, driver: &str) {
        let device = format!("sys/bus/pci/devices/{card}");
        self.write(&format!("{device}/class"), &format!("{class}\n"));
        self.write(&format!("{device}/driver_override"), "(null)\n");
        self.write(&format!("{device}/modalias"), "pci:v00008086d000010FB\n");
        self.write(&format!("home/{card}"), driver);
        fs::create_dir_all(self.path(&format!("sys/bus/pci/drivers/{driver}")))
            .expect("the folder is ours");
        symlink(format!("../../drivers/{driver}"), self.path(&format!("{device}/driver")))
            .expect("the card is new");
    }

    /// No kernel driver wants this card any more.
    pub(crate) fn with_forgotten(self, card: &str) -> Self {
        fs::remove_file(self.path(&format!("home/{card}"))).expect("it had a driver");
        self
    }

    /// Cards in one group of an IOMMU.
    pub(crate) fn with_group(self, group: &str, cards: &[&str]) -> Self {
        for card in cards {
            let folder = format!("sys/kernel/iommu_groups/{group}");
            self.write(&format!("{folder}/devices/{card}"), "");
            symlink(
                self.path(&folder),
                self.path(&format!("sys/bus/pci/devices/{card}/iommu_group")),
            )
            .expect("one group per card");
        }
        self
    }

    /// An interface such as a bond, a bridge or a VLAN, which is up, on others.
    pub(crate) fn with_interface_on(self, upper: &str, lowers: &[&str]) -> Self {
        let real = format!("sys/devices/virtual/net/{upper}");
        self.write(&format!("{real}/flags"), "0x1003\n");
        symlink(self.path(&real), self.path(&format!("sys/class/net/{upper}")))
            .expect("the interface is new");
        for lower in lowers {
            let link = self.path(&format!("sys/class/net/{lower}/upper_{upper}"));
            symlink(self.path(&real), link).expect("the lower interface is there");
        }
        self
    }

    pub(crate) fn with_up(self, interface: &str) -> Self {
        self.write(&format!("sys/class/net/{interface}/flags"), "0x1003\n");
        self
    }

    pub(crate) fn with_address(self, interface: &str, address: &str) -> Self {
        let family = if address.contains(':') { "inet6" } else { "inet" };
        self.append(
            &format!("addresses/{interface}"),
            &format!("2: {interface}    {family} {address} scope global {interface}\n"),
        );
        self
    }

    /// As `ip -o` prints routes of a protocol, "4" or "6".
    pub(crate) fn with_route(self, protocol: &str, line: &str) -> Self {
        self.append(&format!("routes{protocol}"), &format!("{line}\n"));
        self
    }

    /// Pools of 2M and 1G pages on so many NUMA nodes, all empty.
    pub(crate) fn with_nodes(self, nodes: usize) -> Self {
        for size in ["hugepages-2048kB", "hugepages-1048576kB"] {
            let folders = (0..nodes)
                .map(|node| format!("sys/devices/system/node/node{node}/hugepages/{size}"));
            for folder in folders.chain([format!("sys/kernel/mm/hugepages/{size}")]) {
                for file in ["nr_hugepages", "free_hugepages", "resv_hugepages"] {
                    self.write(&format!("{folder}/{file}"), "0\n");
                }
            }
        }
        self
    }

    /// 2M pages of a node; the others have none.
    pub(crate) fn with_pages(self, node: usize, total: usize, free: usize) -> Self {
        for folder in [small_pages(node), "sys/kernel/mm/hugepages/hugepages-2048kB".to_owned()] {
            self.write(&format!("{folder}/nr_hugepages"), &format!("{total}\n"));
            self.write(&format!("{folder}/free_hugepages"), &format!("{free}\n"));
        }
        self
    }

    /// So many of a node's free 2M pages are promised to programs: the kernel keeps them.
    pub(crate) fn with_promised(self, node: usize, pages: usize) -> Self {
        self.write(&format!("{}/promised", small_pages(node)), &format!("{pages}\n"));
        self
    }

    /// A node finds memory for no more 2M pages than this.
    pub(crate) fn with_limit(self, node: usize, pages: usize) -> Self {
        self.write(&format!("{}/limit", small_pages(node)), &format!("{pages}\n"));
        self
    }

    pub(crate) fn with_mount(self, line: &str) -> Self {
        self.append("proc/mounts", &format!("{line}\n"));
        self
    }

    /// A process that uses huge pages and has files open.
    pub(crate) fn with_process(self, id: u32, name: &str, huge_kib: u32, files: &[&str]) -> Self {
        self.write(&format!("proc/{id}/comm"), &format!("{name}\n"));
        self.write(
            &format!("proc/{id}/status"),
            &format!("Name:\t{name}\nHugetlbPages:\t{huge_kib:8} kB\n"),
        );
        fs::create_dir_all(self.path(&format!("proc/{id}/fd"))).expect("the folder is ours");
        for (number, file) in files.iter().enumerate() {
            symlink(file, self.path(&format!("proc/{id}/fd/{number}")))
                .expect("the process is new");
        }
        self
    }

    /// Runs the script on this machine.
    pub(crate) fn run(&self, line: &str) -> Outcome {
        let fake = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hugepages/fake");
        let path = format!("{fake}:{}", std::env::var("PATH").expect("there is a PATH"));
        let output = script(line)
            .env("PATH", path)
            .env("MACHINE", &self.root)
            .env("HUGEPAGES_SYSFS", self.path("sys"))
            .env("HUGEPAGES_PROC", self.path("proc"))
            .env("HUGEPAGES_DIR", self.path("dev/hugepages"))
            .env("HUGEPAGES_WRITE", format!("{fake}/kernel"))
            .output();
        Outcome::of(output.expect("bash runs"))
    }

    /// What the kernel was told, in order, with paths below `/sys`.
    pub(crate) fn log(&self) -> Vec<String> {
        let root = format!("{}/", self.root.display());
        self.read("log").lines().map(|line| line.replace(&root, "")).collect()
    }

    pub(crate) fn driver_of(&self, card: &str) -> Option<String> {
        let link = fs::read_link(self.path(&format!("sys/bus/pci/devices/{card}/driver"))).ok()?;
        Some(link.file_name()?.to_str()?.to_owned())
    }

    pub(crate) fn driver_override(&self, card: &str) -> String {
        self.read(&format!("sys/bus/pci/devices/{card}/driver_override")).trim().to_owned()
    }

    /// 2M pages of a node.
    pub(crate) fn pages(&self, node: usize) -> usize {
        self.read(&format!("{}/nr_hugepages", small_pages(node))).trim().parse().expect("a number")
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).expect("the file is there")
    }

    fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("the folder is ours");
        fs::write(path, text).expect("the folder is ours");
    }

    fn append(&self, below: &str, text: &str) {
        let before = fs::read_to_string(self.path(below)).unwrap_or_default();
        self.write(below, &(before + text));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What is left of it lies in the temporary folder and harms nobody.
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn small_pages(node: usize) -> String {
    format!("sys/devices/system/node/node{node}/hugepages/hugepages-2048kB")
}
