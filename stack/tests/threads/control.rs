//! What any thread may do to a connection while others use it (C-33, R-5, R-13).

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::world::{address, pair, stack, wait_for_connections};

/// threads shut down what they like at the same moment. Each direction is shut when a call that shuts it has returned,
/// nothing opens it again, and whoever reads or writes meanwhile finds one end and no other.
#[test]
fn what_was_shut_down_stays_so_whoever_else_does() {
    let stack = stack();
    let ways = [Shutdown::Read, Shutdown::Write, Shutdown::Both];
    for round in 0..60 {
        let (client, mut server) = pair(&stack);
        let (mut reader, mut writer, control) = client.split();
        let filling = thread::spawn(move || while server.write(&[7; 1000]).is_ok() {});
        let start = Barrier::new(5);
        thread::scope(|scope| {
            for way in ways {
                let (control, start) = (control.clone(), &start);
                scope.spawn(move || {
                    start.wait();
                    if (round + way as usize).is_multiple_of(2) {
                        thread::yield_now();
                    }
                    control.shutdown(way);
                });
            }
            scope.spawn(|| {
                start.wait();
                while reader.read(&mut [0; 100]).unwrap() > 0 {}
                for _ in 0..100 {
                    assert_eq!(reader.read(&mut [0; 100]).unwrap(), 0, "bytes after the end");
                }
            });
            scope.spawn(|| {
                start.wait();
                while writer.write(&[7; 10]).is_ok() {}
                for _ in 0..100 {
                    assert!(writer.write(&[7; 10]).is_err(), "room after the end");
                }
            });
        });
        control.abort();
        filling.join().unwrap();
    }
}

/// options are set by several threads while bytes flow. None is lost, and neither is a byte.
#[test]
fn options_are_set_while_bytes_flow() {
    const LEN: usize = 2_000_000;
    let stack = stack();
    let (mut client, mut server) = pair(&stack);
    let controls = [client.control().clone(), client.control().clone()];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let [bits, rare] = &controls;
        let done = &done;
        scope.spawn(move || {
            for on in [true, false].into_iter().cycle() {
                bits.set_nodelay(on);
                bits.set_keepalive(!on);
                assert_eq!((bits.nodelay(), bits.keepalive()), (on, !on), "an option was lost");
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        scope.spawn(move || {
            for second in 1.. {
                let span = Some(Duration::from_secs(100 + second % 50));
                rare.set_linger(span);
                rare.set_user_timeout(span);
                rare.set_buffers(Some(100_000), Some(100_000));
                assert_eq!((rare.linger(), rare.user_timeout()), (span, span));
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        scope.spawn(move || {
            let sent: Vec<u8> = (0..=255).cycle().take(LEN).collect();
            client.write_all(&sent).unwrap();
        });
        let mut got = vec![0; LEN];
        server.read_exact(&mut got).unwrap();
        done.store(true, Ordering::Relaxed);
        assert!(got.iter().copied().eq((0..=255).cycle().take(LEN)));
    });
}

/// C-33, decision 5: an acceptor that finds a dead connection goes on waiting for a living one.
#[test]
fn an_acceptor_is_not_content_with_the_dead() {
    let stack = stack();
    let listener = stack.listen(address()).unwrap();
    let to = listener.local_addr();
    for _ in 0..3 {
        stack.connect(to).unwrap().abort();
    }
    wait_for_connections(&stack, 0);
    let accepting = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    let mut client = stack.connect(to).unwrap();
    client.write_all(b"alive").unwrap();
    drop(client);
    assert_eq!(accepting.join().unwrap(), b"alive");
}
