//! T-6: calls that wait are ended by another thread, though the protocol loop does not turn.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant as Moment};

use darner::time::Instant;
use darner::{Application, Core, Protocol, Readiness, TcpListener, TcpStream, Token};
use pmd::{Pool, mem};

use crate::world::{Dice, LONG, address, config, duration};

/// Connects to itself, and hands out both ends.
struct Matchmaker {
    listener: Option<TcpListener>,
    connecting: Option<TcpStream>,
    made: Sender<TcpStream>,
}

impl Application for Matchmaker {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        let listener = core.listen(address(), 16, Token(0))?;
        self.connecting = Some(core.connect(listener.local_addr(), Token(1))?);
        self.listener = Some(listener);
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, token: Token, _: Readiness) {
        let ready = match token {
            Token(0) => self.listener.as_ref().and_then(|it| it.accept().ok()).map(|it| it.0),
            _ => self.connecting.take(),
        };
        if let Some(mut stream) = ready {
            stream.set_nonblocking(false);
            self.made.send(stream).unwrap();
        }
    }
}

/// A protocol loop that turns only when it is told to, and both ends of a connection of it.
fn turned_by_hand() -> (Protocol, Receiver<TcpStream>) {
    let (made, streams) = channel();
    let application = Matchmaker { listener: None, connecting: None, made };
    let (queue, _far_end) = mem::device(Pool::heap(512, 2048), 1500);
    let protocol =
        Protocol::new(&config(), vec![Box::new(queue)], Box::new(application), [0; 32]).unwrap();
    (protocol, streams)
}

///
#[test]
fn calls_that_wait_are_ended_without_the_protocol_thread() {
    let until = Moment::now() + duration();
    let mut dice = Dice::new(6);
    let mut ended = 0;
    while Moment::now() < until {
        let (mut protocol, streams) = turned_by_hand();
        while protocol.turn(Instant::from_millis(1)).is_busy() {}
        for stream in streams.try_iter() {
            end_from_outside(stream, &mut dice);
            ended += 1;
        }
    }
    assert!(ended >= 2, "both ends of at least one connection");
}

fn end_from_outside(stream: TcpStream, dice: &mut Dice) {
    let (mut reader, mut writer, control) = stream.split();
    reader.set_read_timeout(Some(LONG)).unwrap();
    writer.set_write_timeout(Some(LONG)).unwrap();
    // Until it sleeps, or is about to, or has not begun.
    let pause = Duration::from_micros(dice.below(500) as u64);
    let aborts = dice.below(4) == 0;
    let (ended, read, written) = thread::scope(|scope| {
        let reading = scope.spawn(|| reader.read(&mut [0; 1]));
        let writing = scope.spawn(|| writer.write_all(&vec![0; 3_000_000]));
        thread::sleep(pause);
        if aborts {
            // What ends the read wakes the write too: only what comes last shows that it wakes somebody.
            control.shutdown(Shutdown::Read);
            thread::sleep(pause);
            control.abort();
        } else {
            control.shutdown(Shutdown::Both);
        }
        let ended = Moment::now();
        let (read, written) = (reading.join().unwrap(), writing.join().unwrap());
        (ended.elapsed(), read, written)
    });
    // A call looks once more when its own time is over.
    assert!(ended < LONG / 2, "nobody was woken");
    assert_eq!(read.unwrap(), 0);
    assert_eq!(written.unwrap_err().kind(), ErrorKind::BrokenPipe);
}
