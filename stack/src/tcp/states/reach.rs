//! The way into each state, with as much outstanding as the state allows.

use std::net::Shutdown;

use super::State::{self, *};
use crate::tcp::harness::{Harness, PEER_ISS};

/// A state, and whether somebody listens at the same address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) state: State,
    pub(super) listener: bool,
}

impl From<State> for Place {
    fn from(state: State) -> Self {
        Self { state, listener: false }
    }
}

/// The numbers that each side sends next, and the oldest of ours that is not acknowledged, counted from the SYNs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Next {
    pub(super) theirs: i64,
    pub(super) ours: i64,
    pub(super) unacknowledged: i64,
}

pub(super) struct Reached {
    pub(super) t: Harness,
    pub(super) next: Next,
}

/// Windows are 65,535. Where we may have sent data, 100 bytes of it are not acknowledged, or all but the FIN is where that is what
/// the state means.
pub(super) fn reach(place: Place) -> Reached {
    let mut t = if place.listener { listening(place.state) } else { connecting(place.state) };
    t.sent();
    assert_eq!(state_of(&mut t), place.state);
    let next = next(&mut t);
    Reached { t, next }
}

fn connecting(state: State) -> Harness {
    let mut t = match state {
        Closed => return Harness::new(&Harness::plain()),
        SynSent | SynReceived => Harness::connecting(&Harness::plain()),
        _ => Harness::connected(),
    };
    t.sent();
    match state {
        SynReceived => t.input("S 0 mss 1000").unwrap(),
        Established => drop(t.write(100)),
        FinWait1 => {
            t.write(100);
            shut(&mut t);
        }
        FinWait2 => {
            shut(&mut t);
            t.input("A 1 ack 2").unwrap();
        }
        CloseWait => {
            t.write(100);
            t.input("FA 1 ack 1").unwrap();
        }
        Closing => {
            shut(&mut t);
            t.input("FA 1 ack 1").unwrap();
        }
        LastAck => {
            t.input("FA 1 ack 1").unwrap();
            shut(&mut t);
        }
        TimeWait => {
            shut(&mut t);
            t.input("FA 1 ack 2").unwrap();
        }
        SynSent | Closed | Listen => {}
    }
    t
}

fn listening(state: State) -> Harness {
    let mut t = Harness::listening(&Harness::plain(), 8);
    if state == Listen {
        return t;
    }
    t.input("S 0 mss 1000").unwrap();
    t.sent();
    if state == TimeWait {
        t.input("A 1 ack 1").unwrap();
        assert!(t.accept());
        shut(&mut t);
        t.input("FA 1 ack 2").unwrap();
    }
    t
}

fn shut(t: &mut Harness) {
    t.stream().shutdown(Shutdown::Write);
    t.application();
}

/// The state, wherever it is kept.
pub(super) fn state_of(t: &mut Harness) -> State {
    let flow = t.flow();
    match t.state() {
        Some(state) => state,
        None if t.tcp.half_open.get(&flow).is_some() => SynReceived,
        None if t.tcp.time_wait.get(&flow).is_some() => TimeWait,
        None if t.listener.is_some() => Listen,
        None => Closed,
    }
}

pub(super) fn next(t: &mut Harness) -> Next {
    let flow = t.flow();
    let iss = t.our_iss();
    let (theirs, ours, unacknowledged) = if let Some(entry) = t.tcp.half_open.get(&flow) {
        (entry.irs + 1, entry.iss + 1, entry.iss)
    } else if let Some(entry) = t.tcp.time_wait.get(&flow) {
        (entry.rcv_nxt, entry.snd_nxt, entry.snd_nxt)
    } else if t.tcp.find(&flow).is_some() {
        t.connection(|c| (c.rcv.nxt, c.snd.nxt, c.snd.una))
    } else {
        (PEER_ISS, iss, iss)
    };
    let from = |seq: crate::tcp::seq::Seq, origin| i64::from(seq.signed_offset_from(origin));
    let theirs = if state_of(t) == SynSent { 0 } else { from(theirs, PEER_ISS) };
    Next { theirs, ours: from(ours, iss), unacknowledged: from(unacknowledged, iss) }
}
