//! D-3: a stream of twelve bytes, split in every way, with one or two urgent bytes at every place, read apart or inline by
//! reads of every size.

use super::*;
use crate::CHUNK;

const LEN: usize = 12;

/// One way to hand the stream over and to read it.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Bit `n` is set if a piece ends behind byte `n`.
    split: u32,
    urgent: [usize; 2],
    delivery: UrgentDelivery,
    size: usize,
    announced: Announced,
    reading: Reads,
    oob: Oob,
}

/// When the reader hears of an urgent byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Announced {
    /// With the piece that brings it.
    WithIt,
    /// As soon as no piece brings an earlier one any more.
    Early,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reads {
    /// After each piece, until nothing is left.
    All,
    /// One after each piece.
    One,
}

/// Whether urgent bytes are taken out of turn, as soon as they have come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Oob {
    Left,
    Taken,
}

/// What the reader must get, byte for byte.
#[derive(Default)]
struct Model {
    arrived: usize,
    finished: bool,
    head: usize,
    mark: Option<Mark>,
    taken: Vec<usize>,
    /// The urgent byte that was skipped last: nothing behind it was read yet.
    skipped: Option<usize>,
}

impl Model {
    fn at_mark(&self) -> bool {
        let mark = self.mark.map(|mark| usize::try_from(mark.position).unwrap());
        mark == Some(self.head) || (mark.is_some() && mark == self.skipped)
    }

    fn pass_taken(&mut self) {
        while self.head < self.arrived && self.taken.contains(&self.head) {
            self.skipped = Some(self.head);
            self.head += 1;
        }
    }

    fn read(&mut self, size: usize, got: &mut Vec<u8>) {
        got.clear();
        while got.len() < size && (got.is_empty() || !self.at_mark()) {
            let apart = self.mark.is_some_and(|mark| {
                mark.delivery == UrgentDelivery::Apart && mark.position == self.head as u64
            });
            if apart && (self.head + 1 < self.arrived || self.finished) {
                self.skipped = Some(self.head);
                self.head += 1;
            } else if apart {
                break;
            }
            if self.head == self.arrived {
                break;
            }
            got.push(byte(self.head));
            self.skipped = None;
            self.head += 1;
            self.pass_taken();
        }
    }
}

/// The bytes of the stream are 1 to 12.
fn byte(position: usize) -> u8 {
    u8::try_from(position + 1).unwrap()
}

/// A read as an application makes it.
fn read(consumer: &mut ReceiveConsumer, size: usize, got: &mut Vec<u8>) {
    got.clear();
    while got.len() < size && (got.is_empty() || !consumer.at_mark()) {
        let bytes = consumer.fill_buf();
        let len = bytes.len().min(size - got.len());
        if len == 0 {
            break;
        }
        got.extend(&bytes[..len]);
        consumer.consume(len);
    }
}

/// What became of a stream.
#[derive(Debug, Default)]
struct Outcome {
    read: Vec<u8>,
    taken: Vec<u8>,
    /// Reads that ended at the mark with more bytes there, and room for them.
    cut_short: usize,
}

fn run(case: Case) -> Outcome {
    let (mut producer, mut consumer, _closer) = receive_ring(64);
    let (mut model, mut outcome) = (Model::default(), Outcome::default());
    let (mut start, stream) = (0, std::array::from_fn::<u8, LEN, _>(byte));
    for end in (1..=LEN).filter(|&end| end == LEN || case.split & 1 << (end - 1) != 0) {
        for position in announcements(&case, start, end) {
            let mark = Mark { position: position as u64, delivery: case.delivery };
            producer.set_mark(mark);
            model.mark = Some(mark);
        }
        assert_eq!(producer.write(&stream[start..end]), end - start);
        producer.publish();
        model.arrived = end;
        take_out_of_turn(&case, &mut consumer, &mut model, &mut outcome);
        read_on(&case, case.reading, &mut consumer, &mut model, &mut outcome);
        start = end;
    }
    producer.finish();
    model.finished = true;
    read_on(&case, Reads::All, &mut consumer, &mut model, &mut outcome);
    assert_eq!((consumer.position(), producer.unread()), (LEN as u64, 0), "{case:?}");
    assert_eq!(consumer.end(), ReceiveEnd::Finished);
    assert!(!consumer.holds_memory());
    outcome
}

/// The urgent bytes that become known just before the piece from `start` to `end`.
fn announcements(case: &Case, start: usize, end: usize) -> impl Iterator<Item = usize> {
    let first = case.urgent[0];
    let is_early = move |at| case.announced == Announced::Early && (at == first || start > first);
    let known = move |at: &usize| *at >= start && (*at < end || is_early(*at));
    case.urgent.into_iter().filter(known)
}

/// The newest urgent byte, if it has come and reading has not gone past it: what a cell would give.
fn take_out_of_turn(
    case: &Case,
    consumer: &mut ReceiveConsumer,
    model: &mut Model,
    outcome: &mut Outcome,
) {
    let Some(mark) = consumer.mark().filter(|_| case.oob == Oob::Taken) else { return };
    let at = usize::try_from(mark.position).unwrap();
    if mark.delivery == UrgentDelivery::Apart && at < model.arrived && !model.taken.contains(&at) {
        consumer.skip_taken(mark.position);
        model.taken.push(at);
        model.pass_taken();
        outcome.taken.push(byte(at));
    }
}

fn read_on(
    case: &Case,
    reading: Reads,
    consumer: &mut ReceiveConsumer,
    model: &mut Model,
    outcome: &mut Outcome,
) {
    let (mut got, mut want) = (Vec::with_capacity(LEN), Vec::with_capacity(LEN));
    loop {
        assert_eq!(consumer.at_mark(), model.at_mark(), "{case:?}");
        read(consumer, case.size, &mut got);
        model.read(case.size, &mut want);
        assert_eq!(got, want, "{case:?}");
        assert_eq!(consumer.at_mark(), model.at_mark(), "{case:?}");
        let more = consumer.len() > 0;
        if !got.is_empty() && got.len() < case.size && more {
            assert!(consumer.at_mark(), "{case:?}: cut short elsewhere");
            outcome.cut_short += 1;
        }
        outcome.read.extend(&got);
        if got.is_empty() || reading == Reads::One {
            return;
        }
    }
}

/// The stream without the bytes at these positions.
fn stream_without(positions: &[usize]) -> Vec<u8> {
    (0..LEN).filter(|at| !positions.contains(at)).map(byte).collect()
}

fn check(case: Case) {
    let outcome = run(case);
    let [first, second] = case.urgent;
    let is_inline = case.delivery == UrgentDelivery::Inline;
    if is_inline {
        assert_eq!(outcome.read, stream_without(&[]), "{case:?}");
    } else if case.oob == Oob::Taken {
        let taken: Vec<usize> = outcome.taken.iter().map(|&byte| usize::from(byte) - 1).collect();
        assert!(taken.contains(&second), "{case:?}");
        assert_eq!(outcome.read, stream_without(&taken), "{case:?}: lost, or given twice");
    } else {
        // The first is ordinary data unless the reader had gone past it when the second was announced.
        let both = stream_without(&[first, second]);
        let passed = outcome.read == both;
        assert!(passed || outcome.read == stream_without(&[second]), "{case:?}: {outcome:?}");
    }
    assert!(outcome.cut_short <= 1 + usize::from(first != second), "{case:?}");
    if case.split == 0 && first == second {
        let behind = first + 1 < LEN || is_inline;
        let short = behind && first % case.size != 0;
        assert_eq!(outcome.cut_short, usize::from(short), "{case:?}");
    }
}

const DELIVERIES: [UrgentDelivery; 2] = [UrgentDelivery::Apart, UrgentDelivery::Inline];

#[test]
fn every_split_is_read_up_to_the_mark_and_on() {
    let splits = if cfg!(miri) { 1365..1366 } else { 0..1 << (LEN - 1) };
    let (announced, reading, oob) = (Announced::WithIt, Reads::All, Oob::Left);
    for split in splits {
        for (first, second) in (0..LEN).flat_map(|a| (a..LEN).map(move |b| (a, b))) {
            // Two urgent bytes are read by every size over the splits and places.
            let one_size = 1 + (split as usize + first) % LEN;
            for size in (1..=LEN).filter(|&size| first == second || size == one_size) {
                for delivery in DELIVERIES {
                    let urgent = [first, second];
                    check(Case { split, urgent, delivery, size, announced, reading, oob });
                }
            }
        }
    }
}

#[test]
fn nothing_is_lost_or_given_twice_however_urgent_bytes_come_and_go() {
    let (splits, stride) = if cfg!(miri) { (66..67, 7) } else { (0..1_u32 << (LEN - 1), 1) };
    for split in splits.filter(|split| split.count_ones() <= 2) {
        let places = (0..LEN).flat_map(|a| (a..LEN).map(move |b| (a, b)));
        for (first, second) in places.step_by(stride) {
            for (size, delivery) in (1..=LEN).flat_map(|size| DELIVERIES.map(|how| (size, how))) {
                for announced in [Announced::WithIt, Announced::Early] {
                    for reading in [Reads::All, Reads::One] {
                        for oob in [Oob::Left, Oob::Taken] {
                            let urgent = [first, second];
                            check(Case { split, urgent, delivery, size, announced, reading, oob });
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn an_urgent_byte_that_the_stream_skips_is_not_unread() {
    for (delivery, unread) in [(UrgentDelivery::Apart, 0), (UrgentDelivery::Inline, 1)] {
        let (mut producer, mut consumer, closer) = receive_ring(64);
        producer.set_mark(Mark { position: 2, delivery });
        assert_eq!(producer.unread(), 0, "it has not come");
        producer.write(b"ab!");
        producer.publish();
        assert_eq!((producer.unread(), closer.has_unread()), (2 + unread, true));
        assert_eq!(consumer.fill_buf(), b"ab");
        consumer.consume(2);
        assert_eq!((producer.unread(), closer.has_unread()), (unread, unread > 0));
    }
}

#[test]
fn an_urgent_byte_at_the_end_of_a_chunk_is_skipped_with_it() {
    let (mut producer, mut consumer, _closer) = receive_ring(3 * CHUNK);
    let position = CHUNK as u64 - 1;
    producer.set_mark(Mark { position, delivery: UrgentDelivery::Apart });
    producer.write(&[7; CHUNK]);
    producer.publish();
    consumer.fill_buf();
    consumer.consume(CHUNK - 1);
    assert!(consumer.fill_buf().is_empty());
    consumer.skip_taken(position);
    assert!(!consumer.holds_memory());
    producer.write(b"x");
    producer.publish();
    assert!(consumer.at_mark());
    assert_eq!(consumer.fill_buf(), b"x");
}
