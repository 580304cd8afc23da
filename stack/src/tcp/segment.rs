//! A received segment: its bytes are parsed once, here, and from then on it is a value.

use pmd::{ChecksumStatus, Frame};

use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::ip::{Addressed, Datagram, Ecn};
use crate::tcp::auth::Signing;
use crate::tcp::seq::Seq;
use crate::wire::checksum::Sum;
use crate::wire::ipv4::protocol;
use crate::wire::tcp::{Flags, MAX_HEADER_LEN, Malformed, TcpView};
use crate::wire::tcp_options::{TcpOptions, Timestamps};

/// A segment without its header: what it says, and the bytes it carries.
///
/// As processing goes on, what was dealt with is cut off: the SYN and old data at the front, what lies
/// beyond the window at the back.
#[derive(Debug)]
pub(super) struct Segment {
    /// The number of the SYN, or else of the first byte of payload.
    pub(super) seq: Seq,
    /// Means nothing without [`Flags::ACK`].
    pub(super) ack: Seq,
    pub(super) flags: Flags,
    /// Not scaled yet.
    pub(super) window: u16,
    /// The number of the urgent byte, wherever that is: the one before what the pointer leads to.
    pub(super) urgent: Option<Seq>,
    pub(super) options: TcpOptions,
    /// What the packet's ECN field says (RFC 3168).
    pub(super) ecn: Ecn,
    /// What it was found to be signed with.
    pub(super) signing: Signing,
    /// Bytes of its header, which still stand before those of the payload.
    pub(super) header_len: u8,
    pub(super) payload: Frame,
}

impl Segment {
    /// Takes a datagram's segment out, with the flow that it belongs to as seen from here.
    pub(super) fn parse(datagram: Datagram) -> Result<(FlowKey4, Self), Drop> {
        let Datagram { mut frame, header_len, source, destination, tos, to, .. } = datagram;
        if to != Addressed::Unicast {
            return Err(Drop::TcpAddress);
        }
        let segment_len = frame.len().saturating_sub(header_len);
        make_contiguous(&mut frame, header_len + MAX_HEADER_LEN)?;
        let head = frame.head().get(header_len..).ok_or(Drop::TcpTruncated)?;
        let view = TcpView::parse(head).map_err(|malformed| match malformed {
            Malformed::DataOffset => Drop::TcpDataOffset,
            Malformed::Truncated => Drop::TcpTruncated,
        })?;
        let pseudo_header = || {
            let len = u16::try_from(segment_len).unwrap_or(u16::MAX);
            Sum::pseudo_header_v4(source, destination, protocol::TCP, len)
        };
        verify_checksum(&frame, header_len, pseudo_header)?;
        let key = FlowKey4 {
            remote: source,
            local: destination,
            remote_port: view.source_port(),
            local_port: view.destination_port(),
        };
        if key.remote_port == 0 || key.local_port == 0 {
            return Err(Drop::TcpAddress);
        }
        let segment = Header::of(&view);
        frame.trim_front(header_len + view.header_len());
        Ok((key, segment.with(frame, Ecn::of(tos))))
    }

    pub(super) fn has(&self, flags: Flags) -> bool {
        self.flags.contains(flags)
    }

    pub(super) fn timestamps(&self) -> Option<Timestamps> {
        self.options.timestamps
    }

    pub(super) fn payload_len(&self) -> u32 {
        u32::try_from(self.payload.len()).unwrap_or(u32::MAX)
    }

    /// SEG.LEN: the sequence numbers that the segment occupies, SYN and FIN included.
    pub(super) fn len(&self) -> u32 {
        self.payload_len() + u32::from(self.has(Flags::SYN)) + u32::from(self.has(Flags::FIN))
    }

    /// The number after the last one that it occupies.
    pub(super) fn end(&self) -> Seq {
        self.seq + self.len()
    }

    /// Cuts off what lies before `edge`: the SYN first, then payload. Never the FIN.
    pub(super) fn trim_before(&mut self, edge: Seq) {
        if self.has(Flags::SYN) && self.seq.precedes(edge) {
            self.clear(Flags::SYN);
            self.seq += 1;
        }
        if self.seq.precedes(edge) {
            let old = edge.offset_from(self.seq).min(self.payload_len());
            self.payload.trim_front(old as usize);
            self.seq += old;
        }
    }

    /// Cuts off what lies at `edge` or beyond: the FIN first, then payload. Never the SYN.
    pub(super) fn trim_from(&mut self, edge: Seq) {
        if self.has(Flags::FIN) && self.end().follows(edge) {
            self.clear(Flags::FIN);
        }
        if self.end().follows(edge) {
            let beyond = self.end().offset_from(edge).min(self.payload_len());
            self.payload.truncate((self.payload_len() - beyond) as usize);
        }
    }

    pub(super) fn clear(&mut self, flags: Flags) {
        self.flags = Flags(self.flags.0 & !flags.0);
    }
}

/// The part of a segment that is copied out of its frame.
struct Header {
    seq: Seq,
    ack: Seq,
    flags: Flags,
    window: u16,
    urgent: Option<Seq>,
    options: TcpOptions,
    header_len: u8,
}

impl Header {
    fn of(view: &TcpView<'_>) -> Self {
        Self {
            seq: view.seq(),
            ack: view.ack(),
            flags: view.flags(),
            window: view.window(),
            urgent: urgent_byte(view),
            options: view.options(),
            header_len: u8::try_from(view.header_len()).unwrap_or(0),
        }
    }

    fn with(self, payload: Frame, ecn: Ecn) -> Segment {
        let Self { seq, ack, flags, window, urgent, options, header_len } = self;
        let signing = Signing::None;
        Segment { seq, ack, flags, window, urgent, options, ecn, signing, header_len, payload }
    }
}

/// A pointer of zero leads to no byte of the segment or behind it, and is ignored as it is everywhere.
fn urgent_byte(view: &TcpView<'_>) -> Option<Seq> {
    let behind = u32::from(view.urgent_pointer()).checked_sub(1)?;
    view.flags().contains(Flags::URG).then(|| view.seq() + behind)
}

/// Brings the first `len` bytes, or all if there are fewer, into the first segment of the chain. Fragments put
/// together may have the header cut anywhere.
fn make_contiguous(frame: &mut Frame, len: usize) -> Result<(), Drop> {
    let wanted = len.min(frame.len());
    if frame.head().len() >= wanted {
        return Ok(());
    }
    if frame.pull_up(wanted) { Ok(()) } else { Err(Drop::TcpTruncated) }
}

/// The sum of pseudo header and segment, unless the device has looked already.
pub(super) fn verify_checksum(
    frame: &Frame,
    header_len: usize,
    pseudo_header: impl FnOnce() -> Sum,
) -> Result<(), Drop> {
    match frame.rx_offload().l4 {
        ChecksumStatus::Good => return Ok(()),
        ChecksumStatus::Bad => return Err(Drop::TcpChecksum),
        ChecksumStatus::Unknown => {}
    }
    let mut sum = pseudo_header();
    sum.add_frame(frame, header_len);
    if sum.is_valid() { Ok(()) } else { Err(Drop::TcpChecksum) }
}
