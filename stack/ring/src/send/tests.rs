use proptest::prelude::*;

use super::*;
use crate::CHUNK;
use crate::testing::cases;

const LIMIT: usize = 3 * CHUNK;
const STEPS: usize = if cfg!(miri) { 15 } else { 60 };

proptest! {
    #![proptest_config(cases())]

    /// What was accepted and not released can be read, anywhere, again and again.
    #[test]
    fn a_ring_keeps_what_is_not_released(steps in prop::collection::vec(step(), 1..STEPS)) {
        let (mut producer, mut consumer, closer) = send_ring(LIMIT);
        let mut model = Model { limit: LIMIT, ..Model::default() };
        for step in steps {
            apply(step, &mut producer, &mut consumer, &closer, &mut model)?;
            prop_assert_eq!(producer.position(), model.stream.len() as u64);
            prop_assert_eq!(consumer.released(), model.released as u64);
            prop_assert_eq!(producer.buffered(), model.stream.len() - model.released);
        }
        consumer.tail();
        consumer.release(u64::MAX);
        producer.reserve();
        prop_assert_eq!(producer.commit(0).err(), model.closed);
        prop_assert!(!consumer.holds_memory());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Reserve { commit: usize },
    ReadAt(usize, usize),
    Release(usize),
    Limit(usize),
    ShutDown,
    Abort,
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![0..40_usize, 0..CHUNK, CHUNK - 2..=CHUNK + 2, CHUNK..3 * CHUNK];
    prop_oneof![
        20 => len().prop_map(Step::Write),
        15 => len().prop_map(|commit| Step::Reserve { commit }),
        20 => (len(), len()).prop_map(|(at, len)| Step::ReadAt(at, len)),
        20 => len().prop_map(Step::Release),
        3 => (0..4 * CHUNK).prop_map(Step::Limit),
        1 => Just(Step::ShutDown),
        1 => Just(Step::Abort),
        1 => Just(Step::Kill),
    ]
}

#[derive(Default)]
struct Model {
    limit: usize,
    stream: Vec<u8>,
    released: usize,
    closed: Option<SendClosed>,
}

impl Model {
    fn free(&self) -> usize {
        self.limit.saturating_sub(self.stream.len() - self.released)
    }

    fn byte(position: usize) -> u8 {
        u8::try_from(position * 7 % 251).expect("below 251")
    }

    fn next(&self, len: usize) -> Vec<u8> {
        (self.stream.len()..self.stream.len() + len).map(Self::byte).collect()
    }

    fn end(&self) -> SendEnd {
        match self.closed {
            Some(SendClosed::Aborted) => SendEnd::Aborted,
            Some(SendClosed::ShutDown) => SendEnd::Shut,
            Some(SendClosed::Dead) | None => SendEnd::Open,
        }
    }
}

fn apply(
    step: Step,
    producer: &mut SendProducer,
    consumer: &mut SendConsumer,
    closer: &SendCloser,
    model: &mut Model,
) -> Result<(), TestCaseError> {
    match step {
        Step::Write(len) => {
            let bytes = model.next(len);
            let free = model.free();
            let want = model.closed.map_or(Ok(len.min(free)), Err);
            prop_assert_eq!(producer.write(&bytes), want);
            model.stream.extend(&bytes[..want.unwrap_or(0)]);
        }
        Step::Reserve { commit } => reserve(commit, producer, model)?,
        Step::ReadAt(at, len) => read_at(model.released + at, len, consumer, model)?,
        Step::Release(len) => {
            consumer.tail();
            consumer.release((model.released + len) as u64);
            model.released = (model.released + len).min(model.stream.len());
        }
        Step::Limit(limit) => {
            consumer.set_limit(limit);
            model.limit = limit;
        }
        Step::ShutDown if model.closed.is_none() => {
            prop_assert_eq!(closer.shut_down(), model.stream.len() as u64);
            model.closed = Some(SendClosed::ShutDown);
        }
        Step::Abort if model.closed.is_none() => {
            closer.abort();
            model.closed = Some(SendClosed::Aborted);
        }
        Step::Kill if model.closed.is_none() => {
            consumer.kill();
            model.released = model.stream.len();
            model.closed = Some(SendClosed::Dead);
        }
        Step::ShutDown | Step::Abort | Step::Kill => {}
    }
    Ok(())
}

fn reserve(
    commit: usize,
    producer: &mut SendProducer,
    model: &mut Model,
) -> Result<(), TestCaseError> {
    let free = if model.closed.is_some() { 0 } else { model.free() };
    let space = producer.reserve();
    prop_assert!(space.len() <= free);
    prop_assert_eq!(space.is_empty(), free == 0);
    let len = commit.min(space.len());
    let bytes = model.next(len);
    space[..len].copy_from_slice(&bytes);
    prop_assert_eq!(producer.commit(len), model.closed.map_or(Ok(()), Err));
    model.stream.extend(bytes);
    Ok(())
}

fn read_at(
    from: usize,
    len: usize,
    consumer: &mut SendConsumer,
    model: &Model,
) -> Result<(), TestCaseError> {
    let tail = consumer.tail();
    prop_assert_eq!(tail, SendTail { position: model.stream.len() as u64, end: model.end() });
    let there = model.stream.get(from..).unwrap_or(&[]);
    let there = &there[..there.len().min(len)];
    let mut out = vec![0; len];
    prop_assert_eq!(consumer.read_at(from as u64, &mut out), there.len());
    prop_assert_eq!(&out[..there.len()], there);
    prop_assert_eq!(consumer.slices_at(from as u64, len).collect::<Vec<_>>().concat(), there);
    Ok(())
}

#[test]
fn nothing_below_what_is_released_can_be_read() {
    let (mut producer, mut consumer, _closer) = send_ring(LIMIT);
    producer.write(b"abcdef").unwrap();
    assert_eq!(consumer.read_at(0, &mut [0; 6]), 0, "not looked at yet");
    consumer.tail();
    consumer.release(3);
    assert_eq!(consumer.slices_at(2, 2).count(), 0);
    assert_eq!(consumer.slices_at(3, 2).collect::<Vec<_>>(), [b"de"]);
    assert_eq!(consumer.slices_at(u64::MAX, usize::MAX).count(), 0);
}

#[test]
fn a_dead_connection_is_told_before_a_shutdown() {
    let (mut producer, mut consumer, closer) = send_ring(LIMIT);
    closer.shut_down();
    consumer.kill();
    assert!(producer.is_dead());
    assert_eq!(producer.write(b"x"), Err(SendClosed::Dead));
    closer.abort();
    assert_eq!(producer.write(b"x"), Err(SendClosed::Aborted));
}

#[test]
fn what_was_reserved_before_the_shutdown_is_refused_after_it() {
    let (mut producer, mut consumer, closer) = send_ring(LIMIT);
    producer.reserve()[0] = 1;
    assert_eq!(closer.shut_down(), 0);
    assert_eq!(producer.commit(1), Err(SendClosed::ShutDown));
    assert_eq!(consumer.tail(), SendTail { position: 0, end: SendEnd::Shut });
    assert!(!consumer.holds_memory());
}

#[test]
fn an_end_that_is_dropped_tells_the_other() {
    let (producer, consumer, _closer) = send_ring(LIMIT);
    assert!(!consumer.is_abandoned());
    drop(producer);
    assert!(consumer.is_abandoned());

    let (mut producer, consumer, _closer) = send_ring(LIMIT);
    producer.write(b"lost").unwrap();
    drop(consumer);
    assert_eq!(producer.write(b"x"), Err(SendClosed::Dead));
}

#[test]
#[should_panic(expected = "committed 4 bytes of 3 reserved")]
fn committing_more_than_was_reserved_panics() {
    let (mut producer, _consumer, _closer) = send_ring(3);
    producer.reserve();
    producer.commit(4).ok();
}

/// Accepted bytes and the FIN's position agree, whenever the shutdown comes.
#[test]
fn a_stream_crosses_threads_up_to_its_fin() {
    for round in 0..if cfg!(miri) { 3 } else { 20_u64 } {
        let (mut producer, mut consumer, closer) = send_ring(LIMIT);
        let writing = std::thread::spawn(move || {
            let mut accepted = 0;
            loop {
                let bytes: Vec<u8> =
                    (accepted..accepted + 1 + CHUNK / 5).map(Model::byte).collect();
                match producer.write(&bytes) {
                    Ok(0) => std::thread::yield_now(),
                    Ok(len) => accepted += len,
                    Err(closed) => return (accepted, closed),
                }
            }
        });
        let closing = std::thread::spawn(move || {
            for _ in 0..round {
                std::thread::yield_now();
            }
            closer.shut_down()
        });
        let mut out = vec![0; CHUNK];
        let end = loop {
            let tail = consumer.tail();
            while consumer.released() < tail.position {
                let at = consumer.released();
                let len = consumer.read_at(at, &mut out);
                let first = usize::try_from(at).unwrap();
                assert!(out[..len].iter().zip(first..).all(|(&byte, at)| byte == Model::byte(at)));
                consumer.release(at + len as u64);
            }
            if tail.end == SendEnd::Shut {
                break tail.position;
            }
        };
        let (accepted, closed) = writing.join().unwrap();
        assert_eq!((accepted as u64, closed), (end, SendClosed::ShutDown));
        assert_eq!(closing.join().unwrap(), end);
    }
}

/// A window of 64 MiB, as retransmission sees it.
#[test]
fn any_byte_of_a_long_ring_is_found() {
    let chunks = if cfg!(miri) { 9 } else { 4096 };
    let limit = chunks * CHUNK;
    let (mut producer, mut consumer, _closer) = send_ring(limit);
    let burst: Vec<u8> = (0..251 * if cfg!(miri) { 2 } else { 100 }).map(Model::byte).collect();
    // Off the chunks' grid, and the tail is looked at now and then.
    producer.write(&burst[..5]).unwrap();
    consumer.tail();
    consumer.release(5);
    while producer.free() > 0 {
        let start = usize::try_from(producer.position()).unwrap() % 251;
        producer.write(&burst[start..]).unwrap();
        consumer.tail();
    }
    assert_eq!(producer.buffered(), limit);

    let expect = |consumer: &SendConsumer, at: u64| {
        let mut out = [0; 1500];
        let len = consumer.read_at(at, &mut out);
        let want: Vec<u8> =
            (at..at + len as u64).map(|at| u8::try_from(at * 7 % 251).unwrap()).collect();
        assert_eq!(&out[..len], want, "at {at}");
        len
    };
    let end = 5 + limit as u64;
    for at in (5..end).step_by(CHUNK * 7 / 3) {
        assert!(expect(&consumer, at) > 0);
        assert!(expect(&consumer, end - (at - 4)) > 0);
    }
    for released in (5..end).step_by(limit / 9) {
        consumer.release(released);
        assert!(expect(&consumer, released) > 0);
        assert_eq!(expect(&consumer, end - 1), 1);
    }
    consumer.release(end);
    assert!(!consumer.holds_memory());
}

#[test]
fn the_last_byte_written_as_urgent_is_urgent() {
    let (mut producer, mut consumer, closer) = send_ring(8);
    producer.write(b"ab").unwrap();
    consumer.tail();
    assert_eq!(consumer.urgent(), None);
    assert_eq!(producer.write_urgent(b""), Ok(0));
    assert_eq!(producer.write_urgent(b"cd"), Ok(2));
    assert_eq!(consumer.urgent(), None, "not before the byte is seen");
    consumer.tail();
    assert_eq!(consumer.urgent(), Some(3));
    consumer.release(3);
    assert_eq!(consumer.urgent(), Some(3));
    // What does not fit is to be written again, and its last byte with it.
    assert_eq!(producer.write_urgent(b"efghijkl"), Ok(7));
    consumer.tail();
    assert_eq!(consumer.urgent(), Some(3));
    consumer.release(4);
    assert_eq!(consumer.urgent(), None);
    assert_eq!(producer.write_urgent(b"l"), Ok(1));
    consumer.tail();
    assert_eq!(consumer.urgent(), Some(11));
    closer.shut_down();
    assert_eq!(producer.write_urgent(b"m"), Err(SendClosed::ShutDown));
    consumer.release(12);
    assert_eq!(consumer.urgent(), None);
}

#[test]
fn what_is_refused_twice_makes_nothing_urgent() {
    for accepted in [&b""[..], b"ab"] {
        let (mut producer, mut consumer, closer) = send_ring(8);
        assert_eq!(producer.write(accepted), Ok(accepted.len()));
        closer.shut_down();
        for _ in 0..2 {
            assert_eq!(producer.write_urgent(b"c"), Err(SendClosed::ShutDown));
        }
        consumer.tail();
        assert_eq!(consumer.urgent(), None);
    }
}

#[test]
fn ends_are_small() {
    assert!(size_of::<SendProducer>() <= 40);
    assert!(size_of::<SendConsumer>() <= 40);
    assert_eq!(size_of::<SendCloser>(), 8);
}
