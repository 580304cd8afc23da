//! DPDK itself: that it starts, how, and with which drivers.

use pmd::dpdk::{Eal, drivers};

use super::clock;
use super::finding::{Finding, Need};
use crate::device;
use crate::settings::Settings;

/// Starts EAL as the other commands do, or says what is in the way.
pub(super) fn check(settings: &Settings) -> (Vec<Finding>, Option<Eal>) {
    match device::start_eal(settings.huge_pages, [&settings.device]) {
        Ok(eal) => {
            let started = Finding::good(format!("EAL starts: {eal}"));
            let rate = clock::calibration(eal.tsc_rate());
            (vec![started, inside(&drivers()), rate], Some(eal))
        }
        Err(failure) => {
            let remedy = "see the message; DPDK_LOG=debug shows all that EAL says";
            let failed = Finding::missing(Need::Asked, failure.message(), remedy);
            (vec![failed, inside(&drivers())], None)
        }
    }
}

/// A program that was linked wrongly has no drivers, and no other sign of it.
fn inside(drivers: &[String]) -> Finding {
    if drivers.is_empty() {
        return Finding::missing(
            Need::Asked,
            "this program has no driver at all",
            "build it as the README says; with DPDK_LINK=dynamic, install DPDK's plug-ins (Debian: librte-net*)",
        );
    }
    Finding::good(format!("the drivers in this program: {}", drivers.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::fake::expect;
    use super::super::finding::Grade::{Good, Problem};
    use super::*;

    #[test]
    fn a_program_without_drivers_is_a_problem() {
        expect(&[inside(&[])], Problem, &["no driver at all", "README"]);
        expect(&[inside(&["ring".to_owned(), "tap".to_owned()])], Good, &["ring, tap"]);
    }
}
