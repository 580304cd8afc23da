//! What the wire has done, as a line that changes and as a summary.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
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

/// All that happened: a line for each direction.
pub(crate) fn summary(counted: &Directions<Statistics>, ran: Duration) -> String {
    let mut text = format!("the wire was up for {:.1} s\n", ran.as_secs_f64());
    for (name, counted) in ["left to right", "right to left"].into_iter().zip(counted) {
        text.push_str(&format!(
            "{name}: {} frames and {} bytes in, {} and {} out",
            counted.sent, counted.sent_bytes, counted.delivered, counted.delivered_bytes
        ));
        let others = [
            ("marked", counted.marked),
            ("late", counted.reordered),
            ("doubled", counted.duplicated),
            ("corrupted", counted.corrupted),
            ("not copied for want of memory", counted.uncopied),
        ];
        text.push_str(&named(drops(counted).into_iter().chain(others)));
        text.push('\n');
    }
    text
}

/// What a device lost by itself; no line if that is nothing.
pub(crate) fn device_line(name: &str, counted: &pmd::dpdk::Statistics) -> String {
    let lost = named(device_losses(counted));
    if lost.is_empty() { lost } else { format!("{name}{}\n", lost.replacen(',', ":", 1)) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_named() {
        let there = Statistics {
            sent: 9,
            sent_bytes: 900,
            delivered: 6,
            delivered_bytes: 600,
            lost: 2,
            overflowed: 1,
            reordered: 3,
            ..Statistics::default()
        };
        let text = summary(&[there, Statistics::default()], Duration::from_millis(1500));
        assert_eq!(
            text,
            "the wire was up for 1.5 s\n\
             left to right: 9 frames and 900 bytes in, 6 and 600 out, 2 lost, 1 queue full, 3 late\n\
             right to left: 0 frames and 0 bytes in, 0 and 0 out\n"
        );
        let losses = pmd::dpdk::Statistics { rx_missed: 4, tx_discarded: 5, ..Default::default() };
        assert_eq!(
            device_line("tap:x", &losses),
            "tap:x: 4 missed, the receive ring being full, 5 not sent, the link being down\n"
        );
        assert_eq!(device_line("tap:x", &pmd::dpdk::Statistics::default()), "");
    }

    #[test]
    fn the_line_shows_how_much_came_since_the_last() {
        let last = Statistics { delivered: 1, delivered_bytes: 1000, ..Statistics::default() };
        let now = Statistics { delivered: 5, delivered_bytes: 251_000, lost: 2, ..last };
        let shown = progress(&last, &now, Duration::from_millis(500));
        assert_eq!(shown, "5 frames, 2 dropped, 4.00 Mb/s");
    }
}
