//! NICs on the PCI bus: who has them, whether darner could, and which one must be left alone.

use std::fs;

use pmd::dpdk::{Holder, NicModel};

use super::Asked;
use super::finding::{Finding, Need};
use super::machine::{Machine, named};

pub(super) fn check(machine: &Machine, asked: &Asked) -> Vec<Finding> {
    let routed = interfaces_with_default_route(machine);
    let cards: Vec<Card> = machine
        .names(DEVICES)
        .into_iter()
        .filter_map(|address| Card::read(machine, address, &routed))
        .collect();
    let mut findings = vec![];
    for card in &cards {
        let need = Need::when(asked.pci() == Some(card.address.as_str()));
        findings.push(judge(card, need));
        if need == Need::Asked {
            findings.extend(far_cores(machine, card, asked));
        }
    }
    match asked.pci() {
        Some(address) if cards.iter().all(|card| card.address != address) => {
            findings.push(Finding::missing(
                Need::Asked,
                format!("{address}: there is no such NIC"),
                "`./hugepages.sh show` lists those that there are",
            ));
        }
        None if cards.is_empty() => {
            findings.push(Finding::good("there are none; tap, memif and af_packet need none"));
        }
        _ => {}
    }
    findings
}

/// What matters most about a card.
fn judge(card: &Card, need: Need) -> Finding {
    let Card { address, .. } = card;
    let who = card.describe();
    if let Some(interface) = &card.routed {
        return Finding::missing(
            need,
            format!(
                "{who} holds the default route ({interface}): without it this machine loses its network"
            ),
            "leave it to the kernel; give DPDK another NIC, or run on a tap",
        );
    }
    let Some(pmd) = card.pmd else {
        return Finding::missing(
            need,
            format!("{who} has no driver in this program"),
            "build with DPDK_LINK=dynamic for every driver of DPDK that is installed",
        );
    };
    if !card.is_bound() {
        return Finding::missing(
            need,
            format!("{who} is the kernel's; {pmd} of this program can serve it"),
            format!("sudo ./hugepages.sh bind {address}"),
        );
    }
    if let Some(Holder { process, name }) = &card.holder {
        return Finding::missing(
            need,
            format!("{who} is in use by process {process} ({name})"),
            format!("end that first (`kill {process}`), or take another NIC"),
        );
    }
    if let Some((mate, driver)) = &card.foreign {
        return Finding::missing(
            need,
            format!(
                "{who} shares its IOMMU group with {mate}, which {driver} has: VFIO then gives neither away"
            ),
            format!("sudo ./hugepages.sh bind {mate}, or move one of the two to another slot"),
        );
    }
    Finding::good(format!("{who} is ready for {pmd}: --device pci:{address}"))
}

/// Every frame would cross from one NUMA node to another.
fn far_cores(machine: &Machine, card: &Card, asked: &Asked) -> Option<Finding> {
    let node = numa_node(machine, &card.address)?;
    let near = machine.cpus(&format!("{DEVICES}/{}/local_cpulist", card.address))?;
    let far: Vec<usize> = asked.cores.iter().copied().filter(|cpu| !near.contains(cpu)).collect();
    (!far.is_empty() && !near.is_empty()).then(|| {
        Finding::note(
            format!("{} sits on NUMA node {node}, and {} on another", card.address, named(&far)),
            format!("choose --cores among {}", named(&near)),
        )
    })
}

/// A NIC, as the kernel's files show it.
struct Card {
    address: String,
    /// The kernel driver that has it.
    driver: Option<String>,
    interfaces: Vec<String>,
    /// The interface through which the default route leads.
    routed: Option<String>,
    /// The driver of this program that serves it.
    pmd: Option<&'static str>,
    holder: Option<Holder>,
    /// Another function of its IOMMU group, and the driver that keeps it from VFIO.
    foreign: Option<(String, String)>,
}

impl Card {
    fn read(machine: &Machine, address: String, routed: &[String]) -> Option<Self> {
        let folder = format!("{DEVICES}/{address}");
        let class = machine.text(&format!("{folder}/class"))?;
        if !class.starts_with(NETWORK) {
            return None;
        }
        let interfaces = interfaces_of(machine, &address);
        let above = interfaces.iter().flat_map(|interface| climb(machine, interface));
        Some(Self {
            driver: machine.link(&format!("{folder}/driver")),
            routed: above.into_iter().find(|interface| routed.contains(interface)),
            interfaces,
            pmd: NicModel::read(&machine.path(&folder)).and_then(NicModel::driver),
            holder: Holder::of_nic(&machine.path(""), &address),
            foreign: foreign(machine, &folder),
            address,
        })
    }

    fn is_bound(&self) -> bool {
        self.driver.as_deref().is_some_and(leaves_to_dpdk)
    }

    /// `0000:03:00.0 (ixgbe, eth1)`.
    fn describe(&self) -> String {
        let driver = self.driver.as_deref().unwrap_or("no driver");
        let words: Vec<&str> =
            std::iter::once(driver).chain(self.interfaces.iter().map(String::as_str)).collect();
        format!("{} ({})", self.address, words.join(", "))
    }
}

/// Whether a NIC is with a driver that leaves it to DPDK.
pub(super) fn is_bound(machine: &Machine, address: &str) -> bool {
    machine.link(&format!("{DEVICES}/{address}/driver")).as_deref().is_some_and(leaves_to_dpdk)
}

/// Whether a NIC is with a driver that shows it physical addresses.
pub(super) fn sees_physical_addresses(machine: &Machine, address: &str) -> bool {
    let driver = machine.link(&format!("{DEVICES}/{address}/driver"));
    driver.is_some_and(|driver| ["uio_pci_generic", "igb_uio"].contains(&driver.as_str()))
}

/// Where a NIC sits, on a machine with nodes.
pub(super) fn numa_node(machine: &Machine, address: &str) -> Option<u32> {
    machine.number(&format!("{DEVICES}/{address}/numa_node"))
}

/// Mellanox's drivers share their NICs with DPDK.
fn leaves_to_dpdk(driver: &str) -> bool {
    ["vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core"].contains(&driver)
}

/// An interface's folder lies below its card's, with a bus such as virtio between them for some.
fn interfaces_of(machine: &Machine, address: &str) -> Vec<String> {
    let below = |name: &String| {
        let folder = fs::canonicalize(machine.path(&format!("{INTERFACES}/{name}")));
        folder.is_ok_and(|folder| folder.iter().any(|part| part == address))
    };
    machine.names(INTERFACES).into_iter().filter(below).collect()
}

/// The interface and all that stand on it: bonds, bridges, VLANs.
fn climb(machine: &Machine, interface: &str) -> Vec<String> {
    let mut all = vec![interface.to_owned()];
    let mut next = 0;
    while let Some(lower) = all.get(next) {
        for name in machine.names(&format!("{INTERFACES}/{lower}")) {
            if let Some(upper) = name.strip_prefix("upper_")
                && !all.iter().any(|known| known == upper)
            {
                all.push(upper.to_owned());
            }
        }
        next += 1;
    }
    all
}

/// Of the main table, over both protocols. `hugepages.sh bind` asks `ip`, which knows them all.
fn interfaces_with_default_route(machine: &Machine) -> Vec<String> {
    let interface = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            // IPv4: interface, destination, gateway, flags, references, use, metric, mask.
            [interface, "00000000", _, _, _, _, _, "00000000", ..] => Some((*interface).to_owned()),
            // IPv6: destination, its prefix's length, and the interface last.
            [destination, "00", .., interface]
                if destination.bytes().all(|byte| byte == b'0') && *interface != "lo" =>
            {
                Some((*interface).to_owned())
            }
            _ => None,
        }
    };
    let tables = ["proc/net/route", "proc/net/ipv6_route"].map(|path| machine.text(path));
    tables.iter().flatten().flat_map(|table| table.lines().filter_map(interface)).collect()
}

/// A function of the same IOMMU group that neither idles nor is VFIO's.
fn foreign(machine: &Machine, folder: &str) -> Option<(String, String)> {
    let mates = machine.names(&format!("{folder}/iommu_group/devices"));
    mates.into_iter().find_map(|mate| {
        let driver = machine.link(&format!("{DEVICES}/{mate}/driver"))?;
        (driver != "vfio-pci" && driver != "pcieport").then_some((mate, driver))
    })
}

pub(super) const DEVICES: &str = "sys/bus/pci/devices";
const INTERFACES: &str = "sys/class/net";

/// How the class of a PCI function begins that is a network controller.
const NETWORK: &str = "0x02";

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, expect, nothing, on};
    use super::super::finding::Grade::{Good, Note, Problem};
    use super::*;

    const NIC: &str = "0000:03:00.0";
    const MATE: &str = "0000:03:00.1";
    const IXGBE: (&str, &str) = ("0x8086", "0x10fb");
    const UNKNOWN: (&str, &str) = ("0x1234", "0x5678");

    trait Cards {
        fn with_card(self, address: &str, model: (&str, &str), driver: &str) -> Self;
        fn with_interface(self, address: &str, name: &str) -> Self;
    }

    impl Cards for Fake {
        fn with_card(self, address: &str, model: (&str, &str), driver: &str) -> Self {
            let file = |name| format!("{DEVICES}/{address}/{name}");
            self.with(&file("class"), "0x020000\n")
                .with(&file("vendor"), model.0)
                .with(&file("device"), model.1)
                .with(&file("subsystem_vendor"), "0x0001")
                .with(&file("subsystem_device"), "0x0002")
                .with_link(&file("driver"), &format!("../../drivers/{driver}"))
        }

        fn with_interface(self, address: &str, name: &str) -> Self {
            let real = format!("sys/devices/pci0000:00/{address}/virtio2/net/{name}");
            self.with_folder(&real).with_link(&format!("{INTERFACES}/{name}"), &format!("/{real}"))
        }
    }

    /// A line of /proc/net/route.
    fn route(interface: &str) -> String {
        let header = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT";
        format!(
            "{header}\n{interface} 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n{interface} 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
        )
    }

    #[test]
    fn a_machine_without_nics_is_good_unless_one_is_asked_for() {
        let disk = Fake::new().with(&format!("{DEVICES}/{NIC}/class"), "0x010802\n");
        expect(&check(&disk.machine(), &nothing()), Good, &["there are none"]);
        expect(&check(&disk.machine(), &on("pci:03:00.0")), Problem, &[NIC, "no such NIC", "show"]);
    }

    #[test]
    fn the_kernels_nic_can_be_bound() {
        let fake = Fake::new().with_card(NIC, IXGBE, "ixgbe").with_interface(NIC, "eth1");
        let words =
            ["(ixgbe, eth1)", "the kernel's", "net_ixgbe", "hugepages.sh bind 0000:03:00.0"];
        expect(&check(&fake.machine(), &nothing()), Note, &words);
        expect(&check(&fake.machine(), &on("pci:03:00.0")), Problem, &words);
    }

    #[test]
    fn the_nic_of_the_default_route_is_to_be_left_alone() {
        let fake = || Fake::new().with_card(NIC, IXGBE, "ixgbe").with_interface(NIC, "eth1");
        let words = ["default route", "loses its network", "leave it"];
        let direct = fake().with("proc/net/route", &route("eth1"));
        expect(&check(&direct.machine(), &nothing()), Note, &words);
        expect(&check(&direct.machine(), &on("pci:03:00.0")), Problem, &words);
        let zeros = "0".repeat(32);
        let line = format!("{zeros} 00 {zeros} 00 fe80 00000400 1 0 00000003 eth1\n");
        let version_6 = fake().with("proc/net/ipv6_route", &line);
        expect(&check(&version_6.machine(), &nothing()), Note, &words);
        let elsewhere = fake().with("proc/net/route", &route("eth2"));
        expect(&check(&elsewhere.machine(), &nothing()), Note, &["hugepages.sh bind"]);
    }

    #[test]
    fn a_nic_below_a_bond_with_the_default_route_is_found() {
        let fake = Fake::new()
            .with_card(NIC, IXGBE, "ixgbe")
            .with_interface(NIC, "eth1")
            .with_folder("sys/class/net/eth1/upper_bond0")
            .with_folder("sys/class/net/bond0/upper_vlan7")
            .with_folder("sys/class/net/vlan7/upper_bond0")
            .with("proc/net/route", &route("vlan7"));
        expect(&check(&fake.machine(), &nothing()), Note, &["default route (vlan7)"]);
    }

    #[test]
    fn a_nic_without_a_driver_of_ours_is_named() {
        for kernel in ["atlantic", "vfio-pci"] {
            let fake = Fake::new().with_card(NIC, UNKNOWN, kernel);
            let words = [kernel, "no driver in this program", "DPDK_LINK=dynamic"];
            expect(&check(&fake.machine(), &nothing()), Note, &words);
            expect(&check(&fake.machine(), &on("pci:03:00.0")), Problem, &words);
        }
    }

    #[test]
    fn a_bound_nic_is_ready_unless_somebody_has_it() {
        let group = format!("{DEVICES}/{NIC}/iommu_group");
        let fake = Fake::new()
            .with_card(NIC, IXGBE, "vfio-pci")
            .with_folder("sys/kernel/iommu_groups/7/devices")
            .with_link(&group, "/sys/kernel/iommu_groups/7");
        let asked = on("pci:03:00.0");
        expect(&check(&fake.machine(), &asked), Good, &["ready for net_ixgbe", "pci:0000:03:00.0"]);
        let fake = fake.with("proc/77/comm", "testpmd\n").with_link("proc/77/fd/9", "/dev/vfio/7");
        // The link's target is below the fake's root; the kernel's is not.
        let fake = fake.with_folder("proc/78/fd").with("proc/78/comm", "darner\n");
        std::os::unix::fs::symlink("/dev/vfio/7", fake.machine().path("proc/78/fd/3")).unwrap();
        expect(&check(&fake.machine(), &asked), Problem, &["process 78 (darner)", "kill 78"]);
    }

    #[test]
    fn a_group_that_is_not_all_vfios_is_a_problem() {
        let devices = "sys/kernel/iommu_groups/7/devices";
        let fake = Fake::new()
            .with_card(NIC, IXGBE, "vfio-pci")
            .with_card(MATE, IXGBE, "ixgbe")
            .with_folder(&format!("{devices}/{NIC}"))
            .with_folder(&format!("{devices}/{MATE}"))
            .with_link(&format!("{DEVICES}/{NIC}/iommu_group"), "/sys/kernel/iommu_groups/7");
        let words =
            ["IOMMU group with 0000:03:00.1", "ixgbe has", "hugepages.sh bind 0000:03:00.1"];
        expect(&check(&fake.machine(), &on("pci:03:00.0")), Problem, &words);
    }

    #[test]
    fn cores_of_another_node_are_noted() {
        let file = |name| format!("{DEVICES}/{NIC}/{name}");
        let fake = Fake::new()
            .with_card(NIC, IXGBE, "vfio-pci")
            .with(&file("numa_node"), "1\n")
            .with(&file("local_cpulist"), "8-15\n");
        let on_cores = |cores: &[usize]| Asked { cores: cores.to_vec(), ..on("pci:03:00.0") };
        let words = ["NUMA node 1", "CPU 3 on another", "--cores among CPUs 8-15"];
        expect(&check(&fake.machine(), &on_cores(&[3, 9])), Note, &words);
        assert_eq!(check(&fake.machine(), &on_cores(&[8, 9])).len(), 1);
    }
}
