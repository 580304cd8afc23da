//! Connections by number: a slab whose references notice when what they meant is gone.

use darner_ring::prefetch;

use crate::blocks::Blocks;
use crate::socket::SocketId;

/// A slab of values. An id names its value for as long as that is there, and nothing afterwards: not even once the
/// place has been taken by another.
///
/// It grows by so few places at a time ([`BLOCK`]) that growth takes no longer than what else a turn does, and moves no value. Places are reused
/// oldest first: a generation then comes around as late as possible (socket contract, R-26).
pub(crate) struct Table<T> {
    slots: Blocks<Slot<T>>,
    vacant_first: u32,
    vacant_last: u32,
    len: usize,
    limit: usize,
}

/// A value is looked for in no cache, mostly: it takes no more lines than it must.
#[repr(align(64))]
struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

enum Content<T> {
    Occupied(T),
    Vacant { next: u32 },
}

impl<T> Table<T> {
    /// An empty table for at most `limit` values.
    pub(crate) fn new(limit: usize) -> Self {
        Self { slots: Blocks::new(), vacant_first: NONE, vacant_last: NONE, len: 0, limit }
    }

    /// Puts in what `make` makes, which is told its id. `None`, and nothing made, at the limit.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(SocketId) -> T) -> Option<SocketId> {
        if self.len >= self.limit {
            return None;
        }
        if self.vacant_first == NONE {
            self.grow()?;
        }
        let index = self.vacant_first;
        let slot = self.slot_mut(index)?;
        let Content::Vacant { next } = slot.content else { return None };
        let id = SocketId { index, generation: slot.generation };
        slot.content = Content::Occupied(make(id));
        self.vacant_first = next;
        if next == NONE {
            self.vacant_last = NONE;
        }
        self.len += 1;
        Some(id)
    }

    /// Takes a value out; its id and every copy of it are stale from here on.
    pub(crate) fn remove(&mut self, id: SocketId) -> Option<T> {
        self.get_mut(id)?;
        let slot = self.slot_mut(id.index)?;
        let content = std::mem::replace(&mut slot.content, Content::Vacant { next: NONE });
        self.vacated(id.index);
        match content {
            Content::Occupied(value) => Some(value),
            Content::Vacant { .. } => None,
        }
    }

    /// The same for a large value that nobody wants: it is dropped where it is.
    pub(crate) fn discard(&mut self, id: SocketId) {
        if self.get_mut(id).is_some()
            && let Some(slot) = self.slot_mut(id.index)
        {
            slot.content = Content::Vacant { next: NONE };
            self.vacated(id.index);
        }
    }

    /// The place is the last to be taken again.
    fn vacated(&mut self, index: u32) {
        if let Some(slot) = self.slot_mut(index) {
            slot.generation = slot.generation.wrapping_add(1) & GENERATIONS;
        }
        match self.vacant_last {
            NONE => self.vacant_first = index,
            last => {
                if let Some(slot) = self.slot_mut(last) {
                    slot.content = Content::Vacant { next: index };
                }
            }
        }
        self.vacant_last = index;
        self.len -= 1;
    }

    pub(crate) fn get_mut(&mut self, id: SocketId) -> Option<&mut T> {
        match self.slot_mut(id.index)? {
            Slot { generation, content: Content::Occupied(value) }
                if *generation == id.generation =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    /// Asks for the memory of a place, and does not look at it.
    pub(crate) fn prefetch(&self, index: u32) {
        self.slots.get(index).into_iter().for_each(prefetch);
    }

    /// What is at a place.
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        let slot = self.slots.get(index)?;
        match &slot.content {
            Content::Occupied(value) => Some(value),
            Content::Vacant { .. } => None,
        }
    }

    /// The id of what is at a place, if anything is.
    pub(crate) fn id_at(&self, index: u32) -> Option<SocketId> {
        let slot = self.slots.get(index)?;
        let occupied = matches!(slot.content, Content::Occupied(_));
        occupied.then_some(SocketId { index, generation: slot.generation })
    }

    /// Every place that there is, taken or not.
    pub(crate) fn places(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// The ids of all values.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SocketId> {
        (0..self.places()).filter_map(|place| self.id_at(place))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| match &slot.content {
            Content::Occupied(value) => Some(value),
            Content::Vacant { .. } => None,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        self.slots.get_mut(index)
    }

    /// Adds a block of vacant slots; `None` when their numbers have run out.
    fn grow(&mut self) -> Option<()> {
        let first = u32::try_from(self.slots.len()).ok()?;
        let last = u32::try_from(self.slots.len() + BLOCK - 1).ok()?;
        if last == NONE {
            return None;
        }
        let next_of = |index| if index == last { NONE } else { index + 1 };
        let slot =
            |index| Slot { generation: 0, content: Content::Vacant { next: next_of(index) } };
        (first..=last).map(slot).for_each(|slot| self.slots.push(slot));
        (self.vacant_first, self.vacant_last) = (first, last);
        Some(())
    }
}

/// What a value takes in a table that is full.
pub(crate) const fn bytes_per_value<T>() -> usize {
    size_of::<Slot<T>>()
}

/// The table grows by so many places.
pub(crate) const BLOCK: usize = 256;
const NONE: u32 = u32::MAX;
/// Which generations there are. Tests have few, so that they come around.
const GENERATIONS: u32 = if cfg!(test) { 0xf } else { u32::MAX };

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stale_id_names_nothing_even_when_its_place_is_taken() {
        let mut table = Table::new(1);
        let old = table.insert_with(|_| 'a').unwrap();
        assert_eq!(table.insert_with(|_| 'b'), None, "at the limit");
        assert_eq!(table.remove(old), Some('a'));
        // The oldest vacant place comes first, so it takes a whole block to come around.
        let mut new = table.insert_with(|_| 'b').unwrap();
        while new.index != old.index {
            table.remove(new);
            new = table.insert_with(|_| 'b').unwrap();
        }
        assert_eq!(table.get_mut(old), None);
        assert_eq!(table.remove(old), None);
        assert_eq!(table.get_mut(new), Some(&mut 'b'));
    }

    /// after 2^32 holders of one place its first id would mean something again; the last one before that does not.
    #[test]
    fn a_generation_that_comes_around_is_another() {
        let mut table = Table::new(1);
        table.grow().unwrap();
        table.slot_mut(0).unwrap().generation = u32::MAX;
        let last = table.insert_with(|_| 'a').unwrap();
        assert_eq!(last, SocketId { index: 0, generation: u32::MAX });
        table.remove(last).unwrap();
        let mut next = table.insert_with(|_| 'b').unwrap();
        while next.index != 0 {
            table.remove(next).unwrap();
            next = table.insert_with(|_| 'b').unwrap();
        }
        assert_eq!(next.generation, 0);
        assert_eq!(table.get_mut(last), None);
        assert_eq!(table.get_mut(next), Some(&mut 'b'));
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_map(steps in prop::collection::vec(any::<Option<prop::sample::Index>>(), 0..900)) {
            let (mut table, mut model, mut gone) = (Table::new(700), HashMap::new(), vec![]);
            for (value, step) in steps.into_iter().enumerate() {
                if let Some(pick) = step && !model.is_empty() {
                    let mut ids: Vec<SocketId> = model.keys().copied().collect();
                    ids.sort();
                    let id = *pick.get(&ids);
                    let held = model.remove(&id);
                    if value % 2 == 0 {
                        table.discard(id);
                    } else {
                        prop_assert_eq!(table.remove(id), held);
                    }
                    gone.push(id);
                } else if let Some(id) = table.insert_with(|_| value) {
                    prop_assert!(model.insert(id, value).is_none());
                }
            }
            prop_assert_eq!(table.len(), model.len());
            prop_assert_eq!(table.iter().count(), model.len());
            for (&id, value) in &mut model {
                prop_assert_eq!(table.get_mut(id), Some(value));
            }
            for id in gone {
                prop_assert_eq!(table.get_mut(id), None);
                table.discard(id);
            }
            prop_assert_eq!(table.len(), model.len());
        }
    }
}
