//! What a schedule is made of, and how a seed makes one.

use std::net::Shutdown;
use std::time::Duration;

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
    Write(usize, usize),
    /// The last byte is urgent.
    WriteUrgent(usize, usize),
    Read(usize, usize),
    ReadUrgent(usize),
    Shutdown(usize, Shutdown),
    Close(usize),
    /// Closes with a linger of zero, which resets.
    CloseAtOnce(usize),
    /// Closes with a linger that has time.
    CloseSlowly(usize),
    Abort(usize),
    Nodelay(usize, bool),
    Keepalive(usize, bool),
    Inline(usize, bool),
    Buffers(usize, usize),
    /// Per mille of the frames that a stack sends from now on: lost, late, twice, with a wrong bit.
    Path(usize, [u16; 4]),
    Pass(Duration),
}

/// The schedule of a seed, and how many stacks take part.
pub(super) fn schedule(seed: u64) -> (usize, Vec<Step>) {
    let mut chance = Chance(seed);
    let stacks = 2 + chance.below(2);
    let len = 10 + chance.below(70);
    let opening = (0..stacks).map(Step::Listen);
    (stacks, opening.chain((0..len).map(|_| step(&mut chance))).collect())
}

fn step(chance: &mut Chance) -> Step {
    let (at, on) = (chance.below(64), chance.below(2) == 0);
    match chance.below(100) {
        0..2 => Step::Listen(at),
        2..10 => Step::Accept(at),
        10..18 => Step::Connect { from: at, to: at + 1 + chance.below(2) },
        18..36 => Step::Write(at, len(chance)),
        36..39 => Step::WriteUrgent(at, 1 + chance.below(3000)),
        39..56 => Step::Read(at, len(chance)),
        56..58 => Step::ReadUrgent(at),
        58..62 => {
            let ways = [Shutdown::Write, Shutdown::Write, Shutdown::Read, Shutdown::Both];
            Step::Shutdown(at, ways[chance.below(4)])
        }
        62..64 => Step::Close(at),
        64 => Step::CloseAtOnce(at),
        65 => Step::CloseSlowly(at),
        66 => Step::Abort(at),
        67 => Step::Nodelay(at, on),
        68 => Step::Keepalive(at, on),
        69 => Step::Inline(at, on),
        70 => Step::Buffers(at, 1 + chance.below(100_000)),
        71..77 => Step::Path(at, path(chance)),
        _ => Step::Pass(span(chance)),
    }
}

/// One byte, some, or more than a buffer takes.
fn len(chance: &mut Chance) -> usize {
    let most = [2, 100, 1500, 20_000, 400_000][chance.below(5)];
    1 + chance.below(most)
}

/// Mostly a little wrong, seldom dead, often good again.
fn path(chance: &mut Chance) -> [u16; 4] {
    match chance.below(8) {
        0 => [1000, 0, 0, 0],
        1..4 => [0; 4],
        _ => [0; 4].map(|_| [0, 20, 100, 250][chance.below(4)]),
    }
}

/// A schedule takes seconds: no connection gives up a peer in that time.
fn span(chance: &mut Chance) -> Duration {
    let most = [100, 5_000, 50_000, 500_000][chance.below(4)];
    Duration::from_micros(1 + chance.below(most) as u64)
}

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}
