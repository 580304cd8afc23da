use pmd::Pool;
use proptest::prelude::*;

use super::*;
use crate::wire::ipv4::{HEADER_LEN, Ipv4Header, Ipv4View};

const KEY: Key = Key {
    source: Ipv4Addr::new(10, 0, 0, 2),
    destination: Ipv4Addr::new(10, 0, 0, 1),
    protocol: 17,
    identification: 7,
};

/// A table, its timers, and the pool whose frames must all come back.
struct Table {
    pool: Pool,
    timers: Wheel<Timer>,
    now: Instant,
    reassembly: Reassembly,
}

impl Table {
    fn new(most_buffers: usize) -> Self {
        Self {
            pool: Pool::heap(4096, 2048),
            timers: Wheel::new(),
            now: Instant::ZERO,
            reassembly: Reassembly::new(most_buffers),
        }
    }

    /// A received fragment of a datagram whose payload is `pattern`.
    fn piece(
        &self,
        key: &Key,
        start: usize,
        end: usize,
        position: Position,
    ) -> Result<Piece, Drop> {
        let field = FragmentField::of(u16::try_from(start).unwrap(), position);
        let header = Ipv4Header {
            tos: 0,
            total_len: u16::try_from(HEADER_LEN + end - start).unwrap(),
            identification: key.identification,
            fragment: field,
            ttl: 64,
            protocol: key.protocol,
            source: key.source,
            destination: key.destination,
        };
        let mut packet = vec![0; HEADER_LEN];
        header.emit(packet.first_chunk_mut().unwrap());
        packet.extend((start..end).map(pattern));
        Piece::new(self.pool.frame_of(&packet).unwrap(), HEADER_LEN, field)
    }

    fn insert(
        &mut self,
        key: Key,
        start: usize,
        end: usize,
        last: bool,
    ) -> Result<Option<Vec<u8>>, Drop> {
        let position = if last { Position::Last } else { Position::MoreFollow };
        let piece = self.piece(&key, start, end, position)?;
        self.reassembly.make_room(&key, &piece, &mut self.timers);
        let whole = self.reassembly.insert(key, piece, self.now, &mut self.timers)?;
        Ok(whole.map(|whole| bytes(&whole)))
    }

    /// Lets time pass; returns what was given up.
    fn pass(&mut self, span: Duration) -> Vec<Expired> {
        self.now = self.now + span;
        let mut expired = vec![];
        while self.timers.next_deadline().is_some_and(|at| at <= self.now) {
            if let Some((_, Timer::Reassembly(index))) = self.timers.pop_due(self.now) {
                expired.push(self.reassembly.expire(index, &mut self.timers));
            }
        }
        expired
    }

    /// No frame and no timer is left behind.
    fn assert_empty(mut self) {
        let timers = self.pass(TIMEOUT + Duration::from_millis(1)).len();
        assert!(timers <= MOST_DATAGRAMS, "{timers} timers");
        assert_eq!(self.reassembly.buffers(), 0);
        assert_eq!(self.timers.next_deadline(), None);
        assert_eq!(self.pool.available(), 4096);
    }
}

fn pattern(index: usize) -> u8 {
    u8::try_from(index * 7 % 251).unwrap()
}

fn bytes(frame: &Frame) -> Vec<u8> {
    frame.segments().collect::<Vec<_>>().concat()
}

proptest! {
    #[test]
    fn any_cut_in_any_order_with_duplicates_gives_the_datagram(
        len in 1_usize..=9000,
        cuts in prop::collection::btree_set(1_usize..1125, 0..60),
        order in any::<u64>(),
        copies in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let mut table = Table::new(1024);
        let ends = cuts.into_iter().map(|cut| cut * 8).filter(|&cut| cut < len).chain([len]);
        let mut start = 0;
        let mut pieces: Vec<_> = ends
            .map(|end| {
                let piece = (start, end);
                start = end;
                piece
            })
            .collect();
        shuffle(&mut pieces, order);
        let last = pieces.pop().unwrap();
        let mut sent: Vec<_> = pieces.iter().map(|&piece| (piece, Ok(None))).collect();
        for copy in copies.iter().filter(|_| !pieces.is_empty()) {
            sent.push((pieces[copy.index(pieces.len())], Err(Drop::FragmentDuplicate)));
        }
        for ((start, end), want) in sent {
            prop_assert_eq!(table.insert(KEY, start, end, end == len), want);
        }
        let whole = table.insert(KEY, last.0, last.1, last.1 == len).unwrap();
        if pieces.is_empty() && last == (0, len) {
            // Not a fragment, but it would do.
            prop_assert!(whole.is_some());
        }
        let whole = whole.unwrap();
        let view = Ipv4View::parse(&whole).unwrap();
        prop_assert!(view.checksum_is_valid() && !view.fragment().is_fragment());
        prop_assert_eq!(view.payload(), (0..len).map(pattern).collect::<Vec<_>>());
        prop_assert_eq!(table.timers.next_deadline(), None);
        table.assert_empty();
    }

    /// Whatever fragments come, a datagram is only made of those that fit together.
    #[test]
    fn arbitrary_fragments_never_make_a_wrong_datagram(
        fragments in prop::collection::vec((0_usize..12, 1_usize..6, any::<bool>()), 1..30),
    ) {
        let mut table = Table::new(1024);
        let mut model = Model::default();
        for (start, len, last) in fragments {
            let (start, end) = (start * 8, (start + len) * 8);
            let got = table.insert(KEY, start, end, last);
            let want = model.insert(start, end, last);
            prop_assert_eq!(got.map(|whole| whole.map(|w| w[HEADER_LEN..].to_vec())), want);
        }
        table.assert_empty();
    }
}

/// A map of bytes, as naive as can be.
#[derive(Default)]
struct Model {
    pieces: Vec<(usize, usize, bool)>,
    poisoned: bool,
}

impl Model {
    fn insert(&mut self, start: usize, end: usize, last: bool) -> Result<Option<Vec<u8>>, Drop> {
        if !self.poisoned && self.pieces.contains(&(start, end, last)) {
            return Err(Drop::FragmentDuplicate);
        }
        let covered = |byte: usize| self.pieces.iter().any(|&(s, e, _)| (s..e).contains(&byte));
        let beyond = |&(_, e, l): &(usize, usize, bool)| {
            l && (last || end >= e) || last && e > end || l && start >= e
        };
        if self.poisoned || (start..end).any(covered) || self.pieces.iter().any(beyond) {
            self.poisoned = true;
            return Err(Drop::FragmentOverlap);
        }
        self.pieces.push((start, end, last));
        let Some(len) = self.pieces.iter().find(|piece| piece.2).map(|piece| piece.1) else {
            return Ok(None);
        };
        if !(0..len).all(|byte| self.pieces.iter().any(|&(s, e, _)| (s..e).contains(&byte))) {
            return Ok(None);
        }
        *self = Self::default();
        Ok(Some((0..len).map(pattern).collect()))
    }
}

#[test]
fn malformed_fragments_are_dropped_alone() {
    let mut table = Table::new(1024);
    for (name, start, end, last) in [
        ("empty", 8, 8, false),
        ("not a multiple of eight, and more follow", 0, 12, false),
        ("beyond the longest packet", 65_528, 65_536, true),
        ("just beyond it with its header", 65_512, 65_516, true),
    ] {
        assert_eq!(table.insert(KEY, start, end, last), Err(Drop::FragmentLength), "{name}");
    }
    assert_eq!(table.insert(KEY, 65_512, 65_515, true), Ok(None));
    assert_eq!(table.pass(TIMEOUT).len(), 1);
    table.assert_empty();
}

#[test]
fn an_overlap_spoils_the_datagram_until_its_time_is_over() {
    let mut table = Table::new(1024);
    assert_eq!(table.insert(KEY, 0, 16, false), Ok(None));
    assert_eq!(table.insert(KEY, 8, 24, false), Err(Drop::FragmentOverlap));
    assert_eq!(table.pool.available(), 4096, "nothing is kept of it");
    assert_eq!(table.insert(KEY, 16, 24, true), Err(Drop::FragmentOverlap));
    let expired = table.pass(TIMEOUT);
    assert!(expired.iter().all(|expired| expired.first.is_none()));
    assert_eq!(table.insert(KEY, 0, 16, false), Ok(None));
    assert!(matches!(table.insert(KEY, 16, 24, true), Ok(Some(_))));
    table.assert_empty();
}

#[test]
fn a_late_datagram_gives_back_its_first_fragment() {
    let mut table = Table::new(1024);
    let other = Key { identification: 8, ..KEY };
    table.insert(KEY, 0, 16, false).unwrap();
    table.insert(KEY, 24, 32, true).unwrap();
    table.insert(other, 24, 32, true).unwrap();
    assert!(table.pass(TIMEOUT - Duration::from_millis(1)).is_empty());
    let expired = table.pass(Duration::from_millis(1));
    let found: Vec<_> = expired.iter().map(|e| (e.fragments, e.first.is_some())).collect();
    assert_eq!(found, [(2, true), (1, false)]);
    assert_eq!(expired[0].first.as_ref().map(Frame::len), Some(HEADER_LEN + 16));
    drop(expired);
    table.assert_empty();
}

#[test]
fn every_bound_holds_and_the_oldest_give_way() {
    let mut table = Table::new(200);
    let key = |n: u16| Key { identification: n, ..KEY };
    for n in 0..500 {
        table.now = table.now + Duration::from_millis(1);
        assert_eq!(table.insert(key(n), 0, 8, false), Ok(None), "{n}");
        assert!(table.reassembly.buffers() <= MOST_DATAGRAMS);
    }
    assert!(matches!(table.insert(key(499), 8, 16, true), Ok(Some(_))), "the newest is there");
    assert_eq!(table.insert(key(0), 8, 16, true), Ok(None), "the oldest has gone");

    for n in 0..200_u16 {
        let start = usize::from(n) * 8;
        let want = if n < 128 { Ok(None) } else { Err(Drop::FragmentLimit) };
        assert_eq!(table.insert(key(1000), start, start + 8, false), want, "fragment {n}");
        assert!(table.reassembly.buffers() <= 200);
    }
    for n in 0..200_u16 {
        let start = usize::from(n) * 8;
        let _ = table.insert(key(2000), start, start + 8, false);
        let _ = table.insert(key(2001), start, start + 8, false);
        assert!(table.reassembly.buffers() <= 200);
    }
    table.assert_empty();
}

/// Fisher and Yates, with a seed that proptest shrinks.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for index in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let other = usize::try_from((seed >> 33) % (index as u64 + 1)).unwrap();
        items.swap(index, other);
    }
}
