//! Tail loss probes (RFC 8985, section 7): when the end of a flight is lost there is nothing behind it that tells. A segment is sent before the
//! timeout would be, so that there is.

use crate::time::Span;

use crate::tcp::seq::Seq;

/// The probe that is out, if one is.
#[derive(Debug)]
pub(super) struct TailLoss {
    probe: Option<Probe>,
}

#[derive(Debug)]
struct Probe {
    /// SND.NXT when it was sent (TLP.end_seq).
    end: Seq,
    carries: Carries,
}

/// What a probe carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::tcp) enum Carries {
    New,
    /// The last segment, once more.
    Again,
}

/// What an ACK says about the probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ProbeFate {
    /// Nothing, or that nothing was lost.
    Harmless,
    /// It has repaired a loss, which counts as any other (section 7.4).
    Repaired,
}

impl TailLoss {
    pub(super) const NONE: Self = Self { probe: None };

    pub(super) fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    pub(super) fn sent(&mut self, end: Seq, carries: Carries) {
        self.probe = Some(Probe { end, carries });
    }

    /// A recovery decides what is lost.
    pub(super) fn forget(&mut self) {
        self.probe = None;
    }

    /// Section 7.4.2. `twice`: the ACK reports a duplicate, or says by itself that both the segment and the probe have
    /// arrived.
    pub(super) fn acknowledged(&mut self, ack: Seq, twice: bool) -> ProbeFate {
        let Some(probe) = self.probe.take_if(|probe| ack.at_or_after(probe.end)) else {
            return ProbeFate::Harmless;
        };
        match probe.carries {
            Carries::New => ProbeFate::Harmless,
            Carries::Again if twice => ProbeFate::Harmless,
            Carries::Again if ack == probe.end => {
                // Which of the two is acknowledged will be known by what comes next.
                self.probe = Some(probe);
                ProbeFate::Harmless
            }
            Carries::Again => ProbeFate::Repaired,
        }
    }
}

/// When to probe (section 7.2): twice the round trip, and for a single segment as long as the peer may delay its ACK.
pub(super) fn probe_timeout(smoothed: Option<Span>, segments: Segments) -> Span {
    let Some(smoothed) = smoothed else { return Span::from_secs(1) };
    match segments {
        Segments::One => smoothed * 2 + DELAYED_ACK_MAX,
        Segments::Several => smoothed * 2 + DELAY_MIN,
    }
}

/// How many segments are in flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Segments {
    One,
    Several,
}

/// WCDelAckT (section 7.2).
const DELAYED_ACK_MAX: Span = Span::from_millis(200);
/// On paths of microseconds the peer's own work takes longer than the path: as Linux has it.
const DELAY_MIN: Span = Span::from_millis(2);
