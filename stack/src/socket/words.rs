//! The words that the two sides of a socket share.
//!
//! A socket's state is split by who writes it. Each side holds a type of its own, which has the setters of that side and
//! no others: what a side must not write, it cannot name.
//!
//! | side | held by |
//! |---|---|
//! | [`ProtocolSide`] | the protocol thread of the core that owns the socket |
//! | [`ReaderSide`] | the one application thread that holds the receiving half |
//! | [`WriterSide`] | the one application thread that holds the sending half |
//! | [`ControlSide`] | any thread with a control handle |
//!
//! | word | written by | read by | what it says |
//! |---|---|---|---|
//! | ring positions with their flags | one side each (see `darner-ring`) | the other | bytes, FIN, reset, shutdown, death |
//! | `phase` | protocol | all | how far the connection has come; it only grows |
//! | `error` | protocol sets the first cause, who takes it clears it | | why the socket failed, told exactly once |
//! | `reading.events`, `writing.events` | protocol adds, application takes all | | readiness not yet told |
//! | `reading.parker`, `writing.parker` | the half's thread announces, who wakes it takes | | whether a call sleeps |
//! | `token` | protocol | protocol | under which name its own application is told |
//! | `hints` | application adds, protocol takes all | | what to look at again |
//! | `owners` | each half leaves, once | protocol | whether any half is left |
//! | `control` | under its lock | under its lock | options, linger, the urgent byte |
//!
//! A hint or an event never carries state: it says where to look. So they may be told twice or late, and coalesce.
//!
//! # Ordering
//!
//! What is announced is stored before what announces it: the error before the ring's reset or death, a ring's bytes before
//! its tail, every word before the event or hint that asks for a look at it. Each type of `darner-ring` names the pairs
//! that make this so.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use bitflags::bitflags;
use darner_ring::{
    Deferred, ErrorCell, EventSource, Flags, Left, Mark, Owners, Parker, TryLock, prefetch,
};
use rustix::io::Errno;

use super::core::CoreShared;
use super::failure::Failure;
use super::options::{ControlState, SocketOptions};
use super::readiness::{PollerKey, Readies, Source};
use super::thread::is_protocol_thread;
use crate::api::{Readiness, Token};

/// State of one socket beside its rings.
pub(crate) struct Words {
    core: Arc<CoreShared>,
    target: Target,
    phase: AtomicU32,
    error: ErrorCell,
    reading: Direction,
    writing: Direction,
    hints: Flags,
    owners: Owners,
    token: AtomicU64,
    control: TryLock<ControlState>,
}

/// What one direction of a socket tells, and who waits for it.
struct Direction {
    events: EventSource,
    parker: Parker,
}

impl Direction {
    fn new() -> Self {
        Self { events: EventSource::new(), parker: Parker::new() }
    }
}

/// Which socket of a core a hint is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    Tcp(SocketId),
    Udp(SocketId),
}

/// A socket's place on its core. A place is used again, but never under the same generation.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct SocketId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// How far a connection has come. It only grows (C-4).
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Phase {
    Connecting = 1,
    Connected = 2,
    Closing = 3,
    Dead = 4,
}

/// In the phase word: the handshake was completed, whatever came after it.
const WAS_CONNECTED: u32 = 1 << 8;
/// In the phase word: the peer has everything that we sent, our FIN with it.
const ALL_ACKNOWLEDGED: u32 = 1 << 9;
const PHASE: u32 = 0xff;

/// A direction of a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    Read,
    Write,
}

impl Part {
    const ALL: [Self; 2] = [Self::Read, Self::Write];

    /// What is told to those who wait for this direction.
    fn mask(self) -> Readiness {
        let both = Readiness::CLOSED | Readiness::ERROR;
        match self {
            Self::Read => both | Readiness::READABLE | Readiness::READ_CLOSED | Readiness::URGENT,
            Self::Write => both | Readiness::WRITABLE | Readiness::CONNECTED,
        }
    }
}

/// To whom the readiness of a direction is told: the protocol thread alone knows, and is told by an order.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Told {
    #[default]
    Nobody,
    /// The application on this core, under the socket's token.
    Application,
    Poller(PollerKey),
}

bitflags! {
    /// What the application wants its protocol thread to look at. Bits only: the state is in the rings and words.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub(crate) struct Hints: u32 {
        /// The tail of the send ring has moved, or datagrams were submitted.
        const SEND = 1;
        /// The head of the receive ring has moved far enough to tell the peer.
        const RECEIVE = 1 << 1;
        const SHUT_WRITE = 1 << 2;
        const SHUT_READ = 1 << 3;
        const ABORT = 1 << 4;
        /// The last half is gone.
        const CLOSE = 1 << 5;
        /// Something under the control lock has changed, or the lock is free that the protocol thread found taken.
        const CONTROL = 1 << 6;
        /// The tail of the send ring has moved, and the application means to move it further soon.
        const SEND_MORE = 1 << 7;
        /// What waits to be sent is to be sent now, full segments or not.
        const FLUSH = 1 << 8;
        /// The reader wants to hear of more bytes, or of fewer.
        const LOW_WATER = 1 << 9;
    }
}

/// Who holds a socket: bits of `owners`.
const READER: u32 = 1;
const WRITER: u32 = 1 << 1;

/// The four sides of a fresh socket.
pub(crate) struct Sides {
    pub(crate) protocol: ProtocolSide,
    pub(crate) reader: ReaderSide,
    pub(crate) writer: WriterSide,
    pub(crate) control: ControlSide,
}

/// Makes the words of a socket that is nobody's yet.
pub(crate) fn sides(core: &Arc<CoreShared>, target: Target, phase: Phase) -> Sides {
    let connected = if phase == Phase::Connected { WAS_CONNECTED } else { 0 };
    let words = Arc::new(Words {
        core: core.clone(),
        target,
        phase: AtomicU32::new(phase as u32 | connected),
        error: ErrorCell::new(),
        reading: Direction::new(),
        writing: Direction::new(),
        hints: Flags::new(),
        owners: Owners::new(READER | WRITER),
        token: AtomicU64::new(Token::NONE.0),
        control: TryLock::new(ControlState::default()),
    });
    Sides {
        protocol: ProtocolSide {
            words: words.clone(),
            reading: Told::Nobody,
            writing: Told::Nobody,
        },
        reader: ReaderSide(words.clone()),
        writer: WriterSide(words.clone()),
        control: ControlSide(words),
    }
}

/// The protocol thread's side.
pub(crate) struct ProtocolSide {
    words: Arc<Words>,
    reading: Told,
    writing: Told,
}

impl ProtocolSide {
    pub(crate) fn prefetch(&self) {
        prefetch(&*self.words);
    }

    pub(crate) fn phase(&self) -> Phase {
        self.words.phase()
    }

    /// Whether the handshake was ever completed.
    pub(crate) fn was_connected(&self) -> bool {
        self.words.was_connected()
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        let before = self.words.phase.load(Ordering::Relaxed);
        debug_assert!(before & PHASE <= phase as u32, "a phase only grows");
        let connected = if phase == Phase::Connected { WAS_CONNECTED } else { 0 };
        self.words.phase.store(before & !PHASE | phase as u32 | connected, Ordering::Release);
    }

    /// The peer has acknowledged our FIN: whoever lingers may go.
    pub(crate) fn set_all_acknowledged(&self, readies: &mut Readies) {
        let before = self.words.phase.load(Ordering::Relaxed);
        self.words.phase.store(before | ALL_ACKNOWLEDGED, Ordering::Release);
        self.raise(readies, Readiness::WRITABLE);
    }

    /// Records why the socket failed, unless an earlier cause is there. Before the flag that announces it.
    pub(crate) fn set_error(&self, failure: Failure) {
        self.words.error.set(failure.errno());
    }

    /// Takes the hints. What they are about is read afterwards (L-4).
    pub(crate) fn take_hints(&self) -> Hints {
        Hints::from_bits_truncate(self.words.hints.take())
    }

    /// Hints at itself: more is to be done than one turn allows.
    pub(crate) fn hint(&self, hints: Hints) {
        self.words.hint(hints);
    }

    /// Tells the application, whoever of it is to be told: its poller or its loop on this core, and the call that sleeps.
    pub(crate) fn raise(&self, readies: &mut Readies, readiness: Readiness) {
        for (part, told) in [(Part::Read, self.reading), (Part::Write, self.writing)] {
            let bits = readiness & part.mask();
            if !bits.is_empty() {
                self.raise_part(readies, part, told, bits);
            }
        }
    }

    fn raise_part(&self, readies: &mut Readies, part: Part, told: Told, bits: Readiness) {
        let side = self.words.direction(part);
        side.events.raise(bits.bits(), || self.queue(readies, told));
        if side.parker.take_waiter() {
            readies.wake(self.words.clone(), part);
        }
    }

    fn queue(&self, readies: &mut Readies, told: Told) {
        match told {
            Told::Nobody => {}
            Told::Application => readies.push(Source::Socket(self.words.clone())),
            Told::Poller(key) => readies.tell(key),
        }
    }

    /// From now on readiness of `part` is told to `told`, beginning with `level`, which is what it is now, and with what was
    /// told to nobody.
    pub(crate) fn attach(
        &mut self,
        readies: &mut Readies,
        part: Part,
        told: Told,
        level: Readiness,
    ) {
        match part {
            Part::Read => self.reading = told,
            Part::Write => self.writing = told,
        }
        let level = level & part.mask();
        let events = &self.words.direction(part).events;
        events.attach(level.bits(), || self.queue(readies, told));
    }

    /// The application on this core is told under `token` of both directions.
    pub(crate) fn attach_application(
        &mut self,
        readies: &mut Readies,
        token: Token,
        level: Readiness,
    ) {
        self.words.token.store(token.0, Ordering::Relaxed);
        let told = if token == Token::NONE { Told::Nobody } else { Told::Application };
        Part::ALL.into_iter().for_each(|part| self.attach(readies, part, told, level));
    }

    /// Pollers keep what they were given until they hear that it is gone.
    pub(crate) fn tell_gone(&self, readies: &mut Readies) {
        [self.reading, self.writing].into_iter().for_each(|told| {
            if let Told::Poller(key) = told {
                readies.tell(key);
            }
        });
    }

    /// What the application has set, unless somebody is setting it: then a hint follows when he is done.
    pub(crate) fn options(&self) -> Result<SocketOptions, Deferred> {
        self.words.control().try_with(|state| state.options())
    }

    /// Does something under the control lock, unless somebody is inside: then a hint follows when he is done.
    pub(crate) fn try_control<T>(
        &self,
        act: impl FnOnce(&mut ControlState) -> T,
    ) -> Result<T, Deferred> {
        self.words.control().try_with(act)
    }

    /// Whether the application holds no half any more.
    pub(crate) fn is_closed(&self) -> bool {
        !self.words.owners.holds(READER | WRITER)
    }

    /// The protocol thread is gone, or leaves this socket for good: whoever sleeps finds the flags that say so.
    pub(crate) fn wake_all(&self) {
        self.words.wake_all();
    }
}

/// The receiving half's side. Dropping it says that nobody reads any more, so it is dropped after the ring's end.
pub(crate) struct ReaderSide(Arc<Words>);

impl ReaderSide {
    pub(crate) fn phase(&self) -> Phase {
        self.0.phase()
    }

    /// Asks the protocol thread to look.
    pub(crate) fn hint(&self, hints: Hints) {
        self.0.hint(hints);
    }

    /// Whether there is a cause of failure to be told.
    pub(crate) fn has_error(&self) -> bool {
        self.0.error.peek().is_some()
    }

    /// The cause of failure, told once.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.0.take_error()
    }

    /// Fetches the urgent byte, if it is the one at `mark`, which is looked at in time. The only thing for which a half takes
    /// the control lock; on a protocol thread it does not wait for it.
    pub(crate) fn fetch_oob(&self, mark: impl FnOnce() -> Option<Mark>) -> Result<u8, Errno> {
        let control = &self.0.control;
        if is_protocol_thread() {
            return control
                .try_with_notifying(|| self.0.hint(Hints::CONTROL), |state| state.fetch_oob(mark()))
                .unwrap_or(Err(Errno::WOULDBLOCK));
        }
        control.with(|| self.0.hint(Hints::CONTROL), |state| state.fetch_oob(mark()))
    }

    /// Sleeps until `ready` gives something, or `deadline` has passed.
    pub(crate) fn park<T>(
        &self,
        deadline: Option<Instant>,
        ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        self.0.reading.parker.park(deadline, ready)
    }

    pub(crate) fn words(&self) -> &Arc<Words> {
        &self.0
    }
}

impl Drop for ReaderSide {
    fn drop(&mut self) {
        self.0.leave(READER, Hints::SHUT_READ);
    }
}

/// The sending half's side. Dropping it says that nobody writes any more, so it is dropped after the ring's end.
pub(crate) struct WriterSide(Arc<Words>);

impl WriterSide {
    pub(crate) fn phase(&self) -> Phase {
        self.0.phase()
    }

    /// Asks the protocol thread to look.
    pub(crate) fn hint(&self, hints: Hints) {
        self.0.hint(hints);
    }

    /// The cause of failure, told once.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.0.take_error()
    }

    /// Whether the handshake was ever completed.
    pub(crate) fn was_connected(&self) -> bool {
        self.0.was_connected()
    }

    /// Sleeps until `ready` gives something, or `deadline` has passed.
    pub(crate) fn park<T>(
        &self,
        deadline: Option<Instant>,
        ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        self.0.writing.parker.park(deadline, ready)
    }

    pub(crate) fn words(&self) -> &Arc<Words> {
        &self.0
    }
}

impl Drop for WriterSide {
    fn drop(&mut self) {
        self.0.leave(WRITER, Hints::SHUT_WRITE);
    }
}

/// The side of whoever may end a socket or set its options. It holds no half: a socket whose halves are gone is closed.
#[derive(Clone)]
pub(crate) struct ControlSide(Arc<Words>);

impl ControlSide {
    /// Asks the protocol thread to look.
    pub(crate) fn hint(&self, hints: Hints) {
        self.0.hint(hints);
    }

    /// Does something under the control lock; never on a data path. What it changed the protocol thread is hinted at by the
    /// caller.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut ControlState) -> T) -> T {
        self.0.control().with(|| self.0.hint(Hints::CONTROL), act)
    }

    /// The same for a thread that must not wait.
    pub(crate) fn try_with<T>(
        &self,
        act: impl FnOnce(&mut ControlState) -> T,
    ) -> Result<T, Deferred> {
        self.0.control().try_with_notifying(|| self.0.hint(Hints::CONTROL), act)
    }

    /// The cause of failure, told once.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.0.take_error()
    }

    /// Wakes the calls that sleep on this socket: they find what was done to it without the protocol thread's help.
    pub(crate) fn wake_all(&self) {
        self.0.wake_all();
    }

    /// Whether the peer has all that was sent, or will never have it.
    pub(crate) fn is_settled(&self) -> bool {
        let phase = self.0.phase.load(Ordering::Acquire);
        phase & ALL_ACKNOWLEDGED != 0 || phase & PHASE == Phase::Dead as u32
    }

    /// Sleeps until `ready` gives something, or `deadline` has passed: for who lingers, in place of the sending half.
    pub(crate) fn park<T>(
        &self,
        deadline: Option<Instant>,
        ready: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        self.0.writing.parker.park(deadline, ready)
    }

    pub(crate) fn words(&self) -> &Arc<Words> {
        &self.0
    }
}

/// What every side of the application may do.
impl Words {
    pub(crate) fn target(&self) -> Target {
        self.target
    }

    pub(crate) fn core(&self) -> &Arc<CoreShared> {
        &self.core
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) & PHASE {
            0 | 1 => Phase::Connecting,
            2 => Phase::Connected,
            3 => Phase::Closing,
            _ => Phase::Dead,
        }
    }

    fn was_connected(&self) -> bool {
        self.phase.load(Ordering::Acquire) & WAS_CONNECTED != 0
    }

    /// What was raised for a direction since it was last taken.
    pub(crate) fn take_events(&self, part: Part) -> Readiness {
        Readiness::from_bits_truncate(self.direction(part).events.take())
    }

    /// What was raised for both directions, and under which name: for the application on this core.
    pub(crate) fn take_for_application(&self) -> (Token, Readiness) {
        let readiness = self.take_events(Part::Read) | self.take_events(Part::Write);
        (Token(self.token.load(Ordering::Relaxed)), readiness)
    }

    /// Whether no half is left that any of these directions would be told to.
    pub(crate) fn is_left(&self, parts: &[Part]) -> bool {
        let holders = parts.iter().fold(0, |bits, part| {
            bits | match part {
                Part::Read => READER,
                Part::Write => WRITER,
            }
        });
        !self.owners.holds(holders)
    }

    /// Wakes the call that sleeps on a direction.
    pub(crate) fn unpark(&self, part: Part) {
        self.direction(part).parker.unpark();
    }

    /// Always a read-modify-write: a plain look at the bits could miss that they were taken just now.
    fn hint(&self, hints: Hints) {
        if self.hints.raise(hints.bits()) == 0 {
            self.core.hint(self.target);
        }
    }

    /// The one way to the control lock. No data path leads here: tests count.
    fn control(&self) -> &TryLock<ControlState> {
        #[cfg(test)]
        crate::socket::stress::count_control();
        &self.control
    }

    fn take_error(&self) -> Option<io::Error> {
        self.error.take().map(io::Error::from_raw_os_error)
    }

    fn leave(&self, owner: u32, hint: Hints) {
        match self.owners.leave(owner) {
            Left::Last => self.hint(Hints::CLOSE),
            Left::Others(_) => self.hint(hint),
        }
    }

    fn wake_all(&self) {
        self.reading.parker.wake();
        self.writing.parker.wake();
    }

    fn direction(&self, part: Part) -> &Direction {
        match part {
            Part::Read => &self.reading,
            Part::Write => &self.writing,
        }
    }
}

/// What the words of a socket take, with their reference counts.
pub(crate) const WORDS_BYTES: usize = size_of::<Words>() + 2 * size_of::<usize>();

const _: () = assert!(WORDS_BYTES <= 104);
