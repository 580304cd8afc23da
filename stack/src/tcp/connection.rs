//! The control block of one connection (RFC 9293, section 3.3.1): what is known of it, and nothing that it does.

use std::time::Duration;

use darner_ring::CONNECTION_WORDS;

use super::autotune::{Reading, Sizing};
use super::challenge::{Challenges, ConnectionChallenges};
use super::config::TcpConfig;
use super::congestion::Handshake;
use super::connect::DEFAULT_SEGMENT_SIZE;
use super::cork::Holding;
use super::ecn::Classic;
use super::fast_open::Cookies;
use super::memory::Memory;
use super::path_mtu::PathMtu;
use super::rare::Rare;
use super::reassembly::Reassembly;
use super::rtt::Rtt;
use super::sender::Sender;
use super::seq::Seq;
use super::state::{Event, State};
use super::urgent::Urgent;
use crate::demux::FlowKey4;
use crate::net::{self, Net};
use crate::socket::words::WORDS_BYTES;
use crate::socket::{Failure, TcpSocket};
use crate::table::bytes_per_value;
use crate::time::Instant;
use crate::timer::{TimerKey, bytes_per_timer};

/// One connection, from our SYN or the end of the peer's handshake until it is closed or in TIME-WAIT.
///
/// The byte at position `p` of the send ring has the sequence number `iss + 1 + p`, and a FIN of ours stands behind the
/// ring's last byte. So neither is kept here: see [`Connection::seq_at`].
pub(super) struct Connection {
    pub(super) flow: FlowKey4,
    pub(super) socket: TcpSocket,
    pub(super) state: State,
    /// Small segments are not held back.
    pub(super) nodelay: Nodelay,
    pub(super) holding: Holding,
    pub(super) keepalive: Keepalive,
    /// Its share of the core's [memory](Memory), as last counted.
    pub(super) buffered: u32,
    /// Both sides take selective acknowledgements.
    pub(super) sack: bool,
    /// On the list of connections that have something to do at the end of the turn.
    pub(super) listed: bool,
    /// On the list of those that go on when the device has room.
    pub(super) waits: bool,
    /// Why the peer may be out of reach, as ICMP has it: the cause that is told if the connection is given up.
    pub(super) soft_error: Option<Failure>,
    /// How often in a row what is first in line was sent again, or the window probed, without an answer.
    pub(super) retries: u8,
    /// By how much the time between window probes has been doubled.
    pub(super) probe_backoff: u8,
    /// Keep-alive probes without an answer.
    pub(super) keepalive_probes: u8,
    pub(super) snd: SendSequence,
    pub(super) rcv: ReceiveSequence,
    pub(super) timestamps: TimestampState,
    pub(super) ack: AckState,
    pub(super) rtt: Rtt,
    /// What is known of the path's MTU, where it is less than the link's or said to be.
    pub(super) path_mtu: Option<Box<PathMtu>>,
    /// Since something was sent, and until a while after it was acknowledged.
    pub(super) sender: Option<Box<Sender>>,
    pub(super) handshake: Handshake,
    pub(super) ecn: Classic,
    pub(super) challenges: ConnectionChallenges,
    pub(super) deadlines: Deadlines,
    /// What has arrived ahead of its turn, or twice; few connections have any.
    pub(super) reassembly: Option<Box<Reassembly>>,
    pub(super) rare: Rare,
    /// Data on the SYN was taken, here or by the peer.
    pub(super) syn_data: bool,
    /// Few connections have urgent data.
    pub(super) urgent: Option<Box<Urgent>>,
    /// When the peer was last heard.
    pub(super) heard_at: Instant,
    /// When data last came, or else the end of the handshake.
    pub(super) data_at: Instant,
    /// When we last sent something new.
    pub(super) sent_at: Instant,
    pub(super) wheel: WheelEntry,
    pub(super) totals: Totals,
}

/// The send sequence space (figure 3 of the RFC).
pub(super) struct SendSequence {
    /// SND.UNA: the oldest number not acknowledged.
    pub(super) una: Seq,
    /// SND.NXT: the number after the highest ever sent.
    pub(super) nxt: Seq,
    /// SND.WND: how many numbers from `una` on the peer takes, scaled.
    pub(super) wnd: u32,
    /// SND.WL1: the segment number of the last window update.
    pub(super) wl1: Seq,
    /// SND.WL2: the acknowledgement number of the last window update.
    pub(super) wl2: Seq,
    /// ISS: the number of our SYN.
    pub(super) iss: Seq,
    /// The largest window that the peer has offered.
    pub(super) max_wnd: u32,
    /// The number after the last segment sent that was not full: Nagle's algorithm asks whether it is acknowledged.
    pub(super) small: Seq,
    /// Most bytes of payload in a segment, beside the options that every segment carries.
    pub(super) mss: u16,
    /// The most bytes in a segment, so far, that the peer has acknowledged.
    pub(super) proven: u16,
    /// The MSS option of the peer's SYN.
    pub(super) peer_mss: u16,
    /// Snd.Wind.Shift (RFC 7323): by how much the peer's window fields are to be shifted.
    pub(super) wnd_shift: u8,
    /// Of the send buffer.
    pub(super) sizing: Sizing,
}

impl SendSequence {
    fn new(iss: Seq) -> Self {
        Self {
            una: iss,
            nxt: iss,
            wnd: 0,
            wl1: Seq(0),
            wl2: iss,
            iss,
            max_wnd: 0,
            small: iss,
            mss: DEFAULT_SEGMENT_SIZE,
            proven: 0,
            peer_mss: DEFAULT_SEGMENT_SIZE,
            wnd_shift: 0,
            sizing: Sizing::Automatic,
        }
    }
}

/// The receive sequence space (figure 4 of the RFC).
pub(super) struct ReceiveSequence {
    /// RCV.NXT: the next number expected.
    pub(super) nxt: Seq,
    /// The right edge of the window: RCV.NXT + RCV.WND, as it was offered at its furthest. It never moves back.
    pub(super) edge: Seq,
    /// IRS: the number of the peer's SYN.
    pub(super) irs: Seq,
    /// Last.ACK.sent (RFC 7323): RCV.NXT as the peer was last told.
    pub(super) acked: Seq,
    /// Payload of the largest segment received: what counts as full when ACKs are delayed.
    pub(super) full: u16,
    /// Rcv.Wind.Shift (RFC 7323): by how much our window fields are shifted.
    pub(super) wnd_shift: u8,
    /// Whether windows are scaled: both sides have offered it.
    pub(super) scaling: bool,
    /// The application was asked to say when it reads anything, because the window is as good as closed.
    pub(super) wants_hint: bool,
    /// Memory runs out, and the window is kept small.
    pub(super) squeezed: bool,
    /// Of the receive buffer.
    pub(super) sizing: Sizing,
    pub(super) reading: Reading,
}

impl ReceiveSequence {
    fn new(config: &TcpConfig, now: Instant) -> Self {
        let nowhere = Seq(0);
        Self {
            nxt: nowhere,
            edge: nowhere,
            irs: nowhere,
            acked: nowhere,
            full: DEFAULT_SEGMENT_SIZE,
            wnd_shift: if config.window_scaling { config.window_shift() } else { 0 },
            scaling: config.window_scaling,
            wants_hint: false,
            squeezed: false,
            sizing: Sizing::Automatic,
            reading: Reading::new(now),
        }
    }
}

/// The timestamps option (RFC 7323).
pub(super) struct TimestampState {
    pub(super) enabled: bool,
    /// TS.Recent: the peer's clock, to be echoed.
    pub(super) recent: u32,
    /// What is added to our clock, so that it says nothing about how long we run.
    pub(super) offset: u32,
    /// When `recent` was taken, in seconds: it means nothing after 24 days.
    pub(super) recent_at: u32,
}

/// As [`TimestampState::recent_at`] has it: enough for 136 years.
pub(super) fn seconds(at: Instant) -> u32 {
    u32::try_from(at.as_millis() / 1000).unwrap_or(u32::MAX)
}

/// Whether the peer is owed an ACK.
pub(super) struct AckState {
    pub(super) owed: Owed,
    /// How many more ACKs are not delayed.
    pub(super) quick: u8,
    /// What the application sends follows closely on what it gets: ACKs have something to ride on, and are delayed from the beginning.
    pub(super) interactive: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Owed {
    Nothing,
    /// Within the delayed-ACK time.
    Soon,
    /// At the end of this turn.
    Now,
}

/// When what is due, [`Instant::FAR_FUTURE`] for never.
pub(super) struct Deadlines {
    /// Retransmission, or while nothing is outstanding and the window closed, the next probe of it (persist).
    pub(super) retransmit: Instant,
    /// A tail loss probe, or the moment when something that may only be late counts as lost.
    pub(super) probe: Instant,
    /// What the sender knows of the path may be forgotten.
    pub(super) rest: Instant,
    pub(super) delayed_ack: Instant,
    pub(super) keepalive: Instant,
    /// The end of FIN-WAIT-2.
    pub(super) fin_wait_2: Instant,
    /// User timeout (RFC 9293, section 3.8.3).
    pub(super) give_up: Instant,
    /// Another try for what no frame could be had for, or what is not to leave yet.
    pub(super) retry: Instant,
}

impl Deadlines {
    pub(super) const NONE: Self = Self {
        retransmit: Instant::FAR_FUTURE,
        probe: Instant::FAR_FUTURE,
        rest: Instant::FAR_FUTURE,
        delayed_ack: Instant::FAR_FUTURE,
        keepalive: Instant::FAR_FUTURE,
        fin_wait_2: Instant::FAR_FUTURE,
        give_up: Instant::FAR_FUTURE,
        retry: Instant::FAR_FUTURE,
    };

    pub(super) fn earliest(&self) -> Instant {
        let first = self.retransmit.min(self.delayed_ack).min(self.keepalive);
        let second = self.fin_wait_2.min(self.give_up).min(self.retry);
        first.min(second).min(self.probe).min(self.rest)
    }

    /// Whether `deadline` has passed; if so it is disarmed.
    pub(super) fn take(deadline: &mut Instant, now: Instant) -> bool {
        let due = *deadline <= now;
        if due {
            *deadline = Instant::FAR_FUTURE;
        }
        due
    }
}

/// One entry in the timer wheel for several deadlines: a connection's, or a table's. It may fire early, because it is not moved when the earliest
/// deadline moves later; it is then armed again.
pub(super) struct WheelEntry {
    pub(super) key: Option<TimerKey>,
    pub(super) at: Instant,
}

impl WheelEntry {
    pub(super) const NONE: Self = Self { key: None, at: Instant::FAR_FUTURE };

    /// Sees to it that the wheel fires at `at`, or before: most deadlines are moved before they come.
    pub(super) fn arm(&mut self, net: &mut Net, at: Instant, timer: super::Timer) {
        if at >= self.at {
            return;
        }
        let at = net.timers.shortly_before(at);
        let moved = self.key.is_some_and(|key| net.timers.reschedule(key, at).is_ok());
        if !moved {
            self.key = Some(net.timers.insert(at, net::Timer::Tcp(timer)));
        }
        self.at = at;
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Nodelay {
    Off,
    On,
}

/// Whether a silent peer is asked for a sign of life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Keepalive {
    Off,
    On,
}

/// Counts for `darner stat`.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) retransmitted: u32,
}

/// What the handlers of a connection may use beside it.
pub(super) struct Context<'a> {
    pub(super) net: &'a mut Net,
    pub(super) config: &'a TcpConfig,
    pub(super) challenges: &'a mut Challenges,
    pub(super) memory: &'a mut Memory,
    pub(super) cookies: &'a mut Cookies,
}

impl Context<'_> {
    pub(super) fn now(&self) -> Instant {
        self.net.now
    }
}

impl Connection {
    /// A connection that begins, with a SYN of ours or in answer to the peer's.
    pub(super) fn new(
        cx: &Context<'_>,
        (flow, socket): (FlowKey4, TcpSocket),
        state: State,
        (iss, timestamp_offset): (Seq, u32),
    ) -> Self {
        let config = cx.config;
        let mut connection = Self {
            flow,
            socket,
            state,
            nodelay: Nodelay::Off,
            holding: Holding::empty(),
            keepalive: Keepalive::Off,
            buffered: 0,
            sack: config.sack,
            listed: false,
            waits: false,
            soft_error: None,
            retries: 0,
            probe_backoff: 0,
            keepalive_probes: 0,
            snd: SendSequence::new(iss),
            rcv: ReceiveSequence::new(config, cx.now()),
            timestamps: TimestampState {
                enabled: config.timestamps,
                recent: 0,
                offset: timestamp_offset,
                recent_at: seconds(cx.now()),
            },
            ack: AckState { owed: Owed::Nothing, quick: config.quick_acks, interactive: false },
            rtt: Rtt::new(&config.rto_limits()),
            path_mtu: None,
            sender: None,
            handshake: Handshake::Smooth,
            ecn: Classic::default(),
            challenges: ConnectionChallenges::NEW,
            deadlines: Deadlines::NONE,
            reassembly: None,
            urgent: None,
            rare: Rare::NOTHING,
            syn_data: false,
            heard_at: cx.now(),
            data_at: cx.now(),
            sent_at: cx.now(),
            wheel: WheelEntry::NONE,
            totals: Totals::default(),
        };
        connection.fit_path(cx);
        connection
    }

    /// Takes the edge of the state diagram that `event` stands for.
    pub(super) fn advance(&mut self, event: Event) {
        let next = self.state.after(event);
        debug_assert!(next.is_some(), "{:?} has no edge for {event:?}", self.state);
        self.state = next.unwrap_or(self.state);
    }

    /// The sequence number of the byte at a position of the send ring.
    pub(super) fn seq_at(&self, position: u64) -> Seq {
        #[expect(clippy::cast_possible_truncation, reason = "sequence numbers count modulo 2^32")]
        let steps = position as u32;
        self.snd.iss + 1 + steps
    }

    /// The position in the send ring of a byte that is not released yet, or of the ring's end.
    pub(super) fn position_of(&self, seq: Seq) -> u64 {
        let released = self.socket.send.released();
        released + u64::from(seq.offset_from(self.seq_at(released)))
    }

    /// FlightSize (RFC 5681): what was sent and is not acknowledged.
    pub(super) fn flight(&self) -> u32 {
        self.snd.nxt.offset_from(self.snd.una)
    }

    /// Whether anything sent waits for its acknowledgement.
    pub(super) fn is_outstanding(&self) -> bool {
        self.snd.nxt != self.snd.una
    }

    /// RCV.WND: how many numbers from RCV.NXT on are taken.
    pub(super) fn receive_window(&self) -> u32 {
        self.rcv.edge.offset_from(self.rcv.nxt)
    }

    /// An ACK is owed at the end of this turn.
    pub(super) fn ack_now(&mut self) {
        self.ack.owed = Owed::Now;
    }

    /// No frame was to be had: what could not be sent is tried again in a moment, and nothing is lost.
    pub(super) fn retry_soon(&mut self, now: Instant) {
        self.deadlines.retry = now + RETRY_AFTER;
    }
}

/// Long enough for a device to have given frames back.
const RETRY_AFTER: Duration = Duration::from_micros(200);

/// What an idle connection takes beside the application's handle: this and its place in the tables, the words that both sides
/// share, and a timer.
const IDLE_BYTES: usize = bytes_per_value::<Connection>()
    + WORDS_BYTES
    + CONNECTION_WORDS
    + super::flows::BYTES
    + bytes_per_timer::<net::Timer>();

const _: () = assert!(size_of::<Connection>() <= 432);
const _: () = assert!(IDLE_BYTES <= 744, "an idle connection costs too much");
