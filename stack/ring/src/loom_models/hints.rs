//! What tells a thread that there is something to look at: names in a queue, and bits in a map.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;

use super::Size::{Big, Small};
use super::{Misuse, check, check_use};
use crate::fault::Fault;
use crate::{EventSource, HintMap, ReceiveProducer, receive_ring, spsc};

/// A slot is filled again only after its value was taken, and a value is seen only when it is whole.
#[test]
fn queue() {
    check(
        "hints::queue",
        Small,
        queue_model,
        &[Fault::QueueA1, Fault::QueueA2, Fault::QueueB1, Fault::QueueB2],
    );
}

fn queue_model() {
    let (mut producer, mut consumer) = spsc::queue(1);
    let pushing =
        thread::spawn(move || (1..=2).filter(|&value| producer.push(value).is_ok()).count());
    let mut popped: Vec<_> = (0..2).filter_map(|_| consumer.pop()).collect();
    let pushed = pushing.join().unwrap();
    popped.extend(consumer.pop());
    assert_eq!(popped, [1, 2][..pushed]);
    assert!(consumer.is_abandoned());
}

/// L-4, L-17b: whoever is told once for many changes sees the last.
#[test]
fn last_change_is_seen() {
    check_use(
        "hints::last_change_is_seen",
        Small,
        last_change_model,
        &[Fault::FlagsA1, Fault::FlagsA2, Fault::FlagsSkipped, Fault::FlagsTakenApart],
        &[Misuse::StateReadFirst],
    );
}

fn last_change_model() {
    let shared = Arc::new((EventSource::new(), AtomicU32::new(0)));
    let (mut names, mut reader) = spsc::queue(2);
    let other = shared.clone();
    let changing = thread::spawn(move || {
        for state in 1..=2 {
            other.1.store(state, Ordering::Relaxed);
            other.0.raise(1, || names.push(()).unwrap());
        }
    });
    let mut seen = 0;
    let mut look = |reader: &mut spsc::Consumer<()>| {
        while reader.pop().is_some() {
            let early = shared.1.load(Ordering::Relaxed);
            shared.0.take();
            seen = if Misuse::StateReadFirst.is_done() {
                early
            } else {
                shared.1.load(Ordering::Relaxed)
            };
        }
    };
    look(&mut reader);
    look(&mut reader);
    changing.join().unwrap();
    look(&mut reader);
    assert_eq!(seen, 2, "the last change was missed");
}

/// L-15: a queue with room for every source is never full.
#[test]
fn room_for_each_source_is_enough() {
    check_use(
        "hints::room_for_each_source_is_enough",
        Big,
        room_model,
        &[Fault::EventPushedAlways],
        &[Misuse::NewsTakenFirst],
    );
}

fn room_model() {
    let sources = Arc::new([EventSource::new(), EventSource::new()]);
    let (mut names, mut reader) = spsc::queue(2);
    let raising = thread::spawn({
        let sources = sources.clone();
        move || {
            for name in [0, 1, 0, 1] {
                sources[name].raise(1, || names.push(name).expect("room for each source"));
            }
        }
    });
    for _ in 0..2 {
        if Misuse::NewsTakenFirst.is_done() {
            sources[0].take();
        }
        if let Some(name) = reader.pop() {
            sources[name].take();
        }
    }
    raising.join().unwrap();
    while let Some(name) = reader.pop() {
        sources[name].take();
    }
    assert_eq!([sources[0].peek(), sources[1].peek()], [0, 0], "news without a name in the queue");
}

/// T-11: what finds no room in a queue is marked, and none of it is lost.
#[test]
fn marked_is_taken() {
    check(
        "hints::marked_is_taken",
        Big,
        map_model,
        &[
            Fault::HintMapA1,
            Fault::HintMapA2,
            Fault::HintMapB1,
            Fault::HintMapB2,
            Fault::UpperFirst,
        ],
    );
}

fn map_model() {
    let shared = Arc::new((HintMap::new(64), [(); 2].map(|()| AtomicU32::new(0))));
    let marking = [0, 1].map(|socket| {
        let shared = shared.clone();
        thread::spawn(move || {
            shared.1[socket as usize].store(1, Ordering::Relaxed);
            shared.0.mark(socket);
        })
    });
    let mut seen = [0; 2];
    let mut look = || {
        shared.0.take(64, &mut |index| {
            let socket = index as usize;
            seen[socket] += shared.1[socket].load(Ordering::Relaxed);
        })
    };
    look();
    marking.into_iter().for_each(|thread| thread.join().unwrap());
    look();
    assert_eq!(seen, [1, 1], "a hint was lost, or came before its state");
}

/// T-11: nor if the budget ends in the middle.
#[test]
fn rest_is_taken_later() {
    check("hints::rest_is_taken_later", Small, rest_model, &[Fault::RestForgotten]);
}

fn rest_model() {
    let map = Arc::new(HintMap::new(64));
    map.mark(1);
    map.mark(2);
    let other = map.clone();
    let marking = thread::spawn(move || other.mark(3));
    let mut taken = vec![];
    map.take(1, &mut |index| taken.push(index));
    marking.join().unwrap();
    while map.take(1, &mut |index| taken.push(index)) > 0 {}
    assert_eq!(taken, [1, 2, 3]);
}

/// L-14: while a half moves from one reader to another, news before and after are seen by the reader that has it.
#[test]
fn moved_half_keeps_its_news() {
    check_use(
        "hints::moved_half_keeps_its_news",
        Big,
        attach_model,
        &[Fault::EventAttachedAsRaised],
        &[Misuse::OldReaderTakes],
    );
}

fn attach_model() {
    let source = Arc::new(EventSource::new());
    let (mut old_names, mut old_reader) = spsc::queue(2);
    let (mut new_names, mut new_reader) = spsc::queue(2);
    let (mut orders, mut pending) = spsc::queue(1);
    // The protocol thread: news come before and after it attaches the new reader.
    let protocol = thread::spawn({
        let source = source.clone();
        move || {
            let mut attached = false;
            source.raise(1, || old_names.push(()).unwrap());
            for news in [2, 4] {
                if pending.pop().is_some() {
                    source.attach(0, || new_names.push(()).unwrap());
                    attached = true;
                }
                let names = if attached { &mut new_names } else { &mut old_names };
                source.raise(news, || names.push(()).unwrap());
            }
            if !attached {
                source.attach(0, || new_names.push(()).unwrap());
            }
        }
    });
    // The half leaves its old thread, which knows it no more and lets its name be.
    let mut seen = old_reader.pop().map_or(0, |()| source.take());
    orders.push(()).unwrap();
    let other = source.clone();
    let old_thread = thread::spawn(move || {
        let named = old_reader.pop().is_some();
        if named && Misuse::OldReaderTakes.is_done() {
            other.take();
        }
    });
    let mut look = |reader: &mut spsc::Consumer<()>| {
        while reader.pop().is_some() {
            seen |= source.take();
        }
    };
    look(&mut new_reader);
    protocol.join().unwrap();
    old_thread.join().unwrap();
    look(&mut new_reader);
    assert_eq!(seen, 7, "news were lost");
}

/// L-20: a hint for a socket that is gone is not taken for one to the next socket in its place, as long as generations differ.
#[test]
fn stale_hint_is_ignored() {
    check_use(
        "hints::stale_hint_is_ignored",
        Small,
        generation_model,
        &[],
        &[Misuse::GenerationUnasked],
    );
}

fn generation_model() {
    let sockets = Arc::new([(); 2].map(|()| (EventSource::new(), AtomicU32::new(0))));
    let (mut hints, mut pending) = spsc::queue(2);
    let (mut opened, mut accepted) = spsc::queue(1);
    let application = thread::spawn({
        let sockets = sockets.clone();
        move || {
            let mut hint = |socket: usize| {
                let (source, state) = &sockets[socket];
                state.store(1, Ordering::Relaxed);
                source.raise(1, || hints.push(generation(socket)).unwrap());
            };
            // The first socket is closed with this on its way.
            hint(0);
            accepted.pop().map(&mut hint)
        }
    });
    let mut visits = [0; 2];
    let mut follow_hints = |current: usize| {
        while let Some(hinted) = pending.pop() {
            if hinted == generation(current) || Misuse::GenerationUnasked.is_done() {
                visits[current] += 1;
                sockets[current].0.take();
                assert_eq!(sockets[current].1.load(Ordering::Relaxed), 1, "visited for nothing");
            }
        }
    };
    follow_hints(0);
    // The place is freed, and the next socket has it.
    opened.push(1).unwrap();
    follow_hints(1);
    let hinted = application.join().unwrap().is_some();
    follow_hints(1);
    assert!(visits[0] <= 1 && visits[1] == u32::from(hinted), "{visits:?}");
}

/// Of two sockets that have the same place, one after the other, with a generation of two bits that wraps in between.
fn generation(socket: usize) -> usize {
    (3 + socket) % 4
}

/// L-5: whichever of the acknowledgement of our FIN and the end of reading is handled second starts the timer.
#[test]
fn fin_wait_2_is_timed_once() {
    check_use(
        "hints::fin_wait_2_is_timed_once",
        Small,
        fin_wait_model,
        &[Fault::FlagsTakenApart],
        &[Misuse::NotEvaluatedAgain, Misuse::HintBeforeFlag],
    );
}

fn fin_wait_model() {
    let (mut producer, _consumer, closer) = receive_ring(8);
    let hints = Arc::new(EventSource::new());
    let (mut names, mut pending) = spsc::queue(2);
    let shutting = thread::spawn({
        let hints = hints.clone();
        move || {
            // Some data was sent before.
            hints.raise(1, || names.push(()).unwrap());
            if Misuse::HintBeforeFlag.is_done() {
                hints.raise(2, || names.push(()).unwrap());
                closer.shut();
            } else {
                closer.shut();
                hints.raise(2, || names.push(()).unwrap());
            }
        }
    });
    let mut connection = FinWait { acknowledged: false, armed: 0 };
    let mut follow_hints = |connection: &mut FinWait, producer: &mut ReceiveProducer| {
        while pending.pop().is_some() {
            hints.take();
            if !Misuse::NotEvaluatedAgain.is_done() {
                connection.evaluate(producer);
            }
        }
    };
    follow_hints(&mut connection, &mut producer);
    connection.acknowledged = true;
    connection.evaluate(&mut producer);
    follow_hints(&mut connection, &mut producer);
    shutting.join().unwrap();
    follow_hints(&mut connection, &mut producer);
    assert_eq!(connection.armed, 1, "the timer is started once");
}

/// What a connection knows that waits for the peer's FIN.
struct FinWait {
    acknowledged: bool,
    armed: u32,
}

impl FinWait {
    fn evaluate(&mut self, producer: &mut ReceiveProducer) {
        if self.acknowledged && self.armed == 0 && producer.is_shut() {
            self.armed += 1;
        }
    }
}
