//! Huge pages.

use pmd::dpdk::EalBuilder;

use super::finding::{Finding, Need};
use super::machine::Machine;
use super::{Asked, cards};
use crate::settings::HugePages;

/// Whether there are enough of them, and where.
pub(super) fn check(machine: &Machine, asked: &Asked) -> Vec<Finding> {
    if asked.huge_pages == HugePages::Never {
        return vec![Finding::good("not asked for")];
    }
    let pools = pools(machine);
    if pools.is_empty() {
        return vec![Finding::missing(
            need(machine, asked),
            "this kernel has no huge pages, or does not show them in /sys/kernel/mm/hugepages",
            "use a kernel with CONFIG_HUGETLBFS, or --no-huge",
        )];
    }
    let free = free_mib(&pools, None);
    if free < WANTED_MIB {
        return vec![Finding::missing(
            need(machine, asked),
            format!(
                "{free} MiB are free, and darner takes {WANTED_MIB} MiB; without --huge it makes do with ordinary pages"
            ),
            format!("sudo ./hugepages.sh reserve {WANTED_MIB}M"),
        )];
    }
    let mut findings = vec![Finding::good(format!("{free} MiB are free: {}", describe(&pools)))];
    if let Some(node) = asked.pci().and_then(|address| cards::numa_node(machine, address))
        && pools.iter().any(|pool| pool.node.is_some())
        && free_mib(&pools, Some(node)) < WANTED_MIB
    {
        let near = free_mib(&pools, Some(node));
        findings.push(Finding::note(
            format!("the NIC sits on NUMA node {node}, of which {near} MiB are free: frames would lie far away"),
            format!("sudo ./hugepages.sh reserve {WANTED_MIB}M --node {node}"),
        ));
    }
    findings
}

/// NICs on uio_pci_generic see physical addresses, which ordinary pages do not keep.
fn need(machine: &Machine, asked: &Asked) -> Need {
    let physical =
        asked.pci().is_some_and(|address| cards::sees_physical_addresses(machine, address));
    Need::when(asked.huge_pages == HugePages::Always || physical)
}

/// Pages of one size, of one NUMA node or, on a kernel that knows no nodes, of the machine.
struct PagePool {
    node: Option<u32>,
    kib: usize,
    free: usize,
}

fn pools(machine: &Machine) -> Vec<PagePool> {
    let numbered = |folder: &str, prefix: &str| -> Vec<u32> {
        let names = machine.names(folder);
        names.iter().filter_map(|name| name.strip_prefix(prefix)?.parse().ok()).collect()
    };
    let mut pools: Vec<PagePool> = vec![];
    for node in numbered(NODES, "node") {
        pools.extend(pools_in(machine, &format!("{NODES}/node{node}/hugepages"), Some(node)));
    }
    if pools.is_empty() { pools_in(machine, "sys/kernel/mm/hugepages", None) } else { pools }
}

fn pools_in(machine: &Machine, folder: &str, node: Option<u32>) -> Vec<PagePool> {
    let pool = |name: String| {
        let kib = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let free = machine.number(&format!("{folder}/{name}/free_hugepages"))?;
        Some(PagePool { node, kib, free })
    };
    machine.names(folder).into_iter().filter_map(pool).collect()
}

/// On one node, or on all.
fn free_mib(pools: &[PagePool], node: Option<u32>) -> usize {
    let here = pools.iter().filter(|pool| node.is_none() || pool.node == node);
    here.map(|pool| pool.free * pool.kib / 1024).sum()
}

fn describe(pools: &[PagePool]) -> String {
    let pool = |pool: &PagePool| {
        let size = match pool.kib {
            kib if kib >= 1 << 20 => format!("{} GiB", kib >> 20),
            kib => format!("{} MiB", kib >> 10),
        };
        let place = pool.node.map_or_else(String::new, |node| format!(" on node {node}"));
        format!("{} of {size}{place}", pool.free)
    };
    let free = pools.iter().filter(|pool| pool.free > 0);
    free.map(pool).collect::<Vec<_>>().join(", ")
}

const NODES: &str = "sys/devices/system/node";
const WANTED_MIB: usize = EalBuilder::DEFAULT_MIB;

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, expect, nothing, on};
    use super::super::finding::Grade::{Good, Note, Problem};
    use super::*;

    /// Two nodes with so many free pages of 2 MiB.
    fn nodes(first: usize, second: usize) -> Fake {
        let file = |node| format!("{NODES}/node{node}/hugepages/hugepages-2048kB/free_hugepages");
        Fake::new().with(&file(0), &format!("{first}\n")).with(&file(1), &format!("{second}\n"))
    }

    #[test]
    fn enough_huge_pages_are_good() {
        let findings = check(&nodes(100, 28).machine(), &nothing());
        expect(
            &findings,
            Good,
            &["256 MiB are free", "100 of 2 MiB on node 0", "28 of 2 MiB on node 1"],
        );
    }

    #[test]
    fn too_few_are_a_problem_only_for_who_insists() {
        let fake = nodes(100, 27);
        let words = ["254 MiB are free", "256 MiB", "hugepages.sh reserve 256M"];
        expect(&check(&fake.machine(), &nothing()), Note, &words);
        let insists = Asked { huge_pages: HugePages::Always, ..nothing() };
        expect(&check(&fake.machine(), &insists), Problem, &words);
        let declines = Asked { huge_pages: HugePages::Never, ..nothing() };
        expect(&check(&fake.machine(), &declines), Good, &["not asked for"]);
    }

    #[test]
    fn a_nic_that_sees_physical_addresses_needs_them() {
        let driver = "sys/bus/pci/devices/0000:03:00.0/driver";
        let words = ["hugepages.sh reserve"];
        for (name, grade) in [("uio_pci_generic", Problem), ("vfio-pci", Note)] {
            let fake = nodes(0, 0).with_link(driver, &format!("../../drivers/{name}"));
            expect(&check(&fake.machine(), &on("pci:0000:03:00.0")), grade, &words);
        }
    }

    #[test]
    fn pages_far_from_the_nic_are_noted() {
        let node = "sys/bus/pci/devices/0000:03:00.0/numa_node";
        let findings =
            |at: &str| check(&nodes(200, 10).with(node, at).machine(), &on("pci:0000:03:00.0"));
        expect(&findings("1\n"), Note, &["node 1", "20 MiB are free", "--node 1"]);
        assert_eq!(findings("0\n").len(), 1);
        assert_eq!(findings("-1\n").len(), 1);
    }

    #[test]
    fn a_kernel_without_nodes_or_without_huge_pages() {
        let file = "sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages";
        let findings = check(&Fake::new().with(file, "2\n").machine(), &nothing());
        expect(&findings, Good, &["2048 MiB are free: 2 of 1 GiB"]);
        expect(&check(&Fake::new().machine(), &nothing()), Note, &["no huge pages", "--no-huge"]);
    }
}
