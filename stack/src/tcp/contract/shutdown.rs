//! Both directions ended, in every order, and what is left of a connection then (D-4; C-11, C-12, C-21, R-6).

use std::collections::BTreeMap;
use std::net::Shutdown;

use Event::*;

use crate::drops::Drop;
use crate::rng::Rng;
use crate::socket::Phase;
use crate::tcp::TcpConfig;
use crate::tcp::harness::Harness;
use crate::tcp::state::State;
use crate::time::Instant;

/// What ends a connection bit by bit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Event {
    ShutWrite,
    ShutRead,
    /// The application drops its stream; it can do nothing after that.
    Close,
    FinAcked,
    PeerFin,
}

impl Event {
    const ALL: [Self; 5] = [ShutWrite, ShutRead, Close, FinAcked, PeerFin];

    fn is_the_peers(self) -> bool {
        matches!(self, FinAcked | PeerFin)
    }
}

/// When the protocol thread hears of what the application did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heard {
    AtOnce,
    /// In the turn of the peer's next segment, after that.
    Late,
}

/// What is to be found after some events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Left {
    /// `None`: nothing.
    state: Option<State>,
    /// Nothing is expected of the peer but its end.
    unread: bool,
}

/// Figure 5 of the RFC, for a connection that only ends: `events` in the order in which the protocol thread met them.
fn left_after(events: &[Event]) -> Left {
    let at = |wanted: &[Event]| events.iter().position(|event| wanted.contains(event));
    let (ours, theirs) = (at(&[ShutWrite, Close]), at(&[PeerFin]));
    let acked = at(&[FinAcked]).is_some();
    let peer_first = theirs.is_some_and(|theirs| ours.is_none_or(|ours| theirs < ours));
    let state = match (ours.is_some(), acked, theirs.is_some()) {
        (false, _, false) => Some(State::Established),
        (false, _, true) => Some(State::CloseWait),
        (true, false, false) => Some(State::FinWait1),
        (true, false, true) if peer_first => Some(State::LastAck),
        (true, false, true) => Some(State::Closing),
        (true, true, false) => Some(State::FinWait2),
        (true, true, true) if peer_first => None,
        (true, true, true) => Some(State::TimeWait),
    };
    Left { state, unread: at(&[ShutRead, Close]).is_some() }
}

/// Whether the events can come in this order.
fn is_possible(events: &[Event], heard: Heard) -> bool {
    let first = |wanted: &[Event]| events.iter().position(|event| wanted.contains(event));
    let closed = first(&[Close]).unwrap_or(usize::MAX);
    let last_call = events.iter().rposition(|event| !event.is_the_peers()).unwrap_or(0);
    // The peer acknowledges what it has got: our FIN is sent in the turn in which it is heard of.
    let sent = first(&[ShutWrite, Close]).map(|sent| match heard {
        Heard::AtOnce => sent,
        Heard::Late => (sent..events.len()).find(|&at| events[at].is_the_peers()).unwrap_or(sent),
    });
    let acked = first(&[FinAcked]).unwrap_or(usize::MAX);
    last_call <= closed && (acked == usize::MAX || sent.is_some_and(|sent| sent < acked))
}

/// A connection on which events happen, a second apart.
struct Ending {
    t: Harness,
    heard: Heard,
    /// As the protocol thread met them.
    met: Vec<Event>,
    /// Calls that it has not heard of.
    calls: Vec<Event>,
    name: String,
    /// When FIN-WAIT-2, if it is timed, and TIME-WAIT are to end.
    armed: Option<Instant>,
    waits: Option<Instant>,
}

impl Ending {
    fn new(name: String, heard: Heard) -> Self {
        let t = Harness::connected();
        Self { t, heard, met: vec![], calls: vec![], name, armed: None, waits: None }
    }

    fn happen(&mut self, event: Event) {
        let now = self.t.net.now.as_millis();
        self.t.at(now + 1000);
        match event {
            ShutWrite => self.t.stream().shutdown(Shutdown::Write),
            ShutRead => self.t.stream().shutdown(Shutdown::Read),
            Close => self.t.stream = None,
            FinAcked | PeerFin => self.peer(event),
        }
        if !event.is_the_peers() {
            self.calls.push(event);
        }
        if event.is_the_peers() || self.heard == Heard::AtOnce {
            self.hear();
        }
    }

    fn peer(&mut self, event: Event) {
        let has = |wanted| self.met.contains(&wanted);
        let fin = u32::from(has(PeerFin));
        let ack = 1 + u32::from(event == FinAcked || has(FinAcked));
        let flags = if event == PeerFin { "FA" } else { "A" };
        let _ignored_once_it_is_gone = self.t.input(&format!("{flags} {} ack {ack}", 1 + fin));
        self.met.push(event);
    }

    fn hear(&mut self) {
        self.met.append(&mut self.calls);
        self.t.application();
        self.check();
    }

    fn check(&mut self) {
        let name = format!("{}: {:?}", self.name, self.met);
        let left = left_after(&self.met);
        let waiting = self.t.tcp.time_wait.len() == 1;
        let state = if waiting { Some(State::TimeWait) } else { self.t.state() };
        assert_eq!(state, left.state, "{name}");
        let timed = left == Left { state: Some(State::FinWait2), unread: true };
        let limit = self.t.tcp.config.fin_wait_2;
        if timed {
            let armed = *self.armed.get_or_insert(self.t.net.now + limit);
            self.t.connection(|c| assert_eq!(c.deadlines.fin_wait_2, armed, "{name}"));
        } else if self.t.state().is_some() {
            let never = Instant::FAR_FUTURE;
            self.t.connection(|c| assert_eq!(c.deadlines.fin_wait_2, never, "{name}"));
        }
        if waiting {
            self.waits.get_or_insert(self.t.net.now + self.t.tcp.config.time_wait);
        }
        if let Some(stream) = &self.t.stream {
            // Whoever waits is told that nothing comes any more.
            let over = timed || matches!(left.state, None | Some(State::TimeWait));
            assert_eq!(stream.words().phase() == Phase::Dead, over, "{name}");
        }
    }

    /// Nothing happens any more: each state lasts as long as it is to.
    fn wait(mut self) {
        let left = left_after(&self.met);
        self.t.sent();
        let until = match left.state {
            Some(State::FinWait2) => self.armed,
            Some(State::TimeWait) => self.waits,
            _ => None,
        };
        let is_left = |t: &mut Harness| t.state().is_some() || t.tcp.time_wait.len() > 0;
        let name = format!("{}: {:?}", self.name, self.met);
        let Some(until) = until.map(Instant::as_millis) else {
            let forever = [State::Established, State::CloseWait, State::FinWait2];
            if left.state.is_some_and(|state| forever.contains(&state)) {
                self.t.at(self.t.net.now.as_millis() + 1_000_000);
                assert_eq!(self.t.state(), left.state, "{name}");
            }
            return;
        };
        self.t.at(until - 1);
        assert!(is_left(&mut self.t), "{name}");
        self.t.at(until + 1);
        assert!(!is_left(&mut self.t), "{name}");
        assert_eq!(self.t.sent(), [""; 0], "it goes without a word, {name}");
        assert_eq!(self.t.frames_held(), 0, "{name}");
    }
}

/// All orders of some of the events.
fn orders() -> Vec<Vec<Event>> {
    let mut orders = vec![vec![]];
    let mut from = 0;
    while from < orders.len() {
        let longer = |order: &Vec<Event>| {
            let order = order.clone();
            let others = Event::ALL.into_iter().filter(|event| !order.contains(event));
            others.map(|event| [&order[..], &[event]].concat()).collect::<Vec<_>>()
        };
        let next: Vec<_> = orders[from..].iter().flat_map(longer).collect();
        from = orders.len();
        orders.extend(next);
    }
    orders
}

/// C-12: the timer of FIN-WAIT-2 runs from the moment at which both are true, that our FIN is acknowledged and that nobody reads,
/// whichever came first; not again, and never while somebody may read. A FIN of the peer's leads to TIME-WAIT, and its time
/// alone counts from there.
#[test]
fn what_is_left_of_a_connection_lasts_as_long_as_it_is_to() {
    let mut count = 0;
    for heard in [Heard::AtOnce, Heard::Late] {
        for order in orders().into_iter().filter(|order| is_possible(order, heard)) {
            let mut ending = Ending::new(format!("{heard:?}"), heard);
            order.iter().for_each(|&event| ending.happen(event));
            ending.hear();
            ending.wait();
            count += 1;
        }
    }
    assert!(count > 100, "{count}");
}

/// C-11: a reader that is gone makes room. The peer's window opens, never goes back, and what was held is given back.
#[test]
fn shutting_down_reading_opens_the_window_and_keeps_it_open() {
    let config = TcpConfig { receive_buffer: 10_000, ..Harness::plain() };
    let mut t = Harness::connected_with(&config);
    for segment in 0..10 {
        t.input(&format!("A {}+1000 ack 1", 1 + segment * 1000)).unwrap();
    }
    assert_eq!(t.emitted().last().unwrap().window, 0);
    t.stream().shutdown(Shutdown::Read);
    t.application();
    let update = t.last();
    assert_eq!((update.text.as_str(), update.window), ("A 1 ack 10001", 10_000));
    // One that is ahead of its turn, then the gap: both are thrown away, and acknowledged.
    let mut edge = 20_001;
    for (second, segment) in (1..).zip([11, 10, 12, 13, 14]) {
        t.input(&format!("A {}+1000 ack 1", 1 + segment * 1000)).unwrap();
        t.at(second * 1000);
        for sent in t.emitted() {
            let ack: u32 = sent.text.rsplit(' ').next().unwrap().parse().unwrap();
            let right = ack + u32::from(sent.window);
            assert!(right >= edge, "the window shrinks: {sent:?}");
            edge = right;
        }
    }
    assert_eq!(edge, 15_001 + 10_000);
    assert_eq!(t.frames_held(), 0);
    let mut bytes = [0; 9];
    assert_eq!(t.stream().peek(&mut bytes).unwrap(), 0);
    assert_eq!(t.stream().readable(), 0);
    assert_eq!(t.read(9).unwrap(), 0);
}

/// C-21: exactly one reset, and nothing is left, in every state in which the peer may still send.
#[test]
fn data_after_the_last_handle_is_gone_is_answered_by_one_reset() {
    for data in ["PA 1+10 ack 2", "PA 500+10 ack 2", "FPA 1+10 ack 2"] {
        for acked in [false, true] {
            let mut t = Harness::connected();
            t.close();
            if acked {
                t.input("A 1 ack 2").unwrap();
            }
            assert_eq!(t.sent(), ["FA 1 ack 1"]);
            assert_eq!(t.input(data), Err(Drop::TcpAfterClose), "{data}");
            let answer = t.sent();
            assert_eq!(answer.len(), 1, "{answer:?}");
            assert!(data.ends_with(&answer[0].replace("R ", "ack ")), "{data}: {answer:?}");
            assert_eq!((t.state(), t.tcp.time_wait.len(), t.frames_held()), (None, 0, 0));
        }
    }
}

/// The same before the protocol thread has heard of the close.
#[test]
fn data_that_meets_a_closed_socket_is_not_taken() {
    let mut t = Harness::connected();
    t.stream = None;
    assert_eq!(t.input("PA 1+10 ack 1"), Err(Drop::TcpAfterClose));
    t.application();
    assert_eq!(t.sent(), ["R 1"]);
    assert_eq!((t.state(), t.frames_held()), (None, 0));
}

/// what was written before the close arrives before its end, though the ring is far larger than the window and a
/// third of the segments is lost.
#[test]
fn what_was_written_before_closing_is_sent_to_its_end() {
    const LEN: u32 = 60_000;
    let mut t = Harness::connected();
    t.input("A 1 ack 1 win 5000").unwrap();
    assert_eq!(t.write(LEN as usize), LEN as usize);
    t.close();
    // What has arrived without a gap. The harness checks the bytes.
    let (mut next, mut rng) = (1, Rng::new([5; 32]));
    let mut arrived = BTreeMap::new();
    while next < LEN + 2 {
        let sent = t.sent();
        if sent.is_empty() {
            let later = t.net.timers.next_deadline().expect("something is tried again");
            t.at(later.as_millis() + 1);
        }
        for text in sent {
            if rng.below(3) == 0 {
                continue;
            }
            let (flags, rest) = text.split_once(' ').unwrap();
            let numbers = rest.split(' ').next().unwrap();
            let (seq, len) = numbers.split_once('+').unwrap_or((numbers, "0"));
            let (seq, len): (u32, u32) = (seq.parse().unwrap(), len.parse().unwrap());
            assert!(!flags.contains('F') || seq + len == LEN + 1, "{text}: the FIN is in the way");
            arrived.insert(seq, seq + len + u32::from(flags.contains('F')));
        }
        while let Some(&end) =
            arrived.range(..=next).map(|(_, end)| end).max().filter(|&&e| e > next)
        {
            next = end;
        }
        if t.state().is_some() {
            let _probe = t.input(&format!("A 1 ack {next} win 5000"));
        }
    }
    assert_eq!(t.state(), Some(State::FinWait2));
    t.input(&format!("FA 1 ack {next}")).unwrap();
    assert_eq!((t.state(), t.tcp.time_wait.len(), t.frames_held()), (None, 1, 1), "the last ACK");
    t.sent();
    assert_eq!(t.frames_held(), 0);
    assert!(t.net.now < Instant::from_millis(120_000), "it took too long");
}
