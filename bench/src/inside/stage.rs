//! How far a run is: the client is set up, warms up, is measured, and falls silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use crate::load::counts::Counts;
use crate::load::port::Port;
use crate::load::report::{Latency, Report};
use crate::load::run::Spans;
use crate::load::traffic::Traffic;

/// Where a run is, and whom it tells of its end.
pub(super) struct Stages {
    spans: Spans,
    /// Responses without which nothing is warm: one on each connection.
    warm_responses: u64,
    start: Instant,
    stage: Stage,
    /// How long the client itself has taken: its turns that had something to do.
    client: Duration,
    tell: Sender<Ended>,
    /// Whether there is a server to connect to.
    server_listens: Arc<AtomicBool>,
}

/// What a run has come to.
pub(super) enum Ended {
    Measured(Box<Measured>),
    /// It was not set up in time: what had happened until then.
    NotReady(Counts),
}

pub(super) struct Measured {
    pub(super) report: Report,
    /// The client's part of the time.
    pub(super) client: Duration,
}

enum Stage {
    SetUp,
    WarmUp { until: Duration },
    Measure { begin: Duration, until: Duration, before: Counts, client: Duration },
    Silent,
}

impl Stages {
    /// The client begins once `server_listens`, and is measured once `warm_responses` have come.
    pub(super) fn new(
        (spans, warm_responses): (Spans, u64),
        tell: Sender<Ended>,
        server_listens: Arc<AtomicBool>,
    ) -> Self {
        let (start, stage, client) = (Instant::now(), Stage::SetUp, Duration::ZERO);
        Self { spans, warm_responses, start, stage, client, tell, server_listens }
    }

    /// The client's turn, and the next stage when it is time.
    pub(super) fn turn(&mut self, port: &mut Port, traffic: &mut dyn Traffic) {
        match self.stage {
            Stage::Silent => return,
            Stage::SetUp if !self.server_listens.load(Ordering::Relaxed) => return,
            _ => {}
        }
        let now = self.start.elapsed();
        let frames = frames(port);
        traffic.turn(port, nanos(now));
        if frames != self::frames(port) {
            self.client += self.start.elapsed() - now;
        }
        match &self.stage {
            Stage::SetUp if traffic.is_ready() => {
                traffic.begin(nanos(now));
                self.stage = Stage::WarmUp { until: now + self.spans.warm_up };
            }
            Stage::SetUp if now > self.spans.set_up_most => {
                self.end(Ended::NotReady(traffic.counts()));
            }
            Stage::WarmUp { until }
                if now >= *until && traffic.counts().responses >= self.warm_responses =>
            {
                traffic.latencies().reset();
                let (before, client) = (traffic.counts(), self.client);
                let until = now + self.spans.measure;
                self.stage = Stage::Measure { begin: now, until, before, client };
            }
            Stage::Measure { begin, until, before, client } if now >= *until => {
                let report = Report {
                    seconds: (now - *begin).as_secs_f64(),
                    counts: traffic.counts().since(before),
                    before: *before,
                    latency: Latency::of(traffic.latencies()),
                };
                let client = self.client - *client;
                self.end(Ended::Measured(Box::new(Measured { report, client })));
            }
            _ => {}
        }
    }

    fn end(&mut self, ended: Ended) {
        self.stage = Stage::Silent;
        // Who asked waits for it.
        let _ = self.tell.send(ended);
    }
}

/// Frames in and out so far.
fn frames(port: &Port) -> u64 {
    port.counts().received + port.counts().sent
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
