//! The layers of one core, and a packet's way through them.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use darner_ring::Deferred;
use pmd::{Burst, Frame, Pool};
use rustix::io::Errno;

use super::{Account, Order};
use crate::api::{
    ConnectOptions, EchoReply, ListenOptions, Readiness, TcpListener, TcpStream, Token, UdpSocket,
};
use crate::config::{Config, invalid};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::icmp::{Message, Sent, Trouble};
use crate::ip::Datagram;
use crate::metrics::Metrics;
use crate::net::{Net, OUTBOX_RESERVE, Timer};
use crate::rng::Rng;
use crate::snapshot::{CONNECTIONS_MAX, CoreSnapshot, NeighborInfo};
use crate::socket::options::Change;
use crate::socket::readiness::Source;
use crate::socket::{CoreShared, Hints, Inbox, ListenerShared, Part, Target, Told};
use crate::steer::{Forwarded, Seat};
use crate::tcp::{Settled, Tcp};
use crate::time::Instant;
use crate::timer::Moves;
use crate::udp::Udp;
use crate::wire::icmpv4::{IcmpHeader, Unreachable};
use crate::wire::ipv4::protocol;

/// Everything below the application.
pub(crate) struct Layers {
    pub(crate) udp: Udp,
    pub(crate) tcp: Tcp,
    /// After the sockets: pollers are told of their end once it has come.
    pub(crate) net: Net,
    pub(crate) shared: Arc<CoreShared>,
    /// Hints of all threads.
    inbox: Inbox,
    /// Options to be set that a thread was in the way of.
    deferred: Vec<(Target, Change)>,
    settled: Settled,
    pool: Pool,
    /// Timers of the application that have run out.
    timeouts: VecDeque<Token>,
    /// Answers to its pings.
    echo_replies: VecDeque<EchoReply>,
    /// Room for what other cores have forwarded; empty between turns.
    forwarded: Vec<Forwarded>,
    pub(super) account: Account,
}

impl Layers {
    pub(crate) fn new(config: &Config, seed: [u8; 32], seat: Seat) -> Self {
        let Seat { shared, steer, device } = seat;
        let mut rng = Rng::new(seed);
        let udp = Udp::new(config.udp_queue, &mut rng);
        let tcp = Tcp::new(&config.tcp, shared.clone(), &mut rng);
        let metrics = Arc::new(Metrics::new());
        Self {
            net: Net::new(&config.net(), &device, Instant::ZERO, rng, metrics, steer),
            udp,
            tcp,
            shared,
            inbox: Inbox::default(),
            deferred: Vec::new(),
            settled: Settled::Everything,
            pool: device.pool,
            timeouts: VecDeque::new(),
            echo_replies: VecDeque::new(),
            forwarded: Vec::new(),
            account: Account::start(),
        }
    }

    /// This core's part of the device's frames.
    pub(super) fn frames(&self) -> usize {
        self.pool.capacity() / self.net.steer.steering().cores().max(1)
    }

    /// A burst is about to be taken in.
    pub(super) fn foresee(&mut self, burst: &Burst) {
        self.tcp.foresee(&self.net.interface.link, burst);
    }

    /// Takes a frame from the device through the layers. The one place where a dropped packet is counted, but for what TCP has gathered of those before it.
    pub(super) fn input(&mut self, frame: Frame) {
        let frame = match self.tcp.gather_at_a_glance(&mut self.net, frame) {
            Ok(()) => return self.settle(Ok(())),
            Err(frame) => frame,
        };
        let taken = match self.net.input(frame) {
            Ok(Some(datagram)) => self.deliver(datagram),
            Ok(None) => Ok(()),
            Err(drop) => Err(drop),
        };
        self.settle(taken);
    }

    /// Takes one packet that we sent to ourselves. `None` when there is none.
    pub(super) fn input_loopback(&mut self) -> Option<()> {
        let taken = match self.net.loopback_input()? {
            Ok(Some(datagram)) => self.deliver(datagram),
            Ok(None) => Ok(()),
            Err(drop) => Err(drop),
        };
        self.settle(taken);
        Some(())
    }

    fn deliver(&mut self, datagram: Datagram) -> Result<(), Drop> {
        if datagram.protocol == protocol::TCP {
            return self.tcp.input(&mut self.net, datagram);
        }
        self.settle_gathered();
        match datagram.protocol {
            protocol::UDP => self.udp.input(&mut self.net, datagram),
            protocol::ICMP => match self.net.icmp_input(datagram)? {
                Some(Message::EchoReply(reply)) => {
                    let reply = told(&reply);
                    self.net.tell_echo_reply(reply);
                    self.echo_reply(reply);
                    Ok(())
                }
                Some(Message::Trouble(trouble)) => self.trouble(trouble),
                None => Ok(()),
            },
            _ => {
                let unreachable = IcmpHeader::DestinationUnreachable(Unreachable::Protocol);
                self.net.send_icmp_error(&datagram.frame, unreachable)?;
                Err(Drop::IpProtocol)
            }
        }
    }

    /// Tells the socket that sent it, on whatever core, what became of a packet.
    fn trouble(&mut self, trouble: Trouble) -> Result<(), Drop> {
        match self.sent_elsewhere(&trouble.sent) {
            Some(core) => self.net.forward(core, Forwarded::Trouble(trouble)),
            None => self.trouble_here(trouble),
        }
    }

    fn sent_elsewhere(&mut self, sent: &Sent) -> Option<usize> {
        match sent {
            Sent::Tcp { flow, .. } if !self.tcp.has(flow) => self.net.steer.elsewhere(flow),
            Sent::Udp { flow } => {
                let local = SocketAddrV4::new(flow.local, flow.local_port);
                let peer = SocketAddrV4::new(flow.remote, flow.remote_port);
                let elsewhere = self.net.steer.socket_elsewhere(local)?;
                (!self.udp.has(local, peer)).then_some(elsewhere)
            }
            _ => None,
        }
    }

    fn trouble_here(&mut self, Trouble { sent, error }: Trouble) -> Result<(), Drop> {
        match sent {
            Sent::Tcp { flow, seq } => self.tcp.icmp_error(&mut self.net, &flow, seq, error),
            Sent::Udp { flow } => self.udp.icmp_error(&mut self.net, flow, error),
            // A ping that is not answered says as much.
            Sent::Echo { .. } => Ok(()),
        }
    }

    fn settle(&mut self, taken: Result<(), Drop>) {
        if let Err(drop) = taken {
            self.net.metrics.count_drop(drop);
        }
        if !self.net.troubles.is_empty() {
            self.settle_gathered();
            self.tell_troubles();
        }
    }

    /// What TCP has gathered reaches its connection: behind the bursts that are taken together, and before anything else happens to any.
    pub(super) fn settle_gathered(&mut self) {
        if let Err(drop) = self.tcp.settle_gathered(&mut self.net) {
            self.net.metrics.count_drop(drop);
        }
    }

    fn tell_troubles(&mut self) {
        while let Some(trouble) = self.net.troubles.pop_front() {
            if let Err(drop) = self.trouble(trouble) {
                self.net.metrics.count_drop(drop);
            }
        }
    }

    fn echo_reply(&mut self, reply: EchoReply) {
        if self.echo_replies.len() < ECHO_REPLIES_MAX {
            self.echo_replies.push_back(reply);
        }
    }

    /// Takes what other cores have forwarded, at most `limit` from each; returns how much it was.
    pub(super) fn take_forwarded(&mut self, limit: usize) -> usize {
        if self.net.steer.is_alone() {
            return 0;
        }
        let mut batch = std::mem::take(&mut self.forwarded);
        self.net.steer.take(&mut batch, limit);
        let count = batch.len();
        if count > 0 {
            self.net.metrics.add(Counter::ForwardedIn, count as u64);
            for item in batch.drain(..) {
                let taken = self.forwarded(item);
                self.settle(taken);
            }
            self.settle_gathered();
        }
        self.forwarded = batch;
        count
    }

    /// Takes what another core has forwarded to this one, whose it is. Only a datagram that was put together here is a new
    /// packet, and may turn out to be somebody else's.
    fn forwarded(&mut self, item: Forwarded) -> Result<(), Drop> {
        self.settle_gathered();
        match item {
            Forwarded::Arp(packet) => self.net.arp_heard_elsewhere(&packet),
            Forwarded::Datagram(datagram) => self.udp.input_forwarded(&mut self.net, datagram)?,
            Forwarded::EchoReply(reply) => self.echo_reply(reply),
            Forwarded::Fragment(fragment) => {
                if let Some(whole) = self.net.put_together(fragment)? {
                    self.deliver(whole)?;
                }
            }
            Forwarded::Segment(stray) => self.tcp.input_stray(&mut self.net, stray)?,
            Forwarded::Transmit(frame) => self.net.transmit(frame)?,
            Forwarded::Trouble(trouble) => self.trouble_here(trouble)?,
        }
        Ok(())
    }

    /// Runs the timers that are due; returns how many there were.
    pub(super) fn run_timers(&mut self, budget: usize) -> usize {
        let (mut count, mut moves) = (0, Moves::default());
        // Thousands may be due at once, each with a segment to send: what the device does not take yet would be dropped. Some run however full the
        // outbox is: a device that is stuck, or a flood that is answered, must not stop time.
        while count < budget
            && (count < TIMERS_ANYWAY || self.net.outbox_room() > OUTBOX_RESERVE / 2)
            && let Some((_, timer)) = self.net.timers.pop_due_within(self.net.now, &mut moves)
        {
            count += 1;
            if let Some(&Timer::Tcp(next)) = self.net.timers.next_up() {
                self.tcp.foresee_timer(next);
            }
            match timer {
                Timer::Tcp(timer) => self.tcp.timer(&mut self.net, timer),
                Timer::Application(token) => self.timeouts.push_back(token),
                Timer::Neighbors => self.net.neighbors_timeout(),
                Timer::Reassembly(index) => self.net.reassembly_timeout(index),
            }
        }
        if count > 0 {
            self.settle(Ok(()));
        }
        count
    }

    /// Looks at the sockets that hinted; returns how many there were.
    pub(super) fn follow_hints(&mut self, budget: usize) -> usize {
        let Self { inbox, net, shared, tcp, udp, .. } = self;
        inbox.take(shared, budget, |hint| {
            tcp.follow_hint(net, hint);
            udp.follow_hint(net, hint);
        })
    }

    /// Tries once more what other threads were in the way of. Whoever holds a control lock hints when he lets it go; a thread
    /// that accepts does not, so there the next turn must come soon.
    pub(super) fn follow_deferred(&mut self) {
        if !self.deferred.is_empty() {
            for (target, change) in std::mem::take(&mut self.deferred) {
                self.change(target, change);
            }
        }
        self.settled = self.tcp.settle_listeners(&mut self.net);
    }

    /// Whether no timer is due, no order was given, and nobody hints: what can come up between turns.
    pub(super) fn hears_nothing(&mut self) -> bool {
        !self.net.timers.is_due(self.net.now)
            && !self.shared.has_orders()
            && self.inbox.is_silent(&self.shared)
    }

    /// Whether a turn that found nothing to do has left nothing to do either.
    pub(super) fn leaves_nothing(&self) -> bool {
        self.is_settled()
            && self.deferred.is_empty()
            && self.net.readies.is_empty()
            && self.tcp.leaves_nothing()
    }

    /// Whether a turn is due soon though nothing arrives.
    pub(super) fn is_settled(&self) -> bool {
        self.settled == Settled::Everything
    }

    /// Follows an order, those that concern the application aside.
    pub(super) fn follow(&mut self, order: Order) {
        match order {
            Order::OpenMailbox(slot, hints) => self.inbox.open(slot, hints),
            Order::CloseMailbox(slot) => self.inbox.close(&self.shared, slot),
            Order::OpenPoller(slot, end) => self.net.readies.open_poller(slot, end),
            Order::ClosePoller(slot) => {
                self.net.readies.close_poller(slot);
                self.shared.release_poller(slot);
            }
            Order::Attach { target, part, told } => self.attach(target, part, told),
            Order::AttachListener(listener, told) => {
                self.tcp.attach_listener(&mut self.net.readies, &listener, told);
            }
            Order::Change(target, change) => self.change(target, change),
            Order::SetBuffers { target: Target::Tcp(id), receive, send } => {
                self.tcp.set_buffers(&mut self.net, id, (receive, send));
            }
            Order::ChangeKeys(Target::Tcp(id), change) => {
                self.tcp.change_keys(&mut self.net, id, &change);
            }
            Order::SetListenerKeys(listener, keys) => {
                self.tcp.set_listener_keys(&listener, keys);
            }
            Order::Listen(listener, answer) => {
                let listening = self.tcp.listen(&self.net, listener).map_err(io::Error::from);
                let _ = answer.try_send(listening);
            }
            Order::Announce(listener) => {
                self.tcp.announce_listener(&mut self.net.readies, &listener);
            }
            Order::Unlisten(listener) => self.tcp.unlisten(&mut self.net.readies, &listener),
            Order::Connect { local, remote, options, answer } => {
                let _ = answer.try_send(self.connect(local, remote, &options));
            }
            Order::ConnectWithData { local, remote, options, data, answer } => {
                let _ = answer.try_send(self.connect_with_data(local, remote, &options, &data));
            }
            Order::BindUdp(local, answer) => {
                let _ = answer.try_send(self.bind_udp_for_all(local));
            }
            Order::Settle(answer) => {
                self.follow_hints(usize::MAX);
                let _ = answer.try_send(Ok(()));
            }
            Order::CountSkipped => self.net.metrics.count(Counter::TcpAcceptSkipped),
            Order::ConnectUdp(id, peer) => self.udp.connect(id, peer),
            Order::SocketHome(local, core, answer) => {
                self.net.steer.socket_opened(local, core);
                let _ = answer.try_send(Ok(()));
            }
            Order::SocketGone(local, core) => self.net.steer.socket_closed(local, core),
            Order::Snapshot(answer) => {
                let _ = answer.try_send(self.snapshot());
            }
            Order::SetBuffers { target: Target::Udp(_), .. }
            | Order::ChangeKeys(Target::Udp(_), _)
            | Order::Wake
            | Order::Stop(_) => {}
        }
    }

    /// From now on readiness of a socket is told to `told`. A poller of one that is gone finds that out at once.
    fn attach(&mut self, target: Target, part: Part, told: Told) {
        let readies = &mut self.net.readies;
        match target {
            Target::Tcp(id) => {
                if let Some(socket) = self.tcp.socket(id) {
                    return socket.attach(readies, part, told);
                }
            }
            Target::Udp(id) => {
                if let Some(endpoint) = self.udp.endpoint(id) {
                    return endpoint.attach(readies, part, told);
                }
            }
        }
        if let Told::Poller(key) = told {
            readies.tell(key);
        }
    }

    /// From now on the application on this core is told of one of its sockets under `token`.
    pub(crate) fn attach_socket_application(&mut self, target: Target, token: Token) {
        let readies = &mut self.net.readies;
        match target {
            Target::Tcp(id) => {
                if let Some(socket) = self.tcp.socket(id) {
                    socket.attach_application(readies, token);
                } else {
                    // It is over already: every call tells something.
                    let told = Readiness::READABLE | Readiness::WRITABLE | Readiness::CLOSED;
                    readies.push(Source::Again(token, told));
                }
            }
            Target::Udp(id) => {
                if let Some(endpoint) = self.udp.endpoint(id) {
                    endpoint.attach_application(readies, token);
                }
            }
        }
    }

    /// From now on the application on this core is told of one of its listeners under `token`.
    pub(crate) fn attach_listener_application(
        &mut self,
        listener: &Arc<ListenerShared>,
        token: Token,
    ) {
        self.tcp.attach_listener_application(&mut self.net.readies, listener, token);
    }

    /// Sets an option, unless a thread is inside the control lock: then in the next turn.
    fn change(&mut self, target: Target, change: Change) {
        let Target::Tcp(id) = target else { return };
        let Some(socket) = self.tcp.socket(id) else { return };
        let mut spare = change.memory();
        match socket.words.try_control(|state| change.apply(state, &mut spare)) {
            Ok(()) => socket.words.hint(Hints::CONTROL),
            Err(Deferred) => {
                self.net.metrics.count(Counter::ControlDeferrals);
                self.deferred.push((target, change));
            }
        }
    }

    pub(super) fn snapshot(&self) -> CoreSnapshot {
        CoreSnapshot {
            core: self.shared.index,
            uptime: self.net.now.since(Instant::ZERO),
            connections: self.tcp.connections(self.net.now).take(CONNECTIONS_MAX).collect(),
            connection_count: self.tcp.connection_count(),
            buffered: self.tcp.buffered(),
            memory_pressure: self.tcp.memory_pressure(),
            counters: self.net.metrics.counters(),
            #[cfg(feature = "cycles")]
            cycles: self.account.cycles(),
            neighbors: self.net.neighbors().map(NeighborInfo::from).collect(),
        }
    }

    /// Listens on this core alone.
    pub(crate) fn listen_here(
        &mut self,
        address: SocketAddrV4,
        options: ListenOptions,
        token: Token,
    ) -> io::Result<TcpListener> {
        if address.port() == 0 {
            return Err(invalid("a listener needs a port other than 0".to_owned()));
        }
        // One shard for each core up to this one: its children are found by the core's number.
        let listener = ListenerShared::new(address.into(), options, self.shared.index + 1);
        self.tcp.listen(&self.net, listener.clone()).map_err(io::Error::from)?;
        self.attach_listener_application(&listener, token);
        Ok(TcpListener::new(listener, vec![self.shared.clone()]))
    }

    /// Begins to connect, from `local` if that is given; its port may be zero for any.
    pub(crate) fn connect(
        &mut self,
        local: Option<SocketAddrV4>,
        remote: SocketAddrV4,
        options: &ConnectOptions,
    ) -> io::Result<TcpStream> {
        self.tcp.connect_with(&mut self.net, local, remote, options).map_err(io::Error::from)
    }

    /// Whether data can go with a SYN to this server.
    pub(crate) fn knows_cookie_of(&self, server: Ipv4Addr) -> bool {
        self.tcp.knows_cookie_of(server)
    }

    /// The same, with the beginning of `data` on the SYN if that can be. Returns how many bytes that was.
    pub(crate) fn connect_with_data(
        &mut self,
        local: Option<SocketAddrV4>,
        remote: SocketAddrV4,
        options: &ConnectOptions,
        data: &[u8],
    ) -> io::Result<(TcpStream, usize)> {
        let opened = self.tcp.connect_with_data(&mut self.net, local, remote, options, data);
        opened.map_err(io::Error::from)
    }

    /// Opens a UDP socket that hears what comes to any core. Whoever asks for it tells the others.
    fn bind_udp_for_all(&mut self, local: SocketAddrV4) -> io::Result<UdpSocket> {
        if self.net.steer.has_socket(local) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let socket = self.bind_udp(local)?;
        self.net.steer.socket_opened(socket.local(), self.shared.index);
        Ok(socket)
    }

    /// Opens a UDP socket that hears what comes to this core.
    pub(crate) fn bind_udp(&mut self, local: SocketAddrV4) -> io::Result<UdpSocket> {
        self.udp.bind(&mut self.net, &self.shared, &self.pool, local)
    }

    pub(crate) fn set_timer(&mut self, after: Duration, token: Token) {
        let at = self.net.now + after;
        self.net.timers.insert(at, Timer::Application(token));
    }

    pub(crate) fn ping(
        &mut self,
        to: Ipv4Addr,
        identifier: u16,
        sequence: u16,
        len: usize,
    ) -> io::Result<()> {
        if len > PING_MAX {
            return Err(Errno::MSGSIZE.into());
        }
        let data = self.ping_data(len).ok_or(io::ErrorKind::WouldBlock)?;
        self.net.hear_echo_replies();
        self.net.send_echo_request(to, identifier, sequence, data).map_err(|drop| match drop {
            Drop::IpNoRoute => Errno::NETUNREACH.into(),
            _ => io::ErrorKind::WouldBlock.into(),
        })
    }

    /// Bytes that count up, in as many segments as it takes.
    fn ping_data(&self, len: usize) -> Option<Frame> {
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
        self.pool.frame_of(&bytes)
    }

    pub(super) fn pop_timeout(&mut self) -> Option<Token> {
        self.timeouts.pop_front()
    }

    pub(super) fn pop_echo_reply(&mut self) -> Option<EchoReply> {
        self.echo_replies.pop_front()
    }
}

fn told(reply: &crate::icmp::EchoReply) -> EchoReply {
    EchoReply {
        from: reply.from,
        identifier: reply.identifier,
        sequence: reply.sequence,
        ttl: reply.ttl,
        len: reply.data.len(),
    }
}

/// Longest payload of an echo request: 65,535 bytes less both headers.
const PING_MAX: usize = 65_507;

/// Timers that run in a turn in any case.
const TIMERS_ANYWAY: usize = 16;

/// Answers that wait for the application in one burst; further ones are as good as lost.
const ECHO_REPLIES_MAX: usize = 1024;
