//! Keep-alive: whether a silent peer is still there (RFC 9293, section 3.8.4). Off unless the application wants it.

use super::connection::{Connection, Context};
use crate::counters::Counter;
use crate::time::Instant;
use crate::wire::tcp::Flags;

impl Connection {
    /// The application may have switched it on or off.
    pub(super) fn watch_keepalive(&mut self, cx: &Context<'_>) {
        let wanted = self.socket.options().keepalive && self.state.is_synchronized();
        if !wanted {
            self.deadlines.keepalive = Instant::FAR_FUTURE;
        } else if self.deadlines.keepalive == Instant::FAR_FUTURE {
            self.keepalive_probes = 0;
            self.deadlines.keepalive = self.heard_at + cx.config.keepalive_idle;
        }
    }

    /// The peer was heard. The deadline stays where it is: when it comes, it is looked at again.
    pub(super) fn keepalive_answered(&mut self, now: Instant) {
        self.heard_at = now;
        self.keepalive_probes = 0;
    }

    /// Time to ask, unless the peer was heard meanwhile, or is being asked anyway: unacknowledged data does that.
    pub(super) fn keepalive_due(&mut self, cx: &mut Context<'_>) {
        let idle_until = self.heard_at + cx.config.keepalive_idle;
        if self.is_outstanding() || (self.keepalive_probes == 0 && idle_until > cx.now()) {
            self.deadlines.keepalive = idle_until.max(cx.now() + cx.config.keepalive_interval);
            return;
        }
        if self.keepalive_probes >= cx.config.keepalive_probes {
            self.reset_peer(cx);
            self.give_up(cx);
            return;
        }
        // One number too old, so that it must be answered (section 3.8.4: SEG.SEQ = SND.NXT - 1), and without data.
        if self.emit(cx, self.snd.max - 1, 0, Flags::ACK).is_ok() {
            self.keepalive_probes += 1;
            cx.net.metrics.count(Counter::TcpKeepAliveProbes);
        }
        self.deadlines.keepalive = cx.now() + cx.config.keepalive_interval;
    }
}
