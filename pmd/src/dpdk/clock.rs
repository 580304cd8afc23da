//! The CPU's time stamp counter (TSC), as DPDK takes it to run and as it does.

use std::thread;
use std::time::{Duration, Instant};

use super::Eal;

/// How fast the counter runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct TscRate {
    /// As DPDK believes, which has rounded it.
    pub assumed_hz: u64,
    /// Against `CLOCK_MONOTONIC`.
    pub measured_hz: u64,
}

impl Eal {
    /// Measures for a twentieth of a second, which is good for a millionth.
    pub fn tsc_rate(self) -> TscRate {
        let (first, begin) = reading();
        thread::sleep(Duration::from_millis(50));
        let (last, end) = reading();
        let nanos = end.duration_since(begin).as_nanos().max(1);
        let measured = u128::from(last.wrapping_sub(first)) * 1_000_000_000 / nanos;
        TscRate {
            // SAFETY: a plain query; EAL runs, as there is an `Eal`.
            assumed_hz: unsafe { dpdk_sys::rte_get_tsc_hz() },
            measured_hz: u64::try_from(measured).unwrap_or(u64::MAX),
        }
    }
}

/// The counter and the clock at the same time: of some tries the one that took least.
fn reading() -> (u64, Instant) {
    let attempt = || {
        // SAFETY: the counter can be read at any time.
        let before = unsafe { dpdk_sys::pmd_tsc() };
        let clock = Instant::now();
        // SAFETY: as above.
        let after = unsafe { dpdk_sys::pmd_tsc() };
        (after.wrapping_sub(before), (before, clock))
    };
    let attempts = std::iter::repeat_with(attempt).take(TRIES);
    attempts
        .min_by_key(|&(took, _)| took)
        .map_or_else(|| (0, Instant::now()), |(_, reading)| reading)
}

const TRIES: usize = 16;
