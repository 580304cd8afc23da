use proptest::prelude::*;

use super::Prediction;
use super::sides::{Side, config, step};
use crate::tcp::harness::Harness;

proptest! {
    /// Nothing that can be seen from outside depends on whether segments are predicted.
    #[test]
    fn prediction_changes_nothing(config in config(), steps in prop::collection::vec(step(), 1..60)) {
        let mut general = Side::new(&config, Prediction::Off);
        let mut predicted = Side::new(&config, Prediction::On);
        for (n, step) in steps.iter().enumerate() {
            prop_assert_eq!(predicted.take(step), general.take(step), "step {}: {:?}", n, step);
        }
    }
}

/// What takes this way, and what does not.
#[test]
fn what_is_expected_is_predicted() {
    let mut t = Harness::connected();
    t.write(3000);
    t.sent();
    let mut predicted = |text: &str| {
        let datagram = t.datagram(text);
        let outcome = t.tcp.gather(&mut t.net, datagram);
        t.tcp.settle_gathered(&mut t.net).unwrap();
        t.tcp.flush(&mut t.net);
        t.sent();
        outcome.is_ok()
    };
    assert!(predicted("A 1 ack 1001"), "an ACK of something new");
    assert!(predicted("PA 1+10 ack 1001"), "the next data");
    assert!(predicted("A 11+10 ack 2001"), "both");
    for other in [
        "A 21 ack 2001",
        "A 22+10 ack 2001",
        "FA 21+10 ack 2001",
        "A 21+10 ack 3002",
        "UA 21+10 ack 2001 urg 5",
        "A 21+10 ack 2001 ts 1:0",
        "A 21+10 ack 2001 ce 1",
        "EA 21+10 ack 2001",
        "RA 21 ack 2001",
    ] {
        assert!(!predicted(other), "{other}");
    }
}
