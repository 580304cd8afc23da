//! A peer that sends whatever bytes say it should: frames as they are, and segments that fit the connection so far.
//!
//! The fuzz target `protocol` and the tests beside this file share it.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::time::Duration;

use darner::time::Instant;
use darner::{
    Application, Config, Core, Protocol, Readiness, TcpConfig, TcpListener, TcpStream, Token, Turn,
    UdpSocket,
};
use pmd::mem::{self, MemHandle};
use pmd::{HEADROOM, Pool};

/// Ours and the peer's.
pub(crate) const STACK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(crate) const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const STACK_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// A whole protocol thread between a peer made of bytes and an application that echoes.
pub(crate) struct Driver {
    protocol: Protocol,
    pub(crate) far_end: MemHandle,
    pub(crate) pool: Pool,
    now: Instant,
    /// The stack's last segment on each of the peer's ports.
    last: [Option<Seen>; PORTS],
    /// Frames that the stack has sent.
    pub(crate) sent: Vec<Vec<u8>>,
}

/// What the peer needs of a segment to answer it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    stack_port: u16,
    next_seq: u32,
    ack: u32,
    timestamp: Option<u32>,
}

/// The peer uses ports 0x8000 on; so do the stack's own connections find one.
const PORTS: usize = 8;
const FIRST_PORT: u16 = 0x8000;

impl Driver {
    pub(crate) fn new() -> Self {
        let pool = Pool::heap(512, 2048);
        let (queue, far_end) = mem::ethernet(pool.clone(), 1500, STACK_MAC);
        let config = Config {
            addresses: vec![format!("{STACK}/24").parse().expect("an address")],
            duplicate_detection: darner::DuplicateDetection::Off,
            tcp: TcpConfig {
                max_connections: 64,
                max_half_open: 64,
                receive_buffer: 1 << 16,
                send_buffer: 1 << 16,
                ..TcpConfig::default()
            },
            ..Config::default()
        };
        let application = Box::new(Echo::default());
        let protocol = Protocol::new(&config, vec![Box::new(queue)], application, [5; 32])
            .expect("a good configuration");
        let mut driver = Self {
            protocol,
            far_end,
            pool,
            now: Instant::ZERO,
            last: [None; PORTS],
            sent: Vec::new(),
        };
        // The peer is known from the start, so that answers to it do not wait for ARP.
        driver.inject(&arp_reply());
        driver
    }

    /// Plays a script of bytes to its end.
    pub(crate) fn play(&mut self, script: &[u8]) {
        let mut script = Script(script);
        for _ in 0..MOST_STEPS {
            let Some(step) = script.byte() else { return };
            match step % 8 {
                0 => {
                    let len = usize::from(script.word());
                    let frame = script.bytes(len).to_vec();
                    self.inject(&frame);
                }
                1 => {
                    let millis = u64::from(script.word());
                    self.pass(Duration::from_millis(millis));
                }
                2 => {
                    let len = usize::from(script.byte().unwrap_or(0));
                    let (protocol, body) = (script.byte().unwrap_or(0), script.bytes(len).to_vec());
                    self.inject(&ip_packet(protocol, 0x4000, &body));
                }
                3 => {
                    let (field, len) = (script.word(), usize::from(script.byte().unwrap_or(0)));
                    let body = script.bytes(len).to_vec();
                    self.inject(&ip_packet(17, field & 0x3fff, &body));
                }
                _ => self.segment(&mut script),
            }
        }
    }

    /// A segment that goes on from what the stack sent last, as crooked as the script wants it.
    fn segment(&mut self, script: &mut Script<'_>) {
        let index = usize::from(script.byte().unwrap_or(0)) % PORTS;
        let flags = script.byte().unwrap_or(0);
        let (seq_off, ack_off) = (script.signed(), script.signed());
        let window = script.word();
        let options_len = usize::from(script.byte().unwrap_or(0)) % 11 * 4;
        let payload_len = usize::from(script.word()) % 1461;
        let last = self.last[index];
        let (seq, ack) = last.map_or((1000, 0), |seen| (seen.ack, seen.next_seq));
        let stack_port = last.map_or(7, |seen| seen.stack_port);
        let mut segment = Vec::with_capacity(1500);
        segment.extend((FIRST_PORT + index as u16).to_be_bytes());
        segment.extend(stack_port.to_be_bytes());
        segment.extend(seq.wrapping_add_signed(seq_off).to_be_bytes());
        segment.extend(ack.wrapping_add_signed(ack_off).to_be_bytes());
        let options = match last.and_then(|seen| seen.timestamp) {
            // Agreed timestamps: a segment without them would not be looked at.
            Some(echo) if options_len == 0 => timestamps(self.now, echo),
            _ => script.padded(options_len),
        };
        segment.push((5 + options.len() as u8 / 4) << 4);
        segment.push(flags);
        segment.extend(window.to_be_bytes());
        segment.extend([0; 4]);
        segment.extend(options);
        segment.extend(std::iter::repeat_n(b'x', payload_len));
        self.inject(&ip_packet(6, 0x4000, &segment));
    }

    pub(crate) fn inject(&mut self, frame: &[u8]) {
        // A pool that has run dry is part of the game.
        let _ = self.far_end.inject_bytes(frame);
        self.turn();
    }

    /// Lets time pass, with every deadline in it.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.protocol.next_deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            if self.turn().finished {
                return;
            }
        }
        self.now = end;
        self.turn();
    }

    fn turn(&mut self) -> Turn {
        let mut turns = 0;
        let last = loop {
            let turn = self.protocol.turn(self.now);
            if !turn.is_busy() {
                break turn;
            }
            turns += 1;
            assert!(turns < 10_000, "the stack keeps itself busy");
        };
        while let Some(frame) = self.far_end.take_bytes() {
            self.see(&frame);
            self.sent.push(frame);
        }
        last
    }

    /// Remembers a segment of the stack's, if it is one.
    fn see(&mut self, frame: &[u8]) {
        let Some(segment) =
            frame.get(34..).filter(|_| frame.get(12..14) == Some(&[8, 0]) && frame[23] == 6)
        else {
            return;
        };
        let word = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
        let long = |at: usize| (u32::from(word(at)) << 16) | u32::from(word(at + 2));
        let header_len = usize::from(segment[12] >> 4) * 4;
        let len = (segment.len() - header_len) as u32
            + u32::from(segment[13] & 1)
            + u32::from((segment[13] >> 1) & 1);
        let Some(index) =
            word(2).checked_sub(FIRST_PORT).map(usize::from).filter(|&index| index < PORTS)
        else {
            return;
        };
        let timestamp = segment[20..header_len]
            .windows(6)
            .find(|window| window.starts_with(&[8, 10]))
            .map(|window| u32::from_be_bytes([window[2], window[3], window[4], window[5]]));
        self.last[index] = (segment[13] & 4 == 0).then_some(Seen {
            stack_port: word(0),
            next_seq: long(4).wrapping_add(len),
            ack: long(8),
            timestamp,
        });
    }

    /// Frames of the pool that are in use.
    pub(crate) fn frames_in_use(&self) -> usize {
        self.pool.capacity() - self.pool.available()
    }

    pub(crate) fn protocol(&mut self) -> &mut Protocol {
        &mut self.protocol
    }

    /// Stops the stack and asserts that it holds no frame any more.
    pub(crate) fn finish(mut self) {
        self.protocol.stop(self.now + Duration::from_secs(1));
        self.pass(Duration::from_secs(2));
        let pool = self.pool.clone();
        drop(self);
        assert_eq!(pool.available(), pool.capacity(), "every frame is back in its pool");
    }
}

/// Steps of one script: enough to get anywhere, and over in time.
const MOST_STEPS: usize = 256;

/// Bytes that run out quietly.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn word(&mut self) -> u16 {
        u16::from_be_bytes([self.byte().unwrap_or(0), self.byte().unwrap_or(0)])
    }

    /// Mostly zero or small, now and then anything.
    fn signed(&mut self) -> i32 {
        match self.byte().unwrap_or(0) {
            0..0xc0 => 0,
            small @ 0xc0..0xf0 => i32::from(small) - 0xd8,
            _ => (i32::from(self.word()) << 16) | i32::from(self.word()),
        }
    }

    fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn padded(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = self.bytes(len).to_vec();
        bytes.resize(len, 1);
        bytes
    }
}

fn timestamps(now: Instant, echo: u32) -> Vec<u8> {
    let mut options = vec![1, 1, 8, 10];
    options.extend((now.as_millis() as u32).to_be_bytes());
    options.extend(echo.to_be_bytes());
    options
}

/// An IPv4 packet from the peer in an Ethernet frame, with right checksums.
pub(crate) fn ip_packet(protocol: u8, fragment: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = [&STACK_MAC[..], &PEER_MAC[..], &[8, 0]].concat();
    let mut header = [0x45, 0, 0, 0, 0, 7, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    header[2..4].copy_from_slice(&((20 + body.len()) as u16).to_be_bytes());
    header[6..8].copy_from_slice(&fragment.to_be_bytes());
    let sum = checksum(&header, 0);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut body = body.to_vec();
    let field = match protocol {
        1 => 2,
        6 => 16,
        17 => 6,
        _ => usize::MAX,
    };
    if body.len() >= field.saturating_add(2) && fragment & 0x3fff == 0 {
        body[field..field + 2].fill(0);
        let pseudo = if protocol == 1 {
            0
        } else {
            let mut pseudo = [10, 0, 0, 1, 10, 0, 0, 2, 0, protocol, 0, 0];
            pseudo[10..].copy_from_slice(&(body.len() as u16).to_be_bytes());
            u32::from(!checksum(&pseudo, 0))
        };
        let sum = checksum(&body, pseudo);
        body[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    }
    frame.extend(header);
    frame.extend(body);
    frame
}

fn checksum(bytes: &[u8], start: u32) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| (u32::from(pair[0]) << 8) | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum = words.fold(start, |sum, word| sum + word);
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

fn arp_reply() -> Vec<u8> {
    let mut frame = [&STACK_MAC[..], &PEER_MAC[..], &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]].concat();
    frame.extend(PEER_MAC);
    frame.extend(PEER.octets());
    frame.extend(STACK_MAC);
    frame.extend(STACK.octets());
    frame
}

/// Echoes over TCP and UDP on port 7, and connects to the peer's first port.
#[derive(Default)]
struct Echo {
    listener: Option<TcpListener>,
    udp: Option<UdpSocket>,
    streams: Vec<Option<TcpStream>>,
}

impl Application for Echo {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        let seven = "0.0.0.0:7".parse().expect("an address");
        self.listener = Some(core.listen(seven, 16, Token(0))?);
        self.udp = Some(core.bind_udp(seven, Token(1))?);
        let peer = (PEER, FIRST_PORT).into();
        self.streams.push(Some(core.connect(peer, Token(2))?));
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        let mut bytes = [0; 4096];
        match token {
            Token(0) => {
                while let Some(Ok((mut stream, _))) =
                    self.listener.as_ref().map(TcpListener::accept)
                {
                    core.register(&mut stream, Token(2 + self.streams.len() as u64));
                    self.streams.push(Some(stream));
                }
            }
            Token(1) => {
                while let Some(Ok((len, from))) =
                    self.udp.as_mut().map(|udp| udp.recv_from(&mut bytes))
                {
                    let _ = self.udp.as_mut().map(|udp| udp.send_to(&bytes[..len], from));
                }
            }
            Token(stream) => {
                let slot =
                    usize::try_from(stream - 2).ok().and_then(|index| self.streams.get_mut(index));
                let Some(slot) = slot else { return };
                while let Some(stream) = slot {
                    match stream.read(&mut bytes) {
                        Ok(len) if len > 0 => {
                            let _ = stream.write(&bytes[..len]);
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                        _ => *slot = None,
                    }
                }
            }
        }
    }
}

const _: () = assert!(HEADROOM >= 14 + 20 + 60, "headers fit before the payload");
