use pmd::{Frame, Medium};
use proptest::prelude::*;

use crate::counters::Counter;
use crate::drops;
use crate::ip::{Datagram, Passed};
use crate::link::Link;
use crate::tcp::TcpConfig;
use crate::tcp::harness::Harness;
use crate::tcp::predict::Prediction;
use crate::tcp::predict::sides::{Side, Step, config, said, step};
use crate::wire::ipv4::{FragmentField, Ipv4Header};

/// All of this arrives in one burst, gathered as it comes.
fn burst(t: &mut Harness, texts: &[String]) {
    for text in texts {
        let datagram = t.datagram(text);
        if let Err(drop) = t.tcp.input(&mut t.net, datagram) {
            t.net.metrics.count_drop(drop);
        }
    }
    if let Err(drop) = t.tcp.settle_gathered(&mut t.net) {
        t.net.metrics.count_drop(drop);
    }
    t.tcp.flush(&mut t.net);
}

/// The same, from a device: returns how many were taken at a glance.
fn burst_of_frames(t: &mut Harness, texts: &[String]) -> usize {
    let mut at_a_glance = 0;
    for text in texts {
        let datagram = t.datagram(text);
        let frame = on_ethernet(t, &datagram);
        let link = Link::new(Medium::Ethernet([2; 6]), None);
        t.net.passed = t.net.passed.or_else(|| Passed::of(&link, &frame));
        if t.tcp.gather_at_a_glance(&mut t.net, frame).is_ok() {
            at_a_glance += 1;
        } else if let Err(drop) = t.tcp.input(&mut t.net, datagram) {
            t.net.metrics.count_drop(drop);
        }
    }
    if let Err(drop) = t.tcp.settle_gathered(&mut t.net) {
        t.net.metrics.count_drop(drop);
    }
    t.tcp.flush(&mut t.net);
    at_a_glance
}

fn on_ethernet(t: &Harness, datagram: &Datagram) -> Frame {
    let mut bytes = datagram.frame.segments().collect::<Vec<_>>().concat();
    let ip = Ipv4Header {
        tos: datagram.tos,
        total_len: u16::try_from(bytes.len()).unwrap(),
        identification: 0,
        fragment: FragmentField::DONT_FRAGMENT,
        ttl: datagram.ttl,
        protocol: datagram.protocol,
        source: datagram.source,
        destination: datagram.destination,
    };
    ip.emit(bytes.first_chunk_mut().unwrap());
    let link = [2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 8, 0];
    let mut frame = t.net.frame_of(&[&link[..], &bytes].concat()).unwrap();
    frame.set_rx_offload(datagram.frame.rx_offload());
    frame
}

/// The same, one by one.
fn one_by_one(t: &mut Harness, texts: &[String]) {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for result in t.burst(&texts) {
        if let Err(drop) = result {
            t.net.metrics.count_drop(drop);
        }
    }
}

fn gathered(t: &mut Harness, texts: &[&str]) {
    let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
    burst(t, &texts);
}

/// Where a connection stands, but for what it has learnt of its path: how often round trips are measured is what gathering changes.
fn standing(t: &mut Harness) -> impl PartialEq + std::fmt::Debug {
    let sent: Vec<_> =
        t.emitted().into_iter().map(|segment| (segment.text, segment.window)).collect();
    let numbers = t.state().map(|state| {
        t.connection(|c| {
            let full = (c.rcv.full, c.ack.owed, c.ack.quick, c.timestamps.recent);
            let numbers = (c.snd.una, c.snd.nxt, c.snd.wnd, c.rcv.nxt, c.rcv.edge, c.rcv.acked);
            (state, numbers, full)
        })
    });
    let drops: Vec<u64> =
        drops::Drop::ALL.iter().map(|&drop| t.net.metrics.dropped(drop)).collect();
    (sent, numbers, drops, t.count(Counter::TcpInSegs), t.frames_held())
}

proptest! {
    /// The peer, the application and the counters find what they would have found without. The congestion window may be another, and is never what
    /// holds anything back here: it is asked after each ACK whether it was used.
    #[test]
    fn gathering_changes_nothing(
        config in config(),
        before in prop::collection::vec(step(), 0..20),
        written in 0..5000_usize,
        mut segments in prop::collection::vec(said(), 1..12),
        (in_order, scarce) in any::<(bool, bool)>(),
    ) {
        let max_buffered = if scarce { 20_000 } else { config.max_buffered };
        let config = TcpConfig { max_buffered, ..config };
        let mut sides = [(); 3].map(|()| Side::new(&config, Prediction::On));
        if in_order {
            segments.sort_by_key(|said| said.quarters);
        }
        for side in &mut sides {
            let little = before.iter().filter(|step| !matches!(step, Step::Write(_)));
            little.for_each(|step| drop(side.take(step)));
            if side.t.stream.is_some() {
                side.t.write(written);
            }
        }
        let texts = sides.each_mut().map(|side| side.texts(&segments));
        prop_assert_eq!(&texts[0], &texts[1]);
        let [one, other, third] = &mut sides;
        one_by_one(&mut one.t, &texts[0]);
        burst(&mut other.t, &texts[1]);
        burst_of_frames(&mut third.t, &texts[2]);
        let standings = [one, other, third].map(|side| standing(&mut side.t));
        prop_assert_eq!(&standings[0], &standings[1], "{:?}", texts[0]);
        prop_assert_eq!(&standings[1], &standings[2], "{:?}", texts[0]);
    }
}

#[test]
fn what_goes_on_or_begins_is_gathered_at_a_glance() {
    let mut t = Harness::connected();
    let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    let three = ["A 1+1000 ack 1", "PA 1001+1000 ack 1", "A 3001+1000 ack 1"];
    assert_eq!(burst_of_frames(&mut t, &texts(&three)), 2, "the last is ahead of its turn");
    assert_eq!(burst_of_frames(&mut t, &texts(&["A 2001+1000 ack 1"])), 0, "somebody waits for it");
    assert_eq!(burst_of_frames(&mut t, &texts(&["A 4001+500 ack 1"])), 1);
    assert_eq!(burst_of_frames(&mut t, &texts(&["FA 4501+500 ack 1"])), 0);
    assert_eq!(t.sent().last().unwrap(), "A 1 ack 5002");
    assert_eq!((t.read(9000).unwrap(), t.frames_held()), (5000, 0));
    let counters = [Counter::TcpInSegs, Counter::IpInReceives, Counter::IpInDelivers];
    assert_eq!(counters.map(|counter| t.count(counter)), [7, 3, 3]);
}

#[test]
fn data_in_a_row_is_one_run() {
    let mut t = Harness::connected();
    gathered(&mut t, &["A 1+1000 ack 1", "A 1001+1000 ack 1", "PA 2001+500 ack 1"]);
    assert_eq!(t.sent(), ["A 1 ack 2501"]);
    assert_eq!(t.read(9000).unwrap(), 2500);
    assert_eq!(t.connection(|c| c.rcv.full), 1000, "the largest segment is one of those that came");
    assert_eq!((t.count(Counter::TcpInSegs), t.frames_held()), (4, 0));
}

#[test]
fn acknowledgements_in_a_row_are_one() {
    let grown = |texts: &[&str]| {
        let mut t = Harness::connected();
        t.write(10_000);
        t.sent();
        gathered(&mut t, texts);
        t.connection(|c| (c.snd.una.offset_from(c.snd.iss), c.sender.as_ref().unwrap().window()))
    };
    let each = ["A 1 ack 1001", "A 1 ack 2001", "A 1 ack 3001", "A 1 ack 4001", "A 1 ack 5001"];
    assert_eq!(grown(&each), (5001, 15_000), "slow start counts each of them");
    assert_eq!(grown(&each[4..]), (5001, 12_000), "one ACK opens the window by two segments");
}

#[test]
fn duplicates_are_not_swallowed() {
    let mut t = Harness::connected();
    t.write(10_000);
    t.sent();
    gathered(&mut t, &["A 1 ack 1001", "A 1 ack 1001", "A 1 ack 1001", "A 1 ack 1001"]);
    assert_eq!(t.count(Counter::TcpFastRetransmits), 1);
}

#[test]
fn what_was_gathered_comes_before_what_follows_it() {
    let mut t = Harness::connected();
    gathered(&mut t, &["A 1+1000 ack 1", "A 1001+1000 ack 1", "FA 2001 ack 1"]);
    assert_eq!((t.read(9000).unwrap(), t.read(9000).unwrap()), (2000, 0));
    assert_eq!(t.sent(), ["A 1 ack 2002"]);
}

/// Whoever has closed without reading them resets the connection (RFC 1122, section 4.2.2.13).
#[test]
fn nobody_reads_what_was_gathered_before_a_close() {
    let mut t = Harness::connected();
    for text in ["A 1+1000 ack 1", "A 1001+1000 ack 1"] {
        let datagram = t.datagram(text);
        t.tcp.input(&mut t.net, datagram).unwrap();
    }
    t.stream = None;
    assert_eq!(t.tcp.settle_gathered(&mut t.net), Err(drops::Drop::TcpAfterClose));
    t.tcp.flush(&mut t.net);
    assert_eq!((t.state(), t.sent()), (None, vec!["R 1".to_owned()]));
    // The other is counted by whoever is told.
    assert_eq!(t.net.metrics.dropped(drops::Drop::TcpAfterClose), 1);
    assert_eq!(t.frames_held(), 0);
}

#[test]
fn what_finds_no_memory_is_counted_one_by_one() {
    let config = TcpConfig { max_buffered: 100, ..Harness::plain() };
    let mut t = Harness::connected_with(&config);
    gathered(&mut t, &["A 1+1000 ack 1", "A 1001+1000 ack 1"]);
    assert_eq!(t.net.metrics.dropped(drops::Drop::TcpMemoryLimit), 2);
    assert_eq!((t.sent(), t.frames_held()), (vec!["A 1 ack 1".to_owned()], 0));
}

#[test]
fn no_more_is_gathered_than_the_window_takes() {
    let config = TcpConfig { receive_buffer: 2500, ..Harness::plain() };
    let mut t = Harness::connected_with(&config);
    gathered(&mut t, &["A 1+1000 ack 1", "A 1001+1000 ack 1", "A 2001+1000 ack 1"]);
    assert_eq!(t.read(9000).unwrap(), 2500);
}
