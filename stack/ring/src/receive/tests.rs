use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::testing::cases;
use crate::{CHUNK, SMALL_CHUNK};

const LIMIT: usize = 3 * CHUNK;
const STEPS: usize = if cfg!(miri) { 15 } else { 60 };

proptest! {
    #![proptest_config(cases())]

    /// Whatever both sides do, the reader gets what a `VecDeque` would have given it.
    #[test]
    fn a_ring_is_a_bounded_queue_of_bytes(steps in prop::collection::vec(step(), 1..STEPS)) {
        let (mut producer, mut consumer, closer) = receive_ring(LIMIT);
        let mut model = Model { limit: LIMIT, ..Model::default() };
        for step in steps {
            apply(step, &mut producer, &mut consumer, &closer, &mut model)?;
            prop_assert_eq!(producer.position(), model.written);
            prop_assert_eq!(consumer.position(), model.read);
        }
        producer.publish();
        model.publish();
        read_all(&mut consumer, &mut model)?;
        prop_assert_eq!(consumer.holds_memory(), false);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    WriteAll(usize),
    Publish,
    Read(usize),
    ReadAll,
    Len,
    Limit(usize),
    Finish,
    Reset,
    Shut,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![0..40_usize, 0..CHUNK, CHUNK - 2..=CHUNK + 2, CHUNK..3 * CHUNK];
    prop_oneof![
        20 => len.clone().prop_map(Step::Write),
        3 => len.clone().prop_map(Step::WriteAll),
        15 => Just(Step::Publish),
        15 => len.prop_map(Step::Read),
        10 => Just(Step::ReadAll),
        5 => Just(Step::Len),
        3 => (0..4 * CHUNK).prop_map(Step::Limit),
        1 => Just(Step::Finish),
        1 => Just(Step::Reset),
        1 => Just(Step::Shut),
    ]
}

#[derive(Default)]
struct Model {
    limit: usize,
    /// Positions.
    written: u64,
    read: u64,
    unpublished: VecDeque<u8>,
    readable: VecDeque<u8>,
    ended: Option<ReceiveEnd>,
    shut: bool,
}

impl Model {
    fn free(&self) -> usize {
        if self.shut {
            return self.limit;
        }
        self.limit.saturating_sub(self.unpublished.len() + self.readable.len())
    }

    fn publish(&mut self) {
        let unpublished = std::mem::take(&mut self.unpublished);
        self.readable.extend(unpublished);
    }

    /// The stream's byte at a position, so that bytes out of place are noticed.
    fn byte(position: u64) -> u8 {
        u8::try_from(position * 7 % 251).expect("below 251")
    }
}

fn apply(
    step: Step,
    producer: &mut ReceiveProducer,
    consumer: &mut ReceiveConsumer,
    closer: &ReceiveCloser,
    model: &mut Model,
) -> Result<(), TestCaseError> {
    match step {
        Step::Write(len) => {
            prop_assert_eq!(producer.free(), model.free());
            let room = len.min(model.free());
            write(len, room, producer, ReceiveProducer::write, model)?;
        }
        Step::WriteAll(len) => write(len, len, producer, ReceiveProducer::write_all, model)?,
        Step::Publish => {
            producer.publish();
            model.publish();
        }
        Step::Read(len) => read(len, consumer, model)?,
        Step::ReadAll => read_all(consumer, model)?,
        Step::Len => {
            let len = consumer.len();
            if model.shut {
                model.read += model.readable.len() as u64;
                model.readable.clear();
            }
            prop_assert_eq!(len, model.readable.len());
        }
        Step::Limit(limit) => {
            producer.set_limit(limit);
            model.limit = limit;
        }
        Step::Finish => {
            producer.finish();
            model.publish();
            model.ended = model.ended.or(Some(ReceiveEnd::Finished));
        }
        Step::Reset => {
            producer.reset();
            model.publish();
            model.ended = Some(ReceiveEnd::Reset);
        }
        Step::Shut => {
            closer.shut();
            prop_assert!(producer.is_shut());
            model.publish();
            model.shut = true;
        }
    }
    Ok(())
}

/// `len` bytes are written in one way or the other, of which `room` are taken.
fn write(
    len: usize,
    room: usize,
    producer: &mut ReceiveProducer,
    write: fn(&mut ReceiveProducer, &[u8]) -> usize,
    model: &mut Model,
) -> Result<(), TestCaseError> {
    let bytes: Vec<u8> = (0..len as u64).map(|i| Model::byte(model.written + i)).collect();
    let taken = write(producer, &bytes);
    prop_assert_eq!(taken, if model.ended.is_some() { 0 } else { room });
    model.written += taken as u64;
    if !model.shut {
        model.unpublished.extend(&bytes[..taken]);
    }
    Ok(())
}

/// One `fill_buf`, of which up to `len` bytes are consumed.
fn read(
    len: usize,
    consumer: &mut ReceiveConsumer,
    model: &mut Model,
) -> Result<(), TestCaseError> {
    let bytes = consumer.fill_buf();
    let taken = bytes.len().min(len);
    if model.shut {
        prop_assert!(bytes.is_empty());
        model.read += model.readable.len() as u64;
        model.readable.clear();
        prop_assert_eq!(consumer.end(), ReceiveEnd::Shut);
        return Ok(());
    }
    prop_assert!(bytes.len() <= model.readable.len());
    prop_assert_eq!(bytes.is_empty(), model.readable.is_empty());
    prop_assert!(bytes.iter().eq(model.readable.iter().take(bytes.len())));
    if bytes.is_empty() {
        prop_assert_eq!(consumer.end(), model.ended.unwrap_or(ReceiveEnd::Open));
    }
    consumer.consume(taken);
    model.readable.drain(..taken);
    model.read += taken as u64;
    Ok(())
}

fn read_all(consumer: &mut ReceiveConsumer, model: &mut Model) -> Result<(), TestCaseError> {
    while !model.readable.is_empty() {
        read(usize::MAX, consumer, model)?;
    }
    read(usize::MAX, consumer, model)
}

#[test]
fn an_empty_ring_holds_no_memory() {
    let (mut producer, mut consumer, _closer) = receive_ring(LIMIT);
    assert!(!consumer.holds_memory());
    for len in [1, CHUNK, CHUNK + 1, 2 * CHUNK, 5] {
        assert_eq!(producer.write(&vec![7; len]), len);
        producer.publish();
        assert!(consumer.holds_memory());
        for _ in 0..3 {
            let len = consumer.fill_buf().len();
            consumer.consume(len);
        }
        assert!(!consumer.holds_memory(), "after {len} bytes");
    }
}

#[test]
fn little_takes_little_memory() {
    let (mut producer, mut consumer, _closer) = receive_ring(LIMIT);
    for len in [1, SMALL_CHUNK] {
        assert_eq!(producer.memory_for(len), SMALL_CHUNK);
        producer.write(&vec![7; len]);
        producer.publish();
        assert_eq!(producer.memory(), SMALL_CHUNK);
        assert_eq!(consumer.fill_buf().len(), len);
        consumer.consume(len);
        consumer.len();
        assert_eq!(producer.memory(), 0);
    }
    producer.write(&[7; SMALL_CHUNK + 1]);
    assert_eq!(producer.memory(), CHUNK);
}

proptest! {
    #![proptest_config(cases())]

    /// What is promised to be enough is what is taken.
    #[test]
    fn memory_grows_as_foretold(writes in prop::collection::vec(prop_oneof![1..40_usize, 1..2 * CHUNK], 1..20)) {
        let (mut producer, mut consumer, _closer) = receive_ring(usize::MAX);
        let mut total = 0;
        for len in writes {
            let foretold = producer.memory() + producer.memory_for(len);
            producer.write(&vec![7; len]);
            producer.publish();
            total += len;
            prop_assert_eq!(producer.memory(), foretold);
            prop_assert!(foretold >= total.min(SMALL_CHUNK) && foretold <= total + 2 * CHUNK);
        }
        while total > 0 {
            let len = consumer.fill_buf().len();
            consumer.consume(len);
            total -= len;
            prop_assert!(producer.memory() >= total);
        }
        consumer.len();
        prop_assert_eq!(producer.memory(), 0);
    }
}

#[test]
fn nothing_is_visible_before_it_is_published() {
    let (mut producer, mut consumer, _closer) = receive_ring(LIMIT);
    producer.write(b"ab");
    assert_eq!(consumer.len(), 0);
    producer.publish();
    producer.write(b"c");
    assert_eq!(consumer.fill_buf(), b"ab");
}

#[test]
fn the_end_comes_after_the_last_byte() {
    let (mut producer, mut consumer, _closer) = receive_ring(LIMIT);
    producer.write(b"x");
    producer.publish();
    assert_eq!(consumer.fill_buf(), b"x");
    producer.write(b"yz");
    producer.finish();
    consumer.consume(1);
    assert_eq!(consumer.end(), ReceiveEnd::Open, "what was shown last had no end");
    assert_eq!(consumer.fill_buf(), b"yz");
    consumer.consume(2);
    assert_eq!(consumer.end(), ReceiveEnd::Finished);
}

#[test]
fn an_end_that_is_dropped_tells_the_other() {
    let (producer, mut consumer, _closer) = receive_ring(LIMIT);
    drop(producer);
    assert!(consumer.fill_buf().is_empty());
    assert_eq!(consumer.end(), ReceiveEnd::Reset);

    let (mut producer, consumer, _closer) = receive_ring(LIMIT);
    producer.write(b"unread");
    drop(consumer);
    assert!(producer.is_abandoned());
    assert_eq!(producer.free(), LIMIT, "what nobody reads takes no room");
    assert_eq!(producer.write(&vec![0; 2 * LIMIT]), LIMIT);
    assert_eq!(producer.consumed(), producer.position());
}

#[test]
fn ends_are_dropped_in_any_order_with_bytes_inside() {
    for consumer_first in [true, false] {
        for read in [0, 1, CHUNK, CHUNK + 1] {
            let (mut producer, mut consumer, closer) = receive_ring(LIMIT);
            producer.write(&vec![1; CHUNK + 1]);
            producer.publish();
            producer.write(&vec![1; CHUNK]);
            if read > 0 {
                let len = consumer.fill_buf().len().min(read);
                consumer.consume(len);
            }
            if consumer_first {
                drop(consumer);
                drop(producer);
            } else {
                drop(producer);
                drop(consumer);
            }
            drop(closer);
        }
    }
}

#[test]
#[should_panic(expected = "passed more than was published")]
fn consuming_what_is_not_there_panics() {
    let (mut producer, mut consumer, _closer) = receive_ring(LIMIT);
    producer.write(b"abc");
    producer.publish();
    consumer.fill_buf();
    consumer.consume(4);
}

#[test]
fn a_stream_crosses_threads_whole() {
    let total: u64 = if cfg!(miri) { 400 } else { 4_000_000 };
    let (mut producer, mut consumer, _closer) = receive_ring(LIMIT);
    let writing = std::thread::spawn(move || {
        let mut burst = vec![0; 1 + CHUNK / 3];
        while producer.position() < total {
            let start = producer.position();
            let len = burst.len().min(usize::try_from(total - start).unwrap());
            burst.iter_mut().zip(start..).for_each(|(byte, at)| *byte = Model::byte(at));
            if producer.write(&burst[..len]) == 0 {
                std::thread::yield_now();
            }
            producer.publish();
        }
        producer.finish();
    });
    loop {
        let start = consumer.position();
        let bytes = consumer.fill_buf();
        assert!(bytes.iter().zip(start..).all(|(&byte, at)| byte == Model::byte(at)));
        let len = bytes.len();
        consumer.consume(len);
        if len == 0 {
            if consumer.end() == ReceiveEnd::Finished {
                break;
            }
            std::thread::yield_now();
        }
    }
    assert_eq!(consumer.position(), total);
    writing.join().unwrap();
    assert!(!consumer.holds_memory());
}

#[test]
fn a_reader_knows_of_a_closed_window() {
    let (mut producer, mut consumer, _closer) = receive_ring(4);
    producer.write(b"full");
    producer.publish();
    assert_eq!(producer.close_window(), 0);
    consumer.fill_buf();
    consumer.consume(1);
    assert!(consumer.window_is_closed());
    assert_eq!(producer.close_window(), 1, "the second look finds room");
    producer.open_window();
    assert!(!consumer.window_is_closed());
}

#[test]
fn ends_are_small() {
    assert!(size_of::<ReceiveProducer>() <= 48);
    assert!(size_of::<ReceiveConsumer>() <= 40);
    assert_eq!(size_of::<ReceiveCloser>(), 8);
}
