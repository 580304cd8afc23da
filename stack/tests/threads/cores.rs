//! Stacks of several protocol threads, all but one of them without a queue, and applications on threads of their own: every
//! packet goes through the rings between cores.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use darner::counters::Counter;
use darner::drops::Drop;
use darner::{Config, Stack, Verdict};

use crate::world::{address, config, echo, no_network};

#[test]
fn connections_of_any_thread_live_on_any_core() {
    let stack = three_cores();
    let listener = stack.listen(address()).unwrap();
    let server = listener.local_addr();
    let serving = echo(listener, 60);
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let stack = stack.handle();
            thread::spawn(move || (0..10).for_each(|_| call(&stack, server)))
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    serving.join().unwrap();
    let snapshot = stack.snapshot();
    assert_eq!(snapshot.counter(Counter::TcpActiveOpens), 60);
    assert_eq!(snapshot.dropped(Drop::TcpNoSocket), 0, "nobody was asked who was not the owner");
    assert!(snapshot.counter(Counter::Missteered) > 0, "some have their ends on two cores");
    assert_eq!(snapshot.steering, Verdict::FewerQueues { queues: 1, cores: 3 });
    stack.stop(Duration::from_secs(5));
    let stopped = Instant::now();
    let last = stack.join().unwrap();
    assert!(stopped.elapsed() < Duration::from_secs(4), "no core waits for another that has ended");
    let forwarded = [Counter::ForwardedOut, Counter::ForwardedIn].map(|count| last.counter(count));
    assert_eq!(forwarded[0], forwarded[1], "nothing is lost between cores");
}

#[test]
fn a_datagram_socket_hears_every_core() {
    let stack = three_cores();
    let mut server = stack.bind_udp(address()).unwrap();
    let to = server.local_addr();
    let serving = thread::spawn(move || {
        for _ in 0..300 {
            let mut bytes = [0; 100];
            let (len, from) = server.recv_from(&mut bytes).unwrap();
            server.send_to(&bytes[..len], from).unwrap();
        }
    });
    // Threads are dealt out over the cores, and so are their sockets.
    for number in 0..3_u8 {
        let stack = stack.handle();
        let client = thread::spawn(move || {
            let mut client = stack.bind_udp("0.0.0.0:0".parse().unwrap()).unwrap();
            client.connect(to).unwrap();
            for _ in 0..100 {
                client.send(&[number; 50]).unwrap();
                let mut bytes = [0; 100];
                assert_eq!(client.recv(&mut bytes).unwrap(), 50);
                assert_eq!(bytes[0], number);
            }
        });
        client.join().unwrap();
    }
    serving.join().unwrap();
}

#[test]
fn an_address_is_bound_once_on_all_cores_together() {
    let stack = three_cores();
    let local = address();
    let bind = |stack: &Stack| {
        let stack = stack.handle();
        // A thread each, so that they begin with another core each.
        thread::spawn(move || stack.bind_udp(local)).join().unwrap()
    };
    for _ in 0..20 {
        // What was closed is free again as soon as all cores know.
        let _bound = (0..).find_map(|_| bind(&stack).ok());
        for _ in 0..3 {
            assert_eq!(bind(&stack).unwrap_err().kind(), ErrorKind::AddrInUse);
        }
    }
}

fn three_cores() -> Stack {
    // Three threads on whatever CPUs there are.
    let config = Config { cores: vec![0, 0, 0], ..config() };
    Stack::start(&config, vec![no_network(), vec![], vec![]]).unwrap()
}

fn call(stack: &darner::StackHandle, server: SocketAddr) {
    let mut stream = stack.connect(server).unwrap();
    let sent: Vec<u8> = (0..20_000_u32).map(|index| (index % 251) as u8).collect();
    stream.write_all(&sent).unwrap();
    stream.shutdown(Shutdown::Write);
    let mut got = vec![];
    stream.read_to_end(&mut got).unwrap();
    assert!(got == sent);
}
