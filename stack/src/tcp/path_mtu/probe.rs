//! Probes of the path's MTU (RFC 4821, sections 7.3 to 7.6): now and then one segment of new data is larger than the others.

use super::{PathMtu, Search};
use crate::counters::Counter;
use crate::net::OUTBOX_RESERVE;
use crate::tcp::config::MtuProbing;
use crate::tcp::connection::{Connection, Context};
use crate::tcp::emit::{link_segment_size, path_segment_size};
use crate::tcp::sender::{Found, HeldBack, Sender};
use crate::tcp::seq::Seq;
use crate::tcp::transmit::Segment;
use crate::time::Instant;
use crate::wire::tcp::Flags;

/// Whether a report was about a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// It was, and is believed: nothing depends on a probe.
    Heard,
    NotAboutProbe,
}

impl Connection {
    /// A turn is about to send: what is known of the path's MTU is brought up to date, and may be probed further. An error if nothing else
    /// is to leave meanwhile, so that there will be room for a probe.
    #[cold]
    pub(in crate::tcp) fn look_at_path(&mut self, cx: &mut Context<'_>) -> Result<(), HeldBack> {
        self.heed_probe(cx);
        self.search_again(cx);
        self.forget_path(cx);
        match self.probe_wanted(cx) {
            Some(size) => self.probe_path(cx, size),
            None => Ok(()),
        }
    }

    /// What has become of the probe that is out.
    fn heed_probe(&mut self, cx: &mut Context<'_>) {
        let (una, now) = (self.snd.una, cx.now());
        let found = self.sender.as_mut().map(|sender| sender.look_for_path_probe(una));
        let Some(known) = self.path_mtu.as_mut() else { return };
        let Some(size) = known.search.probing() else { return };
        match found.unwrap_or(Found::Nothing) {
            Found::OnItsWay => {}
            Found::Arrived => {
                known.search.arrived(now);
                self.resize(size);
                self.snd.proven = size;
            }
            Found::Lost => {
                known.search.lost(now);
                cx.net.metrics.count(Counter::TcpMtuProbesLost);
            }
            Found::Nothing => known.search.unclear(),
        }
    }

    /// A router has refused the probe: the largest size that it carries is the next to try.
    pub(super) fn probe_refused(&mut self, seq: Seq, claimed: u16, now: Instant) -> Answer {
        let (Some(known), Some(sender)) = (&mut self.path_mtu, &mut self.sender) else {
            return Answer::NotAboutProbe;
        };
        match known.search.probing() {
            Some(size) if (known.search.size()..size).contains(&claimed) => {
                if sender.lose_path_probe(seq) == Found::Nothing {
                    return Answer::NotAboutProbe;
                }
                known.search.refused(claimed, now);
                Answer::Heard
            }
            _ => Answer::NotAboutProbe,
        }
    }

    /// After ten minutes the path may have become wider. Without probing, full segments show whether it has, or make a router say that it has
    /// not (RFC 1191, section 6.3).
    fn search_again(&mut self, cx: &Context<'_>) {
        let most = self.largest(path_segment_size(cx.net, self.flow.remote));
        match &mut self.path_mtu {
            Some(known) if known.search.is_due(cx.now()) => {
                if cx.config.mtu_probing == MtuProbing::Off {
                    known.search = Search::settled(most, cx.now());
                    self.fit_path(cx);
                } else {
                    known.search.again(most, cx.now());
                }
            }
            _ => {}
        }
    }

    /// A path that is as wide as the link, and of which nobody says anything else, needs no memory.
    fn forget_path(&mut self, cx: &Context<'_>) {
        let widest = self.largest(link_segment_size(cx.net));
        let una = self.snd.una;
        if let Some(known) = &mut self.path_mtu {
            known.report = known.report.filter(|report| report.is_open(una));
        }
        let done =
            |known: &mut Box<PathMtu>| known.report.is_none() && known.search.size() >= widest;
        self.path_mtu.take_if(done);
    }

    /// The size to probe now, if one is to be tried, and enough waits to be sent for its loss to be noticed by what follows (section 7.4).
    fn probe_wanted(&mut self, cx: &Context<'_>) -> Option<u16> {
        let size = self.path_mtu.as_ref()?.search.candidate()?;
        let needed = u32::from(size) + FOLLOWED_BY * u32::from(self.snd.mss);
        let waits = self.unsent() >= needed.into();
        let allowed = self.congestion_window(cx.config).min(self.snd.wnd) >= needed;
        let quiet = self.sender.as_deref().is_none_or(Sender::is_quiet);
        Some(size).filter(|_| waits && allowed && quiet)
    }

    /// Sends a probe of this size as soon as the windows have room. It is new data, which has to be sent anyway.
    fn probe_path(&mut self, cx: &mut Context<'_>, size: u16) -> Result<(), HeldBack> {
        let (len, now) = (u32::from(size), cx.now());
        let (usable, smoothed) = (self.usable_window(), self.rtt.srtt());
        let sender = self.sender(cx.config);
        let room = sender.window().saturating_sub(sender.pipe()).min(usable);
        if let Some(at) = sender.pause(now, cx.config.pacing, smoothed) {
            return Err(HeldBack::ByPace(at));
        }
        if room < len || cx.net.outbox_room() < OUTBOX_RESERVE {
            return Err(HeldBack::Otherwise);
        }
        let start = self.snd.nxt;
        if self.send_new(cx, &Segment { len, flags: Flags::ACK, is_last: false }).is_err() {
            // No frame is free, which what follows will find out; or ICMP has told another connection of a narrower path.
            return Ok(());
        }
        cx.net.metrics.count(Counter::TcpMtuProbes);
        let sender = self.sender(cx.config);
        sender.paced(now, len, cx.config.pacing, smoothed);
        sender.path_probe_sent(start, len);
        if let Some(known) = &mut self.path_mtu {
            known.search.sent(size);
        }
        Ok(())
    }
}

/// Segments that follow a probe at least: as many as tell a loss (section 7.4).
const FOLLOWED_BY: u32 = 3;
