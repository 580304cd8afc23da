use crate::time::Span;
use proptest::prelude::*;

use super::*;

const ORIGIN: Seq = Seq(u32::MAX - 100);

fn stamp(at: u64) -> Stamp {
    let at = Instant::from_millis(at);
    Stamp { sent_at: at, delivered: 0, delivered_at: at, first_sent_at: at, app_limited: false }
}

fn delivery() -> Delivery {
    Delivery::new(Instant::from_millis(1000), None, Span::ZERO)
}

/// Ten segments of 100 bytes, one each millisecond.
fn ten() -> Scoreboard {
    let mut board = Scoreboard::default();
    for n in 0..10 {
        board.sent(ORIGIN + 100 * n, 100, stamp(n.into()));
    }
    board
}

fn arrive(board: &mut Scoreboard, left: u32, right: u32) -> u32 {
    let mut delivery = delivery();
    board.arrive(ORIGIN + left, ORIGIN + right, &mut delivery);
    delivery.delivered
}

fn acknowledge(board: &mut Scoreboard, ack: u32) -> (u32, u32) {
    let mut delivery = delivery();
    board.acknowledge(ORIGIN + ack, &mut delivery);
    (delivery.acked, delivery.delivered)
}

fn totals(board: &Scoreboard) -> (u32, u32, u32) {
    (board.in_flight(), board.arrived(), board.lost())
}

/// How many times are written down.
fn times(board: &Scoreboard) -> usize {
    board.order.as_ref().map_or(0, VecDeque::len)
}

#[test]
fn what_arrives_behind_a_gap_counts_once() {
    let mut board = ten();
    assert_eq!(arrive(&mut board, 300, 500), 200);
    assert_eq!(arrive(&mut board, 250, 600), 150, "half of a segment too");
    assert_eq!(arrive(&mut board, 300, 600), 0);
    assert_eq!(totals(&board), (650, 350, 0));
    assert_eq!(acknowledge(&mut board, 400), (400, 250), "what was told before is no news");
    assert_eq!(totals(&board), (400, 200, 0));
    assert_eq!(acknowledge(&mut board, 1000), (600, 400));
    assert!(board.is_empty());
}

#[test]
fn segments_of_one_turn_are_one_run_until_the_peer_tells_them_apart() {
    let mut board = Scoreboard::default();
    (0..10).for_each(|n| board.sent(ORIGIN + 100 * n, 100, stamp(7)));
    assert_eq!((board.runs.len(), times(&board)), (1, 0));
    arrive(&mut board, 300, 400);
    assert_eq!(board.runs.len(), 3);
    arrive(&mut board, 400, 1000);
    arrive(&mut board, 0, 300);
    assert_eq!(board.runs.len(), 1, "and one again when all have arrived");
}

#[test]
fn losses_are_found_in_the_order_of_time() {
    let mut board = ten();
    assert_eq!(board.oldest().unwrap().1, ORIGIN);
    arrive(&mut board, 0, 100);
    let (sent_at, start, end) = board.oldest().unwrap();
    assert_eq!((sent_at.as_millis(), start, end), (1, ORIGIN + 100, ORIGIN + 200));
    board.lose_oldest(end);
    assert_eq!(board.next_lost(1000), Some((ORIGIN + 100, 100)));
    board.sent_again(ORIGIN + 100, 100, stamp(50));
    assert_eq!((board.next_lost(1000), totals(&board)), (None, (900, 100, 0)));
    (2..10).for_each(|_| {
        let (_, _, end) = board.oldest().unwrap();
        board.lose_oldest(end);
    });
    let (sent_at, start, end) = board.oldest().unwrap();
    assert_eq!((sent_at.as_millis(), start), (50, ORIGIN + 100), "what was sent again is the last");
    board.lose_oldest(end);
    assert_eq!((board.oldest(), board.lost()), (None, 900));
}

#[test]
fn a_part_of_a_turn_can_be_lost() {
    let mut board = Scoreboard::default();
    board.sent(ORIGIN, 1000, stamp(7));
    arrive(&mut board, 400, 500);
    board.lose_oldest(ORIGIN + 400);
    assert_eq!(board.next_lost(150), Some((ORIGIN, 150)));
    assert_eq!(totals(&board), (500, 100, 400));
    assert_eq!(board.oldest().unwrap().1, ORIGIN + 500);
}

#[test]
fn losses_in_a_row_go_together_and_what_was_sent_in_parts_too() {
    let mut board = ten();
    arrive(&mut board, 500, 600);
    board.lose_all();
    assert_eq!(board.next_lost(10_000), Some((ORIGIN, 500)));
    board.sent_again(ORIGIN, 250, stamp(20));
    assert_eq!(board.next_lost(10_000), Some((ORIGIN + 250, 250)));
    board.sent_again(ORIGIN + 250, 250, stamp(20));
    assert_eq!(board.next_lost(10_000), Some((ORIGIN + 600, 400)));
    assert_eq!(board.runs.front().unwrap().len, 500, "one run again");
}

#[test]
fn what_was_not_lost_is_on_its_way_again() {
    let mut board = ten();
    board.lose_all();
    board.sent_again(ORIGIN, 100, stamp(30));
    board.find_all();
    assert_eq!(totals(&board), (1000, 0, 0));
    assert_eq!(board.oldest().unwrap().1, ORIGIN + 100);
}

#[test]
fn a_peer_may_take_back_what_it_has_told() {
    let mut board = ten();
    arrive(&mut board, 0, 300);
    assert!(board.is_first_arrived());
    board.forget_arrived();
    assert_eq!(totals(&board), (700, 0, 300));
    assert_eq!(board.next_lost(10_000), Some((ORIGIN, 300)));
}

/// A window of a gigabit and more: each ACK lets two segments out, in a turn of their own.
#[test]
fn a_large_window_has_room_for_every_turn_and_every_gap() {
    let mut board = Scoreboard::default();
    for n in 0..30_000 {
        board.sent(ORIGIN + 1448 * n, 1448, stamp(n.into()));
    }
    for n in (1..30_000).step_by(2) {
        assert_eq!(arrive(&mut board, 1448 * n, 1448 * (n + 1)), 1448);
    }
    assert_eq!(board.oldest().unwrap().0, Instant::from_millis(0));
}

#[test]
fn every_second_byte_makes_no_more_runs_than_there_is_room_for() {
    let mut board = Scoreboard::default();
    board.sent(ORIGIN, 100_000, stamp(1));
    for at in (0..100_000).step_by(2) {
        arrive(&mut board, at, at + 1);
    }
    let most = RUNS_MAX + 100_000 / 512 + 2;
    assert!(board.runs.len() <= most, "{}", board.runs.len());
    for n in 0..10_000 {
        board.sent(ORIGIN + 100_000 + n, 1, stamp(2 + u64::from(n)));
    }
    let most = RUNS_MAX + 110_000 / 512 + 2;
    assert!(board.runs.len() <= most && times(&board) <= 2 * most);
    assert_eq!(acknowledge(&mut board, 110_000).0, 110_000);
    assert!(board.is_empty());
}

/// What the board says, byte by byte.
#[derive(Clone, Debug)]
struct Byte {
    fate: Fate,
    sent_at: u64,
    again: bool,
}

/// The same, written in the simplest way.
#[derive(Default)]
struct Model {
    una: u32,
    bytes: VecDeque<Byte>,
}

impl Byte {
    fn turn(&mut self, from: Fate, into: Fate) {
        if self.fate == from {
            self.fate = into;
        }
    }
}

impl Model {
    fn range(&mut self, left: u32, right: u32) -> impl Iterator<Item = &mut Byte> {
        let una = self.una;
        let at = move |point: u32| point.saturating_sub(una) as usize;
        let (left, right) = (at(left).min(self.bytes.len()), at(right).min(self.bytes.len()));
        self.bytes.range_mut(left..right.max(left))
    }

    fn count(&self, fate: Fate) -> u32 {
        u32::try_from(self.bytes.iter().filter(|byte| byte.fate == fate).count()).unwrap()
    }

    fn next_lost(&self, most: u32) -> Option<(u32, u32)> {
        let first = self.bytes.iter().position(|byte| byte.fate == Fate::Lost)?;
        let len = self.bytes.iter().skip(first).take_while(|byte| byte.fate == Fate::Lost).count();
        Some((self.una + u32::try_from(first).unwrap(), u32::try_from(len).unwrap().min(most)))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send(u32),
    SendAgain(u32),
    /// The end once more, though nothing says that it is lost.
    Probe(u32),
    Acknowledge(u32),
    Arrive(u32, u32),
    LoseOldest(u32),
    LoseFirst(u32),
    LoseAll,
    FindAll,
    Renege,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let len = 1_u32..40;
    let step = prop_oneof![
        4 => len.clone().prop_map(Step::Send),
        3 => len.clone().prop_map(Step::SendAgain),
        1 => len.clone().prop_map(Step::Probe),
        2 => (0_u32..60).prop_map(Step::Acknowledge),
        4 => (0_u32..200, len.clone()).prop_map(|(at, len)| Step::Arrive(at, len)),
        3 => len.clone().prop_map(Step::LoseOldest),
        1 => len.prop_map(Step::LoseFirst),
        1 => Just(Step::LoseAll),
        1 => Just(Step::FindAll),
        1 => Just(Step::Renege),
    ];
    prop::collection::vec((0_u64..2, step), 1..80)
}

fn apply(board: &mut Scoreboard, model: &mut Model, at: u64, step: &Step) {
    let nxt = model.una + u32::try_from(model.bytes.len()).unwrap();
    match *step {
        Step::Send(len) => {
            board.sent(ORIGIN + nxt, len, stamp(at));
            let byte = Byte { fate: Fate::InFlight, sent_at: at, again: false };
            model.bytes.extend(std::iter::repeat_n(byte, len as usize));
        }
        Step::SendAgain(most) => {
            let Some((start, len)) = board.next_lost(most) else { return };
            assert_eq!(Some((start.offset_from(ORIGIN), len)), model.next_lost(most));
            board.sent_again(start, len, stamp(at));
            let start = start.offset_from(ORIGIN);
            let byte = Byte { fate: Fate::InFlight, sent_at: at, again: true };
            model.range(start, start + len).for_each(|old| *old = byte.clone());
        }
        Step::Probe(most) => {
            let end = model.bytes.iter().rev();
            let len = end.take_while(|byte| byte.fate == Fate::InFlight).take(most as usize);
            let len = u32::try_from(len.count()).unwrap();
            if len > 0 {
                board.sent_again(ORIGIN + (nxt - len), len, stamp(at));
                let byte = Byte { fate: Fate::InFlight, sent_at: at, again: true };
                model.range(nxt - len, nxt).for_each(|old| *old = byte.clone());
            }
        }
        Step::Acknowledge(len) => {
            let ack = (model.una + len).min(nxt);
            let (acked, delivered) = acknowledge(board, ack);
            let gone: Vec<Byte> = model.bytes.drain(..(ack - model.una) as usize).collect();
            assert_eq!(acked as usize, gone.len());
            let news = gone.iter().filter(|byte| byte.fate != Fate::Arrived).count();
            assert_eq!(delivered as usize, news);
            model.una = ack;
        }
        Step::Arrive(from, len) => {
            let (left, right) = ((model.una + from).min(nxt), (model.una + from + len).min(nxt));
            if left == right {
                return;
            }
            let before = model.count(Fate::Arrived);
            model.range(left, right).for_each(|byte| byte.fate = Fate::Arrived);
            assert_eq!(arrive(board, left, right), model.count(Fate::Arrived) - before);
        }
        Step::Renege => {
            board.forget_arrived();
            model.range(model.una, nxt).filter(|byte| byte.fate == Fate::Arrived).for_each(
                |byte| {
                    byte.fate = Fate::Lost;
                    byte.again = true;
                },
            );
        }
        _ => lose_or_find(board, model, step),
    }
}

fn lose_or_find(board: &mut Scoreboard, model: &mut Model, step: &Step) {
    let lose = |byte: &mut Byte| byte.turn(Fate::InFlight, Fate::Lost);
    match *step {
        Step::LoseOldest(most) => {
            let Some((sent_at, start, end)) = board.oldest() else { return };
            let mut in_flight = model.bytes.iter().filter(|byte| byte.fate == Fate::InFlight);
            assert!(in_flight.all(|byte| byte.sent_at >= sent_at.as_millis()));
            let end = end.earlier(start + most);
            board.lose_oldest(end);
            let (start, end) = (start.offset_from(ORIGIN), end.offset_from(ORIGIN));
            let of_it = |byte: &&mut Byte| byte.sent_at == sent_at.as_millis();
            model.range(start, end).filter(of_it).for_each(lose);
        }
        Step::LoseFirst(len) => {
            board.lose_first(len);
            model.range(model.una, model.una + len).for_each(lose);
        }
        Step::LoseAll => {
            board.lose_all();
            model.bytes.iter_mut().for_each(lose);
        }
        Step::FindAll => {
            // Comes after a timeout, when nothing was sent later than what is lost.
            board.lose_all();
            board.find_all();
            model.bytes.iter_mut().for_each(|byte| byte.turn(Fate::Lost, Fate::InFlight));
            board.lose_all();
            model.bytes.iter_mut().for_each(lose);
        }
        _ => unreachable!("{step:?} is no loss"),
    }
}

proptest! {
    #[test]
    fn the_board_says_what_a_list_of_bytes_would(steps in steps()) {
        let (mut board, mut model, mut now) = (Scoreboard::default(), Model::default(), 0);
        for (pause, step) in &steps {
            now += pause;
            apply(&mut board, &mut model, now, step);
            let want = [Fate::InFlight, Fate::Arrived, Fate::Lost].map(|fate| model.count(fate));
            let (in_flight, arrived, lost) = totals(&board);
            prop_assert_eq!([in_flight, arrived, lost], want);
            let lost = board.next_lost(10_000);
            prop_assert_eq!(lost.map(|(at, len)| (at.offset_from(ORIGIN), len)), model.next_lost(10_000));
            let again = board.runs.iter().flat_map(|run| {
                let again = run.sent == Transmissions::More;
                std::iter::repeat_n((run.fate, again), run.len as usize)
            });
            let told = model.bytes.iter().map(|byte| (byte.fate, byte.again));
            prop_assert!(again.map(known).eq(told.map(known)));
            let mut sent = model.bytes.iter().filter(|byte| byte.fate == Fate::InFlight);
            let oldest = sent.next().map(|first| sent.fold(first.sent_at, |at, byte| at.min(byte.sent_at)));
            let before = Instant::from_millis(now.saturating_sub(1));
            let all_after = oldest.is_none_or(|oldest| Instant::from_millis(oldest) > before);
            prop_assert!(all_after || !board.is_all_sent_after(before));
            let found = board.clone().oldest().map(|(sent_at, ..)| sent_at.as_millis());
            prop_assert_eq!(found, oldest);
        }
    }
}

/// How often something was sent that has arrived nobody asks.
fn known((fate, again): (Fate, bool)) -> (Fate, bool) {
    (fate, again && fate != Fate::Arrived)
}
