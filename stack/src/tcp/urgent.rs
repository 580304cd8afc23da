//! Urgent data (RFC 9293, section 3.8.5; RFC 6093): one byte of the stream that the peer's application is to know of early.
//!
//! The RFC's pointer leads to the *last* urgent byte; every implementation's leads to the byte *behind* it, and RFC 6093
//! (section 3.1) has made that the standard. All of them also treat only that last byte as urgent, and so does this one.
//!
//! Where the byte is stands in the receive ring and the send ring, as a mark. Nothing is kept here for a connection that has
//! never seen urgent data.

use darner_ring::{Deferred, Mark, UrgentDelivery};
use pmd::Frame;

use super::connection::{Connection, Context};
use super::segment::Segment;
use super::seq::Seq;
use crate::api::Readiness;
use crate::counters::Counter;
use crate::socket::OobCell;

/// What a connection with urgent data has to remember.
#[derive(Default)]
pub(super) struct Urgent {
    /// How the application wants it.
    delivery: UrgentDelivery,
    /// RCV.UP: the position in the receive ring of the newest urgent byte. It only moves forward.
    received: Option<u64>,
    /// What the application's cell does not say yet. Only the newest matters.
    untold: Option<OobCell>,
    /// Up to which position of the send ring the peer knows of urgent data.
    announced: u64,
}

/// Receiving.
impl Connection {
    /// Sixth: check the URG bit. The pointer counts even if the window is closed (MUST-66), and may lead far beyond it. What
    /// leads to a byte that is here already says nothing new.
    pub(super) fn process_urgent(&mut self, cx: &mut Context<'_>, segment: &Segment) {
        let Some(at) = segment.urgent else { return };
        if !self.state.can_receive() || at.precedes(self.rcv.nxt) {
            return;
        }
        let position = self.socket.receive.position() + u64::from(at.offset_from(self.rcv.nxt));
        let urgent = self.urgent.get_or_insert_default();
        if urgent.received.is_some_and(|known| known >= position) {
            return;
        }
        urgent.received = Some(position);
        urgent.untold = Some(OobCell::announced(position));
        self.socket.receive.set_mark(Mark { position, delivery: urgent.delivery });
        // Asynchronously, and for each that is new (MUST-32).
        self.socket.raise(&mut cx.net.readies, Readiness::URGENT);
    }

    /// The first `len` bytes of `payload` have gone to the application, to `position` and on. The urgent byte may be among
    /// them.
    pub(super) fn take_urgent_byte(&mut self, position: u64, payload: &Frame, len: usize) {
        let Some(urgent) = &mut self.urgent else { return };
        let delivered = position..position + len as u64;
        let Some(at) = urgent.received.filter(|at| delivered.contains(at)) else { return };
        let mut offset = usize::try_from(at - position).unwrap_or(usize::MAX);
        for bytes in payload.segments() {
            if let Some(&byte) = bytes.get(offset) {
                urgent.untold = Some(OobCell::arrived(at, byte));
                return;
            }
            offset -= bytes.len();
        }
    }

    /// Puts what is known of the urgent byte where the application fetches it, unless somebody is at that place just now:
    /// he hints when he is done, and by then only the newest counts.
    pub(super) fn tell_urgent(&mut self, cx: &mut Context<'_>) {
        let Some(urgent) = &mut self.urgent else { return };
        let Some(cell) = urgent.untold else { return };
        let mut spare = Some(Box::default());
        let told = self.socket.words.try_control(|state| state.rare(&mut spare).oob = cell);
        if told == Err(Deferred) {
            cx.net.metrics.count(Counter::ControlDeferrals);
            return;
        }
        urgent.untold = None;
        if cell.has_come() {
            self.socket.raise(&mut cx.net.readies, Readiness::URGENT);
        }
    }

    /// The application has chosen how it wants urgent bytes: from now on, the one that it has not come to included.
    pub(super) fn deliver_urgent(&mut self, delivery: UrgentDelivery) {
        if self.urgent.is_none() && delivery == UrgentDelivery::default() {
            return;
        }
        let urgent = self.urgent.get_or_insert_default();
        if urgent.delivery == delivery {
            return;
        }
        urgent.delivery = delivery;
        let consumed = self.socket.receive.consumed();
        if let Some(position) = urgent.received.filter(|&position| position >= consumed) {
            self.socket.receive.set_mark(Mark { position, delivery });
        }
    }
}

/// Sending.
impl Connection {
    /// SND.UP - SEG.SEQ for a segment that begins at `seq`, while urgent data lies ahead of that.
    ///
    /// If it lies further ahead than the field can say, the pointer leads as far as it can, so that the peer knows at least
    /// that something comes; but never to a byte that was sent already, which the peer would take for the urgent one.
    pub(super) fn urgent_pointer(&self, seq: Seq) -> Option<u16> {
        let up = self.seq_at(self.socket.send.urgent()?) + 1;
        if !up.follows(seq) {
            return None;
        }
        let furthest = seq + u32::from(u16::MAX);
        match u16::try_from(up.offset_from(seq)) {
            Ok(pointer) => Some(pointer),
            Err(_) => furthest.follows(self.snd.nxt).then_some(u16::MAX),
        }
    }

    /// A segment with the URG bit has left.
    pub(super) fn urgent_announced(&mut self) {
        if let Some(position) = self.socket.send.urgent() {
            self.urgent.get_or_insert_default().announced = position + 1;
        }
    }

    /// Whether the peer must hear of urgent data before the windows let go of it.
    pub(super) fn owes_urgent(&self) -> bool {
        let announced = self.urgent.as_ref().map_or(0, |urgent| urgent.announced);
        self.socket.send.urgent().is_some_and(|position| position >= announced)
            && self.urgent_pointer(self.snd.nxt).is_some()
    }
}

#[cfg(test)]
mod every_split;
#[cfg(test)]
mod tests;
