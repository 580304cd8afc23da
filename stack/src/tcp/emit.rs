//! From "send these sequence numbers" to a frame: header, options, and payload copied from the send ring.

use std::net::Ipv4Addr;

use super::auth::Signer;
use super::connection::{Connection, Context, Owed};
use super::isn::timestamp;
use super::seq::Seq;
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::ip::{DEFAULT_TTL, Ecn, Fragment, Outgoing, Transport};
use crate::net::Net;
use crate::time::Instant;
use crate::wire::ipv4;
use crate::wire::tcp::{Flags, HEADER_LEN, PlainHeader, TcpHeader};
use crate::wire::tcp_options::{AuthKind, TcpOptions, Timestamps};

/// Nothing was sent, and nothing about the connection has changed: try again later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NotSent;

impl Connection {
    /// Sends `len` bytes from `seq` on, with what the peer is to know besides: that is, every segment acknowledges.
    ///
    /// The numbers may have been sent before. Where the sequence space ends is the caller's to know.
    pub(super) fn emit(
        &mut self,
        cx: &mut Context<'_>,
        seq: Seq,
        len: u32,
        flags: Flags,
    ) -> Result<(), NotSent> {
        if self.is_plain_to_send(flags) {
            return self.emit_plain(cx, seq, len, flags);
        }
        let edge = self.edge_to_offer(flags);
        let opens_or_resets = flags.intersects(Flags::SYN | Flags::RST);
        let urgent = self.urgent_pointer(seq).filter(|_| !opens_or_resets);
        let (ecn_flags, ecn) = self.ecn_of(seq, len, flags);
        let signer = self.signer(seq);
        let options = self.options_for(cx, (seq, flags, len), signer.map(Signer::kind));
        let flags = flags | ecn_flags;
        let header = TcpHeader {
            source_port: self.flow.local_port,
            destination_port: self.flow.remote_port,
            seq,
            ack: if flags.contains(Flags::ACK) { self.rcv.nxt } else { Seq(0) },
            flags: if urgent.is_some() { flags | Flags::URG } else { flags },
            window: self.window_field(edge, flags),
            urgent_pointer: urgent.unwrap_or(0),
            options,
        };
        // Data on a SYN stands behind it.
        let first = if flags.contains(Flags::SYN) { seq + 1 } else { seq };
        let position = self.position_of(first);
        let send = &self.socket.send;
        let fill = |payload: &mut [u8]| {
            send.read_at(position, payload);
        };
        let sent = send_segment(cx.net, (&self.flow, signer), &header, ecn, (len as usize, fill));
        self.note_sent(cx, sent, (seq, len, flags), edge)?;
        if !header.options.sack_blocks.as_slice().is_empty() {
            self.duplicate_told();
        }
        if urgent.is_some() {
            self.urgent_announced();
        }
        self.ecn_told((seq, len, flags), options.accurate_ecn);
        Ok(())
    }

    /// A segment has left, or has not, with a window up to `edge`.
    #[inline]
    fn note_sent(
        &mut self,
        cx: &mut Context<'_>,
        sent: Result<(), Refused>,
        (seq, len, flags): (Seq, u32, Flags),
        edge: Seq,
    ) -> Result<(), NotSent> {
        sent.map_err(|refused| {
            if refused == Refused::TooBig {
                // The path's MTU was lowered by somebody else's segment.
                self.fit_path(cx);
            }
            NotSent
        })?;
        self.count_sent(cx, seq, len, flags);
        self.rcv.edge = self.rcv.edge.later(edge);
        if flags.contains(Flags::ACK) {
            self.acknowledged(cx);
        }
        Ok(())
    }

    /// Whether a segment has nothing to say but what every segment says.
    #[inline]
    pub(super) fn is_plain_to_send(&self, flags: Flags) -> bool {
        !flags.intersects(Flags::SYN | Flags::RST)
            && self.reassembly.is_none()
            && self.rare.accurate().is_none()
            && self.rare.auth().is_none()
            && self.socket.send.urgent().is_none()
    }

    /// What [`emit`](Self::emit) comes to for such a segment.
    fn emit_plain(
        &mut self,
        cx: &mut Context<'_>,
        seq: Seq,
        len: u32,
        flags: Flags,
    ) -> Result<(), NotSent> {
        let edge = self.edge_to_offer(flags);
        let (ecn_flags, ecn) = self.ecn_of(seq, len, flags);
        let flags = flags | ecn_flags;
        let header = self.plain_header(cx, seq, flags, edge);
        let (position, header_len) = (self.position_of(seq), header.header_len());
        let send = &self.socket.send;
        let sent = send_written(cx.net, &self.flow, ecn, header_len + len as usize, |space| {
            let (head, payload) = space.split_at_mut(header_len);
            header.emit(head);
            if !payload.is_empty() {
                send.read_at(position, payload);
            }
        });
        self.note_sent(cx, sent, (seq, len, flags), edge)?;
        self.ecn_told((seq, len, flags), None);
        Ok(())
    }

    #[inline]
    pub(super) fn plain_header(
        &self,
        cx: &Context<'_>,
        seq: Seq,
        flags: Flags,
        edge: Seq,
    ) -> PlainHeader {
        PlainHeader {
            source_port: self.flow.local_port,
            destination_port: self.flow.remote_port,
            seq,
            ack: if flags.contains(Flags::ACK) { self.rcv.nxt } else { Seq(0) },
            flags,
            window: self.window_field(edge, flags),
            timestamps: self.timestamps_of(cx, flags),
        }
    }

    /// Sends an ACK without data, at once.
    pub(super) fn send_ack(&mut self, cx: &mut Context<'_>) {
        if self.emit(cx, self.snd.nxt, 0, Flags::ACK).is_err() {
            self.ack_now();
            self.retry_soon(cx.now());
        }
    }

    /// Everything received so far has been acknowledged, with a window up to `rcv.edge`.
    pub(super) fn acknowledged(&mut self, cx: &mut Context<'_>) {
        self.rcv.acked = self.rcv.nxt;
        if self.ack.owed != Owed::Nothing {
            self.ack.quick = self.ack.quick.saturating_sub(1);
            self.ack.owed = Owed::Nothing;
            self.deadlines.delayed_ack = Instant::FAR_FUTURE;
        }
        self.ask_for_hint(cx);
    }

    fn count_sent(&mut self, cx: &mut Context<'_>, seq: Seq, len: u32, flags: Flags) {
        let occupies = len > 0 || flags.intersects(Flags::SYN | Flags::FIN);
        if occupies && seq.precedes(self.snd.nxt) {
            self.totals.retransmitted = self.totals.retransmitted.wrapping_add(1);
            cx.net.metrics.count(Counter::TcpRetransSegs);
        } else {
            cx.net.metrics.count(Counter::TcpOutSegs);
        }
    }

    #[inline]
    fn timestamps_of(&self, cx: &Context<'_>, flags: Flags) -> Option<Timestamps> {
        self.timestamps.enabled.then(|| Timestamps {
            value: timestamp(cx.now(), self.timestamps.offset),
            echo: if flags.contains(Flags::ACK) { self.timestamps.recent } else { 0 },
        })
    }

    pub(super) fn options_for(
        &self,
        cx: &Context<'_>,
        (seq, flags, len): (Seq, Flags, u32),
        auth: Option<AuthKind>,
    ) -> TcpOptions {
        let timestamps = self.timestamps_of(cx, flags);
        if !flags.contains(Flags::SYN) {
            // A reset acknowledges nothing in particular.
            let full = if flags.contains(Flags::RST) { len } else { self.snd.mss.into() };
            let room = full.saturating_sub(len) as usize;
            let sack_blocks = self.sack_blocks(room);
            let options = TcpOptions { timestamps, sack_blocks, auth, ..TcpOptions::default() };
            return self.with_accurate_option(options, (seq, len, flags), room);
        }
        // A SYN-ACK offers what the SYN has offered; `rcv.wnd_shift` was cleared if it did not.
        let options = TcpOptions {
            order: cx.config.option_order,
            max_segment_size: Some(self.segment_size_to_offer(cx)),
            window_scale: self.rcv.scaling.then_some(self.rcv.wnd_shift),
            sack_permitted: self.sack,
            fast_open: self.syn_introduction().option,
            timestamps,
            auth,
            ..TcpOptions::default()
        };
        TcpOptions { accurate_ecn: self.option_of_syn(flags, &options), ..options }
    }
}

/// For a segment that carries nothing.
pub(super) const NO_PAYLOAD: (usize, fn(&mut [u8])) = (0, |_| ());

/// Why a segment was not sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    /// No frame is free.
    NoFrame,
    /// It does not fit the path's MTU.
    TooBig,
}

/// Sends one segment, signed where `header` has the option for that. A drop below counts there and is not an error here: the network may always lose
/// a segment.
pub(super) fn send_segment(
    net: &mut Net,
    (flow, signer): (&FlowKey4, Option<Signer<'_>>),
    header: &TcpHeader,
    ecn: Ecn,
    (payload_len, fill): (usize, impl FnOnce(&mut [u8])),
) -> Result<(), Refused> {
    let header_len = header.header_len();
    send_written(net, flow, ecn, header_len + payload_len, |space| {
        let (head, payload) = space.split_at_mut(header_len);
        header.emit(head);
        fill(payload);
        if let Some(signer) = signer {
            signer.sign(flow, head, payload);
        }
    })
}

/// Sends a segment of `len` bytes that `write` writes, but for its checksum.
#[inline]
fn send_written(
    net: &mut Net,
    flow: &FlowKey4,
    ecn: Ecn,
    len: usize,
    write: impl FnOnce(&mut [u8]),
) -> Result<(), Refused> {
    let mut frame = net.transport_frame().ok_or(Refused::NoFrame)?;
    write(frame.append(len).ok_or(Refused::TooBig)?);
    match net.send_ipv4(outgoing(flow, ecn), frame) {
        Ok(()) => Ok(()),
        Err(Drop::IpTooBig) => Err(Refused::TooBig),
        Err(drop) => {
            net.metrics.count_drop(drop);
            Ok(())
        }
    }
}

/// How segments of a flow are sent.
#[inline]
pub(super) fn outgoing(flow: &FlowKey4, ecn: Ecn) -> Outgoing {
    Outgoing {
        source: flow.local,
        destination: flow.remote,
        transport: Transport::Tcp,
        ttl: DEFAULT_TTL,
        tos: ecn.bits(),
        fragment: Fragment::DontFragment,
    }
}

/// What we tell peers about the largest segment we take: the device's MTU without fixed headers (RFC 6691, section 2).
pub(super) fn max_segment_size(net: &Net) -> u16 {
    net.interface.mtu.saturating_sub(FIXED_HEADERS)
}

/// Most bytes of payload and options that fit in one segment to `remote`, as far as is known.
pub(super) fn path_segment_size(net: &Net, remote: Ipv4Addr) -> u16 {
    segment_size(net, net.path_mtu(remote))
}

/// The same, if the path is no narrower than our own link.
pub(super) fn link_segment_size(net: &Net) -> u16 {
    segment_size(net, net.interface.mtu)
}

/// Most bytes of payload and options in a packet of `mtu` bytes.
pub(super) fn segment_size(net: &Net, mtu: u16) -> u16 {
    let room = u16::try_from(net.frame_room()).unwrap_or(u16::MAX);
    mtu.min(room).saturating_sub(FIXED_HEADERS).max(SEGMENT_SIZE_MIN)
}

#[expect(clippy::cast_possible_truncation, reason = "20 + 20")]
pub(super) const FIXED_HEADERS: u16 = (ipv4::HEADER_LEN + HEADER_LEN) as u16;
/// A path that takes less than this per packet is not worth its headers, and a forged ICMP error must not make it so
/// (the smallest MTU of RFC 791 is 68 bytes).
pub(super) const SEGMENT_SIZE_MIN: u16 = 88;
