//! The classic pcap format, version 2.4, little-endian, with nanoseconds (draft-ietf-opsawg-pcap).

use std::time::Duration;

use crate::{Frame, Medium};

/// The head of a file.
pub(super) fn file_header(medium: Medium, snap_len: u16) -> [u8; 24] {
    let link_type: u32 = match medium {
        Medium::Ethernet(_) => LINKTYPE_ETHERNET,
        Medium::Ip => LINKTYPE_RAW,
    };
    // Version 2.4 in two halves; the two reserved words are zero.
    let words = [MAGIC_NANOSECONDS, 4 << 16 | 2, 0, 0, u32::from(snap_len), link_type];
    let mut header = [0; 24];
    for (bytes, word) in header.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    header
}

/// Bytes that a frame takes in the file.
pub(super) fn record_len(frame: &Frame, snap_len: u16) -> usize {
    RECORD_HEADER_LEN + frame.len().min(usize::from(snap_len))
}

/// Appends a frame with its header; `now` is when it passed.
pub(super) fn append_record(out: &mut Vec<u8>, now: Duration, frame: &Frame, snap_len: u16) {
    let kept = frame.len().min(usize::from(snap_len));
    // Seconds last until 2106, and a frame is shorter than 4 GiB.
    let word = |value: u64| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&word(now.as_secs()));
    out.extend_from_slice(&now.subsec_nanos().to_le_bytes());
    out.extend_from_slice(&word(kept as u64));
    out.extend_from_slice(&word(frame.len() as u64));
    let mut left = kept;
    for bytes in frame.segments() {
        let take = bytes.len().min(left);
        out.extend_from_slice(&bytes[..take]);
        left -= take;
    }
}

const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
const LINKTYPE_ETHERNET: u32 = 1;
const LINKTYPE_RAW: u32 = 101;
const RECORD_HEADER_LEN: usize = 16;
