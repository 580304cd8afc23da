//! Closes that wait (D-5; R-9, decisions 2 and 4).

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use darner::TcpStream;

use crate::world::{LONG, pair, stack, wait_for_connections};

/// Writes until nothing more fits: the peer, which does not read, has as much as it takes.
fn fill(stream: &mut TcpStream) -> usize {
    stream.set_nonblocking(true);
    let mut written = 0;
    loop {
        match stream.write(&[7; 65_536]) {
            Ok(len) => written += len,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                stream.set_nonblocking(false);
                return written;
            }
        }
    }
}

/// whichever of the three comes first ends the close, and no other is told: the peer has everything, the peer resets, the
/// time is over.
#[test]
fn a_close_that_lingers_ends_with_what_comes_first() {
    let stack = stack();
    for peer_does in ["read", "reset", "nothing"] {
        let (mut client, mut server) = pair(&stack);
        let written = fill(&mut client);
        let nothing = peer_does == "nothing";
        client.set_linger(Some(if nothing { Duration::from_millis(50) } else { LONG }));
        let closing = thread::spawn(move || client.close());
        match peer_does {
            "read" => {
                let mut all = Vec::new();
                server.read_to_end(&mut all).unwrap();
                assert_eq!(all.len(), written);
                closing.join().unwrap().unwrap();
            }
            "reset" => {
                server.abort();
                assert_eq!(closing.join().unwrap().unwrap_err().kind(), ErrorKind::ConnectionReset);
            }
            _ => {
                assert_eq!(closing.join().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
                // It goes on closing in the background.
                let mut all = Vec::new();
                server.read_to_end(&mut all).unwrap();
                assert_eq!(all.len(), written);
            }
        }
    }
}

#[test]
fn a_reset_that_came_before_the_close_is_told_by_it() {
    let stack = stack();
    let (client, server) = pair(&stack);
    client.set_linger(Some(LONG));
    server.abort();
    wait_for_connections(&stack, 0);
    assert_eq!(client.close().unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// A stream that is dropped lingers as one that is closed; nobody hears what came of it.
#[test]
fn a_drop_lingers_until_the_peer_has_everything() {
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    let written = fill(&mut client);
    client.set_linger(Some(LONG));
    let (dropped, when) = mpsc::channel();
    thread::spawn(move || {
        drop(client);
        dropped.send(())
    });
    assert!(when.recv_timeout(Duration::from_millis(50)).is_err(), "it did not wait");
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), written);
    when.recv_timeout(LONG).unwrap();
}

/// Decision 2 before decision 4: with bytes unread the close is a reset, whatever it was to wait for. An end in good order
/// first would tell the peer that all was read.
#[test]
fn with_bytes_unread_a_close_resets_and_does_not_linger() {
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    server.write_all(b"unread").unwrap();
    assert_eq!(client.peek(&mut [0; 1]).unwrap(), 1);
    fill(&mut client);
    client.set_linger(Some(LONG));
    let started = Instant::now();
    client.close().unwrap();
    assert!(started.elapsed() < LONG / 2, "there is nothing to wait for");
    let mut all = Vec::new();
    assert_eq!(server.read_to_end(&mut all).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// It is none of the stream's bytes: who has read those has read everything.
#[test]
fn an_urgent_byte_that_nobody_has_fetched_is_not_unread() {
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    server.write_all(b"ask").unwrap();
    server.send_oob(b"!").unwrap();
    client.read_exact(&mut [0; 3]).unwrap();
    while !client.at_mark() {
        thread::yield_now();
    }
    client.write_all(b"answer").unwrap();
    client.set_linger(Some(LONG));
    client.close().unwrap();
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"answer");
}

/// Without the stream nobody lingers: the halves close in the background, in whichever order they go.
#[test]
fn halves_do_not_linger() {
    let stack = stack();
    for reader_first in [false, true] {
        let (mut client, mut server) = pair(&stack);
        let written = fill(&mut client);
        client.set_linger(Some(LONG));
        let started = Instant::now();
        let (reader, writer, _control) = client.split();
        if reader_first {
            drop(reader);
            drop(writer);
        } else {
            drop(writer);
            drop(reader);
        }
        assert!(started.elapsed() < LONG / 2, "somebody has waited");
        let mut all = Vec::new();
        server.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), written);
    }
}

#[test]
fn a_stack_that_stops_ends_every_close_that_lingers() {
    const CLOSING: usize = 3;
    let stack = stack();
    let (ended, ends) = mpsc::channel();
    let servers = [(); CLOSING].map(|()| {
        let (mut client, server) = pair(&stack);
        fill(&mut client);
        client.set_linger(Some(LONG));
        let ended = ended.clone();
        thread::spawn(move || ended.send(client.close()));
        server
    });
    assert!(ends.recv_timeout(Duration::from_millis(50)).is_err(), "somebody did not wait");
    let stopped = Instant::now();
    stack.stop(Duration::ZERO);
    for _ in 0..CLOSING {
        let end = ends.recv_timeout(2 * LONG).unwrap();
        assert_eq!(end.unwrap_err().kind(), ErrorKind::NetworkDown);
    }
    // Who lingers looks once more when its own time is over.
    assert!(stopped.elapsed() < LONG / 2, "nobody was woken");
    drop(servers);
}
