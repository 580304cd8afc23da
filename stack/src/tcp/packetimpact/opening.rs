//! Handshakes, and what may go wrong in them.

use std::io::{ErrorKind, Write as _};

use crate::api::Readiness;
use crate::drops::Drop;
use crate::icmp::IcmpError;
use crate::socket::Part;
use crate::tcp::harness::Harness;
use crate::tcp::{CookiePolicy, TcpConfig, TcpState};

const NOTHING: [&str; 0] = [];

fn listening() -> Harness {
    let mut t = Harness::listening(&Harness::plain(), 1);
    t.input("S 0 mss 1000").unwrap();
    assert_eq!(t.sent(), ["SA 0 ack 1"]);
    t
}

fn trouble(t: &mut Harness, error: IcmpError) -> Result<(), Drop> {
    let flow = t.flow();
    let oldest = t.connection(|c| c.snd.una);
    let heard = t.tcp.icmp_error(&mut t.net, &flow, oldest, error);
    t.tcp.flush(&mut t.net);
    heard
}

#[test]
fn tcp_acceptable_ack_syn_rcvd() {
    for (ack, accepted) in [(-1, false), (0, false), (1, true), (2, false), (70_000, false)] {
        let mut t = listening();
        let _dropped = t.input(&format!("A 1 ack {ack}"));
        assert_eq!(t.accept(), accepted, "{ack}");
        let reset = if accepted { vec![] } else { vec![format!("R {ack}")] };
        assert_eq!(t.sent(), reset, "{ack}");
    }
}

#[test]
fn tcp_connect_icmp_error() {
    let mut t = Harness::connecting(&Harness::plain());
    t.sent();
    trouble(&mut t, IcmpError::PortUnreachable).unwrap();
    assert_eq!(t.read(1).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!((t.state(), t.tcp.connections.len()), (None, 0));
    t.input("SA 0 ack 1").unwrap_err();
    assert_eq!(t.sent(), ["R 1"], "nothing is left of it");
    t.at(60_000);
    assert_eq!(t.sent(), NOTHING);
}

#[test]
fn tcp_network_unreachable() {
    for (error, kind) in [
        (IcmpError::NetUnreachable, ErrorKind::NetworkUnreachable),
        (IcmpError::HostUnreachable, ErrorKind::HostUnreachable),
    ] {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        trouble(&mut t, error).unwrap();
        assert_eq!(t.read(1).unwrap_err().kind(), kind);
        assert_eq!(t.state(), None);

        let mut t = Harness::connected();
        t.write(10);
        trouble(&mut t, error).unwrap();
        assert_eq!(t.state(), Some(TcpState::Established), "{error:?} may pass");
        t.sent();
        t.input("PA 1+10 ack 11").unwrap();
        assert_eq!(t.read(100).unwrap(), 10);
    }
}

#[test]
fn tcp_queue_send_recv_in_syn_sent() {
    // On a protocol thread no call waits: it is told to come again, and when (the blocking calls of other threads are in
    // `tests/threads/blocking.rs`).
    let mut t = Harness::connecting(&Harness::plain());
    t.sent();
    assert_eq!(t.stream().write(&[0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(t.read(100).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(t.sent(), NOTHING);
    t.input("SA 0 ack 1 mss 1000").unwrap();
    assert_eq!(t.sent(), ["A 1 ack 1"]);
    let told = t.stream().words().take_events(Part::Write);
    assert!(told.contains(Readiness::CONNECTED | Readiness::WRITABLE), "{told:?}");
    t.input("PA 1+10 ack 1").unwrap();
    assert_eq!((t.write(100), t.read(100).unwrap()), (100, 10));
    // The handshake fails: both are told why, each once.
    let mut t = Harness::connecting(&Harness::plain());
    t.sent();
    t.input("RA 0 ack 1").unwrap();
    assert_eq!(t.read(100).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert!(t.stream().write(&[0]).is_err());
    assert_eq!(t.sent(), NOTHING);
}

#[test]
fn tcp_synsent_reset() {
    let mut t = Harness::connecting(&Harness::plain());
    t.sent();
    t.input("RA 0 ack 1").unwrap();
    assert_eq!(t.state(), None);
    t.input("SA 0 ack 1").unwrap_err();
    assert_eq!(t.sent(), ["R 1"]);
    // Both call at once, and then the peer resets.
    let mut t = Harness::connecting(&Harness::plain());
    t.sent();
    t.input("S 0 mss 1000").unwrap();
    assert_eq!(t.sent(), ["SA 0 ack 1"]);
    t.input("R 1").unwrap();
    assert_eq!(t.state(), None);
    t.input("A 1 ack 1").unwrap_err();
    assert_eq!(t.sent(), ["R 1"]);
}

#[test]
fn tcp_synrcvd_reset() {
    for (segment, then) in [("R 1", Ok(())), ("S 1", Err(Drop::TcpSynUnexpected))] {
        let mut t = listening();
        assert_eq!(t.input(segment), then);
        t.sent();
        t.input("A 1 ack 1").unwrap_err();
        assert_eq!(t.sent(), ["R 1"], "after {segment}");
        assert!(!t.accept());
    }
}

#[test]
fn tcp_listen_backlog() {
    for backlog in [1, 2, 5] {
        let mut t = Harness::listening(&Harness::plain(), backlog);
        let ports = u16::try_from(backlog).unwrap() + 3;
        for port in 1..=ports {
            t.peer_port = port;
            t.input("S 0").unwrap();
            assert_eq!(t.sent(), ["SA 0 ack 1"], "SYNs are answered beyond the backlog");
        }
        for port in 1..=ports {
            t.peer_port = port;
            let completed = t.input("A 1 ack 1").is_ok();
            assert_eq!(completed, u32::from(port) <= backlog, "of {backlog}");
            assert_eq!(t.sent(), NOTHING, "the last ACKs are ignored, not reset");
        }
        for _ in 0..backlog {
            assert!(t.accept());
        }
        assert!(!t.accept());
        t.at(1000);
        assert_eq!(t.sent().len(), 3, "the others are asked again");
        t.input("A 1 ack 1").unwrap();
        assert!(t.accept());
    }
}

#[test]
fn tcp_noaccept_close_rst() {
    let mut t = listening();
    t.input("A 1 ack 1").unwrap();
    let listener = t.listener.take().unwrap();
    t.tcp.unlisten(&mut t.net.readies, &listener);
    t.application();
    assert_eq!(t.sent(), ["RA 1 ack 1"]);
    assert_eq!(t.state(), None);
}

#[test]
fn tcp_syncookie() {
    for policy in [CookiePolicy::Off, CookiePolicy::Always] {
        let config = TcpConfig { syn_cookies: policy, ..Harness::plain() };
        for (segment, answer) in [
            ("A 1 ack 1", None),
            ("PA 1+10 ack 1", Some("A 1 ack 11")),
            ("A 1 ack 2", Some("R 2")),
            ("A 1 ack 0", Some("R 0")),
        ] {
            let mut t = Harness::listening(&config, 1);
            t.input("S 0 mss 1000").unwrap();
            assert_eq!(t.sent(), ["SA 0 ack 1"]);
            let _dropped = t.input(segment);
            assert_eq!(t.sent().first().map(String::as_str), answer, "{policy:?}: {segment}");
            assert_eq!(t.accept(), !answer.is_some_and(|sent| sent.starts_with('R')));
        }
        // Of a number that is wrong by one there is a difference: an entry knows the window, and a cookie is for one number.
        let mut t = Harness::listening(&config, 1);
        t.input("S 0 mss 1000").unwrap();
        t.sent();
        let _dropped = t.input("A 0 ack 1");
        let answer = if policy == CookiePolicy::Off { "A 1 ack 1" } else { "R 1" };
        assert_eq!(t.sent(), [answer], "{policy:?}");
    }
}
