//! Calls that wait, and what ends them.

use std::io::{BufRead, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use darner::{ConnectOptions, ListenOptions};

use crate::world::{LONG, address, echo, pair, stack};

#[test]
fn a_stream_is_used_like_one_of_std() {
    let stack = stack();
    let listener = stack.listen(address()).unwrap();
    let to = listener.local_addr();
    let server = echo(listener, 1);
    let mut stream = stack.connect(to).unwrap();
    assert_eq!(stream.peer_addr(), to);
    let sent: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let (mut reader, mut writer, _control) = {
        stream.write_all(b"first").unwrap();
        stream.split()
    };
    let writing = {
        let sent = sent.clone();
        thread::spawn(move || writer.write_all(&sent))
    };
    let mut first = [0; 5];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first");
    let mut got = vec![0; sent.len()];
    reader.read_exact(&mut got).unwrap();
    assert!(got == sent);
    writing.join().unwrap().unwrap();
    drop(reader);
    server.join().unwrap();
}

#[test]
fn a_dropped_writing_half_ends_the_stream_and_leaves_the_other() {
    let stack = stack();
    let (client, mut server) = pair(&stack);
    let (mut reader, writer, _control) = client.split();
    drop(writer);
    let mut rest = Vec::new();
    server.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    server.write_all(b"still here").unwrap();
    drop(server);
    reader.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"still here");
}

#[test]
fn peek_leaves_bytes_and_vectored_calls_use_all_buffers() {
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    let written =
        client.write_vectored(&[IoSlice::new(b""), IoSlice::new(b"ab"), IoSlice::new(b"cde")]);
    assert_eq!(written.unwrap(), 5);
    let mut seen = [0; 2];
    assert_eq!(server.peek(&mut seen).unwrap(), 2);
    assert_eq!(server.fill_buf().unwrap(), b"abcde");
    let (mut one, mut four) = ([0; 1], [0; 4]);
    let outs = &mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut four)];
    assert_eq!(server.read_vectored(outs).unwrap(), 5);
    assert_eq!((&seen, &one, &four), (b"ab", b"a", b"bcde"));
}

/// What a connection that begins with data is told of itself goes to its core with it.
#[test]
fn data_goes_on_a_syn_from_where_the_options_say() {
    let stack = stack();
    let fast = ListenOptions { fast_open: 4, ..ListenOptions::default() };
    let listener = stack.listen_with(address(), fast).unwrap();
    // The first is given the cookie that the second needs.
    for taken in [0, 5] {
        let (from, to) = (address(), listener.local_addr());
        let options = ConnectOptions { local: Some(from), ..ConnectOptions::default() };
        let (client, sent) = stack.begin_connect_with_data(to, options, b"hello").unwrap();
        let (mut server, peer) = listener.accept().unwrap();
        assert_eq!((sent, client.local_addr(), peer), (taken, from, from));
        drop(client);
        let mut got = Vec::new();
        server.read_to_end(&mut got).unwrap();
        assert_eq!(got, b"hello"[..taken]);
    }
}

/// Pieces wake nobody until there is as much as was asked for; the end wakes with less.
#[test]
fn a_read_waits_for_its_low_water_mark_or_the_end() {
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    server.set_receive_low_water(1000);
    let (tell, told) = mpsc::channel();
    let reading = thread::spawn(move || {
        let mut out = [0; 4000];
        loop {
            let got = server.read(&mut out).unwrap();
            tell.send(got).unwrap();
            if got == 0 {
                break;
            }
        }
    });
    client.set_nodelay(true);
    for _ in 0..9 {
        client.write_all(&[1; 100]).unwrap();
        thread::sleep(Duration::from_millis(2));
    }
    assert!(told.try_recv().is_err(), "900 bytes are not enough");
    client.write_all(&[1; 100]).unwrap();
    assert_eq!(told.recv_timeout(LONG), Ok(1000));
    client.write_all(&[1; 10]).unwrap();
    assert!(told.recv_timeout(Duration::from_millis(20)).is_err(), "10 are not, either");
    drop(client);
    assert_eq!((told.recv_timeout(LONG), told.recv_timeout(LONG)), (Ok(10), Ok(0)));
    reading.join().unwrap();
}

/// what was lent is there after a reset.
#[test]
fn lent_bytes_outlive_the_connection() {
    let stack = stack();
    let (mut client, server) = pair(&stack);
    client.write_all(&[7; 5000]).unwrap();
    let (mut reader, writer, _control) = server.split();
    while reader.readable() < 5000 {
        thread::yield_now();
    }
    let first = reader.lend(1000).unwrap().unwrap();
    let second = reader.lend(usize::MAX).unwrap().unwrap();
    assert_eq!((first.len(), second.len()), (1000, 4000));
    client.abort();
    assert_eq!(reader.lend(1).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(reader.lend(1).unwrap().is_none());
    drop((reader, writer, client, stack));
    assert!(first.iter().chain(&*second).all(|&byte| byte == 7));
}

#[test]
fn bytes_are_written_in_place() {
    let stack = stack();
    let (client, mut server) = pair(&stack);
    let (_reader, mut writer, _control) = client.split();
    writer.reserve()[..3].copy_from_slice(b"abc");
    writer.commit(3).unwrap();
    let mut got = [0; 3];
    server.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"abc");
}

#[test]
fn a_timeout_ends_a_read_and_a_write() {
    let stack = stack();
    let (mut client, _server) = pair(&stack);
    assert_eq!(
        client.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    client.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    client.set_write_timeout(Some(Duration::from_millis(30))).unwrap();
    let started = Instant::now();
    assert_eq!(client.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(started.elapsed() >= Duration::from_millis(30));
    let full = client.write_all(&vec![0; 10_000_000]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_nonblocking_stream_does_not_wait() {
    let stack = stack();
    let (mut client, _server) = pair(&stack);
    client.set_nonblocking(true);
    assert_eq!(client.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
    client.set_nonblocking(false);
    client.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    assert_eq!(client.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// the waiting call returns although nothing comes from the network.
#[test]
fn a_shutdown_by_another_thread_ends_a_read_and_a_write() {
    let stack = stack();
    let (client, _server) = pair(&stack);
    let (mut reader, mut writer, control) = client.split();
    let reading = thread::spawn(move || reader.read(&mut [0; 9]));
    let writing = thread::spawn(move || writer.write_all(&vec![0; 50_000_000]));
    thread::sleep(Duration::from_millis(50));
    control.shutdown(Shutdown::Both);
    assert_eq!(reading.join().unwrap().unwrap(), 0);
    assert_eq!(writing.join().unwrap().unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn a_reset_is_told_once_and_then_the_end() {
    let stack = stack();
    let (client, mut server) = pair(&stack);
    client.abort();
    assert_eq!(server.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.read(&mut [0; 9]).unwrap(), 0);
    assert_eq!(server.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[test]
fn nobody_listens() {
    let stack = stack();
    let refused = stack.connect(address()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let started = Instant::now();
    let silent = "10.0.0.77:9".parse().unwrap();
    let late = stack.connect_timeout(silent, Duration::from_millis(50)).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
    assert!(started.elapsed() < LONG);
}

#[test]
fn a_connection_is_made_from_where_it_is_told() {
    let stack = stack();
    let listener = stack.listen(address()).unwrap();
    let from = "0.0.0.0:7777".parse().unwrap();
    let first = stack.connect_from(from, listener.local_addr()).unwrap();
    assert_eq!(first.local_addr().port(), 7777);
    let again = stack.connect_from(from, listener.local_addr()).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AddrInUse);
    let foreign = "10.0.0.9:0".parse().unwrap();
    let error = stack.connect_from(foreign, listener.local_addr()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
}

#[test]
fn options_are_remembered_and_followed() {
    let stack = stack();
    let (client, _server) = pair(&stack);
    assert_eq!((client.nodelay(), client.keepalive(), client.linger()), (false, false, None));
    client.set_nodelay(true);
    client.set_keepalive(true);
    client.set_user_timeout(Some(Duration::from_secs(5)));
    client.set_linger(Some(Duration::from_secs(1)));
    assert_eq!((client.nodelay(), client.keepalive()), (true, true));
    assert_eq!(client.user_timeout(), Some(Duration::from_secs(5)));
    assert_eq!(client.linger(), Some(Duration::from_secs(1)));
}

/// Decision 4, and R-9 without its failures.
#[test]
fn closing_with_linger_waits_until_the_peer_has_everything() {
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    client.set_linger(Some(LONG));
    client.write_all(&[7; 100_000]).unwrap();
    let reading = thread::spawn(move || {
        let mut all = Vec::new();
        server.read_to_end(&mut all).map(|_| all.len())
    });
    client.close().unwrap();
    assert_eq!(reading.join().unwrap().unwrap(), 100_000);
}

#[test]
fn linger_runs_out_and_the_connection_goes_on_closing() {
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    client.set_linger(Some(Duration::from_millis(30)));
    client.set_nonblocking(true);
    let mut written = 0;
    while let Ok(len) = client.write(&[7; 65_536]) {
        written += len;
    }
    client.set_nonblocking(false);
    // Nobody reads, so the peer's window is full.
    assert_eq!(client.close().unwrap_err().kind(), ErrorKind::TimedOut);
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), written);
}

/// Often, because the protocol thread must not look between the ends of two halves.
#[test]
fn linger_of_zero_resets() {
    let stack = stack();
    for round in 0..40 {
        let (mut client, mut server) = pair(&stack);
        client.set_linger(Some(Duration::ZERO));
        client.write_all(b"lost").unwrap();
        if round % 2 == 0 {
            drop(client)
        } else {
            client.close().unwrap()
        }
        assert_reset(&mut server);
    }
}

/// RFC 2525, section 2.17.
#[test]
fn bytes_that_nobody_has_read_make_the_close_a_reset() {
    let stack = stack();
    for _ in 0..20 {
        let (mut client, mut server) = pair(&stack);
        server.write_all(b"unread").unwrap();
        client.peek(&mut [0]).unwrap();
        drop(client);
        assert_reset(&mut server);
    }
}

fn assert_reset(stream: &mut darner::TcpStream) {
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

///
#[test]
fn smaller_buffers_lose_nothing() {
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    let sent: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    client.write_all(&sent).unwrap();
    client.set_buffers(Some(100), Some(100));
    server.set_buffers(Some(4096), None);
    let mut got = vec![0; sent.len()];
    server.read_exact(&mut got).unwrap();
    assert!(got == sent);
    client.write_all(&sent[..1000]).unwrap();
    server.read_exact(&mut got[..1000]).unwrap();
}
