//! What only frames of DPDK's memory need.

use std::ptr::NonNull;

use super::{Frame, Segment, flag};

impl Frame {
    /// Whether a device that takes no more than `max_segments` segments and `max_len` bytes can send this frame as it is,
    /// uncut.
    #[inline]
    pub(crate) fn is_sendable(&self, max_segments: u16, max_len: u32) -> bool {
        let first = self.segment();
        first.nb_segs <= max_segments
            && first.pkt_len <= max_len
            && first.ol_flags & flag::TX_TCP_SEGMENTS == 0
            && self.is_all_mbuf()
    }

    /// Whether it is to be cut.
    #[inline]
    pub(crate) fn is_to_be_cut(&self) -> bool {
        self.segment().ol_flags & flag::TX_TCP_SEGMENTS != 0
    }

    /// Takes the request to cut it back; the one for TCP's checksum stays.
    pub(crate) fn leave_uncut(&mut self) {
        self.segment_mut().ol_flags &= !flag::TX_TCP_SEGMENTS;
    }

    /// Whether every segment's memory is a device's.
    #[inline]
    pub(crate) fn is_all_mbuf(&self) -> bool {
        let first = self.segment();
        // `next` is in the second cache line, which a frame of one segment need not touch.
        !first.pool.is_null() && (first.nb_segs == 1 || first.is_followed_by_mbufs())
    }

    /// Takes over what `other` asks of the device.
    pub(crate) fn copy_tx_request(&mut self, other: &Self) {
        let (flags, lengths) = (other.segment().ol_flags, other.segment().tx_offload);
        let segment = self.segment_mut();
        segment.ol_flags = segment.ol_flags & !flag::TX_ALL | flags & flag::TX_ALL;
        segment.tx_offload = lengths;
    }
}

impl Segment {
    fn is_followed_by_mbufs(&self) -> bool {
        // SAFETY: `next` is null or a segment of the same chain.
        let follow = |segment: &Self| unsafe { segment.next.as_ref() };
        std::iter::successors(follow(self), |segment| follow(segment))
            .all(|segment| !segment.pool.is_null())
    }
}

/// # Safety
///
/// `segment` is a single mbuf that the caller owns.
pub(super) unsafe fn free_mbuf(segment: NonNull<Segment>) {
    // SAFETY: passed on to the caller; `Segment` has the layout of `rte_mbuf`.
    unsafe { dpdk_sys::pmd_mbuf_free(segment.as_ptr().cast()) }
}
