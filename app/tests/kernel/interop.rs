//! darner and the kernel's TCP through `darner wire` with loss: each controller of the kernel's, and each end as the client.
//!
//! darner is a stack in the test's own process, behind a memif; the kernel has a tap. What is asserted is said in
//! `docs/interop.md`, whose table has a row for each test here.

mod patterns;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use darner::{Config, Stack, StackHandle};
use pmd::dpdk::{Device, DeviceConfig, DeviceSpec, Eal, HugePages};
use rustix::net::sockopt::{set_tcp_congestion, tcp_congestion};
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::through_a_wire::{counted, start};
use crate::world::{DARNER, KERNEL, World};
use patterns::PATTERNS;

/// One percent of the packets is lost, each way.
const PATH: &str = "--rate 50M --delay 2ms --loss 1% --seed 11";
/// No call waits longer for the other end.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn darner_connects_to_a_kernel_with_reno() {
    meet("reno", Client::Darner);
}

#[test]
fn darner_connects_to_a_kernel_with_cubic() {
    meet("cubic", Client::Darner);
}

#[test]
fn darner_connects_to_a_kernel_with_bbr() {
    meet("bbr", Client::Darner);
}

#[test]
fn a_kernel_with_reno_connects_to_darner() {
    meet("reno", Client::Kernel);
}

#[test]
fn a_kernel_with_cubic_connects_to_darner() {
    meet("cubic", Client::Kernel);
}

#[test]
fn a_kernel_with_bbr_connects_to_darner() {
    meet("bbr", Client::Kernel);
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Darner,
    Kernel,
}

/// Plays every pattern, each on a connection of its own.
fn meet(controller: &'static str, client: Client) {
    let world = World::new(&format!("interop-{controller}-{client:?}"));
    let memif = format!("interop-{}", world.holder_id());
    let wire = start(&world, &format!("memif:{memif},server tap:wr {PATH}"));
    world.configure("wr", KERNEL);
    // The abstract socket of the memif belongs to the namespace.
    let all = world.inside(move || {
        let stack = start_darner(&memif);
        let handle = stack.handle();
        for (number, (name, pattern)) in PATTERNS.into_iter().enumerate() {
            let begin = Instant::now();
            let port = 5000 + u16::try_from(number).expect("there are few");
            let (client, server) = connect(&handle, controller, client, port);
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

fn start_darner(memif: &str) -> Stack {
    let spec: DeviceSpec = format!("memif:{memif},client").parse().expect("a device");
    let eal = Eal::builder().huge_pages(HugePages::Never).devices([&spec]).start().expect("EAL");
    let (_device, queues) = Device::open(eal, &spec, &DeviceConfig::default()).expect("memif");
    let address = format!("{DARNER}/24").parse().expect("a prefix");
    let config = Config { addresses: vec![address], ..Config::default() };
    Stack::start(&config, vec![queues]).expect("the stack starts")
}

type End = Box<dyn Stream>;

/// The client's end of a new connection and the server's.
fn connect(handle: &StackHandle, controller: &str, client: Client, port: u16) -> (End, End) {
    match client {
        Client::Darner => {
            let listener = TcpListener::bind((KERNEL, port)).expect("the port is free");
            set_tcp_congestion(&listener, controller).expect(REFUSED);
            let server = thread::spawn(move || listener.accept().expect("a connection").0);
            let address = to(KERNEL, port);
            let client = handle.connect_timeout(address, PATIENCE).expect("the wire leads there");
            let server = server.join().expect("no panic");
            (darners(client), kernels(server, controller))
        }
        Client::Kernel => {
            let listener = handle.listen(to(DARNER, port)).expect("the port is free");
            let server = thread::spawn(move || listener.accept().expect("a connection").0);
            let client = TcpStream::connect_timeout(&to(DARNER, port), PATIENCE);
            let client = client.expect("the wire leads there");
            set_tcp_congestion(&client, controller).expect(REFUSED);
            let server = server.join().expect("no panic");
            (kernels(client, controller), darners(server))
        }
    }
}

const REFUSED: &str =
    "the kernel has this controller: see net.ipv4.tcp_available_congestion_control";

fn to(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().expect("an address"), port)
}

fn darners(mut stream: darner::TcpStream) -> End {
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    Box::new(stream)
}

fn kernels(stream: TcpStream, controller: &str) -> End {
    assert_eq!(tcp_congestion(&stream).expect("a TCP socket"), controller);
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    Box::new(stream)
}

/// What both kinds of socket can do.
trait Stream: Read + Write + Send {
    /// Sends no more.
    fn finish(&mut self);
    /// Sends a byte as urgent (RFC 6093).
    fn send_urgent(&mut self, byte: u8) -> io::Result<usize>;
    /// Fetches the byte that the other end has sent as urgent; an error until it is there.
    fn urgent(&mut self) -> io::Result<u8>;
    /// How often the kernel has seen that the window towards this end is shut: it shut its own, or has probed the peer's.
    fn shut_windows(&self) -> u64;
}

impl Stream for TcpStream {
    fn finish(&mut self) {
        self.shutdown(Shutdown::Write).expect("connected");
    }

    fn send_urgent(&mut self, byte: u8) -> io::Result<usize> {
        Ok(send(&*self, &[byte], SendFlags::OOB)?)
    }

    fn urgent(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        recv(&*self, &mut byte, RecvFlags::OOB | RecvFlags::DONTWAIT)?;
        Ok(byte[0])
    }

    fn shut_windows(&self) -> u64 {
        kernel_counter("TCPToZeroWindowAdv")
    }
}

impl Stream for darner::TcpStream {
    fn finish(&mut self) {
        self.control().shutdown(Shutdown::Write);
    }

    fn send_urgent(&mut self, byte: u8) -> io::Result<usize> {
        self.send_oob(&[byte])
    }

    fn urgent(&mut self) -> io::Result<u8> {
        self.recv_oob()
    }

    fn shut_windows(&self) -> u64 {
        kernel_counter("TCPWinProbe")
    }
}

/// A counter of netstat(8) in this thread's namespace.
fn kernel_counter(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/netstat").expect("/proc is mounted");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut both = names.split_whitespace().zip(values.split_whitespace());
    let (_, value) = both.find(|(found, _)| *found == name).expect("a counter of Linux");
    value.parse().expect("a number")
}
