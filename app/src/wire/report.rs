//! What the wire has done, as a line that changes and as a summary.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use pmd::dpdk::Device;
use pmd::sim::Statistics;

use super::bridge::Directions;

/// The counters while the wire runs. Drawn on standard error, and only if that is a terminal.
pub(crate) struct LiveLine {
    bar: ProgressBar,
    last: Directions<Statistics>,
    last_at: Instant,
}

impl LiveLine {
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template("{msg}").expect("the template is well-formed");
        Self {
            bar: ProgressBar::new_spinner().with_style(style),
            last: Directions::default(),
            last_at: Instant::now(),
        }
    }

    pub(crate) fn show(&mut self, now: &Directions<Statistics>) {
        let span = self.last_at.elapsed();
        let ways = [0, 1].map(|way| progress(&self.last[way], &now[way], span));
        self.bar.set_message(format!("-> {}   <- {}", ways[0], ways[1]));
        self.bar.tick();
        (self.last, self.last_at) = (*now, Instant::now());
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

fn progress(last: &Statistics, now: &Statistics, span: Duration) -> String {
    let bits = (now.delivered_bytes - last.delivered_bytes) as f64 * 8.0;
    let rate = bits / span.as_secs_f64().max(1e-3) / 1e6;
    format!("{} frames, {} dropped, {rate:.2} Mb/s", now.delivered, dropped(now))
}

fn dropped(counted: &Statistics) -> u64 {
    drops(counted).iter().map(|(_, count)| count).sum()
}

fn drops(counted: &Statistics) -> [(&'static str, u64); 5] {
    [
        ("lost", counted.lost),
        ("lost in bursts", counted.lost_in_burst),
        ("queue full", counted.overflowed),
        ("too long", counted.oversized),
        ("not taken by the device", counted.missed),
    ]
}

/// All that happened: a line for each direction, and one for each device that lost frames itself.
pub(crate) fn summary(
    counted: &Directions<Statistics>,
    devices: &[&Device; 2],
    ran: Duration,
) -> String {
    let mut text = format!("the wire was up for {:.1} s\n", ran.as_secs_f64());
    for (name, counted) in ["left to right", "right to left"].into_iter().zip(counted) {
        text.push_str(&format!(
            "{name}: {} frames and {} bytes in, {} and {} out",
            counted.sent, counted.sent_bytes, counted.delivered, counted.delivered_bytes
        ));
        let others = [
            ("late", counted.reordered),
            ("doubled", counted.duplicated),
            ("corrupted", counted.corrupted),
            ("not copied for want of memory", counted.uncopied),
        ];
        text.push_str(&named(drops(counted).into_iter().chain(others)));
        text.push('\n');
    }
    for device in devices {
        let lost = named(device_losses(&device.statistics()));
        if !lost.is_empty() {
            text.push_str(&format!("{}{}\n", device.name(), lost.replacen(',', ":", 1)));
        }
    }
    text
}

/// What the devices counted before or behind the wire.
fn device_losses(counted: &pmd::dpdk::Statistics) -> [(&'static str, u64); 5] {
    [
        ("missed, the receive ring being full", counted.rx_missed),
        ("missed for want of memory", counted.rx_no_frame),
        ("came damaged", counted.rx_errors),
        ("errors of the driver in sending", counted.tx_errors),
        ("not sent, the link being down", counted.tx_discarded),
    ]
}

fn named(counts: impl IntoIterator<Item = (&'static str, u64)>) -> String {
    let counted = counts.into_iter().filter(|&(_, count)| count > 0);
    counted.map(|(what, count)| format!(", {count} {what}")).collect()
}
