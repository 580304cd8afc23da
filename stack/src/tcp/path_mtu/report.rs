//! "Fragmentation needed", as RFC 5927, section 7.2, wants it taken: what has arrived in segments of some size is not believed to be too large because
//! somebody says so, but only once it is not acknowledged in time.

use super::probe::Answer;
use super::{PathMtu, Search};
use crate::drops::Drop;
use crate::ip::claimed_mtu;
use crate::tcp::connection::{Connection, Context};
use crate::tcp::emit::segment_size;
use crate::tcp::seq::Seq;

/// What a router, or somebody in its name, says about a segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    /// The first number of the segment.
    seq: Seq,
    /// What the next hop carries, 0 if it does not say.
    mtu: u16,
    /// The length of the packet that was refused.
    len: u16,
}

impl Report {
    /// Whether it is about something that is not acknowledged.
    pub(super) fn is_open(&self, una: Seq) -> bool {
        self.seq.at_or_after(una)
    }
}

impl Connection {
    /// A packet whose segment begins with `seq`, which is on its way, is said to be too large.
    pub(in crate::tcp) fn packet_too_big(
        &mut self,
        cx: &mut Context<'_>,
        seq: Seq,
        (mtu, len): (u16, u16),
    ) -> Result<(), Drop> {
        let claimed = self.largest(segment_size(cx.net, claimed_mtu(mtu, len)));
        if self.probe_refused(seq, claimed, cx.now()) == Answer::Heard {
            return Ok(());
        }
        // What was sent is smaller anyway: no router can have refused it.
        let sent = self.snd.nxt.offset_from(seq);
        let most = if self.state.is_synchronized() { self.snd.mss.into() } else { u32::MAX };
        if u32::from(claimed) >= sent.min(most) {
            return Err(Drop::IcmpUnmatched);
        }
        let report = Report { seq, mtu, len };
        // As long as nothing of this size has arrived, and when nothing arrives any more, there is no reason to doubt.
        if claimed < self.snd.proven && self.retries < RETRIES_BEFORE_BELIEF {
            self.remember(report, cx);
            return Ok(());
        }
        self.believe(cx, report);
        if self.state.is_synchronized() {
            self.lose_all();
            self.send_first_again(cx);
        }
        Ok(())
    }

    /// The path is as narrow as reported, for everybody.
    pub(super) fn believe(&mut self, cx: &mut Context<'_>, report: Report) {
        // Another connection may have learnt of it first.
        let _known = cx.net.narrow_path(self.flow.remote, report.mtu, report.len);
        self.fit_path(cx);
    }

    /// What was reported and not believed. It is about a segment that is not acknowledged: else it would be forgotten.
    pub(super) fn take_report(&mut self) -> Option<Report> {
        self.path_mtu.as_mut()?.report.take()
    }

    /// The last of several counts: the path may have several narrow hops.
    fn remember(&mut self, report: Report, cx: &Context<'_>) {
        let (mss, now) = (self.snd.mss, cx.now());
        let known = self.path_mtu.get_or_insert_with(|| PathMtu::new(Search::settled(mss, now)));
        known.report = Some(report);
    }
}

/// Timeouts of a segment after which a report about it is believed (MAXSEGRTO).
const RETRIES_BEFORE_BELIEF: u8 = 1;
