//! The client against the whole stack, over a device in memory and in virtual time.

use std::sync::mpsc::channel;

use darner::time::Instant;
use darner::{Config, DuplicateDetection, Protocol, TcpConfig};
use pmd::{Burst, Pool, QueueInfo, QueuePair, mem};

use super::addresses::Addresses;
use super::frames::Frames;
use super::plan::{Closer, Pace, Plan, Work};
use super::port::{Port, WhenFull};
use super::schedule::{Arrival, Schedule};
use super::tcp::Tcp;
use super::traffic::Traffic;
use crate::serve::application::{Role, Server};

const SERVER: ([u8; 4], u16) = ([10, 0, 0, 2], 7000);
/// From one turn to the next.
const STEP: u64 = 10_000;

/// Both ends of a wire: what one transmits, the other receives in the next turn.
struct Wire {
    protocol: Protocol,
    far_end: mem::MemHandle,
    port: Port,
    near_end: mem::MemHandle,
    now: u64,
    /// Every frame of this number toward the server is lost.
    lose_each: Option<u64>,
    carried: u64,
}

impl Wire {
    fn new(role: Role) -> Self {
        let pool = Pool::heap(8192, 2048);
        let (theirs, far_end) = mem::ethernet(pool.clone(), 1500, [2, 0, 0, 0, 0, 2]);
        let (ours, near_end) = mem::ethernet(pool, 1500, [2, 0, 0, 0, 0, 1]);
        let config = Config {
            addresses: vec!["10.0.0.2/24".parse().unwrap()],
            duplicate_detection: DuplicateDetection::Off,
            tcp: TcpConfig {
                max_half_open_per_source: 1 << 14,
                // The wire has no limit, and the pool has.
                send_buffer_max: 1 << 20,
                ..TcpConfig::default()
            },
            ..Config::default()
        };
        let server = Box::new(Server::new(role, SERVER.1, channel().0));
        let protocol = Protocol::new(&config, vec![Box::new(theirs)], server, [7; 32]).unwrap();
        let port = Port::new(Box::new(ours), WhenFull::Wait);
        Self { protocol, far_end, port, near_end, now: 0, lose_each: None, carried: 0 }
    }

    fn run(&mut self, traffic: &mut dyn Traffic, until: u64) {
        while self.now < until {
            self.now += STEP;
            traffic.turn(&mut self.port, self.now);
            while let Some(frame) = self.near_end.take() {
                self.carried += 1;
                if self.lose_each.is_none_or(|each| !self.carried.is_multiple_of(each)) {
                    self.far_end.inject(frame);
                }
            }
            while self.protocol.turn(Instant::from_nanos(self.now)).is_busy() {}
            while let Some(frame) = self.far_end.take() {
                self.near_end.inject(frame);
            }
        }
    }
}

fn client(work: Work, pace: Pace, connections: u32) -> Tcp {
    let plan = Plan {
        connections,
        work,
        pace,
        timestamps: true,
        in_flight: 64 << 10,
        under_way: u32::MAX,
    };
    let addresses = Addresses::new([10, 0, 0, 16].into(), 3);
    Tcp::new(plan, addresses, (u32::from_be_bytes(SERVER.0), SERVER.1), [2, 0, 0, 0, 0, 1])
}

const MS: u64 = 1_000_000;

#[test]
fn every_request_of_every_connection_is_answered() {
    let mut wire = Wire::new(Role::Respond { request: 64, response: 200, close: false });
    let work = Work::Requests { request: 64, response: 200, depth: 2 };
    let mut client = client(work, Pace::Closed, 700);
    wire.run(&mut client, 30 * MS);
    assert!(client.is_ready(), "{:?}", client.counts());
    client.begin(wire.now);
    wire.run(&mut client, 60 * MS);
    let counts = client.counts();
    assert!(counts.responses > 700 * 100, "{counts:?}");
    assert_eq!(counts.bytes_in, counts.responses * 200);
    assert_eq!((counts.resent, counts.resets, counts.out_of_order, counts.strays), (0, 0, 0, 0));
}

#[test]
fn no_more_requests_are_under_way_than_may_be() {
    let mut wire = Wire::new(Role::Respond { request: 64, response: 64, close: false });
    let mut client =
        client(Work::Requests { request: 64, response: 64, depth: 1 }, Pace::Closed, 50);
    client.plan.under_way = 3;
    wire.run(&mut client, 30 * MS);
    client.begin(wire.now);
    let before = wire.carried;
    client.turn(&mut wire.port, wire.now);
    let sent = std::iter::from_fn(|| wire.near_end.take()).count();
    assert_eq!((sent, wire.carried), (3, before));
}

#[test]
fn responses_of_many_segments_are_counted_once() {
    let mut wire = Wire::new(Role::Respond { request: 3000, response: 16_384, close: false });
    let work = Work::Requests { request: 3000, response: 16_384, depth: 1 };
    let mut client = client(work, Pace::Closed, 8);
    wire.run(&mut client, 30 * MS);
    client.begin(wire.now);
    wire.run(&mut client, 80 * MS);
    let counts = client.counts();
    assert!(counts.responses > 1000, "{counts:?}");
    assert!(counts.bytes_in.abs_diff(counts.responses * 16_384) < 8 * 16_384, "{counts:?}");
    assert_eq!((counts.resent, counts.out_of_order), (0, 0));
}

#[test]
fn what_is_lost_is_sent_again_and_stalls_nothing() {
    let mut wire = Wire::new(Role::Respond { request: 64, response: 64, close: false });
    wire.lose_each = Some(101);
    let work = Work::Requests { request: 64, response: 64, depth: 1 };
    let mut client = client(work, Pace::Closed, 20);
    wire.run(&mut client, 600 * MS);
    client.begin(wire.now);
    wire.run(&mut client, 5000 * MS);
    let before = client.counts();
    wire.run(&mut client, 6000 * MS);
    let counts = client.counts().since(&before);
    assert!(counts.resent > 10 && counts.responses > 1000, "{counts:?}");
}

#[test]
fn pages_are_asked_for_and_their_heads_read() {
    for (body, depth) in [(64, 1), (0, 4), (5000, 2)] {
        let mut wire = Wire::new(Role::Http { body });
        let mut client = client(Work::Pages { depth }, Pace::Closed, 20);
        wire.run(&mut client, 30 * MS);
        client.begin(wire.now);
        wire.run(&mut client, 60 * MS);
        let counts = client.counts();
        let len = crate::serve::http::response(body).len() as u64;
        let under_way = 20 * u64::from(depth) * len;
        assert!(counts.responses > 2000, "{counts:?}");
        assert!(counts.bytes_in.abs_diff(counts.responses * len) <= under_way, "{counts:?}");
        assert_eq!((counts.bad_responses, counts.resets, counts.resent), (0, 0, 0), "{counts:?}");
    }
}

#[test]
fn who_answers_otherwise_is_not_counted_as_a_page() {
    let request = super::http::REQUEST.len();
    let mut wire = Wire::new(Role::Respond { request, response: 64, close: false });
    let mut client = client(Work::Pages { depth: 1 }, Pace::Closed, 2);
    wire.run(&mut client, 30 * MS);
    client.begin(wire.now);
    // The server never ends a head; what is too long is no head.
    wire.run(&mut client, 60 * MS);
    assert_eq!(client.counts().responses, 0, "{:?}", client.counts());
}

#[test]
fn connections_come_and_go_whoever_closes_first() {
    for (closer, close) in [(Closer::Client, false), (Closer::Server, true)] {
        let mut wire = Wire::new(Role::Respond { request: 64, response: 64, close });
        let work = Work::Once { request: 64, response: 64, closer };
        let mut client = client(work, Pace::Closed, 50);
        wire.run(&mut client, 200 * MS);
        let counts = client.counts();
        assert!(counts.closed > 5000, "{closer:?}: {counts:?}");
        assert!(counts.responses.abs_diff(counts.closed) <= 50, "{closer:?}: {counts:?}");
        assert_eq!((counts.resets, counts.closed_early, counts.resent), (0, 0, 0), "{closer:?}");
    }
}

#[test]
fn ports_are_used_again_when_all_have_been() {
    let mut wire = Wire::new(Role::Respond { request: 64, response: 64, close: true });
    let work = Work::Once { request: 64, response: 64, closer: Closer::Server };
    let mut client = client(work, Pace::Closed, 60_000);
    // Three addresses have ports for 193,536.
    while client.counts().closed < 250_000 && wire.now < 1000 * MS {
        let until = wire.now + MS;
        wire.run(&mut client, until);
    }
    let counts = client.counts();
    assert!(counts.closed >= 250_000, "{counts:?}");
    assert_eq!(counts.closed_early, 0);
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let mut wire = Wire::new(Role::Respond { request: 64, response: 64, close: false });
    let pace = Pace::Open(Schedule::new(20_000.0, Arrival::Fixed, 1));
    let mut client = client(Work::Requests { request: 64, response: 64, depth: 1 }, pace, 10);
    wire.run(&mut client, 30 * MS);
    assert!(client.is_ready());
    client.begin(wire.now);
    wire.run(&mut client, 130 * MS);
    assert!(client.counts().responses.abs_diff(2000) < 5, "{:?}", client.counts());
}

#[test]
fn streams_go_both_ways() {
    let mut wire = Wire::new(Role::Sink);
    let mut sending = client(Work::Send, Pace::Closed, 1);
    wire.run(&mut sending, 100 * MS);
    assert!(sending.counts().bytes_out > 10 << 20, "{:?}", sending.counts());
    assert_eq!(sending.counts().resent, 0);
    let mut wire = Wire::new(Role::Source);
    let mut receiving = client(Work::Receive, Pace::Closed, 1);
    wire.run(&mut receiving, 100 * MS);
    assert!(receiving.counts().bytes_in > 10 << 20, "{:?}", receiving.counts());
    // The server may probe early while its idea of the round trip is young.
    assert!(receiving.counts().out_of_order < 3, "{:?}", receiving.counts());
}

#[test]
fn a_stream_goes_both_ways_at_once() {
    let mut wire = Wire::new(Role::Both);
    let mut client = client(Work::Both, Pace::Closed, 1);
    wire.run(&mut client, 100 * MS);
    let counts = client.counts();
    assert!(counts.bytes_in > 10 << 20 && counts.bytes_out > 10 << 20, "{counts:?}");
    assert_eq!((counts.resent, counts.resets), (0, 0), "{counts:?}");
}

#[test]
fn frames_with_a_rate_are_sent_when_due_and_late_from_when_they_were() {
    let (queue, handle) = mem::ethernet(Pool::heap(512, 2048), 1500, [2; 6]);
    let mut port = Port::new(Box::new(queue), WhenFull::Lose);
    let pace = Pace::Open(Schedule::new(10_000.0, Arrival::Fixed, 1));
    let mut frames = Frames::new([2; 6], 130, 1, pace);
    let mut turn = |frames: &mut Frames, now| {
        frames.turn(&mut port, now);
        std::iter::from_fn(|| handle.take()).map(|frame| handle.inject(frame)).count()
    };
    // One frame shows that somebody is there.
    assert_eq!(turn(&mut frames, 25 * MS), 1);
    turn(&mut frames, 26 * MS);
    assert!(frames.is_ready());
    frames.begin(26 * MS);
    // Nobody looks for 5 ms: those that were due are sent together, the first one 5 ms late.
    assert_eq!(turn(&mut frames, 31 * MS), Burst::CAPACITY);
    frames.latencies().reset();
    assert_eq!(turn(&mut frames, 31 * MS), 51 - Burst::CAPACITY);
    assert_eq!(turn(&mut frames, 31 * MS), 0);
    let latencies = frames.latencies();
    assert_eq!((latencies.len(), latencies.min()), (51, 0));
    assert!(latencies.max().abs_diff(5 * MS) < MS / 100, "{}", latencies.max());
}

/// The trait's objects are what a port takes.
#[test]
fn a_device_that_takes_nothing_is_not_received_from() {
    struct Full(mem::MemQueue);
    impl QueuePair for Full {
        fn rx_burst(&mut self, burst: &mut Burst) -> usize {
            self.0.rx_burst(burst)
        }
        fn tx_burst(&mut self, _: &mut Burst) -> usize {
            0
        }
        fn info(&self) -> &QueueInfo {
            self.0.info()
        }
    }
    let (queue, handle) = mem::ethernet(Pool::heap(8, 2048), 1500, [2; 6]);
    let mut port = Port::new(Box::new(Full(queue)), WhenFull::Wait);
    handle.inject_bytes(b"waits").unwrap();
    port.send_bytes(b"not taken");
    port.flush();
    assert_eq!(port.receive(&mut Burst::new()), 0);
    assert_eq!(handle.arriving(), 1);
}
