//! Two TCPs back to back over a wire that loses, repeats and reorders what it likes: whatever it does, both streams arrive
//! whole, and nothing is left behind.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use super::ecn::Mode;
use super::harness::{PEER, US, pattern};
use super::host::Host;
use super::info::EcnCounts;
use super::{Algorithm, EcnPolicy, TcpAoAlgorithm, TcpAoKey, TcpConfig, TcpKeys, TcpMd5Key};
use crate::api::{ConnectOptions, ListenOptions, TcpStream};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::ip::Ipv4Prefix;
use crate::rng::Rng;
use crate::socket::ListenerShared;
use crate::time::Instant;

/// What the wire does to packets, each in parts of 1000.
#[derive(Clone, Copy, Debug, Default)]
struct Wire {
    lost: u32,
    repeated: u32,
    /// Held back by up to ten times the usual delay.
    late: u32,
    /// Marked, of those that may be (ECN).
    marked: u32,
}

struct End {
    host: Host,
    stream: Option<TcpStream>,
    to_write: u64,
    written: u64,
    read: u64,
    saw_end: bool,
}

struct Pair {
    ends: [End; 2],
    listener: Arc<ListenerShared>,
    wire: Wire,
    rng: Rng,
    now: Instant,
    /// By when they arrive, and then by when they were sent.
    flying: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sent: u64,
    /// Packets of each end that were marked.
    marks: [u32; 2],
}

impl End {
    fn new(config: &TcpConfig, address: Ipv4Addr, seed: u8, to_write: u64) -> Self {
        let host = Host::new(config, address, seed);
        Self { host, stream: None, to_write, written: 0, read: 0, saw_end: false }
    }

    /// Writes and reads what it can, `most` bytes at a time, and closes when everything is done.
    fn run_application(&mut self, most: usize) {
        let Some(stream) = self.stream.as_mut() else { return };
        while self.written < self.to_write {
            let left = usize::try_from(self.to_write - self.written).unwrap();
            match stream.write(&pattern(self.written, left.min(most))) {
                Ok(taken) => self.written += taken as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error} after {} bytes", self.written),
            }
            if self.written == self.to_write {
                stream.shutdown(Shutdown::Write);
            }
        }
        let mut bytes = vec![0; most];
        while !self.saw_end {
            match stream.read(&mut bytes) {
                Ok(0) => self.saw_end = true,
                Ok(taken) => {
                    assert_eq!(bytes[..taken], pattern(self.read, taken), "at {}", self.read);
                    self.read += taken as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error} after {} bytes", self.read),
            }
        }
        if self.saw_end && self.written == self.to_write {
            self.stream = None;
        }
        self.host.follow_hints();
    }
}

impl Pair {
    fn new(config: &TcpConfig, wire: Wire, seed: u8, to_write: [u64; 2]) -> Self {
        Self::of_two([config; 2], wire, seed, to_write)
    }

    /// A server and a client.
    fn of_two(configs: [&TcpConfig; 2], wire: Wire, seed: u8, to_write: [u64; 2]) -> Self {
        Self::with_keys(configs, wire, seed, to_write, &TcpKeys::NONE)
    }

    /// Both ends have these keys, each for the other.
    fn with_keys(
        configs: [&TcpConfig; 2],
        wire: Wire,
        seed: u8,
        to_write: [u64; 2],
        keys: &TcpKeys,
    ) -> Self {
        let mut ends = [
            End::new(configs[0], US, seed, to_write[0]),
            End::new(configs[1], PEER, seed.wrapping_add(1), to_write[1]),
        ];
        let options = ListenOptions { keys: keys.clone(), ..ListenOptions::with_backlog(1) };
        let listener = ListenerShared::new((US, 80).into(), options, 1);
        let [server, client] = &mut ends;
        server.host.tcp.listen(&server.host.net, listener.clone()).unwrap();
        let to = SocketAddrV4::new(US, 80);
        let Host { tcp, net, .. } = &mut client.host;
        let options = ConnectOptions { keys: keys.clone(), ..ConnectOptions::default() };
        let stream = tcp.connect_with(net, None, to, &options).unwrap();
        client.stream = Some(stream);
        Self {
            ends,
            listener,
            wire,
            rng: Rng::new([seed ^ 0x55; 32]),
            now: Instant::ZERO,
            flying: BTreeMap::new(),
            sent: 0,
            marks: [0; 2],
        }
    }

    /// Runs to the end; returns what both ends had agreed on and counted when their connections were last seen.
    fn run_watched(&mut self, chunk: usize) -> [(Mode, [EcnCounts; 2]); 2] {
        let mut last = [(Mode::Off, Default::default()); 2];
        while self.goes_on() {
            self.turn(chunk);
            for (last, seen) in last.iter_mut().zip(self.ecn()) {
                *last = seen.unwrap_or(*last);
            }
        }
        last
    }

    /// Runs until both applications have everything and both connections are gone; returns how long it took.
    fn run(&mut self, chunk: usize) -> Duration {
        while self.goes_on() {
            self.turn(chunk);
        }
        self.now.since(Instant::ZERO)
    }

    fn goes_on(&self) -> bool {
        self.ends.iter().any(|end| end.stream.is_some() || !end.host.tcp.is_idle())
    }

    fn turn(&mut self, chunk: usize) {
        assert!(self.now < Instant::from_millis(3_600_000), "no end in sight");
        if self.ends[0].stream.is_none() && !self.ends[0].saw_end {
            self.ends[0].stream = self.listener.pop(0);
        }
        for from in 0..2 {
            let end = &mut self.ends[from];
            end.host.net.now = self.now;
            end.host.run_timers();
            end.run_application(chunk);
            end.host.flush();
            self.transmit(from);
        }
        self.step();
    }

    fn transmit(&mut self, from: usize) {
        while let Some(bytes) = self.ends[from].host.pop_sent() {
            let copies = match () {
                () if self.chance(self.wire.lost) => 0,
                () if self.chance(self.wire.repeated) => 2,
                () => 1,
            };
            let mut bytes = bytes;
            if bytes[1] & 3 != 0 && self.chance(self.wire.marked) {
                bytes[1] |= 3;
                self.marks[from] += 1;
            }
            for _ in 0..copies {
                let held_back =
                    if self.chance(self.wire.late) { 1 + self.rng.below(10) } else { 1 };
                let at = self.now + DELAY * held_back;
                self.sent += 1;
                self.flying.insert((at, self.sent), (1 - from, bytes.clone()));
            }
        }
    }

    /// Time goes on to whatever is next; all that arrives at one moment is one burst.
    fn step(&mut self) {
        let timers = self.ends.iter().filter_map(|end| end.host.net.timers.next_deadline());
        let arrival = self.flying.keys().next().map(|&(at, _)| at);
        let next = timers.chain(arrival).min().expect("something is due");
        self.now = self.now.max(next);
        while let Some(first) = self.flying.first_entry().filter(|first| first.key().0 <= self.now)
        {
            let (to, bytes) = first.remove();
            let from = self.ends[1 - to].host.address;
            self.ends[to].host.net.now = self.now;
            self.ends[to].host.input(&bytes, from);
        }
    }

    /// What both ends have agreed on, and counted: as they go on, or as soon as the handshake is over.
    fn ecn(&mut self) -> [Option<(Mode, [EcnCounts; 2])>; 2] {
        [0, 1].map(|end| {
            let tcp = &mut self.ends[end].host.tcp;
            let connection = tcp.connections.iter().next()?;
            Some((connection.ecn_mode(), connection.ecn_counts()))
        })
    }

    fn chance(&mut self, parts: u32) -> bool {
        self.rng.below(1000) < parts
    }

    fn assert_complete(&mut self) {
        // Answers to what arrived last.
        self.ends.iter_mut().for_each(|end| end.host.net.outbox.clear());
        let [server, client] = &self.ends;
        assert_eq!((server.read, client.read), (client.to_write, server.to_write));
        for end in &self.ends {
            assert_eq!(end.host.frames_held(), 0, "frames are left behind");
        }
    }

    fn count(&self, counter: Counter) -> u64 {
        self.ends.iter().map(|end| end.host.net.metrics.counter(counter)).sum()
    }
}

const DELAY: Duration = Duration::from_micros(500);

fn configs() -> [TcpConfig; 4] {
    let small = TcpConfig { receive_buffer: 4096, send_buffer: 8192, ..TcpConfig::default() };
    let plain = TcpConfig { timestamps: false, window_scaling: false, ..TcpConfig::default() };
    let accurate = TcpConfig { ecn: EcnPolicy::AskAccurate, ..TcpConfig::default() };
    [TcpConfig::default(), small, plain, accurate]
}

#[test]
fn a_clean_wire_needs_no_timer_and_no_second_copy() {
    for config in configs() {
        let mut pair = Pair::new(&config, Wire::default(), 1, [3_000_000, 1_000_000]);
        let took = pair.run(100_000);
        pair.assert_complete();
        assert_eq!(pair.count(Counter::TcpRetransSegs), 0);
        assert_eq!(pair.count(Counter::TcpTimeouts), 0);
        assert_eq!(pair.count(Counter::TcpZeroWindowProbes), 0);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn streams_arrive_whole_over_any_wire() {
    let wires = [
        Wire { lost: 10, ..Wire::default() },
        Wire { lost: 100, ..Wire::default() },
        Wire { late: 200, ..Wire::default() },
        Wire { repeated: 200, ..Wire::default() },
        Wire { lost: 50, repeated: 50, late: 100, ..Wire::default() },
        Wire { lost: 200, repeated: 100, late: 200, ..Wire::default() },
        Wire { lost: 20, late: 50, marked: 100, ..Wire::default() },
    ];
    for (number, wire) in wires.into_iter().enumerate() {
        for (seed, config) in (0..).zip(configs().iter().cycle().take(9)) {
            let seed = seed * 16 + u8::try_from(number).unwrap();
            let sizes = [u64::from(seed) * 1111, 200_000];
            let mut pair = Pair::new(config, wire, seed, sizes);
            pair.run(1 + usize::from(seed) * 37);
            pair.assert_complete();
        }
    }
}

/// Every combination of RFC 9768, table 2, that two of our stacks can make: both ends always go by the same feedback.
#[test]
fn whatever_two_ends_are_told_to_do_they_agree_on_one_feedback() {
    use EcnPolicy::{Ask, AskAccurate, Off, WhenAsked};
    for (client, server, want) in [
        (AskAccurate, AskAccurate, Mode::Accurate),
        (AskAccurate, Ask, Mode::Accurate),
        (AskAccurate, WhenAsked, Mode::Accurate),
        (AskAccurate, Off, Mode::Off),
        (Ask, AskAccurate, Mode::Classic),
        (Ask, Ask, Mode::Classic),
        (Ask, WhenAsked, Mode::Classic),
        (Ask, Off, Mode::Off),
        (WhenAsked, AskAccurate, Mode::Off),
        (Off, AskAccurate, Mode::Off),
    ] {
        let [server_config, client_config] =
            [server, client].map(|ecn| TcpConfig { ecn, ..TcpConfig::default() });
        let configs = [&server_config, &client_config];
        let mut pair = Pair::of_two(configs, Wire::default(), 1, [1_000_000, 100_000]);
        let modes = pair.run_watched(10_000);
        pair.assert_complete();
        assert_eq!(modes.map(|(mode, _)| mode), [want; 2], "{client:?} to {server:?}");
    }
}

/// What one end counts the other one learns, whichever way it is told: with options, or without room for any, and with ACKs that get lost.
#[test]
fn marks_are_told_as_they_were_made() {
    for (congestion, lost) in [
        (Algorithm::Cubic, 0),
        (Algorithm::NewReno, 0),
        (Algorithm::Dctcp, 0),
        (Algorithm::Dctcp, 20),
    ] {
        let ecn = EcnPolicy::AskAccurate;
        let config = TcpConfig { ecn, congestion, ..TcpConfig::default() };
        let wire = Wire { marked: 50, lost, ..Wire::default() };
        let mut pair = Pair::new(&config, wire, 7, [3_000_000, 0]);
        let [(_, [told, _]), (_, [_, counted])] = pair.run_watched(100_000);
        pair.assert_complete();
        assert!(counted.marked_packets > 50, "{congestion}: {counted:?}");
        if lost == 0 {
            assert_eq!(counted.marked_packets, pair.marks[0], "{congestion}");
            assert_eq!(pair.count(Counter::TcpRetransSegs), 0, "{congestion}");
        }
        // The last ACKs may be on their way when the connection was looked at.
        let missing = counted.marked_packets.abs_diff(told.marked_packets);
        assert!(missing <= counted.marked_packets / 20 + 2, "{congestion}: {told:?} {counted:?}");
        let missing = counted.marked_bytes.abs_diff(told.marked_bytes);
        assert!(missing <= counted.marked_bytes / 20 + 3000, "{congestion}: {told:?} {counted:?}");
    }
}

/// Nothing that is signed differs in what it brings about, and nothing is dropped for its signature.
#[test]
fn signed_streams_arrive_whole_over_any_wire() {
    let wires = [Wire::default(), Wire { lost: 50, repeated: 50, late: 100, ..Wire::default() }];
    for (seed, (wire, config)) in
        (0..).zip(wires.into_iter().flat_map(|wire| configs().map(|config| (wire, config))))
    {
        for keys in all_keys() {
            let mut pair = Pair::with_keys([&config; 2], wire, seed, [300_000, 100_000], &keys);
            pair.run(5000);
            pair.assert_complete();
            for end in &pair.ends {
                let dropped = |drop| end.host.net.metrics.dropped(drop);
                assert_eq!(SIGNATURES.map(dropped), [0; SIGNATURES.len()], "{keys:?}");
            }
        }
    }
}

fn all_keys() -> [TcpKeys; 3] {
    let network: Ipv4Prefix = "10.0.0.0/24".parse().unwrap();
    let ao = |algorithm| TcpAoKey::new(network, (7, 7), algorithm, b"secret").unwrap();
    [
        TcpMd5Key::new(network, b"secret").unwrap().into(),
        ao(TcpAoAlgorithm::HmacSha1).into(),
        ao(TcpAoAlgorithm::Aes128Cmac).excluding_options().into(),
    ]
}

const SIGNATURES: [Drop; 8] = [
    Drop::TcpMd5Missing,
    Drop::TcpMd5Unexpected,
    Drop::TcpMd5Wrong,
    Drop::TcpAoMissing,
    Drop::TcpAoUnexpected,
    Drop::TcpAoKeyUnknown,
    Drop::TcpAoWrong,
    Drop::TcpAuthMalformed,
];
