//! T-15: what sending and receiving never do.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
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

/// A burst wakes each thread that sleeps once, however many segments it has for it; twice, if the thread finds some of them
/// before it is woken and falls asleep again within the turn.
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
            assert!(wakes <= 2 * READERS as u64, "{wakes} wakes in one turn");
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
    let shared = Arc::new(Passing::default());
    let passing = shared.clone();
    // It never ends: that takes system calls.
    thread::spawn(move || turn_in_silence(&made, &passing));
    let until = Instant::now() + duration();
    shared.pass([streams.recv().unwrap(), streams.recv().unwrap()], until);
    let turns = || shared.silent_turns.load(Ordering::Relaxed);
    let before = turns();
    let deadline = Instant::now() + LONG;
    while turns() == before {
        assert!(Instant::now() < deadline, "the loop has ended after {before} silent turns");
        thread::sleep(Duration::from_millis(1));
    }
    shared.over.store(true, Ordering::Relaxed);
}

#[derive(Default)]
struct Passing {
    messages: AtomicUsize,
    silent_turns: AtomicUsize,
    over: AtomicBool,
}

/// So many messages fill the stocks of memory that threads keep.
const WARM: usize = 400;

fn turn_in_silence(made: &Sender<(TcpStream, TcpStream)>, shared: &Passing) {
    let mut driven = Loop::new();
    (0..2).for_each(|_| made.send(driven.pair()).unwrap());
    while shared.messages.load(Ordering::Relaxed) < WARM {
        if driven.turn() == 0 {
            thread::yield_now();
        }
    }
    // Memory that the allocator need not ask the kernel for: another thread may be in the way of what has been in use. What
    // is kept lies above it, so that it is not given back.
    let spare: Vec<Vec<u8>> = (0..64).map(|_| vec![1; darner_ring::CHUNK + 64]).collect();
    let _above = vec![1; 1000];
    drop(spare);
    let mut now = driven.now();
    set_secure_computing_mode(SecureComputingMode::Strict).unwrap();
    // From here on it may not look at a clock either.
    while !shared.over.load(Ordering::Relaxed) {
        driven.turn_at(now);
        now = now + Duration::from_micros(1);
        shared.silent_turns.fetch_add(1, Ordering::Relaxed);
    }
    loop {
        std::hint::spin_loop();
    }
}

impl Passing {
    /// Passes messages without ever sleeping in a call. One thread does all of it: two would be in each other's way where
    /// threads give memory to each other, and in the loop's, which then asks the allocator.
    fn pass(&self, mut pairs: [(TcpStream, TcpStream); 2], until: Instant) {
        for (one, other) in &mut pairs {
            one.set_nodelay(true);
            one.set_nonblocking(true);
            other.set_nonblocking(true);
        }
        while Instant::now() < until || self.messages.load(Ordering::Relaxed) < 2 * WARM {
            for (one, other) in &mut pairs {
                one.write_all(&[7; 1000]).unwrap();
                self.receive(other, until + LONG);
                self.messages.fetch_add(1, Ordering::Relaxed);
            }
        }
        // Closing may wake somebody.
        std::mem::forget(pairs);
    }

    fn receive(&self, stream: &mut TcpStream, deadline: Instant) {
        let mut left = 1000;
        while left > 0 {
            match stream.read(&mut [0; 1000]) {
                Ok(len) => left -= len,
                Err(_) => thread::yield_now(),
            }
            let turns = self.silent_turns.load(Ordering::Relaxed);
            assert!(Instant::now() < deadline, "the loop has ended after {turns} silent turns");
        }
    }
}
