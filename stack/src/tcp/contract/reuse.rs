//! Places and addresses that are taken again: nothing of their last holder reaches the next.

use std::net::{Ipv4Addr, Shutdown, SocketAddrV4};
use std::time::Duration;

use crate::api::TcpStream;
use crate::protocol::Order;
use crate::socket::{Hint, SocketId, Target};
use crate::tcp::connection::Nodelay;
use crate::tcp::harness::{Harness, PEER, PEER_PORT};
use crate::tcp::open::ConnectError;
use crate::tcp::state::State;
use crate::tcp::{TcpConfig, Timer};

const REMOTE: SocketAddrV4 = SocketAddrV4::new(PEER, PEER_PORT);

fn id_of(stream: &TcpStream) -> SocketId {
    match stream.words().target() {
        Target::Tcp(id) => id,
        Target::Udp(_) => unreachable!("a stream"),
    }
}

/// A stream whose connection is gone, and a connection that has its place.
fn successor() -> (Harness, TcpStream) {
    let mut t = Harness::connected();
    t.input("R 1").unwrap();
    let old = t.stream.take().unwrap();
    for _ in 0..10_000 {
        let stream = t.tcp.connect(&mut t.net, None, REMOTE).unwrap();
        if id_of(&stream).index == id_of(&old).index {
            t.stream = Some(stream);
            t.application();
            assert_eq!(t.sent().last().unwrap(), "S 0");
            return (t, old);
        }
        drop(stream);
        t.application();
    }
    panic!("places are never taken again");
}

/// whatever still names the old holder of a place, by its generation or by the place alone, does nothing to the
/// new one.
#[test]
fn what_the_old_holder_of_a_place_asks_for_does_not_reach_the_new_one() {
    let (mut t, old) = successor();
    let stale = id_of(&old);
    assert_ne!(id_of(t.stream()).generation, stale.generation);
    let limits = t.connection(|c| (c.socket.receive.limit(), c.socket.send.limit()));
    let deadlines = t.connection(|c| c.deadlines.earliest());
    old.set_nodelay(true);
    old.set_linger(Some(Duration::ZERO));
    old.set_buffers(Some(1), Some(1));
    old.shutdown(Shutdown::Both);
    old.abort();
    while let Some(order) = t.core.pop_order() {
        match order {
            Order::SetBuffers { target: Target::Tcp(id), receive, send } => {
                assert_eq!(id, stale);
                t.tcp.set_buffers(&mut t.net, id, (receive, send));
            }
            // What opens this thread's mailbox is for `application`.
            other => {
                t.core.order(other);
                break;
            }
        }
    }
    t.application();
    t.tcp.timer(&mut t.net, Timer::Connection(stale));
    for hint in [Hint::Socket(Target::Tcp(stale)), Hint::TcpPlace(stale.index)] {
        t.tcp.follow_hint(&mut t.net, hint);
    }
    assert!(t.tcp.socket(stale).is_none());
    drop(old);
    t.application();
    assert_eq!(t.sent(), [""; 0]);
    t.connection(|c| {
        assert_eq!((c.state, c.nodelay), (State::SynSent, Nodelay::Off));
        assert_eq!((c.socket.receive.limit(), c.socket.send.limit()), limits);
        assert_eq!(c.deadlines.earliest(), deadlines);
    });
    t.input("SA 0 ack 1").unwrap();
    assert_eq!(t.sent(), ["A 1 ack 1"]);
    assert_eq!(t.write(3), 3);
}

/// The hints of a thread that has many sockets overflow into a map of places: one that is set for the old holder is a
/// look too many at the new one.
#[test]
fn an_overflowing_hint_for_the_old_holder_is_a_look_too_many() {
    let (mut t, old) = successor();
    let others: Vec<_> =
        (0..10).map(|_| t.tcp.connect(&mut t.net, None, REMOTE).unwrap()).collect();
    others.iter().for_each(|other| other.shutdown(Shutdown::Write));
    drop(old);
    t.application();
    t.connection(|c| assert_eq!(c.state, State::SynSent));
    drop(others);
    t.application();
    assert_eq!(t.tcp.connections.len(), 1);
}

fn few_ports() -> TcpConfig {
    TcpConfig { ephemeral_ports: 5000..=5003, ..Harness::plain() }
}

/// We connect and close first: the addresses stay in TIME-WAIT.
fn come_and_go(t: &mut Harness) -> Result<u16, ConnectError> {
    t.stream = Some(t.tcp.connect(&mut t.net, None, REMOTE)?);
    t.sent();
    t.input("SA 0 ack 1 mss 1000").unwrap();
    let port = t.stream().local_addr().port();
    t.close();
    t.input("FA 1 ack 2").unwrap();
    t.sent();
    Ok(port)
}

/// a connection that waits for stray segments has its addresses and nothing else. Who asks for any port gets another one;
/// who asks for that port is told.
#[test]
fn addresses_in_time_wait_are_not_used_again() {
    let mut t = Harness::new(&few_ports());
    let mut ports: Vec<u16> = (0..4).map(|_| come_and_go(&mut t).unwrap()).collect();
    ports.sort_unstable();
    assert_eq!(ports, [5000, 5001, 5002, 5003]);
    assert_eq!((t.tcp.connections.len(), t.tcp.time_wait.len()), (0, 4), "their places are free");
    assert_eq!(come_and_go(&mut t), Err(ConnectError::AddressNotAvailable));
    let local = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 5001);
    let again = t.tcp.connect(&mut t.net, Some(local), REMOTE).map(|_| ());
    assert_eq!(again, Err(ConnectError::AddressInUse));
    // Another peer's connections have addresses of their own.
    let other = SocketAddrV4::new(PEER, PEER_PORT + 1);
    assert!(t.tcp.connect(&mut t.net, Some(local), other).is_ok());
    t.application();
    t.at(60_001);
    assert_eq!(come_and_go(&mut t).map(|port| ports.contains(&port)), Ok(true));
}

/// A storm of short connections: as many as there are ports in each lifetime of TIME-WAIT, and nothing piles up.
#[test]
fn a_storm_of_connections_reuses_what_it_can() {
    let mut t = Harness::new(&few_ports());
    let mut made = 0;
    for second in 0..1000 {
        t.at(second * 1000);
        made += usize::from(come_and_go(&mut t).is_ok());
        assert_eq!(t.tcp.connections.len(), 0);
        assert!(t.tcp.time_wait.len() <= 4);
    }
    assert!((60..=68).contains(&made), "{made}");
    assert_eq!(t.frames_held(), 0);
}
