//! The other end: a stack in this process, with an application that checks every byte.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use darner::{Application, Config, Core, Readiness, Stack, TcpStream, Token, UdpSocket};
use pmd::dpdk::{Device, DeviceConfig, DeviceSpec, Eal, HugePages};

use crate::server::Server;

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 8, 0, 1);

/// Runs `work` against the server, which must succeed within two minutes.
pub(crate) fn run<W: Work>(server: &Server, work: W) {
    let spec: DeviceSpec = server.peer_device().parse().expect("a device");
    let eal = Eal::builder().huge_pages(HugePages::Never).devices([&spec]).start().expect("EAL");
    let (_device, queues) = Device::open(eal, &spec, &DeviceConfig::default()).expect("memif");
    let config =
        Config { addresses: vec!["10.8.0.2/24".parse().expect("a prefix")], ..Config::default() };
    let (tell, told) = channel();
    let mut application = Some(work.application(tell));
    let stack = Stack::start_with(&config, vec![queues], |_| application.take().expect("one core"))
        .expect("the stack starts");
    let outcome = told.recv_timeout(Duration::from_secs(120)).expect("an outcome in time");
    outcome.unwrap_or_else(|error| panic!("{error}"));
    stack.stop(Duration::from_secs(2));
    stack.join().expect("no panic");
}

pub(crate) trait Work {
    /// The application that does this work and tells the outcome.
    fn application(self, tell: Sender<io::Result<()>>) -> Box<dyn Application>;
}

/// Connections that send `len` bytes, half-close, and read `answer` bytes of the same up to the end of the stream.
#[derive(Clone, Copy)]
pub(crate) struct Streams {
    pub(crate) port: u16,
    pub(crate) total: u64,
    pub(crate) at_once: u64,
    pub(crate) len: usize,
    pub(crate) answer: usize,
}

struct StreamClient {
    work: Streams,
    begun: u64,
    ended: u64,
    flows: HashMap<Token, Flow>,
    tell: Sender<io::Result<()>>,
}

struct Flow {
    stream: TcpStream,
    seed: usize,
    sent: usize,
    received: usize,
}

impl Work for Streams {
    fn application(self, tell: Sender<io::Result<()>>) -> Box<dyn Application> {
        Box::new(StreamClient { work: self, begun: 0, ended: 0, flows: HashMap::new(), tell })
    }
}

impl StreamClient {
    fn begin(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        let token = Token(self.begun);
        let stream = core.connect((SERVER, self.work.port).into(), token)?;
        let seed = usize::try_from(self.begun).map_err(io::Error::other)?;
        self.flows.insert(token, Flow { stream, seed, sent: 0, received: 0 });
        self.begun += 1;
        Ok(())
    }

    /// Ends a flow that is complete, and begins the next.
    fn go_on(&mut self, core: &mut Core<'_>, token: Token) -> io::Result<()> {
        let Some(flow) = self.flows.get_mut(&token) else { return Ok(()) };
        flow.run(&self.work)?;
        self.flows.remove(&token);
        self.ended += 1;
        if self.ended == self.work.total {
            let _ = self.tell.send(Ok(()));
        } else if self.begun < self.work.total {
            self.begin(core)?;
        }
        Ok(())
    }
}

impl Application for StreamClient {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        (0..self.work.at_once).try_for_each(|_| self.begin(core))
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        match self.go_on(core, token) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => drop(self.tell.send(Err(error))),
            Ok(()) => {}
        }
    }
}

impl Flow {
    /// Sends and receives until the end (`Ok`) or until it would block.
    fn run(&mut self, work: &Streams) -> io::Result<()> {
        match self.send(work) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            outcome => outcome?,
        }
        let mut piece = [0; 16 << 10];
        loop {
            let len = self.stream.read(&mut piece)?;
            if len == 0 {
                break;
            }
            let want = pattern(self.seed, self.received, len);
            if piece[..len] != want {
                return Err(io::Error::other(format!("other bytes at {}", self.received)));
            }
            self.received += len;
        }
        if (self.sent, self.received) == (work.len, work.answer) {
            return Ok(());
        }
        Err(io::Error::other(format!("the stream ended after {} bytes", self.received)))
    }

    fn send(&mut self, work: &Streams) -> io::Result<()> {
        while self.sent < work.len {
            let len = (work.len - self.sent).min(16 << 10);
            self.sent += self.stream.write(&pattern(self.seed, self.sent, len))?;
            if self.sent == work.len {
                self.stream.shutdown(Shutdown::Write);
            }
        }
        Ok(())
    }
}

/// The bytes of a stream or datagram, which differ from flow to flow.
fn pattern(seed: usize, from: usize, len: usize) -> Vec<u8> {
    (from..from + len)
        .map(|at| (at * 31 + seed * 7).to_le_bytes()[0] ^ (at >> 8).to_le_bytes()[0])
        .collect()
}

/// Datagrams that must come back, one after the other.
pub(crate) struct Datagrams {
    pub(crate) port: u16,
    pub(crate) sizes: Vec<usize>,
}

struct DatagramClient {
    work: Datagrams,
    socket: Option<UdpSocket>,
    answered: usize,
    tell: Sender<io::Result<()>>,
}

const DATAGRAMS: Token = Token(0);
/// A datagram that was sent before the server could answer is sent again.
const SEND_AGAIN: Duration = Duration::from_secs(1);

impl Work for Datagrams {
    fn application(self, tell: Sender<io::Result<()>>) -> Box<dyn Application> {
        Box::new(DatagramClient { work: self, socket: None, answered: 0, tell })
    }
}

impl DatagramClient {
    fn send(&mut self) {
        let to = SocketAddr::from((SERVER, self.work.port));
        if let (Some(socket), Some(&size)) = (&mut self.socket, self.work.sizes.get(self.answered))
        {
            let _ = socket.send_to(&pattern(size, 0, size), to);
        }
    }

    fn receive(&mut self) {
        let mut payload = vec![0; 70_000];
        while let Some(Ok((len, _))) =
            self.socket.as_mut().map(|socket| socket.recv_from(&mut payload))
        {
            // An answer to a datagram that was sent twice comes twice.
            if self.work.sizes.get(self.answered) != Some(&len) {
                continue;
            }
            if payload[..len] != pattern(len, 0, len) {
                let error = io::Error::other(format!("other bytes in the datagram of {len}"));
                return drop(self.tell.send(Err(error)));
            }
            self.answered += 1;
            if self.answered == self.work.sizes.len() {
                return drop(self.tell.send(Ok(())));
            }
            self.send();
        }
    }
}

impl Application for DatagramClient {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        self.socket = Some(core.bind_udp((Ipv4Addr::UNSPECIFIED, 0).into(), DATAGRAMS)?);
        core.set_timer(Duration::ZERO, DATAGRAMS);
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {
        self.receive();
    }

    fn timeout(&mut self, core: &mut Core<'_>, _: Token) {
        self.send();
        core.set_timer(SEND_AGAIN, DATAGRAMS);
    }
}
