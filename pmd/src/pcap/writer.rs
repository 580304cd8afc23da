//! Buffers between the thread that sees packets and the one that writes them.
//!
//! A fixed number of buffers go round: the tap fills one and puts it into `filled`, the writer writes it and puts it into
//! `idle`. Both queues have room for all of them, so neither side ever waits for the other; the tap that finds none idle
//! lets packets go by.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};

use crossbeam_queue::ArrayQueue;

/// Starts the thread that writes `head`, then records, to `sink`.
pub(super) fn start(
    mut sink: impl Write + Send + 'static,
    head: &[u8],
    memory: usize,
) -> io::Result<(Tap, Recording)> {
    sink.write_all(head)?;
    let buffers = (memory / BUFFER_LEN).max(2);
    let shared = Arc::new(Shared {
        filled: ArrayQueue::new(buffers),
        idle: ArrayQueue::new(buffers),
        stopped: AtomicBool::new(false),
        unrecorded: AtomicU64::new(0),
    });
    let writer_shared = shared.clone();
    let writer = thread::Builder::new()
        .name("pcap".to_owned())
        .spawn(move || write_until_stopped(&writer_shared, sink))?;
    let tap = Tap {
        shared: shared.clone(),
        writer: writer.thread().clone(),
        current: Buffer::default(),
        unmade: buffers - 1,
    };
    Ok((tap, Recording { shared, writer: Some(writer) }))
}

struct Shared {
    filled: ArrayQueue<Buffer>,
    idle: ArrayQueue<Buffer>,
    /// Set once, by the recording's end: the tap records no more, and the writer ends when `filled` is empty.
    stopped: AtomicBool,
    /// Written by the tap alone.
    unrecorded: AtomicU64,
}

/// Whole records.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    records: u64,
}

/// Where packets go in.
pub(super) struct Tap {
    shared: Arc<Shared>,
    writer: Thread,
    current: Buffer,
    /// Buffers that were never needed yet.
    unmade: usize,
}

impl Tap {
    /// Lets `append` add a record of `len` bytes to a buffer, or counts it as unrecorded.
    pub(super) fn record(&mut self, len: usize, append: impl FnOnce(&mut Vec<u8>)) {
        if self.shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        if self.current.bytes.len() + len > BUFFER_LEN && !self.change_buffer() {
            self.shared.unrecorded.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.current.bytes.capacity() == 0 {
            self.current.bytes.reserve_exact(BUFFER_LEN);
        }
        append(&mut self.current.bytes);
        self.current.records += 1;
    }

    /// Gives the writer what there is, if it has nothing else to do.
    pub(super) fn hand_over(&mut self) {
        if self.current.records > 0 && self.shared.filled.is_empty() {
            self.change_buffer();
        }
    }

    /// Swaps the current buffer for an empty one. False if there is none.
    fn change_buffer(&mut self) -> bool {
        let empty = match self.shared.idle.pop() {
            Some(idle) => idle,
            None if self.unmade > 0 => {
                self.unmade -= 1;
                Buffer::default()
            }
            None => return false,
        };
        self.give(empty);
        true
    }

    fn give(&mut self, empty: Buffer) {
        let full = std::mem::replace(&mut self.current, empty);
        let queued = self.shared.filled.push(full);
        debug_assert!(queued.is_ok(), "the queue has room for every buffer");
        self.writer.unpark();
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if self.current.records > 0 {
            self.give(Buffer::default());
        }
    }
}

fn write_until_stopped(shared: &Shared, mut sink: impl Write) -> io::Result<u64> {
    let mut recorded = 0;
    let mut result = Ok(());
    loop {
        while let Some(mut buffer) = shared.filled.pop() {
            if result.is_ok() {
                result = sink.write_all(&buffer.bytes);
                recorded += buffer.records;
            }
            buffer.bytes.clear();
            buffer.records = 0;
            let queued = shared.idle.push(buffer);
            debug_assert!(queued.is_ok(), "the queue has room for every buffer");
        }
        // Only now: a sink that parks by itself may have taken a wake-up for its own, so both the queue and the stop
        // are looked at after the last writing.
        if !shared.stopped.load(Ordering::Acquire) {
            thread::park();
        } else if shared.filled.is_empty() {
            return result.and_then(|()| sink.flush()).map(|()| recorded);
        }
    }
}

/// A recording that goes on. Dropping it ends it, and hides what went wrong.
pub struct Recording {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<io::Result<u64>>>,
}

impl Recording {
    /// Ends the recording: writes what the queue pair has handed over, and waits until that is done.
    ///
    /// Drop the [`Recorder`](super::Recorder) first. One that still lives passes packets on unrecorded from now on, and
    /// the last packets that it has not handed over yet are missing.
    ///
    /// # Errors
    ///
    /// The first error of the sink. What was recorded before it is in the file.
    pub fn finish(mut self) -> io::Result<Summary> {
        let recorded = self.stop()?;
        Ok(Summary { recorded, unrecorded: self.shared.unrecorded.load(Ordering::Relaxed) })
    }

    fn stop(&mut self) -> io::Result<u64> {
        let Some(writer) = self.writer.take() else { return Ok(0) };
        self.shared.stopped.store(true, Ordering::Release);
        writer.thread().unpark();
        writer.join().unwrap_or_else(|_| Err(io::Error::other("the thread that records panicked")))
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Nobody is left to be told.
        let _ = self.stop();
    }
}

/// What a recording holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Summary {
    /// Packets in the file.
    pub recorded: u64,
    /// Packets that went by unrecorded, because the sink was too slow.
    pub unrecorded: u64,
}

/// Longer than any record.
const BUFFER_LEN: usize = 256 << 10;
