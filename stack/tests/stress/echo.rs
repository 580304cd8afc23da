//! T-1: many echoed streams, whose halves wander between threads.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use darner::{
    Application, Core, ListenOptions, Overflow, ReadHalf, Readiness, StackHandle, TcpListener,
    TcpStream, Token, WriteHalf,
};

use crate::world::{Dice, LONG, World, address, check, config, duration, fill, two_cores};

/// Connections at any time.
const CONNECTIONS: usize = 64;
/// Threads between which their halves wander.
const THREADS: usize = 6;
/// Most bytes of a stream.
const LONGEST: usize = 300_000;
/// How long a half waits on one thread.
const PATIENCE: Duration = Duration::from_millis(2);

#[test]
fn an_application_thread_echoes_every_byte_and_everything_is_given_back() {
    let world = World::new(&config());
    let at = address();
    let server = world.spawn(Box::new(Echo::new(at))).unwrap();
    echo(&world, at);
    drop(server);
    world.assert_balanced();
}

#[test]
fn the_applications_of_two_cores_echo_every_byte_and_everything_is_given_back() {
    let at = address();
    let world = World::with(&two_cores(), |_| Box::new(Echo::new(at)));
    echo(&world, at);
    world.assert_balanced();
}

/// Wandering halves for as long as the test goes on, and then as many fresh connections as the listeners may have: none
/// that is gone counts any more.
fn echo(world: &World, at: SocketAddr) {
    let wandering = Wandering::new(world.handle(), at);
    let workers: Vec<_> = (0..THREADS as u64)
        .map(|seed| {
            let wandering = wandering.clone();
            thread::spawn(move || wandering.work(&mut Dice::new(seed)))
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    assert!(wandering.finished.load(Ordering::Relaxed) >= CONNECTIONS);
    let fresh: Vec<TcpStream> = (0..CONNECTIONS).map(|_| world.connect(at).unwrap()).collect();
    for mut stream in fresh {
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0; 1]).unwrap();
    }
}

/// Halves that nobody works on just now.
struct Wandering {
    stack: StackHandle,
    to: SocketAddr,
    halves: Mutex<Vec<Half>>,
    streams: AtomicU64,
    open: AtomicUsize,
    finished: AtomicUsize,
    until: Instant,
}

enum Half {
    Write(Writer),
    Read(Reader),
}

struct Writer {
    half: WriteHalf,
    stream: u64,
    position: u64,
    total: u64,
}

struct Reader {
    half: ReadHalf,
    stream: u64,
    position: u64,
    total: u64,
    /// When the last byte came.
    heard: Instant,
}

impl Wandering {
    fn new(stack: StackHandle, to: SocketAddr) -> Arc<Self> {
        let wandering = Self {
            stack,
            to,
            halves: Mutex::default(),
            streams: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            until: Instant::now() + duration(),
        };
        let mut dice = Dice::new(99);
        (0..CONNECTIONS).for_each(|_| wandering.open(&mut dice));
        Arc::new(wandering)
    }

    fn open(&self, dice: &mut Dice) {
        let stream = self.streams.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        let (mut read, mut write, control) = self.stack.connect(self.to).unwrap().split();
        control.set_nodelay(dice.below(2) == 0);
        read.set_read_timeout(Some(PATIENCE)).unwrap();
        write.set_write_timeout(Some(PATIENCE)).unwrap();
        let total = dice.size(LONGEST) as u64;
        let writer = Writer { half: write, stream, position: 0, total };
        let reader = Reader { half: read, stream, position: 0, total, heard: Instant::now() };
        let mut halves = self.halves.lock().unwrap();
        halves.extend([Half::Write(writer), Half::Read(reader)]);
    }

    fn work(&self, dice: &mut Dice) {
        let mut bytes = vec![0; LONGEST];
        while self.open.load(Ordering::Relaxed) > 0 {
            match self.pick(dice) {
                None => thread::sleep(Duration::from_micros(100)),
                Some(Half::Write(writer)) => {
                    let writer = writer.step(dice, &mut bytes);
                    self.halves.lock().unwrap().extend(writer.map(Half::Write));
                }
                Some(Half::Read(reader)) => match reader.step(dice, &mut bytes) {
                    Some(reader) => self.halves.lock().unwrap().push(Half::Read(reader)),
                    None => self.finish(dice),
                },
            }
        }
    }

    fn pick(&self, dice: &mut Dice) -> Option<Half> {
        let mut halves = self.halves.lock().unwrap();
        let count = halves.len();
        (count > 0).then(|| halves.swap_remove(dice.below(count)))
    }

    fn finish(&self, dice: &mut Dice) {
        self.finished.fetch_add(1, Ordering::Relaxed);
        if Instant::now() < self.until {
            self.open(dice);
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Writer {
    /// Writes some. `None` when that was all, and the direction is shut down.
    fn step(mut self, dice: &mut Dice, bytes: &mut [u8]) -> Option<Self> {
        let left = usize::try_from(self.total - self.position).unwrap();
        let bytes = &mut bytes[..dice.size(left)];
        fill(self.stream, self.position, bytes);
        match self.half.write(bytes) {
            Ok(len) => self.position += len as u64,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        (self.position < self.total).then_some(self)
    }
}

impl Reader {
    /// Reads some. `None` at the end of the stream, after every byte.
    fn step(mut self, dice: &mut Dice, bytes: &mut [u8]) -> Option<Self> {
        let len = dice.size(bytes.len());
        match self.half.read(&mut bytes[..len]) {
            Ok(0) => {
                assert_eq!(self.position, self.total, "stream {} ends early", self.stream);
                return None;
            }
            Ok(len) => {
                check(self.stream, self.position, &bytes[..len]);
                self.position += len as u64;
                self.heard = Instant::now();
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                let Self { stream, position, total, .. } = self;
                let stuck = self.heard.elapsed() > LONG;
                assert!(!stuck, "stream {stream} is stuck at byte {position} of {total}");
            }
        }
        Some(self)
    }
}

/// Sends back what comes.
struct Echo {
    at: SocketAddr,
    listener: Option<TcpListener>,
    next: u64,
    streams: HashMap<Token, Echoed>,
}

struct Echoed {
    stream: TcpStream,
    /// Read and not yet written.
    pending: Vec<u8>,
}

impl Echo {
    fn new(at: SocketAddr) -> Self {
        Self { at, listener: None, next: 1, streams: HashMap::new() }
    }
}

impl Application for Echo {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        let options = ListenOptions {
            max_connections: Some(2 * CONNECTIONS as u32),
            overflow: Overflow::Reset,
            ..ListenOptions::default()
        };
        self.listener = Some(core.listen_with(self.at, options, Token(0))?);
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        while token == Token(0)
            && let Some(Ok((mut stream, _))) = self.listener.as_ref().map(TcpListener::accept)
        {
            let token = Token(self.next);
            self.next += 1;
            core.register(&mut stream, token);
            self.streams.insert(token, Echoed { stream, pending: Vec::new() });
        }
        if self.streams.get_mut(&token).is_some_and(|echoed| echoed.echo() == Echoing::Over) {
            self.streams.remove(&token);
        }
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Echoing {
    GoesOn,
    Over,
}

impl Echoed {
    fn echo(&mut self) -> Echoing {
        let mut bytes = [0; 20_000];
        loop {
            while !self.pending.is_empty() {
                match self.stream.write(&self.pending) {
                    Ok(len) => drop(self.pending.drain(..len)),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Echoing::GoesOn,
                    Err(error) => panic!("{error}"),
                }
            }
            match self.stream.read(&mut bytes) {
                Ok(0) => return Echoing::Over,
                Ok(len) => self.pending.extend_from_slice(&bytes[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Echoing::GoesOn,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
