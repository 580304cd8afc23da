//! Input that nobody should send: nothing of it panics, leaks, hangs or grows without bound.

#![expect(
    clippy::cast_possible_truncation,
    reason = "a test builds its packets from small numbers"
)]

mod driver;

use std::time::Duration;

use darner::counters::Counter;

use driver::{Driver, ip_packet};
use proptest::prelude::*;

fn syn(port: u16) -> Vec<u8> {
    let mut segment = port.to_be_bytes().to_vec();
    segment.extend([0, 7, 0, 0, 3, 232, 0, 0, 0, 0, 0x70, 2, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend([2, 4, 5, 180, 1, 3, 3, 7]);
    ip_packet(6, 0x4000, &segment)
}

/// Frames that are taken as they are.
fn valid_frames() -> Vec<Vec<u8>> {
    let udp = [&[0x80, 1, 0, 7, 0, 12, 0, 0][..], b"ping"].concat();
    let echo = [&[8, 0, 0, 0, 0, 1, 0, 1][..], b"ping"].concat();
    let quote = [&[3, 3, 0, 0, 0, 0, 0, 0][..], &ip_packet(17, 0x4000, &udp)[14..]].concat();
    vec![
        syn(0x8003),
        ip_packet(17, 0x4000, &udp),
        ip_packet(1, 0x4000, &echo),
        ip_packet(1, 0x4000, &quote),
        ip_packet(17, 0x2000, &udp),
    ]
}

#[test]
fn every_truncation_is_survived() {
    let mut driver = Driver::new();
    for frame in valid_frames() {
        for len in 0..frame.len() {
            driver.inject(&frame[..len]);
        }
    }
    driver.pass(Duration::from_secs(120));
    driver.finish();
}

#[test]
fn every_flipped_bit_is_survived() {
    let mut driver = Driver::new();
    for frame in valid_frames() {
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            driver.inject(&flipped);
        }
    }
    driver.pass(Duration::from_secs(120));
    driver.finish();
}

#[test]
fn absurd_options_are_survived() {
    let mut driver = Driver::new();
    for kind in 0..=u8::MAX {
        for len in [0, 1, 2, 3, 10, 40, 255] {
            let mut segment =
                vec![0x80, 5, 0, 7, 0, 0, 3, 232, 0, 0, 0, 0, 0xf0, 2, 0xff, 0xff, 0, 0, 0, 0];
            segment.extend([kind, len]);
            segment.resize(60, kind);
            driver.inject(&ip_packet(6, 0x4000, &segment));
        }
    }
    driver.pass(Duration::from_secs(300));
    driver.finish();
}

#[test]
fn a_flood_of_syns_leaves_memory_bounded() {
    let mut driver = Driver::new();
    for port in 0..60_000 {
        driver.inject(&syn(port));
        assert!(driver.frames_in_use() < 256, "frames are not kept for strangers");
        driver.sent.clear();
    }
    let metrics = driver.protocol().metrics();
    let cookies = metrics.counter(Counter::TcpSynCookiesSent);
    assert!(cookies > 50_000, "beyond the limit they are answered and forgotten: {cookies}");
    assert_eq!(
        metrics.counter(Counter::TcpPassiveOpens),
        64,
        "as many as the limit of half-open ones"
    );
    driver.finish();
}

#[test]
fn fragments_without_end_leave_memory_bounded() {
    let mut driver = Driver::new();
    for number in 0..20_000_u16 {
        let mut frame = ip_packet(17, 0x2000 | (number % 64), &[7; 64]);
        // Another identification: another datagram that will never be whole.
        frame[18..20].copy_from_slice(&number.to_be_bytes());
        fix_header(&mut frame);
        driver.inject(&frame);
        assert!(driver.frames_in_use() < 400);
    }
    driver.pass(Duration::from_secs(120));
    driver.finish();
}

fn fix_header(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum: u32 =
        frame[14..34].chunks(2).map(|pair| (u32::from(pair[0]) << 8) | u32::from(pair[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_script_is_survived(script in prop::collection::vec(any::<u8>(), 0..4000)) {
        let mut driver = Driver::new();
        driver.play(&script);
        driver.finish();
    }

    /// Segments only, so that scripts get further into a connection's life.
    #[test]
    fn any_conversation_is_survived(
        steps in prop::collection::vec((0..2_u8, any::<u8>(), any::<[u8; 4]>(), 0..3_u8), 0..60),
    ) {
        let script: Vec<u8> = steps
            .into_iter()
            .flat_map(|(port, flags, [a, b, c, d], time)| {
                let segment = [4, port, flags & 0x3f, a / 2, b / 2, c, d, 0, 0, d];
                let pause = [1, time, 0];
                segment.into_iter().chain(pause)
            })
            .collect();
        let mut driver = Driver::new();
        driver.play(&script);
        driver.finish();
    }
}
