//! When a recovery begins, and what ends it: losses found, a timeout, everything acknowledged, or the proof that nothing was lost.

use super::delivery::Delivery;
use super::prr::Prr;
use super::rack::Patience;
use super::undo::{Frto, Repairs};
use super::{DUPLICATES, News, Path, Phase, Sender};
use crate::tcp::congestion::Timeout;
use crate::tcp::congestion::controller::{Congested, Controller};
use crate::tcp::seq::Seq;
use crate::time::Instant;

impl Sender {
    /// The retransmission timer has fired: the first segment is lost at least.
    pub(in crate::tcp) fn timed_out(&mut self, now: Instant, (una, nxt): (Seq, Seq), path: Path) {
        let again = self.phase == Phase::Loss && self.timed_out_at == una;
        let which = if again { Timeout::Again } else { Timeout::First };
        self.timed_out_at = una;
        self.controller.on_timeout(now, nxt.offset_from(una), which);
        if self.board.is_first_arrived() {
            self.board.forget_arrived();
        }
        if path.sack {
            self.rack.detect_on_timeout(&mut self.board, now, path.smoothed, path.mss);
        } else {
            self.board.lose_all();
        }
        // Only the first timeout of a recovery is doubted (RFC 5682, section 2.1, step 1): probing with new data at each would repair one
        // segment in each timeout, and that backs off. None is after what was too large for the path: that is lost for certain.
        self.frto = Frto::Off;
        if self.phase != Phase::Loss {
            self.repairs = Repairs::begin(una, nxt);
            self.frto = Frto::Waiting;
        }
        self.enter_loss(nxt);
    }

    /// What is on its way was too large for the path, and is to be sent again in smaller pieces: no sign of congestion.
    pub(in crate::tcp) fn lose_all(&mut self, nxt: Seq) {
        self.board.lose_all();
        self.frto = Frto::Off;
        self.enter_loss(nxt);
    }

    fn enter_loss(&mut self, nxt: Seq) {
        self.phase = Phase::Loss;
        self.late_at = None;
        self.point = nxt;
        self.duplicates = 0;
        self.departed = 0;
        self.tail.forget();
        self.path_probe = None;
        self.yielding = false;
    }

    pub(super) fn find_losses(&mut self, news: &News<'_>, delivery: &Delivery) -> Option<Instant> {
        let Path { mss, smoothed, sack } = news.path;
        if sack {
            // What was sent once and arrives in order speaks against nothing that was sent after it.
            if self.phase == Phase::Open && self.board.arrived() == 0 && !self.again {
                return None;
            }
            let patience = self.patience(mss);
            return self.rack.detect(&mut self.board, news.now, patience, smoothed);
        }
        let first_is_lost = match self.phase {
            // Duplicates before the point may come from what was sent again (RFC 6582, section 3.2, step 1).
            Phase::Open => self.duplicates == DUPLICATES && news.ack.follows(self.point),
            // A partial ACK: the next hole is known without waiting for duplicates (step 3).
            Phase::Recovery => delivery.acked > 0,
            Phase::Loss => false,
        };
        if first_is_lost {
            self.board.lose_first(mss);
            self.departed = self.departed.min(self.board.in_flight());
        }
        None
    }

    /// Three segments beyond a gap tell a loss, unless the path is known to change their order (RFC 8985, section 6.2, step 4).
    pub(super) fn patience(&self, mss: u32) -> Patience {
        let enough = self.board.arrived() > (DUPLICATES - 1) * mss || self.duplicates >= DUPLICATES;
        if enough || self.phase != Phase::Open { Patience::None } else { Patience::Waits }
    }

    /// The first loss of a window begins a recovery. `fresh` bytes were delivered by the ACK that shows it.
    pub(super) fn begin_recovery(
        &mut self,
        now: Instant,
        (una, nxt): (Seq, Seq),
        mss: u32,
        fresh: u32,
    ) -> bool {
        if self.phase != Phase::Open || self.board.lost() == 0 || self.misses_only_path_probe() {
            return false;
        }
        // FlightSize of RFC 5681: what has arrived behind the gap is part of it.
        let flight = nxt.offset_from(una);
        let told = if self.controller.owns_recovery() { self.pipe() } else { flight };
        let marked = una.precedes(self.marked_until);
        let why = if marked { Congested::LossAfterMark } else { Congested::Loss };
        self.controller.on_congestion(now, told, why);
        // What had arrived before is not delivered during the recovery any more (RFC 9937, section 6).
        let before = flight.saturating_sub(self.board.arrived()) + fresh;
        self.prr = Prr::begin(before, self.pipe(), mss);
        self.yielding = false;
        self.repairs = Repairs::begin(una, nxt);
        self.phase = Phase::Recovery;
        self.point = nxt;
        self.tail.forget();
        self.path_probe = None;
        true
    }

    /// Everything sent before the recovery began is acknowledged.
    pub(super) fn end_recovery(&mut self, news: &News<'_>) {
        if news.ack.precedes(self.point) {
            return;
        }
        match self.phase {
            Phase::Open => return self.follow_point(news.ack),
            Phase::Recovery => {}
            Phase::Loss => self.frto = Frto::Off,
        }
        self.controller.on_recovered(news.now, self.pipe());
        self.rack.recovered();
        self.phase = Phase::Open;
    }

    /// Once passed, the point follows closely: half the circle further on it would seem to lie ahead.
    #[inline]
    pub(super) fn follow_point(&mut self, ack: Seq) {
        self.point = self.point.later(ack - 1);
        self.marked_until = self.marked_until.later(ack - 1);
    }

    /// Takes a recovery back that was not needed.
    pub(super) fn find_spurious(&mut self, news: &News<'_>, delivery: &Delivery) -> bool {
        if let Some(twice) = news.twice {
            self.rack.duplicate_reported(news.nxt);
            if self.repairs.explained_by(twice) {
                self.rack.overtaken();
                return self.undo(news.now);
            }
        }
        if self.phase == Phase::Open {
            return false;
        }
        let refuted = self.repairs.are_refuted_by(news.echo_ms, delivery.front_sent_at);
        let early = self.phase == Phase::Loss
            && news.ack.precedes(self.point)
            && self.frto.judge(delivery, self.point, news.path.sack);
        (refuted || early) && self.undo(news.now)
    }

    fn undo(&mut self, now: Instant) -> bool {
        self.controller.undo(now);
        self.board.find_all();
        self.frto = Frto::Off;
        self.phase = Phase::Open;
        true
    }
}
