//! The stack and the kernel over a native tap, in a network namespace of the test's own. No DPDK is needed.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "tests panic where they fail")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use darner::{Config, Idle, Stack};
use pmd::tap::{self, Tap};
use pmd::{Burst, QueueInfo, QueuePair};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Both directions at full speed: what the kernel sends comes in packets beyond the MTU, and every byte is right.
#[test]
fn the_kernels_large_packets_arrive_whole() {
    inside_a_namespace(|| {
        let world = World::start();
        let listener = world.stack.listen((OURS, 7).into()).unwrap();
        let echo = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = vec![0; 1 << 16];
            loop {
                match stream.read(&mut bytes).unwrap() {
                    0 => return stream.shutdown(Shutdown::Write),
                    len => stream.write_all(&bytes[..len]).unwrap(),
                }
            }
        });
        let mut kernel = world.connect();
        let mut writer = kernel.try_clone().unwrap();
        let writing = thread::spawn(move || {
            writer.write_all(&pattern(0)).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut came = vec![];
        kernel.read_to_end(&mut came).unwrap();
        writing.join().unwrap();
        echo.join().unwrap();
        assert!(came == pattern(0), "{} bytes came back", came.len());

        let largest = world.largest.load(Ordering::Relaxed);
        assert!(largest > 16 << 10, "{largest} bytes at most in one frame");
        let counted = world.tap.statistics();
        assert_eq!((counted.rx_bad_header, counted.rx_runt), (0, 0));
        assert_eq!((counted.tx_bad_request, counted.tx_refused), (0, 0));
        let snapshot = world.stack.snapshot();
        let dropped: Vec<_> = snapshot.drops.iter().filter(|(_, count)| *count > 0).collect();
        // Neighbours announce themselves, by IPv6 too: nothing of TCP is dropped.
        let of_tcp = dropped.iter().any(|(drop, _)| drop.name().starts_with("tcp"));
        assert!(!of_tcp, "{dropped:?}");
    });
}

/// A stack on a tap.
struct World {
    stack: Stack,
    tap: Tap,
    /// The longest frame that came.
    largest: Arc<AtomicUsize>,
}

impl World {
    fn start() -> Self {
        let spec = format!("vtap0,address={KERNELS}/24").parse().unwrap();
        let (tap, queues) = tap::open(&spec, &tap::Options::default()).unwrap();
        let largest = Arc::new(AtomicUsize::new(0));
        let watched = queues.into_iter().map(|queue| {
            Box::new(Watched { queue, largest: largest.clone() }) as Box<dyn QueuePair>
        });
        let config = Config {
            addresses: vec![format!("{OURS}/24").parse().unwrap()],
            idle: Idle::Sleep,
            ..Config::default()
        };
        let stack = Stack::start(&config, vec![watched.collect()]).unwrap();
        Self { stack, tap, largest }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&(OURS, 7).into(), LONG).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream
    }
}

/// A queue pair of which the longest received frame is noted.
struct Watched {
    queue: Box<dyn QueuePair>,
    largest: Arc<AtomicUsize>,
}

impl QueuePair for Watched {
    fn rx_burst(&mut self, burst: &mut Burst) -> usize {
        let count = self.queue.rx_burst(burst);
        let longest = burst.iter().map(|frame| frame.len()).max().unwrap_or(0);
        self.largest.fetch_max(longest, Ordering::Relaxed);
        count
    }

    fn tx_burst(&mut self, burst: &mut Burst) -> usize {
        self.queue.tx_burst(burst)
    }

    fn info(&self) -> &QueueInfo {
        self.queue.info()
    }

    fn wait_descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.queue.wait_descriptor()
    }
}

/// Runs `work` on a thread that has a network namespace of its own.
fn inside_a_namespace(work: impl FnOnce() + Send + 'static) {
    let holder = Holder(
        Command::new("unshare")
            .args(["--net", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare of util-linux is installed"),
    );
    let namespace = format!("/proc/{}/ns/net", holder.0.id());
    let ours = fs::read_link("/proc/self/ns/net").unwrap();
    let deadline = Instant::now() + LONG;
    // The process exists before it is in its namespace.
    while fs::read_link(&namespace).is_ok_and(|theirs| theirs == ours) {
        assert!(
            Instant::now() < deadline,
            "no namespace: kernel tests need CAP_SYS_ADMIN and CAP_NET_ADMIN"
        );
        thread::sleep(Duration::from_millis(5));
    }
    let namespace = File::open(&namespace).expect("a namespace needs CAP_SYS_ADMIN: run as root");
    let inside = thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        work();
    });
    if let Err(panic) = inside.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Keeps a namespace alive until its end.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Bytes of which no two places near each other look alike.
fn pattern(seed: u32) -> Vec<u8> {
    let words = (seed..seed + (16 << 20) / 4).map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes());
    words.flatten().collect()
}

const OURS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const KERNELS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// Longer than anything takes that is not stuck.
const LONG: Duration = Duration::from_secs(20);
