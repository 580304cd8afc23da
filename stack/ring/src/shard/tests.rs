use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::testing::cases;

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn behaves_like_one_queue(steps in prop::collection::vec(0..10_u32, 0..200)) {
        let (shard, mut stash, mut model) = (Shard::new(), Stash::new(), VecDeque::new());
        let mut closed = false;
        for (value, step) in steps.into_iter().enumerate() {
            match step {
                0..5 if !closed => {
                    prop_assert_eq!(shard.try_push(&mut stash, value), Ok(()));
                    model.push_back(value);
                }
                5 if !closed => {
                    // Another thread is inside.
                    let inside = shard.queue.lock();
                    prop_assert_eq!(shard.try_push(&mut stash, value), Err(Busy));
                    prop_assert_eq!(shard.try_close(&mut stash).err(), Some(Busy));
                    drop(inside);
                    model.push_back(value);
                }
                6 => prop_assert_eq!(shard.try_flush(&mut stash), Ok(())),
                7 => {
                    prop_assert_eq!(shard.try_flush(&mut stash), Ok(()));
                    prop_assert_eq!(shard.try_pop(), Ok(model.pop_front()));
                }
                8 if value % 20 == 0 => {
                    closed = true;
                    prop_assert!(shard.try_close(&mut stash).unwrap().eq(model.drain(..)));
                }
                _ => {
                    prop_assert_eq!(shard.try_flush(&mut stash), Ok(()));
                    prop_assert_eq!(shard.pop(), model.pop_front());
                }
            }
            prop_assert_eq!(shard.len() as usize + stash.len(), model.len());
        }
    }
}

#[test]
fn nothing_is_taken_from_a_closed_shard() {
    let (shard, mut stash) = (Shard::new(), Stash::new());
    shard.try_push(&mut stash, 1).unwrap();
    assert!(shard.try_close(&mut stash).unwrap().eq([1]));
    assert_eq!(shard.try_push(&mut stash, 2), Ok(()));
    assert_eq!(shard.pop(), None);
    assert!(shard.try_close(&mut stash).unwrap().eq([2]), "what was pushed too late comes back");
}

#[test]
fn segments_are_few_however_long_the_queue_is() {
    let (shard, mut stash) = (Shard::new(), Stash::new());
    let count = if cfg!(miri) { 100 } else { 10_000 };
    for value in 0..count {
        shard.try_push(&mut stash, value).unwrap();
    }
    let segments = {
        let queue = shard.queue.lock();
        std::iter::successors(queue.first.as_deref(), |segment| segment.next.as_deref()).count()
    };
    assert!(segments <= 12, "{segments}");
    assert!((0..count).all(|value| shard.pop() == Some(value)));
}

#[test]
fn values_that_nobody_takes_are_dropped() {
    let value = Arc::new(());
    let (shard, mut stash) = (Shard::new(), Stash::new());
    for _ in 0..20 {
        shard.try_push(&mut stash, value.clone()).unwrap();
    }
    drop(shard.try_close(&mut stash));
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn each_value_is_taken_or_given_back() {
    let count = if cfg!(miri) { 60 } else { 60_000_u32 };
    let (shard, mut stash) = (Shard::new(), Stash::new());
    let (taken, left) = std::thread::scope(|scope| {
        let taking = [(); 2].map(|()| {
            scope.spawn(|| {
                let mut taken = vec![];
                loop {
                    match shard.pop() {
                        Some(value) if value >= count => break,
                        Some(value) => taken.push(value),
                        None => std::thread::yield_now(),
                    }
                }
                taken
            })
        });
        for value in 0..count {
            let _ = shard.try_push(&mut stash, value);
        }
        // One end mark for each.
        for _ in 0..2 {
            let _ = shard.try_push(&mut stash, count);
        }
        while shard.try_flush(&mut stash).is_err() {}
        let taken: Vec<Vec<u32>> = taking.map(|thread| thread.join().unwrap()).into();
        let left: Vec<u32> = shard.try_close(&mut stash).unwrap().collect();
        (taken, left)
    });
    assert!(taken.iter().all(|taken| taken.is_sorted()));
    let mut all: Vec<_> = taken.into_iter().flatten().chain(left).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..count));
}
