//! What a server says at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use darner::Snapshot;
use darner::counters::Counter;
use serde::{Deserialize, Serialize};

use super::application::Totals;

/// One JSON object.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    totals: Totals,
    /// Those that are not zero.
    counters: BTreeMap<&'static str, u64>,
    drops: BTreeMap<&'static str, u64>,
    resident_kib: Memory,
    /// TIME-WAIT lasts so long, if nothing recycles it.
    time_wait_seconds: u64,
    #[cfg(feature = "cycles")]
    account: Option<super::cycles::Account>,
}

/// Memory in use, in KiB.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Memory {
    /// When the server was ready.
    pub(crate) start: u64,
    /// When TIME-WAIT had come to its limit, if that was watched and came to pass.
    pub(crate) time_wait_full: Option<u64>,
    pub(crate) end: u64,
}

/// How many ends of TIME-WAIT came early, for room.
pub(crate) fn recycled(snapshot: &Snapshot) -> u64 {
    let is_it = |(counter, _): &&(Counter, u64)| *counter == Counter::TcpTimeWaitRecycled;
    snapshot.counters.iter().find(is_it).map_or(0, |(_, count)| *count)
}

impl Summary {
    pub(super) fn new(
        totals: &Totals,
        snapshot: &Snapshot,
        memory: Memory,
        time_wait: Duration,
    ) -> Self {
        let counters = snapshot.counters.iter().map(|(counter, count)| (counter.name(), *count));
        let drops = snapshot.drops.iter().map(|(drop, count)| (drop.name(), *count));
        Self {
            totals: *totals,
            counters: counters.filter(|(_, count)| *count > 0).collect(),
            drops: drops.filter(|(_, count)| *count > 0).collect(),
            resident_kib: memory,
            time_wait_seconds: time_wait.as_secs(),
            #[cfg(feature = "cycles")]
            account: None,
        }
    }

    /// Adds where the time went, and tells it on standard error.
    #[cfg(feature = "cycles")]
    pub(super) fn with_account(self, account: Option<super::cycles::Account>) -> Self {
        if let Some(account) = &account {
            eprint!("{}", account.table());
        }
        Self { account, ..self }
    }
}

/// The memory that this process has in use.
pub(crate) fn resident_kib() -> u64 {
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
