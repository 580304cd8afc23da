//! A hash table that grows, shrinks and cleans itself without ever stopping to rehash.
//!
//! A table of a million entries that doubles in one go keeps a core busy for tens of milliseconds.
//! Here a new size means a second table: every insertion and removal then moves the entries of a few
//! buckets from the old one, and until that is done a lookup asks both. The moves of one call are
//! bounded by [`BUCKETS_PER_CALL`].
//!
//! That leaves the allocation of a new table and the release of the old, which for large tables cost
//! milliseconds too: the kernel clears and takes back page by page. So the table consists of 64
//! shards of 1/64 of the entries, and each of them is a pair of tables that resizes by itself. The
//! worst of two million insertions of IPv4 flows (the least of six runs for each) took 47 us; with
//! one shard 2.8 ms; the median was 0.24 us with both.
//!
//! # Why a new table never fills up first
//!
//! Let the old table have N buckets, so that it is empty after N / 16 calls. hashbrown fills 7/8 of
//! a table.
//!
//! | cause | entries | new buckets | new room | needed: entries and N / 16 |
//! |---|---|---|---|---|
//! | full | 0.70 N to 0.875 N | 2 N | 1.75 N | 0.94 N |
//! | full of tombstones | up to 0.70 N | N | 0.875 N | 0.77 N |
//! | nearly empty | below N / 8 | N / 4 | 0.219 N | 0.188 N |
//!
//! Tables so small that rounding would spoil these numbers are not shrunk.

use hashbrown::HashTable;

/// The table. Entries hold their own keys, or lead to them: whoever calls gives the hash, says what
/// is equal, and can compute the hash of any entry again.
pub(crate) struct GradualTable<E> {
    shards: Box<[Shard<E>; SHARDS]>,
    len: usize,
}

impl<E> GradualTable<E> {
    pub(crate) fn new() -> Self {
        Self { shards: Box::new([const { Shard::new() }; SHARDS]), len: 0 }
    }

    pub(crate) fn find(&self, hash: u64, equal: impl Fn(&E) -> bool) -> Option<&E> {
        self.shards[shard_of(hash)].find(hash, equal)
    }

    pub(crate) fn find_mut(&mut self, hash: u64, equal: impl Fn(&E) -> bool) -> Option<&mut E> {
        self.shards[shard_of(hash)].find_mut(hash, equal)
    }

    /// Adds an entry that has no equal in the table.
    pub(crate) fn insert(&mut self, hash: u64, entry: E, rehash: impl Fn(&E) -> u64) {
        self.len += 1;
        self.shards[shard_of(hash)].insert(hash, entry, rehash);
    }

    pub(crate) fn remove(
        &mut self,
        hash: u64,
        equal: impl Fn(&E) -> bool,
        rehash: impl Fn(&E) -> u64,
    ) -> Option<E> {
        let found = self.shards[shard_of(hash)].remove(hash, equal, rehash)?;
        self.len -= 1;
        Some(found)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

struct Shard<E> {
    active: HashTable<E>,
    /// The table that is being emptied; without memory of its own while there is none.
    draining: HashTable<E>,
    /// The first bucket of it that was not yet looked at.
    cursor: usize,
}

impl<E> Shard<E> {
    const fn new() -> Self {
        Self { active: HashTable::new(), draining: HashTable::new(), cursor: 0 }
    }

    fn find(&self, hash: u64, equal: impl Fn(&E) -> bool) -> Option<&E> {
        match self.active.find(hash, &equal) {
            None if !self.draining.is_empty() => self.draining.find(hash, &equal),
            found => found,
        }
    }

    fn find_mut(&mut self, hash: u64, equal: impl Fn(&E) -> bool) -> Option<&mut E> {
        match self.active.find_mut(hash, &equal) {
            None if !self.draining.is_empty() => self.draining.find_mut(hash, &equal),
            found => found,
        }
    }

    fn insert(&mut self, hash: u64, entry: E, rehash: impl Fn(&E) -> u64) {
        self.drain(&rehash);
        if self.active.len() == self.active.capacity() {
            self.resize();
        }
        self.active.insert_unique(hash, entry, rehash);
    }

    fn remove(
        &mut self,
        hash: u64,
        equal: impl Fn(&E) -> bool,
        rehash: impl Fn(&E) -> u64,
    ) -> Option<E> {
        let found = match self.active.find_entry(hash, &equal) {
            Ok(entry) => entry.remove().0,
            Err(_) => self.draining.find_entry(hash, &equal).ok()?.remove().0,
        };
        self.drain(&rehash);
        let buckets = self.active.num_buckets();
        if buckets >= SMALLEST_TO_SHRINK && self.active.len() < buckets / 8 && !self.is_draining() {
            self.resize();
        }
        Some(found)
    }

    fn is_draining(&self) -> bool {
        self.draining.allocation_size() > 0
    }

    /// Makes the present table the one to be emptied.
    fn resize(&mut self) {
        debug_assert!(!self.is_draining(), "the arithmetic above is wrong");
        let len = self.active.len();
        let roomier = HashTable::with_capacity(len + len / 4 + 1);
        self.draining = std::mem::replace(&mut self.active, roomier);
        self.cursor = 0;
    }

    /// Moves what the next few buckets of the old table hold.
    fn drain(&mut self, rehash: &impl Fn(&E) -> u64) {
        if !self.is_draining() {
            return;
        }
        let end = self.cursor + BUCKETS_PER_CALL;
        for bucket in self.cursor..end {
            if let Ok(entry) = self.draining.get_bucket_entry(bucket) {
                let entry = entry.remove().0;
                self.active.insert_unique(rehash(&entry), entry, rehash);
            }
        }
        self.cursor = end;
        if self.draining.is_empty() {
            self.draining = HashTable::new();
        }
    }
}

/// hashbrown takes a bucket from the lowest bits of a hash and a tag from the highest seven.
fn shard_of(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

const SHARDS: usize = 64;
/// How far one call empties an old table: about a microsecond of work when nothing is cached.
const BUCKETS_PER_CALL: usize = 16;
const SMALLEST_TO_SHRINK: usize = 128;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Numbers in one shard, each its own key; counts how many of them one call hashes again.
    struct Counted {
        shard: Shard<u32>,
        most_moved: usize,
    }

    impl Counted {
        fn new() -> Self {
            Self { shard: Shard::new(), most_moved: 0 }
        }

        fn insert(&mut self, number: u32) {
            self.count(|shard, rehash| shard.insert(scatter(number), number, rehash));
        }

        fn remove(&mut self, number: u32) -> Option<u32> {
            self.count(|shard, rehash| shard.remove(scatter(number), |&n| n == number, rehash))
        }

        fn contains(&self, number: u32) -> bool {
            self.shard.find(scatter(number), |&n| n == number).is_some()
        }

        fn buckets(&self) -> usize {
            self.shard.active.num_buckets()
        }

        fn count<R>(&mut self, call: impl FnOnce(&mut Shard<u32>, &dyn Fn(&u32) -> u64) -> R) -> R {
            let moved = Cell::new(0);
            let result = call(&mut self.shard, &|&number| {
                moved.set(moved.get() + 1);
                scatter(number)
            });
            self.most_moved = self.most_moved.max(moved.get());
            result
        }
    }

    fn scatter(number: u32) -> u64 {
        (u64::from(number) + 1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    #[test]
    fn a_million_entries_come_and_go_without_a_pause() {
        const MILLION: u32 = 1_000_000;
        let mut table = GradualTable::new();
        let (moved, mut most) = (Cell::new(0), 0);
        let rehash = |&number: &u32| {
            moved.set(moved.get() + 1);
            scatter(number)
        };
        for number in 0..MILLION {
            table.insert(scatter(number), number, rehash);
            most = most.max(moved.take());
        }
        assert_eq!(table.len(), 1_000_000);
        assert!((0..MILLION).all(|number| table.find(scatter(number), |&n| n == number).is_some()));
        assert!(table.shards.iter().all(|shard| shard.active.num_buckets() == (1 << 21) / SHARDS));

        for number in 0..MILLION {
            assert_eq!(table.remove(scatter(number), |&n| n == number, rehash), Some(number));
            most = most.max(moved.take());
        }
        assert_eq!(table.len(), 0);
        assert!(table.shards.iter().all(|shard| shard.active.num_buckets() < SMALLEST_TO_SHRINK));
        assert_eq!(most, BUCKETS_PER_CALL);
    }

    /// Removals leave tombstones, which use up room like entries do.
    #[test]
    fn a_table_of_constant_length_stays_the_same_size() {
        for held in [6_500_u32, 9_000, 11_300, 13_000, 14_200] {
            let mut table = Counted::new();
            for number in 0..held {
                table.insert(number);
            }
            for number in held..20 * held {
                assert_eq!(table.remove(number - held), Some(number - held));
                table.insert(number);
            }
            assert!(
                table.most_moved <= BUCKETS_PER_CALL,
                "{held} held: {} moved",
                table.most_moved
            );
            assert!(table.buckets() <= 1 << 15, "{held} held: {} buckets", table.buckets());
            assert!((19 * held..20 * held).all(|number| table.contains(number)));
        }
    }

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u32),
        Remove(u32),
        /// Whole ranges, to reach the sizes at which tables shrink.
        InsertAll(u32, u32),
        RemoveAll(u32, u32),
    }

    fn op() -> impl Strategy<Value = Op> {
        let (some, many) = (0_u32..40, 0_u32..4000);
        prop_oneof![
            some.clone().prop_map(Op::Insert),
            some.prop_map(Op::Remove),
            (many.clone(), many.clone()).prop_map(|(from, count)| Op::InsertAll(from, count)),
            (many.clone(), many).prop_map(|(from, count)| Op::RemoveAll(from, count)),
        ]
    }

    proptest! {
        #[test]
        fn the_table_holds_what_a_map_holds(ops in prop::collection::vec(op(), 1..40)) {
            let mut table = Counted::new();
            let mut model = HashMap::new();
            for op in ops {
                let (numbers, insert) = match op {
                    Op::Insert(number) => (number..number + 1, true),
                    Op::Remove(number) => (number..number + 1, false),
                    Op::InsertAll(from, count) => (from..from + count, true),
                    Op::RemoveAll(from, count) => (from..from + count, false),
                };
                for number in numbers {
                    let held = model.contains_key(&number);
                    prop_assert_eq!(table.contains(number), held);
                    if insert && !held {
                        table.insert(number);
                        model.insert(number, ());
                    } else if !insert {
                        prop_assert_eq!(table.remove(number), model.remove(&number).map(|()| number));
                    }
                }
                prop_assert_eq!(table.shard.active.len() + table.shard.draining.len(), model.len());
            }
            prop_assert!(table.most_moved <= BUCKETS_PER_CALL);
            prop_assert!(model.keys().all(|&number| table.contains(number)));
        }
    }
}
