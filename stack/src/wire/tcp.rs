//! The TCP header (RFC 9293, section 3.1).

use std::fmt;
use std::ops::BitOr;

use super::tcp_options::{NO_OPERATION, TIMESTAMPS, TIMESTAMPS_LEN, TcpOptions, Timestamps};
use crate::drops::Drop;
use crate::tcp::seq::Seq;
use Malformed::{DataOffset, Truncated};

/// A received TCP segment whose header is known to fit in its bytes.
///
/// Holding a `TcpView` is the proof: `parse` is the only constructor, so no accessor below can
/// fail or panic. A view says nothing about *meaning*; checksum, ports and flag combinations are
/// judged by the input path, which also counts what it drops.
#[derive(Clone, Copy)]
pub(crate) struct TcpView<'a> {
    fixed: &'a [u8; HEADER_LEN],
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> TcpView<'a> {
    /// Views a segment, or the first bytes of one as long as its header is among them.
    pub(crate) fn parse(segment: &'a [u8]) -> Result<Self, Malformed> {
        let (fixed, rest) = segment.split_first_chunk().ok_or(Truncated)?;
        let header_len = usize::from(fixed[12] >> 4) * 4;
        let options_len = header_len.checked_sub(HEADER_LEN).ok_or(DataOffset)?;
        let (options, payload) = rest.split_at_checked(options_len).ok_or(DataOffset)?;
        Ok(Self { fixed, options, payload })
    }

    /// The sender's port.
    pub(crate) fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[0], self.fixed[1]])
    }

    /// The port it is for.
    pub(crate) fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// The number of the first byte of payload, or of the SYN.
    pub(crate) fn seq(&self) -> Seq {
        let f = self.fixed;
        Seq(u32::from_be_bytes([f[4], f[5], f[6], f[7]]))
    }

    /// The number that the sender expects next; means nothing without [`Flags::ACK`].
    pub(crate) fn ack(&self) -> Seq {
        let f = self.fixed;
        Seq(u32::from_be_bytes([f[8], f[9], f[10], f[11]]))
    }

    /// Bytes of the header, options included: 20 to 60.
    pub(crate) fn header_len(&self) -> usize {
        HEADER_LEN + self.options.len()
    }

    /// The control bits.
    pub(crate) fn flags(&self) -> Flags {
        Flags(u16::from_be_bytes([self.fixed[12], self.fixed[13]]) & Flags::KNOWN)
    }

    /// The window, not yet scaled.
    pub(crate) fn window(&self) -> u16 {
        u16::from_be_bytes([self.fixed[14], self.fixed[15]])
    }

    /// How far behind [`TcpView::seq`] urgent data ends; means nothing without [`Flags::URG`].
    pub(crate) fn urgent_pointer(&self) -> u16 {
        u16::from_be_bytes([self.fixed[18], self.fixed[19]])
    }

    /// The options, as bytes.
    pub(crate) fn option_bytes(&self) -> &'a [u8] {
        self.options
    }

    /// What the options say. Those that only a SYN may carry are not seen elsewhere.
    pub(crate) fn options(&self) -> TcpOptions {
        let options = TcpOptions::parse(self.options);
        if self.flags().contains(Flags::SYN) { options } else { options.without_those_of_a_syn() }
    }

    /// The timestamps, if there is no other option. `None` where there is one.
    #[inline]
    pub(crate) fn only_timestamps(&self) -> Option<Option<Timestamps>> {
        match self.options {
            [] => Some(None),
            options => TcpOptions::only_timestamps(options).map(Some),
        }
    }

    /// What the header carries, as far as the viewed bytes reach.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// Why bytes could not be viewed as TCP. Each variant has its own drop counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// The data offset is below 5 words or points past the end of the segment.
    DataOffset,
    /// Fewer than 20 bytes.
    Truncated,
}

impl From<Malformed> for Drop {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            DataOffset => Self::TcpDataOffset,
            Truncated => Self::TcpTruncated,
        }
    }
}

/// A header to send. The checksum is left zero: it needs the pseudo header, which IP knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TcpHeader {
    /// Our port.
    pub(crate) source_port: u16,
    /// The port it is for.
    pub(crate) destination_port: u16,
    /// The number of the first byte of payload, or of the SYN.
    pub(crate) seq: Seq,
    /// What we expect next.
    pub(crate) ack: Seq,
    /// The control bits.
    pub(crate) flags: Flags,
    /// The window, already scaled.
    pub(crate) window: u16,
    /// Where urgent data ends, counted from `seq`.
    pub(crate) urgent_pointer: u16,
    /// The options.
    pub(crate) options: TcpOptions,
}

impl TcpHeader {
    /// Bytes of the header, options included: 20 to 60.
    pub(crate) fn header_len(&self) -> usize {
        HEADER_LEN + self.options.encoded_len()
    }

    /// Writes the header with a checksum of zero.
    ///
    /// # Panics
    ///
    /// If `out` is not exactly [`TcpHeader::header_len`] bytes long.
    pub(crate) fn emit(&self, out: &mut [u8]) {
        let words = u8::try_from(out.len() / 4).expect("a header has at most 15 words");
        let (fixed, options) =
            out.split_first_chunk_mut::<HEADER_LEN>().expect("room for the fixed header");
        fixed[..2].copy_from_slice(&self.source_port.to_be_bytes());
        fixed[2..4].copy_from_slice(&self.destination_port.to_be_bytes());
        fixed[4..8].copy_from_slice(&self.seq.0.to_be_bytes());
        fixed[8..12].copy_from_slice(&self.ack.0.to_be_bytes());
        let [high, low] = self.flags.0.to_be_bytes();
        fixed[12] = words << 4 | high;
        fixed[13] = low;
        fixed[14..16].copy_from_slice(&self.window.to_be_bytes());
        fixed[16..18].fill(0);
        fixed[18..].copy_from_slice(&self.urgent_pointer.to_be_bytes());
        self.options.emit(options);
    }
}

/// The header of most segments: no option but timestamps, and nothing urgent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PlainHeader {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    /// Already scaled.
    pub(crate) window: u16,
    pub(crate) timestamps: Option<Timestamps>,
}

impl PlainHeader {
    #[inline]
    pub(crate) fn header_len(&self) -> usize {
        if self.timestamps.is_some() { PLAIN_LEN } else { HEADER_LEN }
    }

    /// Writes what a [`TcpHeader`] of the same fields would, word by word. `out` is exactly [`PlainHeader::header_len`] bytes long.
    #[inline]
    pub(crate) fn emit(&self, out: &mut [u8]) {
        let (words, rest) = out.as_chunks_mut::<4>();
        debug_assert!(rest.is_empty() && words.len() * 4 == self.header_len());
        let lines = [
            u32::from(self.source_port) << 16 | u32::from(self.destination_port),
            self.seq.0,
            self.ack.0,
            (u32::from(self.flags.0) << 16 | u32::from(self.window))
                | if self.timestamps.is_some() { 8 << 28 } else { 5 << 28 },
            0,
        ];
        if let Some((fixed, options)) = words.split_first_chunk_mut::<5>() {
            *fixed = lines.map(u32::to_be_bytes);
            if let (Some(timestamps), [layout, value, echo]) = (self.timestamps, options) {
                *layout = [NO_OPERATION, NO_OPERATION, TIMESTAMPS, TIMESTAMPS_LEN];
                *value = timestamps.value.to_be_bytes();
                *echo = timestamps.echo.to_be_bytes();
            }
        }
    }
}

/// With timestamps.
const PLAIN_LEN: usize = HEADER_LEN + 12;

/// The nine control bits. The three before them are reserved, and ignored (RFC 9293, section 3.1).
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(crate) struct Flags(pub(crate) u16);

impl Flags {
    /// No bit.
    pub(crate) const NONE: Self = Self(0);
    /// No more data from the sender.
    pub(crate) const FIN: Self = Self(0x01);
    /// Synchronize sequence numbers.
    pub(crate) const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub(crate) const RST: Self = Self(0x04);
    /// Push.
    pub(crate) const PSH: Self = Self(0x08);
    /// The acknowledgement number counts.
    pub(crate) const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub(crate) const URG: Self = Self(0x20);
    /// ECN echo (RFC 3168).
    pub(crate) const ECE: Self = Self(0x40);
    /// Congestion window reduced (RFC 3168).
    pub(crate) const CWR: Self = Self(0x80);
    /// Accurate ECN (RFC 9768), formerly the sum of a nonce.
    pub(crate) const AE: Self = Self(0x100);

    /// All of them.
    const KNOWN: u16 = 0x1ff;

    /// Whether every bit of `other` is set.
    pub(crate) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those of explicit congestion notification: AE, CWR and ECE.
    pub(crate) const fn ecn(self) -> Self {
        Self(self.0 & (Self::AE.0 | Self::CWR.0 | Self::ECE.0))
    }

    /// Whether some bit of `other` is set.
    pub(crate) const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Flags {
    /// As a trace writes them: `SYN|ACK`, or `-`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (bit, name) in
            ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"].iter().enumerate()
        {
            if self.0 >> bit & 1 != 0 {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if *self == Self::NONE { f.write_str("-") } else { Ok(()) }
    }
}

/// Bytes of a header without options.
pub(crate) const HEADER_LEN: usize = 20;
/// Bytes of the longest header.
pub(crate) const MAX_HEADER_LEN: usize = 60;
/// Where the checksum stands.
pub(crate) const CHECKSUM_OFFSET: usize = 16;

#[cfg(test)]
mod tests;
