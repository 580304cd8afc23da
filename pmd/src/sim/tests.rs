use std::collections::HashSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{Burst, ChecksumStatus, L4Checksum, QueuePair, RxOffload, TxChecksum, TxOffload};

const MS: u64 = 1_000_000;

/// An IPv4 frame, as far as a wire looks: the n-th of `len` bytes.
fn packet(n: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len.max(18)];
    bytes[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    bytes[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
    bytes[12..14].copy_from_slice(&[0x08, 0x00]);
    bytes[14..18].copy_from_slice(&n.to_be_bytes());
    bytes
}

fn number(frame: &[u8]) -> u32 {
    u32::from_be_bytes(frame[14..18].try_into().unwrap())
}

fn send(queue: &mut SimQueue, bytes: &[u8]) {
    let mut burst = Burst::new();
    burst.push(queue.info().pool.frame_of(bytes).unwrap()).unwrap();
    assert_eq!(queue.tx_burst(&mut burst), 1);
}

fn receive(queue: &mut SimQueue) -> Vec<Vec<u8>> {
    let mut burst = Burst::new();
    let mut all = Vec::new();
    while queue.rx_burst(&mut burst) > 0 {
        all.extend(burst.drain().map(|frame| frame.segments().collect::<Vec<_>>().concat()));
    }
    all
}

/// What arrives at `queue`, and when, until nothing is on its way.
fn arrivals(sim: &mut Sim, queue: &mut SimQueue) -> Vec<(u64, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(at) = sim.next_event() {
        sim.advance(at);
        all.extend(receive(queue).into_iter().map(|frame| (at, frame)));
    }
    all
}

fn numbers(arrivals: &[(u64, Vec<u8>)]) -> Vec<u32> {
    arrivals.iter().map(|(_, frame)| number(frame)).collect()
}

fn pair(seed: u64, wire: Wire) -> (Sim, SimQueue, SimQueue) {
    let mut sim = Sim::new(seed);
    let (left, right) = sim.link(End::new(1), End::new(2), wire);
    (sim, left, right)
}

/// An IPv4 header with this TOS and a right checksum, and 80 bytes behind it.
fn with_tos(tos: u8) -> Vec<u8> {
    let mut bytes = packet(0, 114);
    bytes[14..18].copy_from_slice(&[0x45, tos, 0, 100]);
    bytes[22] = 64;
    let checksum = !header_sum(&bytes);
    bytes[24..26].copy_from_slice(&checksum.to_be_bytes());
    bytes
}

fn header_sum(frame: &[u8]) -> u16 {
    let words = frame[14..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    ((sum & 0xffff) + (sum >> 16)).try_into().unwrap()
}

/// Three frames are under way or wait when the fourth comes.
#[test]
fn a_long_queue_marks_what_allows_it() {
    let rate = Rate { mark_bytes: 400, ..Rate::new(8_000_000) };
    let wire = Wire { rate: Some(rate), ..Wire::default() };
    let (mut sim, mut left, mut right) = pair(1, wire);
    let sent = [2, 2, 0, 2, 1, 0x21, 0, 3];
    sent.iter().for_each(|&tos| send(&mut left, &with_tos(tos)));
    let arrived = arrivals(&mut sim, &mut right);
    let tos: Vec<u8> = arrived.iter().map(|(_, frame)| frame[15]).collect();
    assert_eq!(tos, [2, 2, 0, 3, 3, 0x23, 0, 3], "neither what came first nor what may not be");
    assert!(arrived.iter().all(|(_, frame)| header_sum(frame) == 0xffff));
    assert_eq!(sim.statistics(left.id(), Way::Out).marked, 4);
}

/// Sends `count` frames of 100 bytes, a microsecond apart, over a wire from left to right.
fn run(seed: u64, wire: Wire, count: u32) -> (Vec<(u64, Vec<u8>)>, Statistics) {
    let (mut sim, mut left, mut right) = pair(seed, wire);
    let mut all = Vec::new();
    for n in 0..count {
        let now = u64::from(n) * 1_000;
        while let Some(at) = sim.next_event().filter(|&at| at <= now) {
            sim.advance(at);
            all.extend(receive(&mut right).into_iter().map(|frame| (at, frame)));
        }
        sim.advance(now);
        send(&mut left, &packet(n, 100));
    }
    all.extend(arrivals(&mut sim, &mut right));
    (all, sim.statistics(right.id(), Way::In))
}

#[test]
fn a_perfect_wire_delivers_at_once_but_only_when_time_is_moved() {
    let (mut sim, mut left, mut right) = pair(1, Wire::default());
    send(&mut left, &packet(5, 100));
    assert!(receive(&mut right).is_empty());
    assert_eq!(sim.next_event(), Some(0));
    sim.advance(0);
    assert_eq!(receive(&mut right), [packet(5, 100)]);
    assert_eq!(sim.next_event(), None);
}

#[test]
fn time_does_not_go_back() {
    let (mut sim, ..) = pair(1, Wire::default());
    let clock = sim.clock();
    sim.advance(7);
    sim.advance(3);
    assert_eq!((sim.now(), clock()), (7, 7));
}

#[test]
fn frames_follow_each_other_at_the_rate() {
    let rate = Some(Rate::new(10_000_000));
    let wire = Wire { rate, delay: Duration::from_millis(20), ..Wire::default() };
    let (mut sim, mut left, mut right) = pair(1, wire);
    for n in 0..3 {
        send(&mut left, &packet(n, 1250)); // 10,000 bits: 1 ms
    }
    let times: Vec<u64> = arrivals(&mut sim, &mut right).iter().map(|a| a.0).collect();
    assert_eq!(times, [21 * MS, 22 * MS, 23 * MS]);
    sim.advance(100 * MS);
    send(&mut left, &packet(3, 1250));
    assert_eq!(sim.next_event(), Some(121 * MS), "an idle wire owes nothing");
}

#[test]
fn a_full_queue_drops_what_comes_last() {
    for (name, queue_bytes, queue_frames) in [
        ("by frames", usize::MAX, 2),
        ("by bytes", 2 * 1250, 99),
        ("a byte short", 3 * 1250 - 1, 99),
    ] {
        let rate = Some(Rate { queue_bytes, queue_frames, ..Rate::new(10_000_000) });
        let (mut sim, mut left, mut right) = pair(1, Wire { rate, ..Wire::default() });
        for n in 0..3 {
            send(&mut left, &packet(n, 1250));
        }
        sim.advance(MS);
        send(&mut left, &packet(3, 1250)); // the first has just left the queue
        assert_eq!(numbers(&arrivals(&mut sim, &mut right)), [0, 1, 3], "{name}");
        let statistics = sim.statistics(left.id(), Way::Out);
        assert_eq!((statistics.sent, statistics.overflowed), (4, 1), "{name}");
    }
}

#[test]
fn frames_are_lost_as_often_as_asked() {
    let (got, statistics) = run(3, Wire { loss: 0.1, ..Wire::default() }, 10_000);
    assert!((900..=1_100).contains(&statistics.lost), "{statistics:?}");
    assert_eq!(got.len() as u64, 10_000 - statistics.lost);
}

#[test]
fn losses_come_in_bursts_of_the_mean_length_asked() {
    let burst_loss = Some(BurstLoss { begin: 0.01, end: 0.2, loss: 1.0 });
    let (got, statistics) = run(4, Wire { burst_loss, ..Wire::default() }, 20_000);
    let gaps: Vec<u32> =
        numbers(&got).windows(2).map(|pair| pair[1] - pair[0] - 1).filter(|&gap| gap > 0).collect();
    let mean = f64::from(gaps.iter().sum::<u32>()) / gaps.len() as f64;
    assert!((4.0..6.0).contains(&mean), "a burst is 1 / 0.2 frames long: {mean}");
    // In the bad state for 0.01 / (0.01 + 0.2) of the time.
    assert!((750..=1_150).contains(&statistics.lost_in_burst), "{statistics:?}");
}

#[test]
fn jitter_spreads_but_keeps_the_order() {
    let jitter = Duration::from_micros(50);
    let delay = Duration::from_micros(100);
    let (got, _) = run(5, Wire { delay, jitter, ..Wire::default() }, 1_000);
    assert_eq!(numbers(&got), (0..1_000).collect::<Vec<_>>());
    let late = |(at, frame): &(u64, Vec<u8>)| at - u64::from(number(frame)) * 1_000;
    assert!(got.iter().all(|arrival| (100_000..=150_000).contains(&late(arrival))));
    assert!(got.iter().map(late).collect::<HashSet<_>>().len() > 500);
}

#[test]
fn reordered_frames_are_late_and_overtaken() {
    let wire = Wire { reorder: 0.2, reorder_by: Duration::from_nanos(2_500), ..Wire::default() };
    let (got, statistics) = run(6, wire, 1_000);
    let late = got.iter().filter(|(at, frame)| at - u64::from(number(frame)) * 1_000 == 2_500);
    assert_eq!(late.count() as u64, statistics.reordered);
    assert!((150..=250).contains(&statistics.reordered), "{statistics:?}");
    assert!(!numbers(&got).is_sorted());
}

#[test]
fn a_duplicate_follows_its_original() {
    let (got, statistics) = run(7, Wire { duplicate: 0.5, ..Wire::default() }, 1_000);
    let twice = got.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(twice as u64, statistics.duplicated);
    assert!((400..=600).contains(&twice), "{twice}");
    assert!(numbers(&got).is_sorted());
}

#[test]
fn corruption_flips_one_bit_of_the_packet() {
    let (got, statistics) = run(8, Wire { corrupt: 1.0, ..Wire::default() }, 500);
    let mut where_flipped = HashSet::new();
    for (n, (_, frame)) in (0..).zip(&got) {
        let original = packet(n, 100);
        let flipped: Vec<usize> = (0..100).filter(|&at| frame[at] != original[at]).collect();
        assert_eq!(flipped.len(), 1);
        assert_eq!((frame[flipped[0]] ^ original[flipped[0]]).count_ones(), 1);
        assert!(flipped[0] >= 14, "the link header is spared");
        where_flipped.insert(flipped[0]);
    }
    assert!(where_flipped.len() > 80, "all over the packet");
    assert_eq!(statistics.corrupted, 500);
}

#[test]
fn what_has_no_checksum_is_not_corrupted() {
    let (mut sim, mut left, mut right) = pair(9, Wire { corrupt: 1.0, ..Wire::default() });
    let mut arp = packet(0, 60);
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    let mut tagged = packet(0, 60);
    tagged[12..18].copy_from_slice(&[0x81, 0x00, 0x00, 0x05, 0x86, 0xdd]);
    send(&mut left, &arp);
    send(&mut left, &tagged);
    sim.advance(0);
    let got = receive(&mut right);
    assert_eq!(got[0], arp);
    assert_eq!(got[1][..18], tagged[..18]);
    assert_ne!(got[1], tagged);
}

#[test]
fn the_mtu_leaves_room_for_the_link_header_alone() {
    let (mut sim, mut left, mut right) = pair(1, Wire { mtu: 1000, ..Wire::default() });
    let tagged = |len| {
        let mut bytes = packet(0, len);
        bytes[12..18].copy_from_slice(&[0x81, 0x00, 0x00, 0x05, 0x08, 0x00]);
        bytes
    };
    send(&mut left, &packet(0, 1014));
    send(&mut left, &packet(1, 1015));
    send(&mut left, &tagged(1018));
    send(&mut left, &tagged(1019));
    sim.advance(0);
    let lengths: Vec<usize> = receive(&mut right).iter().map(Vec::len).collect();
    assert_eq!(lengths, [1014, 1018]);
    assert_eq!(sim.statistics(left.id(), Way::Out).oversized, 2);
}

#[test]
fn short_frames_arrive_padded_with_zeros() {
    let (mut sim, mut left, mut right) = pair(1, Wire::default());
    let pool = left.info().pool.clone();
    let mut used = pool.frame_of(&[0xff; 100]).unwrap();
    used.truncate(20);
    let mut burst = Burst::new();
    burst.push(used).unwrap();
    left.tx_burst(&mut burst);
    sim.advance(0);
    assert_eq!(receive(&mut right), [[[0xff; 20], [0; 20], [0; 20]].concat()]);
}

#[test]
fn what_another_device_said_does_not_pass() {
    let (mut sim, mut left, mut right) = pair(1, Wire::default());
    let mut frame = left.info().pool.frame_of(&packet(0, 100)).unwrap();
    frame.request_checksum(TxChecksum {
        l2_len: 14,
        l3_len: 20,
        ipv4_header: true,
        l4: L4Checksum::Tcp,
    });
    let good = ChecksumStatus::Good;
    frame.set_rx_offload(RxOffload { ip: good, l4: good, rss_hash: Some(1) });
    let mut burst = Burst::new();
    burst.push(frame).unwrap();
    left.tx_burst(&mut burst);
    sim.advance(0);
    right.rx_burst(&mut burst);
    let got = burst.drain().next().unwrap();
    assert_eq!(got.requested_checksum(), None);
    let unknown = ChecksumStatus::Unknown;
    assert_eq!(got.rx_offload(), RxOffload { ip: unknown, l4: unknown, rss_hash: None });
}

#[test]
fn a_card_with_offload_fills_in_and_verifies() {
    let builder = etherparse::PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64)
        .udp(1, 2);
    let mut right_sums = Vec::new();
    builder.write(&mut right_sums, &[7; 40]).unwrap();
    let mut no_sums = right_sums.clone();
    no_sums[24..26].fill(0);
    // The pseudo-header: addresses, protocol 17 and a length of 48.
    let pseudo = 2 * (0xc000 + 0x0200) + 1 + 2 + 17 + 48_u32;
    let pseudo = u16::try_from(pseudo % 0xffff).unwrap();
    no_sums[40..42].copy_from_slice(&pseudo.to_be_bytes());

    let mut sim = Sim::new(1);
    let card = |n| End { offload: Offload::Checksums, ..End::new(n) };
    let (mut left, mut right) = sim.link(card(1), card(2), Wire::default());
    let wanted = TxChecksum { l2_len: 14, l3_len: 20, ipv4_header: true, l4: L4Checksum::Udp };
    let send_one = |left: &mut SimQueue| {
        let mut frame = left.info().pool.frame_of(&no_sums).unwrap();
        frame.request_checksum(wanted);
        let mut burst = Burst::new();
        burst.push(frame).unwrap();
        left.tx_burst(&mut burst);
    };
    send_one(&mut left);
    sim.change(left.id(), Way::Out, |wire| wire.corrupt = 1.0);
    send_one(&mut left);
    sim.advance(0);

    let mut burst = Burst::new();
    assert_eq!(right.rx_burst(&mut burst), 2);
    let mut got = burst.drain();
    let (whole, corrupt) = (got.next().unwrap(), got.next().unwrap());
    assert_eq!(whole.head(), right_sums);
    let (good, bad) = (ChecksumStatus::Good, ChecksumStatus::Bad);
    assert_eq!(whole.rx_offload(), RxOffload { ip: good, l4: good, rss_hash: None });
    let found = corrupt.rx_offload();
    assert!(found.ip == bad || found.l4 == bad, "{found:?}");
    let segments = TxOffload { multi_segment: true, ..TxOffload::default() };
    let filled = TxOffload { ipv4: true, tcp: true, udp: true, ..segments };
    assert_eq!(right.info().tx_offload, filled);
}

#[test]
fn a_full_ring_misses_frames() {
    let mut sim = Sim::new(1);
    let small = End { rx_ring: 2, ..End::new(2) };
    let (mut left, mut right) = sim.link(End::new(1), small, Wire::default());
    (0..5).for_each(|n| send(&mut left, &packet(n, 60)));
    sim.advance(0);
    assert_eq!(receive(&mut right).len(), 2);
    let statistics = sim.statistics(right.id(), Way::In);
    assert_eq!((statistics.delivered, statistics.missed), (2, 3));
}

#[test]
fn a_change_meets_later_frames_of_one_direction() {
    let delay = Duration::from_millis(1);
    let (mut sim, mut left, mut right) = pair(1, Wire { delay, ..Wire::default() });
    send(&mut left, &packet(0, 60));
    sim.change(left.id(), Way::Out, |wire| wire.loss = 1.0);
    send(&mut left, &packet(1, 60));
    send(&mut right, &packet(2, 60));
    sim.advance(MS);
    assert_eq!(receive(&mut right), [packet(0, 60)]);
    assert_eq!(receive(&mut left), [packet(2, 60)]);
    assert_eq!(sim.statistics(right.id(), Way::In).lost, 1);
}

#[test]
fn a_switch_learns_where_addresses_are() {
    let mut sim = Sim::new(1);
    let mut ends = sim.switch((1..=3).map(End::new), Wire::default());
    let frame = |to: u8, from: u8| {
        let mut bytes = packet(0, 60);
        bytes[..12].copy_from_slice(&[2, 0, 0, 0, 0, to, 2, 0, 0, 0, 0, from]);
        bytes
    };
    let broadcast = [&[0xff; 6][..], &frame(0, 1)[6..]].concat();
    let from_group = [&frame(1, 0)[..6], &[0xff; 6], &frame(1, 0)[12..]].concat();
    for (name, sender, bytes, want) in [
        ("unknown: flooded", 0, frame(2, 1), [0, 1, 1]),
        ("learnt from that", 1, frame(1, 2), [1, 0, 0]),
        ("and from this", 0, frame(2, 1), [0, 1, 0]),
        ("a group as a source", 1, from_group, [1, 0, 0]),
        ("is not learnt: to all others", 0, broadcast, [0, 1, 1]),
        ("on the sender's own side", 0, frame(1, 1), [0, 0, 0]),
        ("an address that moves", 2, frame(1, 2), [1, 0, 0]),
        ("is found where it is now", 0, frame(2, 1), [0, 0, 1]),
    ] {
        send(&mut ends[sender], &bytes);
        sim.advance(0);
        let got: Vec<usize> = ends.iter_mut().map(|end| receive(end).len()).collect();
        assert_eq!(got, want, "{name}");
    }
    assert_eq!(sim.statistics(ends[0].id(), Way::Out).filtered, 1);
    assert_eq!(sim.copies().available(), sim.copies().capacity());
}

fn rough() -> Wire {
    Wire {
        rate: Some(Rate { queue_frames: 20, ..Rate::new(1_000_000_000) }),
        loss: 0.05,
        burst_loss: Some(BurstLoss { begin: 0.01, end: 0.3, loss: 0.9 }),
        delay: Duration::from_micros(30),
        jitter: Duration::from_micros(20),
        reorder: 0.1,
        reorder_by: Duration::from_micros(40),
        duplicate: 0.1,
        corrupt: 0.1,
        ..Wire::default()
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let first = run(11, rough(), 2_000);
    assert!(first == run(11, rough(), 2_000));
    assert!(first != run(12, rough(), 2_000));
}

#[test]
fn traffic_back_does_not_change_the_fate_of_traffic_there() {
    let trace = |answers: usize| {
        let (mut sim, mut left, mut right) = pair(13, rough());
        for n in 0..50 {
            send(&mut left, &packet(n, 100));
            (0..answers).for_each(|_| send(&mut right, &packet(n, 100)));
        }
        arrivals(&mut sim, &mut right)
    };
    assert!(trace(0) == trace(3));
}

#[test]
fn a_frame_may_be_freed_on_a_foreign_thread() {
    let (mut sim, mut left, mut right) = pair(1, Wire { duplicate: 1.0, ..Wire::default() });
    let pool = left.info().pool.clone();
    (0..8).for_each(|n| send(&mut left, &packet(n, 60)));
    sim.advance(0);
    let copies = sim.copies();
    let mut burst = Burst::new();
    assert_eq!(right.rx_burst(&mut burst), 16);
    assert_eq!((pool.available(), copies.available()), (4088, copies.capacity() - 8));
    std::thread::spawn(move || drop((burst, right))).join().unwrap();
    assert_eq!((pool.available(), copies.available()), (4096, copies.capacity()));
}

fn wires() -> impl Strategy<Value = Wire> {
    let chance = || prop_oneof![Just(0.0), 0.0..0.5_f64];
    let rate = proptest::option::of((1_000_000..1_000_000_000_u64, 1..50_usize));
    (rate, [chance(), chance(), chance(), chance()], 0..100_u64, 0..100_u64).prop_map(
        |(rate, [loss, reorder, duplicate, corrupt], delay, jitter)| Wire {
            rate: rate.map(|(bits, queue_frames)| Rate { queue_frames, ..Rate::new(bits) }),
            mtu: 200,
            loss,
            burst_loss: Some(BurstLoss { begin: loss, end: 0.5, loss: 0.5 }),
            delay: Duration::from_micros(delay),
            jitter: Duration::from_micros(jitter),
            reorder,
            reorder_by: Duration::from_micros(10),
            duplicate,
            corrupt,
        },
    )
}

proptest! {
    #[test]
    fn every_frame_is_accounted_for_and_returns_to_its_pool(
        seed: u64, wire in wires(), lengths in proptest::collection::vec(18..300_usize, 0..200),
    ) {
        let mut sim = Sim::new(seed);
        let pool = Pool::heap(200, 128);
        let ends = (1..=3).map(|n| End { rx_ring: 40, ..End::new(n).with_pool(pool.clone()) });
        let mut ends = sim.switch(ends, wire);
        for &len in &lengths {
            sim.advance(sim.now() + 1_000);
            if pool.available() >= 4 {
                send(&mut ends[0], &packet(0, len));
            }
        }
        sim.advance(u64::MAX);
        for end in &ends {
            for way in [Way::In, Way::Out] {
                let s = sim.statistics(end.id(), way);
                let dropped = s.oversized + s.overflowed + s.lost + s.lost_in_burst + s.filtered + s.missed;
                prop_assert_eq!(s.sent + s.duplicated, s.delivered + dropped, "{:?}", s);
            }
        }
        let waiting = ends.iter_mut().map(|end| receive(end).len() as u64).sum::<u64>();
        let delivered = ends.iter().map(|end| sim.statistics(end.id(), Way::In).delivered).sum();
        prop_assert_eq!(waiting, delivered);
        prop_assert_eq!(pool.available(), 200);
        prop_assert_eq!(sim.copies().available(), sim.copies().capacity());
    }
}
