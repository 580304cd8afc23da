//! Faults that a model switches on to see itself fail: a model that stays green with the guarantee broken
//! guards nothing. They exist under `--cfg loom` only; elsewhere every question here is a constant.

use crate::sync::{Ordering, fence};

/// One way to break what two threads agreed on. Orderings are named after the pairs in the documentation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// A, B of the queue.
    QueueA1,
    QueueA2,
    QueueB1,
    QueueB2,
    /// A of the spin lock.
    LockA1,
    LockA2,
    /// A of the byte rings.
    TailA1,
    TailA2,
    /// B of the byte rings.
    LinkB1,
    LinkB2,
    /// C of the byte rings.
    ClaimC1,
    ClaimC2,
    /// The tail moves by a store after a look at the flags.
    TailByStore,
    /// The head moves by a store, which forgets a flag set meanwhile.
    HeadByStore,
    /// FIN is published before the bytes that it follows.
    FinFirst,
    /// The tail is published before the chain is let go of.
    TailBeforeClaim,
    /// A chunk is linked only after the tail has entered it.
    TailBeforeLink,
    /// The reader takes the chain without asking whether the writer is in it.
    TakeUnasked,
    /// A chunk is given back before its last byte is read.
    GiveBackEarly,
    /// A of a chunk's shares.
    LeaseA1,
    LeaseA2,
    /// A chunk is given back although it is lent.
    LeaseForgotten,
    /// E of the byte rings.
    WindowE1,
    WindowE2,
    /// F of the byte rings.
    WantedF1,
    /// A of the flags.
    FlagsA1,
    FlagsA2,
    /// A bit that seems to be there is not added.
    FlagsSkipped,
    /// Flags are looked at, then cleared.
    FlagsTakenApart,
    /// The name is queued for every piece of news.
    EventPushedAlways,
    /// A new reader is told only what is new.
    EventAttachedAsRaised,
    /// A of the error.
    ErrorA1,
    ErrorA2,
    /// A later cause replaces the first.
    ErrorByStore,
    /// The error is looked at, then cleared.
    ErrorTakenApart,
    /// A of the owners.
    OwnersA,
    /// An owner leaves by a store after a look.
    OwnersByStore,
    /// A of the parker.
    ParkerA1,
    ParkerA2,
    /// A of the event count.
    EventCountA1,
    EventCountA2,
    /// Waking changes nothing that a waiter could see before it sleeps.
    EpochStays,
    /// The epoch is read after the last look.
    EpochReadLate,
    /// A of the lock that is tried.
    TryLockA1,
    TryLockA2,
    /// The protocol thread adds its wish by a store after a look.
    WishByStore,
    /// Locking forgets the protocol thread's wish.
    WishForgotten,
    /// Another protocol thread unlocks without a word.
    WishSwallowed,
    /// Another protocol thread that gets the lock takes the owner's wish for its own.
    WishTakenAlong,
    /// A thread that has slept forgets that others do.
    SleepersForgotten,
    /// The limit is looked at, then a place is taken.
    LimitCheckedFirst,
    /// The spin lock is taken without asking.
    LockUnasked,
    /// A new value overtakes what is in the stash.
    StashOvertaken,
    /// A closed shard takes values.
    PushedWhenClosed,
    /// Closing only empties the shard.
    LeftOpen,
    /// A, B of the hint map.
    HintMapA1,
    HintMapA2,
    HintMapB1,
    HintMapB2,
    /// A word is announced before its bit is set.
    UpperFirst,
    /// What the budget did not allow is not announced again.
    RestForgotten,
    /// A, B of the doorbell.
    DoorbellA1,
    DoorbellA2,
    DoorbellB1,
    DoorbellB2,
    /// A byte is published before it is marked as urgent.
    MarkAfterTail,
}

/// `strong`, or no ordering at all if `fault` is switched on.
pub(crate) fn ordering(strong: Ordering, fault: Fault) -> Ordering {
    if is_on(fault) { Ordering::Relaxed } else { strong }
}

/// A sequentially consistent fence, or none if `fault` is switched on.
pub(crate) fn full_fence(fault: Fault) {
    if !is_on(fault) {
        fence(Ordering::SeqCst);
    }
}

#[cfg(not(loom))]
pub(crate) const fn is_on(_fault: Fault) -> bool {
    false
}

#[cfg(loom)]
pub(crate) fn is_on(fault: Fault) -> bool {
    chosen() == Some(fault as u8)
}

/// The fault that this process runs with.
#[cfg(loom)]
pub(crate) fn chosen() -> Option<u8> {
    static CHOSEN: std::sync::OnceLock<Option<u8>> = std::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| std::env::var(VARIABLE).ok()?.parse().ok())
}

/// Holds the number of a [`Fault`].
#[cfg(loom)]
pub(crate) const VARIABLE: &str = "DARNER_RING_FAULT";
