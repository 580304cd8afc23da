use pmd::TxOffload;
use proptest::prelude::*;

use crate::counters::Counter;
use crate::ip::TrainsMade;
use crate::tcp::harness::Harness;
use crate::tcp::predict::Prediction;
use crate::tcp::predict::sides::{Side, config, step};
use crate::tcp::{PushRule, TcpConfig};

proptest! {
    /// Nothing that can be seen from outside depends on whether segments leave in trains.
    #[test]
    fn trains_change_nothing(
        config in config(),
        written in any::<bool>(),
        cut in prop_oneof![Just(0), Just(1), 2..50_u16],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let push = if written { PushRule::Written } else { PushRule::Trains };
        let config = TcpConfig { push, send_buffer: 200_000, ..config };
        let mut single = Side::new(&config, Prediction::On);
        single.t.net.ways.trains = TrainsMade::Forbidden;
        let mut together = Side::new(&config, Prediction::On);
        if cut > 0 {
            together.t.net.interface.tx_offload = cutting(cut);
        }
        for (n, step) in steps.iter().enumerate() {
            prop_assert_eq!(together.take(step), single.take(step), "step {}: {:?}", n, step);
        }
    }
}

/// Writes, and says what has left, and in how many trains.
fn written(t: &mut Harness, len: usize) -> (Vec<String>, u32) {
    t.net.ways.trains = TrainsMade::Many(0);
    t.write(len);
    let TrainsMade::Many(trains) = t.net.ways.trains else { unreachable!("just set") };
    (t.sent(), trains)
}

#[test]
fn full_segments_leave_together_but_for_the_last() {
    let mut t = Harness::connected();
    let (segments, trains) = written(&mut t, 4000);
    assert_eq!(segments[..3], ["A 1+1000 ack 1", "A 1001+1000 ack 1", "A 2001+1000 ack 1"]);
    assert_eq!((segments[3].as_str(), trains), ("PA 3001+1000 ack 1", 1));
    t.input("A 1 ack 4001").unwrap();
    assert_eq!(written(&mut t, 2000).1, 0, "two are one and a last one");
}

/// A device that makes at most so many segments of a packet.
fn cutting(segments: u16) -> TxOffload {
    TxOffload {
        ipv4: true,
        tcp: true,
        multi_segment: true,
        tcp_segmentation: u16::MAX,
        tcp_segments: segments,
        ..TxOffload::default()
    }
}

#[test]
fn a_device_that_cuts_is_given_one_packet_for_many_segments() {
    let frames = |segments: u16| {
        let mut t = Harness::connected();
        t.net.interface.tx_offload = cutting(segments);
        t.connection(|c| c.snd.wnd = 60_000);
        t.write(9500);
        let lens: Vec<usize> = t.net.outbox.iter().map(pmd::Frame::len).collect();
        assert_eq!(t.sent().len(), 10);
        lens
    };
    let headers = 40;
    assert_eq!(
        frames(64),
        [headers + 5000, headers + 4000, headers + 500],
        "trains, and what ends the write"
    );
    assert_eq!(frames(3), [3000, 2000, 3000, 1000, 500].map(|len| headers + len));
    assert_eq!(frames(1).len(), 10);
}

/// What is left of the device's room is for others.
#[test]
fn a_train_leaves_as_far_as_there_are_frames() {
    let mut t = Harness::connected();
    let mut hoard: Vec<_> = std::iter::from_fn(|| t.net.alloc()).collect();
    hoard.truncate(hoard.len() - 2);
    let (segments, _) = written(&mut t, 6000);
    assert_eq!(segments, ["A 1+1000 ack 1", "A 1001+1000 ack 1"]);
    assert_eq!(t.count(Counter::TcpOutSegs), 2 + HANDSHAKE);
    hoard.clear();
    t.at(1);
    assert_eq!(t.sent().len(), 4);
    assert_eq!(t.count(Counter::TcpRetransSegs), 0);
}

/// One packet of many segments takes many frames: for fewer there may be enough.
#[test]
fn a_device_that_cuts_gets_what_there_are_frames_for() {
    let mut t = Harness::connected();
    t.net.interface.tx_offload = cutting(64);
    let mut hoard: Vec<_> = std::iter::from_fn(|| t.net.alloc()).collect();
    hoard.truncate(hoard.len() - 2);
    let (segments, _) = written(&mut t, 9500);
    assert_eq!(segments.len(), 4, "two in each frame");
    hoard.clear();
    t.at(1);
    assert_eq!(t.sent().len(), 6);
    assert_eq!(t.count(Counter::TcpRetransSegs), 0);
}

/// Segments of a handshake that leave.
const HANDSHAKE: u64 = 2;
