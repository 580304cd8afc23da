//! Sleeping and waking. A wake-up that is lost makes loom report a deadlock.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::Size::{Big, Small};
use super::check;
use crate::fault::Fault;
use crate::futex::Futex;
use crate::{Doorbell, EventCount, Parker, receive_ring, spsc};

/// L-2: the waiter finds what was published, now or woken.
#[test]
fn parked_is_woken() {
    check(
        "sleeping::parked_is_woken",
        Small,
        || park_model(1),
        &[Fault::ParkerA1, Fault::ParkerA2],
    );
}

/// L-2: nor does the rest of an earlier wake-up keep it from a later one.
#[test]
fn parked_twice_is_woken() {
    check(
        "sleeping::parked_twice_is_woken",
        Small,
        || park_model(2),
        &[Fault::ParkerA1, Fault::ParkerA2],
    );
}

fn park_model(values: u32) {
    let shared = Arc::new((Parker::new(), AtomicU32::new(0)));
    let other = shared.clone();
    let publishing = thread::spawn(move || {
        for value in 1..=values {
            other.1.store(value, Ordering::Release);
            other.0.wake();
        }
    });
    for value in 1..=values {
        shared.0.park(None, || (shared.1.load(Ordering::Acquire) >= value).then_some(())).unwrap();
    }
    publishing.join().unwrap();
}

/// a protocol thread and a thread that shuts the socket wake the same waiter.
#[test]
fn two_wake_one() {
    check("sleeping::two_wake_one", Big, two_wake_model, &[Fault::ParkerA1, Fault::ParkerA2]);
}

fn two_wake_model() {
    let shared = Arc::new((Parker::new(), AtomicU32::new(0)));
    let waking = [1, 2].map(|bit| {
        let shared = shared.clone();
        thread::spawn(move || {
            shared.1.fetch_or(bit, Ordering::Release);
            shared.0.wake();
        })
    });
    let both = || (shared.1.load(Ordering::Acquire) == 3).then_some(());
    shared.0.park(None, both).unwrap();
    waking.into_iter().for_each(|thread| thread.join().unwrap());
}

/// L-2: of many, one is woken for each thing that is published.
#[test]
fn one_of_many_is_woken() {
    check(
        "sleeping::one_of_many_is_woken",
        Big,
        event_count_model,
        &[Fault::EventCountA1, Fault::EventCountA2, Fault::EpochStays, Fault::EpochReadLate],
    );
}

fn event_count_model() {
    let shared = Arc::new((EventCount::new(), AtomicU32::new(0)));
    let waiting = [(); 2].map(|()| {
        let shared = shared.clone();
        thread::spawn(move || shared.0.wait(None, || take_one(&shared.1)).unwrap())
    });
    for _ in 0..2 {
        shared.1.fetch_add(1, Ordering::Release);
        shared.0.wake_one();
    }
    waiting.into_iter().for_each(|thread| thread.join().unwrap());
}

fn take_one(count: &AtomicU32) -> Option<()> {
    let one_less = |count: u32| count.checked_sub(1);
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).ok().map(drop)
}

/// the end concerns everybody who waits.
#[test]
fn all_are_woken() {
    check(
        "sleeping::all_are_woken",
        Big,
        wake_all_model,
        &[Fault::EventCountA1, Fault::EventCountA2, Fault::EpochStays],
    );
}

fn wake_all_model() {
    let shared = Arc::new((EventCount::new(), AtomicU32::new(0)));
    let waiting = [(); 2].map(|()| {
        let shared = shared.clone();
        thread::spawn(move || {
            let ended = || (shared.1.load(Ordering::Acquire) == 1).then_some(());
            shared.0.wait(None, ended).unwrap();
        })
    });
    shared.1.store(1, Ordering::Release);
    shared.0.wake_all();
    waiting.into_iter().for_each(|thread| thread.join().unwrap());
}

/// L-19: a core that goes to sleep sees what is rung, or is woken for it.
#[test]
fn sleeping_core_hears_the_bell() {
    check(
        "sleeping::sleeping_core_hears_the_bell",
        Small,
        doorbell_model,
        &[Fault::DoorbellA1, Fault::DoorbellA2, Fault::DoorbellB1, Fault::DoorbellB2],
    );
}

fn doorbell_model() {
    let core = Arc::new(Core::new());
    let other = core.clone();
    let ringing = thread::spawn(move || {
        other.mailbox.store(7, Ordering::Relaxed);
        other.bell.ring(3);
        if other.bell.must_wake() {
            other.wake();
        }
    });
    let mut rung = false;
    while !rung {
        core.bell.take(Doorbell::SLOTS, |slot| {
            assert_eq!((slot, core.mailbox.load(Ordering::Relaxed)), (3, 7));
            rung = true;
        });
        if !rung && core.bell.sleep(|| true) {
            core.sleep();
        }
    }
    ringing.join().unwrap();
}

/// L-19: the same for what the core looks at beside the bells.
#[test]
fn sleeping_core_sees_orders() {
    check(
        "sleeping::sleeping_core_sees_orders",
        Small,
        orders_model,
        &[Fault::DoorbellB1, Fault::DoorbellB2],
    );
}

fn orders_model() {
    let core = Arc::new(Core::new());
    let (mut orders, mut pending) = spsc::queue(1);
    let other = core.clone();
    let ordering = thread::spawn(move || {
        orders.push(1).unwrap();
        if other.bell.must_wake() {
            other.wake();
        }
    });
    while pending.pop().is_none() {
        if core.bell.sleep(|| pending.is_empty()) {
            core.sleep();
        }
    }
    ordering.join().unwrap();
}

/// A core with one mailbox, and what wakes it.
struct Core {
    bell: Doorbell,
    mailbox: AtomicU32,
    event: Futex,
}

impl Core {
    fn new() -> Self {
        Self { bell: Doorbell::new(), mailbox: AtomicU32::new(0), event: Futex::new(0) }
    }

    /// As by an eventfd, which keeps a wake-up until somebody sleeps.
    fn sleep(&self) {
        while self.event.swap(0, Ordering::Relaxed) == 0 {
            self.event.wait(0, None);
        }
        self.bell.awake();
    }

    fn wake(&self) {
        self.event.swap(1, Ordering::Relaxed);
        self.event.wake(1);
    }
}

/// L-23: a reader that wants fewer bytes than before, and then sleeps, is woken by as many.
#[test]
fn wanted_is_told() {
    check(
        "sleeping::wanted_is_told",
        Small,
        wanted_model,
        &[Fault::WantedF1, Fault::ParkerA1, Fault::ParkerA2],
    );
}

fn wanted_model() {
    let (mut producer, mut consumer, _closer) = receive_ring(8);
    let parker = Arc::new(Parker::new());
    consumer.want(2);
    let writing = thread::spawn({
        let parker = parker.clone();
        move || {
            producer.write(b"a");
            producer.publish();
            if producer.is_wanted() {
                parker.wake();
            }
            producer
        }
    });
    consumer.want(1);
    parker.park(None, || (consumer.len() >= 1).then_some(())).unwrap();
    drop(writing.join().unwrap());
}
