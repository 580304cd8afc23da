//! What has arrived ahead of its turn (RFC 9293, section 3.10.7.4: segments that begin beyond RCV.NXT).
//!
//! Bytes that are held are never replaced: whoever sends other bytes for the same numbers later is lying or broken, and
//! what an application reads must not depend on when it does so. New segments are cut to the first stretch that is
//! missing. If one reaches beyond that, over held bytes and on, its far part is dropped and comes again.
//!
//! Frames are as long as the peer likes, and each takes a buffer from the pool however short it is. So both bytes and
//! frames are limited. At a limit the bytes that are needed last give way to those that are needed sooner.

use std::collections::VecDeque;

use arrayvec::ArrayVec;
use pmd::Frame;

use super::seq::Seq;
use crate::wire::tcp_options::{MAX_SACK_BLOCKS, SackBlock};

/// The segments of one connection that wait for a gap to close.
pub(super) struct Reassembly {
    pub(super) limits: Limits,
    /// Without overlaps, in order.
    held: VecDeque<Held>,
    /// The stretches without gaps that they make up, in order: what selective acknowledgements would report.
    runs: VecDeque<Run>,
    bytes: usize,
    fin: Option<Seq>,
    /// Where segments have arrived, the last first: what selective acknowledgements tell first.
    recent: [Seq; MAX_SACK_BLOCKS],
    /// Bytes that have come again, before or behind a gap, until the peer is told.
    pub(super) duplicate: Option<SackBlock>,
}

/// How much a connection may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) bytes: usize,
    pub(super) frames: usize,
}

impl Limits {
    /// For a queue that only remembers what the peer is to be told.
    pub(super) const NOTHING: Self = Self { bytes: 0, frames: 0 };
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub(super) enum Insertion {
    /// Held, at least in part.
    Held,
    /// Held, and this many frames further on were dropped for it.
    HeldInstead(usize),
    /// All of it is held already, or is not part of the stream.
    Nothing,
    /// Refused: at a limit, and nothing that is held is needed later than this.
    Full,
}

/// The stream cannot end there: it is known to go on, or to end elsewhere.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FinElsewhere;

impl Reassembly {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            held: VecDeque::new(),
            runs: VecDeque::new(),
            bytes: 0,
            fin: None,
            recent: [Seq(0); MAX_SACK_BLOCKS],
            duplicate: None,
        }
    }

    /// Keeps what is new of a payload that begins at `start`. Everything before `next` has been delivered.
    ///
    /// The payload must lie in the receive window, so that all numbers here are less than half the circle apart.
    pub(super) fn insert(&mut self, next: Seq, start: Seq, mut payload: Frame) -> Insertion {
        let Some((missing, run)) = self.first_missing(next, start, payload.len()) else {
            return Insertion::Nothing;
        };
        payload.trim_front(missing.start.offset_from(start) as usize);
        payload.truncate(missing.len());
        let Some(dropped) = self.make_room(missing) else { return Insertion::Full };

        self.bytes += missing.len();
        self.recent.rotate_right(1);
        self.recent[0] = missing.start;
        let position = self.held.partition_point(|held| held.run.start.precedes(missing.start));
        self.held.insert(position, Held { run: missing, payload });
        self.join(run, missing);
        if dropped == 0 { Insertion::Held } else { Insertion::HeldInstead(dropped) }
    }

    /// The first stretch between `start` and `end` that is held already.
    pub(super) fn overlap(&self, start: Seq, end: Seq) -> Option<SackBlock> {
        let first = self.runs.partition_point(|run| run.end.at_or_before(start));
        let run = self.runs.get(first).filter(|run| run.start.precedes(end))?;
        Some(SackBlock { left: run.start.later(start), right: run.end.earlier(end) })
    }

    /// The stretches without gaps, those first that segments have arrived for last, behind the one that holds a duplicate (RFC
    /// 2883, section 4). Each once, as many as an option has; of those that have not grown for long, the ones that are needed first.
    pub(super) fn recent_runs(&self) -> impl Iterator<Item = SackBlock> {
        let at = |point: Seq| {
            let number = self.runs.partition_point(|run| run.end.at_or_before(point));
            self.runs.get(number).filter(|run| run.start.at_or_before(point)).map(|_| number)
        };
        let points = self.duplicate.map(|block| block.left).into_iter().chain(self.recent);
        let mut order: ArrayVec<usize, MAX_SACK_BLOCKS> = ArrayVec::new();
        for number in points.filter_map(at).chain(0..self.runs.len()) {
            if order.is_full() {
                break;
            }
            if !order.contains(&number) {
                order.push(number);
            }
        }
        order.into_iter().map(|number| {
            let Run { start, end } = self.runs[number];
            SackBlock { left: start, right: end }
        })
    }

    /// How many bytes are held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many segments are held.
    pub(super) fn segments(&self) -> usize {
        self.held.len()
    }

    /// The next bytes of the stream, if they are held: the payload begins exactly at `next`.
    pub(super) fn pop(&mut self, next: Seq) -> Option<Frame> {
        while self.held.front().is_some_and(|first| first.run.start.at_or_before(next)) {
            let Held { run, mut payload } = self.held.pop_front()?;
            self.bytes -= run.len();
            self.cut_first_run(run.end);
            if run.end.follows(next) {
                payload.trim_front(next.offset_from(run.start) as usize);
                return Some(payload);
            }
        }
        None
    }

    /// How many of the `len` bytes from `next` on are not held: as many as may be delivered past this queue.
    pub(super) fn missing_at(&self, next: Seq, len: usize) -> usize {
        self.first_missing(next, next, len).map_or(0, |(missing, _)| match missing.start {
            start if start == next => missing.len(),
            _ => 0,
        })
    }

    /// Where the stream would go on if everything before `end` was here: behind what is held from there on without a gap. And how many bytes that are held would be
    /// delivered at once.
    pub(super) fn end_with(&self, end: Seq) -> (Seq, usize) {
        let first = self.runs.front().filter(|first| first.start.at_or_before(end));
        first.map_or((end, 0), |first| (first.end.later(end), first.len()))
    }

    /// The peer's FIN has the number `at`. Bytes from there on are not part of the stream.
    pub(super) fn note_fin(&mut self, at: Seq) -> Result<(), FinElsewhere> {
        let goes_on = self.runs.back().is_some_and(|last| last.end.follows(at));
        if goes_on || self.fin.is_some_and(|known| known != at) {
            return Err(FinElsewhere);
        }
        self.fin = Some(at);
        Ok(())
    }

    /// Where the stream ends, if the FIN has arrived.
    pub(super) fn fin(&self) -> Option<Seq> {
        self.fin
    }

    /// Whether nothing is kept, not even the place of a FIN or what the peer is to be told.
    pub(super) fn is_empty(&self) -> bool {
        !self.has_gap() && self.duplicate.is_none()
    }

    /// Whether what is kept waits for a gap to be filled.
    pub(super) fn has_gap(&self) -> bool {
        !self.held.is_empty() || self.fin.is_some()
    }

    /// The first stretch of a segment that is part of the stream and not held, and the number of runs before it.
    fn first_missing(&self, next: Seq, start: Seq, len: usize) -> Option<(Run, usize)> {
        let mut missing = Run { start, end: start + u32::try_from(len).ok()? };
        missing.start = start.later(next);
        if let Some(fin) = self.fin {
            missing.end = missing.end.earlier(fin);
        }
        let mut run = self.runs.partition_point(|run| run.end.at_or_before(missing.start));
        if let Some(over) = self.runs.get(run).filter(|over| over.start.at_or_before(missing.start))
        {
            missing.start = over.end;
            run += 1;
        }
        if let Some(behind) = self.runs.get(run) {
            missing.end = missing.end.earlier(behind.start);
        }
        missing.start.precedes(missing.end).then_some((missing, run))
    }

    /// Drops frames from the far end, those behind `missing`, so that it fits; returns how many. `None`, and nothing
    /// dropped, if that would not help.
    fn make_room(&mut self, missing: Run) -> Option<usize> {
        let (mut bytes, mut frames) = (self.bytes + missing.len(), self.held.len() + 1);
        let mut behind =
            self.held.iter().rev().take_while(|held| held.run.start.follows(missing.start));
        while bytes > self.limits.bytes || frames > self.limits.frames {
            bytes -= behind.next()?.run.len();
            frames -= 1;
        }
        let dropped = self.held.len() + 1 - frames;
        for last in self.held.drain(frames - 1..).rev() {
            self.bytes -= last.run.len();
            cut_last(&mut self.runs, last.run.start);
        }
        Some(dropped)
    }

    /// Adds a stretch that follows the first `run` runs and overlaps none.
    fn join(&mut self, run: usize, new: Run) {
        let before = run.checked_sub(1).filter(|&before| self.runs[before].end == new.start);
        let behind = self.runs.get(run).filter(|behind| behind.start == new.end).copied();
        match (before, behind) {
            (Some(before), Some(behind)) => {
                self.runs[before].end = behind.end;
                self.runs.remove(run);
            }
            (Some(before), None) => self.runs[before].end = new.end,
            (None, Some(_)) => self.runs[run].start = new.start,
            (None, None) => self.runs.insert(run, new),
        }
    }

    /// Shortens the first run, which starts no later.
    fn cut_first_run(&mut self, start: Seq) {
        if let Some(first) = self.runs.front_mut() {
            first.start = start;
            self.runs.pop_front_if(|first| first.start == first.end);
        }
    }
}

/// Shortens the last run, which ends no earlier.
fn cut_last(runs: &mut VecDeque<Run>, end: Seq) {
    if let Some(last) = runs.back_mut() {
        last.end = end;
        runs.pop_back_if(|last| last.start == last.end);
    }
}

struct Held {
    run: Run,
    payload: Frame,
}

/// The numbers from `start` up to and without `end`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Run {
    start: Seq,
    end: Seq,
}

impl Run {
    fn len(&self) -> usize {
        self.end.offset_from(self.start) as usize
    }
}

const _: () = assert!(size_of::<Held>() == 16);

#[cfg(test)]
mod tests;
