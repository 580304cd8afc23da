//! What else the machine did meanwhile.

use std::fs;
use std::time::Instant;

/// CPU time until some moment, in ticks.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    at: Instant,
    /// Of everybody on all CPUs; of the processes that are ours.
    busy: u64,
    ours: u64,
}

/// Ticks of a second, as /proc counts on every architecture that Linux has left.
const TICKS: f64 = 100.0;
/// What others may use of a core in a window that counts.
pub(crate) const DISTURBED: f64 = 0.08;

impl Sample {
    /// Just now; `processes` are ours, and so is this one.
    pub(crate) fn take(processes: &[u32]) -> Self {
        let read = |path: String| fs::read_to_string(path).unwrap_or_default();
        let own = std::process::id();
        let of = |id: &u32| used(&read(format!("/proc/{id}/stat"))).unwrap_or(0);
        let ours = processes.iter().chain([&own]).map(of).sum();
        Self { at: Instant::now(), busy: busy(&read("/proc/stat".to_owned())).unwrap_or(0), ours }
    }

    /// How many cores others have used since `earlier`.
    pub(crate) fn others_since(&self, earlier: &Self) -> f64 {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        let all = self.busy.saturating_sub(earlier.busy);
        let others = all.saturating_sub(self.ours.saturating_sub(earlier.ours));
        share(others, seconds)
    }
}

fn share(ticks: u64, seconds: f64) -> f64 {
    ticks as f64 / TICKS / seconds.max(1e-3)
}

/// Ticks of all CPUs in which somebody ran, from `/proc/stat`: all but idle, waiting for a disk, and what guests are counted twice with.
fn busy(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let [user, nice, system, _idle, _wait, interrupts, soft, stolen, ..] = fields[..] else {
        return None;
    };
    Some(user + nice + system + interrupts + soft + stolen)
}

/// Ticks that a process has used, from `/proc/PID/stat`.
fn used(stat: &str) -> Option<u64> {
    // The program's name may have spaces and brackets.
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_and_guests_are_not_counted() {
        assert_eq!(busy("cpu  100 20 30 9999 888 4 5 6 77 0\ncpu0 1 1 1 1\n"), Some(165));
        assert_eq!(busy("intr 1\n"), None);
    }

    #[test]
    fn a_process_may_be_called_anything() {
        let stat = "12 (a) b) c) R 1 12 12 0 -1 4194304 1 0 0 0 70 30 0 0 20 0 1 0 5 6 7";
        assert_eq!(used(stat), Some(100));
    }

    #[test]
    fn what_others_used_is_what_is_left() {
        let at = Instant::now();
        let before = Sample { at, busy: 1000, ours: 500 };
        let after = Sample { at: at + std::time::Duration::from_secs(2), busy: 1416, ours: 900 };
        assert!((after.others_since(&before) - 0.08).abs() < 1e-9);
        let backwards = Sample { ours: 2000, ..after };
        assert!(backwards.others_since(&before).abs() < 1e-9);
    }
}
