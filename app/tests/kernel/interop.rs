//! darner and other TCPs through `darner wire` with loss, each end as the client.
//!
//! darner is a stack in the test's own process, behind a memif; the peer has a tap. What is asserted is said in
//! `docs/interop.md`, whose table has a row for each test here.

mod kernel;
mod lwip;
mod patterns;
mod smoltcp;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use ::smoltcp::socket::tcp::CongestionControl;
use darner::{Config, Stack, StackHandle};
use pmd::dpdk::{Device, DeviceConfig, DeviceSpec, Eal, HugePages};

use crate::through_a_wire::{counted, start};
use crate::world::{DARNER, Darner, KERNEL, World};
use kernel::Kernel;
use lwip::Lwip;
use patterns::PATTERNS;
use smoltcp::Smoltcp;

/// One percent of the packets is lost, each way.
const PATH: &str = "--rate 50M --delay 2ms --loss 1% --seed 11";
/// No call waits longer for the other end.
const PATIENCE: Duration = Duration::from_secs(20);
/// The peer's address.
const PEER: &str = KERNEL;
/// The peer's interface.
const TAP: &str = "peer";

#[test]
fn darner_connects_to_a_kernel_with_reno() {
    meet(Kernel("reno"), Client::Darner);
}

#[test]
fn darner_connects_to_a_kernel_with_cubic() {
    meet(Kernel("cubic"), Client::Darner);
}

#[test]
fn darner_connects_to_a_kernel_with_bbr() {
    meet(Kernel("bbr"), Client::Darner);
}

#[test]
fn a_kernel_with_reno_connects_to_darner() {
    meet(Kernel("reno"), Client::Peer);
}

#[test]
fn a_kernel_with_cubic_connects_to_darner() {
    meet(Kernel("cubic"), Client::Peer);
}

#[test]
fn a_kernel_with_bbr_connects_to_darner() {
    meet(Kernel("bbr"), Client::Peer);
}

#[test]
fn darner_connects_to_smoltcp() {
    meet(Smoltcp(CongestionControl::None), Client::Darner);
}

#[test]
fn darner_connects_to_smoltcp_with_cubic() {
    meet(Smoltcp(CongestionControl::Cubic), Client::Darner);
}

#[test]
fn smoltcp_connects_to_darner() {
    meet(Smoltcp(CongestionControl::None), Client::Peer);
}

#[test]
fn smoltcp_with_cubic_connects_to_darner() {
    meet(Smoltcp(CongestionControl::Cubic), Client::Peer);
}

#[test]
fn darner_connects_to_lwip() {
    meet(Lwip, Client::Darner);
}

#[test]
fn lwip_connects_to_darner() {
    meet(Lwip, Client::Peer);
}

#[derive(Clone, Copy)]
enum Client {
    Darner,
    Peer,
}

/// Plays every pattern, each on a connection of its own.
fn meet(kind: impl Kind + Send + 'static, client: Client) {
    let world = World::new("interop");
    let memif = format!("interop-{}", world.holder_id());
    let wire = kind.lay(&world, &format!("memif:{memif},server"));
    let folder = world.folder.clone();
    // The abstract socket of the memif belongs to the namespace.
    let all = world.inside(move || {
        let peer = kind.start(&folder);
        let stack = start_darner(&memif);
        let handle = stack.handle();
        for (number, (name, pattern)) in PATTERNS.into_iter().enumerate() {
            let begin = Instant::now();
            let port = 5000 + u16::try_from(number).expect("there are few");
            let (client, server) = connect(&handle, &*peer, client, port);
            pattern(client, server);
            eprintln!("{name}: {:?}", begin.elapsed());
        }
        stack.stop(Duration::from_secs(2));
        stack.join().expect("no panic");
    });
    all.join().expect("every pattern passes");
    let said = wire.stop().stderr;
    for way in ["left to right", "right to left"] {
        assert!(counted(&said, way, "lost") > 0, "{said}");
    }
}

/// Another TCP.
trait Kind {
    /// Lays the wire from `left` to [`TAP`], behind which no kernel has an address.
    fn lay(&self, world: &World, left: &str) -> Darner {
        world.kernel(&format!("ip tuntap add dev {TAP} mode tap"));
        world.kernel(&format!("sysctl -qw net.ipv6.conf.{TAP}.disable_ipv6=1"));
        world.kernel(&format!("ip link set {TAP} up"));
        start(world, &format!("{left} af_packet:{TAP} {PATH}"))
    }

    /// Starts it behind the tap; called on a thread in the namespace.
    fn start(&self, folder: &Path) -> Box<dyn Peer>;
}

/// It, started.
trait Peer {
    /// Listens; the result waits for the one connection.
    fn listen(&self, port: u16) -> Accept;
    /// Connects to darner.
    fn connect(&self, port: u16) -> End;
    /// Counts how often it has seen that darner's window is shut.
    fn shut_out(&self) -> Count;
}

type Accept = Box<dyn FnOnce() -> End + Send>;
type Count = Box<dyn Fn() -> u64 + Send>;
type End = Box<dyn Stream>;

/// What both kinds of socket can do.
trait Stream: Read + Write + Send {
    /// Sends no more.
    fn finish(&mut self);
    /// `None` where this TCP does not know what urgent data is, and leaves it in the stream.
    fn urgent(&mut self) -> Option<&mut dyn Urgent>;
    /// How often the peer has seen that the window towards this end is shut: it has shut its own, or darner's stopped it.
    fn shut_windows(&self) -> u64;
}

/// A stream with urgent data (RFC 6093).
trait Urgent {
    /// Sends a byte as urgent.
    fn send(&mut self, byte: u8) -> io::Result<usize>;
    /// Fetches the byte that the other end has sent as urgent; an error until it is there.
    fn fetch(&mut self) -> io::Result<u8>;
}

/// The client's end of a new connection and the server's.
fn connect(darner: &StackHandle, peer: &dyn Peer, client: Client, port: u16) -> (End, End) {
    let darners = |stream| Darners::end(stream, peer.shut_out());
    match client {
        Client::Darner => {
            let server = thread::spawn(peer.listen(port));
            let client = darner.connect_timeout(to(PEER, port), PATIENCE);
            let client = client.expect("the wire leads there");
            (darners(client), server.join().expect("no panic"))
        }
        Client::Peer => {
            let listener = darner.listen(to(DARNER, port)).expect("the port is free");
            let server = thread::spawn(move || listener.accept().expect("a connection").0);
            let client = peer.connect(port);
            (client, darners(server.join().expect("no panic")))
        }
    }
}

/// The answer of a TCP that never waits, which is asked until there is one.
fn patiently<T>(mut ask: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let begin = Instant::now();
    loop {
        let answer = ask();
        let waits = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        if !waits || begin.elapsed() > PATIENCE {
            return answer;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn to(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().expect("an address"), port)
}

fn start_darner(memif: &str) -> Stack {
    let spec: DeviceSpec = format!("memif:{memif},client").parse().expect("a device");
    let eal = Eal::builder().huge_pages(HugePages::Never).devices([&spec]).start().expect("EAL");
    let (_device, queues) = Device::open(eal, &spec, &DeviceConfig::default()).expect("memif");
    let address = format!("{DARNER}/24").parse().expect("a prefix");
    let config = Config { addresses: vec![address], ..Config::default() };
    Stack::start(&config, vec![queues]).expect("the stack starts")
}

/// darner's end.
struct Darners {
    stream: darner::TcpStream,
    shut_out: Count,
}

impl Darners {
    fn end(mut stream: darner::TcpStream, shut_out: Count) -> End {
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
        Box::new(Self { stream, shut_out })
    }
}

impl Stream for Darners {
    fn finish(&mut self) {
        self.stream.control().shutdown(Shutdown::Write);
    }

    fn urgent(&mut self) -> Option<&mut dyn Urgent> {
        Some(&mut self.stream)
    }

    fn shut_windows(&self) -> u64 {
        (self.shut_out)()
    }
}

impl Urgent for darner::TcpStream {
    fn send(&mut self, byte: u8) -> io::Result<usize> {
        self.send_oob(&[byte])
    }

    fn fetch(&mut self) -> io::Result<u8> {
        self.recv_oob()
    }
}

impl Read for Darners {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl Write for Darners {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
