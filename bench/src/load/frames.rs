//! Frames that somebody sends back as they are: what the wire and the device carry at most.

use hdrhistogram::Histogram;
use pmd::Burst;

use super::counts::{Counts, histogram};
use super::plan::Pace;
use super::port::Port;
use super::traffic::Traffic;

/// A bounded number of frames in flight.
pub(crate) struct Frames {
    frame: Vec<u8>,
    pace: Pace,
    in_flight_most: u64,
    in_flight: u64,
    progress: u64,
    counts: Counts,
    latencies: Histogram<u64>,
    received: Burst,
}

/// Ethernet's type for experiments (IEEE 802).
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
/// Where a frame says when it was sent.
const STAMP: usize = 14;
/// When those that have not come back are taken to be lost.
const PATIENCE: u64 = 20_000_000;

impl Frames {
    /// Frames of `len` bytes: each is sent when it is due, or else when one of `in_flight` has come back.
    pub(crate) fn new(station: [u8; 6], len: u16, in_flight: u64, pace: Pace) -> Self {
        let mut frame = [&[0xff; 6][..], &station, &EXPERIMENT].concat();
        frame.resize(usize::from(len).max(STAMP + 8), 0);
        Self {
            frame,
            pace,
            in_flight_most: in_flight,
            in_flight: 0,
            progress: 0,
            counts: Counts::default(),
            latencies: histogram(),
            received: Burst::new(),
        }
    }

    fn bounce(&mut self, port: &mut Port, now: u64) {
        let Self { frame, counts, latencies, .. } = self;
        let len = frame.len();
        let returned = port.bounce(|returned| {
            latencies.saturating_record(now.saturating_sub(stamp(returned.head())));
            if let Some(stamp) = returned.head_mut().get_mut(STAMP..STAMP + 8) {
                stamp.copy_from_slice(&now.to_be_bytes());
            }
        });
        if returned > 0 {
            counts.responses += returned as u64;
            counts.bytes_in += (returned * len) as u64;
            self.progress = now;
        }
    }

    fn fill(&mut self, port: &mut Port, now: u64) {
        if now > self.progress + PATIENCE {
            self.counts.resent += self.in_flight;
            (self.in_flight, self.progress) = (0, now);
        }
        while self.in_flight < self.in_flight_most && port.room() > 0 {
            self.send(port, now);
        }
    }

    fn send(&mut self, port: &mut Port, stamp: u64) {
        self.frame[STAMP..STAMP + 8].copy_from_slice(&stamp.to_be_bytes());
        port.send_bytes(&self.frame);
        self.in_flight += 1;
    }

    /// Takes what has come back, with rates: the next frame has a time of its own.
    fn receive(&mut self, port: &mut Port, now: u64) {
        let Self { received, counts, latencies, .. } = self;
        let count = port.receive(received);
        for frame in received.iter() {
            latencies.saturating_record(now.saturating_sub(stamp(frame.head())));
            counts.bytes_in += frame.head().len() as u64;
        }
        received.clear();
        counts.responses += count as u64;
    }

    /// Sends what is due, stamped with when it was: what it then waits for counts.
    fn follow_schedule(&mut self, port: &mut Port, now: u64) {
        // Before times have begun, one frame shows that somebody is there.
        if self.counts.responses == 0 && now > self.progress + PATIENCE {
            self.progress = now;
            self.send(port, now);
        }
        while port.room() > 0 {
            let Pace::Open(schedule) = &mut self.pace else { return };
            let Some(due) = schedule.due(now) else { return };
            self.send(port, due);
        }
    }
}

impl Traffic for Frames {
    fn turn(&mut self, port: &mut Port, now: u64) {
        if let Pace::Open(_) = self.pace {
            self.receive(port, now);
            self.follow_schedule(port, now);
        } else {
            self.bounce(port, now);
            self.fill(port, now);
        }
        port.flush();
    }

    fn begin(&mut self, now: u64) {
        if let Pace::Open(schedule) = &mut self.pace {
            schedule.begin(now);
        }
    }

    fn is_ready(&self) -> bool {
        self.counts.responses > 0
    }

    fn counts(&self) -> Counts {
        Counts { bytes_out: self.counts.bytes_in, ..self.counts }
    }

    fn latencies(&mut self) -> &mut Histogram<u64> {
        &mut self.latencies
    }
}

/// When a frame says that it was sent.
fn stamp(frame: &[u8]) -> u64 {
    let stamp = frame.get(STAMP..STAMP + 8).and_then(|bytes| bytes.try_into().ok());
    stamp.map_or(0, u64::from_be_bytes)
}
