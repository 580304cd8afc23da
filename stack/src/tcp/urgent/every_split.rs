//! D-3 for whole segments: streams of twelve bytes, cut in every way, with one or two urgent bytes at every place, read apart
//! or inline by reads of every size. One stream after the other on one connection.

use std::io::{ErrorKind, Read as _};

use darner_ring::UrgentDelivery;

use crate::tcp::harness::{Harness, pattern};

const LEN: usize = 12;

/// How one stream is sent and read.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Bit `n` is set if a segment ends behind byte `n`.
    split: u32,
    urgent: [usize; 2],
    delivery: UrgentDelivery,
    size: usize,
    order: Order,
    pointer: Pointer,
    oob: Oob,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Order {
    Sent,
    Reversed,
}

/// Which segments point to the urgent byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pointer {
    /// Those that bring it.
    WithIt,
    /// Those before it, too.
    Ahead,
}

/// Whether the application fetches urgent bytes out of turn, as soon as it can.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Oob {
    Left,
    Fetched,
}

/// A connection on which streams come one behind the other.
struct Run {
    t: Harness,
    /// Where the stream begins.
    base: usize,
    read: Vec<u8>,
    fetched: Vec<u8>,
    /// Urgent bytes that reading went past, without anybody having fetched them.
    passed: Vec<usize>,
    /// The newest urgent byte that was pointed to.
    known: Option<usize>,
    cut_short: usize,
}

impl Run {
    fn new(delivery: UrgentDelivery) -> Self {
        let mut t = Harness::connected();
        t.stream().set_oob_inline(delivery == UrgentDelivery::Inline);
        t.application();
        Self {
            t,
            base: 0,
            read: vec![],
            fetched: vec![],
            passed: vec![],
            known: None,
            cut_short: 0,
        }
    }

    fn stream(&mut self, case: &Case) {
        self.read.clear();
        self.fetched.clear();
        self.passed.clear();
        (self.known, self.cut_short) = (None, 0);
        let mut start = 0;
        let mut pieces = vec![];
        for end in (1..=LEN).filter(|&end| end == LEN || case.split & 1 << (end - 1) != 0) {
            pieces.push((start, end));
            start = end;
        }
        if case.order == Order::Reversed {
            pieces.reverse();
        }
        for (start, end) in pieces {
            self.send(case, start, end);
            if case.oob == Oob::Fetched {
                self.fetch();
            }
            self.read_all(case);
            self.t.application();
        }
        self.check(case);
        // What nothing lies behind is not passed before the next stream comes.
        self.fetch();
        self.base += LEN;
    }

    fn send(&mut self, case: &Case, start: usize, end: usize) {
        let newest = case.urgent.into_iter().rfind(|at| (start..end).contains(at));
        let ahead = case.urgent.into_iter().find(|&at| at >= end);
        let pointed = newest.or(ahead.filter(|_| case.pointer == Pointer::Ahead));
        self.known = self.known.max(pointed);
        let (first, len) = (self.base + 1 + start, end - start);
        let segment = match pointed {
            Some(at) => format!("UA {first}+{len} ack 1 urg {}", at - start + 1),
            None => format!("A {first}+{len} ack 1"),
        };
        self.t.input(&segment).unwrap();
        self.t.net.outbox.clear();
    }

    fn read_all(&mut self, case: &Case) {
        loop {
            let at_mark = self.t.stream().at_mark();
            let mut bytes = [0; LEN];
            let len = match self.t.stream().read(&mut bytes[..case.size]) {
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("{error}"),
            };
            if at_mark && case.delivery == UrgentDelivery::Apart {
                self.passed.extend(self.known);
            }
            self.read.extend(&bytes[..len]);
            if len < case.size && self.t.stream().readable() > 0 {
                assert!(self.t.stream().at_mark(), "{case:?}: cut short elsewhere");
                self.cut_short += 1;
            }
            if case.urgent[0] == case.urgent[1] {
                let at_mark = self.known == Some(self.read.len());
                assert_eq!(self.t.stream().at_mark(), at_mark, "{case:?} at {}", self.read.len());
            }
        }
    }

    fn fetch(&mut self) {
        match self.t.stream().recv_oob() {
            Ok(byte) => self.fetched.push(byte),
            Err(error) => {
                let kind = error.kind();
                assert!(matches!(kind, ErrorKind::InvalidInput | ErrorKind::WouldBlock), "{error}");
            }
        }
    }

    fn check(&self, case: &Case) {
        let byte = |at: usize| pattern((self.base + at) as u64, 1)[0];
        let whole = pattern(self.base as u64, LEN);
        let [first, second] = case.urgent;
        if case.delivery == UrgentDelivery::Inline {
            assert_eq!(self.read, whole, "{case:?}");
            assert!(self.fetched.is_empty(), "{case:?}");
        } else {
            let left_out = |at: &usize| *at == second || !self.read.contains(&byte(*at));
            let kept = (0..LEN).filter(|at| !(case.urgent.contains(at) && left_out(at))).map(byte);
            assert!(self.read.iter().copied().eq(kept), "{case:?}: {:?}", self.read);
        }
        if case.delivery == UrgentDelivery::Apart && first != second {
            let (read, fetched) =
                (self.read.contains(&byte(first)), self.fetched.contains(&byte(first)));
            let passed = self.passed.contains(&first) && !fetched;
            let times = u32::from(read) + u32::from(fetched) + u32::from(passed);
            assert_eq!(times, 1, "{case:?}: read {read}, fetched {fetched}, passed {passed}");
        }
        if case.delivery == UrgentDelivery::Apart && case.oob == Oob::Fetched {
            assert!(self.fetched.contains(&byte(second)), "{case:?}");
        }
        assert!(self.cut_short <= 1 + usize::from(first != second), "{case:?}");
        if case.split == 0 && first == second {
            let behind = first + 1 < LEN || case.delivery == UrgentDelivery::Inline;
            assert_eq!(self.cut_short, usize::from(behind && first % case.size != 0), "{case:?}");
        }
    }
}

const DELIVERIES: [UrgentDelivery; 2] = [UrgentDelivery::Apart, UrgentDelivery::Inline];

#[test]
fn one_urgent_byte_in_every_split() {
    for delivery in DELIVERIES {
        let mut run = Run::new(delivery);
        for split in 0..1 << (LEN - 1) {
            for place in 0..LEN {
                // Every size, over the splits and places.
                let size = 1 + (place + split as usize / 7) % LEN;
                let pointer = if split % 2 == 0 { Pointer::WithIt } else { Pointer::Ahead };
                let oob = if split % 3 == 0 { Oob::Fetched } else { Oob::Left };
                let (urgent, order) = ([place; 2], Order::Sent);
                run.stream(&Case { split, urgent, delivery, size, order, pointer, oob });
            }
        }
    }
}

#[test]
fn two_urgent_bytes_in_up_to_three_segments() {
    let splits = (0..1_u32 << (LEN - 1)).filter(|split| split.count_ones() <= 2);
    for delivery in DELIVERIES {
        let mut run = Run::new(delivery);
        for split in splits.clone() {
            for (first, second) in (0..LEN).flat_map(|a| (a..LEN).map(move |b| (a, b))) {
                let urgent = [first, second];
                for size in 1..=LEN {
                    // All ways of sending and fetching, over the sizes.
                    let order = if size % 4 == 0 { Order::Reversed } else { Order::Sent };
                    let pointer = if size % 3 == 0 { Pointer::Ahead } else { Pointer::WithIt };
                    let oob = if (size + first) % 2 == 0 { Oob::Fetched } else { Oob::Left };
                    run.stream(&Case { split, urgent, delivery, size, order, pointer, oob });
                }
            }
        }
    }
}
