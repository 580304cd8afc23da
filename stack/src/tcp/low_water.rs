//! Low-water marks: how many bytes are worth telling an application that reads, and how few may wait unsent until one that writes is to go on.
//!
//! What is worth reading stands in the receive ring, which both sides see. What may wait unsent is a matter of the send ring's limit: a
//! connection with such a mark buffers what is on its way and as much more, so that whoever writes finds no room beyond. A buffer that grows by itself has one,
//! too.

use super::autotune::Sizing;
use super::connection::{Connection, Context};
use crate::api::Readiness;

/// A limit for what is written and not sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsent {
    /// At most so many bytes.
    mark: u32,
    /// Most bytes that are buffered in all.
    buffer: usize,
    /// SND.NXT when the limit was last adjusted, as a position of the ring.
    sent: u64,
}

impl Connection {
    /// The application wants to hear of more bytes, or of fewer. A window that closes below the mark would bring none of them: a buffer that may grow
    /// holds twice as much.
    pub(super) fn receive_low_water_changed(&mut self, cx: &mut Context<'_>) {
        let receive = &mut self.socket.receive;
        let wanted = receive.wanted().saturating_mul(2).min(cx.config.largest_receive_buffer());
        if self.rcv.sizing == Sizing::Automatic && wanted > receive.limit() {
            receive.set_limit(wanted);
        }
        if receive.unread() > 0 && receive.is_wanted() {
            self.socket.raise(&mut cx.net.readies, Readiness::READABLE);
        }
    }

    /// The application may have set another mark.
    pub(super) fn take_unsent_low_water(&mut self, cx: &mut Context<'_>, own: Option<u32>) {
        let mark = own.or(cx.config.unsent_low_water).or_else(|| self.mark_of_grown(cx));
        let mark = mark.map(|mark| mark.max(1));
        if mark == self.unsent_limit().map(|unsent| unsent.mark) {
            return;
        }
        let (buffer, sent) = (self.send_buffer(), self.position_of(self.snd.nxt));
        self.rare.set_unsent(mark.map(|mark| Unsent { mark, buffer, sent }));
        self.set_send_buffer(buffer);
        self.socket.raise(&mut cx.net.readies, Readiness::WRITABLE);
    }

    /// The stack's mark holds, unless the application has set one already.
    pub(super) fn begin_unsent_low_water(&mut self, cx: &mut Context<'_>) {
        if self.unsent_limit().is_none() {
            self.take_unsent_low_water(cx, None);
        }
    }

    /// A buffer that has grown by itself has done so for what is on its way. What waits unsent needs no more room than there was at first: it would only be written
    /// earlier than it can leave, and have left the CPU's caches until then.
    fn mark_of_grown(&self, cx: &Context<'_>) -> Option<u32> {
        let first = cx.config.send_buffer;
        let grown = self.snd.sizing == Sizing::Automatic && self.send_buffer() > first;
        grown.then(|| u32::try_from(first).unwrap_or(u32::MAX))
    }

    fn unsent_limit(&self) -> Option<&Unsent> {
        self.rare.unsent()
    }

    /// Most bytes that are buffered for sending, sent or not.
    pub(super) fn send_buffer(&self) -> usize {
        self.unsent_limit().map_or(self.socket.send.limit(), |unsent| unsent.buffer)
    }

    pub(super) fn set_send_buffer(&mut self, bytes: usize) {
        match self.rare.unsent_mut() {
            Some(unsent) => unsent.buffer = bytes,
            None => self.socket.send.set_limit(bytes),
        }
        self.limit_unsent();
    }

    /// Bytes have left the ring, or were sent: as many as are on their way, and the mark, fit from now on. Only after a release, or a writer could find the
    /// ring full that nobody tells of room.
    pub(super) fn limit_unsent(&mut self) {
        if let Some(&Unsent { mark, buffer, .. }) = self.unsent_limit() {
            let released = self.socket.send.released();
            let on_way = self.position_of(self.snd.nxt).saturating_sub(released);
            let room = usize::try_from(on_way).unwrap_or(usize::MAX).saturating_add(mark as usize);
            self.socket.send.set_limit(buffer.min(room));
        }
    }

    /// A turn has sent what it could. Whoever writes is told once half of the mark is free, as in Linux, and not at each segment. The half is counted twice, as
    /// where bytes are released: what the application appends meanwhile was not seen.
    pub(super) fn watch_unsent(&mut self, cx: &mut Context<'_>) {
        let Some(&Unsent { mark, sent, .. }) = self.unsent_limit() else { return };
        let tail = self.socket.send.tail().position;
        let now_sent = self.position_of(self.snd.nxt).min(tail);
        self.limit_unsent();
        if let Some(unsent) = self.rare.unsent_mut() {
            unsent.sent = now_sent;
        }
        let half = u64::from(mark) / 2;
        let (before, after) = (tail.saturating_sub(sent), tail - now_sent);
        if now_sent > sent && before >= half && after <= half {
            self.socket.raise(&mut cx.net.readies, Readiness::WRITABLE);
        }
    }
}

#[cfg(test)]
mod tests {
    use darner_ring::CHUNK;

    use super::*;
    use crate::socket::Part;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::Harness;

    fn told(t: &mut Harness, part: Part) -> Readiness {
        t.stream().words().take_events(part)
    }

    fn waiting_for(bytes: usize) -> Harness {
        let config = TcpConfig { receive_buffer: 8000, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        t.stream().set_receive_low_water(bytes);
        t.application();
        told(&mut t, Part::Read);
        t
    }

    #[test]
    fn bytes_are_told_once_they_are_as_many_as_wanted() {
        let mut t = waiting_for(1500);
        t.input("A 1+1000 ack 1").unwrap();
        assert_eq!(told(&mut t, Part::Read), Readiness::empty());
        assert!(!t.stream().is_read_ready());
        t.input("A 1001+500 ack 1").unwrap();
        assert_eq!(told(&mut t, Part::Read), Readiness::READABLE);
        assert!(t.stream().is_read_ready());
        // Who does not wait gets what there is.
        assert_eq!(t.read(1400).unwrap(), 1400);
        assert!(!t.stream().is_read_ready());
        assert_eq!(t.read(1400).unwrap(), 100);
    }

    #[test]
    fn the_end_an_error_and_an_urgent_byte_are_told_with_fewer() {
        for (segment, want) in [
            ("FA 1+10 ack 1", Readiness::READ_CLOSED),
            ("R 1", Readiness::ERROR),
            ("UA 1+10 ack 1 urg 5", Readiness::URGENT),
        ] {
            let mut t = waiting_for(1500);
            t.input(segment).unwrap();
            assert!(told(&mut t, Part::Read).contains(Readiness::READABLE | want), "{segment}");
            assert!(t.stream().is_read_ready(), "{segment}");
        }
    }

    #[test]
    fn a_lower_mark_tells_what_was_not_worth_it_before() {
        let mut t = waiting_for(1500);
        t.input("A 1+1000 ack 1").unwrap();
        t.stream().set_receive_low_water(1000);
        assert_eq!(told(&mut t, Part::Read), Readiness::empty());
        t.application();
        assert_eq!(told(&mut t, Part::Read), Readiness::READABLE);
    }

    /// Else the window would close before there are as many.
    #[test]
    fn no_more_is_waited_for_than_half_of_the_buffer() {
        let mut t = waiting_for(1_000_000);
        assert_eq!(t.stream().receive_low_water(), 4000);
        for part in 0..4 {
            assert_eq!(told(&mut t, Part::Read), Readiness::empty());
            t.input(&format!("A {}+1000 ack 1", 1 + 1000 * part)).unwrap();
        }
        assert_eq!(told(&mut t, Part::Read), Readiness::READABLE);
    }

    #[test]
    fn a_buffer_that_may_grow_grows_to_hold_twice_as_much() {
        let config =
            TcpConfig { receive_buffer: 8000, receive_buffer_max: 50_000, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        t.stream().set_receive_low_water(20_000);
        t.application();
        assert_eq!(t.connection(|c| c.socket.receive.limit()), 40_000);
        assert_eq!(t.stream().receive_low_water(), 20_000);
        t.stream().set_receive_low_water(40_000);
        t.application();
        assert_eq!(t.stream().receive_low_water(), 25_000);
    }

    /// The next segment may find no memory.
    #[test]
    fn while_memory_runs_out_fewer_are_told() {
        let config =
            TcpConfig { receive_buffer: 8000, max_buffered: 2 * CHUNK, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        t.stream().set_receive_low_water(4000);
        t.application();
        told(&mut t, Part::Read);
        t.input("A 1+1000 ack 1").unwrap();
        t.input("A 1001+1000 ack 1").unwrap();
        assert!(t.connection(|c| c.rcv.squeezed));
        assert_eq!(told(&mut t, Part::Read), Readiness::READABLE);
        assert!(t.stream().is_read_ready());
    }

    fn writing(mark: u32) -> Harness {
        let config = TcpConfig { send_buffer: 50_000, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        t.stream().set_unsent_low_water(Some(mark));
        t.application();
        told(&mut t, Part::Write);
        t
    }

    #[test]
    fn a_write_takes_what_may_wait_unsent() {
        let mut t = writing(3000);
        assert_eq!(t.write(50_000), 3000);
        assert_eq!(t.sent().len(), 3);
        // All of it was sent: as much again may wait.
        assert_eq!((t.write(50_000), t.write(50_000), t.write(50_000)), (3000, 3000, 3000));
        assert_eq!(t.stream().unacknowledged(), 12_000);
        t.sent();
        assert_eq!(t.write(50_000), 1000, "the congestion window lets ten segments go");
        assert_eq!(t.write(1), 0);
        assert!(!t.stream().is_write_ready());
    }

    #[test]
    fn a_writer_is_told_when_half_of_the_mark_is_sent() {
        let mut t = writing(4000);
        t.write(4000);
        t.write(4000);
        t.write(4000);
        t.write(4000);
        assert_eq!(t.stream().unacknowledged(), 14_000, "ten are sent, four wait");
        told(&mut t, Part::Write);
        t.input("A 1 ack 1001 win 10000").unwrap();
        assert_eq!(told(&mut t, Part::Write), Readiness::empty());
        assert_eq!(t.stream().writable(), 1000);
        t.input("A 1 ack 2001 win 10000").unwrap();
        assert_eq!(told(&mut t, Part::Write), Readiness::WRITABLE);
        assert_eq!(t.stream().writable(), 2000);
    }

    #[test]
    fn without_a_mark_the_buffer_is_the_limit_again() {
        let mut t = writing(4000);
        t.write(4000);
        t.stream().set_unsent_low_water(None);
        t.application();
        assert_eq!(told(&mut t, Part::Write), Readiness::WRITABLE);
        assert_eq!(t.write(50_000), 46_000);
    }

    #[test]
    fn the_stacks_marks_hold_from_the_beginning() {
        let config =
            TcpConfig { unsent_low_water: Some(2000), receive_low_water: 3000, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        assert_eq!(t.write(50_000), 2000);
        assert_eq!(t.stream().receive_low_water(), 3000);
        told(&mut t, Part::Read);
        t.input("A 1+1000 ack 1").unwrap();
        assert_eq!(told(&mut t, Part::Read), Readiness::empty());
    }
}
