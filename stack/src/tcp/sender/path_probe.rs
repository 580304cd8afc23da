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
    pub(super) fn misses_only_path_probe(&mut self) -> bool {
        let Some(probe) = &mut self.path_probe else { return false };
        let (start, end) = (probe.start, probe.end);
        if self.board.lost_once_between(start, end) < self.board.lost() {
            return false;
        }
        probe.fate = Found::Lost;
        self.board.lose_between(start, end);
        self.departed = self.departed.min(self.board.in_flight());
        true
    }
}
