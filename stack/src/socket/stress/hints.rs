//! T-11: a million sockets hint through rings of two.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::world::{LONG, duration};
use crate::protocol::Order;
use crate::socket::core::{CoreShared, Places};
use crate::socket::mailbox::{Hint, Inbox};
use crate::socket::words::{Hints, Phase, Sides, SocketId, Target, sides};

const SOCKETS: u32 = 1_000_000;
const THREADS: usize = 3;
/// Hints that a turn takes up.
const BUDGET: usize = 256;

#[test]
fn hints_beyond_the_rings_are_bits_and_none_is_lost() {
    let core = CoreShared::new(0, Places { tcp: SOCKETS, udp: 64 }).unwrap();
    let sockets: Vec<Sides> = (0..SOCKETS)
        .map(|index| sides(&core, Target::Tcp(SocketId { index, generation: 0 }), Phase::Connected))
        .collect();
    let mut inbox = Inbox::default();
    let mut paths = Paths::default();
    let until = Instant::now() + duration();
    let mut round = 0;
    while round == 0 || Instant::now() < until {
        hint_at_all(&core, &sockets, &mut inbox, &mut paths);
        round += 1;
    }
    assert!(paths.rings > 0 && paths.bits > 0, "{paths:?}");
    assert_eq!(paths.largest_turn, BUDGET, "{paths:?}");
}

/// How hints came.
#[derive(Debug, Default)]
struct Paths {
    rings: usize,
    bits: usize,
    largest_turn: usize,
}

/// Each thread raises one bit at each socket, and the core takes all of them.
fn hint_at_all(core: &Arc<CoreShared>, sockets: &[Sides], inbox: &mut Inbox, paths: &mut Paths) {
    const BITS: [Hints; THREADS] = [Hints::SEND, Hints::RECEIVE, Hints::CONTROL];
    let mut seen = vec![Hints::empty(); sockets.len()];
    let deadline = Instant::now() + LONG;
    let hinting = AtomicUsize::new(THREADS);
    thread::scope(|scope| {
        for (thread, bit) in BITS.into_iter().enumerate() {
            let hinting = &hinting;
            scope.spawn(move || {
                // Each begins elsewhere.
                let (before, after) = sockets.split_at(sockets.len() / THREADS * thread);
                after.iter().chain(before).for_each(|socket| socket.control.hint(bit));
                hinting.fetch_sub(1, Ordering::Release);
            });
        }
        loop {
            let last = hinting.load(Ordering::Acquire) == 0;
            if turn(core, inbox, paths, sockets, &mut seen) == 0 && last {
                break;
            }
        }
    });
    // The rings of the threads that have ended.
    while turn(core, inbox, paths, sockets, &mut seen) > 0 {}
    let all = BITS.into_iter().collect::<Hints>();
    let lost = seen.iter().filter(|&&bits| bits != all).count();
    assert_eq!(lost, 0, "sockets whose hints were lost");
    assert!(Instant::now() < deadline);
}

/// A turn, as far as hints and mailboxes go.
fn turn(
    core: &Arc<CoreShared>,
    inbox: &mut Inbox,
    paths: &mut Paths,
    sockets: &[Sides],
    seen: &mut [Hints],
) -> usize {
    let mut orders = 0;
    while let Some(order) = core.pop_order() {
        match order {
            Order::OpenMailbox(slot, hints) => inbox.open(slot, hints),
            Order::CloseMailbox(slot) => inbox.close(core, slot),
            _ => panic!("no other order was given"),
        }
        orders += 1;
    }
    let taken = inbox.take(core, BUDGET, |hint| {
        let (index, path) = match hint {
            Hint::Socket(Target::Tcp(id)) => (id.index, &mut paths.rings),
            Hint::TcpPlace(index) => (index, &mut paths.bits),
            _ => panic!("there is no other socket"),
        };
        *path += 1;
        let index = index as usize;
        seen[index] |= sockets[index].protocol.take_hints();
    });
    assert!(taken <= BUDGET);
    paths.largest_turn = paths.largest_turn.max(taken);
    taken + orders
}
