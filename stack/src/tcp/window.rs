//! Windows, both ways: what we offer, and what may be sent (RFC 9293, section 3.8.6; RFC 7323, section 2).

use super::connection::{Connection, Context, Nodelay};
use super::seq::Seq;
use crate::api::Readiness;
use crate::wire::tcp::Flags;

impl Connection {
    /// The right edge of the window as the next segment offers it.
    ///
    /// It moves by at least a full segment or half the buffer, so that the peer is not led to send in small pieces
    /// (section 3.8.6.2.2), or by [all there will ever be](Self::gains_no_more); and never back (section 3.8.6: SHOULD NOT
    /// shrink).
    pub(super) fn edge_to_offer(&mut self, flags: Flags) -> Seq {
        let mut edge = self.furthest_edge();
        if flags.contains(Flags::SYN) {
            edge = edge.earlier(self.rcv.nxt + u32::from(u16::MAX));
        }
        let gain = edge.signed_offset_from(self.rcv.edge);
        let worthwhile = gain >= self.least_window_step() || (gain > 0 && self.gains_no_more());
        if worthwhile { edge } else { self.rcv.edge }
    }

    /// Whether telling the peer of room is worth a segment of its own: where that doubles a window that has shrunk to half of the buffer, as in
    /// Linux; or anything worthwhile while the window is closed to full segments. Else the next ACK tells early enough.
    pub(super) fn owes_window_update(&mut self) -> bool {
        let gain = self.furthest_edge().signed_offset_from(self.rcv.edge);
        let step = self.least_window_step();
        if self.is_window_closed() {
            return gain >= step || (gain > 0 && self.gains_no_more());
        }
        if self.rcv.nxt == self.rcv.irs + 1 {
            // A SYN cannot say how wide a scaled window is. What the peer sends first fits, and is told by its ACK.
            return false;
        }
        let (window, limit) = (self.receive_window(), self.socket.receive.limit());
        let shrunk = window as usize <= limit / 2;
        shrunk && gain >= i32::try_from(window).unwrap_or(i32::MAX).max(step)
    }

    /// Whether everything was read, and the window is still closed to full segments. A peer that has seen a wider window, before
    /// the application made the buffer smaller, waits for more than half of that; the rest of the room is worth telling.
    fn gains_no_more(&mut self) -> bool {
        self.is_window_closed() && self.socket.receive.free() == self.socket.receive.limit()
    }

    /// Whether a full segment finds no room: the largest that has come, or as large as ours if none has been full yet.
    fn is_window_closed(&self) -> bool {
        self.receive_window() < u32::from(self.rcv.full.max(self.snd.mss))
    }

    /// While the window is as good as closed, the application is asked to say when it reads anything. What it read
    /// just before it was asked is looked at here (socket contract, R-16).
    pub(super) fn ask_for_hint(&mut self, cx: &mut Context<'_>) {
        let holds_back = self.socket.receive.wanted() > 1;
        let closed = self.is_window_closed() || (holds_back && self.rcv.squeezed);
        if closed == self.rcv.wants_hint {
            return;
        }
        self.rcv.wants_hint = closed;
        if !closed {
            self.socket.receive.open_window();
            return;
        }
        self.socket.receive.close_window();
        if holds_back && self.socket.receive.unread() > 0 {
            // More may not come before some is read.
            self.socket.raise(&mut cx.net.readies, Readiness::READABLE);
        }
        if self.owes_window_update() {
            self.ack_now();
        }
    }

    /// The window field that offers everything up to `edge`. Windows on a SYN are not scaled.
    pub(super) fn window_field(&self, edge: Seq, flags: Flags) -> u16 {
        let window = edge.later(self.rcv.nxt).offset_from(self.rcv.nxt);
        let shift = if flags.contains(Flags::SYN) { 0 } else { self.rcv.wnd_shift };
        u16::try_from(window >> shift).unwrap_or(u16::MAX)
    }

    /// Numbers from SND.NXT on that the peer has room for.
    pub(super) fn usable_window(&self) -> u32 {
        self.snd.wnd.saturating_sub(self.flight())
    }

    /// Whether a segment that is not full may go (section 3.8.6.2.1), `len` of `unsent` bytes being what the windows
    /// allow.
    ///
    /// Nagle's algorithm in Minshall's form: a small segment waits only while an earlier small one is not acknowledged.
    /// As the RFC has it, the last piece of every longer write would wait for a whole round trip and for the peer's
    /// delayed ACK. Urgent data does not wait.
    pub(super) fn may_send_small(&self, len: u32, unsent: u64) -> bool {
        let everything = u64::from(len) == unsent;
        let small_outstanding = self.snd.small.follows(self.snd.una);
        let half_the_window = len >= self.snd.max_wnd.div_ceil(2);
        let urgent = self.urgent_pointer(self.snd.nxt).is_some();
        match (everything, self.nodelay) {
            (true, _) if urgent => true,
            _ if self.holds_back() => false,
            (true, Nodelay::On) => true,
            (true, Nodelay::Off) => !small_outstanding || half_the_window,
            (false, _) => half_the_window,
        }
    }

    /// The furthest edge that the ring's free space, and the window field, allow: rounded up to what the field can say, for room
    /// for a full segment is to stay that. The ring takes what it has [offered](darner_ring::ReceiveProducer::write_all).
    fn furthest_edge(&mut self) -> Seq {
        let most = u32::from(u16::MAX) << self.rcv.wnd_shift;
        let free = u32::try_from(self.socket.receive.free()).unwrap_or(u32::MAX).min(most);
        self.rcv.nxt + self.squeeze(free).next_multiple_of(1 << self.rcv.wnd_shift)
    }

    fn least_window_step(&self) -> i32 {
        let half = self.socket.receive.limit() / 2;
        let step = half.min(usize::from(self.rcv.full)).max(1);
        i32::try_from(step).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use crate::socket::Target;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::Harness;

    const BUFFER: usize = 8000;

    fn full() -> Harness {
        let config = TcpConfig { receive_buffer: BUFFER, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        for part in 0..8 {
            t.input(&format!("A {}+1000 ack 1", 1 + part * 1000)).unwrap();
        }
        assert_eq!(t.emitted().last().unwrap().window, 0);
        t
    }

    #[test]
    fn the_window_is_the_room_that_is_left() {
        let config = TcpConfig { receive_buffer: BUFFER, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        t.input("A 1+1000 ack 1").unwrap();
        t.input("A 1001+1000 ack 1").unwrap();
        assert_eq!(t.last().window, 6000);
    }

    /// an application that asks for smaller buffers does not take a window back.
    #[test]
    fn what_was_offered_is_taken_also_after_the_buffer_was_made_smaller() {
        let config = TcpConfig { receive_buffer: BUFFER, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        let Target::Tcp(id) = t.stream().words().target() else { panic!() };
        t.tcp.set_buffers(&mut t.net, id, (Some(1000), None));
        t.burst(&["A 2001+1000 ack 1", "A 1+2000 ack 1"]);
        t.emitted();
        t.burst(&["A 3001+2500 ack 1", "A 5501+2500 ack 1"]);
        let last = t.last();
        assert_eq!((last.text.as_str(), last.window), ("A 1 ack 8001", 0));
        assert_eq!(t.read(9000).unwrap(), 8000);
        assert_eq!(t.last().window, 1000);
    }

    /// A peer that waits for half of the widest window it has seen must at least be told of all there is.
    #[test]
    fn a_window_that_is_closed_to_full_segments_opens_by_all_that_was_read() {
        let mut t = full();
        let Target::Tcp(id) = t.stream().words().target() else { panic!() };
        t.tcp.set_buffers(&mut t.net, id, (Some(1000), None));
        t.read(7700).unwrap();
        assert_eq!(t.last().window, 700);
        t.read(299).unwrap();
        assert_eq!(t.sent(), [""; 0]);
        t.read(1).unwrap();
        assert_eq!(t.last().window, 1000);
    }

    #[test]
    fn a_closed_window_opens_by_a_full_segment_and_not_before() {
        let mut t = full();
        t.read(999).unwrap();
        t.application();
        assert_eq!(t.sent(), [""; 0]);
        t.read(1).unwrap();
        let update = t.last();
        assert_eq!((update.text.as_str(), update.window), ("A 1 ack 8001", 1000));
    }

    #[test]
    fn an_open_window_is_updated_by_two_segments() {
        let mut t = full();
        t.read(2000).unwrap();
        assert_eq!(t.last().window, 2000);
        t.read(1999).unwrap();
        assert_eq!(t.sent(), [""; 0]);
        t.read(1000).unwrap();
        assert_eq!(t.last().window, 4999);
    }

    #[test]
    fn a_probe_of_a_window_that_has_opened_a_little_is_not_invited_to_more() {
        let mut t = full();
        t.read(999).unwrap();
        t.input("A 8001+1 ack 1").unwrap();
        let answer = t.last();
        assert_eq!((answer.text.as_str(), answer.window), ("A 1 ack 8001", 0));
    }

    /// Else a buffer for one segment would be one for less, and a peer that waits for room for a full one would wait long.
    #[test]
    fn room_is_rounded_up_to_what_a_scaled_window_can_say() {
        let config =
            TcpConfig { receive_buffer: 1 << 20, window_scaling: true, ..Harness::plain() };
        let mut t = Harness::connecting(&config);
        t.emitted();
        t.input("SA 0 ack 1 mss 1460 wscale 7 win 1000").unwrap();
        t.emitted();
        let Target::Tcp(id) = t.stream().words().target() else { panic!() };
        t.tcp.set_buffers(&mut t.net, id, (Some(1460), None));
        t.connection(|c| c.rcv.edge = c.rcv.nxt);
        t.input("A 0+1 ack 1").unwrap_err();
        assert_eq!(t.last().window, 1460_u16.div_ceil(1 << 5));
    }

    #[test]
    fn windows_are_scaled_as_agreed() {
        let config =
            TcpConfig { receive_buffer: 1 << 20, window_scaling: true, ..Harness::plain() };
        let mut t = Harness::connecting(&config);
        assert_eq!(t.last().window, u16::MAX, "not on the SYN");
        t.input("SA 0 ack 1 mss 1000 wscale 7 win 1000").unwrap();
        assert_eq!(t.last().window, 1 << 15);
        t.connection(|c| assert_eq!(c.snd.wnd, 1000));
        t.input("A 1 ack 1 win 1000").unwrap();
        t.connection(|c| assert_eq!(c.snd.wnd, 128_000));
    }
}
