//! The account of a protocol thread's time, beside a clock.

use std::io;
use std::time::Duration;

use darner::time::Instant;
use darner::{Application, Config, Core, DuplicateDetection, Protocol, Readiness, Stage, Token};
use pmd::{Pool, mem};

/// Has a timer that is due while it is looked at.
struct Alarm;

impl Application for Alarm {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        core.set_timer(Duration::from_millis(20), Token(0));
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}
}

#[test]
fn an_account_has_all_of_a_threads_time() {
    let (queue, _far_end) = mem::device(Pool::heap(64, 2048), 1500);
    let config = Config {
        addresses: vec!["10.0.0.2/24".parse().unwrap()],
        duplicate_detection: DuplicateDetection::Off,
        ..Config::default()
    };
    let before = std::time::Instant::now();
    let mut protocol =
        Protocol::new(&config, vec![Box::new(queue)], Box::new(Alarm), [0; 32]).unwrap();
    let begun = std::time::Instant::now();
    let mut idle = 0;
    for millis in 1..=51 {
        std::thread::sleep(Duration::from_millis(1));
        let turn = protocol.turn(Instant::from_millis(millis));
        idle += u64::from(turn.work == 0);
    }
    let (least, most) = (begun.elapsed(), before.elapsed());
    let cycles = protocol.snapshot().cycles;
    // A timer was due.
    assert!(idle < 51);
    assert_eq!((cycles.turns, cycles.idle_turns), (51, idle));
    let all = cycles.busy().time + cycles.spent(Stage::Idle).time;
    // Two clocks.
    let tolerance = most / 50 + Duration::from_millis(1);
    assert!(all + tolerance > least && all < most + tolerance, "{least:?} {all:?} {most:?}");
    assert!(cycles.spent(Stage::Application).ticks > 0);
}
