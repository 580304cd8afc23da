//! The user timeout (RFC 9293, section 3.8.3): how long bytes may stay unacknowledged.

use std::time::Duration;

use super::config::TcpConfig;
use super::connection::{Connection, Context};
use crate::time::Instant;

impl Connection {
    /// The application's, else the configured one.
    pub(super) fn user_timeout(&self, config: &TcpConfig) -> Option<Duration> {
        let own = self.rare.user_timeout_ms();
        if own > 0 { Some(Duration::from_millis(own.into())) } else { config.user_timeout }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::harness::Harness;

    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(30));

    #[test]
    fn bytes_that_stay_unacknowledged_end_the_connection() {
        let mut t = Harness::connected();
        t.stream().set_user_timeout(TIMEOUT);
        t.at(100_000);
        t.write(100);
        t.at(129_999);
        assert!(t.state().is_some());
        t.sent();
        t.at(130_001);
        assert_eq!((t.state(), t.sent()), (None, vec!["RA 101 ack 1".to_owned()]));
        assert_eq!(t.read(1).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    }

    #[test]
    fn progress_starts_the_time_anew() {
        let mut t = Harness::connected();
        t.stream().set_user_timeout(TIMEOUT);
        t.write(2000);
        t.at(29_000);
        t.input("A 1 ack 1001").unwrap();
        t.at(58_000);
        assert!(t.state().is_some());
        // More to send is no progress.
        t.write(1000);
        t.at(59_001);
        assert_eq!(t.state(), None);
    }

    #[test]
    fn a_window_that_stays_closed_counts_unless_the_peer_answers() {
        for answers in [true, false] {
            let mut t = Harness::connected();
            t.stream().set_user_timeout(TIMEOUT);
            t.input("A 1 ack 1 win 0").unwrap();
            t.write(100);
            for second in 1..100 {
                t.at(second * 1000);
                if !t.sent().is_empty() && answers {
                    t.input("A 1 ack 1 win 0").unwrap();
                }
            }
            assert_eq!(t.state().is_some(), answers);
        }
    }

    #[test]
    fn a_long_timeout_outlasts_the_usual_number_of_retries() {
        let mut t = Harness::connected();
        t.stream().set_user_timeout(Some(Duration::from_secs(7200)));
        t.write(100);
        t.at(7_199_000);
        assert!(t.state().is_some());
        t.at(7_201_000);
        assert_eq!(t.state(), None);
    }
}
