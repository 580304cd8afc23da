//! CLOSE and SHUTDOWN (RFC 9293, section 3.10.4): what the application has decided, and what follows from it.
//!
//! The application's decisions stand in the socket's own words, and each is final. So they are read here whenever a hint
//! says that something may have changed; how often, and in what order hints come, does not matter.

use super::connection::{Connection, Context, Nodelay};
use super::state::{Event, State};
use crate::socket::{Hints, Phase};
use crate::time::Instant;
use darner_ring::SendEnd;

impl Connection {
    /// Looks at everything that the application may have changed.
    pub(super) fn look_at_application(&mut self, cx: &mut Context<'_>) {
        let hints = self.socket.take_hints();
        let end = self.socket.send.tail().end;
        let closed = self.socket.is_closed();
        // Closing with bytes unread tells the peer that they are lost (RFC 1122, section 4.2.2.13; RFC 2525,
        // section 2.17).
        let lost = closed && self.socket.receive.unread() > 0;
        if end == SendEnd::Aborted || lost {
            self.abort(cx);
            return;
        }
        if closed || end == SendEnd::Shut {
            self.close(cx, closed);
        }
        if self.state == State::Closed {
            return;
        }
        if hints.contains(Hints::OPTIONS) {
            self.options_changed(cx);
        }
        self.watch_fin_wait_2(cx);
    }

    /// The application sends no more. In SYN-SENT and SYN-RECEIVED that waits for the handshake, unless nobody is left
    /// who could use the connection.
    fn close(&mut self, cx: &mut Context<'_>, closed: bool) {
        match self.state {
            State::SynSent if closed => {
                self.advance(Event::AppClose);
                self.socket.end(&mut cx.net.mailboxes);
            }
            State::Established | State::CloseWait => {
                self.advance(Event::AppClose);
                self.socket.set_phase(Phase::Closing);
            }
            _ => {}
        }
    }

    fn options_changed(&mut self, cx: &Context<'_>) {
        let options = self.socket.options();
        self.nodelay = if options.nodelay { Nodelay::On } else { Nodelay::Off };
        self.watch_keepalive(cx);
        self.user_timeout_changed(cx);
    }

    /// A peer that never closes must not hold a connection that nobody reads (socket contract, C-12). While somebody
    /// may still read, FIN-WAIT-2 lasts as long as the peer likes.
    pub(super) fn watch_fin_wait_2(&mut self, cx: &mut Context<'_>) {
        let unread = self.socket.receive.is_shut() || self.socket.is_closed();
        let unarmed = self.deadlines.fin_wait_2 == Instant::FAR_FUTURE;
        if self.state == State::FinWait2 && unread && unarmed {
            self.deadlines.fin_wait_2 = cx.now() + cx.config.fin_wait_2;
            self.socket.end(&mut cx.net.mailboxes);
        }
    }

    pub(super) fn fin_wait_2_due(&mut self) {
        if self.state == State::FinWait2 {
            self.advance(Event::Abort);
        }
    }
}
