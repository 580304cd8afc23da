//! Connections between the end of their handshake and whoever accepts them (D-6; C-33, C-34, R-19, R-20, R-22, R-23, R-24,
//! decision 5).

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::sync::Arc;

use darner_ring::spsc::queue;
use proptest::prelude::*;

use super::said;
use crate::api::{ListenOptions, Overflow, Readiness, Sharing, TcpListener, TcpStream, Token};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::protocol::Order;
use crate::socket::{ListenerShared, Part, PollerEnd, PollerKey, PollerShared, Target, Told};
use crate::tcp::harness::{Harness, OUR_PORT, US, pattern};

/// Another listener at our address.
fn listen(t: &mut Harness, options: ListenOptions) -> Arc<ListenerShared> {
    let listener = ListenerShared::new((US, OUR_PORT).into(), options, 1);
    t.tcp.listen(&t.net, listener.clone()).unwrap();
    listener
}

fn listening(options: ListenOptions) -> (Harness, Arc<ListenerShared>, TcpListener) {
    let mut t = Harness::new(&Harness::plain());
    let shared = listen(&mut t, options);
    let listener = TcpListener::new(shared.clone(), vec![t.core.clone()]);
    (t, shared, listener)
}

/// The peer's whole handshake from one of its ports.
fn connect(t: &mut Harness, port: u16) -> Result<(), Drop> {
    t.peer_port = port;
    t.input("S 0").unwrap();
    t.sent();
    t.input("A 1 ack 1")
}

fn accepted(listener: &TcpListener) -> String {
    said(listener.accept().map(|(_, peer)| peer.port()))
}

/// Segments with this flag among what was sent.
fn count_sent(t: &mut Harness, flag: char) -> usize {
    t.sent().iter().filter(|text| text.split(' ').next().unwrap().contains(flag)).count()
}

#[test]
fn a_full_backlog_leaves_a_handshake_for_later_or_resets_it() {
    for overflow in [Overflow::Ignore, Overflow::Reset] {
        let (mut t, shared, listener) =
            listening(ListenOptions { backlog: 1, overflow, ..ListenOptions::default() });
        connect(&mut t, 1).unwrap();
        assert_eq!(connect(&mut t, 2), Err(Drop::TcpListenOverflow));
        // The peer believes that it is connected, and may send at once.
        assert_eq!(shared.counts(), (1, 1));
        match overflow {
            Overflow::Reset => {
                assert_eq!(t.sent(), ["R 1"]);
                assert_eq!(t.tcp.half_open.len(), 0);
                assert_eq!(t.input("PA 1+10 ack 1"), Err(Drop::TcpAckUnacceptable));
            }
            Overflow::Ignore => {
                assert_eq!(t.sent(), [""; 0]);
                assert_eq!(t.input("PA 1+10 ack 1"), Err(Drop::TcpListenOverflow));
                assert_eq!(accepted(&listener), "1");
                // What the peer sends again completes what could not be before.
                t.input("FPA 1+10 ack 1").unwrap();
                let (mut stream, peer) = listener.accept().unwrap();
                assert_eq!((peer.port(), said(stream.read(&mut [0; 99]))), (2, "10".into()));
                assert_eq!(said(stream.read(&mut [0; 99])), "0");
            }
        }
    }
}

/// a child begins with words of its own; whatever came before it was accepted is there, and told to whoever is
/// attached then: no more and no less.
#[test]
fn what_came_before_accept_is_found_after_it() {
    use Readiness as R;
    let (mut t, shared, listener) = listening(ListenOptions::with_backlog(1));
    t.tcp.attach_listener(&mut t.net.readies, &shared, Told::Application);
    let nothing = R::WRITABLE | R::CONNECTED;
    for (port, (segment, told, reads)) in (1..).zip([
        ("FPA 1+10 ack 1", nothing | R::READABLE | R::READ_CLOSED, ["10", "0"]),
        ("PA 1+10 ack 1", nothing | R::READABLE, ["10", "WouldBlock"]),
        ("FA 1 ack 1", nothing | R::READABLE | R::READ_CLOSED, ["0", "0"]),
        ("UPA 1+10 ack 1 urg 4", nothing | R::READABLE | R::URGENT, ["3", "6"]),
        ("A 1 ack 1", nothing, ["WouldBlock", "WouldBlock"]),
    ]) {
        connect(&mut t, port).unwrap();
        t.input(segment).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.is_connected() && !stream.nodelay() && stream.take_error().is_none());
        assert_eq!(stream.linger(), None);
        let Target::Tcp(id) = stream.words().target() else { unreachable!("a stream") };
        // Who was told before does not count: whoever is attached is told what there is.
        for token in [1, 2].map(Token) {
            for part in [Part::Read, Part::Write] {
                stream.words().take_events(part);
            }
            t.tcp.socket(id).unwrap().attach_application(&mut t.net.readies, token);
            let news = std::iter::from_fn(|| t.net.readies.pop());
            assert_eq!(news.collect::<Vec<_>>(), [(token, told)], "{segment}");
        }
        let read = |_| said(stream.read(&mut [0; 99]));
        assert_eq!([(); 2].map(read), reads, "{segment}");
        // The next child is not to find any of this.
        stream.set_nodelay(true);
        stream.set_linger(Some(std::time::Duration::ZERO));
    }
}

/// Decision 5, C-33: those that were reset are passed over and counted; when nobody else is there, nobody is.
#[test]
fn who_was_reset_while_it_waited_is_not_accepted() {
    let calls: [fn(&TcpListener) -> String; 2] =
        [accepted, |listener| super::elsewhere(|| accepted(listener))];
    for accepted in calls {
        let (mut t, shared, listener) = listening(ListenOptions::with_backlog(4));
        for port in 1..=3 {
            connect(&mut t, port).unwrap();
            if port != 2 {
                t.input("R 1").unwrap();
            }
        }
        assert_eq!(shared.counts(), (3, 1), "they keep their places until somebody looks");
        assert_eq!(accepted(&listener), "2");
        assert_eq!(accepted(&listener), "WouldBlock");
        assert_eq!(shared.counts().0, 0);
        t.application();
        let skipped = std::iter::from_fn(|| t.core.pop_order());
        assert_eq!(skipped.filter(|order| matches!(order, Order::CountSkipped)).count(), 2);
        connect(&mut t, 4).unwrap();
        assert_eq!(accepted(&listener), "4");
    }
}

/// everybody who waits is reset, once; nobody is accepted; who calls from then on finds nobody.
#[test]
fn a_listener_that_closes_resets_its_queue() {
    let (mut t, shared, listener) = listening(ListenOptions::with_backlog(4));
    for port in 1..=3 {
        connect(&mut t, port).unwrap();
    }
    t.input("R 1").unwrap();
    t.peer_port = 2;
    t.input("PA 1+10 ack 1").unwrap();
    let first = listener.accept().unwrap();
    connect(&mut t, 4).unwrap();
    t.sent();
    shared.close();
    assert_eq!(accepted(&listener), "ConnectionAborted", "though the core has not heard of it");
    let elsewhere = super::elsewhere(|| accepted(&listener));
    assert_eq!(elsewhere, "ConnectionAborted");
    t.tcp.unlisten(&mut t.net.readies, &shared);
    t.application();
    assert_eq!(t.sent(), ["RA 1 ack 11", "RA 1 ack 1"], "to ports 2 and 4");
    assert_eq!(shared.counts(), (0, 1), "who was accepted lives");
    assert_eq!(t.frames_held(), 0);
    t.peer_port = 5;
    assert_eq!(t.input("S 0"), Err(Drop::TcpNoSocket));
    assert_eq!(t.sent(), ["RA 0 ack 1"]);
    drop(first);
}

#[test]
fn a_poller_is_told_of_a_listener_that_was_closed_before_it_came() {
    let (mut t, shared, listener) = listening(ListenOptions::with_backlog(1));
    let (keys, mut told) = queue(1);
    t.net.readies.open_poller(0, PollerEnd::new(keys, PollerShared::new()));
    drop(listener);
    t.tcp.unlisten(&mut t.net.readies, &shared);
    let key = PollerKey { slot: 0, key: 7 };
    t.tcp.attach_listener(&mut t.net.readies, &shared, Told::Poller(key));
    assert_eq!(told.pop(), Some(7));
}

#[test]
fn a_listener_has_as_many_connections_as_it_may_and_counts_those_that_live() {
    let options = ListenOptions { max_connections: Some(2), ..ListenOptions::default() };
    let (mut t, shared, listener) = listening(options);
    connect(&mut t, 1).unwrap();
    connect(&mut t, 2).unwrap();
    let (first, second) = (listener.accept().unwrap(), listener.accept().unwrap());
    assert_eq!(connect(&mut t, 3), Err(Drop::TcpListenerLimit));
    drop(first);
    t.application();
    t.input("A 1 ack 1").unwrap_err();
    assert_eq!(shared.counts(), (0, 2), "it closes, and still lives");
    t.peer_port = 1;
    t.input("R 1").unwrap();
    t.peer_port = 3;
    t.input("A 1 ack 1").unwrap();
    assert_eq!(shared.counts(), (1, 2));
    assert_eq!(accepted(&listener), "3");
    drop(second);
}

#[test]
fn a_child_buffers_what_its_listener_says() {
    let options = ListenOptions {
        receive_buffer: Some(5000),
        send_buffer: Some(7000),
        ..ListenOptions::default()
    };
    let (mut t, _shared, listener) = listening(options);
    connect(&mut t, 1).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    assert_eq!(stream.write(&pattern(0, 9000)).unwrap(), 7000);
    for segment in 0..5 {
        t.input(&format!("A {}+1000 ack 1", 1 + segment * 1000)).unwrap();
    }
    assert_eq!((t.emitted().last().unwrap().window, stream.readable()), (0, 5000));
}

/// Who shares an address shares what arrives there: each flow has one place, for as long as the group stays the same.
#[test]
fn a_group_deals_out_connections_by_flow() {
    let mut t = Harness::new(&Harness::plain());
    let member = || ListenOptions { sharing: Sharing::Group, ..ListenOptions::default() };
    let group: Vec<_> = (0..3).map(|_| listen(&mut t, member())).collect();
    let taken_by = |t: &mut Harness, port| {
        connect(t, port).unwrap();
        let found = group.iter().position(|listener| listener.pop(0).is_some());
        // It is dropped, and closes; a reset makes the port free.
        t.application();
        t.input("R 1").unwrap();
        t.sent();
        found.expect("somebody has it")
    };
    let first: Vec<usize> = (1..=60).map(|port| taken_by(&mut t, port)).collect();
    let again: Vec<usize> = (1..=60).map(|port| taken_by(&mut t, port)).collect();
    assert_eq!(first, again);
    for member in 0..3 {
        let count = first.iter().filter(|&&taken| taken == member).count();
        assert!(count >= 8, "{first:?}");
    }
    // A handshake that was begun with a member that leaves is completed with another.
    t.peer_port = 1;
    t.input("S 0").unwrap();
    t.sent();
    group[first[0]].close();
    t.tcp.unlisten(&mut t.net.readies, &group[first[0]]);
    t.input("A 1 ack 1").unwrap();
    let waiting: Vec<u32> = group.iter().map(|listener| listener.counts().0).collect();
    assert_eq!((waiting[first[0]], waiting.iter().sum::<u32>()), (0, 1));
}

#[test]
fn who_is_pinned_to_a_core_gets_all_of_its_connections() {
    for (pinned_to, wanted) in [(0, 20), (1, 9)] {
        let mut t = Harness::new(&Harness::plain());
        let group = [Sharing::Group, Sharing::GroupPinned(pinned_to)]
            .map(|sharing| listen(&mut t, ListenOptions { sharing, ..ListenOptions::default() }));
        for port in 1..=20 {
            connect(&mut t, port).unwrap();
        }
        let count = group[1].counts().0;
        let fits = if pinned_to == 0 { count == wanted } else { (4..=16).contains(&count) };
        assert!(fits, "pinned to core {pinned_to}: {count} of 20");
    }
}

/// What happens at a listener, from one of the peer's ports where it has to do with one.
#[derive(Clone, Copy, Debug)]
enum Event {
    Syn(u16),
    HandshakeEnds(u16),
    Data(u16),
    Fin(u16),
    Reset(u16),
    Accept,
    /// The oldest accepted connection is dropped, and reset by its peer.
    Drop,
}

fn events() -> impl Strategy<Value = Event> {
    let port = 1_u16..=6;
    prop_oneof![
        3 => port.clone().prop_map(Event::Syn),
        4 => port.clone().prop_map(Event::HandshakeEnds),
        1 => port.clone().prop_map(Event::Data),
        1 => port.clone().prop_map(Event::Fin),
        1 => port.prop_map(Event::Reset),
        2 => Just(Event::Accept),
        1 => Just(Event::Drop),
    ]
}

/// What a port of the peer's has come to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Port {
    stage: Stage,
    /// Bytes that it has sent, and whether it has ended its stream.
    sent: usize,
    finished: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Stage {
    #[default]
    Nothing,
    HalfOpen,
    Connected,
}

impl Port {
    fn next(self) -> usize {
        1 + self.sent + usize::from(self.finished)
    }
}

/// A listener, and next to it what it must come to.
struct Counted {
    t: Harness,
    shared: Arc<ListenerShared>,
    listener: TcpListener,
    options: ListenOptions,
    ports: BTreeMap<u16, Port>,
    /// Who waits, in their order; `None`: it was reset.
    queue: VecDeque<Option<u16>>,
    accepted: VecDeque<(TcpStream, u16)>,
    handshakes: u32,
    delivered: u32,
    passed_over: u32,
}

impl Counted {
    fn new(options: ListenOptions) -> Self {
        let (t, shared, listener) = listening(options.clone());
        Self {
            t,
            shared,
            listener,
            options,
            ports: BTreeMap::new(),
            queue: VecDeque::new(),
            accepted: VecDeque::new(),
            handshakes: 0,
            delivered: 0,
            passed_over: 0,
        }
    }

    fn alive(&self) -> u32 {
        let connected = self.ports.values().filter(|port| port.stage == Stage::Connected);
        u32::try_from(connected.count()).unwrap()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Accept => self.accept(),
            Event::Drop => self.drop_accepted(),
            Event::Syn(port)
            | Event::HandshakeEnds(port)
            | Event::Data(port)
            | Event::Fin(port)
            | Event::Reset(port) => {
                self.t.peer_port = port;
                let mut state = self.ports.get(&port).copied().unwrap_or_default();
                self.peer(event, port, &mut state);
                self.ports.insert(port, state);
            }
        }
        self.t.sent();
        let waiting = u32::try_from(self.queue.len()).unwrap();
        assert_eq!(self.shared.counts(), (waiting, self.alive()));
        assert!(waiting <= self.options.backlog);
        assert_eq!(self.handshakes, self.delivered + waiting + self.passed_over, "C-34");
    }

    fn peer(&mut self, event: Event, port: u16, state: &mut Port) {
        match (event, state.stage) {
            (Event::Syn(_), Stage::Nothing) => {
                self.t.input("S 0").unwrap();
                *state = Port { stage: Stage::HalfOpen, ..Port::default() };
            }
            (Event::HandshakeEnds(_), Stage::HalfOpen) => self.complete(port, state),
            (Event::Data(_), Stage::Connected) if !state.finished => {
                self.t.input(&format!("PA {}+10 ack 1", state.next())).unwrap();
                state.sent += 10;
            }
            (Event::Fin(_), Stage::Connected) if !state.finished => {
                self.t.input(&format!("FA {} ack 1", state.next())).unwrap();
                state.finished = true;
            }
            (Event::Reset(_), Stage::HalfOpen | Stage::Connected) => {
                self.t.input(&format!("R {}", state.next())).unwrap();
                state.stage = Stage::Nothing;
                self.queue.iter_mut().filter(|who| **who == Some(port)).for_each(|who| *who = None);
                self.accepted.retain(|&(_, peer)| peer != port);
                self.t.application();
            }
            _ => {}
        }
    }

    fn complete(&mut self, port: u16, state: &mut Port) {
        let full = u32::try_from(self.queue.len()).unwrap() == self.options.backlog;
        let wanted = match () {
            () if Some(self.alive()) == self.options.max_connections => Err(Drop::TcpListenerLimit),
            () if full => Err(Drop::TcpListenOverflow),
            () => Ok(()),
        };
        assert_eq!(self.t.input("A 1 ack 1"), wanted);
        if wanted.is_ok() {
            state.stage = Stage::Connected;
            self.queue.push_back(Some(port));
            self.handshakes += 1;
        } else if self.options.overflow == Overflow::Reset {
            state.stage = Stage::Nothing;
        }
    }

    /// Also that what was sent is found, whenever it was.
    fn accept(&mut self) {
        let mut wanted = None;
        while let Some(who) = self.queue.pop_front() {
            match who {
                None => self.passed_over += 1,
                Some(port) => {
                    wanted = Some(port);
                    break;
                }
            }
        }
        let got = self.listener.accept();
        let Some(port) = wanted else {
            assert_eq!(said(got.map(|_| "somebody")), "WouldBlock");
            return;
        };
        let (mut stream, peer) = got.unwrap();
        assert_eq!(peer.port(), port, "the oldest comes first");
        self.delivered += 1;
        let mut bytes = [0; 999];
        let read = said(stream.read(&mut bytes));
        let Port { sent, finished, .. } = self.ports[&port];
        let empty = if finished { "0" } else { "WouldBlock" };
        assert_eq!(read, if sent > 0 { sent.to_string() } else { empty.into() });
        self.accepted.push_back((stream, port));
    }

    fn drop_accepted(&mut self) {
        let Some((stream, port)) = self.accepted.pop_front() else { return };
        drop(stream);
        self.t.application();
        self.t.peer_port = port;
        let state = self.ports.entry(port).or_default();
        // Unless its own close was a reset already.
        let _gone = self.t.input(&format!("R {}", state.next()));
        state.stage = Stage::Nothing;
    }

    /// The listener closes: who waits and lives is reset, and nobody is forgotten.
    fn close(mut self) {
        let alive = self.queue.iter().flatten().count();
        // What is left after that is not about mailboxes.
        self.t.application();
        let counted = std::iter::from_fn(|| self.t.core.pop_order())
            .filter(|order| matches!(order, Order::CountSkipped));
        assert_eq!(counted.count(), self.passed_over as usize);
        self.t.sent();
        self.shared.close();
        self.t.tcp.unlisten(&mut self.t.net.readies, &self.shared);
        self.t.application();
        assert_eq!(count_sent(&mut self.t, 'R'), alive);
        let alive_still = u32::try_from(self.accepted.len()).unwrap();
        assert_eq!(self.shared.counts(), (0, alive_still));
        assert_eq!(accepted(&self.listener), "ConnectionAborted");
        self.accepted.clear();
        self.t.application();
        self.t.sent();
        assert_eq!(self.t.frames_held(), 0);
        let resets = self.t.count(Counter::TcpOutRsts);
        assert!(resets >= alive as u64, "{resets}");
    }
}

proptest! {
    /// C-34: no connection is lost between its handshake and whoever accepts it or resets it, and none is counted twice.
    #[test]
    fn every_handshake_is_accounted_for(
        events in prop::collection::vec(events(), 0..120),
        backlog in 1_u32..4,
        most in prop::option::of(1_u32..6),
        reset in any::<bool>(),
    ) {
        let overflow = if reset { Overflow::Reset } else { Overflow::Ignore };
        let options =
            ListenOptions { backlog, max_connections: most, overflow, ..ListenOptions::default() };
        let mut counted = Counted::new(options);
        events.into_iter().for_each(|event| counted.happen(event));
        counted.close();
    }
}
