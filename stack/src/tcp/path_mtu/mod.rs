//! How large segments may be: what the peer takes, what routers have told (RFC 1191), and where they tell nothing, what is found out
//! (packetization layer path MTU discovery, RFC 4821).
//!
//! A connection whose segments are as large as its link and its peer allow keeps nothing about it but that size. Only one whose path is narrower, or is
//! said to be, has a [`PathMtu`].

mod probe;
mod report;
mod search;

use report::Report;
use search::Search;

use super::config::{MtuProbing, TcpConfig};
use super::congestion::controller::Controller;
use super::connection::{Connection, Context};
use super::emit::{FIXED_HEADERS, link_segment_size, path_segment_size};
use crate::counters::Counter;
use crate::ip::LEAST_MTU;
use crate::time::Instant;

/// What a connection knows of its path's MTU.
#[derive(Debug)]
pub(super) struct PathMtu {
    search: Search,
    /// What ICMP says, if that is not believed yet.
    report: Option<Report>,
}

impl PathMtu {
    fn new(search: Search) -> Box<Self> {
        Box::new(Self { search, report: None })
    }
}

impl Connection {
    /// Both SYNs have told what their senders take, or are about to: the path is looked at anew.
    pub(super) fn begin_path(&mut self, cx: &Context<'_>) {
        self.path_mtu = None;
        self.fit_path(cx);
        let (base, most) = (cx.config.base_mss, self.snd.mss);
        if cx.config.mtu_probing == MtuProbing::Always && base < most {
            self.path_mtu = Some(PathMtu::new(Search::between(base, most, cx.now())));
            self.resize(base);
        }
    }

    /// Segments get as large as the peer takes and the path carries, as far as anybody knows.
    pub(super) fn fit_path(&mut self, cx: &Context<'_>) {
        let link = self.largest(link_segment_size(cx.net));
        let path = self.largest(path_segment_size(cx.net, self.flow.remote));
        match &mut self.path_mtu {
            Some(known) => known.search.cap(path, cx.now()),
            None if path < link => {
                self.path_mtu = Some(PathMtu::new(Search::settled(path, cx.now())));
            }
            None => {}
        }
        self.resize(self.path_mtu.as_ref().map_or(path, |known| known.search.size().min(path)));
    }

    /// Most bytes of payload in a segment that holds `whole` bytes beside its fixed headers. The peer's limit does not count options either (RFC 6691,
    /// section 3), so they come off here.
    fn largest(&self, whole: u16) -> u16 {
        let options = u16::try_from(self.options_len()).unwrap_or(0);
        self.snd.peer_mss.min(whole).max(SEGMENT_SIZE_MIN).saturating_sub(options)
    }

    /// Bytes of the options that every segment carries.
    pub(super) fn options_len(&self) -> usize {
        let timestamps = if self.timestamps.enabled { TIMESTAMPS_LEN } else { 0 };
        timestamps + self.auth_len()
    }

    /// From now on a full segment is as large as this.
    fn resize(&mut self, size: u16) {
        self.snd.mss = size;
        self.snd.proven = self.snd.proven.min(size);
        if let Some(sender) = &mut self.sender {
            sender.controller.on_mss(size.into());
        }
    }

    /// So many bytes are acknowledged at once: a segment was as large, if one can be. Several small ones may look the same, which makes us
    /// cautious without need (RFC 5927, section 7.2).
    #[cold]
    pub(super) fn prove_size(&mut self, acked: u32) {
        let size = u16::try_from(acked).unwrap_or(u16::MAX).min(self.snd.mss);
        self.snd.proven = self.snd.proven.max(size);
    }

    /// The retransmission timer has gone off, and that may be because of the size of what is on its way. If so all of it is lost. The timeout has had its
    /// effect on the congestion window; the size has none.
    pub(super) fn suspect_path(&mut self, cx: &mut Context<'_>) {
        let before = self.snd.mss;
        if let Some(report) = self.take_report() {
            self.believe(cx, report);
        } else if let Some(smaller) = self.smaller_size(cx.config) {
            cx.net.metrics.count(Counter::TcpMtuBlackHoles);
            self.retreat(smaller, cx.now());
        }
        if self.snd.mss < before {
            self.lose_all();
        }
    }

    /// Black-hole detection (RFC 4821, section 7.7): the size to go on with, if this is a timeout after which full segments seem too large: the base size
    /// first, and half of it later.
    fn smaller_size(&self, config: &TcpConfig) -> Option<u16> {
        let smaller = match self.retries {
            _ if config.mtu_probing == MtuProbing::Off => return None,
            CHANCES => config.base_mss,
            retries if retries.is_multiple_of(CHANCES) => self.snd.mss.min(config.base_mss) / 2,
            _ => return None,
        };
        let smaller = smaller.max(SMALLEST);
        // What is no larger than that is lost for another reason, and what the window does not hold the peer may have refused.
        let sent = self.flight().min(self.snd.mss.into()).min(self.snd.wnd);
        Some(smaller).filter(|&smaller| sent > smaller.into())
    }

    fn retreat(&mut self, size: u16, now: Instant) {
        let mss = self.snd.mss;
        let known = self.path_mtu.get_or_insert_with(|| PathMtu::new(Search::settled(mss, now)));
        known.search = Search::between(size, known.search.largest().max(mss), now);
        self.resize(size);
    }

    /// What is on its way was too large for the path, which is no sign of congestion.
    fn lose_all(&mut self) {
        let nxt = self.snd.nxt;
        if let Some(sender) = self.sender.as_mut().filter(|sender| !sender.board.is_empty()) {
            sender.lose_all(nxt);
        }
    }
}

/// Timeouts in a row after which a size has had its chances: R1 of RFC 1122, section 4.2.3.5, as RFC 4821 wants it. After two, congestion would often be
/// mistaken for a narrow path.
const CHANCES: u8 = 3;
/// No smaller segments are tried: the payload of the smallest MTU that routers are believed.
const SMALLEST: u16 = LEAST_MTU - FIXED_HEADERS;
/// Options need up to 40 bytes; a peer that wants less than this for both would get mostly headers.
const SEGMENT_SIZE_MIN: u16 = 64;
const TIMESTAMPS_LEN: usize = 12;

#[cfg(test)]
mod tests;
