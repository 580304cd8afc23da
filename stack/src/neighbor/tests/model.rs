//! Arbitrary lives of a link, against what any implementation must keep to.

use std::collections::BTreeMap;

use proptest::prelude::{Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::*;

proptest! {
    /// What is sent to a neighbour goes to the station it was last heard at, every packet goes one way or another, and
    /// nothing exceeds its bound.
    #[test]
    fn packets_go_to_who_was_heard_last(steps in prop::collection::vec(step(), 1..200)) {
        let mut link = Link::holding(OURS);
        let mut heard = BTreeMap::new();
        let mut millis = 0;
        for step in steps {
            match step {
                Step::Send(neighbor) => {
                    let sent = link.send(numbered(neighbor), "packet");
                    let station = sent.strip_prefix("to ").map(str::to_owned);
                    if station.is_some() {
                        prop_assert_eq!(station.as_ref(), heard.get(&neighbor));
                    }
                }
                Step::Hear(neighbor, station, target) => {
                    let station = MacAddr([2, 0, 0, 0, 1, station]);
                    let known = link.hear(request(numbered(neighbor), station, target)).is_ok();
                    if known {
                        heard.insert(neighbor, station.to_string());
                    }
                }
                Step::Wait(span) => {
                    millis += span;
                    link.run_until(millis);
                }
            }
            for done in link.done() {
                let may = ["ask", "answer", "send packet to", "packet goes nowhere", "drop packet"];
                prop_assert!(may.iter().any(|start| done.starts_with(start)), "{}", done);
            }
            prop_assert!(link.neighbors.next_deadline().is_none_or(|at| at > link.now));
        }
        link.run_until(millis + 3000);
        link.actions.clear();
        prop_assert_eq!(link.pool.available(), link.pool.capacity());
        prop_assert_eq!(link.neighbors.next_deadline(), None);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send(usize),
    Hear(usize, u8, Ipv4Addr),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let target = prop::sample::select(vec![OURS, PEER]);
    prop_oneof![
        (0..6_usize).prop_map(Step::Send),
        (0..6_usize, 0..3_u8, target)
            .prop_map(|(neighbor, station, target)| Step::Hear(neighbor, station, target)),
        prop::sample::select(vec![1, 700, 1000, 2500, 31_000, 601_000]).prop_map(Step::Wait),
    ]
}
