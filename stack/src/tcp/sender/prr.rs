//! Proportional rate reduction (RFC 9937): in a fast recovery, and where a mark has reduced the window, what is in flight sinks to what it may be as data is
//! delivered, neither at a stroke nor by a pause.

/// One recovery, or what follows one mark.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prr {
    /// In flight before the ACK that began the recovery, and before anything was taken for lost (RecoverFS).
    flight: u64,
    delivered: u64,
    sent: u64,
    window: u32,
    /// There is something to send again, and the first of it goes whatever the arithmetic says.
    repairs: bool,
}

/// One ACK of a recovery.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrrAck {
    pub(super) delivered: u32,
    /// In flight after the ACK, without what is lost.
    pub(super) pipe: u32,
    pub(super) ssthresh: u32,
    pub(super) mss: u32,
    pub(super) progress: Progress,
    /// The first segment was found lost by this very ACK, and goes at once (RFC 6582, section 3.2, step 3).
    pub(super) partial: bool,
}

/// What an ACK says about how recovery goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Progress {
    /// SND.UNA has moved, and nothing more was found lost: it is safe to make up for what is missing in flight.
    Safe,
    Unsafe,
}

impl Prr {
    pub(super) fn begin(flight: u32, pipe: u32, mss: u32) -> Self {
        // What was found lost first may go at once: the fast retransmit.
        Self {
            flight: u64::from(flight.max(1)),
            delivered: 0,
            sent: 0,
            window: pipe.saturating_add(mss),
            repairs: true,
        }
    }

    /// Nothing was lost, but so much in flight was too much: the window comes with the ACK that says so.
    pub(super) fn yielding(flight: u32) -> Self {
        Self { flight: u64::from(flight.max(1)), delivered: 0, sent: 0, window: 0, repairs: false }
    }

    /// How much may be in flight.
    pub(super) fn window(&self) -> u32 {
        self.window
    }

    /// Section 6.
    pub(super) fn on_ack(&mut self, ack: &PrrAck) {
        self.delivered += u64::from(ack.delivered);
        let (pipe, ssthresh) = (u64::from(ack.pipe), u64::from(ack.ssthresh));
        let count = if pipe > ssthresh {
            let proportion = (self.delivered * ssthresh).div_ceil(self.flight);
            proportion.saturating_sub(self.sent)
        } else {
            // Conservation of packets; and slow start, where that is safe.
            let conserved = self.delivered.saturating_sub(self.sent).max(ack.delivered.into());
            let more = if ack.progress == Progress::Safe { u64::from(ack.mss) } else { 0 };
            (conserved + more).min(ssthresh - pipe)
        };
        let first = self.repairs && self.sent == 0;
        let least = if first || ack.partial { u64::from(ack.mss) } else { 0 };
        let window = pipe + count.max(least);
        self.window = u32::try_from(window).unwrap_or(u32::MAX);
    }

    pub(super) fn on_sent(&mut self, len: u32) {
        self.sent += u64::from(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: PrrAck = PrrAck {
        delivered: 1000,
        pipe: 2000,
        ssthresh: 5000,
        mss: 1000,
        progress: Progress::Unsafe,
        partial: false,
    };

    #[test]
    fn below_the_threshold_what_is_delivered_lets_go_as_much_whatever_was_sent_before() {
        for (name, sent, ack, want) in [
            ("less was sent than delivered", 500, PrrAck { delivered: 2000, ..ACK }, 4000),
            ("more was", 4000, ACK, 3000),
            ("it is safe to make up", 4000, PrrAck { progress: Progress::Safe, ..ACK }, 4000),
            ("no further than the threshold", 4000, PrrAck { pipe: 4500, ..ACK }, 5000),
        ] {
            let mut prr = Prr::begin(10_000, 3000, 1000);
            prr.on_sent(sent);
            prr.on_ack(&ack);
            assert_eq!(prr.window(), want, "{name}");
        }
    }

    /// Ten segments, of which eight may stay: each ACK of one lets go of four fifths of one.
    #[test]
    fn after_a_mark_nothing_goes_that_was_not_earned() {
        let mut prr = Prr::yielding(10_000);
        for want in [9800, 9600, 9400, 9200, 9000] {
            prr.on_ack(&PrrAck { pipe: want - 800, ssthresh: 8000, ..ACK });
            assert_eq!(prr.window(), want);
            prr.on_sent(800);
        }
    }

    #[test]
    fn above_the_threshold_it_sinks_in_proportion() {
        let mut prr = Prr::begin(10_000, 8000, 1000);
        for (sent, want) in [(1000, 9000), (0, 8000), (500, 8500), (0, 8500)] {
            prr.on_ack(&PrrAck { pipe: 8000, ..ACK });
            assert_eq!(prr.window(), want);
            prr.on_sent(sent);
        }
    }
}
