//! What the process may do: capabilities, and limits.

use pmd::dpdk::{DeviceSpec, EalBuilder};

use super::finding::{Finding, Need};
use super::machine::Machine;
use super::{Asked, cards};

/// The capabilities that some device needs.
pub(super) fn capabilities(machine: &Machine, asked: &Asked) -> Vec<Finding> {
    let Some(effective) = effective(machine) else {
        return vec![Finding::unknown("capabilities", STATUS)];
    };
    let (has, misses): (Vec<_>, Vec<_>) =
        CAPABILITIES.iter().partition(|capability| effective & 1 << capability.bit != 0);
    let mut findings = vec![];
    if !has.is_empty() {
        let names: Vec<&str> = has.iter().map(|capability| capability.name).collect();
        findings.push(Finding::good(format!("has {}", names.join(", "))));
    }
    findings.extend(misses.iter().map(|capability| {
        let Capability { name, serves, .. } = capability;
        let asked_for =
            asked.device.as_ref().is_some_and(|device| needs(machine, device, capability));
        let set = name.to_ascii_lowercase();
        Finding::missing(
            Need::when(asked_for),
            format!("{name} is missing: {serves}"),
            format!("run as root, or once `sudo setcap {set}+ep {}`", asked.program),
        )
    }));
    findings
}

/// The limits that `ulimit` shows.
pub(super) fn limits(machine: &Machine, asked: &Asked) -> Vec<Finding> {
    let Some(limits) = machine.text("proc/self/limits") else {
        return vec![Finding::unknown("limits", "proc/self/limits")];
    };
    vec![locked_memory(&limits, effective(machine), asked), open_files(&limits)]
}

/// A NIC writes into memory, which must stay where it is: VFIO counts that against the limit.
fn locked_memory(limits: &str, effective: Option<u64>, asked: &Asked) -> Finding {
    let wanted = EalBuilder::DEFAULT_MIB as u64 * MIB;
    let exempt = effective.is_some_and(|bits| bits & 1 << IPC_LOCK != 0);
    match soft(limits, "Max locked memory") {
        None => Finding::unknown("locked memory", "proc/self/limits"),
        Some(_) if exempt => Finding::good("memory can be locked without limit (CAP_IPC_LOCK)"),
        Some(Limit::None) => Finding::good("memory can be locked without limit"),
        Some(Limit::Of(bytes)) if bytes >= wanted => {
            Finding::good(format!("{} MiB of memory can be locked", bytes / MIB))
        }
        Some(Limit::Of(bytes)) => Finding::missing(
            Need::when(
                asked.pci().is_some() || matches!(asked.device, Some(DeviceSpec::AfXdp { .. })),
            ),
            format!(
                "{} KiB of memory can be locked: NICs and AF_XDP need {} MiB",
                bytes / 1024,
                EalBuilder::DEFAULT_MIB
            ),
            "`ulimit -l unlimited`, LimitMEMLOCK=infinity in a systemd unit, or CAP_IPC_LOCK",
        ),
    }
}

/// Connections need none: files of a served folder, huge pages and memif do.
fn open_files(limits: &str) -> Finding {
    match soft(limits, "Max open files") {
        None => Finding::unknown("open files", "proc/self/limits"),
        Some(Limit::None) => Finding::good("files can be opened without limit"),
        Some(Limit::Of(files)) if files >= FILES => {
            Finding::good(format!("{files} files can be open"))
        }
        Some(Limit::Of(files)) => Finding::note(
            format!("{files} files can be open: each that `darner serve` sends takes one"),
            format!("`ulimit -n {FILES}`, or LimitNOFILE={FILES} in a systemd unit"),
        ),
    }
}

enum Limit {
    None,
    Of(u64),
}

/// The limit that holds, of the two that stand behind the name.
fn soft(limits: &str, name: &str) -> Option<Limit> {
    let values = limits.lines().find_map(|line| line.strip_prefix(name))?;
    match values.split_whitespace().next()? {
        "unlimited" => Some(Limit::None),
        number => number.parse().ok().map(Limit::Of),
    }
}

fn effective(machine: &Machine) -> Option<u64> {
    u64::from_str_radix(&machine.field(STATUS, "CapEff")?, 16).ok()
}

fn needs(machine: &Machine, device: &DeviceSpec, capability: &Capability) -> bool {
    match device {
        DeviceSpec::Tap { .. } | DeviceSpec::Vtap(_) => capability.bit == NET_ADMIN,
        DeviceSpec::AfPacket { .. } => capability.bit == NET_RAW,
        DeviceSpec::AfXdp { .. } => [NET_ADMIN, NET_RAW, SYS_ADMIN].contains(&capability.bit),
        DeviceSpec::Pci { address } => {
            capability.bit == SYS_ADMIN && cards::sees_physical_addresses(machine, address)
        }
        DeviceSpec::Memif { .. } | DeviceSpec::Vdev { .. } => false,
    }
}

/// A capability, its number in linux/capability.h, and what it is for.
struct Capability {
    name: &'static str,
    bit: u32,
    serves: &'static str,
}

const NET_ADMIN: u32 = 12;
const NET_RAW: u32 = 13;
const IPC_LOCK: u32 = 14;
const SYS_RAWIO: u32 = 17;
const SYS_ADMIN: u32 = 21;

const CAPABILITIES: [Capability; 5] = [
    Capability { name: "CAP_NET_ADMIN", bit: NET_ADMIN, serves: "tap and af_xdp need it" },
    Capability { name: "CAP_NET_RAW", bit: NET_RAW, serves: "af_packet and af_xdp need it" },
    Capability {
        name: "CAP_IPC_LOCK",
        bit: IPC_LOCK,
        serves: "NICs and af_xdp lock memory with it beyond `ulimit -l`",
    },
    Capability {
        name: "CAP_SYS_RAWIO",
        bit: SYS_RAWIO,
        serves: "virtio NICs of the old kind on uio_pci_generic need it",
    },
    Capability {
        name: "CAP_SYS_ADMIN",
        bit: SYS_ADMIN,
        serves: "af_xdp needs it, and NICs on uio_pci_generic for physical addresses",
    },
];

const STATUS: &str = "proc/self/status";
const FILES: u64 = 1024;
const MIB: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, expect, nothing, on};
    use super::super::finding::Grade::{Good, Note, Problem};
    use super::*;

    fn with_capabilities(bits: u64) -> Fake {
        Fake::new().with(STATUS, &format!("Name:\tx\nCapEff:\t{bits:016x}\n"))
    }

    fn with_limits(locked: &str, files: &str) -> Fake {
        let text = format!(
            "Limit       Soft Limit   Hard Limit   Units\nMax open files    {files}   32768    files\n\
             Max locked memory   {locked}    unlimited    bytes\n"
        );
        with_capabilities(0).with("proc/self/limits", &text)
    }

    #[test]
    fn root_has_all_that_is_needed() {
        let findings = capabilities(&with_capabilities(u64::MAX).machine(), &nothing());
        assert_eq!(findings.len(), 1);
        expect(&findings, Good, &["CAP_NET_ADMIN", "CAP_SYS_ADMIN"]);
    }

    #[test]
    fn a_missing_capability_is_a_problem_for_the_device_that_needs_it() {
        let fake = with_capabilities(1 << NET_RAW);
        for (device, capability, grade) in [
            ("tap:dtap0", "CAP_NET_ADMIN is missing", Problem),
            ("vtap:dtap0", "CAP_NET_ADMIN is missing", Problem),
            ("tap:dtap0", "CAP_SYS_ADMIN is missing", Note),
            ("memif:server", "CAP_NET_ADMIN is missing", Note),
            ("af_xdp:eth1", "CAP_SYS_ADMIN is missing", Problem),
            ("af_packet:eth1", "has CAP_NET_RAW", Good),
        ] {
            expect(&capabilities(&fake.machine(), &on(device)), grade, &[capability]);
        }
        let driver = "sys/bus/pci/devices/0000:03:00.0/driver";
        for (name, grade) in [("uio_pci_generic", Problem), ("vfio-pci", Note)] {
            let fake = with_capabilities(0).with_link(driver, &format!("../{name}"));
            let findings = capabilities(&fake.machine(), &on("pci:03:00.0"));
            expect(&findings, grade, &["CAP_SYS_ADMIN is missing"]);
        }
        let findings = capabilities(&fake.machine(), &nothing());
        expect(&findings, Note, &["CAP_NET_ADMIN", "setcap cap_net_admin+ep"]);
        assert_eq!(findings.len(), 5);
    }

    #[test]
    fn capabilities_that_are_not_told_are_unknown() {
        expect(&capabilities(&Fake::new().machine(), &nothing()), Note, &["cannot tell", "status"]);
    }

    #[test]
    fn little_lockable_memory_is_a_problem_for_nics() {
        let findings =
            |locked, asked: &Asked| limits(&with_limits(locked, "1024").machine(), asked);
        let words = ["8192 KiB of memory can be locked", "ulimit -l unlimited"];
        expect(&findings("8388608", &nothing()), Note, &words);
        expect(&findings("8388608", &on("pci:0000:03:00.0")), Problem, &words);
        expect(&findings("268435456", &on("pci:0000:03:00.0")), Good, &["256 MiB"]);
        expect(&findings("unlimited", &on("pci:0000:03:00.0")), Good, &["without limit"]);
        let exempt = with_limits("65536", "1024").with(STATUS, "CapEff:\t0000000000004000\n");
        expect(&limits(&exempt.machine(), &nothing()), Good, &["CAP_IPC_LOCK"]);
    }

    #[test]
    fn few_open_files_are_noted() {
        let findings = |files| limits(&with_limits("unlimited", files).machine(), &nothing());
        expect(&findings("256"), Note, &["256 files can be open", "ulimit -n 1024"]);
        expect(&findings("1024"), Good, &["1024 files can be open"]);
    }

    #[test]
    fn limits_that_are_not_told_are_unknown() {
        let findings = limits(&Fake::new().machine(), &nothing());
        expect(&findings, Note, &["limits: cannot tell"]);
        let findings = limits(&Fake::new().with("proc/self/limits", "").machine(), &nothing());
        expect(&findings, Note, &["locked memory: cannot tell"]);
        expect(&findings, Note, &["open files: cannot tell"]);
    }
}
