//! Where a protocol thread's time goes, stage by stage of its turns.
//!
//! It is kept with the feature `cycles` only: then the time is read some twelve times in a turn that has work. Nothing depends on it, so that a
//! simulation's trace stays the same. Without the feature an [`Account`] has neither size nor code.

#[cfg(any(test, feature = "cycles"))]
mod kept;

#[cfg(feature = "cycles")]
pub(crate) use kept::Account;
#[cfg(any(test, feature = "cycles"))]
pub use kept::{Cycles, Spent};

/// What a protocol thread does in a turn, in this order.
#[cfg_attr(
    not(any(test, feature = "cycles")),
    expect(unreachable_pub, reason = "who keeps no account is not told of one")
)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Bursts are taken from the device.
    Receive,
    /// Packets go through the layers, up to their sockets: those of a burst, of other cores, and of ours to ourselves.
    Input,
    /// Timers that are due run.
    Timers,
    /// What threads ask for in messages is done: to listen, connect, tell.
    Orders,
    /// What applications have written or read is looked at: segments are made of it.
    Hints,
    /// The application on this core is called.
    Application,
    /// Acknowledgements and segments that waited for the turn's end are made.
    Flush,
    /// A burst is given to the device.
    Transmit,
    /// Everything else: other threads and cores are told, and the loop goes round.
    #[cfg(any(test, feature = "cycles"))]
    Rest,
    /// All of the turns that found nothing to do, and the time from such a turn to the next.
    #[cfg(any(test, feature = "cycles"))]
    Idle,
}

#[cfg(any(test, feature = "cycles"))]
impl Stage {
    /// All stages, in the order of a turn.
    pub const ALL: [Self; 10] = [
        Self::Receive,
        Self::Input,
        Self::Timers,
        Self::Orders,
        Self::Hints,
        Self::Application,
        Self::Flush,
        Self::Transmit,
        Self::Rest,
        Self::Idle,
    ];

    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Input => "input",
            Self::Timers => "timers",
            Self::Orders => "orders",
            Self::Hints => "hints",
            Self::Application => "application",
            Self::Flush => "flush",
            Self::Transmit => "transmit",
            Self::Rest => "rest",
            Self::Idle => "idle",
        }
    }
}

/// No account is kept.
#[cfg(not(feature = "cycles"))]
pub(crate) struct Account;

#[cfg(not(feature = "cycles"))]
impl Account {
    pub(crate) fn start() -> Self {
        const { assert!(size_of::<Self>() == 0, "a turn pays nothing for it") };
        Self
    }

    #[inline(always)]
    pub(super) fn begin(&mut self) {}

    #[inline(always)]
    pub(super) fn mark(&mut self, _: Stage) {}

    #[inline(always)]
    pub(super) fn end(&mut self, _: usize) {}
}
