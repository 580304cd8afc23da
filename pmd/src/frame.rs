//! A packet in memory: a chain of one or more segments, owned.
//!
//! A [`Frame`] is one pointer to a [`Segment`], whose layout is that of DPDK's `rte_mbuf` field by field. A frame from the
//! heap and a frame from a device's mempool are thus read and written by the same code without a branch; only freeing
//! looks at where the memory came from. The `dpdk` module asserts every offset against the bindings at compile time.

use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "dpdk")]
use self::mbuf::free_mbuf;
use crate::pool;
#[cfg(feature = "dpdk")]
pub(crate) use offload::flag;
pub use offload::{ChecksumStatus, L4Checksum, RxOffload, TxChecksum};
pub use segmentation::{IpVersion, TxSegmentation};

/// A packet: a chain of segments with one owner.
///
/// Dropping a frame frees it wherever that happens: on a thread that EAL does not know, on another core, after the
/// device has stopped. That is the slow path, and it is counted ([`frames_dropped_singly`]); hot paths free whole bursts
/// with [`Burst::clear`](crate::Burst::clear).
#[repr(transparent)]
pub struct Frame {
    first: NonNull<Segment>,
}

// SAFETY: a frame owns its chain alone (reference counts are 1), the memory is reachable through nothing else, and both
// kinds of pool take segments back from any thread.
unsafe impl Send for Frame {}

/// One buffer of a chain, with the layout of `rte_mbuf`.
#[repr(C, align(64))]
pub(crate) struct Segment {
    pub(crate) buf_addr: *mut u8,
    pub(crate) buf_iova: u64,
    pub(crate) data_off: u16,
    pub(crate) refcnt: u16,
    pub(crate) nb_segs: u16,
    pub(crate) port: u16,
    pub(crate) ol_flags: u64,
    pub(crate) packet_type: u32,
    pub(crate) pkt_len: u32,
    pub(crate) data_len: u16,
    pub(crate) vlan_tci: u16,
    pub(crate) hash_rss: u32,
    pub(crate) hash_high: u32,
    pub(crate) vlan_tci_outer: u16,
    pub(crate) buf_len: u16,
    /// Null for heap segments: DPDK never leaves it null.
    pub(crate) pool: *mut std::ffi::c_void,
    pub(crate) next: *mut Self,
    pub(crate) tx_offload: u64,
    pub(crate) shinfo: *mut std::ffi::c_void,
    pub(crate) priv_size: u16,
    pub(crate) timesync: u16,
    pub(crate) dynfield1: [u32; 9],
}

const _: () = assert!(size_of::<Segment>() == 128 && size_of::<Option<Frame>>() == 8);

impl Frame {
    /// Length of the whole packet in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.segment().pkt_len as usize
    }

    /// Whether the packet has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of the first segment.
    #[inline]
    pub fn head(&self) -> &[u8] {
        self.segment().data()
    }

    /// The bytes of the first segment, to be changed.
    #[inline]
    pub fn head_mut(&mut self) -> &mut [u8] {
        self.segment_mut().data_mut()
    }

    /// The bytes of every segment, in order.
    #[inline]
    pub fn segments(&self) -> Segments<'_> {
        Segments { next: Some(self.segment()) }
    }

    /// How many segments the chain has; at least 1.
    #[inline]
    pub fn segment_count(&self) -> usize {
        usize::from(self.segment().nb_segs)
    }

    /// Bytes that [`prepend`](Self::prepend) can add.
    #[inline]
    pub fn headroom(&self) -> usize {
        usize::from(self.segment().data_off)
    }

    /// Bytes that [`append`](Self::append) can add to the last segment.
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.last().tailroom()
    }

    /// Adds `len` bytes in front, and returns them to be filled (their content is whatever the buffer held). `None` when
    /// the headroom is too small; the frame is then unchanged.
    #[inline]
    pub fn prepend(&mut self, len: usize) -> Option<&mut [u8]> {
        let segment = self.segment_mut();
        let short = u16::try_from(len).ok()?;
        segment.data_off = segment.data_off.checked_sub(short)?;
        segment.data_len += short;
        segment.pkt_len += u32::from(short);
        segment.data_mut().get_mut(..len)
    }

    /// Adds `len` bytes at the end of the last segment, and returns them to be filled. `None` when its tailroom is too
    /// small; the frame is then unchanged.
    #[inline]
    pub fn append(&mut self, len: usize) -> Option<&mut [u8]> {
        let short = u16::try_from(len).ok()?;
        if self.tailroom() < len {
            return None;
        }
        self.segment_mut().pkt_len += u32::from(short);
        let last = self.last_mut();
        let start = usize::from(last.data_len);
        last.data_len += short;
        last.data_mut().get_mut(start..)
    }

    /// Appends `bytes` to the last segment. `None` when its tailroom is too small.
    #[inline]
    #[must_use]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Option<()> {
        self.append(bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    /// Drops `len` bytes in front, over as many segments as they span; all of them if the packet is shorter. The first
    /// segment stays even when it is emptied, so that headers can be put back.
    #[inline]
    pub fn trim_front(&mut self, len: usize) {
        let first = self.segment_mut();
        // Headers are in the first one, mostly.
        match u16::try_from(len) {
            Ok(short) if short <= first.data_len => {
                first.data_off += short;
                first.data_len -= short;
                first.pkt_len -= u32::from(short);
            }
            _ => self.trim_over_segments(len),
        }
    }

    fn trim_over_segments(&mut self, len: usize) {
        let mut left = len.min(self.len());
        // `left` is at most `pkt_len`, a u32.
        self.segment_mut().pkt_len -= u32::try_from(left).unwrap_or(u32::MAX);
        let mut segment = self.segment_mut();
        loop {
            let cut = left.min(usize::from(segment.data_len));
            let short = u16::try_from(cut).unwrap_or(u16::MAX);
            segment.data_off += short;
            segment.data_len -= short;
            left -= cut;
            // SAFETY: `next` is null or a segment that this frame owns.
            match unsafe { segment.next.as_mut() } {
                Some(next) if left > 0 => segment = next,
                _ => return,
            }
        }
    }

    /// Keeps the first `len` bytes. Segments behind them are freed; a frame that is shorter stays as it is.
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        let mut left = len;
        let mut kept = 1;
        let mut segment = self.segment_mut();
        let rest = loop {
            if left <= usize::from(segment.data_len) {
                segment.data_len = u16::try_from(left).unwrap_or(u16::MAX);
                break std::mem::replace(&mut segment.next, ptr::null_mut());
            }
            left -= usize::from(segment.data_len);
            // SAFETY: `next` is null or a segment that this frame owns.
            match unsafe { segment.next.as_mut() } {
                Some(next) => segment = next,
                None => break ptr::null_mut(),
            }
            kept += 1;
        };
        let first = self.segment_mut();
        first.nb_segs = kept;
        first.pkt_len = u32::try_from(len).unwrap_or(u32::MAX);
        if let Some(rest) = NonNull::new(rest) {
            // SAFETY: the chain was unlinked above, so this is its only owner.
            unsafe { free_chain(rest) };
        }
    }

    /// Appends the segments of `tail`.
    ///
    /// # Panics
    ///
    /// When the chain would have more than 65,535 segments or 4 GiB.
    pub fn chain(&mut self, tail: Self) {
        let tail = ManuallyDrop::new(tail);
        let (count, len) = (tail.segment().nb_segs, tail.segment().pkt_len);
        self.last_mut().next = tail.first.as_ptr();
        let first = self.segment_mut();
        first.nb_segs = first.nb_segs.checked_add(count).expect("chain of at most 65,535 segments");
        first.pkt_len = first.pkt_len.checked_add(len).expect("packet below 4 GiB");
    }

    /// Makes the first `len` bytes contiguous in the first segment, copying from the ones behind. False when the packet
    /// is shorter, or the first segment has no room for them; the bytes of the packet are unchanged either way.
    #[inline]
    #[must_use]
    pub fn pull_up(&mut self, len: usize) -> bool {
        // Every header asks, and most packets are one segment.
        self.head().len() >= len || self.pull_up_from_behind(len)
    }

    fn pull_up_from_behind(&mut self, len: usize) -> bool {
        let missing = len - self.head().len();
        if self.len() < len || self.segment().tailroom() < missing {
            return false;
        }
        let start = self.segment().data_len;
        // Both are below the tailroom, a u16.
        self.segment_mut().data_len = start + u16::try_from(missing).unwrap_or(u16::MAX);
        let mut filled = usize::from(start);
        while filled < len {
            // SAFETY: the packet is longer than the first segment, so a segment that this frame owns follows; it is not
            // the first one, whose bytes are borrowed next to it.
            let next = unsafe { &mut *self.segment_mut().next };
            let take = (len - filled).min(usize::from(next.data_len));
            let short = u16::try_from(take).unwrap_or(u16::MAX);
            self.head_mut()[filled..filled + take].copy_from_slice(&next.data()[..take]);
            next.data_off += short;
            next.data_len -= short;
            filled += take;
            if next.data_len == 0 {
                self.unlink_second();
            }
        }
        true
    }

    /// Copies bytes of the packet from `offset` on into `out`, over segments; returns how many there were.
    pub fn copy_to(&self, offset: usize, out: &mut [u8]) -> usize {
        let (mut skip, mut filled) = (offset, 0);
        for bytes in self.segments() {
            let Some(bytes) = bytes.get(skip..) else {
                skip -= bytes.len();
                continue;
            };
            skip = 0;
            let take = bytes.len().min(out.len() - filled);
            out[filled..filled + take].copy_from_slice(&bytes[..take]);
            filled += take;
            if filled == out.len() {
                break;
            }
        }
        filled
    }

    /// Whether the memory is a device's (an mbuf) and not the heap's. Mixed chains go by their first segment.
    pub fn is_mbuf(&self) -> bool {
        !self.segment().pool.is_null()
    }

    /// Takes ownership of a chain.
    ///
    /// # Safety
    ///
    /// `first` is a well-formed chain (as DPDK defines it) with reference counts of 1, and nobody else uses it.
    #[inline]
    pub(crate) unsafe fn from_raw(first: NonNull<Segment>) -> Self {
        Self { first }
    }

    #[inline]
    fn segment(&self) -> &Segment {
        // SAFETY: the frame owns the chain, so its first segment is valid as long as `self` is borrowed.
        unsafe { self.first.as_ref() }
    }

    #[inline]
    fn segment_mut(&mut self) -> &mut Segment {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { self.first.as_mut() }
    }

    #[inline]
    fn last(&self) -> &Segment {
        let mut segment = self.segment();
        // SAFETY: `next` is null or a segment that this frame owns.
        while let Some(next) = unsafe { segment.next.as_ref() } {
            segment = next;
        }
        segment
    }

    #[inline]
    fn last_mut(&mut self) -> &mut Segment {
        let mut segment = self.first;
        // SAFETY: every segment of the chain is valid and owned by this frame, which is borrowed mutably.
        unsafe {
            while let Some(next) = NonNull::new(segment.as_ref().next) {
                segment = next;
            }
            segment.as_mut()
        }
    }

    /// Frees the second segment, whose bytes have been taken.
    fn unlink_second(&mut self) {
        let first = self.segment_mut();
        let Some(mut second) = NonNull::new(first.next) else { return };
        // SAFETY: the second segment is owned by this frame; it is unlinked before it is freed.
        unsafe {
            first.next = std::mem::replace(&mut second.as_mut().next, ptr::null_mut());
            first.nb_segs -= 1;
            second.as_mut().nb_segs = 1;
            free_chain(second);
        }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        SINGLY_DROPPED.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the frame is the only owner of its chain.
        unsafe { free_chain(self.first) };
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} B in {})", self.len(), self.segment_count())
    }
}

impl Segment {
    #[inline]
    fn data(&self) -> &[u8] {
        // SAFETY: `buf_addr + data_off .. + data_len` lies in the segment's buffer, which was initialised when the pool
        // made it and is owned together with the segment.
        unsafe {
            slice::from_raw_parts(
                self.buf_addr.add(usize::from(self.data_off)),
                usize::from(self.data_len),
            )
        }
    }

    #[inline]
    fn data_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `data`, and the segment is borrowed mutably.
        unsafe {
            slice::from_raw_parts_mut(
                self.buf_addr.add(usize::from(self.data_off)),
                usize::from(self.data_len),
            )
        }
    }

    #[inline]
    fn tailroom(&self) -> usize {
        usize::from(self.buf_len) - usize::from(self.data_off) - usize::from(self.data_len)
    }
}

/// The bytes of a frame, segment by segment. See [`Frame::segments`].
#[derive(Clone)]
pub struct Segments<'a> {
    next: Option<&'a Segment>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let segment = self.next?;
        // SAFETY: `next` is null or a segment of the borrowed frame.
        self.next = unsafe { segment.next.as_ref() };
        Some(segment.data())
    }
}

/// How many frames were freed one at a time by being dropped, in this process: the slow path.
pub fn frames_dropped_singly() -> u64 {
    SINGLY_DROPPED.load(Ordering::Relaxed)
}

static SINGLY_DROPPED: AtomicU64 = AtomicU64::new(0);

/// Frees every segment of a chain to where it came from. A chain may mix heap and device memory.
///
/// # Safety
///
/// The caller owns the chain, and does not use it afterwards.
pub(crate) unsafe fn free_chain(first: NonNull<Segment>) {
    let mut next = Some(first);
    while let Some(mut segment) = next {
        // SAFETY: owned by the caller; unlinked before it is freed.
        unsafe {
            let fields = segment.as_mut();
            next = NonNull::new(std::mem::replace(&mut fields.next, ptr::null_mut()));
            fields.nb_segs = 1;
            if fields.pool.is_null() {
                pool::heap::free(segment);
            } else {
                free_mbuf(segment);
            }
        }
    }
}

/// # Safety
///
/// `segment` is a single mbuf that the caller owns.
#[cfg(not(feature = "dpdk"))]
unsafe fn free_mbuf(_segment: NonNull<Segment>) {
    unreachable!("no mbuf exists in a build without DPDK");
}

#[cfg(feature = "dpdk")]
mod mbuf;
mod offload;
mod segmentation;

#[cfg(test)]
mod tests;
