//! What one window has shown.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::counts::Counts;

/// The result of one run, as `--json` prints it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Report {
    /// How long was measured.
    pub(crate) seconds: f64,
    /// What has happened in that time.
    pub(crate) counts: Counts,
    /// What had happened before: the handshakes of the connections that were measured are in it.
    pub(crate) before: Counts,
    pub(crate) latency: Option<Latency>,
}

/// Latencies in nanoseconds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Latency {
    pub(crate) samples: u64,
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) p9999: u64,
    pub(crate) max: u64,
    /// The whole curve: percentile and latency.
    pub(crate) curve: Vec<(f64, u64)>,
}

/// Percentiles of a curve: ever closer to all.
const CURVE: [f64; 22] = [
    0.0, 10.0, 25.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 93.0, 95.0, 97.0, 98.0, 99.0,
    99.5, 99.9, 99.95, 99.99, 99.999, 100.0,
];

impl Latency {
    /// `None` without a sample.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |percentile| histogram.value_at_percentile(percentile);
        (!histogram.is_empty()).then(|| Self {
            samples: histogram.len(),
            p50: at(50.0),
            p90: at(90.0),
            p99: at(99.0),
            p999: at(99.9),
            p9999: at(99.99),
            max: histogram.max(),
            curve: CURVE.map(|percentile| (percentile, at(percentile))).to_vec(),
        })
    }
}

impl Report {
    pub(crate) fn per_second(&self, count: u64) -> f64 {
        count as f64 / self.seconds.max(1e-9)
    }

    /// A few lines for people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        let counts = &self.counts;
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<24}{value:>16}");
        };
        line("measured, s", format!("{:.2}", self.seconds));
        for (name, count) in [
            ("responses/s", counts.responses),
            ("connections/s", counts.closed),
            ("frames in/s", counts.frames_in),
            ("frames out/s", counts.frames_out),
        ] {
            line(name, format!("{:.0}", self.per_second(count)));
        }
        for (name, bytes) in [("in, Gb/s", counts.bytes_in), ("out, Gb/s", counts.bytes_out)] {
            line(name, format!("{:.3}", self.per_second(bytes) * 8e-9));
        }
        if let Some(latency) = &self.latency {
            for (name, nanos) in [
                ("p50, us", latency.p50),
                ("p90, us", latency.p90),
                ("p99, us", latency.p99),
                ("p99.9, us", latency.p999),
                ("p99.99, us", latency.p9999),
                ("max, us", latency.max),
            ] {
                line(name, format!("{:.2}", nanos as f64 / 1e3));
            }
        }
        for (name, count) in [
            ("opened before", self.before.opened),
            ("sent again", counts.resent),
            ("reset by the server", counts.resets),
            ("closed early", counts.closed_early),
            ("given up", counts.abandoned),
            ("out of order", counts.out_of_order),
            ("of no connection", counts.strays),
            ("bad responses", counts.bad_responses),
            ("frames lost", counts.frames_lost),
            ("requests not made", counts.not_made),
        ] {
            if count > 0 {
                line(name, count.to_string());
            }
        }
        text
    }
}
