//! A probe of the path's MTU among what is sent (RFC 4821, sections 7.5 and 7.6): that it alone is lost says something about its size, and nothing
//! about congestion.

use super::{Phase, Sender};
use crate::tcp::seq::Seq;

/// The numbers of the last probe.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathProbe {
    start: Seq,
    end: Seq,
    fate: Found,
}

/// What is known of a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::tcp) enum Found {
    OnItsWay,
    Arrived,
    /// It alone is lost.
    Lost,
    /// There is none, or its loss says nothing, for there were others.
    Nothing,
}

impl Sender {
    /// What begins here was sent as a probe.
    pub(in crate::tcp) fn path_probe_sent(&mut self, start: Seq, len: u32) {
        self.path_probe = Some(PathProbe { start, end: start + len, fate: Found::OnItsWay });
    }

    /// What has become of the probe. Once acknowledged it is forgotten.
    pub(in crate::tcp) fn look_for_path_probe(&mut self, una: Seq) -> Found {
        let Some(probe) = self.path_probe else { return Found::Nothing };
        if una.precedes(probe.end) {
            return probe.fate;
        }
        self.path_probe = None;
        if probe.fate == Found::OnItsWay { Found::Arrived } else { probe.fate }
    }

    /// A router says that the probe is lost, if that begins here.
    pub(in crate::tcp) fn lose_path_probe(&mut self, start: Seq) -> Found {
        match &mut self.path_probe {
            Some(probe) if probe.start == start && probe.fate == Found::OnItsWay => {
                probe.fate = Found::Lost;
                self.board.lose_between(probe.start, probe.end);
                Found::Lost
            }
            _ => Found::Nothing,
        }
    }

    /// Nothing is missing, and no earlier probe is out: a loss could only be that of the next one.
    pub(in crate::tcp) fn is_quiet(&self) -> bool {
        self.phase == Phase::Open
            && self.board.lost() == 0
            && self.board.arrived() == 0
            && self.path_probe.is_none()
    }

    /// Whether what is lost is the probe and nothing else. Then all of it is: without SACK only its beginning was known to be.
    #[cold]
    pub(super) fn misses_only_path_probe(&mut self) -> bool {
        let Some(probe) = &mut self.path_probe else { return false };
        let (start, end) = (probe.start, probe.end);
        if self.board.lost_once_between(start, end) < self.board.lost() {
            return false;
        }
        probe.fate = Found::Lost;
        self.board.lose_between(start, end);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::tcp::congestion::Timeout;
    use crate::tcp::congestion::any_controller::AnyController;
    use crate::tcp::congestion::controller::{Ack, Congested, Controller};
    use crate::tcp::ecn::Echo;
    use crate::tcp::sender::{News, Path};
    use crate::time::{Instant, Span};
    use crate::wire::tcp_options::SackBlock;

    /// Hears what was lost, and nothing else.
    struct Listener(Arc<Mutex<Vec<u64>>>);

    impl Controller for Listener {
        fn name(&self) -> &'static str {
            "listener"
        }

        fn window(&self) -> u32 {
            10_000
        }

        fn ssthresh(&self) -> u32 {
            10_000
        }

        fn on_ack(&mut self, ack: &Ack) {
            self.0.lock().unwrap().extend(ack.rate.map(|rate| rate.lost));
        }

        fn on_congestion(&mut self, _: Instant, _: u32, _: Congested) {
            panic!("it is none");
        }

        fn on_timeout(&mut self, _: Instant, _: u32, _: Timeout) {}

        fn undo(&mut self, _: Instant) {}

        fn on_idle(&mut self, _: Instant, _: Span, _: Span) {}

        fn on_mss(&mut self, _: u32) {}
    }

    /// BBR goes by what every ACK shows to be lost, recovery or not.
    #[test]
    fn a_lost_probe_is_in_no_sample() {
        let heard = Arc::default();
        let start = Seq(1000);
        let mut sender =
            Sender::new(start, AnyController::Test(Box::new(Listener(Arc::clone(&heard)))));
        sender.sent(Instant::from_millis(10), (start, 1460), 0);
        sender.path_probe_sent(start, 1460);
        sender.sent(Instant::from_millis(10), (start + 1460, 4000), 0);
        let behind = SackBlock { left: start + 1460, right: start + 5460 };
        let news = News {
            now: Instant::from_millis(30),
            ack: start,
            nxt: start + 5460,
            blocks: &[behind],
            twice: None,
            repeats: false,
            echo: Echo::Nothing,
            echo_ms: None,
            path: Path { mss: 1000, smoothed: None, sack: true },
        };
        let outcome = sender.acknowledged(&news, None);
        assert!(!outcome.recovers);
        assert_eq!((sender.board.lost(), sender.look_for_path_probe(start)), (1460, Found::Lost));
        assert_eq!(*heard.lock().unwrap(), [0]);
    }
}
