//! What all connections of one core share: what is served, how patient we are, the date, and the tally.

use std::time::{Duration, SystemTime};

use darner::time::Instant;

use super::page::Page;

/// One core's side of the site.
pub(crate) struct Site {
    pub(crate) content: Content,
    pub(crate) limits: Limits,
    pub(crate) tally: Tally,
    /// An empty buffer with room for a response, between two connections.
    pub(crate) buffer: Vec<u8>,
    page: Page,
    clock: Clock,
}

/// What GET answers with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Content {
    /// The built-in page at `/`, nothing else.
    Page,
    /// The files of a folder, which [`super::disk`] knows.
    Folder,
}

/// How much, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The longest request body, in bytes.
    pub(crate) max_body: u64,
    /// How long a connection may stay open between requests.
    pub(crate) idle: Duration,
    /// How long the head of a request may take, from its first byte to its last.
    pub(crate) head: Duration,
    /// How long a transfer may stand still, and what it gets before its average rate counts.
    pub(crate) stall: Duration,
    /// The least average rate of a transfer, in bytes per second.
    pub(crate) min_rate: u64,
    /// How long a closed connection waits for the peer to close as well.
    pub(crate) linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: 16 << 30,
            idle: Duration::from_secs(60),
            head: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            min_rate: 256,
            linger: Duration::from_secs(2),
        }
    }
}

/// What this core has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) connections: u64,
    pub(crate) open: u64,
    pub(crate) requests: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Site {
    /// `now` is the moment that `wall` is, too: from here on the wall clock is computed, not read.
    pub(crate) fn new(
        content: Content,
        limits: Limits,
        page: Page,
        now: Instant,
        wall: SystemTime,
    ) -> Self {
        Self {
            content,
            limits,
            tally: Tally::default(),
            buffer: Vec::new(),
            page,
            clock: Clock::new(now, wall),
        }
    }

    /// Tells the site what time it is.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.clock.tick(now);
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now
    }

    /// The value of the Date field.
    pub(crate) fn date(&self) -> &str {
        &self.clock.date
    }

    /// The built-in page, with numbers at most a second old, and the date.
    pub(crate) fn page_and_date(&mut self) -> (&[u8], &str) {
        let page = self.page.render(self.clock.now, &self.tally);
        (page, &self.clock.date)
    }
}

/// Formats the date once a second, not once a response.
struct Clock {
    started: Instant,
    wall: SystemTime,
    now: Instant,
    stale_at: Instant,
    date: String,
}

impl Clock {
    fn new(now: Instant, wall: SystemTime) -> Self {
        let mut clock = Self { started: now, wall, now, stale_at: now, date: String::new() };
        clock.tick(now);
        clock
    }

    fn tick(&mut self, now: Instant) {
        self.now = now;
        if now < self.stale_at {
            return;
        }
        let wall = self.wall + now.since(self.started);
        self.date = httpdate::fmt_http_date(wall);
        let into_second =
            wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
        self.stale_at = now + (Duration::from_secs(1) - Duration::from_nanos(into_second.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_changes_with_the_wall_clock_second() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_900);
        let mut clock = Clock::new(Instant::from_millis(5), wall);
        assert_eq!(clock.date, "Sun, 06 Nov 1994 08:49:37 GMT");
        clock.tick(Instant::from_millis(104));
        assert_eq!(clock.date, "Sun, 06 Nov 1994 08:49:37 GMT");
        clock.tick(Instant::from_millis(105));
        assert_eq!(clock.date, "Sun, 06 Nov 1994 08:49:38 GMT");
    }
}
