//! What a server says at its end.

use std::collections::BTreeMap;

use darner::Snapshot;
use serde::Serialize;

use super::application::Totals;

/// One JSON object.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    totals: Totals,
    /// Those that are not zero.
    counters: BTreeMap<&'static str, u64>,
    drops: BTreeMap<&'static str, u64>,
    /// Memory in use, in KiB: when it was ready, and at the end.
    resident_at_start_kib: u64,
    resident_at_end_kib: u64,
}

impl Summary {
    pub(super) fn new(totals: &Totals, snapshot: &Snapshot, (start, end): (u64, u64)) -> Self {
        let counters = snapshot.counters.iter().map(|(counter, count)| (counter.name(), *count));
        let drops = snapshot.drops.iter().map(|(drop, count)| (drop.name(), *count));
        Self {
            totals: *totals,
            counters: counters.filter(|(_, count)| *count > 0).collect(),
            drops: drops.filter(|(_, count)| *count > 0).collect(),
            resident_at_start_kib: start,
            resident_at_end_kib: end,
        }
    }
}

/// The memory that this process has in use.
pub(super) fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    resident_in(&status).unwrap_or(0)
}

/// The same from what `/proc/PID/status` says.
pub(crate) fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_much_memory_is_in_use() {
        assert_eq!(resident_in("Name:\tx\nVmRSS:\t  1234 kB\nVmData:\t 9 kB\n"), Some(1234));
        assert!(resident_kib() > 100);
    }
}
