//! The user timeout (RFC 9293, section 3.8.3): how long bytes may stay unacknowledged.

use std::time::Duration;

use super::config::TcpConfig;
use super::connection::{Connection, Context};
use crate::time::Instant;

impl Connection {
    /// The application's, else the configured one.
    pub(super) fn user_timeout(&self, config: &TcpConfig) -> Option<Duration> {
        self.socket.options().user_timeout.or(config.user_timeout)
    }

    /// Something waits for an acknowledgement: the time runs, unless it does already.
    pub(super) fn watch_user_timeout(&mut self, cx: &Context<'_>) {
        if self.deadlines.give_up == Instant::FAR_FUTURE
            && let Some(timeout) = self.user_timeout(cx.config)
        {
            self.deadlines.give_up = cx.now() + timeout;
        }
    }

    /// The application may have set another one: it runs from here.
    pub(super) fn user_timeout_changed(&mut self, cx: &Context<'_>) {
        self.deadlines.give_up = Instant::FAR_FUTURE;
        if self.is_outstanding() {
            self.watch_user_timeout(cx);
        }
    }

    pub(super) fn user_timeout_due(&mut self, cx: &mut Context<'_>) {
        self.reset_peer(cx);
        self.give_up(cx);
    }
}
