//! Listeners and their acceptors.

use std::io::{ErrorKind, Read, Write};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use darner::{ListenOptions, Overflow, Sharing};

use crate::world::{LONG, address, stack};

#[test]
fn a_listener_takes_any_free_port() {
    let stack = stack();
    let any = "0.0.0.0:0".parse().unwrap();
    let (one, two) = (stack.listen(any).unwrap(), stack.listen(any).unwrap());
    assert_ne!(one.local_addr().port(), 0);
    assert_ne!(one.local_addr(), two.local_addr());
}

#[test]
fn an_address_is_free_again_once_its_listener_is_gone() {
    let stack = stack();
    let at = address();
    for _ in 0..100 {
        let listener = stack.listen(at).unwrap();
        assert_eq!(stack.listen(at).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(listener);
    }
    let foreign = "10.9.9.9:80".parse().unwrap();
    assert_eq!(stack.listen(foreign).unwrap_err().kind(), ErrorKind::AddrNotAvailable);
}

/// every call that waits returns, with an error.
#[test]
fn closing_a_listener_ends_all_its_acceptors() {
    let stack = stack();
    let listener = Arc::new(stack.listen(address()).unwrap());
    let acceptors: Vec<_> = (0..4)
        .map(|_| {
            let listener = listener.clone();
            thread::spawn(move || listener.accept().map(drop))
        })
        .collect();
    thread::sleep(Duration::from_millis(30));
    listener.close();
    for acceptor in acceptors {
        assert_eq!(acceptor.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionAborted);
    }
}

/// those whom nobody accepted are reset.
#[test]
fn closing_a_listener_resets_who_waits() {
    let stack = stack();
    let listener = stack.listen(address()).unwrap();
    let mut client = stack.connect(listener.local_addr()).unwrap();
    drop(listener);
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

///
#[test]
fn what_came_before_accept_is_read_after_it() {
    let stack = stack();
    let listener = stack.listen(address()).unwrap();
    let mut client = stack.connect(listener.local_addr()).unwrap();
    client.write_all(b"early").unwrap();
    drop(client);
    let (mut server, _) = listener.accept().unwrap();
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"early");
}

#[test]
fn many_acceptors_share_the_connections() {
    const EACH: usize = 25;
    let stack = stack();
    let listener = Arc::new(stack.listen(address()).unwrap());
    let acceptors: Vec<_> = (0..4)
        .map(|_| {
            let listener = listener.clone();
            thread::spawn(move || {
                for _ in 0..EACH {
                    let (mut stream, _) = listener.accept().unwrap();
                    stream.write_all(b"!").unwrap();
                }
            })
        })
        .collect();
    for _ in 0..4 * EACH {
        let mut client = stack.connect(listener.local_addr()).unwrap();
        client.read_exact(&mut [0; 1]).unwrap();
    }
    acceptors.into_iter().for_each(|acceptor| acceptor.join().unwrap());
}

/// C-34.
#[test]
fn a_full_backlog_is_exact_and_may_reset() {
    let stack = stack();
    let options =
        ListenOptions { backlog: 2, overflow: Overflow::Reset, ..ListenOptions::default() };
    let listener = stack.listen_with(address(), options).unwrap();
    let mut clients: Vec<_> =
        (0..3).map(|_| stack.connect(listener.local_addr()).unwrap()).collect();
    let mut third = clients.pop().unwrap();
    assert_eq!(third.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    listener.set_nonblocking(true);
    assert!(listener.accept().is_ok() && listener.accept().is_ok());
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_listener_has_as_many_connections_as_it_may() {
    let stack = stack();
    let options = ListenOptions {
        max_connections: Some(1),
        overflow: Overflow::Reset,
        ..ListenOptions::default()
    };
    let listener = stack.listen_with(address(), options).unwrap();
    let first = stack.connect(listener.local_addr()).unwrap();
    let accepted = listener.accept().unwrap();
    let mut second = stack.connect(listener.local_addr()).unwrap();
    assert_eq!(second.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // A reset leaves no TIME-WAIT, so the place is free as soon as both ends know.
    first.abort();
    drop(accepted);
    let deadline = Instant::now() + LONG;
    loop {
        let mut next = stack.connect(listener.local_addr()).unwrap();
        next.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        if next.read(&mut [0; 1]).unwrap_err().kind() == ErrorKind::WouldBlock {
            break;
        }
        assert!(Instant::now() < deadline, "the place never became free");
    }
}

#[test]
fn a_group_shares_an_address_and_spreads_connections() {
    let stack = stack();
    let options = ListenOptions { sharing: Sharing::Group, ..ListenOptions::default() };
    let at = address();
    let group = [stack.listen_with(at, options.clone()), stack.listen_with(at, options)];
    let group = group.map(Result::unwrap);
    assert_eq!(stack.listen(at).unwrap_err().kind(), ErrorKind::AddrInUse, "not for strangers");
    let _clients: Vec<_> = (0..64).map(|_| stack.connect(at).unwrap()).collect();
    group.iter().for_each(|listener| listener.set_nonblocking(true));
    let mut accepted = [0; 2];
    let deadline = Instant::now() + LONG;
    while accepted[0] + accepted[1] < 64 {
        // The last handshakes may be a turn late.
        assert!(Instant::now() < deadline, "{accepted:?}");
        for (count, listener) in accepted.iter_mut().zip(&group) {
            *count += std::iter::from_fn(|| listener.accept().ok()).count();
        }
    }
    assert!(accepted.iter().all(|&count| count > 8), "{accepted:?}");
}

#[test]
fn an_acceptor_that_waits_is_woken_by_each_connection() {
    let stack = stack();
    let listener = stack.listen(address()).unwrap();
    let to = listener.local_addr();
    let turn = Arc::new(Barrier::new(2));
    let other = turn.clone();
    let accepting = thread::spawn(move || {
        for _ in 0..50 {
            other.wait();
            listener.accept().unwrap();
        }
    });
    for _ in 0..50 {
        turn.wait();
        stack.connect(to).unwrap();
    }
    accepting.join().unwrap();
}
