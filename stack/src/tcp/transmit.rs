//! What is sent when: new data within the windows, the FIN behind it, and the ACK that nothing else has carried.

use super::config::TcpConfig;
use super::congestion::algorithm;
use super::congestion::controller::Start;
use super::connection::{Connection, Context, Owed};
use super::emit::NotSent;
use super::sender::{BusyTimes, HeldBack, Obstacle, Sender};
use super::seq::Seq;
use crate::net::OUTBOX_RESERVE;
use crate::time::Instant;
use crate::wire::tcp::Flags;

/// What goes out next.
enum Next {
    New(Segment),
    /// At most so many numbers from there on.
    Again(Seq, u32),
}

/// Whether new data waits for the device alone at the end of a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rest {
    Nothing,
    More,
}

/// A segment of new data.
pub(super) struct Segment {
    pub(super) len: u32,
    pub(super) flags: Flags,
    /// Nothing is behind it yet.
    pub(super) is_last: bool,
}

/// What went out when a window was asked after.
pub(super) enum Sent {
    Data,
    /// A segment that only asks.
    Probe,
}

impl Connection {
    /// The connection's part of the end of a turn: sends what may be sent, then what it still owes the peer.
    pub(super) fn transmit(&mut self, cx: &mut Context<'_>) -> Rest {
        let mut rest = Rest::Nothing;
        if self.may_send_data() {
            match self.transmit_data(cx) {
                Ok(HeldBack::ByDevice) => rest = Rest::More,
                Ok(_) => {
                    self.flushed();
                    self.watch_window(cx.now());
                }
                Err(NotSent) => {
                    self.retry_soon(cx.now());
                    return rest;
                }
            }
            self.watch_unsent(cx);
            if self.state.can_receive() && self.owes_window_update() {
                self.ack_now();
            }
            if self.owes_urgent() {
                self.ack_now();
            }
        }
        if self.ack.owed == Owed::Now {
            self.send_last_ack(cx);
        }
        rest
    }

    /// The ACK may have asked the application to say when it reads, and have found that it has read just then: that is owed in this turn, for nothing
    /// else will call for it (socket contract, R-16). Asked is only once. Where no frame was to be had another try is due.
    fn send_last_ack(&mut self, cx: &mut Context<'_>) {
        let retry = self.deadlines.retry;
        self.send_ack(cx);
        if self.ack.owed == Owed::Now && self.deadlines.retry == retry {
            self.send_ack(cx);
        }
    }

    fn transmit_data(&mut self, cx: &mut Context<'_>) -> Result<HeldBack, NotSent> {
        self.notice_pause(cx.now());
        let before = self.snd.nxt;
        let looked = if self.path_mtu.is_some() { self.look_at_path(cx) } else { Ok(()) };
        let held_back = match looked {
            Ok(()) => self.send_what_may_leave(cx),
            Err(why) => Ok(why),
        };
        if let Ok(HeldBack::ByPace(at)) = held_back {
            self.deadlines.retry = self.deadlines.retry.min(at);
        }
        if self.snd.nxt != before {
            self.watch_tail(cx.now());
        }
        self.turn_ends(cx, held_back.unwrap_or(HeldBack::Otherwise));
        held_back
    }

    /// Nothing more leaves in this turn, and why.
    fn turn_ends(&mut self, cx: &Context<'_>, why: HeldBack) {
        if self.sender.is_none() && why == HeldBack::ByPeer {
            // A window that is closed from the start is a limit, too.
            self.sender(cx.config);
        }
        let (una, nxt) = (self.snd.una, self.snd.nxt);
        let fills_buffer = why == HeldBack::ByNothing && self.is_send_buffer_full();
        let Some(sender) = &mut self.sender else { return };
        sender.turn_ends((una, nxt), why);
        let obstacle = match why {
            HeldBack::ByNothing if una == nxt => None,
            HeldBack::ByNothing if fills_buffer && sender.pipe() < sender.window() => {
                Some(Obstacle::Buffer)
            }
            HeldBack::ByPeer => Some(Obstacle::PeersWindow),
            _ => Some(Obstacle::Nothing),
        };
        sender.faces(cx.now(), obstacle);
    }

    /// Sends segment after segment; says what stands in the way of the next.
    #[inline]
    fn send_what_may_leave(&mut self, cx: &mut Context<'_>) -> Result<HeldBack, NotSent> {
        loop {
            let step = match self.next_step(cx.config, cx.now()) {
                Ok(step) => step,
                Err(why) => return Ok(why),
            };
            if cx.net.outbox_room() < OUTBOX_RESERVE {
                return Err(NotSent);
            }
            let mss = u32::from(self.snd.mss);
            let is_full = matches!(&step, Next::New(segment) if segment.len >= mss);
            if is_full && cx.net.backlog_room() == 0 {
                return Ok(HeldBack::ByDevice);
            }
            let (sent, is_last) = match step {
                Next::Again(seq, len) => (self.send_again(cx, seq, len), false),
                Next::New(segment) => {
                    let segment = self.in_train(cx.config, segment);
                    match self.train_of(cx, &segment) {
                        Some(train) => (self.send_train(cx, &train), false),
                        None => (self.send_new(cx, &segment), segment.is_last),
                    }
                }
            };
            let (Ok(len), Some(sender)) = (sent, &mut self.sender) else { return Err(NotSent) };
            sender.paced(cx.now(), len, cx.config.pacing, self.rtt.srtt());
            if is_full {
                cx.net.backlog.spend(len / mss);
            }
            if is_last && sender.board.lost() == 0 {
                return Ok(HeldBack::ByNothing);
            }
        }
    }

    /// What the congestion window has grown to says little about the path after a pause, which ends when something may leave.
    fn notice_pause(&mut self, now: Instant) {
        let (idle, rto) = (now.span_since(self.sent_at), self.rtt.rto());
        if idle >= rto && !self.is_outstanding() && self.usable_window() > 0 && self.has_unsent() {
            if let Some(sender) = &mut self.sender {
                sender.controller.on_idle(now, idle, rto);
            }
            self.sent_at = now;
        }
    }

    /// Sends the next numbers, whatever the windows say.
    pub(super) fn send_new(
        &mut self,
        cx: &mut Context<'_>,
        segment: &Segment,
    ) -> Result<u32, NotSent> {
        self.emit(cx, self.snd.nxt, segment.len, segment.flags)?;
        let numbers = segment.len + u32::from(segment.flags.contains(Flags::FIN));
        self.new_sent(cx, (segment.len, numbers), 0);
        Ok(numbers)
    }

    /// New data of `len` bytes, which are `numbers` with a FIN, has just left; the last segment of it begins `last` bytes after the first.
    pub(super) fn new_sent(&mut self, cx: &Context<'_>, (len, numbers): (u32, u32), last: u32) {
        let seq = self.snd.nxt;
        if !self.is_outstanding() {
            // The window may have been asked after: that is over.
            self.deadlines.retransmit = Instant::FAR_FUTURE;
            self.probe_backoff = 0;
        }
        self.sent_at = cx.now();
        if len > 0 && self.rcv.nxt != self.rcv.irs + 1 {
            self.ack.interactive |= cx.now() < self.data_at + cx.config.delayed_ack;
        }
        self.snd.nxt = seq + numbers;
        if len < u32::from(self.snd.mss) {
            self.snd.small = self.snd.nxt;
        }
        self.sender(cx.config).sent(cx.now(), (seq, numbers), last);
        self.watch_outstanding(cx);
    }

    /// What goes out next: what is lost before what is new, unless a timeout is to be tested by new data.
    fn next_step(&mut self, config: &TcpConfig, now: Instant) -> Result<Next, HeldBack> {
        let mss = u32::from(self.snd.mss);
        let Some(sender) = &mut self.sender else {
            let room = self.congestion_window(config);
            return self.next_segment(room).map(Next::New);
        };
        let pause = sender.pause(now, config.pacing, self.rtt.srtt());
        let room = sender.window().saturating_sub(sender.pipe());
        let idle = sender.pipe() == 0;
        let lost = sender.board.next_lost(mss + 1);
        if lost.is_none() || sender.prefers_new() {
            let new = match (self.next_segment(room), pause) {
                (Ok(_), Some(at)) => return Err(HeldBack::ByPace(at)),
                (new, _) => new.map(Next::New),
            };
            if new.is_ok() || lost.is_none() {
                return new;
            }
        }
        let Some((seq, len)) = lost else { return Err(HeldBack::ByNothing) };
        let taken = (seq + len).at_or_before(self.snd.una + self.snd.wnd);
        match () {
            // The first may go beyond a window that has shrunk: the peer must answer something.
            () if !taken && seq != self.snd.una => Err(HeldBack::ByPeer),
            () if len.min(mss) > room && !idle => Err(HeldBack::ByWindow),
            () => pause.map_or(Ok(Next::Again(seq, len)), |at| Err(HeldBack::ByPace(at))),
        }
    }

    /// What the windows, `room` being what is left of the congestion window, and the rules against small segments let go now.
    fn next_segment(&mut self, room: u32) -> Result<Segment, HeldBack> {
        let unsent = self.unsent();
        let usable = self.usable_window();
        let mss = u32::from(self.snd.mss);
        let len = usable.min(room).min(mss).min(saturating(unsent));
        let fin = self.fin_is_due() && u64::from(len) == unsent && len < usable;
        if !fin && (len == 0 || (len < mss && !self.may_send_small(len, unsent))) {
            let wanted = usable.min(mss).min(saturating(unsent));
            return Err(match () {
                () if unsent == 0 => HeldBack::ByNothing,
                () if room < wanted => HeldBack::ByWindow,
                () if wanted < mss.min(saturating(unsent)) => HeldBack::ByPeer,
                () => HeldBack::Otherwise,
            });
        }
        Ok(self.segment_of(len, unsent, fin))
    }

    /// How much may be in flight.
    pub(super) fn congestion_window(&self, config: &TcpConfig) -> u32 {
        match &self.sender {
            Some(sender) => sender.window(),
            None => self.start(config).window(),
        }
    }

    /// What is kept of the sending side, begun if there is nothing yet.
    pub(super) fn sender(&mut self, config: &TcpConfig) -> &mut Sender {
        let (una, start) = (self.snd.una, self.start(config));
        self.sender.get_or_insert_with(|| {
            Box::new(Sender::new(una, algorithm::new(config.congestion, start)))
        })
    }

    fn start(&self, config: &TcpConfig) -> Start {
        Start {
            mss: self.snd.mss.into(),
            initial_segments: config.initial_window,
            handshake: self.handshake,
            round_trip: self.rtt.srtt(),
        }
    }

    fn segment_of(&self, len: u32, unsent: u64, fin: bool) -> Segment {
        let mut flags = Flags::ACK;
        // The end of what was written: nothing tells writes apart in a stream of bytes.
        if len > 0 && u64::from(len) == unsent && self.is_pushed() {
            flags = flags | Flags::PSH;
        }
        if fin {
            flags = flags | Flags::FIN;
        }
        let is_last = u64::from(len) == unsent && (fin || !self.state.has_closed());
        Segment { len, flags, is_last }
    }

    /// The window has been closed, or nearly so, for a while: sends what fits, or else asks (section 3.8.6.1).
    pub(super) fn send_despite_small_window(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Result<Sent, NotSent> {
        let unsent = self.unsent();
        let usable = self.usable_window();
        let len = usable.min(u32::from(self.snd.mss)).min(saturating(unsent));
        let fin = self.fin_is_due() && u64::from(len) == unsent && len < usable;
        if len == 0 && !fin {
            if self.urgent_pointer(self.snd.una).is_some() {
                // What cannot be accepted may tell nothing either; this can.
                self.emit(cx, self.snd.una, 0, Flags::ACK)?;
            }
            // An old number without data: it cannot be accepted, so it must be answered, and nothing new is risked.
            self.emit(cx, self.snd.una - 1, 0, Flags::ACK)?;
            return Ok(Sent::Probe);
        }
        let mut next = self.segment_of(len, unsent, fin);
        if len > 0 {
            next.flags = next.flags | Flags::PSH;
        }
        self.send_new(cx, &next)?;
        Ok(Sent::Data)
    }

    /// Sends the next segment of new data, if the peer's window takes it, whatever the congestion window says. Returns whether there was one.
    pub(super) fn send_one_more(&mut self, cx: &mut Context<'_>) -> Result<bool, NotSent> {
        match self.next_segment(u32::MAX) {
            Ok(segment) => self.send_new(cx, &segment).map(|_| true),
            Err(_) => Ok(false),
        }
    }

    /// How long there was something to send, and what was in the way.
    pub(super) fn busy_times(&self, now: Instant) -> BusyTimes {
        self.sender.as_ref().map(|sender| sender.busy_times(now)).unwrap_or_default()
    }

    /// Whether the application finds no room to write.
    fn is_send_buffer_full(&mut self) -> bool {
        let send = &mut self.socket.send;
        send.tail().position - send.released() >= send.limit() as u64
    }

    /// Bytes from SND.NXT to the end of the send ring.
    pub(super) fn unsent(&mut self) -> u64 {
        let tail = self.socket.send.tail().position;
        tail.saturating_sub(self.position_of(self.snd.nxt))
    }

    /// Whether the application has closed and SND.NXT has not gone past the FIN.
    pub(super) fn fin_is_due(&mut self) -> bool {
        if !self.state.has_closed() {
            return false;
        }
        let tail = self.socket.send.tail().position;
        self.snd.nxt.at_or_before(self.seq_at(tail))
    }

    /// Whether there is anything to send that was not sent yet.
    pub(super) fn has_unsent(&mut self) -> bool {
        self.unsent() > 0 || self.fin_is_due()
    }

    /// Something is on its way: the retransmission timer runs (RFC 6298, section 5, rule 5.1), and the time after
    /// which the user wants the connection given up.
    pub(super) fn watch_outstanding(&mut self, cx: &Context<'_>) {
        if self.deadlines.retransmit == Instant::FAR_FUTURE {
            self.deadlines.retransmit = cx.now() + self.rtt.rto();
        }
        self.watch_user_timeout(cx);
    }

    /// Nothing is on its way although something waits: the window must be asked after, for the segment that opens it
    /// may be lost.
    fn watch_window(&mut self, now: Instant) {
        if !self.is_outstanding()
            && self.deadlines.retransmit == Instant::FAR_FUTURE
            && self.has_unsent()
        {
            self.deadlines.retransmit = now + self.rtt.rto();
        }
    }
}

fn saturating(len: u64) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::api::TcpStream;
    use crate::backlog;
    use crate::counters::Counter;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::Harness;

    #[test]
    fn a_write_leaves_in_full_segments_and_the_last_is_pushed() {
        let mut t = Harness::connected();
        t.write(2500);
        assert_eq!(t.sent(), ["A 1+1000 ack 1", "A 1001+1000 ack 1", "PA 2001+500 ack 1"]);
    }

    #[test]
    fn ten_segments_leave_before_the_first_acknowledgement() {
        let mut t = Harness::connected();
        t.write(20_000);
        assert_eq!(t.sent().len(), 10);
        t.input("A 1 ack 2001").unwrap();
        assert_eq!(
            t.sent().len(),
            4,
            "two for what left the network, two because the window opens"
        );
    }

    #[test]
    fn a_pause_counts_once() {
        let mut t = Harness::connected();
        t.write(30_000);
        (2..30).step_by(2).for_each(|n| t.input(&format!("A 1 ack {n}001")).unwrap());
        t.input("A 1 ack 30001 win 0").unwrap();
        assert_eq!(t.sent().len(), 30);
        t.at(250).write(60_000);
        for _ in 0..5 {
            t.input("A 1 ack 30001 win 0").unwrap();
        }
        t.input("A 1 ack 30001").unwrap();
        assert_eq!(t.sent().len(), 18, "half of thirty-six");
    }

    /// While nothing may leave nothing is decided: the peer's window may open before the pause is long.
    #[test]
    fn a_pause_ends_when_something_may_leave() {
        let mut t = Harness::connected();
        t.write(20_000);
        (2..=20).step_by(2).for_each(|n| t.input(&format!("A 1 ack {n}001")).unwrap());
        let window = |t: &mut Harness| t.connection(|c| c.sender.as_ref().unwrap().window());
        let grown = window(&mut t);
        t.input("A 1 ack 20001 win 0").unwrap();
        t.at(250).write(60_000);
        t.input("A 1 ack 20001 win 0").unwrap();
        assert_eq!(window(&mut t), grown);
        t.at(450).input("A 1 ack 20001").unwrap();
        assert!(window(&mut t) < grown);
    }

    #[test]
    fn after_a_pause_the_window_is_small_again() {
        let mut t = Harness::connected();
        for round in 0..20 {
            t.write(20_000);
            t.input(&format!("A 1 ack {}", 20_000 * round + 10_001)).unwrap();
            t.input(&format!("A 1 ack {}", 20_000 * (round + 1) + 1)).unwrap();
            t.sent();
        }
        assert!(t.connection(|c| c.sender.as_ref().unwrap().window()) > 20_000);
        t.at(100_000);
        t.write(30_000);
        assert_eq!(t.sent().len(), 10);
    }

    /// One stream of several, each with a window for all that is written to it.
    fn streams<const N: usize>(t: &mut Harness, ports: [u16; N]) -> [TcpStream; N] {
        ports.map(|port| {
            t.peer_port = port;
            t.input("S 0 mss 1000").unwrap();
            t.sent();
            t.input("A 1 ack 1").unwrap();
            assert!(t.accept());
            t.connection(|c| c.snd.wnd = 1 << 20);
            t.stream.take().unwrap()
        })
    }

    fn wide() -> Harness {
        let config = TcpConfig { initial_window: 250, send_buffer: 1 << 20, ..Harness::plain() };
        Harness::listening(&config, 2)
    }

    const AT_ONCE: u64 = backlog::AT_ONCE as u64 * 1000;

    fn unsent<const N: usize>(t: &mut Harness, ports: [u16; N]) -> [u64; N] {
        ports.map(|port| {
            t.peer_port = port;
            t.connection(|c| c.unsent())
        })
    }

    #[test]
    fn full_segments_wait_while_those_before_them_wait_for_the_device() {
        let mut t = wide();
        let [mut stream] = streams(&mut t, [1]);
        stream.write_all(&[0; 200_500]).unwrap();
        t.application();
        for _ in 0..3 {
            assert_eq!(unsent(&mut t, [1]), [200_500 - AT_ONCE]);
            assert!(t.tcp.has_more());
            assert_eq!(t.tcp.flush(&mut t.net), 0);
        }
        t.net.outbox.clear();
        assert_eq!(t.tcp.flush(&mut t.net), 1);
        assert_eq!(unsent(&mut t, [1]), [0]);
        assert!(!t.tcp.has_more());
    }

    #[test]
    fn neither_others_nor_small_segments_wait_for_that() {
        let mut t = wide();
        let [mut a, mut b] = streams(&mut t, [1, 2]);
        for _ in 0..2 * backlog::AT_ONCE {
            let frame = t.net.alloc().unwrap();
            t.net.transmit(frame).unwrap();
        }
        a.write_all(&[0; 200_000]).unwrap();
        t.application();
        assert_eq!(unsent(&mut t, [1]), [200_000 - AT_ONCE]);
        b.write_all(&[0; 10]).unwrap();
        t.application();
        assert_eq!(unsent(&mut t, [2]), [0]);
    }

    #[test]
    fn those_who_wait_for_the_device_take_turns() {
        let mut t = wide();
        let mut both = streams(&mut t, [1, 2]);
        both.iter_mut().for_each(|stream| stream.write_all(&[0; 250_000]).unwrap());
        t.application();
        let mut left = vec![unsent(&mut t, [1, 2])];
        while t.tcp.has_more() {
            t.net.outbox.clear();
            t.tcp.flush(&mut t.net);
            left.push(unsent(&mut t, [1, 2]));
        }
        let second = 250_000 - (2 * AT_ONCE - 250_000);
        let want = [[250_000 - AT_ONCE, 250_000], [0, second], [0, second - AT_ONCE], [0, 0]];
        assert_eq!(left, want);
    }

    /// A cork that is pulled while the device holds back.
    #[test]
    fn a_flush_is_not_forgotten_while_the_device_has_no_room() {
        let mut t = wide();
        let [mut stream] = streams(&mut t, [1]);
        stream.set_cork(true);
        stream.write_all(&[0; 200_500]).unwrap();
        stream.set_nodelay(true);
        t.application();
        t.net.outbox.clear();
        t.tcp.flush(&mut t.net);
        assert_eq!(unsent(&mut t, [1]), [0]);
    }

    #[test]
    fn a_small_segment_waits_for_an_earlier_small_one() {
        let mut t = Harness::connected();
        t.write(10);
        t.write(10);
        t.write(10);
        assert_eq!(t.sent(), ["PA 1+10 ack 1"]);
        t.input("A 1 ack 11").unwrap();
        assert_eq!(t.sent(), ["PA 11+20 ack 1"]);
    }

    /// What is not kept close behind would half the circle later seem to lie ahead.
    #[test]
    fn a_small_segment_does_not_wait_for_one_of_two_gigabytes_ago() {
        let mut t = Harness::connected();
        t.connection(|c| c.snd.small = c.snd.una - ((1 << 31) - 1500));
        t.write(2000);
        t.sent();
        t.input("A 1 ack 1001").unwrap();
        t.input("A 1 ack 2001").unwrap();
        t.write(10);
        assert_eq!(t.sent(), ["PA 2001+10 ack 1"]);
    }

    #[test]
    fn the_small_end_of_a_long_write_does_not_wait() {
        let mut t = Harness::connected();
        t.write(1500);
        assert_eq!(t.sent(), ["A 1+1000 ack 1", "PA 1001+500 ack 1"]);
    }

    #[test]
    fn without_nagle_nothing_waits() {
        let mut t = Harness::connected();
        t.stream().set_nodelay(true);
        t.write(10);
        t.write(10);
        assert_eq!(t.sent(), ["PA 1+10 ack 1", "PA 11+10 ack 1"]);
    }

    #[test]
    fn the_peers_window_is_a_limit() {
        let mut t = Harness::connected();
        t.input("A 1 ack 1 win 2500").unwrap();
        t.write(5000);
        assert_eq!(
            t.sent(),
            ["A 1+1000 ack 1", "PA 1001+1000 ack 1"],
            "500 bytes are a silly segment"
        );
        t.input("A 1 ack 2001 win 2500").unwrap();
        assert_eq!(t.sent(), ["A 2001+1000 ack 1", "PA 3001+1000 ack 1"]);
    }

    #[test]
    fn half_of_a_small_window_is_worth_a_segment() {
        let mut t = Harness::connected();
        t.connection(|c| c.snd.max_wnd = 0);
        t.input("A 1 ack 1 win 600").unwrap();
        t.write(5000);
        assert_eq!(t.sent(), ["A 1+600 ack 1"]);
    }

    #[test]
    fn a_fin_waits_for_unsent_data() {
        let mut t = Harness::connected();
        t.input("A 1 ack 1 win 1000").unwrap();
        t.write(1500);
        t.close();
        assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
        t.input("A 1 ack 1001 win 1000").unwrap();
        assert_eq!(t.sent(), ["FPA 1001+500 ack 1"]);
    }

    #[test]
    fn an_empty_pool_loses_nothing() {
        let mut t = Harness::connected();
        let mut hoard: Vec<_> = std::iter::from_fn(|| t.net.alloc()).collect();
        t.write(1500);
        t.close();
        assert_eq!(t.sent(), [""; 0]);
        hoard.clear();
        t.at(1);
        assert_eq!(t.sent(), ["A 1+1000 ack 1", "FPA 1001+500 ack 1"]);
        assert_eq!(t.count(Counter::TcpRetransSegs), 0);
    }
}
