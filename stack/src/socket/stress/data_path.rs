//! T-15: what sending and receiving never do.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{SecureComputingMode, set_secure_computing_mode};

use super::driven::Loop;
use super::world::{LONG, duration};
use super::{CONTROLS, WAKES};
use crate::api::TcpStream;

/// On one thread, so that both sides are counted together.
#[test]
fn a_million_messages_never_take_the_control_lock() {
    const MESSAGES: usize = 1_000_000;
    const AT_ONCE: usize = 250;
    let mut driven = Loop::new();
    let (mut one, mut other) = driven.pair();
    let before = CONTROLS.get();
    let message = [7; 16];
    for _ in 0..MESSAGES / AT_ONCE {
        (0..AT_ONCE).for_each(|_| one.write_all(&message).unwrap());
        while driven.turn() > 0 {}
        (0..AT_ONCE).for_each(|_| other.read_exact(&mut [0; 16]).unwrap());
    }
    assert_eq!(CONTROLS.get(), before);
    one.set_nodelay(true);
    assert!(CONTROLS.get() > before, "they are counted");
}

/// A burst wakes each thread that sleeps once, however many segments it has for it.
#[test]
fn a_turn_wakes_nobody_twice() {
    const READERS: usize = 4;
    const SEGMENTS: usize = 20;
    let mut driven = Loop::new();
    let mut writers = Vec::new();
    let received = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (writer, mut reader) = driven.pair();
            writers.push(writer);
            reader.set_nonblocking(false);
            let received = received.clone();
            thread::spawn(move || {
                let mut bytes = [0; 65_536];
                while let Ok(len @ 1..) = reader.read(&mut bytes) {
                    received.fetch_add(len, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let until = Instant::now() + duration();
    let (mut sent, mut woken) = (0, 0);
    while Instant::now() < until {
        for writer in &mut writers {
            sent += writer.write(&[7; 1448 * SEGMENTS]).unwrap_or(0);
        }
        let deadline = Instant::now() + LONG;
        while received.load(Ordering::Relaxed) < sent {
            let before = WAKES.get();
            driven.turn();
            let wakes = WAKES.get() - before;
            assert!(wakes <= READERS as u64, "{wakes} wakes in one turn");
            woken += wakes;
            assert!(Instant::now() < deadline, "somebody sleeps on");
        }
    }
    assert!(woken > 0);
    drop(writers);
    while !readers.iter().all(|reader| reader.is_finished()) {
        driven.turn();
    }
}

/// While nobody sleeps, a protocol thread calls nobody: in this mode the kernel ends the thread at its first system call
/// that neither reads nor writes a descriptor.
#[test]
fn turns_make_no_system_calls() {
    let (made, streams) = channel();
    let turns = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let (count, end) = (turns.clone(), over.clone());
    // It never ends: that takes system calls.
    thread::spawn(move || {
        let mut driven = Loop::new();
        (0..2).for_each(|_| made.send(driven.pair()).unwrap());
        let warm = Instant::now() + duration() / 2;
        while Instant::now() < warm {
            driven.turn();
        }
        let mut now = driven.now();
        set_secure_computing_mode(SecureComputingMode::Strict).unwrap();
        // From here on it may not look at a clock either.
        while !end.load(Ordering::Relaxed) {
            driven.turn_at(now);
            now = now + Duration::from_micros(1);
            count.fetch_add(1, Ordering::Relaxed);
        }
        loop {
            std::hint::spin_loop();
        }
    });
    let until = Instant::now() + duration();
    let passed: usize = thread::scope(|scope| {
        let passing: Vec<_> = (0..2)
            .map(|_| {
                let (one, other) = streams.recv().unwrap();
                scope.spawn(move || pass(one, other, until))
            })
            .collect();
        passing.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let before = turns.load(Ordering::Relaxed);
    let deadline = Instant::now() + LONG;
    while turns.load(Ordering::Relaxed) == before {
        assert!(Instant::now() < deadline, "the loop has ended after {before} turns");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(before > 100 && passed > 100, "{before} turns, {passed} messages");
    over.store(true, Ordering::Relaxed);
}

/// Passes messages without ever sleeping in a call.
fn pass(mut one: TcpStream, mut other: TcpStream, until: Instant) -> usize {
    let mut messages = 0;
    while Instant::now() < until {
        one.write_all(&[7; 1000]).unwrap();
        let mut left = 1000;
        while left > 0 && Instant::now() < until + LONG / 10 {
            match other.read(&mut [0; 1000]) {
                Ok(len) => left -= len,
                Err(_) => thread::yield_now(),
            }
        }
        messages += 1;
    }
    // Closing may wake somebody.
    std::mem::forget((one, other));
    messages
}
