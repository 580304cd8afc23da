//! How connections end.

use std::net::Shutdown;
use std::time::Duration;

use crate::drops::Drop;
use crate::tcp::harness::Harness;

const NOTHING: [&str; 0] = [];

#[test]
fn fin_wait2_timeout() {
    for (at, answer) in [(59_000, "A 2 ack 2"), (61_000, "R 2")] {
        let mut t = Harness::connected();
        t.close();
        t.sent();
        t.input("A 1 ack 2").unwrap();
        t.at(at);
        let _dropped = t.input("FA 1 ack 2");
        assert_eq!(t.sent(), [answer], "after {at} ms");
    }
}

#[test]
fn tcp_timewait_reset() {
    let mut t = Harness::connected();
    t.close();
    t.input("FA 1 ack 2").unwrap();
    t.sent();
    for reset in ["R 2", "RA 2 ack 2", "R 1", "R 1000", "R 70000"] {
        assert_eq!(t.input(reset), Err(Drop::TcpResetUnacceptable), "{reset}");
        assert_eq!(t.sent(), NOTHING, "{reset}");
    }
    t.input("FA 1 ack 2").unwrap_err();
    assert_eq!(t.sent(), ["A 2 ack 2"], "it is still there (RFC 1337)");
}

#[test]
fn tcp_linger() {
    let linger = |seconds: Option<u64>| {
        let mut t = Harness::connected();
        t.stream().set_linger(seconds.map(Duration::from_secs));
        t
    };
    // None, and some: the peer is told in order.
    for seconds in [None, Some(3)] {
        let mut t = linger(seconds);
        t.close();
        assert_eq!(t.sent(), ["FA 1 ack 1"], "{seconds:?}");
    }
    // Zero: it is reset, also with bytes on their way.
    let mut t = linger(Some(0));
    t.write(100);
    t.sent();
    t.close();
    assert_eq!((t.sent(), t.state()), (vec!["RA 101 ack 1".to_owned()], None));
    // A shutdown comes before: a FIN, and then the reset.
    let mut t = linger(Some(0));
    t.stream().shutdown(Shutdown::Write);
    t.application();
    assert_eq!(t.sent(), ["FA 1 ack 1"]);
    t.close();
    assert_eq!((t.sent(), t.state()), (vec!["RA 2 ack 1".to_owned()], None));
    // There is no connection yet, so there is nothing to wait for and nobody to reset.
    for seconds in [None, Some(0), Some(3)] {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        t.stream().set_linger(seconds.map(Duration::from_secs));
        t.close();
        assert_eq!((t.sent(), t.state()), (vec![], None), "{seconds:?}");
    }
}
