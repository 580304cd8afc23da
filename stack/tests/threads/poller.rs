//! Many sockets on one thread.

use std::collections::HashSet;
use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use darner::{Event, Interest, Poller, Readiness, Token};

use crate::world::{LONG, address, pair, stack};

fn wait(poller: &mut Poller) -> Vec<Event> {
    let mut events = Vec::new();
    poller.wait(&mut events, Some(LONG)).unwrap();
    events
}

/// What is told of `token` until `bit` is.
fn wait_for(poller: &mut Poller, token: Token, bit: Readiness) -> Readiness {
    let deadline = Instant::now() + LONG;
    let mut all = Readiness::empty();
    while !all.contains(bit) {
        assert!(Instant::now() < deadline, "{bit:?} is never told, only {all:?}");
        for event in wait(poller).into_iter().filter(|event| event.token == token) {
            all |= event.readiness;
        }
    }
    all
}

#[test]
fn readiness_is_told_under_the_token() {
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    let mut poller = Poller::new();
    server.set_nonblocking(true);
    poller.register(&server, Token(7), Interest::READABLE).unwrap();
    client.write_all(b"x").unwrap();
    wait_for(&mut poller, Token(7), Readiness::READABLE);
    assert_eq!(server.read(&mut [0; 9]).unwrap(), 1);
    assert_eq!(server.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(client);
    wait_for(&mut poller, Token(7), Readiness::READ_CLOSED);
}

/// C-20, R-25: what was ready before the registration is told after it.
#[test]
fn what_is_ready_already_is_told_at_once() {
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    client.write_all(b"x").unwrap();
    server.peek(&mut [0; 1]).unwrap();
    for token in 0..20 {
        // Each poller is told, though nothing has happened since the last.
        let mut poller = Poller::new();
        poller.register(&server, Token(token), Interest::READABLE).unwrap();
        wait_for(&mut poller, Token(token), Readiness::READABLE);
    }
}

#[test]
fn halves_have_pollers_of_their_own() {
    let stack = stack();
    let (mut client, server) = pair(&stack);
    let (reader, writer, _control) = server.split();
    let (mut reading, mut writing) = (Poller::new(), Poller::new());
    reading.register(&reader, Token(1), Interest::READABLE).unwrap();
    writing.register(&writer, Token(2), Interest::WRITABLE).unwrap();
    wait_for(&mut writing, Token(2), Readiness::WRITABLE);
    client.write_all(b"x").unwrap();
    wait_for(&mut reading, Token(1), Readiness::READABLE);
    let mut events = Vec::new();
    writing.wait(&mut events, Some(Duration::from_millis(20))).unwrap();
    assert!(events.is_empty(), "{events:?}");
}

#[test]
fn a_listener_and_a_connection_in_the_making_are_told_of() {
    let stack = stack();
    let listener = stack.listen(address()).unwrap();
    listener.set_nonblocking(true);
    let mut poller = Poller::new();
    poller.register(&listener, Token(0), Interest::READABLE).unwrap();
    let stream = stack.begin_connect(None, listener.local_addr()).unwrap();
    poller.register(&stream, Token(1), Interest::BOTH).unwrap();
    wait_for(&mut poller, Token(1), Readiness::CONNECTED);
    let second = stack.connect(listener.local_addr()).unwrap();
    let deadline = Instant::now() + LONG;
    let mut accepted = 0;
    while accepted < 2 {
        assert!(Instant::now() < deadline);
        accepted += std::iter::from_fn(|| listener.accept().ok()).count();
        if accepted < 2 {
            wait(&mut poller);
        }
    }
    drop((stream, second));
}

#[test]
fn a_waker_ends_the_wait_and_a_timeout_does() {
    let mut poller = Poller::new();
    let waker = poller.waker();
    let waking = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        waker.wake();
    });
    let started = Instant::now();
    assert!(wait(&mut poller).is_empty());
    assert!(started.elapsed() < LONG / 2);
    waking.join().unwrap();
    let mut events = Vec::new();
    poller.wait(&mut events, Some(Duration::from_millis(5))).unwrap();
    assert!(events.is_empty());
}

#[test]
fn a_full_poller_refuses_until_a_socket_is_gone() {
    let stack = stack();
    let (one, two) = pair(&stack);
    let mut poller = Poller::with_capacity(1);
    poller.register(&one, Token(1), Interest::BOTH).unwrap();
    let full = poller.register(&two, Token(2), Interest::BOTH).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::QuotaExceeded);
    drop(one);
    poller.register(&two, Token(2), Interest::BOTH).unwrap();
    poller.deregister(&two);
    poller.register(&two, Token(3), Interest::BOTH).unwrap();
    wait_for(&mut poller, Token(3), Readiness::READ_CLOSED);
}

#[test]
fn the_end_of_the_stack_is_told() {
    let stack = stack();
    let (client, _server) = pair(&stack);
    let mut poller = Poller::new();
    poller.register(&client, Token(1), Interest::BOTH).unwrap();
    wait_for(&mut poller, Token(1), Readiness::WRITABLE);
    let waiting = thread::spawn(move || wait_for(&mut poller, Token(1), Readiness::CLOSED));
    thread::sleep(Duration::from_millis(20));
    drop(stack);
    waiting.join().unwrap();
}

/// Readiness is told when it changes: an echo of many messages over many connections never stalls.
#[test]
fn edges_are_never_lost() {
    const CONNECTIONS: u64 = 16;
    const ROUNDS: usize = 200;
    let stack = stack();
    let mut poller = Poller::new();
    let mut servers = Vec::new();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|token| {
            let (mut client, mut server) = pair(&stack);
            server.set_nonblocking(true);
            poller.register(&server, Token(token), Interest::READABLE).unwrap();
            servers.push(server);
            thread::spawn(move || {
                for _ in 0..ROUNDS {
                    client.write_all(b"ping").unwrap();
                    client.read_exact(&mut [0; 4]).unwrap();
                }
            })
        })
        .collect();
    let mut echoed = 0;
    let deadline = Instant::now() + LONG;
    while echoed < CONNECTIONS as usize * ROUNDS * 4 {
        assert!(Instant::now() < deadline, "{echoed} bytes were echoed");
        for event in wait(&mut poller) {
            let server = &mut servers[usize::try_from(event.token.0).unwrap()];
            let mut bytes = [0; 64];
            while let Ok(len @ 1..) = server.read(&mut bytes) {
                server.write_all(&bytes[..len]).unwrap();
                echoed += len;
            }
        }
    }
    clients.into_iter().for_each(|client| client.join().unwrap());
}

/// What no stream tells: sockets and listeners that end with the stack are told of as well.
#[test]
fn the_end_of_the_stack_is_told_of_all_kinds() {
    let stack = stack();
    let listener = stack.listen(address()).unwrap();
    let socket = stack.bind_udp(address()).unwrap();
    let (client, _server) = pair(&stack);
    let mut poller = Poller::new();
    poller.register(&listener, Token(1), Interest::READABLE).unwrap();
    poller.register(&socket, Token(2), Interest::READABLE).unwrap();
    poller.register(&client, Token(3), Interest::READABLE).unwrap();
    let waiting = thread::spawn(move || {
        let mut closed = HashSet::new();
        while closed.len() < 3 {
            let events = wait(&mut poller);
            assert!(!events.is_empty(), "only {closed:?} were told of");
            let ended = events.iter().filter(|event| event.readiness.contains(Readiness::CLOSED));
            closed.extend(ended.map(|event| event.token));
        }
    });
    thread::sleep(Duration::from_millis(20));
    drop(stack);
    waiting.join().unwrap();
}

#[test]
fn halves_take_the_place_of_their_stream() {
    let stack = stack();
    let (mut client, server) = pair(&stack);
    let mut poller = Poller::new();
    poller.register(&server, Token(1), Interest::BOTH).unwrap();
    let (reader, writer, _control) = server.split();
    poller.register(&reader, Token(2), Interest::READABLE).unwrap();
    client.write_all(b"x").unwrap();
    wait_for(&mut poller, Token(2), Readiness::READABLE);
    drop((reader, writer));
}
