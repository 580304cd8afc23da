//! Segments of one connection that arrive in a row are taken as one: their data as one run, their acknowledgements as the last.
//!
//! It is what NICs and kernels do as LRO and GRO, at the only place where it costs nothing else: only segments that were
//! [predicted](super::predict) are gathered, only while nothing else arrives, and no longer than for a burst of the device, or for those that a turn takes together: some that are all of
//! one connection, or full of SYNs that are set aside. The peer cannot tell
//! the difference: ACKs go out at the end of a turn anyway, and a cumulative ACK says what those before it have said.

use arrayvec::ArrayVec;
use pmd::{Burst, Frame, free_all};

use super::Tcp;
use super::connection::Context;
use super::predict::Plain;
use super::seq::Seq;
use crate::counters::Counter;
use crate::drops::Drop;
use crate::ip::{Datagram, HEADERS_LEN};
use crate::net::Net;
use crate::socket::SocketId;

/// What was gathered, and where it goes.
#[derive(Default)]
pub(super) struct Gathered {
    to: Option<To>,
    /// Those that were gathered since they were last freed, together: first those that are of no use any more.
    frames: ArrayVec<Frame, { BURSTS * Burst::CAPACITY }>,
    /// Where those begin that carry something for `to`.
    payload: usize,
    /// The segment that comes next was looked at [already](Tcp::gather_at_a_glance), and is not to be gathered.
    refused: bool,
}

impl Gathered {
    #[inline]
    fn keep(&mut self, plain: &Plain, mut frame: Frame) {
        if plain.len > 0 {
            frame.trim_front(plain.header_len);
            self.frames.push(frame);
        } else {
            self.frames.push(frame);
            self.payload = self.frames.len();
        }
    }

    fn payload(&self) -> &[Frame] {
        self.frames.get(self.payload..).unwrap_or_default()
    }

    /// What there is is of no use any more.
    #[inline]
    fn pass(&mut self) {
        self.payload = self.frames.len();
        if self.frames.is_full() {
            self.free();
        }
    }

    fn free(&mut self) {
        free_all(&mut self.frames);
        self.payload = 0;
    }
}

struct To {
    id: SocketId,
    /// All of them as one.
    segment: Plain,
    count: usize,
    /// How many of them acknowledge something new.
    acks: u32,
    /// Bytes that the window takes.
    room: u32,
    /// What was sent last: nothing beyond can be acknowledged.
    nxt: Seq,
}

impl To {
    /// Makes `next` part of what was gathered, if it goes on where that ends.
    #[inline]
    fn take(&mut self, next: &Plain) -> Result<(), ()> {
        let segment = &mut self.segment;
        let acknowledges = next.ack.at_or_after(segment.ack) && next.ack.at_or_before(self.nxt);
        let goes_on = match (segment.len, next.len) {
            // The second of two that say the same is a duplicate.
            (0, 0) => next.seq == segment.seq && next.ack != segment.ack,
            (0, _) | (_, 0) => false,
            (len, more) => next.seq == segment.seq + len && more <= self.room.saturating_sub(len),
        };
        let later = match (segment.timestamps, next.timestamps) {
            (Some(before), Some(now)) => now.value.wrapping_sub(before.value).cast_signed() >= 0,
            (None, None) => true,
            _ => false,
        };
        if next.flow != segment.flow || !acknowledges || !goes_on || !later {
            return Err(());
        }
        if segment.len == 0 {
            segment.timestamps = next.timestamps;
        }
        self.count += 1;
        self.acks += u32::from(next.ack != segment.ack);
        (segment.last, segment.ack, segment.window) = (next.seq, next.ack, next.window);
        segment.len += next.len;
        Ok(())
    }
}

impl Tcp {
    /// Takes a frame whose segment is to be [gathered](Self::gather), without the layers in between: they have let its like pass. Else gives it back.
    #[inline]
    pub(crate) fn gather_at_a_glance(
        &mut self,
        net: &mut Net,
        mut frame: Frame,
    ) -> Result<(), Frame> {
        self.gathered.refused = false;
        let Some((glanced, len)) = net.glance(&frame).filter(|_| self.predicts()) else {
            return Err(frame);
        };
        // Behind the packet stands what fills a frame up to the link's shortest.
        if len < frame.len() {
            frame.truncate(len);
        }
        let Some(plain) = Plain::behind(&frame, HEADERS_LEN, glanced) else { return Err(frame) };
        if self.goes_on(&plain) {
            self.gathered.keep(&plain, frame);
        } else {
            self.pass_on_before_another(net);
            self.begin_to_gather(plain, frame).inspect_err(|_| self.gathered.refused = true)?;
        }
        net.count_glanced();
        net.metrics.count(Counter::TcpInSegs);
        Ok(())
    }

    /// Takes a segment that its connection expects next, or that goes on where what was gathered ends: now, or together with others. Else gives the datagram
    /// back, and nothing is gathered any more.
    #[inline]
    pub(super) fn gather(&mut self, net: &mut Net, datagram: Datagram) -> Result<(), Datagram> {
        if std::mem::take(&mut self.gathered.refused) {
            return Err(datagram);
        }
        let plain = Plain::of(&datagram).filter(|_| self.predicts());
        if let Some(plain) = &plain
            && self.goes_on(plain)
        {
            self.gathered.keep(plain, datagram.frame);
            return Ok(());
        }
        self.pass_on_before_another(net);
        let Some(plain) = plain else { return Err(datagram) };
        let frame = datagram.frame;
        self.begin_to_gather(plain, frame).map_err(|frame| Datagram { frame, ..datagram })
    }

    /// What was gathered comes before what follows it.
    #[inline]
    fn pass_on_before_another(&mut self, net: &mut Net) {
        if let Err(drop) = self.pass_on_gathered(net) {
            net.metrics.count_drop(drop);
        }
    }

    /// Makes a segment part of what was gathered, if it goes on where that ends.
    #[inline]
    fn goes_on(&mut self, plain: &Plain) -> bool {
        let Gathered { to, frames, .. } = &mut self.gathered;
        to.as_mut().is_some_and(|to| !frames.is_full() && to.take(plain).is_ok())
    }

    /// Gathers for another connection, if that expects the segment. Else gives its frame back.
    #[inline]
    fn begin_to_gather(&mut self, plain: Plain, frame: Frame) -> Result<(), Frame> {
        let Some(id) = self.find_foreseen(&plain.flow) else { return Err(frame) };
        let Some(connection) = self.connections.get_mut(id) else { return Err(frame) };
        if !connection.expects(&plain) {
            return Err(frame);
        }
        let (room, nxt) = (connection.receive_window(), connection.snd.nxt);
        let acks = u32::from(plain.ack != connection.snd.una);
        self.gathered.keep(&plain, frame);
        self.gathered.to = Some(To { id, segment: plain, count: 1, acks, room, nxt });
        Ok(())
    }

    /// Whether at least the last `count` segments were gathered, and more can be.
    #[inline]
    pub(crate) fn has_gathered(&self, count: usize) -> bool {
        let in_a_row = self.gathered.to.as_ref().map_or(0, |to| to.count);
        in_a_row >= count && !self.gathered.frames.is_full()
    }

    /// What was gathered reaches its connection, and the frames their device. To be called behind the bursts that are taken together, and before anything else happens.
    ///
    /// # Errors
    ///
    /// Why it was dropped.
    pub(crate) fn settle_gathered(&mut self, net: &mut Net) -> Result<(), Drop> {
        let taken = self.pass_on_gathered(net);
        self.gathered.free();
        self.gathered.refused = false;
        taken
    }

    fn pass_on_gathered(&mut self, net: &mut Net) -> Result<(), Drop> {
        let Self { gathered, connections, config, challenges, memory, cookies, dirty, .. } = self;
        let Some(To { id, segment, acks, .. }) = gathered.to.take() else { return Ok(()) };
        let Some(connection) = connections.get_mut(id) else {
            gathered.pass();
            return Err(Drop::TcpNoSocket);
        };
        if segment.len > 0 && connection.socket.is_closed() {
            // Nobody is left to read it, since it was gathered.
            return self.refuse_gathered(net, id, segment.ack);
        }
        let mut cx = Context { net, config, challenges, memory, cookies };
        let taken = connection.take_predicted(&mut cx, (&segment, acks), gathered.payload());
        if !std::mem::replace(&mut connection.listed, true) {
            dirty.push(id);
        }
        gathered.pass();
        taken
    }

    #[cold]
    fn refuse_gathered(&mut self, net: &mut Net, id: SocketId, ack: Seq) -> Result<(), Drop> {
        let more = self.gathered.payload().len().saturating_sub(1);
        self.gathered.pass();
        self.with_connection(net, id, |connection, cx| connection.refuse_after_close(cx, ack));
        (0..more).for_each(|_| net.metrics.count_drop(Drop::TcpAfterClose));
        Err(Drop::TcpAfterClose)
    }
}

/// Bursts that are taken in one turn as long as all of it is gathered for one connection: its trains then follow larger groups of ACKs.
pub(crate) const BURSTS: usize = 2;

#[cfg(test)]
mod tests;
