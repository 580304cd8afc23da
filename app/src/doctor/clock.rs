//! Time: the CPU's time stamp counter (TSC), and what the kernel makes of it.

use pmd::dpdk::TscRate;

use super::finding::Finding;
use super::machine::Machine;

pub(super) fn check(machine: &Machine) -> Vec<Finding> {
    vec![counter(machine), source(machine)]
}

/// Whether the counter runs at one speed, through changes of frequency and sleep.
fn counter(machine: &Machine) -> Finding {
    let Some(flags) = machine.field(CPUS, "flags") else {
        return Finding::unknown("the TSC", CPUS);
    };
    let missing: Vec<&str> = ["constant_tsc", "nonstop_tsc"]
        .into_iter()
        .filter(|wanted| flags.split(' ').all(|flag| flag != *wanted))
        .collect();
    if missing.is_empty() {
        return Finding::good("the TSC is invariant (constant_tsc, nonstop_tsc)");
    }
    Finding::note(
        format!("the TSC is not invariant: the CPU does not promise {}", missing.join(" and ")),
        "have the hypervisor pass it on (QEMU: -cpu host,migratable=off,+invtsc); darner itself keeps time by the kernel's clock",
    )
}

/// Protocol threads ask the kernel for the time once per turn: a system call each, unless the clock can be read without.
fn source(machine: &Machine) -> Finding {
    let Some(current) = machine.text(&format!("{CLOCK}/current_clocksource")) else {
        return Finding::unknown("the clock source", &format!("{CLOCK}/current_clocksource"));
    };
    if READ_WITHOUT_A_CALL.contains(&current.as_str()) {
        return Finding::good(format!("the clock source is {current}"));
    }
    let available = machine.text(&format!("{CLOCK}/available_clocksource")).unwrap_or_default();
    let remedy = if available.split(' ').any(|name| name == "tsc") {
        format!("echo tsc | sudo tee /{CLOCK}/current_clocksource")
    } else {
        "`dmesg | grep -i tsc` says why the kernel mistrusts the TSC; tsc=reliable on its command line overrules it".to_owned()
    };
    Finding::note(
        format!("the clock source is {current}: each look at the clock is a system call"),
        remedy,
    )
}

/// Whether DPDK knows how fast the counter runs.
pub(super) fn calibration(rate: TscRate) -> Finding {
    let TscRate { assumed_hz, measured_hz } = rate;
    let mhz = |hz: u64| format!("{}.{:03} MHz", hz / 1_000_000, hz / 1000 % 1000);
    let off = assumed_hz.abs_diff(measured_hz);
    if u128::from(off) * TOLERATED_PARTS <= u128::from(measured_hz) {
        return Finding::good(format!("the TSC runs at {}, as DPDK believes", mhz(measured_hz)));
    }
    let hundredths = u128::from(off) * 10_000 / u128::from(measured_hz.max(1));
    Finding::note(
        format!(
            "the TSC runs at {}, and DPDK believes {}: {}.{:02} % off",
            mhz(measured_hz),
            mhz(assumed_hz),
            hundredths / 100,
            hundredths % 100
        ),
        "calibrate against CLOCK_MONOTONIC where you use rte_get_tsc_hz; darner itself keeps time by the kernel's clock",
    )
}

/// Half a thousandth: more than a second in an hour.
const TOLERATED_PARTS: u128 = 2000;

/// Those that the vDSO knows.
const READ_WITHOUT_A_CALL: [&str; 5] =
    ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter", "tsc-early"];

const CPUS: &str = "proc/cpuinfo";
const CLOCK: &str = "sys/devices/system/clocksource/clocksource0";

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, expect};
    use super::super::finding::Grade::{Good, Note};
    use super::*;

    #[test]
    fn an_invariant_counter_is_good() {
        let findings = |flags: &str| {
            let text = format!("processor\t: 0\nflags\t\t: fpu {flags} sse\n");
            check(&Fake::new().with(CPUS, &text).machine())
        };
        expect(&findings("constant_tsc nonstop_tsc"), Good, &["the TSC is invariant"]);
        expect(&findings("constant_tsc"), Note, &["not promise nonstop_tsc", "invtsc"]);
        expect(&findings("tsc"), Note, &["constant_tsc and nonstop_tsc"]);
        expect(&check(&Fake::new().machine()), Note, &["the TSC: cannot tell"]);
    }

    #[test]
    fn a_clock_that_costs_a_system_call_is_noted() {
        let findings = |current: &str, available: &str| {
            let fake = Fake::new()
                .with(&format!("{CLOCK}/current_clocksource"), current)
                .with(&format!("{CLOCK}/available_clocksource"), available);
            check(&fake.machine())
        };
        expect(&findings("tsc\n", "tsc hpet \n"), Good, &["the clock source is tsc"]);
        expect(&findings("hpet\n", "tsc hpet \n"), Note, &["hpet", "tee /sys/devices/system"]);
        expect(&findings("hpet\n", "hpet acpi_pm \n"), Note, &["hpet", "dmesg", "tsc=reliable"]);
        expect(&check(&Fake::new().machine()), Note, &["the clock source: cannot tell"]);
    }

    #[test]
    fn a_wrong_calibration_is_told_in_hundredths_of_a_percent() {
        let finding = |assumed_hz, measured_hz| [calibration(TscRate { assumed_hz, measured_hz })];
        let wrong = finding(2_450_000_000, 2_445_400_000);
        expect(&wrong, Note, &["2445.400 MHz", "2450.000 MHz", "0.18 % off", "CLOCK_MONOTONIC"]);
        let right = finding(2_000_000_000, 2_001_000_000);
        expect(&right, Good, &["2001.000 MHz"]);
        expect(&finding(1, 0), Note, &["100.00 % off"]);
    }
}
