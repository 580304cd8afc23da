use std::io::Write;
use std::time::Duration;

use crate::api::TcpStream;
use crate::backlog;
use crate::counters::Counter;
use crate::tcp::TcpConfig;
use crate::tcp::harness::Harness;

#[test]
fn a_write_leaves_in_full_segments_and_the_last_is_pushed() {
    let mut t = Harness::connected();
    t.write(2500);
    assert_eq!(t.sent(), ["A 1+1000 ack 1", "A 1001+1000 ack 1", "PA 2001+500 ack 1"]);
}

#[test]
fn ten_segments_leave_before_the_first_acknowledgement() {
    let mut t = Harness::connected();
    t.write(20_000);
    assert_eq!(t.sent().len(), 10);
    t.input("A 1 ack 2001").unwrap();
    assert_eq!(t.sent().len(), 4, "two for what left the network, two because the window opens");
}

#[test]
fn a_pause_counts_once() {
    let mut t = Harness::connected();
    t.write(30_000);
    (2..30).step_by(2).for_each(|n| t.input(&format!("A 1 ack {n}001")).unwrap());
    t.input("A 1 ack 30001 win 0").unwrap();
    assert_eq!(t.sent().len(), 30);
    t.at(250).write(60_000);
    for _ in 0..5 {
        t.input("A 1 ack 30001 win 0").unwrap();
    }
    t.input("A 1 ack 30001").unwrap();
    assert_eq!(t.sent().len(), 18, "half of thirty-six");
}

/// While nothing may leave nothing is decided: the peer's window may open before the pause is long.
#[test]
fn a_pause_ends_when_something_may_leave() {
    let mut t = Harness::connected();
    t.write(20_000);
    (2..=20).step_by(2).for_each(|n| t.input(&format!("A 1 ack {n}001")).unwrap());
    let window = |t: &mut Harness| t.connection(|c| c.sender.as_ref().unwrap().window());
    let grown = window(&mut t);
    t.input("A 1 ack 20001 win 0").unwrap();
    t.at(250).write(60_000);
    t.input("A 1 ack 20001 win 0").unwrap();
    assert_eq!(window(&mut t), grown);
    t.at(450).input("A 1 ack 20001").unwrap();
    assert!(window(&mut t) < grown);
}

#[test]
fn after_a_pause_the_window_is_small_again() {
    let mut t = Harness::connected();
    for round in 0..20 {
        t.write(20_000);
        t.input(&format!("A 1 ack {}", 20_000 * round + 10_001)).unwrap();
        t.input(&format!("A 1 ack {}", 20_000 * (round + 1) + 1)).unwrap();
        t.sent();
    }
    assert!(t.connection(|c| c.sender.as_ref().unwrap().window()) > 20_000);
    t.at(100_000);
    t.write(30_000);
    assert_eq!(t.sent().len(), 10);
}

/// One stream of several, each with a window for all that is written to it.
fn streams<const N: usize>(t: &mut Harness, ports: [u16; N]) -> [TcpStream; N] {
    ports.map(|port| {
        t.peer_port = port;
        t.input("S 0 mss 1000").unwrap();
        t.sent();
        t.input("A 1 ack 1").unwrap();
        assert!(t.accept());
        t.connection(|c| c.snd.wnd = 1 << 20);
        t.stream.take().unwrap()
    })
}

fn wide() -> Harness {
    let config = TcpConfig { initial_window: 250, send_buffer: 1 << 20, ..Harness::plain() };
    Harness::listening(&config, 2)
}

const AT_ONCE: u64 = backlog::AT_ONCE as u64 * 1000;

fn unsent<const N: usize>(t: &mut Harness, ports: [u16; N]) -> [u64; N] {
    ports.map(|port| {
        t.peer_port = port;
        t.connection(|c| c.unsent())
    })
}

#[test]
fn full_segments_wait_while_those_before_them_wait_for_the_device() {
    let mut t = wide();
    let [mut stream] = streams(&mut t, [1]);
    stream.write_all(&[0; 200_500]).unwrap();
    t.application();
    for _ in 0..3 {
        assert_eq!(unsent(&mut t, [1]), [200_500 - AT_ONCE]);
        assert!(t.tcp.has_more());
        assert_eq!(t.tcp.flush(&mut t.net), 0);
    }
    t.net.outbox.clear();
    assert_eq!(t.tcp.flush(&mut t.net), 1);
    assert_eq!(unsent(&mut t, [1]), [0]);
    assert!(!t.tcp.has_more());
}

#[test]
fn neither_others_nor_small_segments_wait_for_that() {
    let mut t = wide();
    let [mut a, mut b] = streams(&mut t, [1, 2]);
    for _ in 0..2 * backlog::AT_ONCE {
        let frame = t.net.alloc().unwrap();
        t.net.transmit(frame).unwrap();
    }
    a.write_all(&[0; 200_000]).unwrap();
    t.application();
    assert_eq!(unsent(&mut t, [1]), [200_000 - AT_ONCE]);
    b.write_all(&[0; 10]).unwrap();
    t.application();
    assert_eq!(unsent(&mut t, [2]), [0]);
}

#[test]
fn those_who_wait_for_the_device_take_turns() {
    let mut t = wide();
    let mut both = streams(&mut t, [1, 2]);
    both.iter_mut().for_each(|stream| stream.write_all(&[0; 250_000]).unwrap());
    t.application();
    let mut left = vec![unsent(&mut t, [1, 2])];
    while t.tcp.has_more() {
        t.net.outbox.clear();
        t.tcp.flush(&mut t.net);
        left.push(unsent(&mut t, [1, 2]));
    }
    let second = 250_000 - (2 * AT_ONCE - 250_000);
    let want = [[250_000 - AT_ONCE, 250_000], [0, second], [0, second - AT_ONCE], [0, 0]];
    assert_eq!(left, want);
}

/// Nothing of the second was ever sent: without a time of its own its writer would wait as long as the device does.
#[test]
fn a_device_that_is_stuck_does_not_stop_a_user_timeout() {
    let mut t = wide();
    let [mut a, mut b] = streams(&mut t, [1, 2]);
    b.set_user_timeout(Some(Duration::from_secs(30)));
    a.write_all(&[0; 200_000]).unwrap();
    t.application();
    b.write_all(&[0; 5000]).unwrap();
    t.application();
    assert_eq!(unsent(&mut t, [2]), [5000]);
    // A retransmission timeout later it is asked after, and from then on the time runs.
    t.at(32_000);
    assert_eq!(t.state(), None);
}

/// A cork that is pulled while the device holds back.
#[test]
fn a_flush_is_not_forgotten_while_the_device_has_no_room() {
    let mut t = wide();
    let [mut stream] = streams(&mut t, [1]);
    stream.set_cork(true);
    stream.write_all(&[0; 200_500]).unwrap();
    stream.set_nodelay(true);
    t.application();
    t.net.outbox.clear();
    t.tcp.flush(&mut t.net);
    assert_eq!(unsent(&mut t, [1]), [0]);
}

#[test]
fn a_small_segment_waits_for_an_earlier_small_one() {
    let mut t = Harness::connected();
    t.write(10);
    t.write(10);
    t.write(10);
    assert_eq!(t.sent(), ["PA 1+10 ack 1"]);
    t.input("A 1 ack 11").unwrap();
    assert_eq!(t.sent(), ["PA 11+20 ack 1"]);
}

/// What is not kept close behind would half the circle later seem to lie ahead.
#[test]
fn a_small_segment_does_not_wait_for_one_of_two_gigabytes_ago() {
    let mut t = Harness::connected();
    t.connection(|c| c.snd.small = c.snd.una - ((1 << 31) - 1500));
    t.write(2000);
    t.sent();
    t.input("A 1 ack 1001").unwrap();
    t.input("A 1 ack 2001").unwrap();
    t.write(10);
    assert_eq!(t.sent(), ["PA 2001+10 ack 1"]);
}

#[test]
fn the_small_end_of_a_long_write_does_not_wait() {
    let mut t = Harness::connected();
    t.write(1500);
    assert_eq!(t.sent(), ["A 1+1000 ack 1", "PA 1001+500 ack 1"]);
}

#[test]
fn without_nagle_nothing_waits() {
    let mut t = Harness::connected();
    t.stream().set_nodelay(true);
    t.write(10);
    t.write(10);
    assert_eq!(t.sent(), ["PA 1+10 ack 1", "PA 11+10 ack 1"]);
}

#[test]
fn the_peers_window_is_a_limit() {
    let mut t = Harness::connected();
    t.input("A 1 ack 1 win 2500").unwrap();
    t.write(5000);
    assert_eq!(t.sent(), ["A 1+1000 ack 1", "PA 1001+1000 ack 1"], "500 bytes are a silly segment");
    t.input("A 1 ack 2001 win 2500").unwrap();
    assert_eq!(t.sent(), ["A 2001+1000 ack 1", "PA 3001+1000 ack 1"]);
}

#[test]
fn half_of_a_small_window_is_worth_a_segment() {
    let mut t = Harness::connected();
    t.connection(|c| c.snd.max_wnd = 0);
    t.input("A 1 ack 1 win 600").unwrap();
    t.write(5000);
    assert_eq!(t.sent(), ["A 1+600 ack 1"]);
}

#[test]
fn a_fin_waits_for_unsent_data() {
    let mut t = Harness::connected();
    t.input("A 1 ack 1 win 1000").unwrap();
    t.write(1500);
    t.close();
    assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
    t.input("A 1 ack 1001 win 1000").unwrap();
    assert_eq!(t.sent(), ["FPA 1001+500 ack 1"]);
}

#[test]
fn an_empty_pool_loses_nothing() {
    let mut t = Harness::connected();
    let mut hoard: Vec<_> = std::iter::from_fn(|| t.net.alloc()).collect();
    t.write(1500);
    t.close();
    assert_eq!(t.sent(), [""; 0]);
    hoard.clear();
    t.at(1);
    assert_eq!(t.sent(), ["A 1+1000 ack 1", "FPA 1001+500 ack 1"]);
    assert_eq!(t.count(Counter::TcpRetransSegs), 0);
}
