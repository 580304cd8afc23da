//! Words that several threads change: news, causes, owners, places.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::{Size::Small, check};
use crate::fault::Fault;
use crate::{Backlog, ErrorCell, Left, Owners, ReceiveEnd, receive_ring};

/// L-8: of two that ask, one is told.
#[test]
fn error_is_told_once() {
    check("words::error_is_told_once", Small, told_once_model, &[Fault::ErrorTakenApart]);
}

fn told_once_model() {
    let error = Arc::new(ErrorCell::new());
    error.set(104);
    let other = error.clone();
    let asking = thread::spawn(move || other.take());
    let told = [error.take(), asking.join().unwrap()];
    assert!(told == [Some(104), None] || told == [None, Some(104)]);
}

/// L-8: the first cause wins, and what led to it is known.
#[test]
fn first_error_wins() {
    check(
        "words::first_error_wins",
        Small,
        first_error_model,
        &[Fault::ErrorByStore, Fault::ErrorA1, Fault::ErrorA2],
    );
}

fn first_error_model() {
    let error = Arc::new((ErrorCell::new(), AtomicU32::new(0)));
    let other = error.clone();
    let failing = thread::spawn(move || {
        other.1.store(7, Ordering::Relaxed);
        other.0.set(104);
        other.0.set(110);
    });
    if let Some(errno) = error.0.take() {
        assert_eq!((errno, error.1.load(Ordering::Relaxed)), (104, 7));
    }
    failing.join().unwrap();
}

/// L-11: who sees a reset sees its cause, and the bytes before it.
#[test]
fn reset_shows_its_cause() {
    check("words::reset_shows_its_cause", Small, reset_model, &[Fault::TailA1, Fault::TailA2]);
}

fn reset_model() {
    let (mut producer, mut consumer, _closer) = receive_ring(8);
    let error = Arc::new(ErrorCell::new());
    let cause = error.clone();
    let resetting = thread::spawn(move || {
        producer.write(&[1]);
        cause.set(104);
        producer.reset();
    });
    let len = consumer.fill_buf().len();
    consumer.consume(len);
    if consumer.fill_buf().is_empty() && consumer.end() == ReceiveEnd::Reset {
        assert_eq!((consumer.position(), error.take()), (1, Some(104)));
    }
    resetting.join().unwrap();
}

/// L-9: one of two that leave is the last, and knows what the other did.
#[test]
fn last_owner_tidies_up() {
    check(
        "words::last_owner_tidies_up",
        Small,
        last_owner_model,
        &[Fault::OwnersA, Fault::OwnersByStore],
    );
}

fn last_owner_model() {
    let thing = Arc::new((Owners::new(0b11), UnsafeCell::new(0)));
    let other = thing.clone();
    let leaving = thread::spawn(move || use_and_leave(&other, 0b01));
    let freed = use_and_leave(&thing, 0b10);
    assert_eq!(freed + leaving.join().unwrap(), 1, "freed exactly once");
}

/// How often this owner freed the thing.
fn use_and_leave(thing: &(Owners, UnsafeCell<u32>), bit: u32) -> u32 {
    thing.1.with(|_| ());
    match thing.0.leave(bit) {
        Left::Others(_) => 0,
        Left::Last => {
            thing.1.with_mut(|_| ());
            1
        }
    }
}

/// L-10: the limit holds for two cores that reserve at once.
#[test]
fn backlog_is_exact() {
    check("words::backlog_is_exact", Small, backlog_model, &[Fault::LimitCheckedFirst]);
}

fn backlog_model() {
    let backlog = Arc::new(Backlog::new(1));
    let other = backlog.clone();
    let reserving = thread::spawn(move || u32::from(other.reserve().is_ok()));
    let reserved = u32::from(backlog.reserve().is_ok());
    assert_eq!(reserved + reserving.join().unwrap(), 1);
    assert_eq!(backlog.len(), 1);
    backlog.release();
    assert!(backlog.reserve().is_ok());
}
