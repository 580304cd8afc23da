//! What connections cost, in resident memory, with everything: control block, shared words, rings, tables and a
//! timer.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use darner::counters::Counter;
use darner::time::Instant;
use darner::{
    Application, Config, Core, DuplicateDetection, Protocol, Readiness, TcpConfig, TcpListener,
    TcpStream, Token,
};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use pmd::Pool;
use pmd::mem::{self, MemHandle};

/// `DARNER_CONNECTIONS` makes it a million.
const CONNECTIONS: u32 = 100_000;
/// Contract 3.2.
const BUDGET: u64 = 768;

#[test]
fn an_idle_connection_fits_its_budget() {
    let count = std::env::var("DARNER_CONNECTIONS").ok().and_then(|count| count.parse().ok());
    let count = count.unwrap_or(CONNECTIONS);
    let mut server = Server::new(count as usize);
    // Whatever is made once is there now.
    server.connect(0);
    let before = resident();
    (1..=count).for_each(|number| server.connect(number));
    server.settle();
    let after = resident();
    assert_eq!(server.accepted(), count as usize + 1);
    assert_eq!(server.protocol.metrics().counter(Counter::TcpPassiveOpens), u64::from(count) + 1);
    // What the application keeps is its own, wherever that is.
    let handle = size_of::<TcpStream>() as u64;
    let each = (after - before) / u64::from(count) - handle;
    let told =
        format!("{count} idle connections cost {each} bytes each, and {handle} for the handle");
    println!("{told}");
    assert!(each <= BUDGET, "{told}");
}

/// Accepts and keeps.
struct Keeper {
    listener: Option<TcpListener>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

impl Application for Keeper {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        self.listener = Some(core.listen("0.0.0.0:80".parse().unwrap(), 1024, Token(0))?);
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        while token == Token(0)
            && let Some(Ok((mut stream, _))) = self.listener.as_ref().map(TcpListener::accept)
        {
            // So that each has a timer.
            stream.set_keepalive(true);
            let mut streams = self.streams.lock().unwrap();
            core.register(&mut stream, Token(1 + streams.len() as u64));
            streams.push(stream);
        }
    }
}

/// A protocol driven by hand, whose peer is no stack and remembers nothing.
struct Server {
    protocol: Protocol,
    wire: MemHandle,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    now: Instant,
}

impl Server {
    fn new(connections: usize) -> Self {
        let (queue, wire) = mem::device(Pool::heap(256, 2048), 1500);
        let max_connections = connections + 1;
        let config = Config {
            addresses: vec!["10.0.0.1/8".parse().unwrap()],
            duplicate_detection: DuplicateDetection::Off,
            tcp: TcpConfig { max_connections, ..TcpConfig::default() },
            ..Config::default()
        };
        let streams = Arc::new(Mutex::new(Vec::with_capacity(max_connections)));
        let keeper = Keeper { listener: None, streams: streams.clone() };
        let protocol = Protocol::new(&config, vec![Box::new(queue)], Box::new(keeper), [7; 32]);
        Self { protocol: protocol.unwrap(), wire, streams, now: Instant::ZERO }
    }

    /// The handshake of peer `number`.
    fn connect(&mut self, number: u32) {
        self.now = self.now + Duration::from_micros(10);
        let syn = packet(number, 0, |tcp| tcp.syn().options_raw(&SYN_OPTIONS).unwrap());
        self.input(&syn);
        let answer = self.wire.take_bytes().unwrap();
        let Some(TransportSlice::Tcp(syn_ack)) = SlicedPacket::from_ip(&answer).unwrap().transport
        else {
            panic!("a SYN-ACK");
        };
        let next = syn_ack.sequence_number().wrapping_add(1);
        self.input(&packet(number, 1, |tcp| tcp.ack(next)));
        // The first window that is scaled.
        while self.wire.take().is_some() {}
    }

    fn input(&mut self, packet: &[u8]) {
        self.wire.inject_bytes(packet).unwrap();
        self.turn();
    }

    fn turn(&mut self) {
        while self.protocol.turn(self.now).is_busy() {}
    }

    /// Lets every timer run out that does not belong to an idle connection.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.now = self.now + Duration::from_secs(1);
            self.turn();
        }
    }

    fn accepted(&self) -> usize {
        self.streams.lock().unwrap().len()
    }
}

/// MSS 1460, window scale 7.
const SYN_OPTIONS: [u8; 8] = [2, 4, 5, 180, 3, 3, 7, 0];

type Tcp = etherparse::PacketBuilderStep<etherparse::TcpHeader>;

fn packet(number: u32, seq: u32, with: impl FnOnce(Tcp) -> Tcp) -> Vec<u8> {
    let [_, a, b, c] = (number / 50_000 + 0x0100_0000 + (1 << 16)).to_be_bytes();
    let port = u16::try_from(number % 50_000).unwrap() + 1000;
    let tcp = PacketBuilder::ipv4([10, a, b, c], [10, 0, 0, 1], 64).tcp(port, 80, seq, 60_000);
    let tcp = with(tcp);
    let mut bytes = Vec::with_capacity(tcp.size(0));
    tcp.write(&mut bytes, &[]).unwrap();
    bytes
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = pages.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}
