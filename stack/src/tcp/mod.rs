//! TCP (RFC 9293): one file per step of the RFC or per algorithm.
//!
//! A segment's way: [`input`] finds whom it is for, [`segment`] is what it says, [`arrive`] takes it through the steps of
//! section 3.10.7: [`ack`], [`urgent`], [`receive`], and [`connect`], [`listen`] or [`syn_received`] while a connection is being made. What is to be sent
//! waits for the end of the turn, when [`transmit`] decides how much of it goes and [`emit`] makes frames of it.

mod ack;
mod arrive;
mod auth;
mod autotune;
mod challenge;
mod close;
mod compact;
mod config;
pub(crate) mod congestion;
mod connect;
mod connection;
mod cork;
mod ecn;
mod emit;
mod fast_open;
mod flows;
mod foresee;
mod gather;
mod half_open;
mod icmp;
mod info;
mod input;
mod isn;
mod keepalive;
mod late;
mod listen;
mod listeners;
mod low_water;
mod memory;
mod open;
mod path_mtu;
mod persist;
mod predict;
mod pressure;
mod profile;
mod push;
mod rare;
mod reassembly;
mod receive;
mod recover;
mod reset;
mod retransmit;
mod rtt;
mod sack;
mod segment;
mod segment_size;
mod sender;
pub(crate) mod seq;
mod shares;
mod source_port;
mod state;
mod stateless;
mod syn_ack;
mod syn_cookie;
mod syn_received;
mod time_wait;
mod train;
mod transmit;
mod urgent;
mod user_timeout;
mod window;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod host;
#[cfg(test)]
mod packetimpact;
#[cfg(test)]
mod pair;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod states;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::api::Readiness;
use crate::demux::{FlowHash, FlowKey4};
use crate::net::Net;
use crate::rng::Rng;
use crate::socket::{CoreShared, Failure, Hint, SocketId, Target, TcpSocket};
use crate::table::Table;
use crate::time::Instant;
use auth::LateAuths;
use autotune::Sizing;
use challenge::Challenges;
use connection::{Connection, Context, Deadlines, Owed, WheelEntry};
use fast_open::{CookieKey, Cookies};
use flows::Flows;
use foresee::Foreseen;
pub(crate) use gather::BURSTS as GATHERED_BURSTS;
use gather::Gathered;
use half_open::HalfOpenTable;
use isn::Isn;
use listeners::Listeners;
pub(crate) use listeners::Settled;
use memory::Memory;
use source_port::SourcePorts;
use state::State;
use syn_cookie::SynCookies;
use time_wait::TimeWaitTable;
use transmit::Rest;

pub use crate::wire::tcp_options::OptionOrder;
pub(crate) use auth::KeyChange;
pub use auth::{BadTcpKey, TcpAoAlgorithm, TcpAoKey, TcpAoOptions, TcpKeys, TcpMd5Key};
pub use config::{
    CookiePolicy, EcnPolicy, ErrorMapping, FastOpenConfig, MtuProbing, Pacing, PushRule, TcpConfig,
};
pub use congestion::algorithm::{Algorithm, UnknownAlgorithm};
pub use info::{ConnectionInfo, EcnCounts, RecoveryPhase};
pub(crate) use input::Stray;
pub use pressure::MemoryPressure;
pub use profile::{Profile, UnknownProfile};
pub use state::State as TcpState;

/// TCP of one core: its connections, and how they are found.
pub(crate) struct Tcp {
    config: TcpConfig,
    core: Arc<CoreShared>,
    connections: Table<Connection>,
    flows: Flows,
    listeners: Listeners,
    half_open: HalfOpenTable<FlowKey4>,
    half_open_timer: WheelEntry,
    syn_cookies: SynCookies,
    time_wait: TimeWaitTable<FlowKey4>,
    time_wait_timer: WheelEntry,
    late_auths: LateAuths,
    isn: Isn,
    source_ports: SourcePorts,
    fast_open_key: CookieKey,
    cookies: Cookies,
    challenges: Challenges,
    memory: Memory,
    /// Connections that something has happened to in this turn.
    dirty: Vec<SocketId>,
    /// Connections that the device keeps from sending more, in the order in which they go on.
    waiting: VecDeque<SocketId>,
    gathered: Gathered,
    foreseen: Foreseen,
    #[cfg(test)]
    prediction: predict::Prediction,
}

/// What a timer of TCP is for. It may go off before its time, and is then armed again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Timer {
    /// The earliest deadline of a connection.
    Connection(SocketId),
    /// The next SYN-ACK to be sent again.
    HalfOpen,
    /// The next end of a TIME-WAIT.
    TimeWait,
}

impl Tcp {
    pub(crate) fn new(config: &TcpConfig, core: Arc<CoreShared>, rng: &mut Rng) -> Self {
        let mut secret = || [rng.next_u64(), rng.next_u64()];
        let (hash, [a, b], [c, d]) = (FlowHash::new(secret()), secret(), secret());
        let index = core.index;
        Self {
            config: config.clone(),
            core,
            connections: Table::new(config.max_connections),
            flows: Flows::new(hash.clone()),
            listeners: Listeners::new(hash.clone(), index),
            half_open: HalfOpenTable::new(
                hash.clone(),
                config.half_open_limits(),
                config.syn_ack_retries,
                config.initial_rto,
                config.max_rto,
            ),
            half_open_timer: WheelEntry::NONE,
            syn_cookies: SynCookies::new(),
            time_wait: TimeWaitTable::new(hash.clone(), config.max_time_wait, config.time_wait),
            time_wait_timer: WheelEntry::NONE,
            late_auths: LateAuths::new(hash),
            isn: Isn::new([a, b, c, d]),
            source_ports: SourcePorts::new(rng),
            fast_open_key: CookieKey::new(config.fast_open.key, [c, d]),
            cookies: Cookies::default(),
            challenges: Challenges::new(config.challenge_acks),
            memory: Memory::new(config.max_buffered),
            dirty: Vec::new(),
            waiting: VecDeque::new(),
            gathered: Gathered::default(),
            foreseen: Foreseen::default(),
            #[cfg(test)]
            prediction: predict::Prediction::On,
        }
    }

    /// From now on it behaves so; tables and secrets stay.
    pub(crate) fn set_config(&mut self, config: &TcpConfig) {
        self.config = config.clone();
    }

    /// Asks for the memory that a timer will need.
    pub(crate) fn foresee_timer(&self, timer: Timer) {
        if let Timer::Connection(id) = timer {
            self.connections.prefetch(id.index);
        }
    }

    /// A timer has gone off.
    pub(crate) fn timer(&mut self, net: &mut Net, timer: Timer) {
        match timer {
            Timer::Connection(id) => {
                let Some(connection) = self.connections.get_mut(id) else { return };
                connection.wheel = WheelEntry::NONE;
                let earliest = connection.deadlines.earliest();
                if earliest > net.now {
                    // It was for a deadline that has moved: of a busy connection nearly every one has.
                    return connection.wheel.arm(net, earliest, timer);
                }
                self.with_connection(net, id, Connection::deadlines_due);
            }
            Timer::HalfOpen => self.half_open_due(net),
            Timer::TimeWait => self.time_wait_due(net),
        }
    }

    /// The application may have changed something about a socket.
    fn hint(&mut self, net: &mut Net, id: SocketId) {
        self.with_connection(net, id, Connection::look_at_application);
    }

    /// Follows a hint, if it is about a connection.
    pub(crate) fn follow_hint(&mut self, net: &mut Net, hint: Hint) {
        let id = match hint {
            Hint::Socket(Target::Tcp(id)) => Some(id),
            Hint::TcpPlace(index) => self.connections.id_at(index),
            Hint::Socket(Target::Udp(_)) | Hint::UdpPlace(_) => None,
        };
        if let Some(id) = id {
            self.hint(net, id);
        }
    }

    /// What the application is told through, if the connection is there.
    pub(crate) fn socket(&mut self, id: SocketId) -> Option<&mut TcpSocket> {
        self.connections.get_mut(id).map(|connection| &mut connection.socket)
    }

    /// The application wants other limits, which stay as they are from now on. Less than is buffered loses nothing.
    pub(crate) fn set_buffers(
        &mut self,
        net: &mut Net,
        id: SocketId,
        (receive, send): (Option<usize>, Option<usize>),
    ) {
        self.with_connection(net, id, |connection, cx| {
            if let Some(limit) = receive {
                connection.socket.receive.set_limit(limit);
                connection.rcv.sizing = Sizing::Fixed;
            }
            if let Some(limit) = send {
                connection.set_send_buffer(limit);
                connection.snd.sizing = Sizing::Fixed;
                connection.take_options(cx);
                connection.socket.raise(&mut cx.net.readies, Readiness::WRITABLE);
            }
        });
    }

    /// The end of a turn: every connection that something has happened to sends what it may, once, and before them, as far as the device has room, those that it kept
    /// from sending more. Returns how many of these there were.
    pub(crate) fn flush(&mut self, net: &mut Net) -> usize {
        self.count_memory_again(net);
        net.begin_flush();
        let mut went_on = 0;
        for _ in 0..self.waiting.len() {
            if net.backlog_room() == 0 {
                break;
            }
            let Some(id) = self.waiting.pop_front() else { break };
            went_on += 1;
            self.flush_one(net, id, |connection| connection.waits = false);
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        for id in dirty.drain(..) {
            self.flush_one(net, id, |connection| connection.listed = false);
        }
        self.dirty = dirty;
        went_on
    }

    /// A connection, which `unlist` takes off the list that it was on, sends what it may.
    #[inline]
    fn flush_one(&mut self, net: &mut Net, id: SocketId, unlist: impl FnOnce(&mut Connection)) {
        let Some((connection, mut cx)) = self.borrow(net, id) else { return };
        unlist(connection);
        let rest = connection.transmit(&mut cx);
        let earliest = connection.deadlines.earliest();
        connection.wheel.arm(cx.net, earliest, Timer::Connection(id));
        if rest == Rest::More && !std::mem::replace(&mut connection.waits, true) {
            self.waiting.push_back(id);
        }
    }

    /// Whether the next flush finds connections that have something to do, as after one in which the device kept them from sending more.
    pub(crate) fn has_more(&self) -> bool {
        !(self.dirty.is_empty() && self.waiting.is_empty())
    }

    /// Whether the next flush finds nothing unless something happens.
    pub(crate) fn leaves_nothing(&self) -> bool {
        !self.has_more() && self.memory.is_counted()
    }

    /// Resets everything: the stack stops.
    pub(crate) fn abort_all(&mut self, net: &mut Net) {
        let ids: Vec<SocketId> = self.connections.ids().collect();
        for id in ids {
            self.with_connection(net, id, |connection, cx| {
                connection.abort_for(cx, Failure::StackStopped);
            });
        }
    }

    /// Whether no connection is left; those in TIME-WAIT need nobody.
    pub(crate) fn is_idle(&self) -> bool {
        self.connections.len() == 0
    }

    /// Every connection that has a socket.
    pub(crate) fn connections(&self, now: Instant) -> impl Iterator<Item = ConnectionInfo> {
        self.connections.iter().map(move |connection| connection.info(&self.config, now))
    }

    pub(crate) fn connection(&mut self, now: Instant, id: SocketId) -> Option<ConnectionInfo> {
        self.connections.get_mut(id).map(|connection| connection.info(&self.config, now))
    }

    pub(crate) fn connection_count(&self) -> usize {
        self.connections.len()
    }

    /// Does something to a connection and then what follows from its state. `None` if the connection is gone.
    fn with_connection<T>(
        &mut self,
        net: &mut Net,
        id: SocketId,
        act: impl FnOnce(&mut Connection, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let (connection, mut cx) = self.borrow(net, id)?;
        let result = act(connection, &mut cx);
        connection.watch_fin_wait_2(&mut cx);
        connection.count_memory(&mut cx);
        match connection.state {
            State::Closed => self.remove(net, id),
            State::TimeWait => self.enter_time_wait(net, id),
            _ if connection.listed => {}
            _ => {
                connection.listed = true;
                self.dirty.push(id);
            }
        }
        Some(result)
    }

    /// The connection of a flow.
    fn find(&mut self, flow: &FlowKey4) -> Option<SocketId> {
        self.connections.id_at(self.flows.find(&self.connections, flow)?)
    }

    /// A connection, and what its handlers need beside it.
    fn borrow<'a>(
        &'a mut self,
        net: &'a mut Net,
        id: SocketId,
    ) -> Option<(&'a mut Connection, Context<'a>)> {
        let Self { connections, config, challenges, memory, cookies, .. } = self;
        let connection = connections.get_mut(id)?;
        Some((connection, Context { net, config, challenges, memory, cookies }))
    }

    /// The last segment of a connection that is over here; the table of those in TIME-WAIT answers from now on.
    fn enter_time_wait(&mut self, net: &mut Net, id: SocketId) {
        let Some((connection, mut cx)) = self.borrow(net, id) else { return };
        if connection.ack.owed != Owed::Nothing {
            // If no frame is to be had, the peer asks again.
            connection.send_ack(&mut cx);
        }
        self.wait_out(net, id);
        self.remove(net, id);
    }

    fn remove(&mut self, net: &mut Net, id: SocketId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.release_memory(&mut self.memory);
        connection.socket.words.tell_gone(&mut net.readies);
        if let Some(key) = connection.wheel.key {
            net.timers.cancel(key);
        }
        let flow = connection.flow;
        self.flows.remove(&self.connections, &flow, id.index);
        self.connections.discard(id);
    }
}

impl Connection {
    /// Some deadline has come, or had been moved meanwhile.
    fn deadlines_due(&mut self, cx: &mut Context<'_>) {
        let now = cx.now();
        if Deadlines::take(&mut self.deadlines.retry, now) && !self.state.is_synchronized() {
            self.send_syn(cx);
        }
        if Deadlines::take(&mut self.deadlines.delayed_ack, now) {
            self.delayed_ack_due(cx);
        }
        if Deadlines::take(&mut self.deadlines.fin_wait_2, now) {
            self.fin_wait_2_due();
        }
        if self.state != State::Closed && Deadlines::take(&mut self.deadlines.give_up, now) {
            self.user_timeout_due(cx);
        }
        if self.state != State::Closed && Deadlines::take(&mut self.deadlines.keepalive, now) {
            self.keepalive_due(cx);
        }
        if self.state != State::Closed && Deadlines::take(&mut self.deadlines.probe, now) {
            self.probe_due(cx);
        }
        if self.state != State::Closed && Deadlines::take(&mut self.deadlines.retransmit, now) {
            self.retransmission_timeout(cx);
        }
        if Deadlines::take(&mut self.deadlines.rest, now) {
            self.rest_due(now);
        }
    }
}
