//! How long there was something to send, and what stood in its way: where to look if a transfer is slow (Linux's `tcpi_busy_time` and its parts).

use crate::time::{Instant, Span};

/// What keeps what is written from being sent, other than the congestion window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::tcp) enum Obstacle {
    Nothing,
    /// The peer's window.
    PeersWindow,
    /// The send buffer: it is full, and all of it is on its way.
    Buffer,
}

/// Times since the connection last rested.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::tcp) struct BusyTimes {
    /// With something written and not acknowledged.
    pub(in crate::tcp) busy: Span,
    /// That in which the peer's window was in the way.
    pub(in crate::tcp) window_limited: Span,
    /// That in which the send buffer was.
    pub(in crate::tcp) buffer_limited: Span,
}

/// A clock that runs while there is something to send.
#[derive(Debug, Default)]
pub(super) struct Busy {
    since: Option<(Instant, Obstacle)>,
    times: BusyTimes,
}

impl Busy {
    /// From now on this is in the way; `None`: there is nothing to send.
    #[inline]
    pub(super) fn note(&mut self, now: Instant, obstacle: Option<Obstacle>) {
        if self.since.map(|(_, before)| before) != obstacle {
            self.times = self.times(now);
            self.since = obstacle.map(|obstacle| (now, obstacle));
        }
    }

    /// The times up to now.
    pub(super) fn times(&self, now: Instant) -> BusyTimes {
        let mut times = self.times;
        if let Some((since, obstacle)) = self.since {
            let span = now.span_since(since);
            times.busy += span;
            match obstacle {
                Obstacle::Nothing => {}
                Obstacle::PeersWindow => times.window_limited += span,
                Obstacle::Buffer => times.buffer_limited += span,
            }
        }
        times
    }
}

#[cfg(test)]
mod tests {
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::Harness;

    fn times(t: &mut Harness) -> [u64; 3] {
        let now = t.net.now;
        let times = t.connection(|c| c.busy_times(now));
        [times.busy, times.window_limited, times.buffer_limited].map(|span| span.as_millis())
    }

    #[test]
    fn time_counts_while_something_is_not_acknowledged() {
        let mut t = Harness::connected();
        t.at(50);
        assert_eq!(times(&mut t), [0; 3]);
        t.write(100);
        t.at(80).input("A 1 ack 101").unwrap();
        t.at(100);
        assert_eq!(times(&mut t), [30, 0, 0]);
        t.write(100);
        t.at(110);
        assert_eq!(times(&mut t), [40, 0, 0]);
    }

    #[test]
    fn a_window_of_the_peers_is_in_the_way_before_anything_was_sent_and_where_it_is_small() {
        let mut t = Harness::connected();
        t.input("A 1 ack 1 win 0").unwrap();
        t.at(10).write(1000);
        t.at(110);
        assert_eq!(times(&mut t), [100, 100, 0]);
        t.input("A 1 ack 1 win 2000").unwrap();
        t.at(140).input("A 1 ack 1001 win 10").unwrap();
        assert_eq!(times(&mut t), [130, 100, 0]);
        t.write(1000);
        t.at(150);
        assert_eq!(times(&mut t), [140, 110, 0]);
    }

    #[test]
    fn a_full_buffer_is_in_the_way_once_all_of_it_is_on_its_way() {
        let config = TcpConfig { send_buffer: 4096, ..Harness::plain() };
        let mut t = Harness::connected_with(&config);
        t.stream().set_nodelay(true);
        assert_eq!(t.write(9000), 4096);
        t.at(20);
        assert_eq!(times(&mut t), [20, 0, 20]);
        t.input("A 1 ack 2001").unwrap();
        t.at(30);
        assert_eq!(times(&mut t), [30, 0, 20]);
    }
}
