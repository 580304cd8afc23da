//! T-9: threads that panic, and threads that leave sockets behind.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::world::{Dice, Finally, LONG, World, config, duration};
use crate::api::{Control, Interest, Poller, TcpListener, TcpStream, Token};

///
#[test]
fn threads_that_end_badly_take_nothing_with_them() {
    let world = World::new(&config());
    let core = world.handle().cores()[0].clone();
    let listener = world.listen();
    let over = AtomicBool::new(false);
    let mut endings = [0; 3];
    thread::scope(|scope| {
        let _over = Finally(|| listener.close());
        scope.spawn(|| serve(&listener));
        let (client, server) = world.pair();
        let _quiet = Finally(|| over.store(true, Ordering::Relaxed));
        let bystanding = scope.spawn(|| talk(client, &over));
        scope.spawn(|| echo(server));
        let until = Instant::now() + duration();
        let mut dice = Dice::new(9);
        while Instant::now() < until {
            let ending = dice.below(endings.len());
            let victims: Vec<_> = (0..4)
                .map(|_| {
                    let (world, to) = (world.handle(), listener.local_addr());
                    thread::spawn(move || {
                        let stream = world.connect(to).unwrap();
                        let _socket = world.bind_udp("0.0.0.0:0".parse().unwrap()).unwrap();
                        end(stream, ending)
                    })
                })
                .collect();
            for victim in victims {
                endings[ending] += 1;
                match victim.join() {
                    // Nobody else can end what a thread has left behind.
                    Ok(left_behind) => left_behind.iter().for_each(Control::abort),
                    Err(_) => assert_eq!(ending, 0),
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        assert!(bystanding.join().unwrap() > 3);
    });
    assert!(endings.iter().all(|&count| count > 0), "{endings:?}");
    drop(listener);
    let deadline = Instant::now() + LONG;
    // This thread's mailbox is in use, and perhaps that of one which is ending.
    while crate::socket::mailbox::SLOTS - core.slots.len() > 2 + 2 {
        assert!(Instant::now() < deadline, "{} slots are left", core.slots.len());
        thread::sleep(Duration::from_millis(1));
    }
    world.assert_balanced();
}

/// One way for a thread to end that has a connection.
fn end(mut stream: TcpStream, ending: usize) -> Option<Control> {
    let mut poller = Poller::new();
    poller.register(&stream, Token(1), Interest::BOTH).unwrap();
    stream.write_all(&[7; 3000]).unwrap();
    match ending {
        // As a panic does, but silently.
        0 => std::panic::resume_unwind(Box::new("as told")),
        1 => {
            let control = stream.control().clone();
            std::mem::forget(stream);
            Some(control)
        }
        _ => None,
    }
}

/// Reads what each connection sends until it ends.
fn serve(listener: &TcpListener) {
    while let Ok((stream, _)) = listener.accept() {
        thread::spawn(move || echo(stream));
    }
}

fn echo(mut stream: TcpStream) {
    let mut bytes = [0; 4000];
    while let Ok(len @ 1..) = stream.read(&mut bytes) {
        if stream.write_all(&bytes[..len]).is_err() {
            break;
        }
    }
}

fn talk(mut client: TcpStream, over: &AtomicBool) -> u32 {
    client.set_read_timeout(Some(LONG)).unwrap();
    let mut rounds = 0;
    while !over.load(Ordering::Relaxed) {
        client.write_all(&[7; 100]).unwrap();
        client.read_exact(&mut [0; 100]).unwrap();
        rounds += 1;
    }
    rounds
}
