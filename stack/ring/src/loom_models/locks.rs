//! Locks, which a protocol thread only tries.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::Size::{Big, Small};
use super::check;
use crate::TryLock;
use crate::fault::Fault;
use crate::spin::SpinLock;

#[test]
fn spin_lock() {
    check(
        "locks::spin_lock",
        Small,
        spin_lock_model,
        &[Fault::LockA1, Fault::LockA2, Fault::LockUnasked],
    );
}

fn spin_lock_model() {
    let lock = Arc::new(SpinLock::new(0));
    let other = lock.clone();
    let adding = thread::spawn(move || *other.lock() += 1);
    // A protocol thread only tries.
    let added = lock.try_lock().map(|mut count| *count += 10).is_some();
    adding.join().unwrap();
    assert_eq!(*lock.lock(), 1 + 10 * u32::from(added));
}

/// L-3: the protocol thread is refused or not, but never left waiting: who was inside tells it.
#[test]
fn refused_is_told() {
    check(
        "locks::refused_is_told",
        Small,
        || try_lock_model(1),
        &[Fault::TryLockA1, Fault::TryLockA2, Fault::WishByStore],
    );
}

/// L-3b: nor if the application locks again meanwhile.
#[test]
fn wish_survives_another_lock() {
    check(
        "locks::wish_survives_another_lock",
        Small,
        || try_lock_model(2),
        &[Fault::WishForgotten, Fault::WishByStore],
    );
}

fn try_lock_model(locks: u32) {
    let cell = Arc::new((TryLock::new(0), AtomicU32::new(0)));
    let other = cell.clone();
    let locking = thread::spawn(move || {
        for _ in 0..locks {
            other.0.with(|| other.1.store(1, Ordering::Relaxed), |value| *value += 1);
        }
    });
    let refused = cell.0.try_with(|value| *value += 10).is_err();
    locking.join().unwrap();
    if refused {
        assert_eq!(cell.1.load(Ordering::Relaxed), 1, "refused, and nobody told");
        assert_eq!(cell.0.try_with(|value| *value += 10), Ok(()));
    }
    assert_eq!(cell.0.try_with(|value| *value), Ok(10 + locks));
}

/// The lock passes from one sleeper to the next, with the protocol thread in between.
#[test]
fn sleepers_are_woken() {
    check("locks::sleepers_are_woken", Big, sleepers_model, &[Fault::SleepersForgotten]);
}

fn sleepers_model() {
    let cell = Arc::new(TryLock::new(0));
    let others = [(); 2].map(|()| {
        let cell = cell.clone();
        thread::spawn(move || cell.with(|| (), |value| *value += 1))
    });
    cell.with(|| (), |value| *value += 1);
    others.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(cell.try_with(|value| *value), Ok(3));
}

/// A sleeper is woken by the protocol thread, too.
#[test]
fn protocol_thread_wakes() {
    check(
        "locks::protocol_thread_wakes",
        Big,
        protocol_wakes_model,
        &[Fault::TryLockA1, Fault::TryLockA2],
    );
}

fn protocol_wakes_model() {
    let cell = Arc::new((TryLock::new(0), AtomicU32::new(0)));
    let others = [(); 2].map(|()| {
        let cell = cell.clone();
        thread::spawn(move || {
            cell.0.with(|| cell.1.store(1, Ordering::Relaxed), |value| *value += 1);
        })
    });
    let refused = cell.0.try_with(|value| *value += 10).is_err();
    others.into_iter().for_each(|thread| thread.join().unwrap());
    if refused {
        assert_eq!(cell.1.load(Ordering::Relaxed), 1, "refused, and nobody told");
        assert_eq!(cell.0.try_with(|value| *value += 10), Ok(()));
    }
    assert_eq!(cell.0.try_with(|value| *value), Ok(12));
}

/// L-3b, too: nor if another core's protocol thread gets the lock, which waits for nobody either.
#[test]
fn other_protocol_threads_keep_the_wish() {
    check(
        "locks::other_protocol_threads_keep_the_wish",
        Small,
        other_protocol_thread_model,
        &[Fault::WishSwallowed, Fault::WishTakenAlong],
    );
}

fn other_protocol_thread_model() {
    let cell = Arc::new((TryLock::new(0), AtomicU32::new(0)));
    let other = cell.clone();
    let trying = thread::spawn(move || {
        let attempts = (0..2).map(|_| {
            let notify = || other.1.store(1, Ordering::Relaxed);
            other.0.try_with_notifying(notify, |value| *value += 1)
        });
        attempts.filter(Result::is_ok).count()
    });
    let refused = cell.0.try_with(|value| *value += 10).is_err();
    let added = trying.join().unwrap();
    if refused {
        assert_eq!(cell.1.load(Ordering::Relaxed), 1, "refused, and nobody told");
        assert_eq!(cell.0.try_with(|value| *value += 10), Ok(()));
    }
    assert_eq!(cell.0.try_with(|value| *value), Ok(10 + added));
}
