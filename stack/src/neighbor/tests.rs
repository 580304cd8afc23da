//! Neighbours on a link of which only the actions are seen, in virtual time.

use std::time::Duration;

use pmd::Pool;

use super::*;
use crate::wire::arp::PACKET_LEN;

mod claims;
mod model;

#[test]
fn a_packet_waits_for_the_answer_and_goes_where_it_says() {
    let mut link = Link::holding(OURS);
    assert_eq!(link.send(PEER, "a"), "queued");
    assert_eq!(link.done(), ["ask all for 10.0.0.2 as 10.0.0.1"]);
    assert_eq!(link.send(PEER, "b"), "queued");
    assert_eq!(link.done(), NOTHING);
    assert_eq!(link.hear(reply(PEER, MAC_2, OURS)), Ok(()));
    assert_eq!(link.done(), ["send a to 02:00:00:00:00:02", "send b to 02:00:00:00:00:02"]);
    assert_eq!(link.send(PEER, "c"), "to 02:00:00:00:00:02");
    assert_eq!(link.done(), NOTHING);
    assert_eq!(link.neighbors.next_deadline(), None);
}

#[test]
fn who_does_not_answer_three_requests_is_unreachable() {
    let mut link = Link::holding(OURS);
    let _queued = (link.send(PEER, "a"), link.send(PEER, "b"));
    assert_eq!(link.done().len(), 1);
    for second in 1..3 {
        link.run_until(second * 1000);
        assert_eq!(link.done(), ["ask all for 10.0.0.2 as 10.0.0.1"], "after {second} s");
    }
    link.run_until(2999);
    assert_eq!(link.done(), NOTHING);
    link.run_until(3000);
    assert_eq!(link.done(), ["a goes nowhere", "b goes nowhere"]);
    assert_eq!(link.neighbors.next_deadline(), None);
    assert_eq!(link.send(PEER, "c"), "queued");
    assert_eq!(link.done(), ["ask all for 10.0.0.2 as 10.0.0.1"]);
}

#[test]
fn a_stale_neighbor_is_used_and_checked() {
    let mut link = Link::knowing(PEER, MAC_2);
    link.run_until(29_999);
    assert_eq!(link.send(PEER, "a"), "to 02:00:00:00:00:02");
    assert_eq!(link.done(), NOTHING);
    link.run_until(30_000);
    assert_eq!(link.send(PEER, "b"), "to 02:00:00:00:00:02");
    assert_eq!(link.done(), ["ask 02:00:00:00:00:02 for 10.0.0.2 as 10.0.0.1"]);
    assert_eq!(link.send(PEER, "c"), "to 02:00:00:00:00:02");
    assert_eq!(link.done(), NOTHING);
    assert_eq!(link.hear(reply(PEER, MAC_2, OURS)), Ok(()));
    link.run_until(59_999);
    assert_eq!(link.send(PEER, "d"), "to 02:00:00:00:00:02");
    assert_eq!(link.done(), NOTHING);
    link.run_until(60_000);
    assert_eq!(link.send(PEER, "e"), "to 02:00:00:00:00:02");
    assert_eq!(link.done(), ["ask 02:00:00:00:00:02 for 10.0.0.2 as 10.0.0.1"]);
}

#[test]
fn who_does_not_answer_checks_is_forgotten() {
    let mut link = Link::knowing(PEER, MAC_2);
    link.run_until(40_000);
    assert_eq!(link.send(PEER, "a"), "to 02:00:00:00:00:02");
    link.run_until(42_999);
    assert_eq!(link.done(), ["ask 02:00:00:00:00:02 for 10.0.0.2 as 10.0.0.1"; 3]);
    assert_eq!(link.send(PEER, "b"), "to 02:00:00:00:00:02");
    link.run_until(43_000);
    assert_eq!(link.done(), NOTHING);
    assert_eq!(link.send(PEER, "c"), "queued");
    assert_eq!(link.done(), ["ask all for 10.0.0.2 as 10.0.0.1"]);
}

#[test]
fn what_nobody_used_for_ten_minutes_is_not_believed() {
    for (name, at, want) in
        [("just before", 599_999, "to 02:00:00:00:00:02"), ("then", 600_000, "queued")]
    {
        let mut link = Link::knowing(PEER, MAC_2);
        link.run_until(at);
        assert_eq!(link.send(PEER, "a"), want, "{name}");
    }
}

#[test]
fn only_questions_to_us_make_an_entry() {
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
    for (name, packet, want, known) in [
        ("asks for us", request(PEER, MAC_2, OURS), Ok(()), true),
        ("asks for another", request(PEER, MAC_2, OTHER), Err(Drop::ArpForeign), false),
        ("answers us unasked", reply(PEER, MAC_2, OURS), Err(Drop::ArpForeign), false),
        ("answers another", reply(PEER, MAC_2, OTHER), Err(Drop::ArpForeign), false),
        ("announces itself", request(PEER, MAC_2, PEER), Err(Drop::ArpForeign), false),
        ("probes another address", request(NOBODY, MAC_2, OTHER), Err(Drop::ArpForeign), false),
        ("probes ours", request(NOBODY, MAC_2, OURS), Ok(()), false),
        ("asks from a group", request(PEER, MacAddr([3; 6]), OURS), Err(Drop::ArpMalformed), false),
        ("asks as nobody", request(PEER, MacAddr::ZERO, OURS), Err(Drop::ArpMalformed), false),
        ("asks as we would", request(PEER, MAC_1, OURS), Err(Drop::ArpMalformed), false),
        ("asks as all", request(Ipv4Addr::BROADCAST, MAC_2, OURS), Ok(()), false),
        ("asks as a group", request(Ipv4Addr::new(224, 0, 0, 1), MAC_2, OURS), Ok(()), false),
        ("asks as loopback", request(Ipv4Addr::LOCALHOST, MAC_2, OURS), Ok(()), false),
    ] {
        let mut link = Link::holding(OURS);
        assert_eq!(link.hear(packet), want, "{name}");
        let answers = link.done();
        let answered = answers == [format!("answer 02:00:00:00:00:02 at {}", packet.sender_ip)];
        assert_eq!(
            (answered, answers.len()),
            (want.is_ok(), usize::from(want.is_ok())),
            "{name}: {answers:?}"
        );
        assert_eq!(link.neighbors.iter(link.now).count(), usize::from(known), "{name}");
    }
}

#[test]
fn whoever_is_known_is_updated_by_anything_it_says() {
    for (name, packet) in [
        ("asks for us", request(PEER, MAC_3, OURS)),
        ("asks for another", request(PEER, MAC_3, Ipv4Addr::new(10, 0, 0, 9))),
        ("answers us", reply(PEER, MAC_3, OURS)),
        ("announces itself", request(PEER, MAC_3, PEER)),
    ] {
        let mut link = Link::knowing(PEER, MAC_2);
        link.run_until(20_000);
        assert_eq!(link.hear(packet), Ok(()), "{name}");
        link.run_until(49_999);
        assert_eq!(link.send(PEER, "a"), "to 02:00:00:00:00:03", "{name}");
        assert!(!link.done().iter().any(|done| done.starts_with("ask")), "{name}");
    }
}

#[test]
fn in_a_full_queue_the_oldest_packet_gives_way() {
    let mut link = Link::holding(OURS);
    for _ in 0..sought::QUEUE_LIMIT {
        assert_eq!(link.send(PEER, "early"), "queued");
    }
    assert_eq!(link.done().len(), 1);
    assert_eq!(link.send(PEER, "late"), "queued");
    assert_eq!(link.done(), ["drop early: NeighborQueueFull"]);
    assert_eq!(link.hear(reply(PEER, MAC_2, OURS)), Ok(()));
    let sent = link.done();
    assert_eq!(
        (sent.len(), sent.last().map(String::as_str)),
        (sought::QUEUE_LIMIT, Some("send late to 02:00:00:00:00:02"))
    );
}

#[test]
fn packets_that_wait_are_bounded_over_all_neighbors() {
    let mut link = Link::holding(OURS);
    let full = u8::try_from(sought::WAITING_LIMIT / sought::QUEUE_LIMIT).unwrap();
    for neighbor in 0..full {
        for _ in 0..sought::QUEUE_LIMIT {
            assert_eq!(link.send(Ipv4Addr::new(10, 0, 1, neighbor), "x"), "queued");
        }
    }
    assert_eq!(link.send(PEER, "y"), "refused y: NeighborQueueFull");
    let _asked = link.done();
    assert_eq!(link.hear(reply(Ipv4Addr::new(10, 0, 1, 0), MAC_2, OURS)), Ok(()));
    assert_eq!(link.done().len(), sought::QUEUE_LIMIT);
    assert_eq!(link.send(PEER, "z"), "queued");
}

/// Nobody asks for a neighbour without a packet, so nothing would end the search.
#[test]
fn a_neighbor_whose_first_packet_is_refused_takes_no_place() {
    let mut link = Link::holding(OURS);
    let full = u8::try_from(sought::WAITING_LIMIT / sought::QUEUE_LIMIT).unwrap();
    for neighbor in 0..full {
        for _ in 0..sought::QUEUE_LIMIT {
            assert_eq!(link.send(Ipv4Addr::new(10, 0, 1, neighbor), "x"), "queued");
        }
    }
    for neighbor in 0..sought::CAPACITY {
        assert_eq!(link.send(numbered(1000 + neighbor), "y"), "refused y: NeighborQueueFull");
    }
    link.run_until(3000);
    assert_eq!(link.neighbors.iter(link.now).count(), 0);
    assert_eq!(link.send(PEER, "z"), "queued");
}

#[test]
fn packets_that_gave_way_do_not_wait() {
    let mut link = Link::holding(OURS);
    for _ in 0..2 * sought::WAITING_LIMIT {
        assert_eq!(link.send(PEER, "x"), "queued");
        link.actions.clear();
    }
    assert_eq!(link.send(numbered(0), "y"), "queued");
}

#[test]
fn neighbors_that_are_looked_for_are_bounded() {
    let mut link = Link::holding(OURS);
    for neighbor in 0..sought::CAPACITY {
        assert_eq!(link.send(numbered(neighbor), "x"), "queued");
    }
    assert_eq!(link.send(PEER, "y"), "refused y: NeighborCacheFull");
    assert_eq!(link.send(numbered(0), "z"), "queued");
    link.run_until(3000);
    assert_eq!(link.send(PEER, "y"), "queued");
}

#[test]
fn invented_neighbors_displace_each_other_and_not_who_we_talk_to() {
    let mut link = Link::knowing(PEER, MAC_2);
    for neighbor in 0..10 * known::CAPACITY {
        assert_eq!(link.hear(request(numbered(neighbor), MAC_3, OURS)), Ok(()));
        if neighbor.is_multiple_of(500) {
            assert_eq!(link.send(PEER, "x"), "to 02:00:00:00:00:02");
        }
        link.actions.clear();
    }
    let known: Vec<_> = link.neighbors.iter(link.now).map(|neighbor| neighbor.address).collect();
    assert_eq!(known.len(), known::CAPACITY);
    assert!(known.contains(&PEER));
    assert_eq!(link.neighbors.next_deadline(), None);
}

#[test]
fn neighbors_that_come_and_go_leave_nothing_behind() {
    let mut link = Link::knowing(PEER, MAC_2);
    for round in 1..=3 {
        link.run_until(round * 600_000);
        assert_eq!(link.send(PEER, "a"), "queued");
        assert_eq!(link.hear(reply(PEER, MAC_2, OURS)), Ok(()));
        link.actions.clear();
    }
    for neighbor in 0..3 * known::CAPACITY {
        assert_eq!(link.hear(request(numbered(neighbor), MAC_3, OURS)), Ok(()));
    }
    assert_eq!(link.neighbors.iter(link.now).count(), known::CAPACITY);
}

#[test]
fn an_evicted_neighbor_leaves_no_deadline() {
    let mut link = Link::knowing(PEER, MAC_2);
    link.run_until(30_000);
    assert_eq!(link.send(PEER, "a"), "to 02:00:00:00:00:02");
    assert!(link.neighbors.next_deadline().is_some());
    for neighbor in 0..2 * known::CAPACITY {
        assert_eq!(link.hear(request(numbered(neighbor), MAC_3, OURS)), Ok(()));
    }
    assert_eq!(link.neighbors.next_deadline(), None);
}

#[test]
fn every_standing_is_listed() {
    let mut link = Link::knowing(PEER, MAC_2);
    let standing =
        |link: &Link| link.neighbors.iter(link.now).map(|n| n.standing).collect::<Vec<_>>();
    assert_eq!(standing(&link), [Standing::Fresh(MAC_2)]);
    link.run_until(30_000);
    assert_eq!(standing(&link), [Standing::Stale(MAC_2)]);
    let _sent = (link.send(PEER, "a"), link.send(numbered(7), "b"));
    assert_eq!(standing(&link), [Standing::Checked(MAC_2), Standing::Sought]);
}

/// The neighbours of a station `MAC_1`, and what they want done.
struct Link {
    neighbors: Neighbors,
    now: Instant,
    rng: Rng,
    pool: Pool,
    actions: Actions,
}

impl Link {
    fn new() -> Self {
        Self {
            neighbors: Neighbors::new(MAC_1),
            now: Instant::ZERO,
            rng: Rng::new([7; 32]),
            pool: Pool::heap(1024, 64),
            actions: Actions::new(),
        }
    }

    /// Holds an address and has announced it, at time zero.
    fn holding(address: Ipv4Addr) -> Self {
        let mut link = Self::new();
        link.claim(address, Detection::OFF);
        link.run_until(10_000);
        link.now = Instant::ZERO;
        link.actions.clear();
        link
    }

    /// Holds [`OURS`], and has just heard from a neighbour.
    fn knowing(neighbor: Ipv4Addr, station: MacAddr) -> Self {
        let mut link = Self::holding(OURS);
        link.hear(request(neighbor, station, OURS)).unwrap();
        link.actions.clear();
        link
    }

    fn claim(&mut self, address: Ipv4Addr, detection: Detection) {
        self.neighbors.claim(self.now, address, detection, &mut self.rng);
    }

    fn send(&mut self, next_hop: Ipv4Addr, packet: &str) -> String {
        self.send_from(OURS, next_hop, packet)
    }

    fn send_from(&mut self, from: Ipv4Addr, next_hop: Ipv4Addr, packet: &str) -> String {
        let frame = self.pool.frame_of(packet.as_bytes()).expect("frames are given back");
        match self.neighbors.resolve(self.now, next_hop, from, frame, &mut self.actions) {
            Resolution::Send(station, sent) => {
                assert_eq!(text(&sent), packet);
                format!("to {station}")
            }
            Resolution::Queued => "queued".to_owned(),
            Resolution::Refused(refused, why) => format!("refused {}: {why:?}", text(&refused)),
        }
    }

    fn hear(&mut self, packet: ArpPacket) -> Result<(), Drop> {
        self.neighbors.arp_input(self.now, &packet, &mut self.actions)
    }

    /// Lets everything happen at its time, up to `millis`.
    fn run_until(&mut self, millis: u64) {
        let end = Instant::from_millis(millis);
        while let Some(at) = self.neighbors.next_deadline().filter(|&at| at <= end) {
            self.now = self.now.max(at);
            self.neighbors.expire(self.now, &mut self.rng, &mut self.actions);
        }
        self.now = end;
    }

    /// What was to be done since the last call.
    fn done(&mut self) -> Vec<String> {
        self.actions.drain(..).map(|action| describe(&action)).collect()
    }
}

fn describe(action: &Action) -> String {
    match action {
        Action::Arp(to, packet) => describe_arp(*to, packet),
        Action::Claimed(address) => format!("claimed {address}"),
        Action::Conflict(address, other) => format!("{other} has {address}"),
        Action::Discard(frame, why) => format!("drop {}: {why:?}", text(frame)),
        Action::Send(station, frame) => format!("send {} to {station}", text(frame)),
        Action::Unreachable(frame) => format!("{} goes nowhere", text(frame)),
    }
}

fn describe_arp(to: MacAddr, packet: &ArpPacket) -> String {
    assert_eq!(packet.sender_mac, MAC_1);
    let to = if to == MacAddr::BROADCAST { "all".to_owned() } else { to.to_string() };
    let (from, about) = (packet.sender_ip, packet.target_ip);
    match packet.operation {
        Operation::Reply => format!("answer {to} at {about}"),
        Operation::Request if from.is_unspecified() => format!("probe {about}"),
        Operation::Request if from == about => format!("announce {about}"),
        Operation::Request => format!("ask {to} for {about} as {from}"),
    }
}

fn text(frame: &Frame) -> String {
    String::from_utf8(frame.head().to_vec()).unwrap()
}

fn request(sender_ip: Ipv4Addr, sender_mac: MacAddr, target_ip: Ipv4Addr) -> ArpPacket {
    let operation = Operation::Request;
    let packet =
        ArpPacket { operation, sender_mac, sender_ip, target_mac: MacAddr::ZERO, target_ip };
    // As it would come over a wire.
    let mut bytes = [0; PACKET_LEN];
    packet.emit(&mut bytes);
    ArpPacket::parse(&bytes).unwrap()
}

fn reply(sender_ip: Ipv4Addr, sender_mac: MacAddr, target_ip: Ipv4Addr) -> ArpPacket {
    ArpPacket {
        operation: Operation::Reply,
        target_mac: MAC_1,
        ..request(sender_ip, sender_mac, target_ip)
    }
}

fn numbered(neighbor: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from_be_bytes([10, 1, 0, 0]) + u32::try_from(neighbor).unwrap())
}

const NOTHING: [&str; 0] = [];
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const MAC_1: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const MAC_2: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const MAC_3: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);
