//! The kernel as a yardstick: how much it receives from darner, and how much from another kernel, through equal wires at the
//! same time. Both senders go by CUBIC.
//!
//! A cell of the table is a rate, a delay and a kind of loss; it is as good as the median of its pairs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_tcp_congestion;

use crate::through_a_wire::{LEFT, Line, MixedLine};
use crate::world::{DARNER, World};

/// How long each flow is measured, from the connection's first packet.
const MEASURED: Duration = Duration::from_secs(8);
/// What darner reaches of the kernel's throughput, at least, in each cell.
const FLOOR: f64 = 0.9;
/// Faster cells have the machine for one pair at a time.
const TOGETHER_UP_TO_MBPS: u64 = 10;

/// A kind of path.
#[derive(Clone, Copy)]
struct Cell {
    mbps: u64,
    /// One way.
    delay_ms: u64,
    loss: &'static str,
}

/// Bytes that arrived from the kernel and from darner.
#[derive(Clone, Copy)]
struct Pair {
    kernel: u64,
    darner: u64,
}

#[test]
#[ignore = "takes ten minutes: make yardstick"]
fn darner_is_as_fast_as_the_kernel_in_every_cell() {
    let pairs = number("DARNER_YARDSTICK_PAIRS", 5);
    let words = std::env::var("DARNER_YARDSTICK_CELLS").unwrap_or_default();
    let cells: Vec<Cell> = cells().filter(|cell| cell.is_meant_by(&words)).collect();
    let mut table = format!("{:<28} {:>9} {:>9} {:>7}\n", "cell", "kernel", "darner", "ratio");
    let mut slow = vec![];
    for (index, cell) in cells.iter().enumerate() {
        let measured = cell.measure(pairs);
        let row = row(cell, &measured);
        eprintln!("{:>2}/{} {row}", index + 1, cells.len());
        table += &row;
        table.push('\n');
        if median(measured.iter().map(Pair::ratio)) < FLOOR {
            slow.push(cell.name());
        }
    }
    println!("\nMb/s, medians of {pairs} pairs\n{table}");
    assert!(slow.is_empty(), "below {FLOOR} of the kernel: {}", slow.join("; "));
}

fn cells() -> impl Iterator<Item = Cell> {
    let rates = [1, 10, 100].into_iter();
    rates.flat_map(|mbps| {
        [5, 50].into_iter().flat_map(move |delay_ms| {
            LOSSES.map(|(loss, _)| Cell { mbps, delay_ms, loss }).into_iter()
        })
    })
}

/// What a loss is called, and how `darner wire` is asked for it on the data's way.
const LOSSES: [(&str, &str); 4] = [
    ("no loss", ""),
    ("0.1%", "--loss 0.1%/0"),
    ("1%", "--loss 1%/0"),
    ("bursts", "--burst-loss 0.1%,8/none"),
];

impl Cell {
    fn name(&self) -> String {
        format!("{} Mb/s, {} ms, {}", self.mbps, self.delay_ms, self.loss)
    }

    /// Whether all the words are in its name.
    fn is_meant_by(&self, words: &str) -> bool {
        let name = self.name();
        words.split_whitespace().all(|word| name.split([' ', ',']).any(|part| part == word))
    }

    /// The wire, whose left end sends: the queue holds what is in flight in a round trip, and never less than 30 packets.
    fn options(&self, seed: usize) -> String {
        let queue = (self.mbps * 1_000_000 / 8 * 2 * self.delay_ms / 1000 / 1500).max(30);
        let (_, loss) = LOSSES.into_iter().find(|(name, _)| *name == self.loss).expect("it is one");
        format!(
            "--rate {}M --delay {}ms --queue {queue} --seed {seed} {loss}",
            self.mbps, self.delay_ms
        )
    }

    fn measure(self, pairs: usize) -> Vec<Pair> {
        let at_once = if self.mbps > TOGETHER_UP_TO_MBPS { 1 } else { pairs };
        let seeds: Vec<usize> = (1..=pairs).collect();
        let groups = seeds.chunks(at_once).flat_map(|seeds| {
            let started: Vec<_> =
                seeds.iter().map(|&seed| thread::spawn(move || self.pair(seed))).collect();
            started.into_iter().map(|pair| pair.join().expect("no panic")).collect::<Vec<_>>()
        });
        groups.collect()
    }

    fn pair(self, seed: usize) -> Pair {
        let options = self.options(seed);
        let kernel = Line::new(&format!("yard-k{seed}"), &options);
        let darner = MixedLine::new(&format!("yard-d{seed}"), &options, "serve {folder}");
        for world in [&kernel.left, &kernel.right, &darner.world] {
            // Or a lost connection's threshold would be the next one's.
            world.kernel("sysctl -qw net.ipv4.tcp_no_metrics_save=1");
        }
        let file = std::fs::File::create(darner.world.folder.join("endless"));
        file.and_then(|file| file.set_len(ENDLESS)).expect("a file of holes");
        send_endlessly(&kernel.left);
        let flows = [(&kernel.right, (LEFT, 80)), (&darner.world, (DARNER, 80))]
            .map(|(world, server)| world.inside(move || receive(server)));
        let [from_kernel, from_darner] = flows.map(|flow| flow.join().expect("no panic"));
        kernel.end();
        darner.end();
        Pair { kernel: from_kernel, darner: from_darner }
    }
}

/// More than any wire here carries while it is measured.
const ENDLESS: u64 = 1 << 30;

/// Answers one request, as darner does, with more than can be received.
fn send_endlessly(world: &World) {
    let (ready, is_ready) = std::sync::mpsc::channel();
    world.inside(move || {
        let listener = TcpListener::bind((LEFT, 80)).expect("the port is free");
        // Connections inherit it. A namespace may not choose it for all of its own.
        set_tcp_congestion(&listener, "cubic").expect("the kernel has CUBIC, and this is root");
        ready.send(()).expect("somebody waits");
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_nodelay(true).expect("it is connected");
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let piece = vec![0; 64 << 10];
        while stream.write_all(&piece).is_ok() {}
    });
    is_ready.recv().expect("the server listens");
}

/// Asks for the endless file, and returns how many bytes came in time.
fn receive(server: (&'static str, u16)) -> u64 {
    let begin = Instant::now();
    let mut stream = TcpStream::connect(server).expect("the wire leads there");
    stream.write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").expect("it fits");
    let (mut buffer, mut total) = (vec![0; 1 << 18], 0);
    while let Some(left) = MEASURED.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
        stream.set_read_timeout(Some(left)).expect("it is not zero");
        match stream.read(&mut buffer) {
            Ok(0) => panic!("{server:?} has ended after {total} bytes"),
            Ok(len) => total += len as u64,
            // Too late.
            Err(_) => {}
        }
    }
    total
}

impl Pair {
    fn ratio(&self) -> f64 {
        self.darner as f64 / self.kernel.max(1) as f64
    }
}

fn row(cell: &Cell, pairs: &[Pair]) -> String {
    let mbps = |bytes: u64| bytes as f64 * 8.0 / 1e6 / MEASURED.as_secs_f64();
    format!(
        "{:<28} {:>9.2} {:>9.2} {:>7.2}",
        cell.name(),
        median(pairs.iter().map(|pair| mbps(pair.kernel))),
        median(pairs.iter().map(|pair| mbps(pair.darner))),
        median(pairs.iter().map(Pair::ratio)),
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}
