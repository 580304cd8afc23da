//! Putting fragments together again (RFC 791, section 3.2; RFC 1122, section 3.3.2).
//!
//! Fragments are an invitation to make a host hold memory, and a way to slip bytes past whoever looks at packets. So all
//! of it is bounded: datagrams, buffers per datagram, buffers in all. When something must give way, it is the
//! datagram that began first. Fragments that overlap have no honest cause; their whole datagram is dropped, with
//! what is yet to come of it, as RFC 5722 demands for IPv6.

use std::net::Ipv4Addr;
use std::time::Duration;

use pmd::{ChecksumStatus, Frame, RxOffload};

use crate::drops::Drop;
use crate::net::Timer;
use crate::time::Instant;
use crate::timer::{TimerKey, Wheel};
use crate::wire::checksum::Sum;
use crate::wire::ipv4::{FragmentField, Position};

/// The datagrams of which fragments have come.
pub(crate) struct Reassembly {
    /// A search through all of them is short, and costs an attacker's fragments no more than anyone's.
    partials: Vec<Option<Partial>>,
    /// Buffers that all fragments hold.
    buffers: usize,
    most_buffers: usize,
}

/// What the fragments of one datagram share (RFC 791, section 2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Key {
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    pub(crate) protocol: u8,
    pub(crate) identification: u16,
}

/// One fragment.
pub(crate) struct Piece {
    /// The first fragment keeps its IP header, the others are payload alone.
    frame: Frame,
    /// Where its payload stands in the datagram's.
    start: usize,
    end: usize,
    position: Position,
}

/// A datagram that is not whole yet.
struct Partial {
    key: Key,
    timer: TimerKey,
    began: Instant,
    buffers: usize,
    state: State,
}

enum State {
    /// In order of `start`, without overlap.
    Collecting { pieces: Vec<Piece>, len: Option<usize> },
    /// Fragments overlapped: whatever else comes is dropped too.
    Poisoned,
}

/// A datagram that was given up.
pub(crate) struct Expired {
    /// How many of its fragments were there.
    pub(crate) fragments: usize,
    /// The first fragment, if it was: the sender is told about it.
    pub(crate) first: Option<Frame>,
}

impl Reassembly {
    /// Holds at most `most_buffers` of the device's buffers.
    pub(crate) fn new(most_buffers: usize) -> Self {
        let partials = std::iter::repeat_with(|| None).take(MOST_DATAGRAMS).collect();
        Self { partials, buffers: 0, most_buffers }
    }

    /// Gives up the oldest datagrams until `piece` has room; returns how many fragments were dropped with them.
    pub(crate) fn make_room(
        &mut self,
        key: &Key,
        piece: &Piece,
        timers: &mut Wheel<Timer>,
    ) -> usize {
        let known = self.find(key).is_some();
        let mut dropped = 0;
        while self.buffers + piece.buffers() > self.most_buffers
            || !known && self.partials.iter().all(Option::is_some)
        {
            let Some(oldest) = self.oldest_except(key) else { break };
            dropped += self.take(oldest, timers).map_or(0, |partial| partial.state.count());
        }
        dropped
    }

    /// Takes a fragment; returns its datagram when it was the last one missing.
    pub(crate) fn insert(
        &mut self,
        key: Key,
        piece: Piece,
        now: Instant,
        timers: &mut Wheel<Timer>,
    ) -> Result<Option<Frame>, Drop> {
        let index = match self.find(&key) {
            Some(index) => index,
            None => self.begin(key, now, timers).ok_or(Drop::FragmentLimit)?,
        };
        let partial = self.partials.get_mut(index).and_then(Option::as_mut);
        let partial = partial.ok_or(Drop::FragmentLimit)?;
        let buffers = piece.buffers();
        if partial.buffers + buffers > MOST_BUFFERS_PER_DATAGRAM
            || self.buffers + buffers > self.most_buffers
        {
            return Err(Drop::FragmentLimit);
        }
        match partial.state.add(piece) {
            Ok(()) => {}
            Err(Drop::FragmentOverlap) => {
                partial.state = State::Poisoned;
                self.buffers -= std::mem::take(&mut partial.buffers);
                return Err(Drop::FragmentOverlap);
            }
            Err(drop) => return Err(drop),
        }
        partial.buffers += buffers;
        self.buffers += buffers;
        if !partial.state.is_whole() {
            return Ok(None);
        }
        let whole = self.take(index, timers);
        whole.and_then(|partial| partial.state.join()).transpose()
    }

    /// Gives up a datagram whose time is over.
    pub(crate) fn expire(&mut self, index: u16, timers: &mut Wheel<Timer>) -> Expired {
        let Some(partial) = self.take(usize::from(index), timers) else {
            return Expired { fragments: 0, first: None };
        };
        let fragments = partial.state.count();
        let State::Collecting { pieces, .. } = partial.state else {
            return Expired { fragments, first: None };
        };
        let first = pieces.into_iter().next().filter(|piece| piece.start == 0);
        Expired { fragments, first: first.map(|piece| piece.frame) }
    }

    /// Buffers held just now.
    #[cfg(test)]
    pub(crate) fn buffers(&self) -> usize {
        self.buffers
    }

    fn begin(&mut self, key: Key, now: Instant, timers: &mut Wheel<Timer>) -> Option<usize> {
        let index = self.partials.iter().position(Option::is_none)?;
        let timer = timers.insert(now + TIMEOUT, Timer::Reassembly(u16::try_from(index).ok()?));
        let state = State::Collecting { pieces: Vec::new(), len: None };
        self.partials[index] = Some(Partial { key, timer, began: now, buffers: 0, state });
        Some(index)
    }

    fn find(&self, key: &Key) -> Option<usize> {
        self.partials.iter().position(|held| held.as_ref().is_some_and(|held| held.key == *key))
    }

    fn oldest_except(&self, key: &Key) -> Option<usize> {
        let held = self.partials.iter().enumerate().filter_map(|(index, held)| {
            held.as_ref().filter(|held| held.key != *key).map(|held| (held.began, index))
        });
        held.min().map(|(_, index)| index)
    }

    fn take(&mut self, index: usize, timers: &mut Wheel<Timer>) -> Option<Partial> {
        let partial = self.partials.get_mut(index)?.take()?;
        timers.cancel(partial.timer);
        self.buffers -= partial.buffers;
        Some(partial)
    }
}

impl Piece {
    /// Reads where a received fragment belongs. `packet` is as long as its header says.
    pub(crate) fn new(
        mut packet: Frame,
        header_len: usize,
        field: FragmentField,
    ) -> Result<Self, Drop> {
        let start = usize::from(field.offset());
        let len = packet.len() - header_len;
        let end = start + len;
        let cut_right = len.is_multiple_of(8) || field.position() == Position::Last;
        if len == 0 || !cut_right || header_len + end > usize::from(u16::MAX) {
            return Err(Drop::FragmentLength);
        }
        if start > 0 {
            packet.trim_front(header_len);
        }
        Ok(Self { frame: packet, start, end, position: field.position() })
    }

    fn buffers(&self) -> usize {
        self.frame.segment_count()
    }
}

impl State {
    fn add(&mut self, piece: Piece) -> Result<(), Drop> {
        let Self::Collecting { pieces, len } = self else { return Err(Drop::FragmentOverlap) };
        let index = pieces.partition_point(|held| held.start < piece.start);
        let before = index.checked_sub(1).and_then(|index| pieces.get(index));
        let after = pieces.get(index);
        if after.is_some_and(|after| after.is_same(&piece)) {
            return Err(Drop::FragmentDuplicate);
        }
        let furthest = pieces.last().map_or(0, |last| last.end);
        let ends_elsewhere = match piece.position {
            Position::Last => len.is_some() || furthest > piece.end,
            Position::MoreFollow => len.is_some_and(|len| piece.end >= len),
        };
        if before.is_some_and(|before| before.end > piece.start)
            || after.is_some_and(|after| after.start < piece.end)
            || ends_elsewhere
        {
            return Err(Drop::FragmentOverlap);
        }
        if piece.position == Position::Last {
            *len = Some(piece.end);
        }
        pieces.insert(index, piece);
        Ok(())
    }

    fn is_whole(&self) -> bool {
        let Self::Collecting { pieces, len: Some(len) } = self else { return false };
        // Nothing overlaps and nothing is beyond `len`, so there is no hole if the lengths add up.
        pieces.iter().map(|piece| piece.end - piece.start).sum::<usize>() == *len
    }

    fn count(&self) -> usize {
        match self {
            Self::Collecting { pieces, .. } => pieces.len(),
            Self::Poisoned => 0,
        }
    }

    /// Chains the pieces behind the first one's header, from the back: each is short, the tail is not walked.
    fn join(self) -> Option<Result<Frame, Drop>> {
        let Self::Collecting { pieces, .. } = self else { return None };
        let chain = pieces.into_iter().map(|piece| piece.frame).rev().reduce(|tail, mut frame| {
            frame.chain(tail);
            frame
        });
        chain.map(whole_datagram)
    }
}

impl Piece {
    /// The same stretch of the datagram once more: a duplicate on the way, which harms nobody (RFC 8200, section 4.5).
    fn is_same(&self, other: &Self) -> bool {
        (self.start, self.end, self.position) == (other.start, other.end, other.position)
    }
}

/// Makes the first fragment's header that of the whole: as if it had never been cut.
fn whole_datagram(mut frame: Frame) -> Result<Frame, Drop> {
    let len = u16::try_from(frame.len()).map_err(|_| Drop::FragmentLength)?;
    let head = frame.head_mut();
    let header_len = usize::from(head.first().copied().unwrap_or(0) & 0x0f) * 4;
    let header = head.get_mut(..header_len).ok_or(Drop::IpHeaderLength)?;
    let [_, _, l0, l1, _, _, f0, f1, _, _, c0, c1, ..] = header else {
        return Err(Drop::IpHeaderLength);
    };
    [*l0, *l1] = len.to_be_bytes();
    [*f0, *f1, *c0, *c1] = [0; 4];
    let checksum = Sum::of(header).finish();
    if let [_, _, _, _, _, _, _, _, _, _, c0, c1, ..] = header {
        [*c0, *c1] = checksum.to_be_bytes();
    }
    // What the device found was about one fragment.
    let (ip, l4) = (ChecksumStatus::Good, ChecksumStatus::Unknown);
    frame.set_rx_offload(RxOffload { ip, l4, rss_hash: None });
    Ok(frame)
}

/// How long to wait for a datagram's other fragments. RFC 1122, section 3.3.2, recommends 60 to 120 seconds, of an age
/// when that was not long enough for an identification to come round again (RFC 4963); Linux waits 30 seconds.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Datagrams that may be incomplete at a time.
const MOST_DATAGRAMS: usize = 64;

/// 65,535 bytes in fragments of 576 bytes take 119.
const MOST_BUFFERS_PER_DATAGRAM: usize = 128;

#[cfg(test)]
mod tests;
