//! How a connection's segments leave, where there is room for them.

use super::flow::{State, coarse};
use super::port::Port;
use super::segment::{ACK, FIN, PUSH, SYN, Segment};
use super::tcp::{Tcp, wrapped};
use super::template::Fields;

impl Tcp {
    /// Sends what a connection owes, as far as there is room and it may; the rest waits its turn.
    pub(super) fn send_owed(&mut self, port: &mut Port, slot: u32) {
        if self.flow(slot).owed == 0 || self.flow(slot).queued {
            return;
        }
        let sent = self.queue.is_empty() && self.send_segment(port, slot);
        if !sent || self.can_send(slot) {
            self.flow(slot).queued = true;
            self.queue.push_back(slot);
        }
    }

    /// Has those that wait send.
    pub(super) fn serve_queue(&mut self, port: &mut Port) {
        while port.room() > 0 {
            let Some(slot) = self.queue.pop_front() else { return };
            if !self.may_ask(slot) {
                return self.queue.push_front(slot);
            }
            self.flow(slot).queued = false;
            while port.room() > 0 && self.send_segment(port, slot) {}
            if self.can_send(slot) {
                self.flow(slot).queued = true;
                self.queue.push_back(slot);
            }
        }
    }

    fn can_send(&self, slot: u32) -> bool {
        let Some(flow) = self.flows.get(slot as usize) else { return false };
        let room = flow.window.min(self.plan.in_flight);
        let next = flow.owed.min(SEGMENT_MOST);
        let fits = flow.in_flight() == 0 || flow.in_flight().saturating_add(next) <= room;
        flow.state == State::Open && flow.owed > 0 && fits
    }

    /// Whether one more request may be under way. Where there are more connections than the wire holds frames, the client keeps the
    /// others waiting: what it sends, and what comes back, is not to be lost for want of room.
    fn may_ask(&self, slot: u32) -> bool {
        let asks = self.flows.get(slot as usize).is_some_and(|flow| flow.asks);
        asks || self.under_way < self.plan.under_way_most()
    }

    /// A request was answered, or its connection has ended.
    pub(super) fn no_longer_asks(&mut self, slot: u32) {
        let flow = self.flow(slot);
        let asked = std::mem::take(&mut flow.asks);
        self.under_way -= u32::from(asked);
    }

    /// Sends one segment of what is owed.
    fn send_segment(&mut self, port: &mut Port, slot: u32) -> bool {
        let may = self.can_send(slot) && self.may_ask(slot);
        let Some(templates) = self.templates.as_ref().filter(|_| may) else { return false };
        let Some(flow) = self.flows.get(slot as usize) else { return false };
        let most = if flow.timestamps { templates.timed.most() } else { templates.plain.most() };
        let most = u32::try_from(most).unwrap_or(0);
        let (len, begins) = (flow.owed.min(most), flow.in_flight() == 0);
        let endless = self.plan.sends_without_end();
        let flags = if flow.owed > most && !endless { ACK } else { ACK | PUSH };
        if self.emit(port, slot, flags, len).is_none() {
            return false;
        }
        let time = coarse(self.now);
        let flow = self.flow(slot);
        if begins {
            // How long it had nothing to send is not how long it waits for an answer.
            flow.progress = time;
        }
        if !endless {
            flow.owed -= len;
        }
        let asked = std::mem::replace(&mut flow.asks, true);
        self.under_way += u32::from(!asked);
        self.counts.bytes_out += u64::from(len);
        true
    }

    /// Sends a segment where the connection is.
    pub(super) fn emit(&mut self, port: &mut Port, slot: u32, flags: u8, len: u32) -> Option<()> {
        let (address, source) = self.addresses.of(self.flow(slot).number);
        // Milliseconds, never zero.
        let time = wrapped(self.now / 1_000_000) | 1 << 31;
        let flow = self.flows.get_mut(slot as usize)?;
        let templates = self.templates.as_ref()?;
        let template = match flags & SYN != 0 {
            true => &templates.syn,
            false if flow.timestamps => &templates.timed,
            false => &templates.plain,
        };
        let ack = if flags & ACK != 0 { flow.expected } else { 0 };
        let (seq, echo) = (flow.next, flow.echo);
        let fields = Fields {
            address,
            port: source,
            seq,
            ack,
            flags,
            window: WINDOW,
            time,
            echo,
            len: len as usize,
        };
        port.send(|frame| template.write(frame, &fields))?;
        let marks = u32::from(flags & (SYN | FIN) != 0);
        flow.next = seq.wrapping_add(len).wrapping_add(marks);
        flow.unacknowledged = 0;
        Some(())
    }

    /// Answers a segment of a connection that is no more, from that segment alone: a FIN that comes again is acknowledged again.
    pub(super) fn stray(&mut self, port: &mut Port, number: u32, segment: &Segment) {
        self.counts.strays += 1;
        let Some(templates) = self.templates.as_ref().filter(|_| segment.flags & FIN != 0) else {
            return;
        };
        let (address, source) = self.addresses.of(number);
        let template =
            if segment.timestamp.is_some() { &templates.timed } else { &templates.plain };
        let fields = Fields {
            address,
            port: source,
            seq: segment.ack,
            ack: segment.end(),
            flags: ACK,
            window: WINDOW,
            time: wrapped(self.now / 1_000_000) | 1 << 31,
            echo: segment.timestamp.unwrap_or(0),
            len: 0,
        };
        let _lost_like_any_frame = port.send(|frame| template.write(frame, &fields));
    }
}

/// No segment has more payload over Ethernet.
const SEGMENT_MOST: u32 = 1460;

/// The window that we offer, to be shifted: 8 MiB.
const WINDOW: u16 = u16::MAX;
