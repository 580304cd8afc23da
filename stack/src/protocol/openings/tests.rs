use pmd::{Medium, Pool, mem};

use super::*;
use crate::protocol::Protocol;
use crate::protocol::peer::{LISTENING, Said, listening, listening_on};
use crate::time::Instant;

const CLOSED: u16 = 81;

fn segment(source_port: u16, destination_port: u16, flags: Flags) -> Vec<u8> {
    Said { ports: (source_port, destination_port), flags, seq: 1, ack: 0, data: &[] }.packet()
}

/// How many of the frames that were sent are resets, and how many are not.
fn answers(handle: &mem::MemHandle) -> (usize, usize) {
    let flags = |bytes: Vec<u8>| TcpView::parse(&bytes[HEADER_LEN..]).unwrap().flags();
    let sent = std::iter::from_fn(|| handle.take_bytes()).map(flags);
    let (resets, others): (Vec<Flags>, Vec<Flags>) =
        sent.partition(|flags| flags.contains(Flags::RST));
    (resets.len(), others.len())
}

#[test]
fn everything_else_is_taken_before_those_who_ask_for_connections() {
    let (mut protocol, handle) = listening();
    for port in 0..300 {
        handle.inject_bytes(&segment(1000 + port, LISTENING, Flags::SYN)).unwrap();
    }
    handle.inject_bytes(&segment(1, CLOSED, Flags::ACK)).unwrap();
    protocol.turn(Instant::from_millis(1));
    assert_eq!(handle.arriving(), 0, "the device was emptied");
    assert_eq!(
        answers(&handle),
        (1, AT_ONCE),
        "a reset for the last, and as many as are worth a burst"
    );
    for _ in 1..300 / AT_ONCE {
        protocol.turn(Instant::from_millis(1));
        assert_eq!(answers(&handle), (0, AT_ONCE), "a burst each time");
    }
    assert!(protocol.turn(Instant::from_millis(1)).work > 0);
    assert_eq!(answers(&handle), (0, 300 % AT_ONCE), "nobody who waits is forgotten");
    assert_eq!(protocol.metrics().dropped(Drop::TcpSynOverload), 0);
}

#[test]
fn those_who_would_wait_too_long_are_refused() {
    let (mut protocol, handle) = listening();
    let burst = Burst::CAPACITY;
    let arriving = BURSTS * burst + MOST + 10 * burst;
    let ports = 1..u16::try_from(arriving).unwrap() + 1;
    for port in ports {
        handle.inject_bytes(&segment(port, LISTENING, Flags::SYN)).unwrap();
    }
    while handle.arriving() > 0 {
        protocol.turn(Instant::from_millis(1));
        let (_, answered) = answers(&handle);
        assert!(answered >= ANYWAY, "some have their turn each time");
    }
    let refused = protocol.metrics().dropped(Drop::TcpSynOverload);
    assert!(refused > 0);
    while protocol.turn(Instant::from_millis(1)).work > 0 {}
    answers(&handle);
    assert_eq!(protocol.layers.net.pool_available(), 20_000, "no frame is kept");
    assert_eq!(frames_dropped(&protocol), refused);
}

/// As long as one queue has more, the others' being empty means nothing.
#[test]
fn a_queue_that_is_full_presses_whatever_the_next_one_is() {
    let pool = Pool::heap(20_000, 256);
    let [(one, full), (other, idle)] = [(); 2].map(|()| mem::device(pool.clone(), 1500));
    let mut protocol = listening_on(vec![Box::new(one), Box::new(other)]);
    for port in 0..u16::try_from((BURSTS + 2) * Burst::CAPACITY).unwrap() {
        full.inject_bytes(&segment(1000 + port, LISTENING, Flags::SYN)).unwrap();
    }
    idle.inject_bytes(&segment(1, CLOSED, Flags::ACK)).unwrap();
    protocol.turn(Instant::from_millis(1));
    assert_eq!(answers(&full), (1, ANYWAY));
    assert!(full.arriving() > 0);
}

fn frames_dropped(protocol: &Protocol) -> u64 {
    Drop::ALL.iter().map(|&drop| protocol.metrics().dropped(drop)).sum()
}

/// A few that come at once are not set aside: each may be the only one.
#[test]
fn an_ordinary_burst_is_taken_as_it_comes() {
    let (mut protocol, handle) = listening();
    for port in 1..10 {
        handle.inject_bytes(&segment(port, LISTENING, Flags::SYN)).unwrap();
    }
    protocol.turn(Instant::from_millis(1));
    assert_eq!(answers(&handle), (0, 9));
}

#[test]
fn only_a_plain_syn_asks_for_a_connection() {
    let pool = Pool::heap(4, 256);
    let link = Link::new(Medium::Ip, None);
    let asks = |bytes: &[u8]| asks_for_connection(&link, &pool.frame_of(bytes).unwrap()).is_some();
    let syn = segment(1, 2, Flags::SYN);
    assert!(asks(&syn));
    assert!(asks(&segment(1, 2, Flags::SYN | Flags::ECE | Flags::CWR)));
    for flags in [Flags::ACK, Flags::SYN | Flags::ACK, Flags::SYN | Flags::RST, Flags::FIN] {
        assert!(!asks(&segment(1, 2, flags)), "{flags:?}");
    }
    for len in 0..syn.len() {
        assert!(!asks(&syn[..len]), "the first {len} bytes");
    }
    let mut datagram = syn.clone();
    datagram[9] = protocol::UDP;
    assert!(!asks(&datagram));
    let mut fragment = syn;
    fragment[7] = 1;
    assert!(!asks(&fragment));
}

#[test]
fn what_may_be_a_syn_is_looked_at() {
    let pool = Pool::heap(1, 256);
    let worth = |edit: fn(&mut Vec<u8>), flags| {
        let mut bytes = segment(1000, LISTENING, flags);
        edit(&mut bytes);
        may_ask(&Link::new(Medium::Ip, None), &pool.frame_of(&bytes).unwrap())
    };
    assert!(worth(|_| {}, Flags::SYN));
    assert!(!worth(|_| {}, Flags::ACK));
    assert!(worth(|bytes| bytes[0] = 0x46, Flags::ACK), "the flags are elsewhere");
    assert!(!worth(|bytes| bytes.truncate(FLAGS_AT), Flags::SYN));
}
