//! What a schedule is made of, and how a seed makes one.

use std::net::Shutdown;
use std::time::Duration;

use pmd::sim::Chance;

use super::model::Urgency;

/// One thing that an application does, or that happens to the network. Numbers that name a stack, a connection or an end are
/// taken modulo what there is, so that a schedule still means something when steps of it are left out.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Opens the stack's listener, or closes it.
    Listen(usize),
    Accept(usize),
    Connect {
        from: usize,
        to: usize,
    },
    /// A call at one end of a connection.
    At(usize, Call),
    /// Per mille of the frames that a stack sends from now on: lost, late, twice, with a wrong bit.
    Path(usize, [u16; 4]),
    Pass(Duration),
}

/// What an application does with a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    /// So many bytes, the last of them urgent or not.
    Write(usize, Urgency),
    Read(usize),
    ReadUrgent,
    Shutdown(Shutdown),
    /// With this time to linger, of which none at all resets.
    Close(Option<Duration>),
    Abort,
    Nodelay(bool),
    Keepalive(bool),
    Inline(bool),
    Buffers(usize),
}

/// The schedule of a seed, and how many stacks take part.
pub(super) fn schedule(seed: u64) -> (usize, Vec<Step>) {
    let mut dice = Dice(Chance::new(seed));
    let stacks = 2 + dice.below(2);
    let len = 10 + dice.below(70);
    let opening = (0..stacks).map(Step::Listen);
    (stacks, opening.chain((0..len).map(|_| step(&mut dice))).collect())
}

fn step(dice: &mut Dice) -> Step {
    let at = dice.below(64);
    match dice.below(100) {
        0..2 => Step::Listen(at),
        2..10 => Step::Accept(at),
        10..18 => Step::Connect { from: at, to: at + 1 + dice.below(2) },
        18..71 => Step::At(at, call(dice)),
        71..77 => Step::Path(at, path(dice)),
        _ => Step::Pass(span(dice)),
    }
}

fn call(dice: &mut Dice) -> Call {
    let on = dice.below(2) == 0;
    match dice.below(53) {
        0..18 => Call::Write(len(dice), Urgency::None),
        18..21 => Call::Write(1 + dice.below(3000), Urgency::LastByte),
        21..38 => Call::Read(len(dice)),
        38..40 => Call::ReadUrgent,
        40..44 => {
            let ways = [Shutdown::Write, Shutdown::Write, Shutdown::Read, Shutdown::Both];
            Call::Shutdown(ways[dice.below(4)])
        }
        44..46 => Call::Close(None),
        46 => Call::Close(Some(Duration::ZERO)),
        47 => Call::Close(Some(Duration::from_secs(5))),
        48 => Call::Abort,
        49 => Call::Nodelay(on),
        50 => Call::Keepalive(on),
        51 => Call::Inline(on),
        _ => Call::Buffers(1 + dice.below(100_000)),
    }
}

/// One byte, some, or more than a buffer takes.
fn len(dice: &mut Dice) -> usize {
    let most = [2, 100, 1500, 20_000, 400_000][dice.below(5)];
    1 + dice.below(most)
}

/// Mostly a little wrong, seldom dead, often good again.
fn path(dice: &mut Dice) -> [u16; 4] {
    match dice.below(8) {
        0 => [1000, 0, 0, 0],
        1..4 => [0; 4],
        _ => [0; 4].map(|_| [0, 20, 100, 250][dice.below(4)]),
    }
}

/// A schedule takes seconds: no connection gives up a peer in that time.
fn span(dice: &mut Dice) -> Duration {
    let most = [100, 5_000, 50_000, 500_000][dice.below(4)];
    Duration::from_micros(1 + dice.below(most) as u64)
}

struct Dice(Chance);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0.below(end as u64) as usize
    }
}
