//! Traces of loss recovery: what the peer says, and what is sent then.

mod fast;
mod spurious;
mod tail;
mod timeout;

use crate::tcp::congestion::controller::Controller;
use crate::tcp::harness::Harness;
use crate::tcp::sender::Phase;
use crate::tcp::{Algorithm, Pacing, TcpConfig};

/// A connection with SACK and without timestamps, a round trip of 100 ms behind it, and a window of ten segments of 1000 bytes.
fn with_sack() -> Harness {
    connected(&TcpConfig { sack: true, ..Harness::plain() }, "sackOK")
}

/// The same without SACK.
fn without_sack() -> Harness {
    connected(&Harness::plain(), "")
}

fn connected(config: &TcpConfig, options: &str) -> Harness {
    let mut t = Harness::connecting(config);
    t.sent();
    t.at(100).input(&format!("SA 0 ack 1 mss 1000 {options}")).unwrap();
    t.sent();
    t.connection(|c| c.ack.quick = 0);
    t
}

impl Harness {
    /// Ten segments go out; what is sent is forgotten.
    fn fill(&mut self) {
        self.write(10_000);
        assert_eq!(self.sent().len(), 10);
    }

    fn phase(&mut self) -> Phase {
        self.connection(|c| c.sender.as_ref().unwrap().phase())
    }

    /// The controller's window, in whole segments, and its threshold.
    fn windows(&mut self) -> (u32, u32) {
        self.connection(|c| {
            let controller = &c.sender.as_ref().unwrap().controller;
            (controller.window() / 1000, controller.ssthresh() / 1000)
        })
    }
}
