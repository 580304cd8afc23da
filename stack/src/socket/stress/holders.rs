//! T-4: a thread that has stopped inside a lock holds up nobody but those who want the same lock.

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::driven::{Driven, Turns};
use super::world::{LONG, duration};
use crate::api::TcpStream;
use crate::counters::Counter;
use crate::socket::Hints;
use crate::socket::options::Change;

/// Connections beside the one whose lock is held.
const OTHERS: usize = 3;

/// A thread inside a lock.
struct Holder {
    release: Sender<()>,
    thread: JoinHandle<()>,
}

impl Holder {
    /// `hold` takes the lock, and calls what it is given inside. Returns when it has.
    fn stop_in(hold: impl FnOnce(&mut dyn FnMut()) + Send + 'static) -> Self {
        let (enter, entered) = channel();
        let (release, released) = channel();
        let thread = thread::spawn(move || {
            hold(&mut || {
                enter.send(()).unwrap();
                released.recv().unwrap();
            });
        });
        entered.recv_timeout(LONG).unwrap();
        Self { release, thread }
    }

    fn of_control(stream: &TcpStream) -> Self {
        let control = stream.control().clone();
        Self::stop_in(move |stop| control.side().with(|_| stop()))
    }

    fn leave(self) {
        self.release.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

#[test]
fn who_stops_inside_a_control_lock_holds_up_nobody() {
    let driven = Driven::start(|| ());
    let mut load = Load::new(&driven);
    let free = load.measure(&driven, 0);
    assert_eq!(driven.count(Counter::ControlDeferrals), 0);

    let (leaving, mut left) = driven.pair();
    let holders = [
        Holder::of_control(&load.one),
        Holder::of_control(&load.other),
        stop_while_setting_linger(&leaving),
    ];
    // Whoever is about to set it is inside: so the protocol thread does not know yet how to close.
    let (reader, writer, _control) = leaving.split();
    drop(reader);
    drop(writer);
    let held = load.measure(&driven, 1);
    assert!(driven.count(Counter::ControlDeferrals) > 0);
    left.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    assert_eq!(left.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);

    holders.into_iter().for_each(Holder::leave);
    left.set_read_timeout(Some(LONG)).unwrap();
    assert_eq!(left.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    drop((load, left));
    compare(&free, &held, &driven.stop());
}

/// A thread that has stopped while it tells a connection to linger for nothing.
fn stop_while_setting_linger(stream: &TcpStream) -> Holder {
    let control = stream.control().clone();
    Holder::stop_in(move |stop| {
        let change = Change::Linger(Some(Duration::ZERO));
        let mut memory = change.memory();
        control.side().with(|state| {
            stop();
            change.apply(state, &mut memory);
        });
    })
}

#[test]
fn who_stops_inside_a_shard_holds_up_nobody_and_the_order_stays() {
    const CHILDREN: usize = 20;
    let driven = Driven::start(|| ());
    let mut load = Load::new(&driven);
    let free = load.measure(&driven, 0);
    let listener = driven.listen(64);
    // A shard that was never filled is not looked into.
    let first = driven.connect(listener.local_addr());
    let shared = listener.shared().clone();
    while shared.shard(0).is_empty() {
        thread::yield_now();
    }
    let holder = Holder::stop_in(move |stop| shared.hold(0, stop));
    assert_eq!(driven.count(Counter::AcceptDeferrals), 0);
    let waiting: Vec<TcpStream> =
        (0..CHILDREN).map(|_| driven.connect(listener.local_addr())).collect();
    let held = load.measure(&driven, 1);
    assert!(driven.count(Counter::AcceptDeferrals) > 0);

    let accepted = thread::scope(|scope| {
        let accepting = scope
            .spawn(|| (0..=CHILDREN).map(|_| listener.accept().unwrap().1).collect::<Vec<_>>());
        holder.leave();
        accepting.join().unwrap()
    });
    let connected: Vec<_> = [first].iter().chain(&waiting).map(|it| it.local_addr()).collect();
    assert_eq!(accepted, connected);
    drop((load, waiting, listener));
    compare(&free, &held, &driven.stop());
}

/// Connections that are used all the time.
struct Load {
    others: Vec<TcpStream>,
    one: TcpStream,
    other: TcpStream,
}

/// What a load came to.
#[derive(Debug)]
struct Measured {
    /// Round trips of each of the others.
    rounds: Vec<u32>,
    slowest: Duration,
    /// Blocks that went from one end to the other of the connection whose lock is held.
    blocks: u32,
}

impl Load {
    fn new(driven: &Driven) -> Self {
        let others = (0..OTHERS).map(|_| {
            let (client, server) = driven.pair();
            thread::spawn(move || echo(server));
            client
        });
        let others = others.collect();
        let (one, other) = driven.pair();
        Self { others, one, other }
    }

    fn measure(&mut self, driven: &Driven, phase: usize) -> Measured {
        driven.enter(phase);
        let until = Instant::now() + duration() / 2;
        let Self { others, one, other } = self;
        thread::scope(|scope| {
            let talking: Vec<_> =
                others.iter_mut().map(|client| scope.spawn(move || talk(client, until))).collect();
            let blocks = send_blocks(one, other, until);
            let talked: Vec<_> = talking.into_iter().map(|client| client.join().unwrap()).collect();
            let slowest = talked.iter().map(|&(_, slowest)| slowest).max().unwrap();
            Measured { rounds: talked.iter().map(|talked| talked.0).collect(), slowest, blocks }
        })
    }
}

fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 100];
    while let Ok(len @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..len]).is_err() {
            break;
        }
    }
}

/// Round trips, and the slowest of them.
fn talk(client: &mut TcpStream, until: Instant) -> (u32, Duration) {
    client.set_read_timeout(Some(LONG)).unwrap();
    let (mut rounds, mut slowest) = (0, Duration::ZERO);
    while Instant::now() < until {
        let asked = Instant::now();
        client.write_all(&[7; 100]).unwrap();
        client.read_exact(&mut [0; 100]).unwrap();
        slowest = slowest.max(asked.elapsed());
        rounds += 1;
    }
    (rounds, slowest)
}

/// Blocks that pass through a connection. Time and again its protocol thread is asked to look at the options.
fn send_blocks(one: &mut TcpStream, other: &mut TcpStream, until: Instant) -> u32 {
    let mut block = [7; 20_000];
    other.set_read_timeout(Some(LONG)).unwrap();
    let mut blocks = 0;
    while Instant::now() < until {
        one.write_all(&block).unwrap();
        other.read_exact(&mut block).unwrap();
        blocks += 1;
        one.control().side().hint(Hints::CONTROL);
        other.control().side().hint(Hints::CONTROL);
    }
    blocks
}

/// Held or not makes no difference that a scheduler could not make as well.
fn compare(free: &Measured, held: &Measured, turns: &Turns) {
    let story = format!("free: {free:?}, held: {held:?}");
    assert!(held.blocks * 8 > free.blocks && free.blocks > 0, "{story}");
    assert!(held.slowest < 8 * free.slowest + Duration::from_millis(200), "{story}");
    for (held, free) in held.rounds.iter().zip(&free.rounds) {
        assert!(held * 8 > *free && *free > 0, "{story}");
    }
    let [free, held] = turns.each_ref().map(|turns| nearly_slowest(turns));
    assert!(turns[1].len() * 8 > turns[0].len(), "{} turns, {}", turns[0].len(), turns[1].len());
    assert!(
        held < 8 * free + Duration::from_millis(20),
        "a turn took {held:?} instead of {free:?}"
    );
}

/// Of a thousand turns one takes longer.
fn nearly_slowest(turns: &[Duration]) -> Duration {
    let mut turns = turns.to_vec();
    turns.sort_unstable();
    turns[turns.len() - 1 - turns.len() / 1000]
}
