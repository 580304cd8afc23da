//! The words that the two sides of a socket share; [the module](super) says who writes which.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering, fence};
use std::time::Duration;

use bitflags::bitflags;
use rustix::io::Errno;

use super::events::Events;
use super::mailbox::{CoreShared, Mailboxes, Source};
use crate::api::Readiness;

/// State of one socket beside its rings.
pub(crate) struct Words {
    core: Arc<CoreShared>,
    target: Target,
    phase: AtomicU32,
    error: AtomicI32,
    window_closed: AtomicBool,
    events: Events,
    options: AtomicU32,
    user_timeout_ms: AtomicU32,
    hints: AtomicU32,
    closed: AtomicBool,
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

/// Why a socket failed; the value is the errno that the application gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    Refused,
    Reset,
    Aborted,
    TimedOut,
    HostUnreachable,
    NetUnreachable,
    ProtocolUnreachable,
    MessageTooLong,
    StackStopped,
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
        /// The last handle is gone.
        const CLOSE = 1 << 5;
        const OPTIONS = 1 << 6;
    }
}

bitflags! {
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    struct OptionBits: u32 {
        const NODELAY = 1;
        const KEEPALIVE = 1 << 1;
    }
}

/// What the application has set, as the protocol thread reads it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct SocketOptions {
    /// Small segments are not held back (RFC 9293, section 3.7.4).
    pub(crate) nodelay: bool,
    pub(crate) keepalive: bool,
    /// RFC 9293, section 3.8.3.
    pub(crate) user_timeout: Option<Duration>,
}

impl Words {
    pub(crate) fn new(core: Arc<CoreShared>, target: Target, phase: Phase) -> Arc<Self> {
        Arc::new(Self {
            core,
            target,
            phase: AtomicU32::new(phase as u32),
            error: AtomicI32::new(0),
            window_closed: AtomicBool::new(false),
            events: Events::new(),
            options: AtomicU32::new(0),
            user_timeout_ms: AtomicU32::new(0),
            hints: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 | 1 => Phase::Connecting,
            2 => Phase::Connected,
            3 => Phase::Closing,
            _ => Phase::Dead,
        }
    }
}

/// The protocol thread's side.
impl Words {
    pub(crate) fn set_phase(&self, phase: Phase) {
        debug_assert!(self.phase() <= phase, "a phase only grows");
        self.phase.store(phase as u32, Ordering::Release);
    }

    /// Records why the socket failed, unless an earlier cause is there. Before the flag that announces it.
    pub(crate) fn set_error(&self, failure: Failure) {
        let _ =
            self.error.compare_exchange(0, failure.errno(), Ordering::Release, Ordering::Relaxed);
    }

    /// Takes the hints. What they are about is read afterwards (L-4).
    pub(crate) fn take_hints(&self) -> Hints {
        Hints::from_bits_truncate(self.hints.swap(0, Ordering::AcqRel))
    }

    /// Says whether the application must hint as soon as it has read anything. The caller looks at the ring's head once
    /// more after saying so.
    pub(crate) fn set_window_closed(&self, closed: bool) {
        self.window_closed.store(closed, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Tells the application.
    pub(crate) fn raise(self: &Arc<Self>, mailboxes: &mut Mailboxes, readiness: Readiness) {
        self.events.raise(mailboxes, readiness, || Source::Socket(self.clone()));
    }

    pub(crate) fn options(&self) -> SocketOptions {
        let bits = OptionBits::from_bits_truncate(self.options.load(Ordering::Acquire));
        let user_timeout = self.user_timeout_ms.load(Ordering::Relaxed);
        SocketOptions {
            nodelay: bits.contains(OptionBits::NODELAY),
            keepalive: bits.contains(OptionBits::KEEPALIVE),
            user_timeout: (user_timeout > 0).then(|| Duration::from_millis(user_timeout.into())),
        }
    }

    /// Whether the application holds no handle any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// The application's side.
impl Words {
    pub(crate) fn target(&self) -> Target {
        self.target
    }

    pub(crate) fn core(&self) -> &Arc<CoreShared> {
        &self.core
    }

    /// Asks the protocol thread to look. Always a read-modify-write: a plain look at the bits could miss that they were
    /// taken just now.
    pub(crate) fn hint(&self, hints: Hints) {
        if self.hints.fetch_or(hints.bits(), Ordering::AcqRel) == 0 {
            self.core.push_hint(self.target);
        }
    }

    /// Whether a hint is due after reading, however little.
    pub(crate) fn window_closed(&self) -> bool {
        fence(Ordering::SeqCst);
        self.window_closed.load(Ordering::Relaxed)
    }

    /// The cause of failure, told once.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        let errno = self.error.swap(0, Ordering::AcqRel);
        (errno != 0).then(|| io::Error::from_raw_os_error(errno))
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    pub(crate) fn set_nodelay(&self, on: bool) {
        self.set_option(OptionBits::NODELAY, on);
    }

    pub(crate) fn set_keepalive(&self, on: bool) {
        self.set_option(OptionBits::KEEPALIVE, on);
    }

    pub(crate) fn set_user_timeout(&self, timeout: Option<Duration>) {
        let millis = timeout.map_or(0, |span| span.as_millis().clamp(1, u32::MAX.into()));
        self.user_timeout_ms.store(u32::try_from(millis).unwrap_or(u32::MAX), Ordering::Relaxed);
        self.hint(Hints::OPTIONS);
    }

    fn set_option(&self, option: OptionBits, on: bool) {
        if on {
            self.options.fetch_or(option.bits(), Ordering::AcqRel);
        } else {
            self.options.fetch_and(!option.bits(), Ordering::AcqRel);
        }
        self.hint(Hints::OPTIONS);
    }

    /// The last handle is gone.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.hint(Hints::CLOSE);
    }
}

impl Failure {
    fn errno(self) -> i32 {
        match self {
            Self::Refused => Errno::CONNREFUSED,
            Self::Reset => Errno::CONNRESET,
            Self::Aborted => Errno::CONNABORTED,
            Self::TimedOut => Errno::TIMEDOUT,
            Self::HostUnreachable => Errno::HOSTUNREACH,
            Self::NetUnreachable => Errno::NETUNREACH,
            Self::ProtocolUnreachable => Errno::NOPROTOOPT,
            Self::MessageTooLong => Errno::MSGSIZE,
            Self::StackStopped => Errno::NETDOWN,
        }
        .raw_os_error()
    }
}
