//! Two connections that meet the same, for tests of whether it makes a difference how.

use proptest::prelude::*;

use super::Prediction;
use crate::counters::Counter;
use crate::drops::Drop;
use crate::tcp::harness::Harness;
use crate::tcp::{Algorithm, EcnPolicy, TcpConfig};

/// What happens to both connections alike.
#[derive(Clone, Debug)]
pub(in crate::tcp) enum Step {
    Segment(Said),
    /// Several of them in one turn.
    Burst(Vec<Said>),
    Write(usize),
    Read(usize),
    Pause(u64),
    Nodelay,
    Close,
}

/// A segment of the peer's, by what differs from the one that is expected.
#[derive(Clone, Debug)]
pub(in crate::tcp) struct Said {
    flags: &'static str,
    /// Where it begins, counted from what the peer has to send next.
    offset: i64,
    len: usize,
    /// How much of what is outstanding it acknowledges, in quarters; five are one number too many.
    pub(in crate::tcp) quarters: u32,
    /// By how much the peer's clock goes on.
    ticks: i64,
    window: u16,
    rest: &'static str,
}

pub(in crate::tcp) fn said() -> impl Strategy<Value = Said> {
    let flags = prop_oneof![
        20 => Just("A"),
        20 => Just("PA"),
        1 => Just("FA"),
        1 => Just("EA"),
        1 => Just("WPA"),
        1 => Just("P"),
        1 => Just("SA"),
    ];
    let offset = prop_oneof![20 => Just(0), 1 => Just(-1), 1 => Just(1000), 1 => Just(-500), 1 => Just(70_000)];
    let len = prop_oneof![10 => Just(0), 10 => 1..1448_usize, 5 => Just(1448)];
    let quarters = prop_oneof![10 => 0..4_u32, 20 => Just(4), 1 => Just(5)];
    let ticks = prop_oneof![20 => 0..50_i64, 1 => Just(-1000)];
    let window = prop_oneof![20 => Just(u16::MAX), 3 => 0..3000_u16];
    let rest = prop_oneof![30 => Just(""), 1 => Just(" ce 1"), 1 => Just(" mss 900"), 1 => Just(" sack 5:9")];
    (flags, offset, len, quarters, ticks, window, rest).prop_map(
        |(flags, offset, len, quarters, ticks, window, rest)| Said {
            flags,
            offset,
            len,
            quarters,
            ticks,
            window,
            rest,
        },
    )
}

pub(in crate::tcp) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => said().prop_map(Step::Segment),
        5 => prop::collection::vec(said(), 2..5).prop_map(Step::Burst),
        15 => (1..20_000_usize).prop_map(Step::Write),
        10 => (1..20_000_usize).prop_map(Step::Read),
        5 => prop_oneof![0..50_u64, Just(250), Just(2500)].prop_map(Step::Pause),
        1 => Just(Step::Nodelay),
        1 => Just(Step::Close),
    ]
}

/// A connection, and what its peer knows.
pub(in crate::tcp) struct Side {
    pub(in crate::tcp) t: Harness,
    clock: i64,
    now: u64,
    closed: bool,
}

/// What can be seen of a connection from outside.
#[derive(Debug, PartialEq)]
pub(in crate::tcp) struct Seen {
    results: Vec<Result<(), Drop>>,
    segments: Vec<String>,
    /// With the windows that its segments have offered.
    windows: Vec<u16>,
    info: Option<String>,
    frames_held: usize,
    counters: Vec<u64>,
}

impl Side {
    pub(in crate::tcp) fn new(config: &TcpConfig, prediction: Prediction) -> Self {
        let mut t = Harness::connecting(config);
        t.tcp.prediction = prediction;
        t.sent();
        let scale = if config.window_scaling { " wscale 2" } else { "" };
        let clock = if config.timestamps { " ts 1000:0" } else { "" };
        let sack = if config.sack { " sackOK" } else { "" };
        t.at(20);
        t.input(&format!("SEA 0 ack 1 mss 1448{sack}{scale}{clock}")).unwrap();
        t.sent();
        Self { t, clock: 1000, now: 20, closed: false }
    }

    /// `beside` bytes come before it in the same turn.
    fn text(&mut self, said: &Said, beside: usize) -> String {
        let (next, una, nxt, timestamps) = match self.t.state() {
            None => (1, 1, 1, false),
            Some(_) => self.t.connection(|c| {
                let [una, nxt] = [c.snd.una, c.snd.nxt].map(|seq| seq.offset_from(c.snd.iss));
                (c.rcv.nxt.offset_from(c.rcv.irs).into(), una, nxt, c.timestamps.enabled)
            }),
        };
        let ack = match said.quarters {
            quarters @ 0..=4 => una + (nxt - una) / 4 * quarters + (nxt - una) % 4 * (quarters / 4),
            _ => nxt + 1,
        };
        let seq: i64 = (next + said.offset + i64::try_from(beside).unwrap()).max(1);
        self.clock += said.ticks.max(0);
        let clock = self.clock + said.ticks.min(0);
        let ts = if timestamps { format!(" ts {clock}:0") } else { String::new() };
        let Said { flags, len, window, rest, .. } = said;
        format!("{flags} {seq}+{len} ack {ack} win {window}{ts}{rest}")
    }

    pub(in crate::tcp) fn take(&mut self, step: &Step) -> Seen {
        let mut results = Vec::new();
        match step {
            Step::Segment(said) => {
                let text = self.text(said, 0);
                results.push(self.t.input(&text));
            }
            Step::Burst(burst) => {
                let texts = self.texts(burst);
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                results = self.t.burst(&texts);
            }
            Step::Pause(span) => {
                self.now += span;
                self.t.at(self.now);
            }
            _ if self.closed => {}
            Step::Write(len) => _ = self.t.write(*len),
            Step::Read(len) => _ = self.t.read(*len),
            Step::Nodelay => self.t.stream().set_nodelay(true),
            Step::Close => {
                self.closed = true;
                self.t.close();
            }
        }
        self.seen(results)
    }

    /// The segments of a burst, one behind the other.
    pub(in crate::tcp) fn texts(&mut self, burst: &[Said]) -> Vec<String> {
        let mut beside = 0;
        let mut text = |said: &Said| {
            let text = self.text(said, beside);
            beside += said.len;
            text
        };
        burst.iter().map(&mut text).collect()
    }

    fn seen(&mut self, results: Vec<Result<(), Drop>>) -> Seen {
        let emitted = self.t.emitted();
        let now = self.t.net.now;
        let id = self.t.tcp.find(&self.t.flow());
        let info = id.and_then(|id| self.t.tcp.connection(now, id));
        let counters = [
            Counter::TcpInSegs,
            Counter::TcpOutSegs,
            Counter::TcpRetransSegs,
            Counter::TcpFastRetransmits,
            Counter::TcpTimeouts,
            Counter::TcpLossProbes,
            Counter::TcpDelayedAcks,
            Counter::TcpSpuriousRecoveries,
        ];
        Seen {
            results,
            windows: emitted.iter().map(|segment| segment.window).collect(),
            segments: emitted
                .into_iter()
                .map(|segment| format!("{} {:?} {}", segment.text, segment.options, segment.tos))
                .collect(),
            info: info.map(|info| format!("{info:?}")),
            frames_held: self.t.frames_held(),
            counters: counters.iter().map(|&counter| self.t.count(counter)).collect(),
        }
    }
}

pub(in crate::tcp) fn config() -> impl Strategy<Value = TcpConfig> {
    let congestion = prop_oneof![
        Just(Algorithm::Cubic),
        Just(Algorithm::NewReno),
        Just(Algorithm::Bbr),
        Just(Algorithm::Dctcp)
    ];
    let ecn = prop_oneof![Just(EcnPolicy::Off), Just(TcpConfig::default().ecn)];
    (any::<[bool; 3]>(), congestion, ecn).prop_map(
        |([timestamps, sack, window_scaling], congestion, ecn)| TcpConfig {
            timestamps,
            sack,
            window_scaling,
            congestion,
            ecn,
            receive_buffer: 20_000,
            send_buffer: 20_000,
            ..TcpConfig::default()
        },
    )
}
