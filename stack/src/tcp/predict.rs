//! Header prediction (Jacobson, 1990): nearly every segment of an established connection is the next one in order, or an ACK of something new, and
//! says nothing else.
//!
//! Such a segment passes every check of [`arrive`](super::arrive), and most of the steps there find nothing to do. So its header is compared with what is
//! expected, and only the steps are taken that do something. Whatever differs takes the general way, which comes to the same for those that do
//! not: the tests hold one against the other.

use pmd::Frame;

use super::Tcp;
use super::connection::{Connection, Context, seconds};
use super::segment::verify_checksum;
use super::seq::Seq;
use super::state::State;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::ip::{Addressed, Datagram, Ecn, Glanced};
use crate::wire::checksum::Sum;
use crate::wire::ipv4::protocol;
use crate::wire::tcp::{Flags, TcpView};
use crate::wire::tcp_options::Timestamps;

/// A segment that acknowledges, may carry data, and has no options but timestamps.
pub(super) struct Plain {
    pub(super) flow: FlowKey4,
    pub(super) seq: Seq,
    /// The number of the last of those that it stands for.
    pub(super) last: Seq,
    pub(super) ack: Seq,
    /// Not scaled yet.
    pub(super) window: u16,
    pub(super) timestamps: Option<Timestamps>,
    /// Bytes of headers that still stand before those of the payload.
    pub(super) header_len: usize,
    /// Of the payload.
    pub(super) len: u32,
}

impl Plain {
    /// `None` for any other, and for one whose checksum is wrong: which, is for the general way to say.
    #[inline]
    pub(super) fn of(datagram: &Datagram) -> Option<Self> {
        let &Datagram { ref frame, header_len, source, destination, tos, to, .. } = datagram;
        let glanced = Glanced { source, destination, tos };
        if to == Addressed::Unicast { Self::behind(frame, header_len, glanced) } else { None }
    }

    /// The same, in a frame that has the segment's header at `header_len`.
    #[inline(always)]
    pub(super) fn behind(frame: &Frame, header_len: usize, ip: Glanced) -> Option<Self> {
        let Glanced { source, destination, tos } = ip;
        let view = TcpView::parse(frame.head().get(header_len..)?).ok()?;
        let timestamps = view.only_timestamps()?;
        let plain = Flags(view.flags().0 & !Flags::PSH.0) == Flags::ACK;
        if !plain || Ecn::of(tos) == Ecn::Marked {
            return None;
        }
        let segment_len = u16::try_from(frame.len().checked_sub(header_len)?).ok()?;
        let pseudo_header =
            || Sum::pseudo_header_v4(source, destination, protocol::TCP, segment_len);
        verify_checksum(frame, header_len, pseudo_header).ok()?;
        let flow = FlowKey4 {
            remote: source,
            local: destination,
            remote_port: view.source_port(),
            local_port: view.destination_port(),
        };
        let header_len = header_len + view.header_len();
        let len = u32::try_from(frame.len().checked_sub(header_len)?).ok()?;
        let (seq, ack, window) = (view.seq(), view.ack(), view.window());
        Some(Self { flow, seq, last: seq, ack, window, timestamps, header_len, len })
    }
}

/// Whether segments are predicted: tests compare.
#[cfg(test)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Prediction {
    Off,
    On,
}

impl Tcp {
    #[cfg(test)]
    pub(super) fn predicts(&self) -> bool {
        self.prediction == Prediction::On
    }

    #[cfg(not(test))]
    pub(super) fn predicts(&self) -> bool {
        true
    }
}

impl Connection {
    /// Whether every check of the general way would pass, and none of its rarer steps would do anything.
    pub(super) fn expects(&self, plain: &Plain) -> bool {
        let advances = plain.ack.follows(self.snd.una);
        let next = plain.seq == self.rcv.nxt && plain.len <= self.receive_window();
        let acknowledges = advances && plain.ack.at_or_before(self.snd.nxt)
            || plain.ack == self.snd.una && plain.len > 0;
        let current = match plain.timestamps {
            Some(timestamps) => {
                let age = timestamps.value.wrapping_sub(self.timestamps.recent);
                self.timestamps.enabled && age.cast_signed() >= 0
            }
            None => !self.timestamps.enabled,
        };
        let in_order = match &self.sender {
            Some(sender) => sender.is_in_order(),
            None => !advances,
        };
        self.state == State::Established
            && next
            && acknowledges
            && current
            && in_order
            && self.retries == 0
            && self.is_undisturbed()
    }

    /// Whether nothing goes on beside the stream.
    fn is_undisturbed(&self) -> bool {
        self.reassembly.is_none()
            && self.urgent.is_none()
            && self.rare.accurate().is_none()
            && self.rare.auth().is_none()
            && !self.ecn.echoes()
            && !self.socket.is_closed()
    }

    /// The steps of section 3.10.7.4 that are left: the ACK, the window, the timestamp, and the text, which is in `payload`. The segment may
    /// stand for several, of which `acks` acknowledge something new.
    pub(super) fn take_predicted(
        &mut self,
        cx: &mut Context<'_>,
        (plain, acks): (&Plain, u32),
        payload: &[Frame],
    ) -> Result<(), Drop> {
        let now = cx.now();
        self.keepalive_answered(now);
        self.ack_releases();
        if plain.ack.follows(self.snd.una) {
            let path = self.path();
            let sender = self.sender.as_mut();
            let round_trip =
                sender.and_then(|sender| sender.advanced(now, (plain.ack, acks), path));
            self.learn_round_trip(cx, (round_trip, None), acks);
            self.new_ack(cx, plain.ack);
        }
        self.watch_tail(now);
        self.update_window((plain.last, plain.ack), u32::from(plain.window) << self.snd.wnd_shift);
        if let Some(timestamps) = plain.timestamps
            && plain.seq.at_or_before(self.rcv.acked)
        {
            self.timestamps.recent = timestamps.value;
            self.timestamps.recent_at = seconds(now);
        }
        if plain.len == 0 {
            return Ok(());
        }
        self.tune_receive_buffer(cx, plain.timestamps.map(|timestamps| timestamps.echo));
        let taken = self.take_text(cx, plain.len as usize, payload);
        self.count_memory(cx);
        taken
    }

    /// What was expected goes to the application.
    fn take_text(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
        payload: &[Frame],
    ) -> Result<(), Drop> {
        if let Err(limit) = self.admit(cx, len) {
            return self.take_what_fits(cx, payload).map_err(|()| limit);
        }
        payload.iter().for_each(|frame| self.deliver(frame));
        if self.socket.receive.is_shut() {
            payload.iter().for_each(|_| cx.net.metrics.count_drop(Drop::TcpReceiveShut));
        }
        self.text_came(cx, false);
        Ok(())
    }

    /// There is no memory for all of it: as many frames as there is memory for, and the others count as lost.
    #[cold]
    fn take_what_fits(&mut self, cx: &mut Context<'_>, payload: &[Frame]) -> Result<(), ()> {
        for (frame, behind) in payload.iter().zip((0..payload.len()).rev()) {
            if let Err(limit) = self.admit(cx, frame.len()) {
                (0..behind).for_each(|_| cx.net.metrics.count_drop(limit));
                return Err(());
            }
            self.deliver(frame);
            self.text_came(cx, false);
            self.count_memory(cx);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod sides;
#[cfg(test)]
mod tests;
