//! Every state against every kind of segment, left of the window, in it and right of it: what RFC 9293 (section 3.10.7),
//! RFC 5961 and RFC 1337 say, in one table.

use std::net::Shutdown;

use super::harness::Harness;
use super::state::State;
use super::state::State::*;

/// A connection in a state, and the numbers that each side sends next.
struct Reached {
    t: Harness,
    theirs: i64,
    ours: i64,
}

fn reach(state: State) -> Reached {
    let mut t = match state {
        SynReceived => Harness::connecting(&Harness::plain()),
        _ => Harness::connected(),
    };
    let shut = |t: &mut Harness| {
        t.stream().shutdown(Shutdown::Write);
        t.application();
    };
    let (theirs, ours) = match state {
        SynReceived => {
            t.sent();
            t.input("S 0 mss 1000").unwrap();
            (1, 1)
        }
        Established => (1, 1),
        FinWait1 => {
            shut(&mut t);
            (1, 2)
        }
        FinWait2 => {
            shut(&mut t);
            t.input("A 1 ack 2").unwrap();
            (1, 2)
        }
        CloseWait => {
            t.input("FA 1 ack 1").unwrap();
            (2, 1)
        }
        Closing => {
            shut(&mut t);
            t.input("FA 1 ack 1").unwrap();
            (2, 2)
        }
        LastAck => {
            t.input("FA 1 ack 1").unwrap();
            shut(&mut t);
            (2, 2)
        }
        TimeWait => {
            shut(&mut t);
            t.input("FA 1 ack 2").unwrap();
            (2, 2)
        }
        Closed | Listen | SynSent => unreachable!("not reached here"),
    };
    t.sent();
    let now = if t.tcp.time_wait.len() == 1 { Some(TimeWait) } else { t.state() };
    assert_eq!(now, Some(state));
    Reached { t, theirs, ours }
}

const STATES: [State; 8] =
    [SynReceived, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck, TimeWait];

/// What follows: an ACK of where we are, nothing, or the end of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    Answered,
    Ignored,
    Over,
}
use Outcome::*;

/// The segment at `offset` from what we expect next, with an acknowledgement `beyond` what we have sent.
fn outcome(state: State, flags: &str, len: &str, offset: i64, beyond: i64) -> Outcome {
    let Reached { mut t, theirs, ours } = reach(state);
    let segment = format!("{flags} {}{len} ack {}", theirs + offset, ours + beyond);
    let _dropped = t.input(&segment);
    let sent = t.sent();
    let alive = t.tcp.time_wait.len() == 1 || t.state().is_some();
    match sent.as_slice() {
        [] if !alive => Over,
        [] => Ignored,
        [one] if *one == format!("A {ours} ack {theirs}") && alive => Answered,
        other => panic!("{state:?} on {segment}: {other:?}"),
    }
}

#[test]
fn a_reset_counts_only_exactly_in_sequence() {
    for state in STATES {
        let (exact, near) = if state == TimeWait { (Ignored, Ignored) } else { (Over, Answered) };
        for (offset, want) in
            [(-1, Ignored), (0, exact), (1, near), (1000, near), (70_000, Ignored)]
        {
            assert_eq!(outcome(state, "R", "", offset, 0), want, "{state:?} at {offset}");
            assert_eq!(outcome(state, "RA", "", offset, 0), want, "{state:?} at {offset}");
        }
    }
}

#[test]
fn a_syn_is_answered_with_where_we_are() {
    for state in STATES.into_iter().filter(|&state| state != TimeWait) {
        for offset in [-1000, 0, 1, 1000, 70_000] {
            assert_eq!(outcome(state, "S", "", offset, 0), Answered, "{state:?} at {offset}");
            assert_eq!(outcome(state, "SA", "", offset, 0), Answered, "{state:?} at {offset}");
        }
    }
}

#[test]
fn what_is_old_or_too_far_ahead_is_answered_with_where_we_are() {
    for state in STATES {
        for (flags, len) in [("A", ""), ("PA", "+10"), ("FA", ""), ("FPA", "+10")] {
            for offset in [-1000, 70_000] {
                let got = outcome(state, flags, len, offset, 0);
                assert_eq!(got, Answered, "{state:?} on {flags}{len} at {offset}");
            }
        }
    }
}

#[test]
fn an_ack_of_what_was_not_sent_is_answered_with_where_we_are() {
    for state in STATES.into_iter().filter(|&state| state != SynReceived) {
        assert_eq!(outcome(state, "A", "", 0, 1), Answered, "{state:?}");
        assert_eq!(outcome(state, "A", "", 0, 70_000), Answered, "{state:?}");
    }
}

#[test]
fn the_ack_of_everything_moves_each_state_on() {
    for (state, want) in [
        (SynReceived, Some(Established)),
        (Established, Some(Established)),
        (FinWait1, Some(FinWait2)),
        (FinWait2, Some(FinWait2)),
        (CloseWait, Some(CloseWait)),
        (Closing, None),
        (LastAck, None),
    ] {
        let Reached { mut t, theirs, ours } = reach(state);
        t.input(&format!("A {theirs} ack {ours}")).unwrap();
        assert_eq!((t.state(), t.sent()), (want, vec![]), "{state:?}");
        assert_eq!(t.tcp.time_wait.len(), usize::from(state == Closing), "{state:?}");
    }
}

#[test]
fn the_peers_fin_moves_each_state_on() {
    for (state, want) in [
        (SynReceived, Some(CloseWait)),
        (Established, Some(CloseWait)),
        (FinWait1, None),
        (FinWait2, None),
    ] {
        let Reached { mut t, theirs, ours } = reach(state);
        t.input(&format!("FA {theirs} ack {ours}")).unwrap();
        assert_eq!(t.sent(), [format!("A {ours} ack {}", theirs + 1)], "{state:?}");
        assert_eq!(t.state(), want, "{state:?}");
        assert_eq!(t.tcp.time_wait.len(), usize::from(want.is_none()), "{state:?}");
    }
}

#[test]
fn data_is_taken_until_the_peers_fin() {
    for state in [Established, FinWait1, FinWait2] {
        let Reached { mut t, theirs, ours } = reach(state);
        t.input(&format!("PA {theirs}+10 ack {ours}")).unwrap();
        assert_eq!(t.read(100).unwrap(), 10, "{state:?}");
    }
    for state in [CloseWait, Closing, LastAck] {
        let Reached { mut t, theirs, ours } = reach(state);
        let _dropped = t.input(&format!("PA {theirs}+10 ack {}", ours - 1));
        assert_eq!(t.stream().readable(), 0, "{state:?}");
    }
}

#[test]
fn every_state_ends_when_nobody_answers_or_the_application_aborts() {
    for state in STATES.into_iter().filter(|&state| state != TimeWait) {
        let Reached { mut t, theirs, ours } = reach(state);
        t.stream().abort();
        t.application();
        assert_eq!(t.sent(), [format!("RA {ours} ack {theirs}")], "{state:?}");
        assert_eq!(t.state(), None, "{state:?}");
    }
    for state in [SynReceived, FinWait1, Closing, LastAck] {
        let Reached { mut t, .. } = reach(state);
        t.at(24 * 3_600_000);
        assert_eq!((t.state(), t.tcp.time_wait.len()), (None, 0), "{state:?}");
    }
}
