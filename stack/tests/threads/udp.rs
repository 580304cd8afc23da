//! UDP from threads.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use crate::world::{address, stack};

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
