//! `hugepages.sh`: real huge pages, and PCI cards on fake machines.
//!
//! Cards cannot be taken away from the machine that runs the tests. The script then works on a [`machine::Machine`]: a folder that
//! looks like `/sys` and `/proc`, where `fake/kernel` answers what is written as the kernel would. The script's own way is the
//! same on both.

mod cards;
mod machine;
mod pages;
mod real;

use std::process::{Command, Output};

use crate::machine::Machine;

/// What a run of the script gave.
#[derive(Debug)]
struct Outcome {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Outcome {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the script speaks UTF-8");
        Self { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The steps that were printed, in order.
    fn steps(&self) -> Vec<&str> {
        self.out.lines().filter_map(|line| line.strip_prefix("+ ")).collect()
    }

    #[track_caller]
    fn succeeds_saying(&self, what: &[&str]) {
        assert_eq!(self.status, Some(0), "{self:?}");
        for what in what {
            assert!(self.out.contains(what), "{what:?} in {self:?}");
        }
    }

    #[track_caller]
    fn fails_saying(&self, what: &[&str]) {
        assert_eq!(self.status, Some(1), "{self:?}");
        for what in what {
            assert!(self.err.contains(what), "{what:?} in {self:?}");
        }
    }
}

/// The script with the words of `line`.
fn script(line: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg("hugepages.sh").args(line.split_whitespace());
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    command
}

#[test]
fn wrong_use_is_told_and_has_status_2() {
    // Not this machine: a script that forgot to refuse would go on to act.
    let machine = Machine::new();
    for (line, says) in [
        ("", "what to do is missing"),
        ("reserv 8", "there is no command reserv"),
        ("reserve", "reserve needs a number of pages"),
        ("reserve eight", "reserve needs a number of pages, or an amount"),
        ("reserve 0", "not 0"),
        ("reserve 08", "not 08"),
        ("reserve 8 9", "reserve has no argument 9"),
        ("reserve 8 --size 4K", "--size is 2M or 1G, not 4K"),
        ("reserve 8 --size", "--size needs a value"),
        ("reserve 8 --node x", "--node is the number of a NUMA node, not x"),
        ("reserve 8 --driver vfio-pci", "reserve has no option --driver"),
        ("show all", "show has no argument all"),
        ("show --force", "show has no option --force"),
        ("release 8", "release has no argument 8"),
        ("bind", "bind needs a PCI address or an interface"),
        ("bind eth1 --driver e1000", "--driver is vfio-pci or uio_pci_generic, not e1000"),
        ("unbind", "unbind needs a PCI address"),
        ("unbind 0000:03:00.0 --force", "unbind has no option --force"),
        ("show --quiet", "there is no option --quiet"),
    ] {
        let outcome = machine.run(line);
        assert_eq!(outcome.status, Some(2), "{line}: {outcome:?}");
        assert!(outcome.err.contains(says), "{line}: {outcome:?}");
        assert!(outcome.err.contains("see hugepages.sh --help"), "{line}: {outcome:?}");
    }
}

#[test]
fn help_names_every_command_and_what_tests_may_replace() {
    for line in ["--help", "reserve --help", "-h"] {
        Machine::new().run(line).succeeds_saying(&[
            "reserve N",
            "show",
            "release",
            "bind PCI|INTERFACE",
            "unbind PCI",
            "--dry-run",
            "HUGEPAGES_SYSFS",
            "HUGEPAGES_PROC",
        ]);
    }
}
