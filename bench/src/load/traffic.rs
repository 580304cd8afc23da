//! What a generator does with its port, one turn at a time.

use hdrhistogram::Histogram;

use super::counts::Counts;
use super::port::Port;

/// One kind of traffic.
pub(crate) trait Traffic {
    /// Receives, answers, and sends what is due at `now`, in nanoseconds from the start.
    fn turn(&mut self, port: &mut Port, now: u64);

    /// Whether all is set up, so that the warm-up can begin.
    fn is_ready(&self) -> bool;

    /// The warm-up begins.
    fn begin(&mut self, now: u64) {
        let _ = now;
    }

    fn counts(&self) -> Counts;

    fn latencies(&mut self) -> &mut Histogram<u64>;
}
