use std::io::{ErrorKind, IoSliceMut, Read as _};

use super::*;
use crate::socket::Part;
use crate::tcp::TcpConfig;
use crate::tcp::harness::{Harness, pattern};

const NOTHING: [&str; 0] = [];

/// What the application finds if it asks for the urgent byte.
fn cell(t: &mut Harness) -> OobCell {
    let control = t.stream().control().clone();
    control.side().with(|state| state.rare(&mut None).oob)
}

/// One read: the bytes, or nothing if none are there.
fn read(t: &mut Harness, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let len = match t.stream().read(&mut bytes) {
        Ok(len) => len,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            0
        }
    };
    bytes.truncate(len);
    t.application();
    bytes
}

fn was_raised(t: &mut Harness) -> bool {
    t.stream().control().words().take_events(Part::Read).contains(Readiness::URGENT)
}

#[test]
fn the_pointer_leads_to_the_byte_behind_the_urgent_one() {
    let mut t = Harness::connected();
    t.input("UPA 1+5 ack 1 urg 4").unwrap();
    assert!(was_raised(&mut t));
    assert_eq!(cell(&mut t), OobCell::arrived(3, 3));
    assert_eq!(read(&mut t, 10), [0, 1, 2]);
    assert!(t.stream().at_mark());
    assert_eq!(read(&mut t, 10), [4]);
    assert!(!t.stream().at_mark());
    assert!(read(&mut t, 10).is_empty());
    t.at(100);
    assert_eq!(t.sent(), ["A 1 ack 6"], "it has a number like any other");
}

#[test]
fn an_urgent_byte_may_be_read_like_any_other() {
    let mut t = Harness::connected();
    t.stream().set_oob_inline(true);
    t.application();
    t.input("UPA 1+5 ack 1 urg 4").unwrap();
    assert_eq!(read(&mut t, 10), [0, 1, 2]);
    assert!(t.stream().at_mark());
    assert_eq!(read(&mut t, 10), [3, 4]);
    assert!(!t.stream().at_mark());
}

#[test]
fn a_change_of_mind_counts_for_a_byte_not_come_to() {
    let mut t = Harness::connected();
    t.input("UPA 1+5 ack 1 urg 4").unwrap();
    assert_eq!(read(&mut t, 2), [0, 1]);
    t.stream().set_oob_inline(true);
    t.application();
    assert_eq!(read(&mut t, 10), [2]);
    assert_eq!(read(&mut t, 1), [3]);
    t.stream().set_oob_inline(false);
    t.application();
    assert!(!t.stream().at_mark(), "it was read");
}

#[test]
fn an_urgent_byte_is_announced_before_it_comes() {
    let mut t = Harness::connected();
    t.input("UA 1+2 ack 1 urg 6").unwrap();
    assert!(was_raised(&mut t));
    assert_eq!(cell(&mut t), OobCell::announced(5));
    assert_eq!(read(&mut t, 10), [0, 1]);
    assert!(!t.stream().at_mark());
    t.input("UA 3+2 ack 1 urg 4").unwrap();
    assert!(!was_raised(&mut t), "the pointer has not moved");
    assert_eq!(cell(&mut t), OobCell::announced(5));
    t.input("UPA 5+4 ack 1 urg 2").unwrap();
    assert_eq!(cell(&mut t), OobCell::arrived(5, 5));
    assert_eq!(read(&mut t, 10), [2, 3, 4]);
    assert!(t.stream().at_mark());
    assert_eq!(read(&mut t, 10), [6, 7]);
}

#[test]
fn a_later_pointer_makes_the_earlier_byte_ordinary() {
    let mut t = Harness::connected();
    t.input("UPA 1+5 ack 1 urg 4").unwrap();
    t.input("UPA 6+5 ack 1 urg 3").unwrap();
    assert!(was_raised(&mut t));
    assert_eq!(cell(&mut t), OobCell::arrived(7, 7), "only the newest counts");
    assert_eq!(read(&mut t, 20), [0, 1, 2, 3, 4, 5, 6]);
    assert!(t.stream().at_mark());
    assert_eq!(read(&mut t, 20), [8, 9]);
}

#[test]
fn the_pointer_never_moves_back() {
    let mut t = Harness::connected();
    t.input("UA 1+2 ack 1 urg 10").unwrap();
    t.input("UA 3+2 ack 1 urg 1").unwrap();
    assert_eq!(read(&mut t, 20), [0, 1, 2, 3]);
    t.input("A 5+8 ack 1").unwrap();
    assert_eq!(read(&mut t, 20), [4, 5, 6, 7, 8]);
    assert_eq!(read(&mut t, 20), [10, 11]);
}

#[test]
fn pointers_to_what_is_here_already_or_nowhere_mean_nothing() {
    for segment in [
        "UPA 11+5 ack 1",
        "UPA 1+12 ack 1 urg 10",
        "UPA 5+10 ack 1 urg 2",
        // Pointers without the bit.
        "PA 11+5 ack 1 urg 2",
    ] {
        let mut t = Harness::connected();
        t.input("PA 1+10 ack 1").unwrap();
        t.input(segment).unwrap();
        assert!(!was_raised(&mut t), "{segment}");
        assert_eq!(cell(&mut t), OobCell::default(), "{segment}");
        t.connection(|c| assert!(c.urgent.is_none(), "{segment}"));
        assert!(read(&mut t, 100).len() > 10, "{segment}");
    }
}

#[test]
fn a_segment_out_of_order_announces_at_once() {
    let mut t = Harness::connected();
    t.input("UA 11+5 ack 1 urg 3").unwrap();
    assert!(was_raised(&mut t));
    assert_eq!(cell(&mut t), OobCell::announced(12));
    t.input("A 1+10 ack 1").unwrap();
    assert_eq!(cell(&mut t), OobCell::arrived(12, 12));
    assert_eq!(read(&mut t, 100), pattern(0, 12));
    assert!(t.stream().at_mark());
    // Sent again, whole and in part.
    assert!(t.input("UA 11+5 ack 1 urg 3").is_err());
    t.input("UA 11+7 ack 1 urg 3").unwrap();
    assert_eq!(cell(&mut t), OobCell::arrived(12, 12));
    assert_eq!(read(&mut t, 100), [13, 14, 15, 16]);
}

#[test]
fn a_closed_window_lets_pointers_through() {
    let config = TcpConfig { receive_buffer: 4096, ..Harness::plain() };
    for probe in ["UA 4097 ack 1 urg 10", "UA 4097+1 ack 1 urg 10"] {
        let mut t = Harness::connected_with(&config);
        for part in 0..4 {
            t.input(&format!("A {}+1024 ack 1", 1 + part * 1024)).unwrap();
        }
        assert_eq!(t.emitted().last().unwrap().window, 0);
        t.input(probe).unwrap();
        assert!(was_raised(&mut t), "{probe}");
        assert_eq!(cell(&mut t), OobCell::announced(4105), "{probe}");
    }
}

#[test]
fn a_syn_and_a_fin_may_carry_a_pointer() {
    let mut t = Harness::connecting(&Harness::plain());
    t.sent();
    t.input("USA 0+5 ack 1 mss 1000 urg 4").unwrap();
    assert_eq!(read(&mut t, 10), [0, 1]);
    assert!(t.stream().at_mark());
    assert_eq!(read(&mut t, 10), [3, 4]);
    t.input("UFA 6+3 ack 1 urg 3").unwrap();
    assert_eq!(read(&mut t, 10), [5, 6]);
    assert_eq!(cell(&mut t), OobCell::arrived(7, 7));
    assert!(t.stream().at_mark());
    assert_eq!(t.stream().read(&mut [0; 10]).unwrap(), 0);
    // Nothing comes after the FIN.
    t.input("UA 10 ack 1 urg 5").unwrap();
    assert_eq!(cell(&mut t), OobCell::arrived(7, 7));
}

#[test]
fn an_urgent_byte_that_nobody_fetched_does_not_make_the_close_a_reset() {
    let mut t = Harness::connected();
    t.input("UPA 1+5 ack 1 urg 5").unwrap();
    assert_eq!(read(&mut t, 10), [0, 1, 2, 3]);
    t.close();
    assert_eq!(t.sent(), ["FA 1 ack 6"]);
}

#[test]
fn a_byte_that_found_no_room_has_not_come() {
    let mut t = Harness::connected();
    t.connection(|c| c.rcv.edge = c.rcv.nxt + 3);
    t.input("UPA 1+5 ack 1 urg 5").unwrap();
    assert_eq!(cell(&mut t), OobCell::announced(4));
    t.connection(|c| c.rcv.edge += 2);
    t.input("UPA 1+5 ack 1 urg 5").unwrap();
    assert_eq!(cell(&mut t), OobCell::arrived(4, 4));
}

/// C-18: results as in the table, and never twice.
#[test]
fn the_urgent_byte_is_fetched_out_of_turn() {
    let mut t = Harness::connected();
    let kind = |t: &mut Harness| t.stream().recv_oob().unwrap_err().kind();
    assert_eq!(kind(&mut t), ErrorKind::InvalidInput);
    t.input("UPA 1+2 ack 1 urg 4").unwrap();
    assert_eq!(kind(&mut t), ErrorKind::WouldBlock);
    assert!(was_raised(&mut t));
    t.input("PA 3+3 ack 1").unwrap();
    assert!(was_raised(&mut t), "it has come");
    assert_eq!(t.stream().recv_oob().unwrap(), 3);
    assert_eq!(kind(&mut t), ErrorKind::InvalidInput);
    t.input("UPA 6+2 ack 1 urg 2").unwrap();
    assert_eq!(
        read(&mut t, 100),
        [0, 1, 2, 4, 5],
        "fetched bytes are not read, the mark is further on"
    );
    assert!(read(&mut t, 100).is_empty());
    assert_eq!(t.stream().recv_oob().unwrap(), 6);
    t.input("UPA 8+2 ack 1 urg 1").unwrap();
    assert_eq!(read(&mut t, 100), [8]);
    assert_eq!(kind(&mut t), ErrorKind::InvalidInput, "reading has gone past it");
}

#[test]
fn a_read_into_several_buffers_stops_at_the_mark() {
    let mut t = Harness::connected();
    t.input("UPA 1+6 ack 1 urg 3").unwrap();
    let mut buffers = [[9]; 3];
    let mut slices = buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
    assert_eq!(t.stream().read_vectored(&mut slices).unwrap(), 2);
    assert!(t.stream().at_mark());
    assert_eq!(buffers, [[0], [1], [9]]);
    assert_eq!(read(&mut t, 10), [3, 4, 5]);
}

#[test]
fn an_inline_byte_is_not_fetched() {
    let mut t = Harness::connected();
    t.stream().set_oob_inline(true);
    t.application();
    assert!(t.stream().oob_inline());
    t.input("UPA 1+5 ack 1 urg 4").unwrap();
    assert_eq!(t.stream().recv_oob().unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// C-18: the mark is never deferred, the byte is until who was inside has left, and then only the newest.
#[test]
fn the_protocol_thread_does_not_wait_for_the_cell() {
    let mut t = Harness::connected();
    let control = t.stream().control().clone();
    control.side().with(|_| {
        t.input("UA 1+2 ack 1 urg 4").unwrap();
        t.input("UA 3+5 ack 1 urg 4").unwrap();
        assert_eq!(read(&mut t, 10), [0, 1, 2, 3, 4], "up to the second mark");
        assert!(t.stream().at_mark());
        assert_eq!(t.count(Counter::ControlDeferrals), 2, "one for each segment");
    });
    assert_eq!(t.stream().recv_oob().unwrap_err().kind(), ErrorKind::WouldBlock);
    t.application();
    assert_eq!(t.stream().recv_oob().unwrap(), 5);
}

#[test]
fn urgent_data_is_pointed_to_until_it_is_acknowledged() {
    let mut t = Harness::connected();
    t.write(1200);
    assert_eq!(t.write_urgent(300), 300);
    assert_eq!(t.sent(), ["A 1+1000 ack 1", "PA 1001+200 ack 1", "PUA 1201+300 ack 1 urg 300"]);
    t.at(200);
    assert_eq!(t.sent(), ["UA 1+1000 ack 1 urg 1500"]);
    t.input("PA 1+10 ack 1001").unwrap();
    assert_eq!(t.sent(), ["PUA 1001+500 ack 11 urg 500"]);
    t.input("PA 11+10 ack 1501").unwrap();
    t.write(10);
    assert_eq!(t.sent(), ["PA 1501+10 ack 21"]);
}

#[test]
fn urgent_data_does_not_wait_for_an_earlier_small_segment() {
    let mut t = Harness::connected();
    t.write(10);
    t.write(10);
    assert_eq!(t.sent(), ["PA 1+10 ack 1"]);
    t.write_urgent(1);
    assert_eq!(t.sent(), ["PUA 11+11 ack 1 urg 11"]);
}

#[test]
fn a_closed_window_does_not_keep_urgency_back() {
    let mut t = Harness::connected();
    t.input("A 1 ack 1 win 0").unwrap();
    t.write(5);
    assert_eq!(t.sent(), NOTHING);
    t.write_urgent(5);
    assert_eq!(t.sent(), ["UA 1 ack 1 urg 10"]);
    t.write(5);
    assert_eq!(t.sent(), NOTHING, "once is enough");
    t.at(200);
    assert_eq!(t.sent(), ["UA 1 ack 1 urg 10", "UA 0 ack 1 urg 11"], "unless it was lost");
    t.write_urgent(5);
    assert_eq!(t.sent(), ["UA 1 ack 1 urg 20"]);
    t.input("A 1 ack 1").unwrap();
    assert_eq!(t.sent(), ["PUA 1+20 ack 1 urg 20"]);
}

#[test]
fn a_pool_that_is_empty_keeps_urgency_back_for_a_moment() {
    let mut t = Harness::connected();
    t.input("A 1 ack 1 win 0").unwrap();
    let hoard: Vec<_> = std::iter::from_fn(|| t.net.alloc()).collect();
    t.write_urgent(5);
    assert_eq!(t.sent(), NOTHING);
    drop(hoard);
    t.at(1);
    assert_eq!(t.sent(), ["UA 1 ack 1 urg 5"]);
}

#[test]
fn what_lies_further_ahead_than_the_pointer_reaches_is_pointed_towards() {
    let mut t = Harness::connected();
    t.write(80_000);
    t.write_urgent(1);
    let first = t.sent();
    assert_eq!(first[..2], ["A 1+1000 ack 1", "A 1001+1000 ack 1"]);
    assert_eq!(first.last().unwrap(), "UA 10001 ack 1 urg 65535");
    t.input("A 1 ack 10001").unwrap();
    let next = t.sent();
    assert_eq!(next[0], "UA 10001+1000 ack 1 urg 65535");
    assert_eq!(next[5], "PUA 15001+1000 ack 1 urg 65001");
}

#[test]
fn no_byte_that_was_sent_is_pointed_to_falsely() {
    let mut t = Harness::connected();
    t.write(80_000);
    t.write_urgent(1);
    t.sent();
    t.connection(|c| {
        let (una, max) = (c.snd.una, c.snd.nxt);
        assert_eq!(c.urgent_pointer(una), Some(u16::MAX));
        c.snd.nxt = una + 65_535;
        assert_eq!(c.urgent_pointer(una), None);
        assert_eq!(c.urgent_pointer(una + 14_466), Some(65_535));
        c.snd.nxt = max;
    });
}
