//! T-8: threads that go to sleep, and are woken in every moment of it.

use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use darner::{Interest, Poller, TcpStream, Token};

use crate::world::{Dice, Finally, World, config, duration};

/// What is there and has not woken anybody for so long never will.
const WATCHDOG: Duration = Duration::from_secs(1);
/// How often in a row the other side may be late itself.
const PATIENCE: u32 = 20;

/// a call that sleeps is woken, whenever the byte comes, and so is the protocol thread.
#[test]
fn no_byte_comes_unnoticed_to_a_call_that_sleeps() {
    let world = World::new(&config());
    let until = Instant::now() + duration();
    let passed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for seed in 0..3 {
            let (one, other) = world.pair();
            for (seed, stream) in [(2 * seed, one), (2 * seed + 1, other)] {
                let passed = &passed;
                scope.spawn(move || {
                    passed.fetch_add(pass_on(stream, seed, until), Ordering::Relaxed)
                });
            }
        }
    });
    assert!(passed.into_inner() > 1000);
    world.assert_balanced();
}

/// Passes one byte to and fro. The even side begins; who stops says so by ending the stream.
fn pass_on(mut stream: TcpStream, seed: u64, until: Instant) -> usize {
    let mut dice = Dice::new(seed);
    stream.set_nodelay(true);
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    let mut count = 0;
    if seed.is_multiple_of(2) {
        stream.write_all(&[1]).unwrap();
    }
    while receive(&mut stream) == 1 {
        delay(&mut dice);
        if Instant::now() > until || stream.write_all(&[1]).is_err() {
            break;
        }
        count += 1;
    }
    count
}

fn receive(stream: &mut TcpStream) -> usize {
    for _ in 0..PATIENCE {
        let asked = Instant::now();
        let received = stream.read(&mut [0; 1]);
        // A read looks once more when its time is over.
        let woken = asked.elapsed() < WATCHDOG;
        match received {
            Ok(len) => {
                assert!(woken, "a byte was there, and nobody was woken");
                return len;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    panic!("no byte comes");
}

fn delay(dice: &mut Dice) {
    match dice.below(6) {
        0 => thread::yield_now(),
        1 => thread::sleep(Duration::from_micros(dice.below(200) as u64)),
        _ => (0..dice.below(2000)).for_each(|_| std::hint::spin_loop()),
    }
}

/// The same for a thread that waits for many sockets, and is called from the side as well.
#[test]
fn no_byte_comes_unnoticed_to_a_poller() {
    const CONNECTIONS: u64 = 4;
    let world = World::new(&config());
    let until = Instant::now() + duration();
    let mut poller = Poller::new();
    let waker = poller.waker();
    let called = Arc::new(AtomicUsize::new(0));
    let pair = |_| {
        let (client, server) = world.pair();
        (client, Some(server))
    };
    let (clients, mut servers): (Vec<_>, Vec<_>) = (0..CONNECTIONS).map(pair).unzip();
    for (token, server) in (0..).zip(servers.iter_mut().flatten()) {
        server.set_nonblocking(true);
        server.set_nodelay(true);
        poller.register(server, Token(token), Interest::READABLE).unwrap();
    }
    thread::scope(|scope| {
        for (seed, client) in (0..).step_by(2).zip(clients) {
            scope.spawn(move || pass_on(client, seed, until));
        }
        let calls = called.clone();
        scope.spawn(move || {
            let mut dice = Dice::new(5);
            while Instant::now() < until {
                calls.fetch_add(1, Ordering::Relaxed);
                waker.wake();
                delay(&mut dice);
            }
        });
        let mut events = Vec::new();
        while !servers.iter().all(|server| server.is_none()) {
            let asked = Instant::now();
            poller.wait(&mut events, Some(WATCHDOG)).unwrap();
            assert!(events.is_empty() || asked.elapsed() < WATCHDOG, "nobody was woken");
            for event in &events {
                let server = &mut servers[usize::try_from(event.token.0).unwrap()];
                *server = server.take().and_then(echo);
            }
        }
    });
    drop(poller);
    world.assert_balanced();
}

/// Echoes what is there. `None` once the stream has ended.
fn echo(mut stream: TcpStream) -> Option<TcpStream> {
    let mut bytes = [0; 10];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return None,
            Ok(len) => drop(stream.write(&bytes[..len])),
            Err(_) => return Some(stream),
        }
    }
}

/// The same for threads that wait to accept: each connection wakes one of them. One that is alone nobody helps.
#[test]
fn no_connection_comes_unnoticed_to_an_acceptor() {
    let world = World::new(&config());
    [1, 3].into_iter().for_each(|acceptors| connect_one_by_one(&world, acceptors));
    world.assert_balanced();
}

fn connect_one_by_one(world: &World, acceptors: u64) {
    let until = Instant::now() + duration();
    let listener = world.listen();
    let to = listener.local_addr();
    thread::scope(|scope| {
        for seed in 0..acceptors {
            let listener = &listener;
            scope.spawn(move || {
                let mut dice = Dice::new(seed);
                while let Ok((mut stream, _)) = listener.accept() {
                    let _ = stream.write_all(b"!");
                    delay(&mut dice);
                }
            });
        }
        let _over = Finally(|| listener.close());
        let mut dice = Dice::new(10);
        // One after the other: the next would wake somebody for those before it.
        while Instant::now() < until {
            let mut stream = world.connect(to).unwrap();
            stream.set_read_timeout(Some(WATCHDOG)).unwrap();
            assert_eq!(receive(&mut stream), 1);
            delay(&mut dice);
        }
    });
}
