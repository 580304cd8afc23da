//! One queue of a tap: bursts by `readv` and `writev`.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::counters::Counters;
use super::{Offload, virtio};
use crate::{Burst, ChecksumStatus, Frame, QueueInfo, QueuePair, RxOffload};

/// One receive queue and one transmit queue of a tap.
pub(super) struct TapQueue {
    file: Arc<File>,
    info: QueueInfo,
    shape: Shape,
    /// Segments for the next frame, of which it takes as many as it needs.
    ready: ArrayVec<Frame, MOST_SEGMENTS>,
    counters: Arc<Counters>,
    state: State,
}

/// How frames are held.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Bytes in a segment.
    pub(super) room: usize,
    /// Segments that hold the largest frame that may come.
    pub(super) segments: usize,
}

/// Whether the interface is still there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Open,
    /// Somebody has deleted it: the descriptor would tell for ever that there is something to know.
    Deleted,
}

impl Shape {
    pub(super) fn of(offload: Offload, mtu: u16) -> Self {
        match offload {
            Offload::Full => Self { room: LARGE_ROOM, segments: MOST_SEGMENTS },
            Offload::None => {
                let frame = usize::from(mtu) + LINK_HEADERS;
                let room = frame.next_multiple_of(64).clamp(LEAST_ROOM, LARGE_ROOM);
                Self { room, segments: frame.div_ceil(room) }
            }
        }
    }
}

impl QueuePair for TapQueue {
    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let (before, mut bytes) = (burst.len(), 0);
        for _ in 0..burst.room() {
            match self.receive() {
                Received::Frame(frame) => {
                    bytes += frame.len();
                    burst.push(frame).expect("no more than there is room for");
                }
                Received::Dropped => {}
                Received::Nothing => break,
            }
            if bytes >= BYTES_AT_ONCE {
                break;
            }
        }
        let count = burst.len() - before;
        if count > 0 {
            self.counters.rx_frames.add(count);
            self.counters.rx_bytes.add(bytes);
        }
        count
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        let done = burst.iter().take_while(|frame| self.send(frame).is_done()).count();
        burst.free_front(done);
        done
    }

    fn info(&self) -> &QueueInfo {
        &self.info
    }

    fn wait_descriptor(&self) -> Option<BorrowedFd<'_>> {
        (self.state == State::Open).then(|| self.file.as_fd())
    }
}

enum Received {
    Frame(Frame),
    Dropped,
    Nothing,
}

/// What became of a frame to be sent.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Sent {
    /// It is the kernel's, or lost and counted.
    Done,
    /// The kernel has no room just now.
    Full,
}

impl Sent {
    fn is_done(self) -> bool {
        self == Self::Done
    }
}

impl TapQueue {
    pub(super) fn new(
        file: Arc<File>,
        info: QueueInfo,
        shape: Shape,
        counters: Arc<Counters>,
    ) -> Self {
        Self { file, info, shape, ready: ArrayVec::new(), counters, state: State::Open }
    }

    fn receive(&mut self) -> Received {
        if !self.make_ready() {
            self.counters.rx_no_frame.add(1);
            return Received::Nothing;
        }
        let mut header = [0; virtio::LEN];
        let Some(len) = self.read(&mut header) else { return Received::Nothing };
        let Some(frame_len) = len.checked_sub(virtio::LEN).filter(|&len| len >= LEAST_FRAME) else {
            self.counters.rx_runt.add(1);
            return Received::Dropped;
        };
        match virtio::read(&header, frame_len) {
            Ok(l4) => Received::Frame(self.take(frame_len, l4)),
            Err(virtio::BadHeader) => {
                self.counters.rx_bad_header.add(1);
                Received::Dropped
            }
        }
    }

    /// Has segments ready for the largest frame. False while the pool has too few.
    fn make_ready(&mut self) -> bool {
        while self.ready.len() < self.shape.segments {
            let fresh = self.info.pool.alloc();
            let Some(mut segment) = fresh.filter(|segment| segment.tailroom() >= self.shape.room)
            else {
                return false;
            };
            let _filled_later = segment.append(self.shape.room);
            self.ready.push(segment);
        }
        true
    }

    /// Reads a frame into the segments that are ready; returns how many bytes came, the header's included.
    fn read(&mut self, header: &mut [u8; virtio::LEN]) -> Option<usize> {
        let mut places: ArrayVec<IoSliceMut<'_>, { MOST_SEGMENTS + 1 }> = ArrayVec::new();
        places.push(IoSliceMut::new(header));
        places.extend(self.ready.iter_mut().map(|segment| IoSliceMut::new(segment.head_mut())));
        loop {
            match (&*self.file).read_vectored(&mut places) {
                Ok(len) => return Some(len),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.raw_os_error() == Some(libc::EBADFD) {
                        self.state = State::Deleted;
                    }
                    return None;
                }
            }
        }
    }

    /// Makes a chain of as many segments as a frame of `len` bytes fills.
    fn take(&mut self, len: usize, l4: ChecksumStatus) -> Frame {
        let count = len.div_ceil(self.shape.room).clamp(1, self.ready.len());
        let last_len = len - (count - 1) * self.shape.room;
        // From the back, so that each is put before a chain whose end nobody has to look for.
        let mut segments = self.ready.drain(..count).rev();
        let mut frame = segments.next().expect("at least one is ready");
        frame.truncate(last_len);
        for mut segment in segments {
            segment.chain(frame);
            frame = segment;
        }
        frame.set_rx_offload(RxOffload { ip: ChecksumStatus::Unknown, l4, rss_hash: None });
        frame
    }

    fn send(&self, frame: &Frame) -> Sent {
        let Some(header) = virtio::write(frame).ok().filter(|_| self.fits(frame)) else {
            self.counters.tx_bad_request.add(1);
            return Sent::Done;
        };
        if frame.segment_count() <= MOST_SEGMENTS {
            return self.write(&header, frame);
        }
        // The slow path: a chain of many small segments.
        match self.info.pool.copy_of(frame) {
            Some(copy) => self.write(&header, &copy),
            None => Sent::Full,
        }
    }

    /// What is to be cut need not fit the MTU, but its segments must.
    fn fits(&self, frame: &Frame) -> bool {
        let (mtu, largest) = (self.info.mtu, self.info.tx_offload.tcp_segmentation);
        let most = match frame.requested_segmentation() {
            Some(wanted) if wanted.packet_len() > usize::from(mtu) => return false,
            Some(_) => largest,
            None => mtu,
        };
        frame.len() <= usize::from(most) + LINK_HEADERS
    }

    fn write(&self, header: &[u8; virtio::LEN], frame: &Frame) -> Sent {
        let mut pieces: ArrayVec<IoSlice<'_>, { MOST_SEGMENTS + 1 }> = ArrayVec::new();
        pieces.push(IoSlice::new(header));
        pieces.extend(frame.segments().take(MOST_SEGMENTS).map(IoSlice::new));
        loop {
            let Err(error) = (&*self.file).write_vectored(&pieces) else {
                self.counters.tx_frames.add(1);
                self.counters.tx_bytes.add(frame.len());
                return Sent::Done;
            };
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => return Sent::Full,
                // As on a wire without carrier, what is sent then is lost.
                Some(libc::EIO | libc::EBADFD) => {
                    self.counters.tx_link_down.add(1);
                    return Sent::Done;
                }
                _ => {
                    self.counters.tx_refused.add(1);
                    return Sent::Done;
                }
            }
        }
    }
}

/// Ethernet's header and one VLAN tag.
const LINK_HEADERS: usize = 14 + 4;

/// The shortest frame that has a header.
const LEAST_FRAME: usize = 14;

/// Bytes of a segment where large frames come: few segments for those, and not too much for small ones.
const LARGE_ROOM: usize = 4096;

/// What holds an ordinary packet.
const LEAST_ROOM: usize = 2048;

/// Segments of the largest frame, an IP packet of 65,535 bytes.
const MOST_SEGMENTS: usize = (65_535 + LINK_HEADERS).div_ceil(LARGE_ROOM);

/// What a burst takes of the caches: beyond so many bytes the next burst takes the rest.
const BYTES_AT_ONCE: usize = 128 << 10;

#[cfg(test)]
mod tests;
