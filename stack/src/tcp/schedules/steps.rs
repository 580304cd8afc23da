//! What can happen next to a connection, and which two of these do not mind their order.

use std::fmt;

use Call::*;
use Side::*;

/// One end of the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    A,
    B,
}

impl Side {
    pub(super) const BOTH: [Self; 2] = [A, B];

    pub(super) fn other(self) -> Self {
        match self {
            A => B,
            B => A,
        }
    }
}

/// What an application does. It changes words of its socket and hints; its protocol thread has not looked yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Call {
    Send,
    Receive,
    ShutWrite,
    ShutRead,
    Abort,
    Close,
}

impl Call {
    const ALL: [Self; 6] = [Send, Receive, ShutWrite, ShutRead, Abort, Close];
}

/// One step of a schedule. Where packets are concerned the side is the one that sent them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Call(Side, Call),
    /// The protocol thread of this side looks at its hints.
    Turn(Side),
    /// The first packet on the wire arrives, and the protocol thread that takes it then looks at its hints.
    Deliver(Side),
    /// The first packet is lost.
    Lose(Side),
    /// The first packet comes again behind all others.
    Repeat(Side),
    /// The first packet falls behind all others.
    Delay(Side),
    /// This side gets a reset in the name of its peer, with the number that it expects.
    Reset(Side),
    /// Time goes on to the next timer of either side.
    Timer,
}

impl Step {
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let calls =
            Side::BOTH.into_iter().flat_map(|side| Call::ALL.map(|call| Self::Call(side, call)));
        let others = Side::BOTH.into_iter().flat_map(|side| {
            let wire =
                [Self::Deliver(side), Self::Lose(side), Self::Repeat(side), Self::Delay(side)];
            [Self::Turn(side), Self::Reset(side)].into_iter().chain(wire)
        });
        calls.chain(others).chain([Self::Timer])
    }

    /// Whether two steps that can both be taken lead to the same whichever of them is first.
    pub(super) fn commutes_with(self, other: Self) -> bool {
        self.touches() & other.touches() == 0
    }

    /// Where it stands among all steps: of orders that lead to the same, the one that counts up is gone through.
    pub(super) fn rank(self) -> usize {
        Self::all().position(|step| step == self).expect("all steps are listed")
    }

    /// A bit for each thing that the step looks at or changes.
    fn touches(self) -> u32 {
        let of = |side: Side, bits: u32| bits << (8 * side as u32);
        // The front of a wire is the first packet; what is sent goes to its end. Where there is a packet to be taken,
        // neither minds the other.
        let [words, protocol, front, end] = [1, 2, 4, 8];
        match self {
            Self::Call(side, _) => of(side, words),
            Self::Turn(side) | Self::Reset(side) => of(side, words | protocol | end),
            Self::Deliver(side) => of(side, front) | of(side.other(), words | protocol | end),
            Self::Lose(side) => of(side, front),
            Self::Repeat(side) | Self::Delay(side) => of(side, front | end),
            Self::Timer => u32::MAX,
        }
    }
}

/// As a schedule is printed, and read again by [`parse`].
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(side, call) => write!(f, "{side:?}-{call:?}"),
            Self::Turn(side) => write!(f, "{side:?}-turn"),
            Self::Deliver(side) => write!(f, "{side:?}-arrives"),
            Self::Lose(side) => write!(f, "{side:?}-lost"),
            Self::Repeat(side) => write!(f, "{side:?}-repeated"),
            Self::Delay(side) => write!(f, "{side:?}-delayed"),
            Self::Reset(side) => write!(f, "{side:?}-reset"),
            Self::Timer => write!(f, "timer"),
        }
    }
}

/// Reads a schedule as it is printed.
pub(super) fn parse(schedule: &str) -> Vec<Step> {
    schedule
        .split_whitespace()
        .map(|word| {
            let known = Step::all().find(|step| step.to_string() == word);
            known.unwrap_or_else(|| panic!("{word} is no step"))
        })
        .collect()
}

pub(super) fn print(schedule: &[Step]) -> String {
    schedule.iter().map(Step::to_string).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_schedule_is_read_as_it_was_printed() {
    let all: Vec<Step> = Step::all().collect();
    assert_eq!(all.len(), 25);
    assert_eq!(parse(&print(&all)), all);
}
