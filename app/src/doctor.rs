//! `darner doctor`: what is wrong with the machine, and what to do about it.
//!
//! Each topic is a file with a function that reads the kernel's files and judges what they say by what was [`Asked`].

mod cards;
mod clock;
mod cpus;
mod device;
mod dpdk;
#[cfg(test)]
mod fake;
mod finding;
mod kernel;
mod machine;
mod pages;
mod privileges;
mod report;
mod steering;

use std::io::{self, IsTerminal, Write};

use pmd::dpdk::{DeviceSpec, leave_signals_to_pollers};

use crate::cli::DoctorCommand;
use crate::config::Text;
use crate::failure::Failure;
use crate::settings::{HugePages, Settings};
use finding::{Grade, Section};
use machine::Machine;
use report::{Colour, Report};

/// What darner is to run with, as far as the machine matters. Without a device only the machine is looked at.
#[derive(Debug, Default)]
struct Asked {
    device: Option<DeviceSpec>,
    cores: Vec<usize>,
    huge_pages: HugePages,
    /// The file of this program.
    program: String,
}

/// Looks at everything and prints it; that something is in the way is a failure.
pub(crate) fn run(command: &DoctorCommand) -> Result<(), Failure> {
    leave_signals_to_pollers();
    let settings = Settings::load(&command.stack)?;
    let asked = Asked::of(&settings, command.stack.device.as_ref());
    let report = examine(&Machine::here(), &asked, &settings);
    let output = if command.json {
        report.json().map_err(Failure::failed)?
    } else {
        let plain = !io::stdout().is_terminal() || std::env::var_os("NO_COLOR").is_some();
        report.text(if plain { Colour::Plain } else { Colour::Ansi })
    };
    // Who stops reading has seen enough.
    let _ = io::stdout().write_all(output.as_bytes());
    match report.count(Grade::Problem) {
        0 => Ok(()),
        _ => Err(Failure::failed(report.summary())),
    }
}

fn examine(machine: &Machine, asked: &Asked, settings: &Settings) -> Report {
    let mut sections: Vec<Section> = [
        ("huge pages", pages::check(machine, asked)),
        ("capabilities", privileges::capabilities(machine, asked)),
        ("limits", privileges::limits(machine, asked)),
        ("kernel", kernel::check(machine, asked)),
        ("network cards", cards::check(machine, asked)),
        ("CPUs", cpus::check(machine, asked)),
        ("clock", clock::check(machine)),
    ]
    .map(|(topic, findings)| Section { topic, findings })
    .into();
    let (findings, eal) = dpdk::check(settings);
    sections.push(Section { topic: "DPDK", findings });
    let mut facts = None;
    if asked.device.is_some() && (eal.is_some() || !settings.device.needs_eal()) {
        let (findings, device) = device::check(settings);
        sections.push(Section { topic: "device", findings });
        facts = device;
    }
    Report { sections, device: facts }
}

impl Asked {
    fn of(settings: &Settings, device: Option<&DeviceSpec>) -> Self {
        let in_file = settings.file.device.as_ref().map(|Text(device)| device);
        let program = std::env::current_exe().map(|path| path.display().to_string());
        Self {
            device: device.or(in_file).cloned(),
            cores: settings.stack.cores.clone(),
            huge_pages: settings.huge_pages,
            program: program.unwrap_or_else(|_| "PROGRAM".to_owned()),
        }
    }

    /// The address of the NIC.
    fn pci(&self) -> Option<&str> {
        match &self.device {
            Some(DeviceSpec::Pci { address }) => Some(address),
            _ => None,
        }
    }
}
