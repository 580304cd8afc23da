//! A stack with real threads and no network.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use darner::{Config, DuplicateDetection, Idle, Stack, TcpConfig, TcpListener, TcpStream};
use pmd::{Pool, QueuePair, mem};

pub(crate) const ADDRESS: &str = "10.0.0.1";

/// Longer than anything takes that is not stuck.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// With buffers of which the sender's is the larger: who finds it full has written more than the peer takes.
pub(crate) fn config() -> Config {
    Config {
        addresses: vec![format!("{ADDRESS}/24").parse().unwrap()],
        duplicate_detection: DuplicateDetection::Off,
        idle: Idle::Sleep,
        tcp: TcpConfig {
            receive_buffer: 128 << 10,
            receive_buffer_max: 0,
            send_buffer: 512 << 10,
            send_buffer_max: 0,
            ..TcpConfig::default()
        },
        ..Config::default()
    }
}

/// The queue pairs of one core that is connected to nothing.
pub(crate) fn no_network() -> Vec<Box<dyn QueuePair>> {
    let (queue, _far_end) = mem::device(Pool::heap(4096, 2048), 1500);
    vec![Box::new(queue)]
}

pub(crate) fn stack() -> Stack {
    Stack::start(&config(), vec![no_network()]).unwrap()
}

/// An address of the stack that no other test of this process listens at.
pub(crate) fn address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(1000);
    format!("{ADDRESS}:{}", NEXT.fetch_add(1, Ordering::Relaxed)).parse().unwrap()
}

/// Both ends of a connection.
pub(crate) fn pair(stack: &Stack) -> (TcpStream, TcpStream) {
    let listener = stack.listen(address()).unwrap();
    let client = stack.connect(listener.local_addr()).unwrap();
    let (server, _) = listener.accept().unwrap();
    (client, server)
}

/// Sends back what each of `count` connections sends, on a thread of its own.
pub(crate) fn echo(listener: TcpListener, count: usize) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let servers: Vec<_> = (0..count)
            .map(|_| {
                let (mut stream, _) = listener.accept().unwrap();
                thread::spawn(move || {
                    let mut bytes = vec![0; 10_000];
                    loop {
                        match stream.read(&mut bytes).unwrap() {
                            0 => return,
                            len => stream.write_all(&bytes[..len]).unwrap(),
                        }
                    }
                })
            })
            .collect();
        servers.into_iter().for_each(|server| server.join().unwrap());
    })
}

/// Returns once the stack has so many connections, those in TIME-WAIT not counted.
pub(crate) fn wait_for_connections(stack: &Stack, count: usize) {
    let deadline = Instant::now() + LONG;
    let connections =
        || stack.snapshot().cores.iter().map(|core| core.connection_count).sum::<usize>();
    while connections() != count {
        assert!(Instant::now() < deadline, "{} connections", connections());
    }
}
