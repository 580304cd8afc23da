//! Windows, both ways.

use std::time::Duration;

use crate::tcp::TcpConfig;
use crate::tcp::harness::Harness;

const NOTHING: [&str; 0] = [];

#[test]
fn tcp_handshake_window_size() {
    // The window in the last segment of the handshake counts, not the SYN's.
    let mut t = Harness::listening(&Harness::plain(), 1);
    t.input("S 0 mss 1000").unwrap();
    t.sent();
    t.input("A 1 ack 1 win 4").unwrap();
    assert!(t.accept());
    t.write(100);
    assert_eq!(t.sent(), ["A 1+4 ack 1"]);
}

#[test]
fn tcp_cork_mss() {
    let mut t = Harness::connected();
    t.stream().set_cork(true);
    t.write(250);
    t.write(500);
    assert_eq!(t.sent(), NOTHING, "less than a segment");
    t.write(250);
    assert_eq!(t.sent(), ["PA 1+1000 ack 1"], "a full one of three writes");
    t.write(2200);
    assert_eq!(t.sent(), ["A 1001+1000 ack 1", "PA 2001+1000 ack 1"], "cut at the segment size");
    t.input("A 1 ack 3001").unwrap();
    assert_eq!(t.sent(), NOTHING);
    t.stream().set_cork(false);
    t.application();
    assert_eq!(t.sent(), ["PA 3001+200 ack 1"]);
}

#[test]
fn tcp_send_window_sizes_piggyback() {
    for (window, first, out) in [
        (1000, "A 1+1000 ack 1", 1000),
        (999, "A 1+999 ack 1", 999),
        // One byte is not worth a segment (section 3.8.6.2.1).
        (1001, "A 1+1000 ack 1", 1000),
    ] {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        t.input(&format!("SA 0 ack 1 mss 1000 win {window}")).unwrap();
        t.sent();
        t.connection(|c| c.ack.quick = 0);
        t.write(3000);
        assert_eq!(t.sent(), [first], "{window}");
        // Data comes the other way: what is sent next acknowledges it.
        t.input(&format!("PA 1+10 ack {} win {window}", out + 1)).unwrap();
        let sent = t.sent();
        let next = format!("A {}+{out} ack 11", out + 1);
        assert_eq!(sent, [next], "{window}");
    }
}

#[test]
fn tcp_window_shrink() {
    let mut t = Harness::connected();
    t.write(3000);
    assert_eq!(t.sent().len(), 3);
    t.input("A 1 ack 1001 win 500").unwrap();
    t.at(1000);
    let again = t.sent();
    assert!(!again.is_empty(), "what is beyond the window now is sent again all the same");
    t.input("A 1 ack 3001 win 500").unwrap();
    t.write(500);
    assert_eq!(t.sent(), ["PA 3001+500 ack 1"]);
    t.input("A 1 ack 3501 win 65535").unwrap();
    t.write(1000);
    assert_eq!(t.sent(), ["PA 3501+1000 ack 1"]);
}

#[test]
fn tcp_zero_receive_window() {
    let config = TcpConfig { receive_buffer: 8000, ..Harness::plain() };
    // Nobody reads: the window closes, and opens when somebody does.
    let mut t = Harness::connected_with(&config);
    for part in 0..8 {
        t.input(&format!("A {}+1000 ack 1", 1 + part * 1000)).unwrap();
    }
    assert_eq!(t.emitted().last().unwrap().window, 0);
    assert_eq!(t.read(8000).unwrap(), 8000);
    assert_eq!(t.last().window, 8000);
    // Somebody reads all the while: it never closes.
    let mut t = Harness::connected_with(&config);
    for part in 0..100 {
        t.input(&format!("A {}+1000 ack 1", 1 + part * 1000)).unwrap();
        assert_eq!(t.read(8000).unwrap(), 1000);
        assert!(t.emitted().iter().all(|sent| sent.window > 0), "at {part}");
    }
}

/// A connection with 10 bytes to send, and a window that is closed.
fn closed() -> Harness {
    let mut t = Harness::connected();
    t.write(100);
    t.sent();
    t.input("A 1 ack 101 win 0").unwrap();
    t.write(10);
    assert_eq!(t.sent(), NOTHING);
    t
}

#[test]
fn tcp_zero_window_probe() {
    let mut t = closed();
    t.at(1000);
    let probes = t.sent();
    assert!(probes.iter().all(|probe| probe == "A 100 ack 1") && !probes.is_empty(), "{probes:?}");
    t.input("A 1 ack 101 win 0").unwrap();
    assert_eq!(t.sent(), NOTHING);
    // A probe of the peer's while ours is closed is answered.
    t.input("A 0 ack 101 win 0").unwrap_err();
    assert_eq!(t.sent(), ["A 101 ack 1"]);
    t.input("A 1 ack 101 win 1000").unwrap();
    assert_eq!(t.sent(), ["PA 101+10 ack 1"]);
}

#[test]
fn tcp_zero_window_probe_retransmit() {
    let mut t = closed();
    let mut asked = vec![];
    for at in 1..20_000 {
        t.at(at);
        if !t.sent().is_empty() {
            asked.push(at);
            t.input("A 1 ack 101 win 0").unwrap();
        }
    }
    let gaps: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.len() >= 4);
    assert!(gaps.windows(2).all(|pair| pair[1].abs_diff(2 * pair[0]) < 10), "{gaps:?}");
}

#[test]
fn tcp_zero_window_probe_usertimeout() {
    let mut t = closed();
    t.stream().set_user_timeout(Some(Duration::from_secs(5)));
    t.application();
    t.at(4_900);
    assert!(t.state().is_some());
    t.at(10_000);
    assert_eq!(t.state(), None, "nobody has answered a probe");
    t.sent();
    t.input("A 1 ack 101 win 1000").unwrap_err();
    assert_eq!(t.sent(), ["R 101"]);
}
