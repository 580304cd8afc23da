use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[test]
fn a_timer_fires_at_the_first_tick_after_its_deadline() {
    for (deadline, silent, fires) in [
        (0, None, 0),
        (1, Some(1023), 1024),
        (1024, Some(1023), 1024),
        (1025, Some(2047), 2048),
        (65_536, Some(65_535), 65_536),
        (86_400_000_000_001, Some(86_400_000_001_023), 86_400_000_001_024),
        (u64::MAX - 1023, Some(u64::MAX - 1024), u64::MAX - 1023),
    ] {
        let mut wheel = Wheel::new();
        wheel.insert(nanos(deadline), 'x');
        if let Some(silent) = silent {
            assert_eq!(wheel.pop_due(nanos(silent)), None, "{deadline} at {silent}");
        }
        assert_eq!(wheel.pop_due(nanos(fires)), Some((nanos(deadline), 'x')), "{deadline}");
        assert_eq!(wheel.pop_due(nanos(fires)), None);
        assert_eq!(wheel.next_deadline(), None);
    }
}

#[test]
fn timers_of_one_tick_fire_in_the_order_of_arming() {
    let mut wheel = Wheel::new();
    let second = Instant::from_millis(1000);
    wheel.insert(second, 'a');
    let b = wheel.insert(second, 'b');
    // Half-way there the tick is on a lower level than when `a` and `b` were armed.
    assert_eq!(wheel.pop_due(Instant::from_millis(999)), None);
    wheel.insert(second, 'c');
    wheel.reschedule(b, second).unwrap();
    let fired: Vec<char> =
        drain(&mut wheel, second + TICK).into_iter().map(|(_, name)| name).collect();
    assert_eq!(fired, ['a', 'c', 'b']);
}

#[test]
fn a_past_deadline_fires_in_the_tick_in_which_it_was_armed() {
    let mut wheel = Wheel::new();
    let (now, tick_begun) = (Instant::from_millis(5), nanos(5_000_000 >> 10 << 10));
    assert_eq!(wheel.pop_due(now), None);
    wheel.insert(now, 'a');
    wheel.insert(Instant::ZERO, 'b');
    assert_eq!(drain(&mut wheel, now + TICK), [(tick_begun, 'b'), (now, 'a')]);
}

#[test]
fn a_clock_that_steps_back_changes_nothing() {
    let mut wheel = Wheel::new();
    // The last slot of its level-0 row: a timer anywhere in that row would look due.
    let (early, late) = (nanos(1023 << TICK_SHIFT), Instant::from_millis(100));
    assert_eq!(wheel.pop_due(late - TICK), None);
    wheel.insert(late, 'a');
    assert_eq!(wheel.pop_due(early), None);
    assert_eq!(wheel.pop_due(early), None);
    wheel.insert(late, 'b');
    assert_eq!(drain(&mut wheel, late + TICK), [(late, 'a'), (late, 'b')]);
}

#[test]
fn a_stale_key_names_nothing() {
    let mut wheel = Wheel::new();
    let first = wheel.insert(Instant::ZERO, 1);
    assert_eq!(wheel.cancel(first), Some(1));
    let second = wheel.insert(Instant::ZERO, 2);
    assert_eq!(first.index, second.index, "the node was reused");
    assert_eq!(wheel.cancel(first), None);
    assert_eq!(wheel.reschedule(first, Instant::FAR_FUTURE), Err(StaleKey));
    assert_eq!(wheel.pop_due(Instant::ZERO), Some((Instant::ZERO, 2)));
    assert_eq!(wheel.cancel(second), None, "fired");
    assert_eq!(wheel.reschedule(second, Instant::ZERO), Err(StaleKey));
}

#[test]
fn an_empty_wheel_has_no_deadline() {
    let mut wheel = Wheel::new();
    assert_eq!(wheel.next_deadline(), None);
    let key = wheel.insert(Instant::FAR_FUTURE, ());
    assert!(wheel.next_deadline().is_some());
    wheel.cancel(key);
    assert_eq!(wheel.next_deadline(), None);
    assert_eq!(wheel.pop_due(Instant::FAR_FUTURE), None);
}

/// Whoever sleeps until `next_deadline` wakes at most once per level of the wheel, and the last time
/// the timer fires.
#[test]
fn sleeping_until_the_next_deadline_converges() {
    let mut wheel = Wheel::new();
    let day = Instant::from_millis(86_400_000);
    wheel.insert(day, ());
    for wakes in 0.. {
        assert!(wakes <= LEVELS, "still asleep");
        let at = wheel.next_deadline().unwrap();
        if let Some((deadline, ())) = wheel.pop_due(at) {
            assert_eq!((deadline, at.since(day) < TICK), (day, true));
            break;
        }
    }
}

/// Between any two that fire from a slot above level 0 there are others that have to be moved.
#[test]
fn timers_that_fire_on_the_way_do_not_renew_the_budget_of_moves() {
    let mut wheel = Wheel::new();
    let start = 3 << shift(2);
    for n in 0..20_000_u64 {
        wheel.insert(nanos((start + n % 64) << TICK_SHIFT), n);
    }
    let (now, mut moves) = (nanos((start + 64) << TICK_SHIFT), Moves::default());
    let mut fired = 0;
    while wheel.pop_due_within(now, &mut moves).is_some() {
        fired += 1;
    }
    assert_eq!((moves.0, fired), (0, 5), "256 moves, and one that is due before each 63");
    assert!(wheel.next_deadline().unwrap() <= now);
}

proptest! {
    #[test]
    fn a_timer_that_is_armed_shortly_before_is_moved_once_at_most(
        now in any::<u64>().prop_map(|bits| bits >> 12),
        span in (1_u64..64, 0_u32..44).prop_map(|(low, bits)| low << bits),
    ) {
        let (now, at) = (nanos(now), nanos(now + span));
        let mut wheel = Wheel::new();
        prop_assert_eq!(wheel.pop_due(now), None);
        let early = wheel.shortly_before(at);
        prop_assert!(early <= at && (early == at || early > now), "{early:?} for {at:?} at {now:?}");
        wheel.insert(early, ());
        let mut wakes = 0;
        let fired = loop {
            let at = wheel.next_deadline().unwrap();
            if wheel.pop_due(at).is_some() {
                break at;
            }
            wakes += 1;
        };
        prop_assert!(wakes <= 1, "{wakes}");
        prop_assert!(fired.since(early) < TICK);
    }
}

#[test]
fn a_million_timers_fire_in_order_and_move_a_few_at_a_time() {
    const MILLION: u64 = 1_000_000;
    let mut wheel = Wheel::new();
    // Keep-alives of two hours, armed within a second of each other: they share one slot high up.
    let keys: Vec<TimerKey> = (0..MILLION)
        .map(|n| wheel.insert(Instant::from_millis(7_200_000 + n * 7_919 % 1000), n))
        .collect();
    for key in keys.iter().skip(1).step_by(2) {
        assert!(wheel.cancel(*key).is_some());
    }

    let now = Instant::from_millis(7_201_000);
    let (mut last, mut fired, mut pauses) = ((Instant::ZERO, 0), 0, 0);
    while wheel.next_deadline().is_some() {
        match wheel.pop_due(now) {
            Some(next) => {
                assert!(last < next, "{last:?} before {next:?}");
                last = next;
                fired += 1;
            }
            None => {
                assert!(wheel.next_deadline().unwrap() <= now, "went to sleep over due timers");
                pauses += 1;
            }
        }
    }
    assert_eq!(fired, 500_000);
    assert!(pauses >= 500_000 / Moves::default().0, "one call moved more than its share");
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u64),
    Cancel(usize),
    Reschedule(usize, u64),
    /// Advances time, then calls `pop_due` until it says `None`, moving so many timers per call.
    Pop {
        advance: u64,
        moves: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let key = any::<usize>;
    prop_oneof![
        4 => span().prop_map(Op::Insert),
        2 => key().prop_map(Op::Cancel),
        2 => (key(), span()).prop_map(|(key, span)| Op::Reschedule(key, span)),
        4 => (span(), 1_usize..6).prop_map(|(advance, moves)| Op::Pop { advance, moves }),
    ]
}

/// From no time at all to decades: every level, and many ties.
fn span() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        1_u64..4000,
        (0_u64..4).prop_map(|ticks| ticks << TICK_SHIFT),
        (0_u32..59, any::<u64>()).prop_map(|(bits, random)| random & ((1 << bits) - 1)),
    ]
}

proptest! {
    #[test]
    fn the_wheel_fires_like_a_sorted_map(ops in prop::collection::vec(op(), 1..150)) {
        let mut model = Model::default();
        for op in ops {
            model.apply(op)?;
        }
        model.apply(Op::Pop { advance: u64::MAX, moves: 3 })?;
        while model.wheel.next_deadline().is_some_and(|next| next <= model.now) {
            model.apply(Op::Pop { advance: 0, moves: 3 })?;
        }
        prop_assert!(model.sorted.is_empty() && model.wheel.next_deadline().is_none());
    }
}

/// The wheel beside a map sorted by tick, then by order of arming.
struct Model {
    wheel: Wheel<usize>,
    sorted: BTreeMap<(u64, usize), usize>,
    /// For each timer ever armed: its key, and its place in `sorted` while it is armed.
    timers: Vec<(TimerKey, Option<(u64, usize)>)>,
    armings: usize,
    now: Instant,
}

impl Default for Model {
    fn default() -> Self {
        let (wheel, now) = (Wheel::new(), Instant::ZERO);
        Self { wheel, sorted: BTreeMap::new(), timers: vec![], armings: 0, now }
    }
}

impl Model {
    fn apply(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Insert(span) => {
                let at = self.now + Duration::from_nanos(span);
                let (name, place) = (self.timers.len(), self.place(at));
                self.timers.push((self.wheel.insert(at, name), Some(place)));
                self.sorted.insert(place, name);
            }
            Op::Cancel(pick) => {
                let Some(name) = self.pick(pick) else { return Ok(()) };
                let armed = self.timers[name].1.take().and_then(|place| self.sorted.remove(&place));
                prop_assert_eq!(self.wheel.cancel(self.timers[name].0), armed);
            }
            Op::Reschedule(pick, span) => {
                let Some(name) = self.pick(pick) else { return Ok(()) };
                let at = self.now + Duration::from_nanos(span);
                let place = self.place(at);
                let old = self.timers[name].1.take();
                prop_assert_eq!(
                    self.wheel.reschedule(self.timers[name].0, at).is_ok(),
                    old.is_some()
                );
                if let Some(old) = old {
                    self.sorted.remove(&old);
                    self.sorted.insert(place, name);
                    self.timers[name].1 = Some(place);
                }
            }
            Op::Pop { advance, moves } => self.pop(advance, moves)?,
        }
        self.check_next_deadline()
    }

    fn pop(&mut self, advance: u64, moves: usize) -> Result<(), TestCaseError> {
        self.now = self.now + Duration::from_nanos(advance);
        while let Some((_, name)) = self.wheel.pop_due_within(self.now, &mut Moves(moves)) {
            let ((tick, _), want) = self.sorted.pop_first().expect("the model has it too");
            prop_assert_eq!(name, want);
            prop_assert!(tick << TICK_SHIFT <= self.now.as_nanos(), "fired early");
            self.timers[name].1 = None;
        }
        Ok(())
    }

    fn check_next_deadline(&self) -> Result<(), TestCaseError> {
        let first = self.sorted.first_key_value().map(|(&(tick, _), _)| tick << TICK_SHIFT);
        prop_assert_eq!(self.wheel.next_deadline().is_some(), first.is_some());
        let bound = self.wheel.next_deadline().map(Instant::as_nanos);
        prop_assert!(bound <= first, "sleeps until {bound:?}, too long for {first:?}");
        Ok(())
    }

    fn pick(&self, pick: usize) -> Option<usize> {
        pick.checked_rem(self.timers.len())
    }

    /// A timer cannot be armed for a tick that the wheel has left behind.
    fn place(&mut self, at: Instant) -> (u64, usize) {
        self.armings += 1;
        (at.as_nanos().div_ceil(1 << TICK_SHIFT).clamp(self.wheel.tick, LAST_TICK), self.armings)
    }
}

fn drain<T: Copy>(wheel: &mut Wheel<T>, now: Instant) -> Vec<(Instant, T)> {
    std::iter::from_fn(|| wheel.pop_due(now)).collect()
}

fn nanos(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

const TICK: Duration = Duration::from_nanos(1 << TICK_SHIFT);
