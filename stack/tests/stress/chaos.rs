//! T-2: while one thread writes and another reads, others shut down, abort and set options at random.
//!
//! Every byte that was accepted is read by the peer, or there is a reason that somebody was told: the reader that the
//! connection was reset, or the writer that the peer has given up.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use darner::{Control, ErrorMapping, TcpListener, TcpStream};

use crate::world::{Dice, LONG, World, check, config, duration, fill};

/// Connections that are disturbed at any time; each takes six threads.
const AT_ONCE: u64 = 4;
const LONGEST: usize = 400_000;

#[test]
fn bytes_that_were_accepted_are_read_or_their_loss_is_told() {
    let mut config = config();
    // A reset that is called a broken pipe could not be told from the end of a stream.
    config.tcp.errors = ErrorMapping::FreeBsd;
    let world = World::new(&config);
    let until = Instant::now() + duration();
    let whole = AtomicUsize::new(0);
    let cut = AtomicUsize::new(0);
    thread::scope(|scope| {
        for seed in 0..AT_ONCE {
            let (world, whole, cut) = (&world, &whole, &cut);
            scope.spawn(move || {
                let mut dice = Dice::new(seed);
                let listener = world.listen();
                while Instant::now() < until {
                    let ended = match episode(world, &listener, &mut dice) {
                        Stream::Whole => whole,
                        Stream::Cut => cut,
                    };
                    ended.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    // Otherwise the dice are loaded.
    let (whole, cut) = (whole.into_inner(), cut.into_inner());
    assert!(whole > 5 && cut > 5, "{whole} streams were whole, {cut} were cut short");
    world.assert_balanced();
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stream {
    Whole,
    Cut,
}

/// What the disturbers of one end have done.
#[derive(Clone, Copy, Debug, Default)]
struct Deeds {
    shut_reading: bool,
    shut_writing: bool,
    aborted: bool,
    lingers_for_nothing: bool,
}

/// What became of the writer, and of its stream.
struct Written {
    accepted: u64,
    /// Why the connection failed, as the writer was told.
    told: Option<ErrorKind>,
    stream: Option<TcpStream>,
}

#[derive(Debug)]
struct Received {
    count: u64,
    failed: Option<ErrorKind>,
}

/// The life of one connection.
fn episode(world: &World, listener: &TcpListener, dice: &mut Dice) -> Stream {
    let client = world.connect(listener.local_addr()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let total = dice.size(LONGEST) as u64;
    let leaves_early = dice.below(3) == 0;
    let mut seeds = [(); 6].map(|()| Dice::new(dice.below(usize::MAX) as u64));
    let [for_writer, for_reader, disturbers @ ..] = &mut seeds;
    let controls = [client.control(), client.control(), server.control(), server.control()];
    let controls = controls.map(Clone::clone);
    thread::scope(|scope| {
        let writing = scope.spawn(move || write(client, total, leaves_early, for_writer));
        let reading = scope.spawn(move || read(server, for_reader));
        let disturbing: Vec<_> = controls
            .iter()
            .zip(disturbers)
            .map(|(control, dice)| scope.spawn(move || disturb(control, dice)))
            .collect();
        let deeds: Vec<Deeds> =
            disturbing.into_iter().map(|disturber| disturber.join().unwrap()).collect();
        let ours = both(deeds[0], deeds[1]);
        let theirs = both(deeds[2], deeds[3]);
        assess(writing.join().unwrap(), &reading.join().unwrap(), total, ours, theirs)
    })
}

/// Whether what the reader has is what it should have, after all that was done to both ends.
fn assess(
    mut written: Written,
    received: &Received,
    total: u64,
    ours: Deeds,
    theirs: Deeds,
) -> Stream {
    let story =
        format!("{} accepted, {received:?}, writer {ours:?}, reader {theirs:?}", written.accepted);
    assert!(received.count <= written.accepted, "{story}");
    let may_be_cut =
        ours.aborted || ours.lingers_for_nothing || theirs.aborted || theirs.shut_reading;
    if !may_be_cut {
        assert!(written.accepted == total || ours.shut_writing, "{story}");
        assert_eq!(received.failed, None, "{story}");
        // Who lingers for nothing resets a stream that it has read to its end, too.
        let told = written.told.filter(|_| !theirs.lingers_for_nothing);
        assert_eq!(told, None, "{story}");
        assert_eq!(received.count, written.accepted, "{story}");
        return Stream::Whole;
    }
    if received.count == written.accepted {
        return Stream::Whole;
    }
    if !theirs.aborted && !theirs.shut_reading {
        assert!(received.failed.is_some(), "the reader was not told: {story}");
    }
    if theirs.aborted
        && !theirs.shut_reading
        && !ours.aborted
        && let Some(stream) = written.stream.take()
    {
        let told = written.told.or_else(|| told_late(&stream));
        assert!(told.is_some(), "the writer was not told: {story}");
        assert!(stream.take_error().is_none(), "told twice: {story}");
    }
    Stream::Cut
}

/// Waits for what the stream has to tell.
fn told_late(stream: &TcpStream) -> Option<ErrorKind> {
    let deadline = Instant::now() + LONG;
    while Instant::now() < deadline {
        if let Some(error) = stream.take_error() {
            return Some(error.kind());
        }
        thread::sleep(Duration::from_micros(100));
    }
    None
}

/// Writes as much as is taken, and then waits for the end, or leaves at once.
fn write(mut stream: TcpStream, total: u64, leaves_early: bool, dice: &mut Dice) -> Written {
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    let mut bytes = vec![0; LONGEST];
    let (mut accepted, mut told) = (0, None);
    while accepted < total {
        let left = usize::try_from(total - accepted).unwrap();
        let bytes = &mut bytes[..dice.size(left)];
        fill(7, accepted, bytes);
        match stream.write(bytes) {
            Ok(len) => accepted += len as u64,
            Err(error) => {
                told = cause(&error);
                break;
            }
        }
    }
    if leaves_early {
        let closed = stream.close();
        told = told.or(closed.err().and_then(|error| cause(&error)));
        return Written { accepted, told, stream: None };
    }
    stream.shutdown(Shutdown::Write);
    match stream.read(&mut bytes) {
        Ok(len) => assert_eq!(len, 0, "nothing was sent this way"),
        Err(error) => {
            assert_eq!(told, None, "told twice");
            told = cause(&error);
        }
    }
    Written { accepted, told, stream: Some(stream) }
}

fn read(mut stream: TcpStream, dice: &mut Dice) -> Received {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut bytes = vec![0; 50_000];
    let mut count = 0;
    loop {
        let len = dice.size(bytes.len());
        match stream.read(&mut bytes[..len]) {
            Ok(0) => return Received { count, failed: None },
            Ok(len) => {
                check(7, count, &bytes[..len]);
                count += len as u64;
            }
            Err(error) => return Received { count, failed: cause(&error) },
        }
    }
}

/// The error that tells why a connection failed; a broken pipe only says that it cannot be written to any more.
fn cause(error: &io::Error) -> Option<ErrorKind> {
    assert_ne!(error.kind(), ErrorKind::WouldBlock, "stuck");
    assert_ne!(error.kind(), ErrorKind::TimedOut, "stuck while it lingers");
    Some(error.kind()).filter(|&kind| kind != ErrorKind::BrokenPipe)
}

/// A few operations on a connection, most of them harmless.
fn disturb(control: &Control, dice: &mut Dice) -> Deeds {
    let mut deeds = Deeds::default();
    for _ in 0..dice.below(8) {
        if dice.below(2) == 0 {
            thread::sleep(Duration::from_micros(dice.below(300) as u64));
        }
        match dice.below(40) {
            0 => {
                control.shutdown(Shutdown::Read);
                deeds.shut_reading = true;
            }
            1 | 2 => {
                control.shutdown(Shutdown::Write);
                deeds.shut_writing = true;
            }
            3 => {
                control.shutdown(Shutdown::Both);
                (deeds.shut_reading, deeds.shut_writing) = (true, true);
            }
            4 => {
                control.abort();
                deeds.aborted = true;
            }
            5 => {
                control.set_linger(Some(Duration::ZERO));
                deeds.lingers_for_nothing = true;
            }
            6..12 => control.set_linger(Some(LONG)),
            12..15 => control.set_linger(None),
            15..20 => control.set_keepalive(dice.below(2) == 0),
            20..25 => control.set_user_timeout(Some(LONG)),
            25..30 => {
                let mut size = || Some(3000 + dice.below(100_000));
                control.set_buffers(size(), size());
            }
            _ => control.set_nodelay(dice.below(2) == 0),
        }
    }
    deeds
}

fn both(one: Deeds, other: Deeds) -> Deeds {
    Deeds {
        shut_reading: one.shut_reading | other.shut_reading,
        shut_writing: one.shut_writing | other.shut_writing,
        aborted: one.aborted | other.aborted,
        lingers_for_nothing: one.lingers_for_nothing | other.lingers_for_nothing,
    }
}
