//! A stack's life: from start to stop, and what outlives it (decision 13 of the architecture).

use std::io::{ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use darner::{Application, Config, Core, Readiness, Stack, Token};

use crate::world::{LONG, address, config, no_network, pair, stack};

#[test]
fn every_call_that_waits_returns_when_the_stack_stops() {
    let stack = stack();
    let listener = stack.listen(address()).unwrap();
    let (client, server) = pair(&stack);
    let (mut reader, mut writer, _control) = client.split();
    let mut socket = stack.bind_udp(address()).unwrap();
    let handle = stack.handle();
    let silent = "10.0.0.77:9".parse().unwrap();
    const READER: usize = 1;
    let waiting = [
        thread::spawn(move || listener.accept().map(drop)),
        thread::spawn(move || reader.read(&mut [0; 1]).map(drop)),
        thread::spawn(move || writer.write_all(&vec![0; 50_000_000])),
        thread::spawn(move || socket.recv_from(&mut [0; 1]).map(drop)),
        thread::spawn(move || handle.connect(silent).map(drop)),
    ];
    thread::sleep(Duration::from_millis(50));
    stack.stop(Duration::ZERO);
    let stopped = Instant::now();
    for (number, call) in waiting.into_iter().enumerate() {
        // The error is told once: the reader finds the end of the stream if the writer was told.
        let ended = call.join().unwrap();
        assert!(ended.is_err() || number == READER, "call {number}");
    }
    assert!(stopped.elapsed() < Duration::from_secs(1));
    stack.join().unwrap();
    drop(server);
}

#[test]
fn handles_outlive_their_stack() {
    let stack = stack();
    let listener = stack.listen(address()).unwrap();
    let (mut client, server) = pair(&stack);
    let mut socket = stack.bind_udp(address()).unwrap();
    let handle = stack.handle();
    drop(stack);
    assert!(handle.has_ended());
    assert_eq!(client.write(b"x").unwrap_err().kind(), ErrorKind::NetworkDown);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    client.set_nodelay(true);
    client.abort();
    assert!(client.close().is_ok(), "its error was told");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::ConnectionAborted);
    assert_eq!(socket.recv_from(&mut [0; 1]).unwrap_err().kind(), ErrorKind::NetworkDown);
    assert_eq!(handle.listen(address()).unwrap_err().kind(), ErrorKind::NetworkDown);
    assert_eq!(handle.connect(address()).unwrap_err().kind(), ErrorKind::NetworkDown);
    assert_eq!(handle.bind_udp(address()).unwrap_err().kind(), ErrorKind::NetworkDown);
    drop(server);
}

#[test]
fn a_process_starts_as_many_stacks_as_it_likes() {
    for _ in 0..5 {
        let stack = stack();
        let (mut client, mut server) = pair(&stack);
        client.write_all(b"x").unwrap();
        server.read_exact(&mut [0; 1]).unwrap();
    }
}

/// Panics when it is woken.
struct Fragile;

impl Application for Fragile {
    fn start(&mut self, _: &mut Core<'_>) -> std::io::Result<()> {
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}

    fn woken(&mut self, _: &mut Core<'_>) {
        panic!("as told");
    }
}

#[test]
fn a_panic_fails_the_sockets_of_its_core_and_is_reported() {
    let stack = Stack::start_with(&config(), vec![no_network()], |_| Box::new(Fragile)).unwrap();
    let listener = stack.listen(address()).unwrap();
    let (mut client, _server) = pair(&stack);
    let reading = thread::spawn(move || client.read(&mut [0; 1]));
    let accepting = thread::spawn(move || listener.accept().map(drop));
    thread::sleep(Duration::from_millis(30));
    stack.waker(0).unwrap().wake();
    assert_eq!(reading.join().unwrap().unwrap_err().kind(), ErrorKind::NetworkDown);
    assert_eq!(accepting.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionAborted);
    assert_eq!(stack.connect(address()).unwrap_err().kind(), ErrorKind::NetworkDown);
    assert_eq!(stack.join().unwrap_err().core, 0);
}

#[test]
fn a_panic_leaves_the_other_cores_running() {
    let two = Config { cores: vec![0, 1], ..config() };
    let queues = vec![no_network(), no_network()];
    let stack = Stack::start_with(&two, queues, |_| Box::new(Fragile)).unwrap();
    let listener = stack.listen(address()).unwrap();
    stack.waker(0).unwrap().wake();
    let deadline = Instant::now() + LONG;
    while !stack.snapshot().cores.iter().all(|core| core.core == 1) {
        assert!(Instant::now() < deadline, "core 0 goes on");
    }
    // What the core that is gone owned is lost; a flow of which the other owns both ends is not.
    let deadline = Instant::now() + LONG;
    let mut client = loop {
        match stack.connect_timeout(listener.local_addr(), Duration::from_millis(100)) {
            Ok(client) => break client,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
    };
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0; 1]).unwrap();
    stack.stop(Duration::ZERO);
    assert_eq!(stack.join().unwrap_err().core, 0);
}

#[test]
fn the_callers_affinity_is_left_alone() {
    let mask = || rustix::thread::sched_getaffinity(None).unwrap();
    let before = mask();
    let pinned = Config { cores: vec![0], ..config() };
    let stack = Stack::start(&pinned, vec![no_network()]).unwrap();
    assert_eq!(mask(), before);
    drop(stack);
}

#[test]
fn connections_linger_until_the_deadline_when_the_stack_stops() {
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    client.write_all(b"last words").unwrap();
    stack.stop(LONG);
    drop(client);
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"last words");
    drop(server);
    let started = Instant::now();
    stack.join().unwrap();
    assert!(started.elapsed() < LONG / 2, "nothing is left to wait for");
}
