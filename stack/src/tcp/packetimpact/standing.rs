//! Connections that are there: what is not acceptable, and what they say of themselves.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

use darner_ring::CHUNK;

use crate::drops::Drop;
use crate::tcp::TcpConfig;
use crate::tcp::harness::Harness;

const NOTHING: [&str; 0] = [];

/// Both have called at once, or one of them.
fn opened() -> [(&'static str, Harness); 3] {
    let mut both = Harness::connecting(&Harness::plain());
    both.sent();
    both.input("S 0 mss 1000").unwrap();
    both.sent();
    both.input("SA 0 ack 1").unwrap();
    both.connection(|connection| connection.ack.quick = 0);
    [("by us", Harness::connected()), ("by the peer", Harness::accepted()), ("by both", both)]
}

/// Segments that begin or end outside of the window, or acknowledge what was not sent, are answered with where we are.
fn answered(t: &mut Harness, segments: &[&str], answer: &str) {
    for segment in segments {
        t.input(segment).unwrap_err();
        assert_eq!(t.sent(), [answer], "{segment}");
    }
}

#[test]
fn tcp_outside_the_window() {
    for (name, mut t) in opened() {
        let segments =
            ["S 70000", "SA 70000 ack 1", "A 70000 ack 1", "PA 70000+10 ack 1", "FA 70000 ack 1"];
        answered(&mut t, &segments, "A 1 ack 1");
        assert_eq!(t.read(10).unwrap_err().kind(), ErrorKind::WouldBlock, "{name}");
    }
}

#[test]
fn tcp_outside_the_window_closing() {
    let mut t = Harness::connected();
    t.stream().shutdown(Shutdown::Write);
    t.application();
    t.input("FA 1 ack 1").unwrap();
    t.sent();
    let segments =
        ["S 70000", "SA 70000 ack 2", "A 70000 ack 2", "PA 70000+10 ack 2", "FA 70000 ack 2"];
    answered(&mut t, &segments, "A 2 ack 2");
}

#[test]
fn tcp_unacc_seq_ack() {
    for (name, mut t) in opened() {
        answered(&mut t, &["PA 70000+10 ack 1", "PA 1+10 ack 2", "PA 1+10 ack 70000"], "A 1 ack 1");
        t.input("PA 1+10 ack 1").unwrap();
        assert_eq!(t.read(100).unwrap(), 10, "{name}");
    }
}

#[test]
fn tcp_unacc_seq_ack_closing() {
    // Passively: the peer has closed, and we have.
    let mut t = Harness::connected();
    t.input("FA 1 ack 1").unwrap();
    t.stream().shutdown(Shutdown::Write);
    t.application();
    t.sent();
    answered(&mut t, &["A 70000 ack 2", "A 2 ack 3"], "A 2 ack 2");
    t.input("A 2 ack 2").unwrap();
    assert_eq!(t.state(), None);
    // Actively: in FIN-WAIT-1 and FIN-WAIT-2.
    let mut t = Harness::connected();
    t.stream().shutdown(Shutdown::Write);
    t.application();
    t.sent();
    answered(&mut t, &["A 70000 ack 1", "A 1 ack 3"], "A 2 ack 1");
    t.input("A 1 ack 2").unwrap();
    answered(&mut t, &["A 70000 ack 2", "A 1 ack 3"], "A 2 ack 1");
    // Both at once.
    t.input("FA 1 ack 2").unwrap();
    t.sent();
    answered(&mut t, &["A 70000 ack 2", "A 2 ack 3"], "A 2 ack 2");
    assert_eq!(t.tcp.time_wait.len(), 1);
}

#[test]
fn tcp_paws_mechanism() {
    let mut t = Harness::connecting(&TcpConfig { window_scaling: false, ..TcpConfig::default() });
    t.sent();
    t.input("SA 0 ack 1 mss 1000 ts 1000:0").unwrap();
    t.connection(|c| c.ack.quick = u8::MAX);
    t.sent();
    for (value, want, answer) in [
        (1001, Ok(()), "A 1 ack 11"),
        (1000, Err(Drop::TcpPaws), "A 1 ack 11"),
        (1001_u32.wrapping_sub(1 << 31), Err(Drop::TcpPaws), "A 1 ack 11"),
        (1002, Ok(()), "A 1 ack 21"),
    ] {
        let number = if value == 1001 { 1 } else { 11 };
        assert_eq!(t.input(&format!("PA {number}+10 ack 1 ts {value}:0")), want, "{value}");
        assert_eq!(t.sent(), [answer], "{value}");
    }
    assert_eq!(t.read(100).unwrap(), 20);
}

#[test]
fn tcp_rcv_buf_space() {
    let config = TcpConfig { max_buffered: CHUNK, receive_buffer: 16_000, ..Harness::plain() };
    let mut t = Harness::listening(&config, 2);
    for port in [1, 2] {
        t.peer_port = port;
        t.input("S 0 mss 1000").unwrap();
        t.sent();
        t.input("A 1 ack 1").unwrap();
    }
    t.peer_port = 1;
    t.input("PA 1+1000 ack 1").unwrap();
    t.peer_port = 2;
    t.sent();
    // It lies in the window that was offered, and there is nothing to keep it in.
    assert_eq!(t.input("PA 1+10 ack 1"), Err(Drop::TcpMemoryLimit));
    assert_eq!(t.sent(), ["A 1 ack 1"]);
}

#[test]
fn tcp_retransmits() {
    let mut t = Harness::connected();
    t.write(100);
    assert_eq!(t.sent(), ["PA 1+100 ack 1"]);
    let mut at = 0;
    for doubled in 0..6 {
        at += 200 << doubled;
        t.at(at - 1);
        assert_eq!(t.sent(), NOTHING, "not before {at}");
        t.at(at + 1);
        assert_eq!(t.sent(), ["PA 1+100 ack 1"], "at {at}");
    }
}

#[test]
fn tcp_fin_retransmission() {
    let mut t = Harness::connected();
    t.stream().shutdown(Shutdown::Write);
    t.application();
    assert_eq!(t.sent(), ["FA 1 ack 1"]);
    t.input("FA 1 ack 1").unwrap();
    assert_eq!(t.sent(), ["A 2 ack 2"]);
    let mut at = 0;
    for doubled in 0..4 {
        at += 200 << doubled;
        t.at(at + 1);
        assert_eq!(t.sent(), ["FA 1 ack 2"], "in CLOSING, at {at}");
    }
}

#[test]
fn tcp_user_timeout() {
    for close in [false, true] {
        let mut t = Harness::connected();
        t.stream().set_user_timeout(Some(Duration::from_secs(3)));
        t.write(100);
        if close {
            t.stream().shutdown(Shutdown::Write);
            t.application();
        }
        t.at(2999);
        assert!(t.state().is_some());
        t.sent();
        t.at(3001);
        assert_eq!(t.state(), None, "with the FIN too: {close}");
        t.sent();
        t.input("A 1 ack 101").unwrap_err();
        assert_eq!(t.sent(), ["R 101"]);
    }
}

#[test]
fn tcp_info() {
    let mut t = Harness::connected();
    t.write(1000);
    t.at(50);
    t.input("A 1 ack 1001").unwrap();
    let info = |t: &Harness| t.tcp.connections(t.net.now).next().unwrap();
    let before = info(&t);
    assert_eq!(before.state, crate::tcp::TcpState::Established);
    assert!(before.round_trip.is_some_and(|time| time <= Duration::from_millis(50)));
    assert!(before.timeout >= Duration::from_millis(200));
    assert_eq!((before.in_flight, before.lost, before.retransmitted), (0, 0, 0));
    t.write(10_000);
    assert_eq!(info(&t).in_flight, 10_000);
    t.at(2000);
    let after = info(&t);
    assert!(after.lost > 0 && after.retransmitted > 0, "{after:?}");
    assert!(after.timeout > before.timeout, "backed off");
    assert_eq!(after.congestion_window, 1000, "a segment, after a timeout");
    assert!(after.slow_start_threshold.is_some());
}
