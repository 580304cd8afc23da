//! What every call gives in every phase of a connection (D-1; C-4 to C-7, C-9, C-10, decisions 3 and 9).
//!
//! Types leave nothing to test of some rows of C-6. There is no stream that was never connected: nobody can send, receive
//! or shut down on one, and the phase before [`Phase::Connecting`] does not exist. A stream has no `connect`, so that a second one
//! (EALREADY, EISCONN) cannot be asked for; what can be is a second connection between the same addresses. A stream
//! has no `send_to` and no `accept`, a listener neither sends nor receives, and who has called `close` has no stream left.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4};
use std::time::{Duration, Instant};

use super::said;
use crate::api::{TcpListener, TcpStream};
use crate::protocol::Order;
use crate::socket::{Phase, Target};
use crate::tcp::harness::{Harness, PEER, PEER_PORT};
use crate::tcp::open::ConnectError;

type State = (&'static str, Phase, fn() -> Harness);
type Call = (&'static str, fn(TcpStream) -> String);
type Accept = (&'static str, fn(&TcpListener) -> String);

/// How a stream comes into each state that calls can tell apart.
const STATES: [State; 11] = [
    ("connecting", Phase::Connecting, || Harness::connecting(&Harness::plain())),
    ("connected", Phase::Connected, Harness::connected),
    ("with bytes", Phase::Connected, || after(&["PA 1+3 ack 1"])),
    ("peer finished", Phase::Connected, || after(&["FA 1 ack 1"])),
    ("bytes and end", Phase::Connected, || after(&["FPA 1+3 ack 1"])),
    ("we finished", Phase::Closing, || {
        let mut t = Harness::connected();
        shut(&mut t, Shutdown::Write);
        t
    }),
    ("refused", Phase::Dead, || {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        t.input("RA 0 ack 1").unwrap();
        t
    }),
    ("reset", Phase::Dead, || after(&["R 1"])),
    ("bytes and reset", Phase::Dead, || after(&["PA 1+3 ack 1", "R 4"])),
    ("aborted", Phase::Dead, || {
        let mut t = Harness::connected();
        t.stream().abort();
        t.application();
        t
    }),
    ("over", Phase::Dead, || {
        let mut t = Harness::connected();
        shut(&mut t, Shutdown::Write);
        t.input("FA 1 ack 2").unwrap();
        t
    }),
];

fn after(segments: &[&str]) -> Harness {
    let mut t = Harness::connected();
    segments.iter().for_each(|segment| t.input(segment).unwrap());
    t
}

fn shut(t: &mut Harness, how: Shutdown) {
    t.stream().shutdown(how);
    t.application();
}

fn reach(state: &str) -> Harness {
    let (_, phase, reach) = STATES.into_iter().find(|(name, ..)| *name == state).unwrap();
    let mut t = reach();
    assert_eq!(t.stream().words().phase(), phase, "{state}");
    t
}

/// Calls that say something, each on a stream of its own.
const CALLS: [Call; 6] = [
    ("write", |mut stream| said(stream.write(b"abc"))),
    ("write in place", |stream| {
        let (_reader, mut writer, _control) = stream.split();
        let len = writer.reserve().len().min(3);
        said(writer.commit(len).map(|()| len))
    }),
    ("read", |mut stream| said(stream.read(&mut [0; 2]))),
    ("peek", |mut stream| said(stream.peek(&mut [0; 2]))),
    ("take_error", |stream| stream.take_error().map_or("none".into(), |e| said::<u8>(Err(e)))),
    ("close", |stream| said(stream.close().map(|()| "done"))),
];

const BLOCK: &str = "WouldBlock";
const PIPE: &str = "BrokenPipe";
const REFUSED: &str = "ConnectionRefused";
const RESET: &str = "ConnectionReset";
const ABORTED: &str = "ConnectionAborted";

#[rustfmt::skip]
const TABLE: [(&str, [&str; 6]); 11] = [
    // State             write     in place  read      peek      error     close
    ("connecting",      [BLOCK,    "0",      BLOCK,    BLOCK,    "none",   "done"]),
    ("connected",       ["3",      "3",      BLOCK,    BLOCK,    "none",   "done"]),
    ("with bytes",      ["3",      "3",      "2",      "2",      "none",   "done"]),
    ("peer finished",   ["3",      "3",      "0",      "0",      "none",   "done"]),
    ("bytes and end",   ["3",      "3",      "2",      "2",      "none",   "done"]),
    ("we finished",     [PIPE,     PIPE,     BLOCK,    BLOCK,    "none",   "done"]),
    ("refused",         [REFUSED,  REFUSED,  REFUSED,  REFUSED,  REFUSED,  REFUSED]),
    ("reset",           [RESET,    RESET,    RESET,    RESET,    RESET,    RESET]),
    ("bytes and reset", [RESET,    RESET,    "2",      "2",      RESET,    RESET]),
    ("aborted",         [PIPE,     PIPE,     ABORTED,  ABORTED,  ABORTED,  ABORTED]),
    ("over",            [PIPE,     PIPE,     "0",      "0",      "none",   "done"]),
];

#[test]
fn every_call_gives_what_its_phase_says() {
    for (state, wanted) in TABLE {
        for ((name, call), wanted) in CALLS.into_iter().zip(wanted) {
            let mut t = reach(state);
            let stream = t.stream.take().unwrap();
            assert_eq!(call(stream), wanted, "{name}, {state}");
        }
    }
}

/// Decision 9: a stream that was told to wait cannot where it would wait for itself. Everything else stays as it is.
#[test]
fn where_a_protocol_thread_would_wait_it_gets_deadlock() {
    for (state, wanted) in TABLE {
        for ((name, call), wanted) in CALLS.into_iter().zip(wanted) {
            let mut t = reach(state);
            let mut stream = t.stream.take().unwrap();
            stream.set_nonblocking(false);
            let wanted = if wanted == BLOCK { "Deadlock" } else { wanted };
            assert_eq!(call(stream), wanted, "{name}, {state}");
        }
    }
}

/// After each way to end one direction or both: what is written and what is read, on a stream each.
#[rustfmt::skip]
const AFTER_SHUTDOWN: [(&str, Shutdown, [&str; 2]); 21] = [
    ("connecting",      Shutdown::Read,  [BLOCK,    "0"]),
    ("connecting",      Shutdown::Write, [PIPE,     BLOCK]),
    ("connecting",      Shutdown::Both,  [PIPE,     "0"]),
    ("connected",       Shutdown::Read,  ["3",      "0"]),
    ("connected",       Shutdown::Write, [PIPE,     BLOCK]),
    ("connected",       Shutdown::Both,  [PIPE,     "0"]),
    ("with bytes",      Shutdown::Read,  ["3",      "0"]),
    ("with bytes",      Shutdown::Write, [PIPE,     "2"]),
    ("with bytes",      Shutdown::Both,  [PIPE,     "0"]),
    ("bytes and end",   Shutdown::Read,  ["3",      "0"]),
    ("bytes and end",   Shutdown::Write, [PIPE,     "2"]),
    ("bytes and end",   Shutdown::Both,  [PIPE,     "0"]),
    ("we finished",     Shutdown::Read,  [PIPE,     "0"]),
    ("we finished",     Shutdown::Write, [PIPE,     BLOCK]),
    // A cause of failure is told whatever was shut down (C-4: the reset comes before the shutdown).
    ("reset",           Shutdown::Read,  [RESET,    RESET]),
    ("reset",           Shutdown::Write, [RESET,    RESET]),
    ("reset",           Shutdown::Both,  [RESET,    RESET]),
    ("bytes and reset", Shutdown::Both,  [RESET,    RESET]),
    ("refused",         Shutdown::Both,  [REFUSED,  REFUSED]),
    ("aborted",         Shutdown::Both,  [PIPE,     ABORTED]),
    ("over",            Shutdown::Both,  [PIPE,     "0"]),
];

/// Whether the protocol thread has heard of the shutdown does not matter, and neither does shutting down twice.
#[test]
fn a_shutdown_holds_from_the_moment_it_returns() {
    for (state, how, wanted) in AFTER_SHUTDOWN {
        for (call, wanted) in [0, 2].into_iter().zip(wanted) {
            for heard in [false, true] {
                let mut t = reach(state);
                t.stream().shutdown(how);
                t.stream().shutdown(how);
                if heard {
                    t.application();
                }
                let (name, call) = CALLS[call];
                let stream = t.stream.take().unwrap();
                assert_eq!(call(stream), wanted, "{name} after {how:?}, {state}, heard: {heard}");
            }
        }
    }
}

/// whichever call it is that tells, no other does. What was received before the failure is still read.
#[test]
fn a_failure_is_told_by_one_call() {
    let tell: [fn(&mut TcpStream) -> Option<std::io::Error>; 4] = [
        |stream| stream.write(b"x").err(),
        |stream| stream.read(&mut [0; 9]).err(),
        |stream| stream.fill_buf().err(),
        |stream| stream.take_error(),
    ];
    for state in ["refused", "reset"] {
        for tell in tell {
            let mut t = reach(state);
            let stream = t.stream();
            let cause = tell(stream).map(|error| error.kind());
            assert!(cause.is_some(), "{state}");
            assert_eq!(said(stream.write(b"x")), "BrokenPipe", "{state}");
            assert_eq!(said(stream.read(&mut [0; 9])), "0", "{state}");
            assert!(stream.take_error().is_none(), "{state}");
            assert_eq!(said(t.stream.take().unwrap().close().map(|()| "done")), "done", "{state}");
        }
    }
}

#[test]
fn options_are_kept_in_every_phase() {
    for (state, ..) in STATES {
        let mut t = reach(state);
        let stream = t.stream();
        stream.set_nodelay(true);
        stream.set_keepalive(true);
        stream.set_user_timeout(Some(Duration::from_secs(5)));
        stream.set_linger(Some(Duration::from_secs(6)));
        stream.set_buffers(Some(5000), Some(6000));
        assert!(stream.nodelay() && stream.keepalive(), "{state}");
        assert_eq!(stream.user_timeout(), Some(Duration::from_secs(5)), "{state}");
        assert_eq!(stream.linger(), Some(Duration::from_secs(6)), "{state}");
        let phase = stream.words().phase();
        let Target::Tcp(id) = stream.words().target() else { unreachable!("a stream") };
        t.application();
        let orders: Vec<_> = std::iter::from_fn(|| t.core.pop_order()).collect();
        let [Order::SetBuffers { target: Target::Tcp(of), receive, send }] = orders[..] else {
            panic!("{state}: {} orders", orders.len())
        };
        assert_eq!(of, id, "{state}");
        t.tcp.set_buffers(&mut t.net, id, (receive, send));
        if let Some(socket) = t.tcp.socket(id) {
            assert_eq!((socket.receive.limit(), socket.send.limit()), (5000, 6000), "{state}");
        }
        assert_eq!(t.stream().words().phase(), phase, "{state}");
    }
}

/// C-9: the addresses are free again when nothing is left of the connection that had them, and not before.
#[test]
fn a_second_connection_between_the_same_addresses_waits_for_the_end_of_the_first() {
    for (state, taken) in [
        ("connecting", true),
        ("connected", true),
        ("peer finished", true),
        ("we finished", true),
        ("over", true),
        ("refused", false),
        ("reset", false),
        ("aborted", false),
    ] {
        let mut t = reach(state);
        let local = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, t.stream().local_addr().port());
        let remote = SocketAddrV4::new(PEER, PEER_PORT);
        let second = t.tcp.connect(&mut t.net, Some(local), remote).map(|_| ());
        let wanted = if taken { Err(ConnectError::AddressInUse) } else { Ok(()) };
        assert_eq!(second, wanted, "{state}");
    }
}

/// C-10: a connection that was ever made is a success, whatever became of it before the caller looked; the next call tells.
#[test]
fn a_connect_tells_how_the_handshake_ended_and_nothing_else() {
    let connect = |segments: &[&str]| {
        let mut t = Harness::connecting(&Harness::plain());
        t.sent();
        let taken = t.burst(segments);
        assert!(taken.iter().all(Result::is_ok), "{segments:?}: {taken:?}");
        let connected = said(t.stream().wait_connected(Some(Instant::now())).map(|()| "made"));
        (connected, said(t.stream().read(&mut [0; 9])))
    };
    for (segments, connected, next) in [
        (&[][..], "TimedOut", "WouldBlock"),
        (&["RA 0 ack 1"], "ConnectionRefused", "0"),
        (&["SA 0 ack 1"], "made", "WouldBlock"),
        (&["SA 0 ack 1", "R 1"], "made", "ConnectionReset"),
        (&["SA 0 ack 1", "PA 1+3 ack 1", "R 4"], "made", "3"),
        (&["SA 0 ack 1", "FA 1 ack 1"], "made", "0"),
        // Both have called at once: made when our SYN is acknowledged.
        (&["S 0"], "TimedOut", "WouldBlock"),
        (&["S 0", "A 1 ack 1"], "made", "WouldBlock"),
        (&["S 0", "R 1"], "ConnectionRefused", "0"),
    ] {
        assert_eq!(connect(segments), (connected.into(), next.into()), "{segments:?}");
    }
}

/// C-6, for listeners; decision 5 is in [`super::accept`].
#[test]
fn accepting_gives_what_the_listener_is() {
    let mut t = Harness::listening(&Harness::plain(), 1);
    let listener = TcpListener::new(t.listener.clone().unwrap(), vec![t.core.clone()]);
    let calls: [Accept; 3] = [
        ("on the protocol thread", |listener| said(listener.accept().map(|_| "accepted"))),
        ("on another", |listener| super::elsewhere(|| said(listener.accept().map(|_| "accepted")))),
        ("local", |listener| said(listener.accept_local().map(|_| "accepted"))),
    ];
    for (port, (name, accept)) in (1..).zip(calls) {
        assert_eq!(accept(&listener), "WouldBlock", "{name}");
        t.peer_port = port;
        t.input("S 0").unwrap();
        t.sent();
        assert_eq!(accept(&listener), "WouldBlock", "half a handshake is none, {name}");
        t.input("A 1 ack 1").unwrap();
        assert_eq!(accept(&listener), "accepted", "{name}");
    }
    listener.close();
    for (name, accept) in calls {
        assert_eq!(accept(&listener), "ConnectionAborted", "{name}");
    }
}

/// C-9: after a connection attempt has failed its stream is dead, and tells why once.
#[test]
fn an_attempt_that_nobody_answers_times_out_once() {
    let mut t = Harness::connecting(&Harness::plain());
    t.at(0).at(600_000);
    assert_eq!(t.stream().words().phase(), Phase::Dead);
    assert_eq!(said(t.stream().wait_connected(None).map(|()| "made")), "TimedOut");
    assert_eq!(said(t.stream().read(&mut [0; 9])), "0");
    assert_eq!(said(t.stream().write(b"x")), "BrokenPipe");
}
