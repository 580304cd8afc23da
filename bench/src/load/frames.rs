//! Frames that somebody sends back as they are: what the wire and the device carry at most.

use hdrhistogram::Histogram;

use super::counts::{Counts, histogram};
use super::port::Port;
use super::traffic::Traffic;

/// A bounded number of frames in flight.
pub(crate) struct Frames {
    frame: Vec<u8>,
    in_flight_most: u64,
    in_flight: u64,
    progress: u64,
    counts: Counts,
    latencies: Histogram<u64>,
}

/// Ethernet's type for experiments (IEEE 802).
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
/// Where a frame says when it was sent.
const STAMP: usize = 14;
/// When those that have not come back are taken to be lost.
const PATIENCE: u64 = 20_000_000;

impl Frames {
    /// Frames of `len` bytes, of which `in_flight` are under way.
    pub(crate) fn new(station: [u8; 6], len: u16, in_flight: u64) -> Self {
        let mut frame = [&[0xff; 6][..], &station, &EXPERIMENT].concat();
        frame.resize(usize::from(len).max(STAMP + 8), 0);
        Self {
            frame,
            in_flight_most: in_flight,
            in_flight: 0,
            progress: 0,
            counts: Counts::default(),
            latencies: histogram(),
        }
    }

    fn bounce(&mut self, port: &mut Port, now: u64) {
        let Self { frame, counts, latencies, .. } = self;
        let len = frame.len();
        let returned = port.bounce(|returned| {
            if let Some(stamp) = returned.head_mut().get_mut(STAMP..STAMP + 8) {
                let sent = u64::from_be_bytes(stamp.try_into().unwrap_or_default());
                stamp.copy_from_slice(&now.to_be_bytes());
                latencies.saturating_record(now.saturating_sub(sent));
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
            self.frame[STAMP..STAMP + 8].copy_from_slice(&now.to_be_bytes());
            port.send_bytes(&self.frame);
            self.in_flight += 1;
        }
    }
}

impl Traffic for Frames {
    fn turn(&mut self, port: &mut Port, now: u64) {
        self.bounce(port, now);
        self.fill(port, now);
        port.flush();
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
