//! UDP from threads.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use darner::{Config, Stack};

use crate::world::{LONG, address, config, no_network, stack};

#[test]
fn datagrams_come_and_go() {
    let stack = stack();
    let mut server = stack.bind_udp(address()).unwrap();
    let mut client = stack.bind_udp("0.0.0.0:0".parse().unwrap()).unwrap();
    let to = server.local_addr();
    let serving = thread::spawn(move || {
        for _ in 0..100 {
            let mut bytes = [0; 100];
            let (len, from) = server.recv_from(&mut bytes).unwrap();
            server.send_to(&bytes[..len], from).unwrap();
        }
    });
    client.connect(to).unwrap();
    for number in 0..100_u8 {
        client.send(&[number; 50]).unwrap();
        let mut bytes = [0; 100];
        assert_eq!(client.recv(&mut bytes).unwrap(), 50);
        assert_eq!(bytes[0], number);
    }
    serving.join().unwrap();
}

#[test]
fn receiving_times_out() {
    let stack = stack();
    let mut socket = stack.bind_udp(address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    assert_eq!(socket.recv_from(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    socket.set_nonblocking(true);
    assert_eq!(socket.recv_from(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(socket.send(b"x").is_err(), "to whom?");
}

#[test]
fn an_unreachable_port_is_told_to_a_connected_socket() {
    let stack = stack();
    let mut socket = stack.bind_udp(address()).unwrap();
    socket.connect(address()).unwrap();
    socket.send(b"x").unwrap();
    assert_eq!(socket.recv(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn an_address_is_one_sockets_on_all_cores() {
    let two = Config { cores: vec![0, 1], ..config() };
    let stack = Stack::start(&two, vec![no_network(), no_network()]).unwrap();
    let at = address();
    // Each thread begins with another core.
    let bind = |at| {
        let stack = stack.handle();
        thread::spawn(move || stack.bind_udp(at)).join().unwrap()
    };
    for _ in 0..20 {
        let socket = bind(at).unwrap();
        assert_eq!(bind(at).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(bind(at).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(socket);
    }
    let any = "0.0.0.0:0".parse().unwrap();
    let sockets: Vec<_> = (0..64).map(|_| bind(any).unwrap()).collect();
    let ports: HashSet<u16> = sockets.iter().map(|socket| socket.local_addr().port()).collect();
    assert_eq!(ports.len(), 64);
}

#[test]
fn datagrams_find_a_socket_on_whatever_core() {
    let two = Config { cores: vec![0, 1], ..config() };
    let stack = Stack::start(&two, vec![no_network(), no_network()]).unwrap();
    let mut server = stack.bind_udp(address()).unwrap();
    for number in 0..16 {
        let handle = stack.handle();
        let to = server.local_addr();
        // Each client is on a thread, and so on a core, of its own.
        thread::spawn(move || {
            let mut client = handle.bind_udp("0.0.0.0:0".parse().unwrap()).unwrap();
            client.send_to(&[number], to).unwrap();
            let mut answer = [0; 1];
            client.set_read_timeout(Some(LONG)).unwrap();
            client.recv_from(&mut answer).map(|_| answer)
        });
        let mut bytes = [0; 1];
        server.set_read_timeout(Some(LONG)).unwrap();
        let (_, from) = server.recv_from(&mut bytes).unwrap();
        assert_eq!(bytes, [number]);
        server.send_to(&bytes, from).unwrap();
    }
}
