//! Records what passes a queue pair, in both directions, to a file that wireshark and tcpdump read.
//!
//! The format is the classic one with nanoseconds (`LINKTYPE_ETHERNET` or, for devices without a link layer,
//! `LINKTYPE_RAW`). A thread of its own writes it: the data path copies packets into buffers that are bounded in number
//! and size, never waits for the disk, and when all buffers are full passes packets on unrecorded and counts them. Errors
//! of the disk end the recording, not the traffic, and are told when it is finished.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use pmd::{Burst, Pool, QueuePair, mem, pcap};
//!
//! # let folder = std::env::temp_dir();
//! # let path = folder.join(format!("pmd-doc-{}.pcap", std::process::id()));
//! let (queue, handle) = mem::device(Pool::heap(64, 2048), 1500);
//! let file = std::fs::File::create(&path)?;
//! let wall_clock = || SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
//! let (mut queue, recording) =
//!     pcap::record(Box::new(queue), file, pcap::Options::default(), wall_clock)?;
//!
//! handle.inject_bytes(b"an IP packet").unwrap();
//! queue.rx_burst(&mut Burst::new());
//!
//! drop(queue);
//! assert_eq!(recording.finish()?, pcap::Summary { recorded: 1, unrecorded: 0 });
//! # std::fs::remove_file(&path)?;
//! # std::io::Result::Ok(())
//! ```
//!
//! In a simulation the clock is the simulation's: `let clock = sim.clock();` and
//! `move || Duration::from_nanos(clock())`.

mod format;
mod writer;

use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::{Burst, QueueInfo, QueuePair};
use writer::Tap;
pub use writer::{Recording, Summary};

/// Begins to record `queue` to `sink`, and returns it with the recording in between.
///
/// `clock` tells the time since 1970-01-01 UTC (or since any other start, for virtual time); it is read once per burst.
/// `sink` is written in large pieces by a thread of its own and needs no buffer. Frames are recorded as the device
/// takes or gives them: a checksum that the device is asked to fill in is not filled in yet, and a packet that it is asked to
/// cut is one record, as wireshark shows it of kernels that leave cutting to their NICs.
///
/// # Errors
///
/// When the head of the file cannot be written, or no thread can be started.
pub fn record(
    queue: Box<dyn QueuePair + Send>,
    sink: impl Write + Send + 'static,
    options: Options,
    clock: impl FnMut() -> Duration + Send + 'static,
) -> io::Result<(Recorder, Recording)> {
    let snap_len = options.snap_len;
    let head = format::file_header(queue.info().medium, snap_len);
    let (tap, recording) = writer::start(sink, &head, options.memory)?;
    let (clock, outgoing) = (Box::new(clock), Vec::new());
    Ok((Recorder { queue, snap_len, clock, tap, outgoing }, recording))
}

/// How to record.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Most bytes of each packet that are kept; by default 65,535, which is all but of the very largest.
    pub snap_len: u16,
    /// Bytes of packets that may wait to be written, by default 8 MiB. Counts in steps of 256 KiB, and from two of them.
    pub memory: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { snap_len: u16::MAX, memory: 8 << 20 }
    }
}

/// A queue pair that is recorded.
pub struct Recorder {
    queue: Box<dyn QueuePair + Send>,
    snap_len: u16,
    clock: Box<dyn FnMut() -> Duration + Send>,
    tap: Tap,
    /// Records of a burst that is being transmitted, with the length of each: which of them the device accepts is known
    /// only afterwards, when it has taken the frames.
    outgoing: Vec<u8>,
}

impl QueuePair for Recorder {
    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let before = burst.len();
        let count = self.queue.rx_burst(burst);
        if count > 0 {
            let now = (self.clock)();
            for frame in burst.iter().skip(before) {
                self.tap.record(format::record_len(frame, self.snap_len), |buffer| {
                    format::append_record(buffer, now, frame, self.snap_len);
                });
            }
        }
        self.tap.hand_over();
        count
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        if burst.is_empty() {
            return 0;
        }
        let now = (self.clock)();
        let mut lengths = [0; Burst::CAPACITY];
        self.outgoing.clear();
        for (frame, len) in burst.iter().zip(&mut lengths) {
            *len = format::record_len(frame, self.snap_len);
            format::append_record(&mut self.outgoing, now, frame, self.snap_len);
        }
        let count = self.queue.tx_burst(burst);
        let mut records = self.outgoing.as_slice();
        for &len in lengths.iter().take(count) {
            let (record, later) = records.split_at(len);
            self.tap.record(len, |buffer| buffer.extend_from_slice(record));
            records = later;
        }
        self.tap.hand_over();
        count
    }

    fn info(&self) -> &QueueInfo {
        self.queue.info()
    }

    fn wait_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.queue.wait_descriptor()
    }
}

#[cfg(test)]
mod tests;
