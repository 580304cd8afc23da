//! What a queue pair counts.
//!
//! | word | written by | read by |
//! |---|---|---|
//! | all of [`Counters`] | the thread that polls the queue pair | any |

use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one queue pair.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) rx_frames: Count,
    pub(super) rx_bytes: Count,
    pub(super) rx_no_frame: Count,
    pub(super) rx_bad_header: Count,
    pub(super) rx_runt: Count,
    pub(super) tx_frames: Count,
    pub(super) tx_bytes: Count,
    pub(super) tx_bad_request: Count,
    pub(super) tx_refused: Count,
    pub(super) tx_link_down: Count,
}

/// A number that one thread counts up.
#[derive(Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(super) fn add(&self, more: usize) {
        // One writer: no need for a locked addition.
        self.0.store(self.read() + more as u64, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a tap has counted since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Statistics {
    /// Frames received.
    pub rx_frames: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Dropped by the kernel: it had frames for us, and its queue was full (or the interface down).
    pub rx_missed: u64,
    /// Times that a frame may have waited and the pool had none to take it. The frame goes on waiting in the kernel.
    pub rx_no_frame: u64,
    /// Dropped: the header before the frame says what was not asked for, or does not fit the frame.
    pub rx_bad_header: u64,
    /// Dropped: shorter than the headers.
    pub rx_runt: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Dropped: larger than the MTU, or what it asks for does not fit it.
    pub tx_bad_request: u64,
    /// Dropped: the kernel would not have it.
    pub tx_refused: u64,
    /// Dropped: the kernel's end was down, or gone.
    pub tx_link_down: u64,
}

impl Statistics {
    pub(super) fn add(&mut self, queue: &Counters) {
        self.rx_frames += queue.rx_frames.read();
        self.rx_bytes += queue.rx_bytes.read();
        self.rx_no_frame += queue.rx_no_frame.read();
        self.rx_bad_header += queue.rx_bad_header.read();
        self.rx_runt += queue.rx_runt.read();
        self.tx_frames += queue.tx_frames.read();
        self.tx_bytes += queue.tx_bytes.read();
        self.tx_bad_request += queue.tx_bad_request.read();
        self.tx_refused += queue.tx_refused.read();
        self.tx_link_down += queue.tx_link_down.read();
    }
}
