//! Real time, as everything that runs in it reads it: protocol threads, and applications on threads of their own.

use crate::time::Instant;

/// Nanoseconds since the stack began, by the CPU's time-stamp counter where that is invariant: a protocol thread asks in each turn, and asking the
/// kernel's page takes twice as long. Copies tell the same time.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    clock: quanta::Clock,
    epoch: u64,
}

impl Clock {
    /// Begins at zero. The first one of a process takes a millisecond, or up to 200 on a noisy machine, to learn how fast the counter counts.
    pub(crate) fn start() -> Self {
        let clock = quanta::Clock::new();
        let epoch = clock.raw();
        Self { clock, epoch }
    }

    pub(crate) fn now(&self) -> Instant {
        Instant::from_nanos(self.clock.delta_as_nanos(self.epoch, self.clock.raw()))
    }

    /// What the counter says, from wherever it began.
    #[cfg(feature = "cycles")]
    pub(crate) fn ticks(&self) -> u64 {
        self.clock.raw()
    }

    /// How long so many of its ticks last.
    #[cfg(feature = "cycles")]
    pub(crate) fn span(&self, ticks: u64) -> std::time::Duration {
        std::time::Duration::from_nanos(self.clock.delta_as_nanos(0, ticks))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_goes_on_as_the_kernels_clock_does() {
        let (clock, kernel) = (Clock::start(), std::time::Instant::now());
        std::thread::sleep(Duration::from_millis(20));
        let (before, ours, after) = (kernel.elapsed(), clock.now(), kernel.elapsed());
        let ours = ours.since(Instant::ZERO);
        // Between the two beginnings lies what happens to lie there.
        let tolerance = before / 100 + Duration::from_millis(1);
        assert!(
            ours + tolerance >= before && ours <= after + tolerance,
            "{before:?} {ours:?} {after:?}"
        );
        let (first, copied, last) = (clock.now(), clock.clone().now(), clock.now());
        assert!(first <= copied && copied <= last, "{first:?} {copied:?} {last:?}");
    }
}
