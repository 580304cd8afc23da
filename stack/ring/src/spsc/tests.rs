use std::collections::VecDeque;
use std::sync::Arc as Counted;

use proptest::prelude::*;

use super::*;
use crate::testing::cases;

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_queue_is_a_bounded_queue(
        capacity in 0..9_usize,
        steps in prop::collection::vec((0..4, 0..6_usize), 0..100),
    ) {
        let (mut producer, mut consumer) = queue(capacity);
        let mut model = VecDeque::new();
        let mut values = 0..;
        let full = producer.capacity();
        prop_assert!(full >= capacity);
        for (operation, count) in steps {
            match operation {
                0 => {
                    let value = values.start;
                    let pushed = producer.push(value);
                    prop_assert_eq!(pushed.is_ok(), model.len() < full);
                    if pushed.is_ok() {
                        model.extend(values.next());
                    }
                }
                1 => {
                    let start = values.start;
                    let pushed = producer.push_all(&mut values.by_ref().take(count));
                    prop_assert_eq!(pushed, count.min(full - model.len()));
                    prop_assert_eq!(values.start, start + pushed, "no value is taken and lost");
                    model.extend(start..values.start);
                }
                2 => prop_assert_eq!(consumer.pop(), model.pop_front()),
                _ => {
                    let mut batch = vec![];
                    let want: Vec<_> = model.drain(..count.min(model.len())).collect();
                    prop_assert_eq!(consumer.pop_into(&mut batch, count), want.len());
                    prop_assert_eq!(batch, want);
                }
            }
            prop_assert_eq!(consumer.len(), model.len());
            prop_assert_eq!(producer.free(), full - model.len());
        }
    }
}

#[test]
fn values_left_inside_are_dropped() {
    let value = Counted::new(());
    for consumer_first in [true, false] {
        let (mut producer, mut consumer) = queue(4);
        for _ in 0..3 {
            producer.push(value.clone()).unwrap();
        }
        consumer.pop();
        if consumer_first {
            drop(consumer);
            assert_eq!(Counted::strong_count(&value), 1, "gone with the consumer");
            assert!(producer.is_abandoned());
            producer.push(value.clone()).unwrap();
            drop(producer);
        } else {
            drop(producer);
            assert!(consumer.is_abandoned());
            assert_eq!(consumer.len(), 2, "what was pushed before is still there");
            drop(consumer);
        }
        assert_eq!(Counted::strong_count(&value), 1);
    }
}

#[test]
fn a_batch_that_panics_is_whole_up_to_there() {
    let (mut producer, mut consumer) = queue(8);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        producer.push_all(&mut (0..).map(|i| if i < 3 { i } else { panic!("no more") }))
    }));
    assert!(panicked.is_err());
    producer.push(9).unwrap();
    let mut batch = vec![];
    consumer.pop_into(&mut batch, 8);
    assert_eq!(batch, [0, 1, 2, 9]);
}

#[test]
fn values_cross_threads_in_order() {
    let count = if cfg!(miri) { 200 } else { 1_000_000_u64 };
    let (mut producer, mut consumer) = queue(64);
    let writing = std::thread::spawn(move || {
        let mut values = (0..count).peekable();
        while let Some(&next) = values.peek() {
            let pushed = if next % 3 == 0 {
                usize::from(producer.push(next).is_ok() && values.next().is_some())
            } else {
                producer.push_all(&mut values)
            };
            if pushed == 0 {
                std::thread::yield_now();
            }
        }
    });
    let mut want = 0;
    while want < count {
        match consumer.pop() {
            Some(value) => {
                assert_eq!(value, want);
                want += 1;
            }
            None => std::thread::yield_now(),
        }
    }
    writing.join().unwrap();
    assert!(consumer.is_abandoned());
}
