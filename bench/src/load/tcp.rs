//! TCP connections of a client that keeps next to nothing of them.
//!
//! The answer to a segment is made from that segment: it begins where that acknowledges, and acknowledges where that ends. One core so
//! offers far more than a stack can serve, which is the point: what is measured is the server. Nothing here waits and no clock is read,
//! so that tests drive it in virtual time.

use std::collections::{HashMap, VecDeque};

use hdrhistogram::Histogram;
use pmd::Burst;

use super::addresses::Addresses;
use super::counts::{Counts, histogram};
use super::flow::{Flow, State, coarse};
use super::http::REQUEST;
use super::link::Link;
use super::plan::{Pace, Plan, Work};
use super::port::Port;
use super::resend::Scan;
use super::segment::{ACK, SYN, Segment};
use super::template::{Options, Server, Template};
use super::traffic::Traffic;

/// The client.
pub(crate) struct Tcp {
    pub(super) plan: Plan,
    pub(super) addresses: Addresses,
    link: Link,
    server: (u32, u16),
    /// Once the server's station is known.
    pub(super) templates: Option<Templates>,
    /// By number, modulo how many there are.
    pub(super) flows: Vec<Flow>,
    /// Connections that have something to send and found no room.
    pub(super) queue: VecDeque<u32>,
    /// Connections that wait for the next request, where requests have times.
    free: VecDeque<u32>,
    /// How many connections were ever begun, and how many are being opened, where all are opened first.
    begun: u32,
    opening: u32,
    /// Connections with a request under way.
    pub(super) under_way: u32,
    /// Whether all are there, and ask.
    asks: bool,
    /// Heads of responses that have not come whole, by place in the table.
    pub(super) heads: HashMap<u32, Vec<u8>>,
    scan: Scan,
    pub(super) counts: Counts,
    latencies: Histogram<u64>,
    pub(super) now: u64,
    received: Burst,
}

/// Segments by their options.
pub(super) struct Templates {
    pub(super) syn: Template,
    pub(super) plain: Template,
    pub(super) timed: Template,
}

/// Handshakes at the same time while all connections are opened.
const OPENING_MOST: u32 = 256;

impl Tcp {
    pub(crate) fn new(
        plan: Plan,
        addresses: Addresses,
        server: (u32, u16),
        station: [u8; 6],
    ) -> Self {
        let flows = (0..plan.connections).map(Flow::new).collect();
        Self {
            link: Link::new(station, addresses, server.0),
            plan,
            addresses,
            server,
            templates: None,
            flows,
            queue: VecDeque::new(),
            free: VecDeque::new(),
            begun: 0,
            opening: 0,
            under_way: 0,
            asks: false,
            heads: HashMap::new(),
            scan: Scan::default(),
            counts: Counts::default(),
            latencies: histogram(),
            now: 0,
            received: Burst::new(),
        }
    }

    /// Asks for the server's station until it is known.
    fn find_server(&mut self, port: &mut Port) {
        self.link.ask(port, self.now);
        let Some(station) = self.link.station() else { return };
        let server = Server { station, address: self.server.0, port: self.server.1 };
        let make = |options| Template::new(port.station(), &server, options, port.mtu());
        let pages = matches!(self.plan.work, Work::Pages { .. });
        let with_text =
            |template: Template| if pages { template.with_pieces(REQUEST) } else { template };
        self.templates = Some(Templates {
            syn: make(match self.plan.timestamps {
                true => Options::Syn,
                false => Options::SynWithoutTimestamps,
            }),
            plain: with_text(make(Options::None)),
            timed: with_text(make(Options::Timestamps)),
        });
    }

    fn receive(&mut self, port: &mut Port) {
        let mut received = std::mem::take(&mut self.received);
        port.receive(&mut received);
        for frame in received.iter() {
            match Segment::parse(frame) {
                Some(segment) => {
                    let text = frame.head().get(segment.text_at..).unwrap_or_default();
                    self.arrived(port, &segment, text);
                }
                None => self.link.arrived(port, frame),
            }
        }
        received.clear();
        self.received = received;
    }

    fn arrived(&mut self, port: &mut Port, segment: &Segment, text: &[u8]) {
        let Some(number) = self.addresses.number(segment.address, segment.port) else { return };
        let slot = number % self.plan.connections;
        match self.flows.get(slot as usize) {
            Some(flow) if flow.number == number && flow.state != State::Closed => {
                self.process(port, slot, segment, text);
            }
            _ => self.stray(port, number, segment),
        }
    }

    /// Begins as many connections as may be under way, where all are opened first.
    fn open(&mut self, port: &mut Port) {
        while self.begun < self.plan.connections && self.opening < OPENING_MOST && port.room() > 0 {
            let slot = self.begun;
            self.begun += 1;
            match (self.plan.is_churn(), &self.plan.pace) {
                (true, Pace::Open(_)) => self.free.push_back(slot),
                (true, Pace::Closed) => self.connect(port, slot, self.now),
                (false, _) => {
                    self.opening += 1;
                    self.connect(port, slot, self.now);
                }
            }
        }
    }

    /// Makes the requests that are due.
    fn follow_schedule(&mut self, port: &mut Port) {
        while port.room() > 0 {
            let Pace::Open(schedule) = &mut self.plan.pace else { return };
            let Some(due) = schedule.due(self.now) else { return };
            match self.free.pop_front() {
                Some(slot) => self.ask(port, slot, due),
                None => self.counts.not_made += schedule.is_late(due),
            }
        }
    }

    /// A connection is free for the next request.
    pub(super) fn next(&mut self, port: &mut Port, slot: u32) {
        match &mut self.plan.pace {
            Pace::Closed => self.ask(port, slot, self.now),
            Pace::Open(schedule) => match schedule.late() {
                Some(due) => self.ask(port, slot, due),
                None => self.free.push_back(slot),
            },
        }
    }

    /// Makes a request that was due at `due`, on a connection of its own if they come and go.
    fn ask(&mut self, port: &mut Port, slot: u32, due: u64) {
        if self.plan.is_churn() {
            return self.connect(port, slot, due);
        }
        let (request, response, depth) = self.plan.exchange();
        self.flow(slot).sent_at = wrapped(due);
        self.owe(slot, request * depth, response * depth);
        self.send_owed(port, slot);
    }

    /// Opens a connection, from the next port if it was used before.
    pub(super) fn connect(&mut self, port: &mut Port, slot: u32, due: u64) {
        let (now, connections, capacity) =
            (self.now, self.plan.connections, self.addresses.capacity());
        self.no_longer_asks(slot);
        let flow = self.flow(slot);
        let used = flow.progress != 0 || flow.next != 0;
        let next = flow.number.checked_add(connections).filter(|number| *number < capacity);
        let number = if used { next.unwrap_or(slot) } else { flow.number };
        // Beyond what the last connection between the same addresses has used (RFC 9293, section 3.4.1).
        let first = wrapped(now >> 8);
        *flow = Flow {
            state: State::SynSent,
            next: first,
            acknowledged: first,
            sent_at: wrapped(due),
            progress: coarse(now),
            ..Flow::new(number)
        };
        self.emit(port, slot, SYN, 0);
    }

    /// The handshake is done.
    pub(super) fn opened(&mut self, port: &mut Port, slot: u32) {
        self.counts.opened += 1;
        self.opening = self.opening.saturating_sub(1);
        let (request, response, depth) = self.plan.exchange();
        match (self.plan.work, &self.plan.pace) {
            (Work::Once { .. }, _) => self.owe(slot, request * depth, response * depth),
            (Work::Requests { .. } | Work::Pages { .. }, Pace::Open(_)) => {
                self.free.push_back(slot)
            }
            (Work::Pages { .. }, Pace::Closed) if self.asks => self.owe(slot, request * depth, 0),
            // They all begin to ask together, once all are there.
            (Work::Requests { .. } | Work::Pages { .. }, Pace::Closed) => {}
            (Work::Send | Work::Both, _) => self.owe(slot, u32::MAX, 0),
            (Work::Receive | Work::Rest, _) => {}
        }
        if self.flow(slot).owed == 0 {
            self.emit(port, slot, ACK, 0);
        }
        self.send_owed(port, slot);
    }

    /// Requests were answered.
    pub(super) fn answered(&mut self, slot: u32, count: u32) {
        self.counts.responses += u64::from(count);
        self.no_longer_asks(slot);
        let (_, _, depth) = self.plan.exchange();
        if depth == 1 {
            let took = wrapped(self.now).wrapping_sub(self.flow(slot).sent_at);
            self.latencies.saturating_record(took.into());
        }
    }

    pub(super) fn owe(&mut self, slot: u32, bytes: u32, answer: u32) {
        let flow = self.flow(slot);
        flow.owed = flow.owed.saturating_add(bytes);
        flow.awaited += answer;
    }

    /// Sends again what has not gone on for long: a part of the table in each turn.
    fn resend(&mut self, port: &mut Port) {
        for slot in self.scan.due(self.now, self.plan.connections) {
            self.look_after(port, slot);
        }
    }

    pub(super) fn flow(&mut self, slot: u32) -> &mut Flow {
        // Slots are numbers modulo the table's length.
        &mut self.flows[slot as usize]
    }
}

impl Traffic for Tcp {
    fn turn(&mut self, port: &mut Port, now: u64) {
        self.now = now;
        self.receive(port);
        if self.templates.is_none() {
            self.find_server(port);
        } else {
            self.serve_queue(port);
            self.open(port);
            self.follow_schedule(port);
            self.resend(port);
        }
        port.flush();
    }

    fn is_ready(&self) -> bool {
        let all = self.counts.opened >= u64::from(self.plan.connections);
        self.templates.is_some() && (all || self.plan.is_churn())
    }

    fn begin(&mut self, now: u64) {
        if let Pace::Open(schedule) = &mut self.plan.pace {
            schedule.begin(now);
        } else if let Work::Requests { .. } | Work::Pages { .. } = self.plan.work {
            let (request, response, depth) = self.plan.exchange();
            self.asks = true;
            // They take turns in an order that nobody's memory has.
            let mut slots: Vec<u32> = (0..self.plan.connections).collect();
            fastrand::Rng::with_seed(now).shuffle(&mut slots);
            for slot in slots {
                self.flow(slot).sent_at = wrapped(now);
                self.flow(slot).queued = true;
                self.owe(slot, request * depth, response * depth);
                self.queue.push_back(slot);
            }
        }
    }

    fn counts(&self) -> Counts {
        self.counts
    }

    fn latencies(&mut self) -> &mut Histogram<u64> {
        &mut self.latencies
    }
}

/// The lower half.
#[inline]
pub(super) fn wrapped(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0)
}
