//! A protocol thread with one connection, and a peer that sends what it is told.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use darner::time::Instant;
use darner::{
    Application, Config, ConnectionInfo, Control, Core, DuplicateDetection, Protocol, Readiness,
    TcpConfig, TcpListener, TcpStream, Token, Turn,
};
use pmd::Pool;
use pmd::mem::{self, MemHandle};

use crate::known::Known;
use crate::{PEER, RST, STACK, SYN, Segment, byte_at, stream};

/// The largest packet on the link.
pub const MTU: u16 = 1500;
/// Where the stack listens.
pub const OUR_PORT: u16 = 80;
pub const PEER_PORT: u16 = 0x8000;

pub struct World {
    protocol: Protocol,
    far_end: MemHandle,
    pool: Pool,
    now: Instant,
    listener: Option<TcpListener>,
    pub stream: Option<TcpStream>,
    /// Of the last stream, which may be closed.
    control: Option<Control>,
    /// The connection as the peer has it, since the stack's last SYN.
    pub known: Option<Known>,
    /// How much the application has read.
    pub read: u32,
    /// Connections that the listener has given.
    pub accepted: u32,
    /// What the stack has sent since this was emptied last.
    pub sent: Vec<Vec<u8>>,
}

/// Frames of the pool, an eighth of which the stack leaves to the device.
const FRAMES: usize = 512;
/// Turns at one moment, which end long before.
const MOST_TURNS: usize = 10_000;

impl World {
    pub fn new(tcp: TcpConfig) -> Self {
        let pool = Pool::heap(FRAMES, 2048);
        let (queue, far_end) = mem::device(pool.clone(), MTU);
        let config = Config {
            addresses: vec![format!("{STACK}/24").parse().expect("an address")],
            duplicate_detection: DuplicateDetection::Off,
            tcp: TcpConfig { max_connections: 8, max_half_open: 8, max_time_wait: 8, ..tcp },
            ..Config::default()
        };
        let protocol = Protocol::new(&config, vec![Box::new(queue)], Box::new(Nobody), [5; 32])
            .expect("a good configuration");
        let mut world = Self {
            protocol,
            far_end,
            pool,
            now: Instant::ZERO,
            listener: None,
            stream: None,
            control: None,
            known: None,
            read: 0,
            accepted: 0,
            sent: Vec::new(),
        };
        world.settle();
        world
    }

    /// The stack listens.
    pub fn listen(&mut self) {
        let address = (STACK, OUR_PORT).into();
        let listener = self.protocol.with_core(self.now, |core| core.listen(address, 8, Token(0)));
        self.listener = Some(listener.expect("a free port"));
        self.settle();
    }

    /// The stack sends its SYN.
    pub fn connect(&mut self) {
        let peer = (PEER, PEER_PORT).into();
        let stream = self.protocol.with_core(self.now, |core| core.connect(peer, Token(1)));
        self.take(stream.expect("a free port"));
        self.settle();
    }

    fn take(&mut self, mut stream: TcpStream) {
        stream.set_nonblocking(true);
        // A byte that a read skips would be missing from the stream.
        stream.set_oob_inline(true);
        self.control = Some(stream.control().clone());
        self.stream = Some(stream);
        self.read = 0;
    }

    /// A segment between the connection's two ports.
    pub fn segment(&self) -> Segment {
        let destination_port = self.known.as_ref().map_or(OUR_PORT, |known| known.stack_port);
        Segment { source_port: PEER_PORT, destination_port, window: u16::MAX, ..Segment::default() }
    }

    /// The peer sends a segment, and the stack does what it leads to.
    pub fn send(&mut self, segment: &Segment) {
        self.known.iter_mut().for_each(|known| known.answer(segment));
        self.inject(&segment.packet());
    }

    pub fn inject(&mut self, packet: &[u8]) {
        self.far_end.inject_bytes(packet).expect("the stack leaves some frames to its device");
        self.settle();
    }

    /// Lets time pass, with every deadline in it.
    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.protocol.next_deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            if self.settle().finished {
                return;
            }
        }
        self.now = end;
        self.settle();
    }

    /// The application writes the next bytes of its stream.
    pub fn write(&mut self, len: usize) {
        let (Some(stream_end), Some(known)) = (&mut self.stream, &mut self.known) else { return };
        let bytes = stream(known.written, len);
        if let Ok(taken) = stream_end.write(&bytes) {
            known.written += taken as u32;
        }
        self.settle();
    }

    /// The same, the last byte as urgent.
    pub fn write_urgent(&mut self, len: usize) {
        let (Some(stream_end), Some(known)) = (&mut self.stream, &mut self.known) else { return };
        let bytes = stream(known.written, len);
        if let Ok(taken) = stream_end.send_oob(&bytes) {
            known.written += taken as u32;
        }
        self.settle();
    }

    /// The application reads at most so much, which must be the next bytes of the peer's stream.
    pub fn read(&mut self, len: usize) -> io::Result<usize> {
        let mut bytes = vec![0; len];
        let Some(stream) = &mut self.stream else { return Ok(0) };
        let taken = stream.read(&mut bytes)?;
        for (at, byte) in (self.read..).zip(&bytes[..taken]) {
            assert_eq!(*byte, byte_at(at), "byte {at} of the stream");
        }
        self.read += taken as u32;
        self.settle();
        Ok(taken)
    }

    /// How much could be read.
    pub fn readable(&mut self) -> usize {
        self.stream.as_mut().map_or(0, TcpStream::readable)
    }

    pub fn shutdown(&mut self, how: Shutdown) {
        let Some(stream) = &self.stream else { return };
        if how == Shutdown::Write {
            self.known.iter_mut().for_each(|known| known.shut = true);
        }
        stream.shutdown(how);
        self.settle();
    }

    /// Nagle's algorithm is off from now on.
    pub fn send_small_segments(&mut self) {
        self.stream.iter().for_each(|stream| stream.set_nodelay(true));
        self.settle();
    }

    pub fn abort(&mut self) {
        self.stream.iter().for_each(|stream| stream.abort());
        self.settle();
    }

    /// The application drops its stream.
    pub fn close(&mut self) {
        if self.stream.take().is_some() {
            self.known.iter_mut().for_each(|known| known.shut = true);
        }
        self.settle();
    }

    /// The connection of the last stream; `None` once it is over or in TIME-WAIT.
    pub fn connection(&mut self) -> Option<ConnectionInfo> {
        self.protocol.connection(self.control.as_ref()?)
    }

    /// RCV.NXT, where window fields are not shifted.
    pub fn next_expected(&mut self) -> Option<u32> {
        let edge = self.known.as_ref()?.edge;
        Some(edge.wrapping_sub(self.connection()?.receive_window))
    }

    /// Frames of the pool that the stack holds.
    pub fn frames_held(&self) -> usize {
        self.pool.capacity() - self.pool.available()
    }

    /// Bytes that the stack's connections take for applications to read.
    pub fn buffered(&self) -> usize {
        self.protocol.snapshot().buffered
    }

    /// Turns until nothing is left to do at this moment.
    fn settle(&mut self) -> Turn {
        for _ in 0..MOST_TURNS {
            let turn = self.turn();
            assert!(self.frames_held() <= FRAMES * 7 / 8, "an eighth is the device's");
            if !turn.is_busy() {
                return turn;
            }
        }
        panic!("the stack keeps itself busy");
    }

    fn turn(&mut self) -> Turn {
        let turn = self.protocol.turn(self.now);
        while let Some(packet) = self.far_end.take_bytes() {
            self.hear(&packet);
            self.sent.push(packet);
        }
        // At once, so that a stream is never of another life than the peer's.
        while let Some(Ok((stream, _))) = self.listener.as_ref().map(TcpListener::accept) {
            let known = self.known.as_mut().expect("a SYN came first");
            (known.written, known.shut) = (0, false);
            known.sent = known.stack_iss.wrapping_add(1);
            self.take(stream);
            self.accepted += 1;
        }
        turn
    }

    fn hear(&mut self, packet: &[u8]) {
        assert!(packet.len() <= usize::from(MTU), "no packet is larger than the link takes");
        let Some(segment) = Segment::parse(packet) else { return };
        assert_eq!(segment.destination_port, PEER_PORT);
        if segment.has(RST) {
            return;
        }
        match &mut self.known {
            Some(known) if !segment.has(SYN) || known.began_with(&segment) => known.hear(&segment),
            _ if segment.has(SYN) => self.known = Some(Known::begin(&segment)),
            _ => panic!("no SYN came before {segment:?}"),
        }
    }

    /// Stops the stack.
    ///
    /// # Panics
    ///
    /// If it does not stop, or a frame is not back in its pool.
    pub fn finish(mut self) {
        self.listener = None;
        self.close();
        self.protocol.stop(self.now + Duration::from_secs(1));
        self.pass(Duration::from_secs(2));
        assert!(self.protocol.turn(self.now).finished, "the stack stops");
        let pool = self.pool.clone();
        drop(self);
        assert_eq!(pool.available(), pool.capacity(), "every frame is back in its pool");
    }
}

/// Nothing runs on the protocol thread: the script reads and writes between turns.
struct Nobody;

impl Application for Nobody {
    fn start(&mut self, _: &mut Core<'_>) -> io::Result<()> {
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}
}
