//! The one mutex, the calls that wait for their turn under it, and the time that goes on in between.
//!
//! A call that has to wait sleeps on a condition variable, which packetdrill sees in the thread's state. When the stack
//! has done something, whoever drives it lets each waiting call look again before anything else happens. A call that
//! is done by then stops the clock until its thread has asked for the time: packetdrill does that at once, to know
//! when the call returned.

use std::ffi::c_int;
use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddrV4;
use std::os::fd::RawFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use darner::time::Instant;
use rustix::io::Errno;

use crate::machine::{MICROSECOND, Machine, Settled};
use crate::process::Process;
use crate::settings::Settings;

pub(crate) struct Host {
    inner: Mutex<Inner>,
    /// Those that wait are to look again.
    stirred: Condvar,
    /// One of those has looked, or has asked for the time.
    looked: Condvar,
}

struct Inner {
    settings: Settings,
    /// Time before there is a machine.
    before: Instant,
    process: Option<Process>,
    /// Until when the calls wait that do.
    waiting: Vec<(ThreadId, Option<Instant>)>,
    /// Those that have not looked since the stack last did something.
    looking: usize,
    /// How often they were told to.
    round: u64,
    /// Those whose call is done and who have not asked for the time.
    returning: Vec<ThreadId>,
    /// One has, and is about to tell packetdrill what has become of its call.
    tells: bool,
    /// Calls so far: who waits sees whether anybody drives the clock.
    calls: u64,
}

/// How long a call may wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Patience {
    None,
    Until(Instant),
    Forever,
}

impl Host {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            inner: Mutex::new(Inner {
                settings,
                before: Instant::ZERO,
                process: None,
                waiting: Vec::new(),
                looking: 0,
                round: 0,
                returning: Vec::new(),
                tells: false,
                calls: 0,
            }),
            stirred: Condvar::new(),
            looked: Condvar::new(),
        }
    }

    /// A call that never waits.
    pub(crate) fn call<T>(
        &self,
        act: impl FnOnce(&mut Process) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let mut inner = self.enter();
        let outcome = act(inner.process()?);
        drop(self.settle(inner));
        outcome
    }

    /// A call that may: `attempt` is made again, while it gives `EAGAIN`, whenever the stack has done something.
    /// `patience` says how long, once the first attempt was made.
    pub(crate) fn wait<T>(
        &self,
        mut attempt: impl FnMut(&mut Process) -> Result<T, Errno>,
        patience: impl FnOnce(&Process) -> Patience,
    ) -> Result<T, Errno> {
        let mut inner = self.enter();
        let first = attempt(inner.process()?);
        inner = self.settle(inner);
        if !matches!(first, Err(Errno::AGAIN)) {
            return first;
        }
        let until = match patience(inner.process()?) {
            Patience::None => return first,
            Patience::Until(time) => Some(time),
            Patience::Forever => None,
        };
        self.sleep(inner, until, attempt)
    }

    /// Sleeps until `attempt` gives something else than `EAGAIN`, or the time has come.
    fn sleep<'a, T>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        until: Option<Instant>,
        mut attempt: impl FnMut(&mut Process) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let me = thread::current().id();
        inner.waiting.push((me, until));
        loop {
            inner = self.next_round(inner);
            let process = inner.process()?;
            let outcome = attempt(process);
            process.machine.settle();
            let over = until.is_some_and(|until| process.machine.now() >= until);
            inner.looking = inner.looking.saturating_sub(1);
            let again = matches!(outcome, Err(Errno::AGAIN)) && !over;
            if !again {
                inner.waiting.retain(|(waiter, _)| *waiter != me);
                inner.returning.push(me);
            }
            self.looked.notify_all();
            if !again {
                return outcome;
            }
        }
    }

    /// Waits until the stack has done something. Where nobody drives it, it is driven from here: packetdrill gives a call
    /// that is still under way at the end of a script one second of real time.
    fn next_round<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        let round = inner.round;
        while inner.round == round {
            let calls = inner.calls;
            let (guard, timeout) = self
                .stirred
                .wait_timeout(inner, NOBODY_DRIVES)
                .unwrap_or_else(PoisonError::into_inner);
            inner = guard;
            if timeout.timed_out() && inner.calls == calls && inner.returning.is_empty() {
                let Some(next) = inner.next_event() else { continue };
                inner.go_to(next);
                if inner.is_due(next) || inner.machine_settles() == Settled::Stirred {
                    inner.round += 1;
                    inner.looking = inner.waiting.len();
                    self.stirred.notify_all();
                }
            }
        }
        inner
    }

    /// Reads, and waits for as much as a read of the descriptor wants. Who has waited for long enough gets what there is.
    pub(crate) fn read(
        &self,
        fd: RawFd,
        outs: &mut [IoSliceMut<'_>],
        flags: c_int,
    ) -> Result<usize, Errno> {
        let read = self
            .wait(|process| process.read(fd, outs, flags), |process| process.patience(fd, flags));
        match read {
            Err(Errno::AGAIN) => {
                self.call(|process| process.read(fd, outs, flags | libc::MSG_DONTWAIT))
            }
            read => read,
        }
    }

    /// Writes all of `pieces`, waiting for room in between. What was written before it would wait, or before an error, is
    /// a success.
    pub(crate) fn write(
        &self,
        fd: RawFd,
        pieces: &[IoSlice<'_>],
        flags: c_int,
    ) -> Result<usize, Errno> {
        if let Some(remote) = self.call(|process| Ok(process.deferred(fd)))? {
            return self.write_connecting(fd, remote, pieces, flags);
        }
        let all = pieces.iter().map(|piece| piece.len()).sum();
        let mut written = 0;
        let outcome = self.wait(
            |process| {
                written += process.write(fd, pieces, written, flags)?;
                if written < all { Err(Errno::AGAIN) } else { Ok(()) }
            },
            |process| process.patience_to_send(fd, flags),
        );
        match outcome {
            Err(error) if written == 0 => Err(error),
            _ => Ok(written),
        }
    }

    /// Connects with the beginning of `pieces` on the SYN, waits until that is done if the descriptor waits, and writes the rest.
    pub(crate) fn write_connecting(
        &self,
        fd: RawFd,
        remote: SocketAddrV4,
        pieces: &[IoSlice<'_>],
        flags: c_int,
    ) -> Result<usize, Errno> {
        let data = pieces.iter().flat_map(|piece| piece.iter().copied()).collect::<Vec<u8>>();
        let taken = self.call(|process| process.connect_with_data(fd, remote, &data))?;
        let connected = self
            .wait(|process| process.connected(fd), |process| process.patience_to_send(fd, flags));
        match connected {
            Ok(()) if taken < data.len() => {
                self.write(fd, &[IoSlice::new(&data[taken..])], flags).map(|more| taken + more)
            }
            Ok(()) => Ok(taken),
            Err(Errno::AGAIN) if taken > 0 => Ok(taken),
            Err(Errno::AGAIN) => Err(Errno::INPROGRESS),
            Err(error) => Err(error),
        }
    }

    /// Waits until one of `fds` is ready for something, at most for `timeout`, and says how many are.
    pub(crate) fn poll(
        &self,
        fds: &mut [libc::pollfd],
        timeout: Option<Duration>,
    ) -> Result<c_int, Errno> {
        let ready = self.wait(
            |process| {
                let mut count = 0;
                for polled in &mut *fds {
                    polled.revents = process.readiness(polled.fd, polled.events);
                    count += c_int::from(polled.revents != 0);
                }
                if count == 0 { Err(Errno::AGAIN) } else { Ok(count) }
            },
            |process| until(process, timeout),
        );
        match ready {
            Err(Errno::AGAIN) => Ok(0),
            ready => ready,
        }
    }

    /// The same for what an epoll descriptor tells of, as events and their data.
    pub(crate) fn epoll_wait(
        &self,
        epoll: RawFd,
        most: usize,
        timeout: Option<Duration>,
    ) -> Result<Vec<(u32, u64)>, Errno> {
        let ready =
            self.wait(|process| process.epoll_look(epoll, most), |process| until(process, timeout));
        match ready {
            Err(Errno::AGAIN) => Ok(Vec::new()),
            ready => ready,
        }
    }

    /// Whether the descriptor is one of ours.
    pub(crate) fn has(&self, fd: RawFd) -> bool {
        self.enter().process.as_ref().is_some_and(|process| process.is_open(fd))
    }

    /// Ends the process.
    pub(crate) fn end(self) {
        let inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = inner.process {
            process.abandon();
        }
    }

    /// Lets a packet arrive.
    pub(crate) fn netdev_send(&self, packet: &[u8]) -> Result<(), Errno> {
        let mut inner = self.enter();
        inner.process()?.machine.inject(packet).ok_or(Errno::NOBUFS)?;
        drop(self.settle(inner));
        Ok(())
    }

    /// The next packet that leaves the stack, and when it left. `None` if none does for a long time.
    pub(crate) fn netdev_receive(&self) -> Result<Option<(Vec<u8>, u64)>, Errno> {
        let mut inner = self.enter();
        let horizon = inner.now() + NOTHING_WITHIN;
        loop {
            if let Some(sent) = inner.process()?.machine.take() {
                return Ok(Some((sent.bytes, micros(sent.at))));
            }
            match inner.next_event() {
                Some(next) if next <= horizon => inner = self.go_on(inner, next),
                _ => return Ok(None),
            }
        }
    }

    /// Time goes on by so much. While packetdrill sleeps others may have its lock, and who has returned from a call needs it.
    pub(crate) fn usleep(&self, micros: u64) {
        let mut inner = self.until_returned(self.enter());
        if std::mem::take(&mut inner.tells) {
            drop(inner);
            thread::sleep(TELLS_WITHIN);
            inner = self.enter();
        }
        let end = inner.now() + Duration::from_micros(micros);
        drop(self.go_on(inner, end));
    }

    /// The time in microseconds. Asking takes one of them, so that waiting for a time by asking comes to an end.
    pub(crate) fn time(&self) -> u64 {
        let mut inner = self.enter();
        let me = thread::current().id();
        let returning = inner.returning.len();
        inner.returning.retain(|thread| *thread != me);
        if returning > 0 {
            inner.tells = true;
            self.looked.notify_all();
        } else {
            let end = inner.now() + MICROSECOND;
            inner = self.go_on(inner, end);
        }
        micros(inner.now())
    }

    /// Goes on to `end`, stopping at whatever happens by itself on the way.
    fn go_on<'a>(
        &'a self,
        mut inner: MutexGuard<'a, Inner>,
        end: Instant,
    ) -> MutexGuard<'a, Inner> {
        loop {
            inner = self.until_returned(inner);
            let next = inner.next_event().map_or(end, |next| next.min(end));
            let due = inner.is_due(next);
            inner.go_to(next);
            inner = if due { self.have_looked(inner) } else { self.settle(inner) };
            if inner.now() >= end {
                return inner;
            }
        }
    }

    /// Has the stack do what is due, and those that wait look what has become of their calls.
    fn settle<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        match inner.machine_settles() {
            Settled::Quiet => inner,
            Settled::Stirred => self.have_looked(inner),
        }
    }

    fn have_looked<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        if inner.waiting.is_empty() {
            return inner;
        }
        inner.machine_settles();
        inner.round += 1;
        inner.looking = inner.waiting.len();
        self.stirred.notify_all();
        while inner.looking > 0 {
            inner = self.looked.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner
    }

    /// Waits until every thread whose call is done knows when that was. One that never asks does not stop the others for ever.
    fn until_returned<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
        let me = thread::current().id();
        inner.returning.retain(|thread| *thread != me);
        while !inner.returning.is_empty() {
            let (guard, timeout) = self
                .looked
                .wait_timeout(inner, ASKS_WITHIN)
                .unwrap_or_else(PoisonError::into_inner);
            inner = guard;
            if timeout.timed_out() {
                inner.returning.clear();
            }
        }
        inner
    }

    fn enter(&self) -> MutexGuard<'_, Inner> {
        // What is done under the lock is whole unless it panicked, and then the script has failed.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.calls += 1;
        inner
    }
}

impl Inner {
    /// The machine starts with the first call that needs it: by then a script has configured it.
    fn process(&mut self) -> Result<&mut Process, Errno> {
        if self.process.is_none() {
            let machine = Machine::start(&self.settings, self.before)
                .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))?;
            self.process = Some(Process::new(machine));
        }
        self.process.as_mut().ok_or(Errno::INVAL)
    }

    fn now(&self) -> Instant {
        self.process.as_ref().map_or(self.before, |process| process.machine.now())
    }

    fn go_to(&mut self, time: Instant) {
        match &mut self.process {
            Some(process) => process.machine.go_to(time),
            None => self.before = self.before.max(time),
        }
    }

    fn machine_settles(&mut self) -> Settled {
        self.process.as_mut().map_or(Settled::Quiet, |process| process.machine.settle())
    }

    /// Whether a call has waited long enough at `time`.
    fn is_due(&self, time: Instant) -> bool {
        self.waiting.iter().any(|(_, until)| until.is_some_and(|until| until <= time))
    }

    /// When something happens next by itself: in the stack, or a call has waited long enough.
    fn next_event(&self) -> Option<Instant> {
        let machine = self.process.as_ref().and_then(|process| process.machine.next_deadline());
        self.waiting.iter().filter_map(|(_, until)| *until).chain(machine).min()
    }
}

fn until(process: &Process, timeout: Option<Duration>) -> Patience {
    match timeout {
        None => Patience::Forever,
        Some(Duration::ZERO) => Patience::None,
        Some(span) => Patience::Until(process.machine.now() + span),
    }
}

fn micros(time: Instant) -> u64 {
    EPOCH_MICROS + time.as_nanos() / 1000
}

/// The clock does not begin at zero, which some would take for no time at all.
const EPOCH_MICROS: u64 = 1_000_000_000_000_000;

/// If no packet has left for so long after the last event of a script, none will.
const NOTHING_WITHIN: Duration = Duration::from_secs(300);

/// Real time without a call after which nobody but those that wait goes on.
const NOBODY_DRIVES: Duration = Duration::from_millis(300);

/// Real time for a thread to ask for the time when its call has returned.
const ASKS_WITHIN: Duration = Duration::from_secs(1);

/// And to tell packetdrill: a few instructions.
const TELLS_WITHIN: Duration = Duration::from_millis(5);
