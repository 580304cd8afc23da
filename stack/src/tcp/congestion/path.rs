//! A virtual path for the controllers' tests: one bottleneck of a fixed rate with a queue, a fixed delay behind it, and
//! senders that always have data. In virtual time, without TCP: every packet is acknowledged by itself, and one that three
//! later ones have overtaken is lost.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::Timeout;
use super::controller::{Ack, Congested, Controller, RateSample};
use crate::time::{Instant, Span};

pub(super) const SEGMENT: u32 = 1448;

pub(super) struct Path {
    /// Bytes per second.
    pub(super) rate: u64,
    /// The round trip without a queue.
    pub(super) delay: Span,
    /// Bytes that the queue takes.
    pub(super) queue: u64,
    /// Packets that find more bytes than this in the queue are marked.
    pub(super) mark: Option<u64>,
}

impl Path {
    pub(super) fn product(&self) -> u64 {
        self.rate * self.delay.as_micros() / 1_000_000
    }
}

pub(super) struct Network {
    path: Path,
    pub(super) now: Instant,
    /// When the bottleneck will have sent what it has.
    free_at: Instant,
    pub(super) flows: Vec<Flow>,
    events: BinaryHeap<Reverse<(Instant, u64, usize, Event)>>,
    ordinal: u64,
    queued: Mean,
    pub(super) dropped: u64,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Event {
    Ack { packet: u64, marked: bool },
    Send,
    Watch,
}

#[derive(Default)]
struct Mean {
    sum: u64,
    count: u64,
}

impl Network {
    pub(super) fn new(path: Path) -> Self {
        Self {
            path,
            now: Instant::ZERO,
            free_at: Instant::ZERO,
            flows: Vec::new(),
            events: BinaryHeap::new(),
            ordinal: 0,
            queued: Mean::default(),
            dropped: 0,
        }
    }

    /// A sender that begins at `at`.
    pub(super) fn join(&mut self, controller: Box<dyn Controller>, at: Instant) {
        let flow = self.flows.len();
        self.flows.push(Flow::new(controller));
        self.schedule(at, flow, Event::Send);
        self.schedule(at + WATCH_EVERY, flow, Event::Watch);
    }

    pub(super) fn run(&mut self, span: Span) {
        let until = self.now + span;
        while let Some(Reverse((at, ..))) = self.events.peek()
            && *at <= until
        {
            let Some(Reverse((at, _, flow, event))) = self.events.pop() else { break };
            self.now = at;
            match event {
                Event::Ack { packet, marked } => {
                    self.flows[flow].acknowledged(at, packet, marked);
                    self.send(flow);
                }
                Event::Send => {
                    self.flows[flow].waiting = false;
                    self.send(flow);
                }
                Event::Watch => {
                    self.flows[flow].watch(at);
                    self.send(flow);
                    self.schedule(at + WATCH_EVERY, flow, Event::Watch);
                }
            }
        }
        self.now = until;
    }

    /// What share of the path each flow got over a span.
    pub(super) fn shares(&mut self, span: Span) -> Vec<f64> {
        let before: Vec<u64> = self.flows.iter().map(|flow| flow.delivered).collect();
        self.queued = Mean::default();
        self.run(span);
        let capacity = self.path.rate as f64 * span.as_secs_f64();
        let got = self.flows.iter().zip(before).map(|(flow, before)| flow.delivered - before);
        got.map(|bytes| bytes as f64 / capacity).collect()
    }

    /// The mean length of the queue over the last span, as packets found it, in products of bandwidth and delay.
    pub(super) fn mean_queue(&self) -> f64 {
        self.queued.sum as f64 / self.queued.count.max(1) as f64 / self.path.product() as f64
    }

    fn schedule(&mut self, at: Instant, flow: usize, event: Event) {
        self.ordinal += 1;
        self.events.push(Reverse((at, self.ordinal, flow, event)));
    }

    /// As much as window and pacing allow.
    fn send(&mut self, flow: usize) {
        while self.flows[flow].has_room() {
            let (at, waiting) = (self.flows[flow].pace_at, self.flows[flow].waiting);
            if at > self.now {
                if !waiting {
                    self.flows[flow].waiting = true;
                    self.schedule(at, flow, Event::Send);
                }
                return;
            }
            let packet = self.flows[flow].sent(self.now);
            self.carry(flow, packet);
        }
    }

    fn carry(&mut self, flow: usize, packet: u64) {
        let nanos = |bytes: u64| Span::from_nanos(bytes * 1_000_000_000 / self.path.rate);
        let ahead = self.free_at.span_since(self.now);
        let queued = ahead.as_nanos() * self.path.rate / 1_000_000_000;
        self.queued.sum += queued;
        self.queued.count += 1;
        if queued + u64::from(SEGMENT) > self.path.queue {
            self.dropped += 1;
            return;
        }
        let marked = self.path.mark.is_some_and(|most| queued > most);
        self.free_at = self.free_at.max(self.now) + nanos(SEGMENT.into());
        self.schedule(self.free_at + self.path.delay, flow, Event::Ack { packet, marked });
    }
}

/// One sender.
pub(super) struct Flow {
    pub(super) controller: Box<dyn Controller>,
    pub(super) delivered: u64,
    pub(super) timeouts: u32,
    outstanding: BTreeMap<u64, Sent>,
    next: u64,
    round_end: u64,
    /// Packets from here on were sent after the last loss was found; when one is acknowledged, recovery is over.
    recovery_end: u64,
    recovering: bool,
    delivered_at: Instant,
    first_sent: Instant,
    pace_at: Instant,
    waiting: bool,
    smoothed: Option<Span>,
    least: Option<Span>,
}

#[derive(Clone, Copy)]
struct Sent {
    at: Instant,
    first_sent: Instant,
    delivered: u64,
    delivered_at: Instant,
}

impl Flow {
    fn new(controller: Box<dyn Controller>) -> Self {
        Self {
            controller,
            delivered: 0,
            timeouts: 0,
            outstanding: BTreeMap::new(),
            next: 0,
            round_end: 0,
            recovery_end: 0,
            recovering: false,
            delivered_at: Instant::ZERO,
            first_sent: Instant::ZERO,
            pace_at: Instant::ZERO,
            waiting: false,
            smoothed: None,
            least: None,
        }
    }

    fn flight(&self) -> u32 {
        u32::try_from(self.outstanding.len()).unwrap() * SEGMENT
    }

    fn has_room(&self) -> bool {
        self.flight() + SEGMENT <= self.controller.window().max(SEGMENT)
    }

    fn sent(&mut self, now: Instant) -> u64 {
        if self.outstanding.is_empty() {
            (self.first_sent, self.delivered_at) = (now, now);
        }
        let (first_sent, delivered, delivered_at) =
            (self.first_sent, self.delivered, self.delivered_at);
        self.outstanding.insert(self.next, Sent { at: now, first_sent, delivered, delivered_at });
        if let Some(rate) = self.controller.pacing_rate() {
            let gap = Span::from_nanos(u64::from(SEGMENT) * 1_000_000_000 / rate);
            self.pace_at = self.pace_at.max(now - gap) + gap;
        }
        self.next += 1;
        self.next - 1
    }

    fn acknowledged(&mut self, now: Instant, packet: u64, marked: bool) {
        let flight = self.flight();
        let window_limited = flight + SEGMENT > self.controller.window();
        let Some(sent) = self.outstanding.remove(&packet) else { return };
        let kept = self.outstanding.split_off(&(packet.saturating_sub(REORDERED) + 1));
        let lost = std::mem::replace(&mut self.outstanding, kept);
        let last_lost = lost.last_key_value().map(|(last, _)| *last);
        if last_lost.is_some_and(|last| last >= self.recovery_end) {
            (self.recovery_end, self.recovering) = (self.next, true);
            self.controller.on_congestion(now, flight, Congested::Loss);
        }
        let round_trip = self.measured(now, &sent);
        let round_start = packet >= self.round_end;
        if round_start {
            self.round_end = self.next;
        }
        self.controller.on_ack(&Ack {
            acks: 1,
            now,
            acked: SEGMENT,
            delivered: SEGMENT,
            flight,
            window_limited,
            marked: if marked { SEGMENT } else { 0 },
            round_trip: Some(round_trip),
            smoothed: self.smoothed,
            round_start,
            recovery: self.recovering,
            rate: Some(self.sample(&sent, lost.len())),
        });
        if self.recovering && packet >= self.recovery_end {
            self.recovering = false;
            self.controller.on_recovered(now, self.flight());
        }
    }

    fn measured(&mut self, now: Instant, sent: &Sent) -> Span {
        let round_trip = now.span_since(sent.at);
        self.delivered += u64::from(SEGMENT);
        (self.delivered_at, self.first_sent) = (now, sent.at);
        self.least = Some(self.least.map_or(round_trip, |least| least.min(round_trip)));
        self.smoothed = Some(self.smoothed.map_or(round_trip, |srtt| (srtt * 7 + round_trip) / 8));
        round_trip
    }

    fn sample(&self, sent: &Sent, lost: usize) -> RateSample {
        let interval = sent
            .at
            .span_since(sent.first_sent)
            .max(self.delivered_at.span_since(sent.delivered_at));
        RateSample {
            delivered: self.delivered - sent.delivered,
            interval,
            app_limited: false,
            lost: lost as u64 * u64::from(SEGMENT),
            total_delivered: self.delivered,
        }
    }

    /// A second without an ACK is a timeout.
    fn watch(&mut self, now: Instant) {
        let stuck = now.span_since(self.delivered_at) > Span::from_secs(1);
        if stuck && !self.outstanding.is_empty() {
            self.timeouts += 1;
            self.controller.on_timeout(now, self.flight(), Timeout::First);
            self.outstanding.clear();
            (self.recovery_end, self.recovering) = (self.next, false);
            self.delivered_at = now;
        }
    }
}

const REORDERED: u64 = 3;
const WATCH_EVERY: Span = Span::from_millis(100);
