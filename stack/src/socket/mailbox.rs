//! An application thread's mailbox: the rings in which its hints reach the protocol threads.
//!
//! Each thread has one ring to each core that it has ever hinted at, made at the first hint and gone with the thread. So a
//! hint is pushed by one thread and popped by one other. A ring that is full loses nothing: the socket's bit in the core's
//! overflow map stands for the hint. Which of two rings is looked at first does not matter, because a hint only says where
//! to look.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use darner_ring::Doorbell;
use darner_ring::spsc::{self, Consumer, Producer};

use super::core::CoreShared;
use super::words::Target;
use crate::protocol::Order;

/// The doorbell's slots. The first is rung for what is in the overflow maps, the second for what no mailbox holds.
pub(super) const SLOTS: usize = Doorbell::SLOTS;
const OVERFLOW_SLOT: usize = 0;
pub(super) const NUDGE_SLOT: usize = 1;
pub(super) const FIRST_SLOT: usize = 2;

/// Hints in one ring: most threads have fewer sockets that want something at once.
const RING: usize = if cfg!(test) { 2 } else { 1024 };

thread_local! {
    static MAILBOX: RefCell<Mailbox> = const { RefCell::new(Mailbox { rings: Vec::new() }) };
}

/// The rings of one thread.
struct Mailbox {
    rings: Vec<HintRing>,
}

/// One thread's ring to one core.
struct HintRing {
    core: Weak<CoreShared>,
    slot: usize,
    hints: Producer<Target>,
}

/// Puts a hint into the calling thread's ring to `core`. Returns the slot to ring.
pub(super) fn push(core: &Arc<CoreShared>, target: Target) -> usize {
    // The mailbox is gone while a thread ends, and busy while it drops what it was holding: the map takes the hint.
    let slot = MAILBOX.try_with(|mailbox| mailbox.try_borrow_mut().ok()?.push(core, target));
    slot.ok().flatten().unwrap_or_else(|| {
        match target {
            Target::Tcp(id) => core.overflow.tcp.mark(id.index),
            Target::Udp(id) => core.overflow.udp.mark(id.index),
        }
        OVERFLOW_SLOT
    })
}

impl Mailbox {
    /// The slot of the ring that took it; `None` when there is no ring, or no room in it.
    fn push(&mut self, core: &Arc<CoreShared>, target: Target) -> Option<usize> {
        let known = self.rings.iter_mut().position(|ring| ring.core.as_ptr() == Arc::as_ptr(core));
        let index = match known {
            Some(index) => index,
            None => self.open(core)?,
        };
        let ring = self.rings.get_mut(index)?;
        ring.hints.push(target).ok().map(|()| ring.slot)
    }

    /// A ring to a core that this thread has not hinted at before. Those to cores that have ended are given up.
    fn open(&mut self, core: &Arc<CoreShared>) -> Option<usize> {
        self.rings.retain(|ring| ring.core.upgrade().is_some_and(|core| !core.has_ended()));
        let slot = core.slots.pop()?;
        let (hints, inbox) = spsc::queue(RING);
        self.rings.push(HintRing { core: Arc::downgrade(core), slot, hints });
        core.order(Order::OpenMailbox(slot, inbox));
        Some(self.rings.len() - 1)
    }
}

impl Drop for HintRing {
    fn drop(&mut self) {
        if let Some(core) = self.core.upgrade() {
            core.order(Order::CloseMailbox(self.slot));
        }
    }
}

/// The protocol thread's ends of all mailboxes.
#[derive(Default)]
pub(crate) struct Inbox {
    rings: Vec<Option<Consumer<Target>>>,
    /// Slots that were rung and not emptied since.
    rung: VecDeque<usize>,
}

/// A hint as it comes out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Hint {
    Socket(Target),
    /// The TCP socket at this place, whichever it is by now.
    TcpPlace(u32),
    /// The UDP socket at this place.
    UdpPlace(u32),
}

impl Inbox {
    /// A thread has made its ring.
    pub(crate) fn open(&mut self, slot: usize, hints: Consumer<Target>) {
        if self.rings.len() <= slot {
            self.rings.resize_with(slot + 1, || None);
        }
        if let Some(ring) = self.rings.get_mut(slot) {
            *ring = Some(hints);
            // It may have been rung before.
            self.ring(slot);
        }
    }

    /// A thread has given up its ring. What is in it is moved to the overflow maps, so that nothing is lost.
    pub(crate) fn close(&mut self, core: &CoreShared, slot: usize) {
        let Some(mut hints) = self.rings.get_mut(slot).and_then(Option::take) else {
            return;
        };
        while let Some(target) = hints.pop() {
            match target {
                Target::Tcp(id) => core.overflow.tcp.mark(id.index),
                Target::Udp(id) => core.overflow.udp.mark(id.index),
            }
            self.ring(OVERFLOW_SLOT);
        }
        let _room = core.slots.push(slot);
    }

    /// Takes up to `budget` hints. What is hinted at meanwhile comes next time, when others had their turn.
    pub(crate) fn take(
        &mut self,
        core: &CoreShared,
        budget: usize,
        mut look: impl FnMut(Hint),
    ) -> usize {
        core.doorbell.take(self.slots(), |slot| self.ring(slot));
        // Most turns find nothing.
        if self.rung.is_empty() {
            return 0;
        }
        #[cfg(test)]
        super::stress::shuffle(self.rung.make_contiguous());
        let mut count = 0;
        for _ in 0..self.rung.len() {
            let Some(slot) = self.rung.pop_front() else { break };
            let left = budget.saturating_sub(count);
            let Taken { taken, more } = match slot {
                OVERFLOW_SLOT => take_overflow(core, left, &mut look),
                // Work that is seen in the next turn: there must be one.
                NUDGE_SLOT => Taken { taken: 1, more: false },
                _ => self.take_ring(slot, left, &mut look),
            };
            count += taken;
            if more {
                self.ring(slot);
            }
        }
        count
    }

    /// Whether nobody has hinted since all was taken.
    pub(crate) fn is_silent(&self, core: &CoreShared) -> bool {
        self.rung.is_empty() && core.doorbell.is_silent_up_to(self.slots())
    }

    /// Slots of threads that have not been heard of yet ring on.
    fn slots(&self) -> usize {
        self.rings.len().max(FIRST_SLOT)
    }

    fn take_ring(&mut self, slot: usize, budget: usize, look: &mut impl FnMut(Hint)) -> Taken {
        let Some(Some(ring)) = self.rings.get_mut(slot) else {
            return Taken { taken: 0, more: false };
        };
        let waiting = ring.len().min(budget);
        let taken =
            (0..waiting).map_while(|_| ring.pop()).map(|target| look(Hint::Socket(target))).count();
        Taken { taken, more: !ring.is_empty() }
    }

    fn ring(&mut self, slot: usize) {
        if !self.rung.contains(&slot) {
            self.rung.push_back(slot);
        }
    }
}

/// How many hints were taken, and whether there are more.
struct Taken {
    taken: usize,
    more: bool,
}

fn take_overflow(core: &CoreShared, budget: usize, look: &mut impl FnMut(Hint)) -> Taken {
    let tcp = core.overflow.tcp.take(budget, &mut |index| look(Hint::TcpPlace(index)));
    let udp = core.overflow.udp.take(budget - tcp, &mut |index| look(Hint::UdpPlace(index)));
    Taken { taken: tcp + udp, more: tcp + udp == budget }
}

#[cfg(test)]
impl Inbox {
    /// Everything that was hinted at, for tests that run no protocol loop. Orders that are not about mailboxes stay.
    pub(crate) fn drain(&mut self, core: &CoreShared) -> Vec<Hint> {
        for _ in 0..core.orders_waiting() {
            match core.pop_order() {
                Some(Order::OpenMailbox(slot, hints)) => self.open(slot, hints),
                Some(Order::CloseMailbox(slot)) => self.close(core, slot),
                Some(other) => core.order(other),
                None => {}
            }
        }
        let mut hints = Vec::new();
        self.take(core, usize::MAX, |hint| hints.push(hint));
        hints
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socket::SocketId;

    fn target(index: u32) -> Target {
        Target::Tcp(SocketId { index, generation: 7 })
    }

    fn taken(core: &CoreShared, inbox: &mut Inbox, budget: usize) -> Vec<Hint> {
        while let Some(order) = core.pop_order() {
            match order {
                Order::OpenMailbox(slot, hints) => inbox.open(slot, hints),
                Order::CloseMailbox(slot) => inbox.close(core, slot),
                _ => panic!("no other order was given"),
            }
        }
        let mut hints = vec![];
        inbox.take(core, budget, |hint| hints.push(hint));
        hints
    }

    #[test]
    fn hints_come_in_the_order_of_their_thread() {
        let (core, mut inbox) = (CoreShared::for_test(), Inbox::default());
        core.hint(target(3));
        core.hint(target(1));
        assert_eq!(taken(&core, &mut inbox, 9), [Hint::Socket(target(3)), Hint::Socket(target(1))]);
        assert_eq!(taken(&core, &mut inbox, 9), []);
    }

    #[test]
    fn hints_beyond_the_ring_are_kept_as_bits() {
        let (core, mut inbox) = (CoreShared::for_test(), Inbox::default());
        for index in 0..5 {
            core.hint(target(index));
        }
        core.hint(Target::Udp(SocketId { index: 9, generation: 0 }));
        let hints = taken(&core, &mut inbox, 99);
        assert_eq!(hints[..2], [Hint::Socket(target(0)), Hint::Socket(target(1))]);
        assert_eq!(
            hints[2..],
            [Hint::TcpPlace(2), Hint::TcpPlace(3), Hint::TcpPlace(4), Hint::UdpPlace(9)]
        );
    }

    #[test]
    fn a_budget_leaves_the_rest_for_the_next_turn() {
        let (core, mut inbox) = (CoreShared::for_test(), Inbox::default());
        for index in 0..6 {
            core.hint(target(index));
        }
        let turns: Vec<usize> = (0..4).map(|_| taken(&core, &mut inbox, 2).len()).collect();
        assert_eq!(turns, [2, 2, 2, 0]);
    }

    #[test]
    fn a_nudge_beyond_the_budget_leaves_the_rest_for_the_next_turn() {
        let (core, mut inbox) = (CoreShared::for_test(), Inbox::default());
        (0..4).for_each(|index| core.hint(target(index)));
        assert_eq!(taken(&core, &mut inbox, 2).len(), 2, "two are left as bits");
        core.nudge();
        assert_eq!(taken(&core, &mut inbox, 1).len(), 1);
        core.hint(target(9));
        let rest: Vec<usize> = (0..3).map(|_| taken(&core, &mut inbox, 1).len()).collect();
        assert_eq!(rest.iter().sum::<usize>(), 2, "{rest:?}");
        assert!(rest.iter().all(|&count| count <= 1), "{rest:?}");
    }

    #[test]
    fn a_nudge_asks_for_one_more_turn() {
        let (core, mut inbox) = (CoreShared::for_test(), Inbox::default());
        core.nudge();
        assert!(!core.sleep());
        assert_eq!(inbox.take(&core, 9, |_| panic!("there is no hint")), 1);
        assert_eq!(inbox.take(&core, 9, |_| panic!("there is no hint")), 0);
        assert!(core.sleep());
    }

    #[test]
    fn what_a_thread_left_behind_is_looked_at() {
        let (core, mut inbox) = (CoreShared::for_test(), Inbox::default());
        let hinting = core.clone();
        std::thread::spawn(move || hinting.hint(target(4))).join().unwrap();
        let free = core.slots.len();
        assert_eq!(taken(&core, &mut inbox, 9), [Hint::TcpPlace(4)]);
        assert_eq!(core.slots.len(), free + 1, "its slot is free again");
    }

    #[test]
    fn more_threads_than_slots_hint_by_bits() {
        let (core, mut inbox) = (CoreShared::for_test(), Inbox::default());
        while core.slots.pop().is_some() {}
        core.hint(target(5));
        assert_eq!(taken(&core, &mut inbox, 9), [Hint::TcpPlace(5)]);
    }

    #[test]
    fn what_hints_at_itself_waits_for_the_next_turn() {
        let (core, mut inbox) = (CoreShared::for_test(), Inbox::default());
        core.hint(target(1));
        let Some(Order::OpenMailbox(slot, hints)) = core.pop_order() else {
            panic!("the first hint")
        };
        inbox.open(slot, hints);
        let mut count = 0;
        inbox.take(&core, 99, |_| {
            count += 1;
            core.hint(target(1));
        });
        assert_eq!(count, 1);
        assert_eq!(taken(&core, &mut inbox, 9).len(), 1);
    }
}
