//! Timers: a hierarchical wheel in which arming, moving and cancelling cost constant time.
//!
//! Time is cut into ticks of 2^10 ns. A timer fires at the first tick that begins at or after its
//! deadline: never early, and about a microsecond late at most. Timers fire in the order of their
//! ticks, and within one tick in the order in which they were armed.
//!
//! # How it works
//!
//! A tick is a number of nine digits in base 64, and there is one level of 64 slots per digit. A
//! timer lies on the level of the highest digit in which its tick differs from the wheel's own, in
//! the slot named by that digit. All timers of a level are therefore due before all timers of the
//! levels above it, the lowest occupied slot is the next one, and a bitmap per level finds it
//! without a search. When the wheel reaches a slot above level 0, that slot's timers are moved down,
//! first come first; this is what keeps timers of one tick in order. A timer moves down at most
//! eight times in its life.
//!
//! A timer that the wheel finds due when it comes to its slot above level 0 fires from there. So one that is set for the beginning of a slot is moved less often,
//! and may stand for a deadline that is a little later: see [`Wheel::shortly_before`].
//!
//! A million timers can share one slot, so a turn moves only a few down ([`Moves`]); packets get
//! theirs before the next one goes on.
//!
//! Nine levels cover every deadline that [`Instant`] can hold, so there is no list for the rest.

use std::num::NonZeroU32;

use crate::linked::{List, Node, Nodes};
use crate::time::Instant;

/// Armed timers, each with a value that says what it is for.
///
/// A timer takes 8 bytes for its list and 14 for itself beside `T`.
pub(crate) struct Wheel<T> {
    nodes: Nodes<Entry<T>>,
    levels: Box<[Level; LEVELS]>,
    /// Where the wheel stands: no timer's tick is before it.
    tick: u64,
    /// No occupied slot begins before this tick, so that most turns need not look for one.
    idle_until: u64,
    /// A slot above level 0 that begins at `tick` and still holds timers that must be moved down.
    cascading: Option<Place>,
}

/// Names one armed timer. Once the timer has fired or was cancelled the key is stale: it names
/// nothing, even after the wheel has reused the memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TimerKey {
    index: u32,
    generation: NonZeroU32,
}

/// The key's timer has fired or was cancelled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct StaleKey;

/// How many timers may be moved down.
pub(crate) struct Moves(usize);

/// About 10 us of work when none of them is cached.
impl Default for Moves {
    fn default() -> Self {
        Self(256)
    }
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel that stands at the epoch.
    pub(crate) fn new() -> Self {
        const EMPTY: Level = Level { occupied: 0, slots: [List::EMPTY; SLOTS] };
        let levels = Box::new([EMPTY; LEVELS]);
        Self { nodes: Nodes::new(), levels, tick: 0, idle_until: 0, cascading: None }
    }

    /// Arms a timer. A deadline that has passed means: at the next call of [`Wheel::pop_due_within`].
    pub(crate) fn insert(&mut self, at: Instant, value: T) -> TimerKey {
        let mut generation = NonZeroU32::MIN;
        let deadline = self.not_before_now(at);
        let index = self.nodes.store(|old| {
            if let Some(old) = old {
                generation = old.generation;
            }
            Entry { deadline, generation, place: Place::default(), value }
        });
        self.link(index);
        TimerKey { index, generation }
    }

    /// Disarms a timer and returns its value, or `None` if the key is stale.
    pub(crate) fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let index = self.find(key).ok()?;
        Some(self.take(index).1)
    }

    /// Moves a timer to another deadline; its key stays good. Among timers of the same tick it
    /// counts as armed now.
    pub(crate) fn reschedule(&mut self, key: TimerKey, at: Instant) -> Result<(), StaleKey> {
        let index = self.find(key)?;
        self.unlink(index);
        self.nodes[index].deadline = self.not_before_now(at);
        self.link(index);
        Ok(())
    }

    /// [`pop_due_within`](Self::pop_due_within) with moves of its own.
    #[cfg(test)]
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        self.pop_due_within(now, &mut Moves::default())
    }

    /// What the timer is for that is likely to fire next, if that is near.
    pub(crate) fn next_up(&self) -> Option<&T> {
        let place = match self.cascading {
            Some(place) => place,
            None => self.earliest().filter(|place| place.level == 0)?,
        };
        self.nodes.get(self.first_at(place)).map(|entry| &entry.value)
    }

    /// Whether [`Wheel::pop_due_within`] has to be called at `now`. If not, the wheel stands there from now on.
    pub(crate) fn is_due(&mut self, now: Instant) -> bool {
        !self.stays_idle(now.as_nanos() >> TICK_SHIFT)
    }

    /// Moves the wheel on to a tick before which no slot begins. Standing still further on changes no timer's level: see [`Place::of`].
    fn stays_idle(&mut self, now: u64) -> bool {
        let idle = now < self.idle_until;
        if idle {
            self.tick = self.tick.max(now);
        }
        idle
    }

    /// A time at which [`Wheel::pop_due_within`] should be called, if any timer is armed.
    ///
    /// It is exact for timers that are due within 64 ticks, and for others a lower bound: a call
    /// at that time may find nothing, and brings the bound closer.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let tick = match self.cascading {
            Some(_) => self.tick,
            None => self.start_of(self.earliest()?),
        };
        Some(Instant::from_nanos(tick << TICK_SHIFT))
    }

    /// A moment before `at`, or `at` itself, by which a timer that is usually moved further before it fires is better armed: it fires from the level below the one that
    /// it lies on, where it would be moved down to the last. What it is early by is less than a slot of that level, and less than all that is left.
    pub(crate) fn shortly_before(&self, at: Instant) -> Instant {
        let tick = tick_of(at);
        let level = Place::of(tick, self.tick.min(tick)).level;
        let below = shift(level.saturating_sub(1));
        if below == 0 {
            at
        } else {
            at.min(Instant::from_nanos(tick >> below << below << TICK_SHIFT))
        }
    }

    /// The next timer that is due at `now`, with the deadline it was armed for (or the moment it
    /// was armed, if that was later).
    ///
    /// `None` means that nothing is due, or that timers from further up the wheel have to be moved
    /// first and `moves`, which several calls may share, are used up. In the second case
    /// [`Wheel::next_deadline`] is not after `now`.
    pub(crate) fn pop_due_within(
        &mut self,
        now: Instant,
        moves: &mut Moves,
    ) -> Option<(Instant, T)> {
        let now = now.as_nanos() >> TICK_SHIFT;
        while !self.stays_idle(now) {
            if let Some(due) = self.cascade(moves) {
                return Some(self.take(due));
            }
            if self.cascading.is_some() {
                return None;
            }
            let earliest = self.earliest();
            let start = earliest.map_or(u64::MAX, |place| self.start_of(place));
            let Some(place) = earliest.filter(|_| start <= now) else {
                self.idle_until = start;
                continue;
            };
            self.tick = self.tick.max(start);
            if place.level > 0 {
                self.cascading = Some(place);
                continue;
            }
            return Some(self.take(self.first_at(place)));
        }
        None
    }

    /// Moves timers out of the slot that the wheel has reached, to where they belong seen from its
    /// first tick. Stops at one that is due at that tick, and names it.
    fn cascade(&mut self, moves: &mut Moves) -> Option<u32> {
        while let Some(place) = self.cascading.filter(|_| moves.0 > 0) {
            let index = self.first_at(place);
            let tick = tick_of(self.nodes[index].deadline);
            if tick <= self.tick {
                return Some(index);
            }
            moves.0 -= 1;
            self.unlink(index);
            self.link_at(index, Place::of(tick, self.tick));
        }
        None
    }

    /// The slot of the timers that are due next: the lowest slot of the lowest level.
    fn earliest(&self) -> Option<Place> {
        let (level, row) = (0..).zip(self.levels.iter()).find(|(_, row)| row.occupied != 0)?;
        let slot = row.occupied.trailing_zeros();
        #[expect(clippy::cast_possible_truncation, reason = "the bitmap has a bit set: below 64")]
        Some(Place { level, slot: slot as u8 })
    }

    /// The first tick of a slot on or ahead of the wheel's position.
    fn start_of(&self, place: Place) -> u64 {
        let above = self.tick >> shift(place.level + 1) << shift(place.level + 1);
        above | u64::from(place.slot) << shift(place.level)
    }

    fn not_before_now(&self, at: Instant) -> Instant {
        at.max(Instant::from_nanos(self.tick << TICK_SHIFT))
    }

    fn find(&self, key: TimerKey) -> Result<u32, StaleKey> {
        match self.nodes.get(key.index) {
            Some(entry) if entry.generation == key.generation => Ok(key.index),
            _ => Err(StaleKey),
        }
    }

    /// Disarms a timer. The new generation makes its key stale; it takes 2^32 timers on the same
    /// node before that key could name another.
    fn take(&mut self, index: u32) -> (Instant, T) {
        self.unlink(index);
        let entry = &mut self.nodes[index];
        entry.generation = entry.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        let Entry { deadline, value, .. } = self.nodes.release(index);
        (deadline, value)
    }

    fn link(&mut self, index: u32) {
        let place = Place::of(tick_of(self.nodes[index].deadline), self.tick);
        match self.cascading {
            // Older timers of the same tick may still wait in that slot: queue up behind them.
            Some(slot) if place.level < slot.level => self.link_at(index, slot),
            _ => self.link_at(index, place),
        }
    }

    fn link_at(&mut self, index: u32, place: Place) {
        self.nodes[index].place = place;
        self.idle_until = self.idle_until.min(self.start_of(place));
        let level = &mut self.levels[usize::from(place.level)];
        level.occupied |= 1 << place.slot;
        self.nodes.append(&mut level.slots[usize::from(place.slot)], index);
    }

    fn unlink(&mut self, index: u32) {
        let place = self.nodes[index].place;
        let level = &mut self.levels[usize::from(place.level)];
        let list = &mut level.slots[usize::from(place.slot)];
        self.nodes.unlink(list, index);
        if list.is_empty() {
            level.occupied &= !(1 << place.slot);
            self.cascading = self.cascading.filter(|&slot| slot != place);
        }
    }

    fn first_at(&self, occupied: Place) -> u32 {
        let slots = &self.levels[usize::from(occupied.level)].slots;
        slots[usize::from(occupied.slot)].first().expect("an occupied slot has a first timer")
    }
}

#[derive(Clone, Copy)]
struct Entry<T> {
    deadline: Instant,
    generation: NonZeroU32,
    place: Place,
    value: T,
}

/// What an armed timer takes.
pub(crate) const fn bytes_per_timer<T>() -> usize {
    size_of::<Node<Entry<T>>>()
}

struct Level {
    /// Bit n is set while slot n holds a timer.
    occupied: u64,
    slots: [List; SLOTS],
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Place {
    level: u8,
    slot: u8,
}

impl Place {
    /// Where a timer for `tick` lies while the wheel stands at `position`, which is not after it.
    ///
    /// The place stays right until the wheel reaches the slot: as long as the position is before
    /// the slot's first tick, the two numbers first differ in the slot's digit.
    fn of(tick: u64, position: u64) -> Self {
        let highest_bit = (tick ^ position).checked_ilog2().unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, reason = "63 / 6 fits")]
        let level = (highest_bit / DIGIT_BITS) as u8;
        let slot = (tick >> shift(level)) & (SLOTS as u64 - 1);
        #[expect(clippy::cast_possible_truncation, reason = "masked to a digit")]
        Self { level, slot: slot as u8 }
    }
}

/// The first tick that begins at or after `deadline`. Only the last microsecond of 584 years is
/// rounded the other way.
fn tick_of(deadline: Instant) -> u64 {
    deadline.as_nanos().div_ceil(1 << TICK_SHIFT).min(LAST_TICK)
}

fn shift(level: u8) -> u32 {
    DIGIT_BITS * u32::from(level)
}

const TICK_SHIFT: u32 = 10;
const LAST_TICK: u64 = u64::MAX >> TICK_SHIFT;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Enough digits for every tick.
const LEVELS: usize = (u64::BITS - TICK_SHIFT).div_ceil(DIGIT_BITS) as usize;

const _: () = assert!(size_of::<TimerKey>() == 8 && size_of::<Option<TimerKey>>() == 8);
const _: () = assert!(size_of::<Node<Entry<u64>>>() <= 32 + size_of::<u64>());

#[cfg(test)]
mod tests;
