//! The protocol thread's work: one turn of its loop, and a packet's way through the layers.
//!
//! A turn receives a burst, takes every packet through the layers, runs the timers that are due, follows the
//! applications' hints, lets the application run, and at last transmits what all of that produced. It is told the time
//! and never waits, so a simulation drives it as well as a thread does ([`thread`]).

mod account;
mod layers;
mod openings;
mod order;
#[cfg(test)]
mod peer;
mod rest;
pub(crate) mod thread;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use pmd::{Burst, Frame, QueuePair};

use crate::api::{Application, Control, Core};
use crate::config::Config;
use crate::counters::Counter;
use crate::metrics::Metrics;
use crate::net::ClaimNews;
use crate::snapshot::CoreSnapshot;
use crate::socket::thread::InTurn;
use crate::socket::{CoreShared, Target};
use crate::steer::Seat;
use crate::tcp::{ConnectionInfo, GATHERED_BURSTS, TcpConfig};
use crate::time::Instant;
use crate::wire::ethernet::MacAddr;

pub(crate) use account::Account;
#[cfg(not(any(test, feature = "cycles")))]
use account::Stage;
#[cfg(any(test, feature = "cycles"))]
pub use account::{Cycles, Spent, Stage};
pub(crate) use layers::Layers;
use openings::Openings;
pub(crate) use order::Order;

/// Everything that one protocol thread owns: the layers, the queue pairs that it polls, and its application.
///
/// [`Stack`](crate::Stack) runs one per core on a thread of its own. A simulation, a fuzzer or another event loop can
/// drive one by hand:
///
/// ```
/// # use darner::{Application, Config, Core, Protocol, Readiness, Token, time::Instant};
/// # struct Idle;
/// # impl Application for Idle {
/// #     fn start(&mut self, _: &mut Core<'_>) -> std::io::Result<()> { Ok(()) }
/// #     fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}
/// # }
/// let pool = pmd::Pool::heap(64, 2048);
/// let (queue, _far_end) = pmd::mem::device(pool, 1500);
/// let config = Config { addresses: vec!["10.0.0.2/24".parse()?], ..Config::default() };
/// let mut protocol = Protocol::new(&config, vec![Box::new(queue)], Box::new(Idle), [0; 32])?;
/// let mut now = Instant::ZERO;
/// while protocol.turn(now).is_busy() {}
/// now = protocol.next_deadline().unwrap_or(now);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Protocol {
    layers: Layers,
    queues: Vec<Box<dyn QueuePair>>,
    application: Option<Box<dyn Application>>,
    received: Burst,
    openings: Openings,
    transmit: Burst,
    stopping: Option<Instant>,
    left: Left,
    /// Last: orders are dropped once every socket has ended.
    _end: End,
}

/// Has a core's orders dropped when nobody follows them any more.
struct End(Arc<CoreShared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// What the last turn has left for the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Left {
    /// It found nothing to do, and there is nothing until something new happens.
    Nothing,
    Something,
}

/// Whether the device has more than one burst.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Pressed {
    No,
    Yes,
}

/// What a turn of the protocol loop did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Turn {
    /// Packets, timers, hints, orders and readiness that were handled, and connections that went on with what the device had no room for; zero for an idle turn.
    pub work: usize,
    /// The stack was stopped and everything is closed: further turns do nothing.
    pub finished: bool,
}

impl Turn {
    /// Whether another turn at once may find more to do.
    pub fn is_busy(self) -> bool {
        self.work > 0 && !self.finished
    }
}

/// Most timers, hints and calls of the application in one turn, so that packets are not kept waiting by any of them.
const BUDGET: usize = 256;

/// When a device that took no more frames is offered them again, and a lock is tried again that was taken: neither tells when
/// it has room.
const TRY_AGAIN_AFTER: Duration = Duration::from_micros(100);

/// How long after the deadline of a stop the last resets may take to leave.
const LAST_WORDS: Duration = Duration::from_millis(10);

impl Protocol {
    /// A protocol thread's work over `queues`, which belong to one device, and starts `application`.
    ///
    /// # Errors
    ///
    /// What [`Config::check`] finds wrong, no queue pair, or what `application` gives when it starts.
    pub fn new(
        config: &Config,
        queues: Vec<Box<dyn QueuePair>>,
        application: Box<dyn Application>,
        seed: [u8; 32],
    ) -> io::Result<Self> {
        let seat = Seat::alone(config, &queues, seed)?;
        Self::on_core(config, queues, Some(application), seed, seat)
    }

    pub(crate) fn on_core(
        config: &Config,
        queues: Vec<Box<dyn QueuePair>>,
        application: Option<Box<dyn Application>>,
        seed: [u8; 32],
        seat: Seat,
    ) -> io::Result<Self> {
        let end = End(seat.shared.clone());
        let layers = Layers::new(config, seed, seat);
        let openings = Openings::new(layers.frames());
        let mut protocol = Self {
            layers,
            queues,
            application,
            received: Burst::new(),
            openings,
            transmit: Burst::new(),
            stopping: None,
            left: Left::Something,
            _end: end,
        };
        let _turn = InTurn::enter(protocol.layers.shared.index);
        protocol.with_application(|application, core| application.start(core)).transpose()?;
        Ok(protocol)
    }

    /// One turn at `now`, which never goes back.
    pub fn turn(&mut self, now: Instant) -> Turn {
        let _turn = InTurn::enter(self.layers.shared.index);
        self.layers.net.now = now;
        self.layers.account.begin();
        let arrived = self.receive() + self.take_forwarded();
        // An idle core is to find out soon that it is.
        let idle = arrived == 0 && self.left == Left::Nothing && self.layers.hears_nothing();
        let work = if idle { 0 } else { self.work(arrived) };
        self.layers.account.end(work);
        self.layers.net.metrics.count(Counter::LoopTurns);
        Turn { work, finished: self.is_finished(now) }
    }

    /// All of a turn but what arrives; returns how much there was with that.
    fn work(&mut self, arrived: usize) -> usize {
        let work = arrived + self.layers.run_timers(BUDGET);
        self.layers.account.mark(Stage::Timers);
        let work = work + self.follow_orders();
        self.layers.account.mark(Stage::Orders);
        let work = work + self.layers.follow_hints(BUDGET);
        self.layers.follow_deferred();
        self.layers.account.mark(Stage::Hints);
        let work = work + self.run_application();
        self.layers.account.mark(Stage::Application);
        // What the application has just written leaves in this turn.
        let work = work + self.layers.follow_hints(BUDGET);
        self.layers.account.mark(Stage::Hints);
        let work = work + self.layers.tcp.flush(&mut self.layers.net);
        self.layers.account.mark(Stage::Flush);
        let work = work + self.loop_back();
        self.layers.account.mark(Stage::Input);
        self.transmit();
        self.layers.account.mark(Stage::Transmit);
        self.layers.net.steer.publish();
        let work = work + self.layers.net.readies.wake_all();
        let nothing = work == 0 && !self.has_refused() && self.layers.leaves_nothing();
        self.left = if nothing { Left::Nothing } else { Left::Something };
        work
    }

    /// Does at `now`, between turns, what an application may do in one. What it leads to comes with the next turn.
    pub fn with_core<T>(&mut self, now: Instant, act: impl FnOnce(&mut Core<'_>) -> T) -> T {
        let _turn = InTurn::enter(self.layers.shared.index);
        self.layers.net.now = now;
        self.left = Left::Something;
        act(&mut Core::new(&mut self.layers))
    }

    /// How a connection of this thread stands; `None` once it is over.
    pub fn connection(&mut self, control: &Control) -> Option<ConnectionInfo> {
        match control.words().target() {
            Target::Tcp(id) => self.layers.tcp.connection(self.layers.net.now, id),
            Target::Udp(_) => None,
        }
    }

    /// Whether a server has handed out a cookie, so that data can go with a SYN to it (TCP Fast Open, RFC 7413).
    pub fn knows_cookie_of(&self, server: std::net::Ipv4Addr) -> bool {
        self.layers.knows_cookie_of(server)
    }

    /// How TCP is to behave from now on, for connections that are there too. The sizes of its tables, the secrets and the congestion control of
    /// connections that send just now stay as they were.
    ///
    /// # Errors
    ///
    /// As [`TcpConfig::check`].
    pub fn set_tcp(&mut self, config: &TcpConfig) -> io::Result<()> {
        config.check()?;
        self.left = Left::Something;
        self.layers.tcp.set_config(config);
        Ok(())
    }

    /// When a turn is due though nothing arrives.
    pub fn next_deadline(&self) -> Option<Instant> {
        let net = &self.layers.net;
        let again = self.has_refused() || !self.layers.is_settled();
        let retry = again.then(|| net.now + TRY_AGAIN_AFTER);
        // A device that has taken everything has room for who waited for it.
        let more = (self.layers.tcp.has_more() && !self.has_refused()).then_some(net.now);
        [net.timers.next_deadline(), self.stopping, retry, more].into_iter().flatten().min()
    }

    /// This core's counters.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.layers.net.metrics
    }

    /// The state of this core.
    pub fn snapshot(&self) -> CoreSnapshot {
        self.layers.snapshot()
    }

    /// The application, unless it has been stopped.
    pub fn application(&mut self) -> Option<&mut (dyn Application + 'static)> {
        self.application.as_deref_mut()
    }

    /// Ends the application and closes every connection, those that linger at `deadline` by a reset. Turns go on until
    /// one is [`finished`](Turn::finished).
    pub fn stop(&mut self, deadline: Instant) {
        if self.stopping.is_none() {
            let _turn = InTurn::enter(self.layers.shared.index);
            self.with_application(|application, core| application.stop(core));
            self.application = None;
        }
        self.stopping = Some(self.stopping.map_or(deadline, |earlier| earlier.min(deadline)));
        self.left = Left::Something;
    }

    /// Whether the device did not take everything.
    fn has_refused(&self) -> bool {
        !(self.transmit.is_empty() && self.layers.net.outbox.is_empty())
    }

    fn receive(&mut self) -> usize {
        let (mut count, mut pressed) = (0, Pressed::No);
        for index in 0..self.queues.len() {
            let (received, left) = self.receive_from(index);
            count += received;
            if left == Pressed::Yes {
                pressed = Pressed::Yes;
            }
        }
        if !self.openings.is_empty() {
            count += self.take_openings(pressed);
            self.layers.account.mark(Stage::Input);
        }
        count
    }

    /// Takes a burst, and more as long as each is full and cost little. Returns how many frames that was, and whether there are more.
    #[inline]
    fn receive_from(&mut self, index: usize) -> (usize, Pressed) {
        let (mut count, mut left) = (0, Pressed::No);
        for bursts in 1..=openings::BURSTS {
            let Some(queue) = self.queues.get_mut(index) else { break };
            let received = queue.rx_burst(&mut self.received);
            self.layers.account.mark(Stage::Receive);
            left = if self.received.room() == 0 { Pressed::Yes } else { Pressed::No };
            // Most polls find nothing.
            if received == 0 {
                break;
            }
            count += received;
            let set_aside = self.take_burst(left);
            self.layers.account.mark(Stage::Input);
            // Segments of one connection in a row are as good as one.
            let one = || bursts < GATHERED_BURSTS && self.layers.tcp.has_gathered(count);
            if left == Pressed::No || !(set_aside > 0 || one()) {
                break;
            }
        }
        if count > 0 {
            self.layers.settle_gathered();
            self.layers.account.mark(Stage::Input);
        }
        (count, left)
    }

    /// Takes what was received through the layers, and leaves what TCP has gathered last. Where there is more than that SYNs are set aside; returns how many.
    fn take_burst(&mut self, pressed: Pressed) -> usize {
        let metrics = &self.layers.net.metrics;
        metrics.add(Counter::FramesReceived, self.received.len() as u64);
        metrics.add(Counter::BytesReceived, bytes(self.received.iter()));
        let mut set_aside = 0;
        if pressed == Pressed::Yes || !self.openings.is_empty() {
            let net = &self.layers.net;
            set_aside = self.openings.set_aside(net, &mut self.received);
        }
        self.layers.foresee(&self.received);
        self.received.drain().for_each(|frame| self.layers.input(frame));
        self.tell_echo_replies();
        set_aside
    }

    /// Takes SYNs that wait: so many as are worth a burst, but few while the device has more of everything else.
    fn take_openings(&mut self, pressed: Pressed) -> usize {
        let most = match pressed {
            Pressed::No => openings::AT_ONCE,
            Pressed::Yes => openings::ANYWAY,
        };
        let mut count = 0;
        while count < most
            && let Some(frame) = self.openings.pop()
        {
            self.layers.input(frame);
            count += 1;
        }
        self.layers.settle_gathered();
        count
    }

    /// Packets and news that other cores have received for this one.
    fn take_forwarded(&mut self) -> usize {
        let count = self.layers.take_forwarded(BUDGET);
        if count > 0 {
            self.tell_echo_replies();
        }
        self.layers.account.mark(Stage::Input);
        count
    }

    /// Packets from us to us go through the layers without meeting the device.
    fn loop_back(&mut self) -> usize {
        let mut count = 0;
        while count < BUDGET && self.layers.input_loopback().is_some() {
            count += 1;
        }
        if count > 0 {
            self.layers.settle_gathered();
            self.tell_echo_replies();
            self.layers.tcp.flush(&mut self.layers.net);
        }
        count
    }

    fn follow_orders(&mut self) -> usize {
        // Most turns find none.
        if !self.layers.shared.has_orders() {
            return 0;
        }
        // What an application orders while it is called comes with the next turn.
        let waiting = self.layers.shared.orders_waiting().min(BUDGET);
        let mut count = 0;
        while count < waiting
            && let Some(order) = self.layers.shared.pop_order()
        {
            count += 1;
            match order {
                Order::Wake => {
                    self.with_application(|application, core| application.woken(core));
                }
                Order::Stop(after) => self.stop(self.layers.net.now + after),
                order => self.layers.follow(order),
            }
        }
        count
    }

    fn run_application(&mut self) -> usize {
        let mut count = self.tell_claims();
        while let Some(token) = self.layers.pop_timeout() {
            self.with_application(|application, core| application.timeout(core, token));
            count += 1;
        }
        // What asks for another turn while it runs gets it in the next one.
        let ready = self.layers.net.readies.len().min(BUDGET);
        for _ in 0..ready {
            let Some((token, readiness)) = self.layers.net.readies.pop() else { break };
            self.with_application(|application, core| application.ready(core, token, readiness));
            count += 1;
        }
        count
    }

    fn tell_claims(&mut self) -> usize {
        let mut count = 0;
        while let Some(news) = self.layers.net.claims.pop_front() {
            self.with_application(|application, core| match news {
                ClaimNews::Held(address) => application.address_claimed(core, address),
                ClaimNews::Contested(address, MacAddr(station)) => {
                    application.address_conflict(core, address, station);
                }
            });
            count += 1;
        }
        count
    }

    fn tell_echo_replies(&mut self) {
        while let Some(reply) = self.layers.pop_echo_reply() {
            self.layers.settle_gathered();
            self.with_application(|application, core| application.echo_reply(core, reply));
        }
    }

    fn with_application<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Application, &mut Core<'_>) -> T,
    ) -> Option<T> {
        let application = self.application.as_deref_mut()?;
        Some(call(application, &mut Core::new(&mut self.layers)))
    }

    /// Gives the device what it takes; the rest stays in order for the next turn.
    fn transmit(&mut self) {
        let Some(queue) = self.queues.first_mut() else {
            return self.layers.net.transmit_elsewhere();
        };
        loop {
            while self.transmit.room() > 0
                && let Some(frame) = self.layers.net.outbox.pop_front()
            {
                let kept = self.transmit.push(frame);
                debug_assert!(kept.is_ok(), "room was seen");
            }
            if self.transmit.is_empty() {
                return;
            }
            let offered = bytes(self.transmit.iter());
            let sent = queue.tx_burst(&mut self.transmit);
            let metrics = &self.layers.net.metrics;
            metrics.add(Counter::FramesSent, sent as u64);
            metrics.add(Counter::BytesSent, offered - bytes(self.transmit.iter()));
            if sent == 0 {
                return;
            }
        }
    }

    fn is_finished(&mut self, now: Instant) -> bool {
        let Some(deadline) = self.stopping else { return false };
        if now >= deadline {
            self.layers.tcp.abort_all(&mut self.layers.net);
            self.transmit();
            self.layers.net.steer.publish();
        }
        let sent = self.layers.net.outbox.is_empty() && self.transmit.is_empty();
        let over = sent && self.layers.tcp.is_idle() && self.layers.net.steer.is_over();
        // Resets of other cores may be on their way to this one, which sends for them.
        over || now >= deadline + LAST_WORDS
    }
}

impl Drop for Protocol {
    fn drop(&mut self) {
        // Its sockets and listeners give their last orders.
        let _turn = InTurn::enter(self.layers.shared.index);
        self.application = None;
    }
}

fn bytes<'a>(frames: impl Iterator<Item = &'a Frame>) -> u64 {
    frames.map(|frame| frame.len() as u64).sum()
}

#[cfg(test)]
mod tests;
