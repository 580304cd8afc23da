//! Waiting for many sockets at once.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use darner_ring::spsc::{self, Consumer};

use super::registrations::{Registered, Registrations, What};
use super::{ReadHalf, Readiness, TcpListener, TcpStream, Token, UdpSocket, WriteHalf};
use crate::protocol::Order;
use crate::socket::thread::{is_protocol_thread, refuse_child};
use crate::socket::{CoreShared, PollerEnd, PollerKey, PollerShared, Told};

/// Waits for many sockets at once, on the thread that holds it.
///
/// Readiness is told when it changes, and once at the registration for what is ready then: go on until the socket gives
/// [`WouldBlock`](ErrorKind::WouldBlock). It may be told although nothing is there to do any more. A socket that is dropped
/// leaves the poller by itself. Registered sockets should be non-blocking.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// # let stack: darner::Stack = unimplemented!();
/// use darner::{Interest, Poller, Token};
///
/// let listener = stack.listen("0.0.0.0:80".parse().unwrap())?;
/// listener.set_nonblocking(true);
/// let mut poller = Poller::new();
/// poller.register(&listener, Token(0), Interest::READABLE)?;
/// let mut events = Vec::new();
/// loop {
///     poller.wait(&mut events, None)?;
///     for event in &events {
///         println!("{:?} is ready: {:?}", event.token, event.readiness);
///     }
/// }
/// # }
/// ```
pub struct Poller {
    shared: Arc<PollerShared>,
    woken: Arc<AtomicBool>,
    cores: Vec<CoreEnd>,
    registrations: Registrations,
}

/// What one core tells this poller.
struct CoreEnd {
    core: Arc<CoreShared>,
    slot: u16,
    keys: Consumer<u32>,
}

/// One socket that is ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Event {
    /// The name that was given at the registration.
    pub token: Token,
    /// What it is ready for.
    pub readiness: Readiness,
}

bitflags::bitflags! {
    /// What to be told of a socket. That it has failed or closed is told in any case.
    #[derive(Clone, Copy, Debug, Eq, PartialEq)]
    pub struct Interest: u32 {
        /// Bytes, datagrams, connections, urgent data, and the end of the stream.
        const READABLE = 1;
        /// Room to write, and the end of the handshake.
        const WRITABLE = 1 << 1;
    }
}

impl Interest {
    /// Everything.
    pub const BOTH: Self = Self::READABLE.union(Self::WRITABLE);

    fn mask(self) -> Readiness {
        let mut mask = Readiness::ERROR | Readiness::CLOSED;
        if self.contains(Self::READABLE) {
            mask |= Readiness::READABLE | Readiness::READ_CLOSED | Readiness::URGENT;
        }
        if self.contains(Self::WRITABLE) {
            mask |= Readiness::WRITABLE | Readiness::CONNECTED;
        }
        mask
    }
}

/// What a [`Poller`] can wait for: [`TcpStream`], [`ReadHalf`], [`WriteHalf`], [`TcpListener`] and [`UdpSocket`].
pub trait Source {
    #[doc(hidden)]
    fn what(&self) -> SourceOf<'_>;
}

/// What a source is, for the poller.
#[doc(hidden)]
#[derive(Debug)]
pub struct SourceOf<'a>(pub(super) Kind<'a>);

#[derive(Debug)]
pub(super) enum Kind<'a> {
    Stream(&'a TcpStream),
    Read(&'a ReadHalf),
    Write(&'a WriteHalf),
    Listener(&'a TcpListener),
    Udp(&'a UdpSocket),
}

impl Source for TcpStream {
    fn what(&self) -> SourceOf<'_> {
        SourceOf(Kind::Stream(self))
    }
}

impl Source for ReadHalf {
    fn what(&self) -> SourceOf<'_> {
        SourceOf(Kind::Read(self))
    }
}

impl Source for WriteHalf {
    fn what(&self) -> SourceOf<'_> {
        SourceOf(Kind::Write(self))
    }
}

impl Source for TcpListener {
    fn what(&self) -> SourceOf<'_> {
        SourceOf(Kind::Listener(self))
    }
}

impl Source for UdpSocket {
    fn what(&self) -> SourceOf<'_> {
        SourceOf(Kind::Udp(self))
    }
}

/// Sockets that a poller takes, unless it is made for more.
const CAPACITY: usize = 1 << 14;

/// Events of one call of [`Poller::wait`].
const EVENTS: usize = 1024;

impl Poller {
    /// A poller for up to 16,384 sockets.
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// A poller for up to `capacity` sockets, at most a million. It takes up to 32 bytes for each of them on each core.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            shared: PollerShared::new(),
            woken: Arc::new(AtomicBool::new(false)),
            cores: Vec::new(),
            registrations: Registrations::new(capacity),
        }
    }

    /// Tells of `source` under `token` from now on, beginning with what it is ready for already. Registering again changes token
    /// and interest. A socket is registered with one poller at a time: [`deregister`](Self::deregister) it before it goes to
    /// another.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::QuotaExceeded`] when the poller has as many sockets as it was made for; `ENETDOWN` when the stack has
    /// ended.
    pub fn register(
        &mut self,
        source: &impl Source,
        token: Token,
        interest: Interest,
    ) -> io::Result<()> {
        refuse_child()?;
        let what = What::of(&source.what().0);
        self.registrations.replace(&what);
        let registered = Registered { what: what.clone(), token, mask: interest.mask() };
        let key = self.registrations.insert(registered).ok_or_else(|| {
            let message = "the poller is full: make it with a larger capacity";
            io::Error::new(ErrorKind::QuotaExceeded, message)
        })?;
        let attached = match &what {
            What::Socket(words, parts) => {
                let core = words.core().clone();
                self.slot_on(&core).map(|slot| {
                    let told = Told::Poller(PollerKey { slot, key });
                    for &part in *parts {
                        core.order(Order::Attach { target: words.target(), part, told });
                    }
                })
            }
            // Where a core has ended, the others tell.
            What::Listener(shared, cores) => {
                cores.iter().filter(|core| !core.has_ended()).try_for_each(|core| {
                    let told = Told::Poller(PollerKey { slot: self.slot_on(core)?, key });
                    core.order(Order::AttachListener(shared.clone(), told));
                    Ok(())
                })
            }
        };
        if what.has_ended() {
            // Perhaps before its core has heard of this.
            self.shared.look_at_all();
        }
        attached.inspect_err(|_| {
            self.registrations.remove(&what);
        })
    }

    /// Tells no more of `source`.
    pub fn deregister(&mut self, source: &impl Source) {
        let what = What::of(&source.what().0);
        if self.registrations.remove(&what).is_none() {
            return;
        }
        match &what {
            What::Socket(words, parts) => {
                for &part in *parts {
                    let target = words.target();
                    words.core().order(Order::Attach { target, part, told: Told::Nobody });
                }
            }
            What::Listener(shared, cores) => {
                for core in cores {
                    core.order(Order::AttachListener(shared.clone(), Told::Nobody));
                }
            }
        }
    }

    /// Waits until a socket is ready, [`PollerWaker::wake`] is called, or `timeout` has passed; `None` waits for ever. Puts
    /// what is ready into `events`, whose content before is gone; nothing, if the time has passed or the poller was woken.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Deadlock`] on a protocol thread, unless something is ready or `timeout` is zero.
    pub fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()> {
        events.clear();
        refuse_child()?;
        self.collect(events);
        let woken = self.woken.swap(false, Ordering::AcqRel);
        if woken || !events.is_empty() || timeout == Some(Duration::ZERO) {
            return Ok(());
        }
        if is_protocol_thread() {
            return Err(ErrorKind::Deadlock.into());
        }
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        // An event that is nobody's any more is no reason to return.
        while events.is_empty() && self.sleep(deadline) == Some(Roused::ByNews) {
            self.collect(events);
        }
        self.woken.swap(false, Ordering::AcqRel);
        Ok(())
    }

    /// A handle with which any thread ends a call of [`wait`](Self::wait).
    pub fn waker(&self) -> PollerWaker {
        PollerWaker { shared: self.shared.clone(), woken: self.woken.clone() }
    }

    fn sleep(&mut self, deadline: Option<Instant>) -> Option<Roused> {
        let Self { shared, woken, cores, .. } = self;
        shared.parker.park(deadline, || {
            if woken.load(Ordering::Acquire) {
                return Some(Roused::ByCall);
            }
            let news = shared.has_lost() || cores.iter_mut().any(|core| !core.keys.is_empty());
            news.then_some(Roused::ByNews)
        })
    }

    fn collect(&mut self, events: &mut Vec<Event>) {
        if self.shared.take_lost() {
            self.registrations.collect_all(events);
        }
        for core in &mut self.cores {
            while events.len() < EVENTS
                && let Some(key) = core.keys.pop()
            {
                self.registrations.collect(key, events);
            }
        }
    }

    /// This poller's number on a core, which hears of it now if it has not before.
    fn slot_on(&mut self, core: &Arc<CoreShared>) -> io::Result<u16> {
        if core.has_ended() {
            return Err(rustix::io::Errno::NETDOWN.into());
        }
        if let Some(known) = self.cores.iter().find(|known| Arc::ptr_eq(&known.core, core)) {
            return Ok(known.slot);
        }
        let slot = core.claim_poller().ok_or_else(|| {
            io::Error::new(ErrorKind::QuotaExceeded, "too many pollers on one core")
        })?;
        // Once for a direction that has news, and once more when it is registered anew or gone.
        let (producer, keys) = spsc::queue(4 * self.registrations.capacity());
        core.order(Order::OpenPoller(slot, PollerEnd::new(producer, self.shared.clone())));
        self.cores.push(CoreEnd { core: core.clone(), slot, keys });
        Ok(slot)
    }
}

/// Why a poller does not sleep any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Roused {
    ByNews,
    ByCall,
}

impl Default for Poller {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        for CoreEnd { core, slot, .. } in &self.cores {
            core.order(Order::ClosePoller(*slot));
        }
    }
}

impl std::fmt::Debug for Poller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Poller").field("sockets", &self.registrations.len()).finish_non_exhaustive()
    }
}

/// Ends a call of [`Poller::wait`] from any thread.
#[derive(Clone)]
pub struct PollerWaker {
    shared: Arc<PollerShared>,
    woken: Arc<AtomicBool>,
}

impl PollerWaker {
    /// Has the call that waits, or else the next one, return at once.
    pub fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        self.shared.parker.wake();
    }
}

impl std::fmt::Debug for PollerWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PollerWaker").finish_non_exhaustive()
    }
}
