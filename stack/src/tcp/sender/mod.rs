//! What a connection needs while something that it has sent is not acknowledged: what is in flight, lost and arrived, how much may be
//! in flight, and what was learnt about the path.
//!
//! A connection that rests has none of it. Everything here is bytes, numbers and times: what goes into a segment, and when, is
//! [`transmit`](super::transmit)'s and [`retransmit`](super::retransmit)'s.

mod busy;
mod delivery;
mod pacing;
mod path_probe;
mod prr;
mod rack;
mod rate;
mod recovery;
mod scoreboard;
mod tail_loss;
mod undo;
mod usage;

use darner_ring::prefetch;

use busy::Busy;
pub(super) use busy::{BusyTimes, Obstacle};
use delivery::Delivery;
use pacing::Pacer;
pub(super) use path_probe::Found;
use path_probe::PathProbe;
use prr::{Progress, Prr, PrrAck};
use rack::Rack;
use rate::DeliveryRate;
use scoreboard::Scoreboard;
pub(super) use tail_loss::Carries;
use tail_loss::{ProbeFate, Segments, TailLoss, probe_timeout};
use undo::{Frto, Repairs};
pub(super) use usage::HeldBack;
use usage::Usage;

use super::config::Pacing;
use super::congestion::any_controller::AnyController;
use super::congestion::controller::{Ack, Congested, Controller};
use super::ecn::{self, Accurate, Echo, Marks};
use super::seq::Seq;
use crate::time::{Instant, Span};
use crate::wire::tcp_options::SackBlock;

/// The sending side of a connection that has something outstanding.
pub(super) struct Sender {
    pub(super) board: Scoreboard,
    pub(super) controller: AnyController,
    phase: Phase,
    /// SND.UNA at the last timeout: until it moves, another one is about the same loss.
    timed_out_at: Seq,
    /// The number after the highest one sent when a loss was last noticed (RecoveryPoint in RFC 6675).
    point: Seq,
    /// Marks count again once this number is acknowledged.
    marked_until: Seq,
    prr: Prr,
    /// A mark has reduced the window, and more than that is in flight still.
    yielding: bool,
    repairs: Repairs,
    frto: Frto,
    rack: Rack,
    tail: TailLoss,
    path_probe: Option<PathProbe>,
    rate: DeliveryRate,
    usage: Usage,
    busy: Busy,
    pacer: Pacer,
    /// Where the last segment of new data begins.
    last: Seq,
    /// Where the train of segments ends that is leaving.
    pub(super) train_end: Seq,
    /// When something that is only late so far will count as lost.
    late_at: Option<Instant>,
    /// ACKs in a row that have told of arrivals behind a gap.
    duplicates: u32,
    /// Something that is not acknowledged, or was not when anything was last, was sent more than once.
    again: bool,
    /// Bytes that have left the network as far as duplicate ACKs tell, for a peer without SACK.
    departed: u32,
}

/// Where loss recovery stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    Open,
    /// Something was found lost without a timeout.
    Recovery,
    /// A timeout has expired.
    Loss,
}

/// An ACK, and how the connection stands when it comes.
pub(super) struct News<'a> {
    pub(super) now: Instant,
    pub(super) ack: Seq,
    pub(super) nxt: Seq,
    /// Blocks beyond `ack`.
    pub(super) blocks: &'a [SackBlock],
    /// What the peer has got twice (D-SACK).
    pub(super) twice: Option<SackBlock>,
    /// The ACK repeats the last one (RFC 5681, section 2).
    pub(super) repeats: bool,
    /// What the peer says of marks (ECN).
    pub(super) echo: Echo,
    /// What is echoed, in milliseconds of our clock.
    pub(super) echo_ms: Option<u64>,
    pub(super) path: Path,
}

/// What the connection knows besides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) mss: u32,
    pub(super) smoothed: Option<Span>,
    /// The peer sends selective acknowledgements.
    pub(super) sack: bool,
}

/// What follows from an ACK.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// A round trip of something that was sent once.
    pub(super) round_trip: Option<Span>,
    /// A recovery has begun.
    pub(super) recovers: bool,
    /// The window was reduced, for whatever reason.
    pub(super) reduced: bool,
    /// One was not needed.
    pub(super) undone: bool,
}

impl Sender {
    pub(super) fn new(una: Seq, controller: AnyController) -> Self {
        Self {
            board: Scoreboard::default(),
            controller,
            phase: Phase::Open,
            timed_out_at: una,
            point: una - 1,
            marked_until: una - 1,
            prr: Prr::begin(0, 0, 0),
            yielding: false,
            repairs: Repairs::begin(una, una),
            frto: Frto::Off,
            rack: Rack::NEW,
            tail: TailLoss::NONE,
            path_probe: None,
            rate: DeliveryRate::NEW,
            usage: Usage::new(una),
            busy: Busy::default(),
            pacer: Pacer::NEW,
            last: una,
            train_end: una,
            late_at: None,
            duplicates: 0,
            again: false,
            departed: 0,
        }
    }

    /// Asks for the memory that the next ACK will need.
    pub(super) fn prefetch(&self) {
        self.board.prefetch();
        prefetch(&self.controller);
    }

    /// Whether an ACK may be for either of two transmissions.
    pub(super) fn has_sent_again(&self) -> bool {
        self.again
    }

    /// The shortest round trip of the last minutes.
    pub(super) fn shortest_round_trip(&self) -> Option<Span> {
        self.rack.shortest.round_trip()
    }

    /// Where the last segment begins.
    pub(super) fn last(&self) -> Seq {
        self.last
    }

    /// How often the path has changed the order of segments, and over how many bytes at most.
    pub(super) fn reordering(&self) -> (u32, u32) {
        self.rack.reordering()
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    /// How much may be in flight.
    pub(super) fn window(&self) -> u32 {
        if self.is_reducing() { self.prr.window() } else { self.controller.window() }
    }

    /// How much is taken to be in flight: pipe in RFC 6675.
    pub(super) fn pipe(&self) -> u32 {
        self.board.in_flight() - self.departed.min(self.board.in_flight())
    }

    /// Whether new data goes before what is lost.
    pub(super) fn prefers_new(&self) -> bool {
        self.frto == Frto::Probing
    }

    /// How fast data should leave in bytes per second, if that is for anybody to say.
    pub(super) fn pacing_rate(&self, pacing: Pacing, smoothed: Option<Span>) -> Option<u64> {
        self.controller.pacing_rate().or_else(|| match pacing {
            Pacing::ByController => None,
            Pacing::Always => {
                pacing::by_window(self.window(), self.controller.ssthresh(), smoothed)
            }
        })
    }

    /// When the next segment may leave, if that is not now.
    pub(super) fn pause(
        &self,
        now: Instant,
        pacing: Pacing,
        smoothed: Option<Span>,
    ) -> Option<Instant> {
        self.pacer.wait(now, self.pacing_rate(pacing, smoothed)?)
    }

    /// `len` bytes have left at the pace.
    pub(super) fn paced(&mut self, now: Instant, len: u32, pacing: Pacing, smoothed: Option<Span>) {
        if let Some(rate) = self.pacing_rate(pacing, smoothed) {
            self.pacer.sent(now, len, rate);
        }
    }

    /// `len` numbers go out for the first time; the last segment of them begins `last` behind the first.
    pub(super) fn sent(&mut self, now: Instant, (start, len): (Seq, u32), last: u32) {
        let stamp = self.rate.stamp(now, self.board.in_flight());
        self.board.sent(start, len, stamp);
        self.last = start + last;
        self.prr.on_sent(len);
    }

    /// How many bytes of new data may leave one after the other without another look: none where that depends on what has left.
    pub(super) fn room_at_once(&self, pacing: Pacing, smoothed: Option<Span>) -> u32 {
        let looked_at = self.is_reducing()
            || self.board.lost() > 0
            || self.pacing_rate(pacing, smoothed).is_some();
        if looked_at { 0 } else { self.window().saturating_sub(self.pipe()) }
    }

    /// `len` numbers go out again.
    pub(super) fn sent_again(&mut self, now: Instant, start: Seq, len: u32) {
        let stamp = self.rate.stamp(now, self.board.in_flight());
        self.board.sent_again(start, len, stamp);
        self.again = true;
        self.prr.on_sent(len);
        self.repairs.sent(now, len);
    }

    /// Whether everything that is outstanding was sent once, and nothing speaks against its arrival in order.
    #[inline]
    pub(super) fn is_in_order(&self) -> bool {
        let once = self.phase == Phase::Open && !self.again && self.departed == 0;
        once && !self.yielding && !self.tail.is_probing() && self.board.is_in_flight()
    }

    /// What [`acknowledged`](Self::acknowledged) comes to where everything [is in order](Self::is_in_order), and the ACK says nothing but that
    /// what was sent up to it has arrived. It may stand for several. Returns a round trip.
    pub(super) fn advanced(
        &mut self,
        now: Instant,
        (ack, acks): (Seq, u32),
        path: Path,
    ) -> Option<Span> {
        let pipe = self.board.in_flight();
        let delivery = self.board.advance(ack, now)?;
        self.duplicates = 0;
        self.late_at = None;
        self.rack.learn(now, &delivery, ack);
        if ack.at_or_after(self.point) {
            self.follow_point(ack);
        }
        self.tell_controller((now, path), (&delivery, acks), (pipe, 0, 0), false);
        round_trip(now, &delivery)
    }

    /// An ACK has come that may say something new.
    pub(super) fn acknowledged(
        &mut self,
        news: &News<'_>,
        accurate: Option<&mut Accurate>,
    ) -> Outcome {
        let (pipe, lost, phase) = (self.pipe(), self.board.losses(), self.phase);
        let delivery = self.take(news);
        let marks = ecn::marks(news.echo, accurate, delivery.delivered, news.path.mss);
        self.again &= self.phase != Phase::Open || !self.board.is_empty();
        self.rack.learn(news.now, &delivery, news.ack);
        let undone = self.find_spurious(news, &delivery);
        self.end_recovery(news);
        self.late_at = self.find_losses(news, &delivery);
        let newly_lost = self.board.losses().wrapping_sub(lost);
        let fresh = if news.path.sack { delivery.delivered } else { delivery.acked };
        let recovers = self.begin_recovery(news.now, (news.ack, news.nxt), news.path.mss, fresh);
        // The loss of a probe of the path's MTU is nobody's business.
        let newly_lost = if self.phase == Phase::Open { 0 } else { newly_lost };
        self.probe_answered(news);
        let yields = self.heed_mark(news, marks, pipe);
        if yields {
            self.prr = Prr::yielding(pipe);
            self.yielding = !self.controller.owns_recovery();
        }
        let recovery = phase == Phase::Recovery || self.phase == Phase::Recovery;
        let flight = (pipe, newly_lost, marks.bytes);
        self.tell_controller((news.now, news.path), (&delivery, 1), flight, recovery);
        if self.yielding && self.pipe() <= self.controller.window() {
            self.yielding = false;
        }
        if self.is_reducing() {
            self.prr.on_ack(&PrrAck {
                delivered: delivery.delivered,
                pipe: self.pipe(),
                ssthresh: self.sinks_to(),
                mss: news.path.mss,
                progress: progress(&delivery, newly_lost),
                partial: !news.path.sack && newly_lost > 0,
            });
        }
        let reduced = recovers || yields;
        Outcome { round_trip: round_trip(news.now, &delivery), recovers, reduced, undone }
    }

    /// It may be time to find something lost (RFC 8985, section 6.2, step 5).
    pub(super) fn look_for_losses(
        &mut self,
        now: Instant,
        (una, nxt): (Seq, Seq),
        path: Path,
    ) -> Outcome {
        let patience = self.patience(path.mss);
        self.late_at = self.rack.detect(&mut self.board, now, patience, path.smoothed);
        let recovers = self.begin_recovery(now, (una, nxt), path.mss, 0);
        Outcome { recovers, reduced: recovers, ..Outcome::default() }
    }

    /// When something that is only late so far will count as lost.
    pub(super) fn late_at(&self) -> Option<Instant> {
        self.late_at
    }

    /// When a tail loss probe is due, counted from now: if one is of any use.
    pub(super) fn probe_after(&self, path: Path) -> Option<Span> {
        let quiet =
            self.phase == Phase::Open && self.board.arrived() == 0 && !self.board.is_empty();
        let segments =
            if self.board.in_flight() <= path.mss { Segments::One } else { Segments::Several };
        let useful = path.sack && quiet && !self.tail.is_probing();
        useful.then(|| probe_timeout(path.smoothed, segments))
    }

    pub(super) fn probe_sent(&mut self, nxt: Seq, carries: Carries) {
        self.tail.sent(nxt, carries);
    }

    fn is_reducing(&self) -> bool {
        self.yielding || (self.phase == Phase::Recovery && !self.controller.owns_recovery())
    }

    /// Where PRR takes what is in flight. A mark may leave less than ssthresh, which never is below two segments.
    fn sinks_to(&self) -> u32 {
        if self.yielding { self.controller.window() } else { self.controller.ssthresh() }
    }

    /// What the ACK delivers, in full or by SACK.
    fn take(&mut self, news: &News<'_>) -> Delivery {
        let least = self.rack.shortest.round_trip().unwrap_or(Span::ZERO);
        let mut delivery = Delivery::new(news.now, news.echo_ms, least);
        self.board.acknowledge(news.ack, &mut delivery);
        for block in news.blocks {
            self.board.arrive(block.left, block.right, &mut delivery);
        }
        if delivery.acked > 0 {
            self.duplicates = 0;
            self.return_departed(&mut delivery, news.path.mss);
        } else if news.repeats || delivery.delivered > 0 {
            self.duplicates += 1;
            if !news.path.sack {
                self.depart(&mut delivery, news.path.mss);
            }
        }
        delivery
    }

    /// Without SACK a duplicate ACK stands for a segment that has arrived, whichever it was.
    fn depart(&mut self, delivery: &mut Delivery, mss: u32) {
        let more = mss.min(self.pipe().saturating_sub(mss));
        self.departed += more;
        delivery.delivered += more;
    }

    /// What is acknowledged behind the first segment was counted as departed before.
    fn return_departed(&mut self, delivery: &mut Delivery, mss: u32) {
        let counted = self.departed.min(delivery.acked.saturating_sub(mss));
        delivery.delivered -= counted.min(delivery.delivered);
        self.departed = (self.departed - counted).min(self.board.in_flight());
    }

    fn probe_answered(&mut self, news: &News<'_>) {
        let both = news.repeats && news.blocks.is_empty();
        let fate = self.tail.acknowledged(news.ack, news.twice.is_some() || both);
        if fate == ProbeFate::Repaired && self.phase == Phase::Open {
            let flight = self.controller.window();
            self.controller.on_congestion(news.now, flight, Congested::Loss);
            self.controller.on_recovered(news.now, self.pipe());
        }
    }

    /// A mark is a loss that was spared (RFC 3168, section 6.1.2): one in a round trip, and none while the window is being reduced.
    fn heed_mark(&mut self, news: &News<'_>, marks: Marks, flight: u32) -> bool {
        // The number that ends the window is the first one that says that it was reduced: what acknowledges no more was sent before that was heard.
        let counts = marks.told && news.ack.follows(self.marked_until);
        if counts && self.phase == Phase::Open {
            self.controller.on_congestion(news.now, flight, Congested::Marked);
            self.marked_until = news.nxt;
            return true;
        }
        false
    }

    #[inline]
    fn tell_controller(
        &mut self,
        (now, path): (Instant, Path),
        (delivery, acks): (&Delivery, u32),
        (pipe, lost, marked): (u32, u32, u32),
        recovery: bool,
    ) {
        let shortest = self.rack.shortest.round_trip();
        let rate = self.rate.sample(now, delivery, lost, shortest);
        if delivery.delivered == 0 && delivery.acked == 0 {
            return;
        }
        // What has arrived behind a gap was counted when it arrived, or not at all: it may be that of a loss. Where the order is known
        // to change much it is counted at once.
        let in_order = delivery.acked > 0 || self.rack.reordering().1 > DUPLICATES * path.mss;
        let (window, ssthresh) = (self.controller.window(), self.controller.ssthresh());
        self.controller.on_ack(&Ack {
            now,
            acks,
            acked: if in_order { delivery.delivered } else { 0 },
            delivered: delivery.delivered,
            flight: pipe,
            window_limited: self.usage.is_window_limited(window, ssthresh),
            marked,
            round_trip: delivery.newest_certain.map(|(stamp, _)| now.span_since(stamp.sent_at)),
            smoothed: path.smoothed,
            round_start: self.rate.begins_round(delivery),
            recovery,
            rate,
        });
    }
}

fn progress(delivery: &Delivery, newly_lost: u32) -> Progress {
    if delivery.acked > 0 && newly_lost == 0 { Progress::Safe } else { Progress::Unsafe }
}

/// By Karn's algorithm only what was sent once gives a sample, and that not beside something that was sent again: its ACK has waited
/// for the other to arrive. What is behind a gap is acknowledged at once (RFC 5681, section 4.2), so that recoveries have samples too.
fn round_trip(now: Instant, delivery: &Delivery) -> Option<Span> {
    let in_order = delivery.sent_once.filter(|_| !delivery.acked_again);
    in_order.or(delivery.sacked_once).map(|sent_at| now.span_since(sent_at))
}

/// Enough to tell loss from reordering (RFC 5681, section 3.2).
const DUPLICATES: u32 = 3;
