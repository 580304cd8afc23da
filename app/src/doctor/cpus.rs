//! CPUs: which there are for darner, and how much of them it has to itself.

use super::Asked;
use super::finding::{Finding, Need};
use super::machine::{Machine, cpus, list, named};

pub(super) fn check(machine: &Machine, asked: &Asked) -> Vec<Finding> {
    let Some(online) = machine.cpus(ONLINE) else {
        return vec![Finding::unknown("CPUs", ONLINE)];
    };
    let usable = usable(machine, &online);
    let mut findings = vec![allowed(&online, &usable, asked)];
    findings.push(isolation(machine, &online, asked));
    findings.extend(siblings(machine, &online, asked));
    findings.push(governors(machine, &usable, asked));
    findings
}

/// Those of the control group. The process's own affinity does not count: a protocol thread chooses its CPU itself.
fn usable(machine: &Machine, online: &[usize]) -> Vec<usize> {
    let groups = machine.text("proc/self/cgroup").unwrap_or_default();
    let set = groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let files = match (parts.next()?, parts.next()?.trim_matches('/')) {
            ("cpuset", path) => [
                format!("cpuset/{path}/cpuset.effective_cpus"),
                format!("cpuset/{path}/cpuset.cpus"),
            ],
            ("", path) => [
                format!("{path}/cpuset.cpus.effective"),
                format!("unified/{path}/cpuset.cpus.effective"),
            ],
            _ => return None,
        };
        files.iter().find_map(|file| machine.cpus(&format!("sys/fs/cgroup/{file}")))
    });
    match set {
        Some(set) if !set.is_empty() => {
            online.iter().copied().filter(|cpu| set.contains(cpu)).collect()
        }
        _ => online.to_vec(),
    }
}

fn allowed(online: &[usize], usable: &[usize], asked: &Asked) -> Finding {
    let without = |set: &[usize]| -> Vec<usize> {
        asked.cores.iter().copied().filter(|cpu| !set.contains(cpu)).collect()
    };
    let (absent, forbidden) = (without(online), without(usable));
    if !absent.is_empty() {
        return Finding::missing(
            Need::Asked,
            format!("{} is asked for, and online are {}", named(&absent), named(online)),
            format!("choose --cores among {}", named(usable)),
        );
    }
    if !forbidden.is_empty() {
        return Finding::missing(
            Need::Asked,
            format!(
                "{} is asked for, and this control group has {}",
                named(&forbidden),
                named(usable)
            ),
            format!(
                "choose --cores among {}, or widen the group: AllowedCPUs= of systemd, --cpuset-cpus of a container",
                named(usable)
            ),
        );
    }
    if let [only] = usable {
        return Finding::note(
            format!(
                "there is only CPU {only}: a protocol thread that spins leaves nothing for other programs"
            ),
            "leave --idle at sleep, or give the machine another CPU",
        );
    }
    Finding::good(format!("{} of {} can be used: {}", usable.len(), online.len(), list(usable)))
}

/// Whether other programs and the kernel keep off the CPUs of protocol threads.
fn isolation(machine: &Machine, online: &[usize], asked: &Asked) -> Finding {
    let isolated = machine.cpus("sys/devices/system/cpu/isolated").unwrap_or_default();
    let command_line = machine.text("proc/cmdline").unwrap_or_default();
    let parameter = |name: &str| {
        let value = command_line.split_whitespace().find_map(|word| word.strip_prefix(name));
        match value {
            Some("all") => online.to_vec(),
            value => value.map(cpus).unwrap_or_default(),
        }
    };
    let silent = [
        machine.cpus("sys/devices/system/cpu/nohz_full").unwrap_or_default(),
        parameter("rcu_nocbs="),
    ];
    if asked.cores.is_empty() && !isolated.is_empty() {
        let cores = list(&isolated);
        return Finding::good(format!(
            "{} kept from other programs: --cores {cores}",
            are(&isolated)
        ));
    }
    let subject = match (asked.cores.as_slice(), online) {
        ([], [.., last]) => vec![*last],
        (cores, _) => cores.to_vec(),
    };
    let shared: Vec<usize> =
        subject.iter().copied().filter(|cpu| !isolated.contains(cpu)).collect();
    let noisy: Vec<usize> =
        subject.iter().copied().filter(|cpu| silent.iter().any(|set| !set.contains(cpu))).collect();
    let numbers = list(&subject);
    let boot = format!("boot with isolcpus={numbers} nohz_full={numbers} rcu_nocbs={numbers}");
    match (asked.cores.is_empty(), shared.is_empty(), noisy.is_empty()) {
        (true, ..) => Finding::note(
            "no CPU is kept from other programs: they delay packets by milliseconds now and then",
            format!("for steady latency {boot}, and run with --cores {numbers}"),
        ),
        (_, false, _) => Finding::note(
            format!(
                "{} not kept from other programs, which delay packets by milliseconds now and then",
                are(&shared)
            ),
            format!("for steady latency {boot}"),
        ),
        (_, _, false) => Finding::note(
            format!("{} interrupted by the kernel's own work (timer ticks, RCU)", are(&noisy)),
            format!("for steady latency {boot}"),
        ),
        _ => Finding::good(format!(
            "{} kept from other programs and from the kernel's own work",
            are(&subject)
        )),
    }
}

/// Hardware threads of one core share its speed.
fn siblings(machine: &Machine, online: &[usize], asked: &Asked) -> Option<Finding> {
    let mut both = vec![];
    let mut others = vec![];
    for &core in &asked.cores {
        let file = format!("sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
        for sibling in machine.cpus(&file).unwrap_or_default() {
            if sibling == core || !online.contains(&sibling) {
                continue;
            }
            if asked.cores.contains(&sibling) { both.push(core) } else { others.push(sibling) }
        }
    }
    if !both.is_empty() {
        both.sort_unstable();
        return Some(Finding::note(
            format!(
                "{} are hardware threads of the same cores: each slows the other",
                named(&both)
            ),
            "choose one of each pair (`lscpu -e` shows them)",
        ));
    }
    others.sort_unstable();
    (!others.is_empty()).then(|| {
        Finding::note(
            format!("{} on the same cores as ours: what runs there slows us", are(&others)),
            format!("leave {} idle, or turn off hyper-threading (nosmt)", named(&others)),
        )
    })
}

/// Who decides how fast the CPUs run.
fn governors(machine: &Machine, usable: &[usize], asked: &Asked) -> Finding {
    let subject = if asked.cores.is_empty() { usable } else { &asked.cores };
    let governor = |cpu: usize| {
        machine.text(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"))
    };
    let slow: Vec<(usize, String)> = subject
        .iter()
        .filter_map(|&cpu| Some((cpu, governor(cpu).filter(|name| name != "performance")?)))
        .collect();
    if let [(_, name), ..] = slow.as_slice() {
        let cpus: Vec<usize> = slow.iter().map(|(cpu, _)| *cpu).collect();
        return Finding::note(
            format!(
                "{} run by the frequency governor {name}: a CPU that slept is slow at first",
                are(&cpus)
            ),
            "sudo cpupower frequency-set --governor performance",
        );
    }
    if subject.iter().any(|&cpu| governor(cpu).is_some()) {
        return Finding::good("the frequency governor is performance");
    }
    Finding::good("the kernel does not scale frequencies here: the firmware or the hypervisor does")
}

/// "CPU 1 is", "CPUs 1-2 are".
fn are(cpus: &[usize]) -> String {
    format!("{} {}", named(cpus), if cpus.len() == 1 { "is" } else { "are" })
}

const ONLINE: &str = "sys/devices/system/cpu/online";

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, expect, nothing, on_cpus};
    use super::super::finding::Grade::{Good, Note, Problem};
    use super::*;

    fn four() -> Fake {
        Fake::new().with(ONLINE, "0-3\n").with("proc/cmdline", "quiet\n")
    }

    fn with_governor(fake: Fake, cpu: usize, name: &str) -> Fake {
        fake.with(&format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor"), name)
    }

    #[test]
    fn a_machine_that_does_not_tell_is_unknown() {
        expect(&check(&Fake::new().machine(), &nothing()), Note, &["CPUs: cannot tell", "online"]);
    }

    #[test]
    fn cores_must_exist() {
        let findings = |cores: &[usize]| check(&four().machine(), &on_cpus(cores));
        expect(
            &findings(&[3, 4]),
            Problem,
            &["CPU 4 is asked for, and online are CPUs 0-3", "--cores among"],
        );
        expect(&findings(&[3]), Good, &["4 of 4 can be used: 0-3"]);
    }

    #[test]
    fn cores_must_be_in_the_control_group() {
        let second = four()
            .with("proc/self/cgroup", "0::/system.slice/x\n")
            .with("sys/fs/cgroup/system.slice/x/cpuset.cpus.effective", "1-2\n");
        let first = four()
            .with("proc/self/cgroup", "9:name=systemd:/\n3:cpuset:/box\n0::/\n")
            .with("sys/fs/cgroup/cpuset/box/cpuset.effective_cpus", "1-2\n");
        for fake in [second, first] {
            let words = ["CPU 3 is asked for", "control group has CPUs 1-2", "AllowedCPUs="];
            expect(&check(&fake.machine(), &on_cpus(&[2, 3])), Problem, &words);
            expect(&check(&fake.machine(), &on_cpus(&[2])), Good, &["2 of 4 can be used: 1-2"]);
        }
    }

    #[test]
    fn a_single_cpu_is_noted() {
        let fake = Fake::new().with(ONLINE, "0\n");
        expect(&check(&fake.machine(), &nothing()), Note, &["only CPU 0", "--idle"]);
    }

    #[test]
    fn isolated_cpus_are_offered_and_their_lack_is_noted() {
        let words = ["no CPU is kept", "isolcpus=3 nohz_full=3 rcu_nocbs=3", "--cores 3"];
        expect(&check(&four().machine(), &nothing()), Note, &words);
        let isolated = four().with("sys/devices/system/cpu/isolated", "2-3\n");
        expect(
            &check(&isolated.machine(), &nothing()),
            Good,
            &["CPUs 2-3 are kept", "--cores 2-3"],
        );
    }

    #[test]
    fn asked_cores_are_isolated_in_all_three_ways() {
        let fake = four().with("sys/devices/system/cpu/isolated", "2-3\n");
        let findings = |fake: &Fake, cores: &[usize]| check(&fake.machine(), &on_cpus(cores));
        expect(&findings(&fake, &[1, 2]), Note, &["CPU 1 is not kept", "isolcpus=1-2"]);
        expect(&findings(&fake, &[2]), Note, &["CPU 2 is interrupted", "nohz_full=2"]);
        let fake = fake.with("sys/devices/system/cpu/nohz_full", "2-3\n");
        expect(&findings(&fake, &[2]), Note, &["CPU 2 is interrupted", "rcu_nocbs=2"]);
        let fake = fake.with("proc/cmdline", "quiet rcu_nocbs=2\n");
        expect(&findings(&fake, &[2]), Good, &["CPU 2 is kept from other programs and"]);
        let fake = fake.with("proc/cmdline", "rcu_nocbs=all\n");
        expect(&findings(&fake, &[2, 3]), Good, &["CPUs 2-3 are kept from other programs and"]);
    }

    #[test]
    fn hardware_threads_of_one_core_are_noted() {
        let file = |cpu| format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        let fake =
            || (0..4).fold(four(), |fake, cpu| fake.with(&file(cpu), ["0,2", "1,3"][cpu % 2]));
        let findings = |cores: &[usize]| check(&fake().machine(), &on_cpus(cores));
        expect(&findings(&[1, 3]), Note, &["CPUs 1,3 are hardware threads", "one of each pair"]);
        expect(&findings(&[0, 1]), Note, &["CPUs 2-3 are on the same cores", "nosmt"]);
        let alone = fake().with(ONLINE, "0-1\n");
        assert_eq!(check(&alone.machine(), &on_cpus(&[0, 1])).len(), 3);
    }

    #[test]
    fn a_governor_that_saves_power_is_noted() {
        let fake = with_governor(with_governor(four(), 1, "performance\n"), 3, "powersave\n");
        let words = ["CPU 3 is run by", "powersave", "cpupower"];
        expect(&check(&fake.machine(), &nothing()), Note, &words);
        expect(&check(&fake.machine(), &on_cpus(&[1])), Good, &["governor is performance"]);
        expect(&check(&four().machine(), &nothing()), Good, &["does not scale frequencies"]);
    }
}
