//! TCP options (RFC 9293, section 3.2; RFC 7323; RFC 2018; RFC 9768): what they say, and how they are written.

mod accurate_ecn;
mod auth;
mod fast_open;

use std::fmt;

pub(crate) use accurate_ecn::{
    AccurateEcnOption, EcnBytes, FIELD_MAX, FieldOrder, encoded_len as accurate_ecn_len,
};
pub(crate) use auth::{AO_MAC_LEN, AuthKind, MD5_DIGEST_LEN, auth_data_at};
pub(crate) use fast_open::{FastOpenCookie, FastOpenForm, FastOpenOption};

use crate::tcp::seq::Seq;

/// The options of one segment, whatever their order was.
///
/// Bytes from the wire cannot break it: unknown options are skipped (RFC 9293, MUST-6), known ones of a wrong length count
/// as unknown, and an option that runs past the header ends the walk, as does a length below two (MUST-7). What came
/// before such a fault still counts, as in Linux and the BSDs: a peer's broken padding should not cost it its window scale.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct TcpOptions {
    /// How they are to be written; what was read is not told apart. SYN only.
    pub(crate) order: OptionOrder,
    /// The largest segment the sender takes; never zero when it came from the wire. SYN only.
    pub(crate) max_segment_size: Option<u16>,
    /// The sender's windows are to be shifted by this much: at most 14. SYN only.
    pub(crate) window_scale: Option<u8>,
    /// May the other side send SACK blocks? SYN only.
    pub(crate) sack_permitted: bool,
    /// TCP Fast Open. SYN only.
    pub(crate) fast_open: Option<FastOpenOption>,
    /// The sender's clock, and ours as it last saw it.
    pub(crate) timestamps: Option<Timestamps>,
    /// Bytes that the sender has received, by their marks.
    pub(crate) accurate_ecn: Option<AccurateEcnOption>,
    /// What the sender holds beyond the acknowledgement number.
    pub(crate) sack_blocks: SackBlocks,
    /// What signs the segment.
    pub(crate) auth: Option<AuthKind>,
}

impl TcpOptions {
    /// Reads the bytes between the fixed header and the payload.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        match Self::only_timestamps(bytes) {
            Some(timestamps) => Self { timestamps: Some(timestamps), ..Self::default() },
            None => Self::walk(bytes),
        }
    }

    /// Nearly every segment of a connection with timestamps has these and nothing else, and RFC 7323, appendix A, recommends this layout.
    #[inline]
    pub(super) fn only_timestamps(bytes: &[u8]) -> Option<Timestamps> {
        match bytes {
            [NO_OPERATION, NO_OPERATION, TIMESTAMPS, TIMESTAMPS_LEN, rest @ ..] => {
                rest.try_into().ok().map(Timestamps::of)
            }
            _ => None,
        }
    }

    fn walk(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        loop {
            match *bytes {
                [NO_OPERATION, ref rest @ ..] => bytes = rest,
                [] | [END_OF_LIST, ..] | [_] => return options,
                [kind, len, ..] => {
                    let Some(([_, _, data @ ..], rest)) = bytes.split_at_checked(usize::from(len))
                    else {
                        return options;
                    };
                    options.take(kind, data);
                    bytes = rest;
                }
            }
        }
    }

    /// Notes one option. One that comes twice counts as it came last.
    fn take(&mut self, kind: u8, data: &[u8]) {
        match (kind, data) {
            // A segment size of zero would never move a byte.
            (MAX_SEGMENT_SIZE, [0, 0]) => {}
            (MAX_SEGMENT_SIZE, &[high, low]) => {
                self.max_segment_size = Some(u16::from_be_bytes([high, low]))
            }
            // RFC 7323, section 2.3: a larger shift MUST be taken as 14.
            (WINDOW_SCALE, &[shift]) => self.window_scale = Some(shift.min(MAX_WINDOW_SCALE)),
            (SACK_PERMITTED, []) => self.sack_permitted = true,
            (SACK, data) => self.sack_blocks = SackBlocks::of(data).unwrap_or(self.sack_blocks),
            (TIMESTAMPS, data) => {
                if let Ok(data) = data.try_into() {
                    self.timestamps = Some(Timestamps::of(data));
                }
            }
            (kind, data) => match AuthKind::of(kind, data) {
                Some(_) if self.auth.is_some() => self.auth = Some(AuthKind::Malformed),
                Some(auth) => self.auth = Some(auth),
                None => {
                    self.fast_open = FastOpenOption::of(kind, data).or(self.fast_open);
                    self.accurate_ecn = AccurateEcnOption::of(kind, data).or(self.accurate_ecn);
                }
            },
        }
    }

    /// What is left when the segment is no SYN: three options MUST be ignored there (RFC 9293, section 3.7.1; RFC 7323,
    /// section 2.2; RFC 2018, section 2).
    pub(super) fn without_those_of_a_syn(self) -> Self {
        Self {
            max_segment_size: None,
            window_scale: None,
            sack_permitted: false,
            fast_open: None,
            ..self
        }
    }

    /// Bytes that [`TcpOptions::emit`] writes: a multiple of 4, at most 40.
    pub(crate) fn encoded_len(&self) -> usize {
        let mut len = self.fixed_len();
        len += self.accurate_ecn_that_fits(len).map_or(0, |option| option.encoded_len());
        len + self.sack_blocks_that_fit(len).map_or(0, |blocks| 4 + blocks.len() * SACK_BLOCK_LEN)
    }

    /// Bytes of the options that never give way to others.
    pub(crate) fn fixed_len(&self) -> usize {
        let mut len = self.auth.map_or(0, AuthKind::encoded_len);
        if self.max_segment_size.is_some() {
            len += 4;
        }
        // Written beside SACK-permitted or padded with no-operations.
        if self.sack_permitted || self.timestamps.is_some() {
            len += if self.timestamps.is_some() { 12 } else { 4 };
        }
        if self.window_scale.is_some() {
            len += 4;
        }
        len + self.fast_open_that_fits().map_or(0, |option| option.encoded_len())
    }

    /// Writes the options in the order and padding that are asked for, and always as `<nop,nop,ts>` and `<nop,nop,sack>` behind the SYN.
    ///
    /// SACK blocks that do not fit are left out from the end: the first are the most recent (RFC 2018, section 4). So is an AccECN option
    /// that does not fit.
    pub(super) fn emit(&self, out: &mut [u8]) {
        let mut out = Cursor { out, at: 0 };
        match self.order {
            OptionOrder::Linux => {
                self.emit_auth(&mut out);
                self.emit_max_segment_size(&mut out);
                self.emit_sack_permitted_and_timestamps(&mut out);
                self.emit_window_scale(&mut out);
            }
            OptionOrder::FreeBsd => {
                self.emit_max_segment_size(&mut out);
                self.emit_window_scale(&mut out);
                self.emit_sack_permitted_and_timestamps(&mut out);
                self.emit_auth(&mut out);
            }
        }
        if let Some(option) = self.fast_open_that_fits() {
            option.words().for_each(|word| out.put(word));
        }
        if let Some(option) = self.accurate_ecn_that_fits(out.at) {
            option.words().for_each(|word| out.put(word));
        }
        if let Some((blocks, len)) = self.sack_blocks_that_fit(out.at).and_then(with_option_len) {
            out.put([NO_OPERATION, NO_OPERATION, SACK, len]);
            for block in blocks {
                out.put(block.left.0.to_be_bytes());
                out.put(block.right.0.to_be_bytes());
            }
        }
    }

    fn emit_auth(&self, out: &mut Cursor<'_>) {
        if let Some(auth) = self.auth {
            auth.emit(out);
        }
    }

    fn emit_max_segment_size(&self, out: &mut Cursor<'_>) {
        if let Some(size) = self.max_segment_size {
            let [high, low] = size.to_be_bytes();
            out.put([MAX_SEGMENT_SIZE, MAX_SEGMENT_SIZE_LEN, high, low]);
        }
    }

    fn emit_window_scale(&self, out: &mut Cursor<'_>) {
        if let Some(shift) = self.window_scale {
            out.put([NO_OPERATION, WINDOW_SCALE, WINDOW_SCALE_LEN, shift]);
        }
    }

    /// The one fills the word that the other begins.
    fn emit_sack_permitted_and_timestamps(&self, out: &mut Cursor<'_>) {
        let is_last = out.at + 4 == out.out.len();
        match (self.sack_permitted, self.timestamps) {
            (true, Some(_)) => {
                out.put([SACK_PERMITTED, SACK_PERMITTED_LEN, TIMESTAMPS, TIMESTAMPS_LEN])
            }
            (false, Some(_)) => out.put([NO_OPERATION, NO_OPERATION, TIMESTAMPS, TIMESTAMPS_LEN]),
            (true, None) if is_last && self.order == OptionOrder::FreeBsd => {
                out.put([SACK_PERMITTED, SACK_PERMITTED_LEN, END_OF_LIST, END_OF_LIST])
            }
            (true, None) => {
                out.put([NO_OPERATION, NO_OPERATION, SACK_PERMITTED, SACK_PERMITTED_LEN])
            }
            (false, None) => {}
        }
        if let Some(timestamps) = self.timestamps {
            out.put(timestamps.value.to_be_bytes());
            out.put(timestamps.echo.to_be_bytes());
        }
    }

    /// The AccECN option, if there is room for it behind `len` bytes of other options.
    fn accurate_ecn_that_fits(&self, len: usize) -> Option<AccurateEcnOption> {
        self.accurate_ecn.filter(|option| len + option.encoded_len() <= MAX_LEN)
    }

    /// A cookie and a signature do not fit into one SYN.
    fn fast_open_that_fits(&self) -> Option<FastOpenOption> {
        self.fast_open.filter(|_| self.auth.is_none())
    }

    /// The blocks there is room for behind `len` bytes of other options, if there are any.
    fn sack_blocks_that_fit(&self, len: usize) -> Option<&[SackBlock]> {
        let room = sack_blocks_in(MAX_LEN.saturating_sub(len));
        let blocks = self.sack_blocks.as_slice();
        blocks.get(..room.min(blocks.len())).filter(|blocks| !blocks.is_empty())
    }
}

/// In which order a SYN's options stand, and what fills the gaps between them: middleboxes and fingerprints know some.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OptionOrder {
    /// `<mss,sackOK,ts,nop,wscale>`, without timestamps `<mss,nop,nop,sackOK,nop,wscale>`; a signature comes first.
    #[default]
    Linux,
    /// `<mss,nop,wscale,sackOK,ts>`, without timestamps `<mss,nop,wscale,sackOK,eol,eol>`; a signature comes behind them.
    FreeBsd,
}

/// The timestamps option (RFC 7323, section 3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Timestamps {
    /// TSval: the sender's clock.
    pub(crate) value: u32,
    /// TSecr: the last value it saw from the other side.
    pub(crate) echo: u32,
}

impl Timestamps {
    fn of(&[a, b, c, d, e, f, g, h]: &[u8; 8]) -> Self {
        Self { value: u32::from_be_bytes([a, b, c, d]), echo: u32::from_be_bytes([e, f, g, h]) }
    }
}

/// A run of bytes that arrived beyond the acknowledgement number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SackBlock {
    /// The first byte of the run.
    pub(crate) left: Seq,
    /// The byte behind its last.
    pub(crate) right: Seq,
}

/// Up to four blocks, the most that fit in a header.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct SackBlocks {
    blocks: [SackBlock; MAX_SACK_BLOCKS],
    count: u8,
}

impl SackBlocks {
    /// The blocks in the order of the option; an option may come from the wire with edges that make no sense.
    pub(crate) fn as_slice(&self) -> &[SackBlock] {
        &self.blocks[..usize::from(self.count)]
    }

    /// Adds a block behind the others, or hands it back where four are there.
    pub(crate) fn push(&mut self, block: SackBlock) -> Result<(), SackBlock> {
        let free = self.blocks.get_mut(usize::from(self.count)).ok_or(block)?;
        *free = block;
        self.count += 1;
        Ok(())
    }

    /// The blocks in the data of a SACK option, unless its length is wrong.
    fn of(data: &[u8]) -> Option<Self> {
        let (chunks, rest) = data.as_chunks::<SACK_BLOCK_LEN>();
        if chunks.is_empty() || !rest.is_empty() {
            return None;
        }
        let mut blocks = Self::default();
        for &[a, b, c, d, e, f, g, h] in chunks {
            let left = Seq(u32::from_be_bytes([a, b, c, d]));
            let right = Seq(u32::from_be_bytes([e, f, g, h]));
            blocks.push(SackBlock { left, right }).ok()?;
        }
        Some(blocks)
    }
}

impl Default for SackBlocks {
    fn default() -> Self {
        Self { blocks: [SackBlock { left: Seq(0), right: Seq(0) }; MAX_SACK_BLOCKS], count: 0 }
    }
}

impl fmt::Debug for SackBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

/// Writes word after word into bytes whose number was computed before.
struct Cursor<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Cursor<'_> {
    fn put(&mut self, word: [u8; 4]) {
        self.out[self.at..self.at + 4].copy_from_slice(&word);
        self.at += 4;
    }
}

/// How many blocks an option of so many bytes has at most, with the no-operations before it.
pub(crate) fn sack_blocks_in(room: usize) -> usize {
    room.saturating_sub(4) / SACK_BLOCK_LEN
}

/// The blocks, and the length octet of the option that carries them.
fn with_option_len(blocks: &[SackBlock]) -> Option<(&[SackBlock], u8)> {
    Some((blocks, u8::try_from(2 + blocks.len() * SACK_BLOCK_LEN).ok()?))
}

/// The largest shift of a window (RFC 7323, section 2.3).
pub(crate) const MAX_WINDOW_SCALE: u8 = 14;
/// Bytes of options that fit in a header.
pub(crate) const MAX_LEN: usize = 40;
/// SACK blocks that fit in a header without timestamps; with them, one less.
pub(crate) const MAX_SACK_BLOCKS: usize = 4;

const SACK_BLOCK_LEN: usize = 8;

const END_OF_LIST: u8 = 0;
pub(super) const NO_OPERATION: u8 = 1;
const MAX_SEGMENT_SIZE: u8 = 2;
const MAX_SEGMENT_SIZE_LEN: u8 = 4;
const WINDOW_SCALE: u8 = 3;
const WINDOW_SCALE_LEN: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK_PERMITTED_LEN: u8 = 2;
const SACK: u8 = 5;
pub(super) const TIMESTAMPS: u8 = 8;
pub(super) const TIMESTAMPS_LEN: u8 = 10;

#[cfg(test)]
mod tests;
