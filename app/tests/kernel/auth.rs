//! Segments signed with TCP MD5 (RFC 2385) between darner and the kernel, each end as the client.
//!
//! darner is a stack in the test's own process; the kernel's end is a Python program, for the standard library has no call that sets a key.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use darner::drops::Drop;
use darner::{Config, ConnectOptions, ListenOptions, Stack, TcpKeys, TcpMd5Key};
use pmd::dpdk::{Device, DeviceConfig, DeviceSpec, Eal, HugePages};

use crate::world::{DARNER, KERNEL, World, eventually};

/// The end of the kernel's: `serve` or `connect`, then its key. It reads a MiB, checks it, and sends another.
const PROGRAM: &str = r#"
import socket, struct, sys
role, key, ours, theirs = sys.argv[1], sys.argv[2].encode(), sys.argv[3], sys.argv[4]
pattern = bytes(i % 251 for i in range(1 << 20))
s = socket.socket()
s.settimeout(20)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
# struct tcp_md5sig of linux/tcp.h, under TCP_MD5SIG.
peer = struct.pack('=HH4s120x', socket.AF_INET, 0, socket.inet_aton(theirs))
s.setsockopt(socket.IPPROTO_TCP, 14, peer + struct.pack('=BBHi80s', 0, 0, len(key), 0, key))
if role == 'serve':
    s.bind((ours, 179))
    s.listen()
    c = s.accept()[0]
    c.settimeout(20)
else:
    s.settimeout(float(sys.argv[5]))
    s.connect((theirs, 179))
    s.settimeout(20)
    c = s
got = bytearray()
while len(got) < len(pattern):
    more = c.recv(65536)
    assert more, len(got)
    got += more
assert bytes(got) == pattern
c.sendall(pattern)
c.shutdown(socket.SHUT_WR)
assert c.recv(1) == b''
print('whole')
"#;

const MEBIBYTE: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_mebibyte_each_way_with_darner_as_the_client() {
    in_a_world("md5-client", |stack| {
        let kernel = Kernel::start("serve", "secret", PATIENCE);
        kernel.wait_until_ready();
        let options = ConnectOptions { keys: keys("secret"), ..ConnectOptions::default() };
        let stream = stack.connect_with(to(KERNEL), options).expect("both have the key");
        exchange(stream);
        assert_eq!(kernel.end(), "whole");
        assert_eq!(signature_drops(stack), 0);
    });
}

#[test]
fn a_mebibyte_each_way_with_the_kernel_as_the_client() {
    in_a_world("md5-server", |stack| {
        let options = ListenOptions { keys: keys("secret"), ..ListenOptions::default() };
        let listener = stack.listen_with(to(DARNER), options).expect("the port is free");
        let kernel = Kernel::start("connect", "secret", PATIENCE);
        exchange(listener.accept().expect("both have the key").0);
        assert_eq!(kernel.end(), "whole");
        assert_eq!(signature_drops(stack), 0);
    });
}

#[test]
fn with_another_key_darner_never_connects() {
    in_a_world("md5-wrong-client", |stack| {
        let kernel = Kernel::start("serve", "secret", PATIENCE);
        kernel.wait_until_ready();
        let stream = stack
            .begin_connect_with(
                to(KERNEL),
                ConnectOptions { keys: keys("Secret"), ..ConnectOptions::default() },
            )
            .expect("there is a route");
        assert!(eventually(Duration::from_secs(5), || kernel_counter("TCPMD5Failure") > 1));
        assert!(!stream.is_connected());
        let unsigned = stack.connect_timeout(to(KERNEL), Duration::from_secs(2));
        assert_eq!(unsigned.expect_err("it has no key").kind(), ErrorKind::TimedOut);
        assert!(kernel_counter("TCPMD5NotFound") > 0);
    });
}

#[test]
fn with_another_key_the_kernel_never_connects() {
    in_a_world("md5-wrong-server", |stack| {
        let options = ListenOptions { keys: keys("secret"), ..ListenOptions::default() };
        let listener = stack.listen_with(to(DARNER), options).expect("the port is free");
        listener.set_nonblocking(true);
        let kernel = Kernel::start("connect", "Secret", Duration::from_secs(2));
        assert_eq!(kernel.end(), "", "it times out");
        assert_eq!(listener.accept().expect_err("nobody came").kind(), ErrorKind::WouldBlock);
        assert!(stack.snapshot().dropped(Drop::TcpMd5Wrong) > 1);
        let unsigned = std::net::TcpStream::connect_timeout(&to(DARNER), Duration::from_secs(2));
        assert_eq!(unsigned.expect_err("it has no key").kind(), ErrorKind::TimedOut);
        assert!(stack.snapshot().dropped(Drop::TcpMd5Missing) > 0);
    });
}

/// Runs `act` in a network namespace of its own, with a stack behind a tap whose other side the kernel has.
fn in_a_world(name: &str, act: impl FnOnce(&Stack) + Send + 'static) {
    let world = World::new(name);
    let done = world.inside(move || {
        let stack = start_darner();
        act(&stack);
        stack.stop(Duration::from_secs(2));
        stack.join().expect("no panic");
    });
    done.join().expect("the test passes");
}

fn start_darner() -> Stack {
    let spec: DeviceSpec = "tap:dtap".parse().expect("a device");
    let eal = Eal::builder().huge_pages(HugePages::Never).devices([&spec]).start().expect("EAL");
    let (_device, queues) = Device::open(eal, &spec, &DeviceConfig::default()).expect("a tap");
    for line in [
        "sysctl -qw net.ipv6.conf.dtap.disable_ipv6=1",
        &format!("ip address add {KERNEL}/24 dev dtap"),
        "ip link set dtap up",
    ] {
        let mut words = line.split_whitespace();
        let status = Command::new(words.next().expect("a program")).args(words).status();
        assert!(status.is_ok_and(|status| status.success()), "{line}");
    }
    let address = format!("{DARNER}/24").parse().expect("a prefix");
    let config = Config { addresses: vec![address], ..Config::default() };
    Stack::start(&config, vec![queues]).expect("the stack starts")
}

/// Sends a MiB, and reads another with its end.
fn exchange(mut stream: darner::TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
    stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
    let pattern: Vec<u8> = (0..=250).cycle().take(MEBIBYTE).collect();
    stream.write_all(&pattern).expect("the peer reads");
    let mut got = Vec::new();
    stream.read_to_end(&mut got).expect("the peer writes, and closes");
    assert!(got == pattern);
    stream.control().shutdown(Shutdown::Write);
}

fn keys(key: &str) -> TcpKeys {
    let peer: Ipv4Addr = KERNEL.parse().expect("an address");
    TcpMd5Key::new(peer, key.as_bytes()).expect("a good length").into()
}

fn to(host: &str) -> SocketAddr {
    SocketAddr::new(host.parse().expect("an address"), 179)
}

fn signature_drops(stack: &Stack) -> u64 {
    let snapshot = stack.snapshot();
    [Drop::TcpMd5Missing, Drop::TcpMd5Unexpected, Drop::TcpMd5Wrong]
        .map(|drop| snapshot.dropped(drop))
        .into_iter()
        .sum()
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

/// The kernel's end.
struct Kernel(Child);

impl Kernel {
    fn start(role: &str, key: &str, patience: Duration) -> Self {
        let child = Command::new("python3")
            .args(["-c", PROGRAM, role, key, KERNEL, DARNER, &patience.as_secs().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.expect("python3 is installed"))
    }

    /// Waits until it listens.
    fn wait_until_ready(&self) {
        let listens = || {
            let sockets = std::fs::read_to_string("/proc/thread-self/net/tcp").expect("/proc");
            // Port 179, state LISTEN.
            sockets.lines().any(|line| line.contains(":00B3 00000000:0000 0A"))
        };
        assert!(eventually(PATIENCE, listens), "the kernel has CONFIG_TCP_MD5SIG");
    }

    /// Waits for its end, and returns the last line that it wrote.
    fn end(mut self) -> String {
        let mut said = String::new();
        let mut output = self.0.stdout.take().expect("piped");
        output.read_to_string(&mut said).expect("UTF-8");
        let _ = self.0.wait();
        said.lines().last().unwrap_or_default().to_owned()
    }
}

impl std::ops::Drop for Kernel {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
