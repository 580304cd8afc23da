//! Full segments that leave one after the other are made together: by the device, where that cuts segments (TSO), else here.
//!
//! When the windows let several full segments of new data go, and nothing about one of them depends on whether the one before it has left, everything is
//! decided, looked up and noted once for all of them, and what is left to do for each is its number, its bytes and its sum. It comes to the same as
//! [`transmit`](super::transmit) one by one, which the tests hold against it.

use super::config::PushRule;
use super::connection::{Connection, Context};
use super::emit::{NotSent, outgoing};
use super::seq::Seq;
use super::transmit::Segment;
use crate::counters::Counter;
use crate::ip;
use crate::net::Net;
use crate::wire::tcp::{Flags, PlainHeader};

/// Full segments from SND.NXT on.
pub(super) struct Train {
    /// At least two.
    segments: u32,
    /// The last of them is pushed.
    pushed: bool,
    wire: ip::Train,
    /// Of the first of them.
    header: PlainHeader,
    /// The edge of the window that all of them offer.
    edge: Seq,
}

impl Connection {
    /// The train that `first`, which may leave now, begins. `None` where each has to be looked at.
    pub(super) fn train_of(&mut self, cx: &mut Context<'_>, first: &Segment) -> Option<Train> {
        let mss = u32::from(self.snd.mss);
        if first.len < mss || first.flags != Flags::ACK || !self.is_plain_to_send(first.flags) {
            return None;
        }
        let sender = self.sender.as_ref()?;
        let room = sender.room_at_once(cx.config.pacing, self.rtt.srtt());
        let pushed_at = match cx.config.push {
            PushRule::Written => None,
            PushRule::Trains => Some(sender.train_end.offset_from(self.snd.nxt)),
        };
        let frames = cx.net.backlog_room();
        // The segment that ends what is written is another matter.
        let unsent = u32::try_from(self.unsent().saturating_sub(1)).unwrap_or(u32::MAX);
        let bytes = room.min(self.usable_window()).min(unsent).min(pushed_at.unwrap_or(u32::MAX));
        let segments = (bytes / mss).min(frames);
        if segments < 2 {
            return None;
        }
        let edge = self.edge_to_offer(first.flags);
        let (ecn_flags, ecn) = self.ecn_of(self.snd.nxt, mss, first.flags);
        if ecn_flags.contains(Flags::CWR) {
            // The first of them says it.
            return None;
        }
        let header = self.plain_header(cx, self.snd.nxt, first.flags | ecn_flags, edge);
        let lengths = (header.header_len(), mss as usize);
        let wire = cx.net.train(&outgoing(&self.flow, ecn), lengths)?;
        let pushed = pushed_at == Some(segments * mss);
        Some(Train { segments, pushed, wire, header, edge })
    }

    /// Sends as much of a train as there are frames for. Returns how many numbers that was.
    pub(super) fn send_train(
        &mut self,
        cx: &mut Context<'_>,
        train: &Train,
    ) -> Result<u32, NotSent> {
        let sent = self.emit_train(cx, train);
        if sent == 0 {
            return Err(NotSent);
        }
        cx.net.count_train(sent);
        cx.net.metrics.add(Counter::TcpOutSegs, sent.into());
        self.rcv.edge = self.rcv.edge.later(train.edge);
        self.acknowledged(cx);
        let mss = u32::from(self.snd.mss);
        let numbers = sent * mss;
        self.ecn_told((self.snd.nxt, numbers, train.header.flags), None);
        self.new_sent(cx, (numbers, numbers), numbers - mss);
        Ok(numbers)
    }

    /// Returns how many have left.
    fn emit_train(&mut self, cx: &mut Context<'_>, train: &Train) -> u32 {
        let mss = u32::from(self.snd.mss);
        let start = self.position_of(self.snd.nxt);
        let mut header = train.header;
        let (mut sent, mut at_once) = (0, train.wire.at_once());
        while sent < train.segments {
            let count = at_once.min(train.segments - sent);
            if train.pushed && sent + count == train.segments {
                header.flags = header.flags | Flags::PSH;
            }
            let position = start + u64::from(sent * mss);
            if self.emit_some(cx.net, train, (&header, position), count).is_err() {
                if count == 1 {
                    break;
                }
                // There may be frames for fewer.
                at_once = count / 2;
                header.flags = train.header.flags;
                continue;
            }
            header.seq += count * mss;
            sent += count;
        }
        sent
    }

    /// Sends as many segments as the device takes as one packet.
    #[inline]
    fn emit_some(
        &self,
        net: &mut Net,
        train: &Train,
        (header, position): (&PlainHeader, u64),
        count: u32,
    ) -> Result<(), ip::Stopped> {
        let (send, header_len) = (&self.socket.send, header.header_len());
        if count > 1 {
            let fill = |at: usize, out: &mut [u8]| _ = send.read_at(position + at as u64, out);
            return net.send_at_once(&train.wire, count, |head| header.emit(head), fill);
        }
        net.send_in_train(&train.wire, |space, mut sum| {
            let (head, mut payload) = space.split_at_mut(header_len);
            header.emit(head);
            if let Some(sum) = &mut sum {
                sum.add_bytes(head);
            }
            for bytes in send.slices_at(position, payload.len()) {
                let (to, rest) = payload.split_at_mut(bytes.len());
                match &mut sum {
                    Some(sum) => sum.copy(to, bytes),
                    None => to.copy_from_slice(bytes),
                }
                payload = rest;
            }
        })
    }
}

#[cfg(test)]
mod tests;
