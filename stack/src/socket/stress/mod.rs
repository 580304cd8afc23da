//! Many threads at once on one stack: the part T of the socket contract, as far as it takes a look inside.

mod data_path;
mod driven;
mod endings;
mod handover;
mod hints;
mod holders;
mod storm;
#[expect(dead_code, reason = "the tests from outside use all of it")]
#[path = "../../../tests/stress/world.rs"]
mod world;

use std::cell::{Cell, RefCell};

use world::Dice;

thread_local! {
    /// How often this thread has gone to a control lock.
    static CONTROLS: Cell<u64> = const { Cell::new(0) };
    /// How often this thread has woken another at the end of a turn: a system call at most.
    static WAKES: Cell<u64> = const { Cell::new(0) };
    /// Which mailbox a protocol loop of this thread looks at first, if that is left to chance.
    static ORDER: RefCell<Option<Dice>> = const { RefCell::new(None) };
}

pub(super) fn count_control() {
    CONTROLS.set(CONTROLS.get() + 1);
}

pub(super) fn count_wake() {
    WAKES.set(WAKES.get() + 1);
}

/// Leaves the order of mailboxes to chance from now on, for protocol loops of this thread.
fn leave_order_to_chance() {
    ORDER.set(Some(Dice::new(10)));
}

pub(super) fn shuffle(mailboxes: &mut [usize]) {
    ORDER.with_borrow_mut(|dice| {
        let Some(dice) = dice else { return };
        for last in (1..mailboxes.len()).rev() {
            mailboxes.swap(last, dice.below(last + 1));
        }
    });
}
