//! `darner wire`: the kernel of one namespace with the kernel of another, and darner with the kernel.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::wire::{cpu_time, round_trips};
use crate::world::{DARNER, Darner, KERNEL, World, eventually};

/// Where the left end of a wire is, and where the right one.
pub(crate) const LEFT: &str = "10.9.1.1";
const RIGHT: &str = "10.9.1.2";

/// A wire whose left end is in one namespace and whose right end is in another.
pub(crate) struct Line {
    pub(crate) left: World,
    pub(crate) right: World,
    wire: Darner,
}

impl Line {
    pub(crate) fn new(test: &str, options: &str) -> Self {
        let (left, right) = (World::new(test), World::new(&format!("{test}-far")));
        let wire = start(&left, &format!("tap:wl tap:wr {options}"));
        left.give("wr", &right);
        left.configure("wl", LEFT);
        right.configure("wr", RIGHT);
        Self { left, right, wire }
    }

    /// Sends `bytes` from left to right, and returns how long it took until the last was read.
    fn send(&self, bytes: usize) -> Duration {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let server = self.right.inside(move || {
            let listener = TcpListener::bind((RIGHT, 5001)).expect("the port is free");
            ready.send(()).expect("somebody waits");
            let (mut stream, _) = listener.accept().expect("a connection");
            let (mut buffer, mut total) = (vec![0; 1 << 16], 0);
            while let Ok(len @ 1..) = stream.read(&mut buffer) {
                total += len;
            }
            (total, Instant::now())
        });
        is_ready.recv().expect("the server listens");
        let client = self.left.inside(move || {
            let begin = Instant::now();
            let mut stream = TcpStream::connect((RIGHT, 5001)).expect("the wire leads there");
            stream.write_all(&vec![7; bytes]).expect("all of it");
            begin
        });
        let begin = client.join().expect("it has sent");
        let (total, end) = server.join().expect("it has read");
        assert_eq!(total, bytes);
        end - begin
    }

    /// Ends the wire, and returns what it said.
    pub(crate) fn end(self) -> String {
        let ended = self.wire.stop();
        assert!(ended.status.success(), "{}", ended.stderr);
        ended.stderr
    }
}

/// A wire from darner's memif on the left to a tap of the kernel's on the right.
pub(crate) struct MixedLine {
    pub(crate) world: World,
    wire: Darner,
    darner: Darner,
}

impl MixedLine {
    /// `command` is darner's, at [`DARNER`]; in it, `{folder}` is the world's.
    pub(crate) fn new(test: &str, options: &str, command: &str) -> Self {
        let world = World::new(test);
        let memif = format!("{test}-{}", world.holder_id());
        let wire = start(&world, &format!("memif:{memif},server tap:wr {options}"));
        world.configure("wr", KERNEL);
        let mut darner = world.command(env!("CARGO_BIN_EXE_darner"));
        let folder = world.folder.display().to_string();
        darner.args(command.replace("{folder}", &folder).split_whitespace());
        darner.args(["--no-huge", "--no-stat", "--address", &format!("{DARNER}/24")]);
        darner.args(["--device", &format!("memif:{memif},client")]);
        let darner = Darner::start(darner);
        darner.wait_for_line("Ctrl-C ends it");
        let ping = format!("ping -c 1 -W 1 {DARNER}");
        let answers =
            eventually(Duration::from_secs(20), || world.try_kernel(&ping).status.success());
        assert!(answers, "{}{}", wire.stderr_so_far(), darner.stderr_so_far());
        Self { world, wire, darner }
    }

    /// Ends both, and returns what darner and the wire said.
    pub(crate) fn end(self) -> [String; 2] {
        [self.darner, self.wire].map(|darner| {
            let ended = darner.stop();
            assert!(ended.status.success(), "{}", ended.stderr);
            ended.stderr
        })
    }
}

pub(crate) fn start(world: &World, arguments: &str) -> Darner {
    let mut command = world.command(env!("CARGO_BIN_EXE_darner"));
    command.args(["wire", "--no-huge"]).args(arguments.split_whitespace());
    let wire = Darner::start(command);
    wire.wait_for_line("Ctrl-C ends it");
    wire
}

/// The number before `what` in the line of the summary that begins with `way`; 0 if it is not there.
pub(crate) fn counted(summary: &str, way: &str, what: &str) -> u64 {
    let line = summary.lines().find(|line| line.starts_with(way));
    let line = line.unwrap_or_else(|| panic!("no {way} in {summary}"));
    let counts = line.split([':', ',']).map(str::trim);
    let found = counts.filter_map(|count| count.strip_suffix(what)).next_back();
    found.map_or(0, |number| number.trim().parse().expect("a number"))
}

#[test]
fn a_ping_takes_the_delay_there_and_back() {
    let line = Line::new("delay", "--delay 30ms/10ms");
    let printed = line.left.kernel(&format!("ping -c 20 -i 0.05 -W 2 {RIGHT}"));
    assert!(printed.contains("20 received, 0% packet loss"), "{printed}");
    let times = round_trips(&printed);
    // None is faster. Where others want the CPU some are slower, by as much as those take of it.
    assert!(times[0] >= Duration::from_millis(40), "{printed}");
    assert!(times[times.len() / 4] < Duration::from_millis(45), "{printed}");
    line.end();
}

#[test]
fn a_bulk_transfer_is_as_fast_as_the_rate() {
    let line = Line::new("rate", "--rate 40M/none --delay 2ms --queue 200/1000");
    // 10 MB at 40 Mb/s take 2 s, headers aside.
    let took = line.send(10_000_000);
    let (least, most) = (Duration::from_millis(2000), Duration::from_millis(2600));
    assert!((least..most).contains(&took), "{took:?}: {}", line.end());
    line.end();
}

#[test]
fn what_is_lost_late_and_doubled_is_counted() {
    let options = "--loss 10%/0% --duplicate 0%/10% --reorder 0%/10%,5ms --seed 1";
    let line = Line::new("loss", options);
    let printed = line.left.kernel(&format!("ping -c 1000 -i 0.002 -W 1 -q {RIGHT}"));
    let summary = line.end();
    let lost = counted(&summary, "left to right", "lost");
    let (late, doubled) =
        (counted(&summary, "right to left", "late"), counted(&summary, "right to left", "doubled"));
    for (what, count) in [("lost", lost), ("late", late), ("doubled", doubled)] {
        assert!((60..140).contains(&count), "{count} {what}: {summary}");
    }
    assert_eq!(counted(&summary, "right to left", "lost"), 0, "{summary}");
    let arrived: u64 = printed
        .split(", ")
        .find_map(|part| part.strip_suffix(" received"))
        .and_then(|count| count.parse().ok())
        .expect("ping counts");
    // ARP requests may be lost, too.
    assert!((1000 - lost..=1000 - lost + 5).contains(&arrived), "{printed}{summary}");
}

#[test]
fn a_full_queue_drops_and_losses_come_in_bursts() {
    let line =
        Line::new("bursts", "--rate 50M/none --queue 30000B --burst-loss none/1%,10 --seed 2");
    // A flood would not wait for an answer to ARP.
    line.left.kernel(&format!("ping -c 1 -W 5 {RIGHT}"));
    flood(&line.left, RIGHT);
    flood(&line.right, LEFT);
    let summary = line.end();
    let full = counted(&summary, "left to right", "queue full");
    // 24 of them fit into the queue, and a few more while they leave it.
    assert!((1000..1990).contains(&full), "{summary}");
    // Of ten frames that follow each other and a hundred that do not, all ten are lost: one of eleven.
    let lost = counted(&summary, "right to left", "lost in bursts");
    assert!((60..360).contains(&lost), "{summary}");
}

/// Sends 2000 datagrams of 1200 bytes, no more at once than a tap holds.
fn flood(from: &World, to: &'static str) {
    let flood = from.inside(move || {
        let socket = UdpSocket::bind(("0.0.0.0", 0)).expect("any port is free");
        for _ in 0..20 {
            (0..100).for_each(|_| drop(socket.send_to(&[7; 1200], (to, 9))));
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    flood.join().expect("no panic");
}

#[test]
fn the_kernel_fetches_from_darner_through_a_bad_line() {
    let line =
        MixedLine::new("bad-line", "--rate 20M --delay 5ms --loss 1% --seed 3", "serve {folder}");
    let content: Vec<u8> = (0..2_000_000_u32).map(|at| ((at * 31) >> 3).to_le_bytes()[0]).collect();
    let (there, here) = (line.world.folder.join("big"), line.world.folder.join("got"));
    std::fs::write(&there, &content).expect("disk space");
    let output = here.display();
    line.world.kernel(&format!(
        "curl --silent --fail --max-time 30 --output {output} http://{DARNER}/big"
    ));
    assert!(std::fs::read(&here).expect("curl wrote it") == content);
    let [_, wire] = line.end();
    assert!(counted(&wire, "left to right", "lost") > 0, "{wire}");
}

#[test]
fn the_kernel_sends_to_darner_through_a_slow_line() {
    let line = MixedLine::new("slow-line", "--rate none/20M --delay 5ms", "sink");
    let client = line.world.inside(|| {
        let begin = Instant::now();
        let mut stream = TcpStream::connect((DARNER, 9)).expect("the wire leads there");
        stream.write_all(&vec![7; 4_000_000]).expect("all of it");
        stream.shutdown(Shutdown::Write).expect("connected");
        // The sink closes behind the end.
        let _ = stream.read(&mut [0]);
        begin.elapsed()
    });
    let took = client.join().expect("it has sent");
    // 4 MB at 20 Mb/s take 1.6 s, headers aside.
    assert!((Duration::from_millis(1600)..Duration::from_millis(2400)).contains(&took), "{took:?}");
    let [sink, _] = line.end();
    assert!(sink.contains("4000000 bytes in"), "{sink}");
}

#[test]
fn a_wire_without_traffic_costs_little() {
    let line = Line::new("idle", "--delay 5ms");
    let before = cpu_time(line.wire.id());
    std::thread::sleep(Duration::from_secs(3));
    let used = cpu_time(line.wire.id()) - before;
    assert!(used < Duration::from_millis(60), "2 % of 3 s is 60 ms, and it used {used:?}");
    line.end();
}
