//! The search for the largest segment that a path carries (RFC 4821, section 7). Sizes are those of a full segment's payload in bytes.

use std::time::Duration;

use crate::ip::PATH_MTU_AGE;
use crate::time::Instant;

/// What is known to arrive, and what may.
#[derive(Debug)]
pub(super) struct Search {
    /// What segments are made of meanwhile: search_low, which is also eff_pmtu.
    low: u16,
    /// Nothing larger is tried: search_high.
    high: u16,
    /// What to try first.
    next: Candidate,
    /// The size of the probe that is out.
    probing: Option<u16>,
    /// When a search that is over begins again: the path may have become wider (RFC 1191, section 6.3).
    again_at: Instant,
}

/// Which size is the next to be tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Candidate {
    /// The largest, since there is some reason to believe in it: so often more.
    Largest { tries: u8 },
    /// What halves the doubt.
    Middle,
}

impl Search {
    /// `size` is what the path carries, for the time being.
    pub(super) fn settled(size: u16, now: Instant) -> Self {
        let again_at = now + AGAIN_AFTER;
        Self { low: size, high: size, next: Candidate::Middle, probing: None, again_at }
    }

    /// `low` should arrive. `high` is tried first: it may have been an outage that looked like a narrow path, and most paths are as wide as their ends.
    pub(super) fn between(low: u16, high: u16, now: Instant) -> Self {
        Self { high, next: LARGEST, ..Self::settled(low, now) }
    }

    /// How large segments are to be.
    pub(super) fn size(&self) -> u16 {
        self.low
    }

    /// The largest size that may still be tried.
    pub(super) fn largest(&self) -> u16 {
        self.high
    }

    /// The size of the probe that is out.
    pub(super) fn probing(&self) -> Option<u16> {
        self.probing
    }

    /// The size to try next; none while a probe is out, or when the search is over.
    pub(super) fn candidate(&self) -> Option<u16> {
        let doubt = self.high.saturating_sub(self.low);
        match self.next {
            _ if self.probing.is_some() => None,
            Candidate::Largest { .. } => Some(self.high).filter(|_| doubt > 0),
            Candidate::Middle => Some(self.high - doubt / 2).filter(|_| doubt >= DOUBT_ALLOWED),
        }
    }

    /// A probe of this size is on its way.
    pub(super) fn sent(&mut self, size: u16) {
        self.probing = Some(size);
    }

    /// The probe has arrived (section 7.6.1).
    pub(super) fn arrived(&mut self, now: Instant) {
        if let Some(size) = self.probing.take() {
            self.low = size;
            self.answered(now);
        }
    }

    /// The probe is lost, and nothing else (section 7.6.2).
    pub(super) fn lost(&mut self, now: Instant) {
        match (self.probing.take(), &mut self.next) {
            (Some(_), Candidate::Largest { tries: tries @ 2.. }) => *tries -= 1,
            (Some(size), _) => {
                self.high = size - 1;
                self.answered(now);
            }
            (None, _) => {}
        }
    }

    /// Other segments were lost as well, so the probe's loss says nothing about its size (section 7.6.4).
    pub(super) fn unclear(&mut self) {
        self.probing = None;
    }

    /// A router has refused the probe, and says that it carries `size`, which may be true.
    pub(super) fn refused(&mut self, size: u16, now: Instant) {
        self.high = size;
        self.answered(now);
        (self.probing, self.next) = (None, LARGEST);
    }

    /// Nothing larger than `size` can be sent.
    pub(super) fn cap(&mut self, size: u16, now: Instant) {
        if size < self.high {
            self.high = size;
            self.low = self.low.min(size);
            self.probing = None;
            self.answered(now);
        }
    }

    /// Whether it is time to begin again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.again_at <= now && self.candidate().is_none() && self.probing.is_none()
    }

    /// A search begins again, up to `largest`.
    pub(super) fn again(&mut self, largest: u16, now: Instant) {
        *self = Self::between(self.low, largest.max(self.low), now);
    }

    fn answered(&mut self, now: Instant) {
        self.next = Candidate::Middle;
        self.again_at = now + AGAIN_AFTER;
    }
}

/// To be mistaken about the largest size costs most, and lasts for ten minutes: it is tried three times (MAX_PROBES in RFC 8899, section 5.1.2).
const LARGEST: Candidate = Candidate::Largest { tries: 3 };

/// A size that is known as precisely as this is not worth another probe: as in Linux.
const DOUBT_ALLOWED: u16 = 8;

/// RFC 4821, section 7.4, with RFC 1191, section 6.3.
const AGAIN_AFTER: Duration = PATH_MTU_AGE;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Instant = Instant::from_millis(5);

    /// Probes until nothing more is to be tried; returns the sizes.
    fn probe_all(search: &mut Search, carries: u16) -> Vec<u16> {
        let mut tried = vec![];
        while let Some(size) = search.candidate() {
            tried.push(size);
            search.sent(size);
            assert_eq!(search.candidate(), None, "one at a time");
            if size <= carries { search.arrived(NOW) } else { search.lost(NOW) }
        }
        tried
    }

    #[test]
    fn the_largest_is_tried_first_and_then_the_middle() {
        let mut search = Search::between(1024, 1448, NOW);
        assert_eq!(probe_all(&mut search, 1448), [1448]);
        let mut search = Search::between(1024, 1448, NOW);
        assert_eq!(
            probe_all(&mut search, 1280),
            [1448, 1448, 1448, 1236, 1342, 1289, 1262, 1275, 1282]
        );
        assert_eq!(search.size(), 1275);
    }

    #[test]
    fn what_a_router_says_of_a_probe_is_tried_next() {
        let mut search = Search::between(1024, 8948, NOW);
        search.sent(8948);
        search.refused(1448, NOW);
        assert_eq!(probe_all(&mut search, 1448), [1448]);
        assert_eq!((search.size(), search.candidate()), (1448, None));
    }

    #[test]
    fn a_loss_among_others_changes_nothing() {
        let mut search = Search::between(1024, 1448, NOW);
        search.sent(1448);
        search.unclear();
        assert_eq!((search.size(), search.candidate()), (1024, Some(1448)));
    }

    #[test]
    fn ten_minutes_later_the_largest_is_tried_again() {
        let mut search = Search::between(1024, 1448, NOW);
        probe_all(&mut search, 1280);
        let later = NOW + Duration::from_secs(600);
        assert!(!search.is_due(later - Duration::from_secs(1)));
        assert!(search.is_due(later));
        search.again(1448, later);
        assert_eq!(probe_all(&mut search, 1448), [1448]);
        assert_eq!(search.size(), 1448);
    }

    #[test]
    fn a_cap_ends_what_is_above_it() {
        let mut search = Search::between(1024, 1448, NOW);
        search.sent(1448);
        search.cap(1448, NOW);
        assert_eq!(search.probing(), Some(1448));
        search.cap(1200, NOW);
        assert_eq!((search.size(), search.candidate(), search.probing()), (1024, Some(1112), None));
        search.cap(600, NOW);
        assert_eq!((search.size(), search.candidate()), (600, None));
    }

    proptest! {
        #[test]
        fn every_size_is_found_nearly_and_with_few_probes(
            low in 512_u16..9000,
            more in 0_u16..20_000,
            of_it in 0_u16..20_000,
        ) {
            let mut search = Search::between(low, low + more, NOW);
            let carries = low + of_it.min(more);
            let probes = probe_all(&mut search, carries).len();
            prop_assert!(search.size() <= carries && carries - search.size() < DOUBT_ALLOWED);
            prop_assert!(probes <= 16, "{probes}");
        }
    }
}
