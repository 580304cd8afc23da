//! What is sent when: new data within the windows, the FIN behind it, and the ACK that nothing else has carried.

use super::config::TcpConfig;
use super::congestion::algorithm;
use super::congestion::controller::{Controller, Start};
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
                Ok(held_back) => {
                    if held_back == HeldBack::ByDevice {
                        rest = Rest::More;
                    } else {
                        self.flushed();
                    }
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
            let given = cx.net.backlog.given();
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
                cx.net.backlog.spend(given, len / mss);
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
mod tests;
