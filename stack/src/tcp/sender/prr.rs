//! Proportional rate reduction (RFC 6937): in a fast recovery the window sinks to ssthresh as data is delivered, neither at a stroke
//! nor by a pause.

/// One recovery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prr {
    /// In flight when recovery began, and before anything was taken for lost (RecoverFS).
    flight: u64,
    delivered: u64,
    sent: u64,
    window: u32,
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
        }
    }

    /// How much may be in flight.
    pub(super) fn window(&self) -> u32 {
        self.window
    }

    /// Section 3.1.
    pub(super) fn on_ack(&mut self, ack: &PrrAck) {
        self.delivered += u64::from(ack.delivered);
        let (pipe, ssthresh) = (u64::from(ack.pipe), u64::from(ack.ssthresh));
        let count = if pipe > ssthresh {
            let proportion = (self.delivered * ssthresh).div_ceil(self.flight);
            proportion.saturating_sub(self.sent)
        } else {
            let conserved = self.delivered.saturating_sub(self.sent);
            // Slow-start reduction bound, where it is safe; conservation of packets else.
            let limit = match ack.progress {
                Progress::Safe => conserved.max(ack.delivered.into()) + u64::from(ack.mss),
                Progress::Unsafe => conserved,
            };
            limit.min(ssthresh - pipe)
        };
        // The first retransmission goes whatever the arithmetic says.
        let least = if self.sent == 0 || ack.partial { u64::from(ack.mss) } else { 0 };
        let window = pipe + count.max(least);
        self.window = u32::try_from(window).unwrap_or(u32::MAX);
    }

    pub(super) fn on_sent(&mut self, len: u32) {
        self.sent += u64::from(len);
    }
}
