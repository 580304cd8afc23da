use std::collections::BTreeMap;

use pmd::Pool;
use proptest::prelude::*;

use super::*;

const ROOMY: Limits = Limits { bytes: 1 << 20, frames: 1000 };

/// A queue, and a pool to make frames of; nothing may be missing from it at the end.
struct Bench {
    queue: Reassembly,
    pool: Pool,
    next: Seq,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let (queue, pool) = (Reassembly::new(limits), Pool::heap(64, 256));
        // The numbers wrap soon after the first byte.
        Self { queue, pool, next: Seq(u32::MAX - 4) }
    }

    /// Inserts text `offset` bytes ahead of what was delivered at the start.
    fn insert(&mut self, offset: u32, text: &str) -> Insertion {
        let frame = self.pool.frame_of(text.as_bytes()).unwrap();
        self.queue.insert(self.next, Seq(u32::MAX - 4) + offset, frame)
    }

    /// Everything that can be delivered now.
    fn deliver(&mut self) -> String {
        let mut text = String::new();
        while let Some(frame) = self.queue.pop(self.next) {
            self.next += u32::try_from(frame.len()).unwrap();
            frame.segments().for_each(|bytes| text.push_str(std::str::from_utf8(bytes).unwrap()));
        }
        text
    }
}

#[test]
fn held_bytes_win_over_later_ones() {
    type Arrival = (u32, &'static str, Insertion);
    use Insertion::{Held, Nothing};
    let cases: [(&str, &[Arrival], &str); 9] = [
        ("nothing at the front", &[(1, "bc", Held)], ""),
        ("in reverse", &[(4, "ef", Held), (2, "cd", Held), (0, "ab", Held)], "abcdef"),
        ("the same again", &[(2, "cd", Held), (2, "XX", Nothing), (0, "ab", Held)], "abcd"),
        ("inside", &[(1, "bcde", Held), (2, "XX", Nothing), (0, "a", Held)], "abcde"),
        ("over the end", &[(1, "bc", Held), (2, "Xd", Held), (0, "a", Held)], "abcd"),
        ("over the beginning", &[(2, "cd", Held), (0, "abX", Held)], "abcd"),
        ("over both ends: the far part is dropped", &[(2, "c", Held), (0, "abXXX", Held)], "abc"),
        (
            "between two",
            &[(1, "b", Held), (4, "e", Held), (1, "XcdXX", Held), (0, "a", Held)],
            "abcde",
        ),
        (
            "over a run of several",
            &[(1, "b", Held), (2, "c", Held), (0, "a", Held), (0, "XXXd", Held)],
            "abcd",
        ),
    ];
    for (name, arrivals, want) in cases {
        let mut bench = Bench::new(ROOMY);
        for &(offset, text, became) in arrivals {
            assert_eq!(bench.insert(offset, text), became, "{name}: {text}");
        }
        assert_eq!(bench.deliver(), want, "{name}");
        assert_eq!(bench.queue.is_empty(), !want.is_empty(), "{name}");
        drop(bench.queue);
        assert_eq!(bench.pool.available(), bench.pool.capacity());
    }
}

#[test]
fn delivered_bytes_are_not_taken_again() {
    let mut bench = Bench::new(ROOMY);
    assert_eq!(bench.insert(3, "def"), Insertion::Held);
    bench.next += 4;
    assert_eq!(bench.insert(0, "abcd"), Insertion::Nothing);
    assert_eq!(
        bench.deliver(),
        "ef",
        "the rest of a segment that was partly delivered past the queue"
    );
    bench.next = bench.next - 1;
    assert_eq!(bench.insert(7, "hi"), Insertion::Held);
    bench.next += 10;
    assert_eq!(bench.deliver(), "", "overtaken altogether");
    assert!(bench.queue.is_empty() && bench.queue.runs.is_empty() && bench.queue.bytes == 0);
}

#[test]
fn what_may_pass_the_queue_ends_where_held_bytes_begin() {
    let mut bench = Bench::new(ROOMY);
    assert_eq!(bench.queue.missing_at(bench.next, 10), 10);
    assert_eq!(bench.insert(4, "ef"), Insertion::Held);
    assert_eq!(bench.queue.missing_at(bench.next, 10), 4);
    assert_eq!(bench.queue.missing_at(bench.next, 3), 3);
    assert_eq!(bench.queue.missing_at(bench.next + 4, 10), 0);
    assert_eq!(bench.queue.missing_at(bench.next + 6, 10), 10);
    bench.queue.note_fin(bench.next + 8).unwrap();
    assert_eq!(bench.queue.missing_at(bench.next + 6, 10), 2);
    assert_eq!(bench.queue.missing_at(bench.next + 8, 10), 0);
}

#[test]
fn the_stream_goes_on_behind_what_is_held_without_a_gap() {
    let mut bench = Bench::new(ROOMY);
    let next = bench.next;
    assert_eq!(bench.queue.end_with(next + 10), (next + 10, 0));
    assert_eq!(bench.insert(4, "ef"), Insertion::Held);
    assert_eq!(bench.insert(6, "gh"), Insertion::Held);
    assert_eq!(bench.insert(9, "j"), Insertion::Held);
    for (end, behind, held) in [(3, 3, 0), (4, 8, 4), (5, 8, 4), (12, 12, 4)] {
        assert_eq!(bench.queue.end_with(next + end), (next + behind, held), "{end}");
    }
}

#[test]
fn the_fin_ends_the_stream() {
    let mut bench = Bench::new(ROOMY);
    let fin = bench.next + 4;
    assert_eq!(bench.insert(1, "bcd"), Insertion::Held);
    assert_eq!(bench.queue.note_fin(fin - 1), Err(FinElsewhere), "bytes beyond it are held");
    assert_eq!(bench.queue.note_fin(fin), Ok(()));
    assert_eq!(bench.queue.note_fin(fin), Ok(()), "sent again");
    assert_eq!(bench.queue.note_fin(fin + 1), Err(FinElsewhere));
    assert_eq!(bench.insert(4, "X"), Insertion::Nothing);
    assert_eq!(bench.insert(0, "aXXXX"), Insertion::Held);
    assert_eq!(bench.deliver(), "abcd");
    assert_eq!((bench.queue.fin(), bench.queue.is_empty()), (Some(bench.next), false));
}

#[test]
fn at_a_limit_the_nearer_bytes_stay() {
    use Insertion::{Full, Held, HeldInstead};
    for limits in [Limits { bytes: 1000, frames: 3 }, Limits { bytes: 6, frames: 1000 }] {
        let mut bench = Bench::new(limits);
        assert_eq!(bench.insert(9, "jk"), Held);
        assert_eq!(bench.insert(5, "fg"), Held);
        assert_eq!(bench.insert(3, "de"), Held);
        assert_eq!(bench.insert(11, "lm"), Full, "{limits:?}");
        assert_eq!(bench.insert(7, "hi"), HeldInstead(1), "{limits:?}");
        assert_eq!(bench.insert(1, "bc"), HeldInstead(1), "{limits:?}");
        assert_eq!(bench.insert(0, "a"), HeldInstead(1), "{limits:?}");
        assert_eq!(bench.deliver(), "abcde", "{limits:?}");
        assert!(bench.queue.is_empty() && bench.queue.bytes == 0);
        drop(bench.queue);
        assert_eq!(bench.pool.available(), bench.pool.capacity(), "a dropped frame leaked");
    }
    let mut bench = Bench::new(Limits { bytes: 2, frames: 9 });
    assert_eq!(bench.insert(4, "ef"), Held);
    assert_eq!(bench.insert(1, "bcd"), Full, "longer than everything that may be held");
    bench.next += 4;
    assert_eq!(bench.deliver(), "ef", "and nothing was dropped for it");
    let mut bench = Bench::new(Limits { bytes: 100, frames: 0 });
    assert_eq!(bench.insert(0, "a"), Full);
}

/// A segment: offset, length, and whose version of the stream it carries.
fn segment() -> impl Strategy<Value = (u32, u32, u8)> {
    (0_u32..80, 0_u32..20, any::<u8>())
}

fn frame(pool: &Pool, bytes: &[u8]) -> Frame {
    // In two segments, because a payload may be a chain.
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    let mut frame = pool.frame_of(first).unwrap();
    frame.chain(pool.frame_of(rest).unwrap());
    frame
}

proptest! {
    /// The oracle is a map of bytes: the first one for a position stays, and a segment adds the first stretch that is missing.
    #[test]
    fn the_queue_is_a_map_of_bytes(
        origin in any::<u32>(), fin in prop::option::of(40_u32..100),
        steps in prop::collection::vec((segment(), any::<bool>()), 1..60),
    ) {
        let pool = Pool::heap(256, 64);
        let mut queue = Reassembly::new(ROOMY);
        if let Some(fin) = fin {
            queue.note_fin(Seq(origin) + fin).unwrap();
        }
        let mut map = BTreeMap::new();
        let mut next = 0;
        for ((offset, len, version), deliver) in steps {
            let end = (offset + len).min(fin.unwrap_or(u32::MAX));
            let added: Vec<u32> = (offset.max(next)..end)
                .skip_while(|at| map.contains_key(at))
                .take_while(|at| !map.contains_key(at))
                .collect();
            let bytes: Vec<u8> = (0..len).map(|_| version).collect();
            let became = queue.insert(Seq(origin) + next, Seq(origin) + offset, frame(&pool, &bytes));
            prop_assert_eq!(became, if added.is_empty() { Insertion::Nothing } else { Insertion::Held });
            map.extend(added.into_iter().map(|at| (at, version)));
            while let Some(frame) = deliver.then(|| queue.pop(Seq(origin) + next)).flatten() {
                for byte in frame.segments().flatten() {
                    prop_assert_eq!(Some(*byte), map.remove(&next));
                    next += 1;
                }
            }
            prop_assert!(!deliver || !map.contains_key(&next), "held and not delivered");
            prop_assert_eq!(queue.bytes, map.len());
            check(&queue)?;
        }
        drop(queue);
        prop_assert_eq!(pool.available(), pool.capacity());
    }

    /// Peers that tell one story get it through in any order, however tight the limits.
    #[test]
    fn limits_hold_and_the_stream_stays_true(
        bytes in 0_usize..60, frames in 0_usize..6, steps in prop::collection::vec(segment(), 1..200),
    ) {
        let pool = Pool::heap(64, 64);
        let mut queue = Reassembly::new(Limits { bytes, frames });
        let mut next = Seq(u32::MAX - 40);
        let origin = next;
        for (offset, len, _) in steps {
            let start = next + offset - 10;
            let text: Vec<u8> = (0..len).map(|n| truth(start + n, origin)).collect();
            let before = queue.bytes;
            let became = queue.insert(next, start, frame(&pool, &text));
            prop_assert!(became != Insertion::Full || queue.bytes <= before);
            prop_assert!(queue.bytes <= bytes && queue.held.len() <= frames);
            check(&queue)?;
            while let Some(frame) = queue.pop(next) {
                for byte in frame.segments().flatten() {
                    prop_assert_eq!(*byte, truth(next, origin));
                    next += 1;
                }
            }
        }
        drop(queue);
        prop_assert_eq!(pool.available(), pool.capacity());
    }
}

/// The runs and the byte count are what the held segments say.
fn check(queue: &Reassembly) -> Result<(), TestCaseError> {
    let mut runs: Vec<Run> = vec![];
    for held in &queue.held {
        prop_assert_eq!(held.payload.len(), held.run.len());
        match runs.last_mut().filter(|last| last.end == held.run.start) {
            Some(last) => last.end = held.run.end,
            None => runs.push(held.run),
        }
    }
    prop_assert!(runs.iter().eq(&queue.runs), "{:?} and not {:?}", queue.runs, runs);
    prop_assert!(runs.windows(2).all(|pair| pair[0].end.precedes(pair[1].start)));
    prop_assert_eq!(queue.bytes, runs.iter().map(Run::len).sum::<usize>());
    Ok(())
}

fn truth(at: Seq, origin: Seq) -> u8 {
    u8::try_from(at.offset_from(origin) % 251).unwrap()
}
