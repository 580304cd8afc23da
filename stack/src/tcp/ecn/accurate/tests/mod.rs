//! Accurate feedback rule by rule. The tests are named after the sections of RFC 9768.

use crate::drops::Drop;
use crate::ip::Ecn;
use crate::tcp::congestion::Handshake;
use crate::tcp::congestion::controller::Controller;
use crate::tcp::ecn::Mode;
use crate::tcp::harness::{Emitted, Harness};
use crate::tcp::info::EcnCounts;
use crate::tcp::{Algorithm, EcnPolicy, TcpConfig};
use crate::wire::tcp_options::{AccurateEcnOption, EcnBytes, FieldOrder};

mod feedback;
mod opening;

const NOTHING: [&str; 0] = [];

fn asking() -> TcpConfig {
    TcpConfig { ecn: EcnPolicy::AskAccurate, sack: true, ..Harness::plain() }
}

/// We have connected, and the peer agrees.
fn client() -> Harness {
    client_with(&asking())
}

fn client_with(config: &TcpConfig) -> Harness {
    let mut t = Harness::connecting(config);
    assert_eq!(t.sent(), ["SEWN 0"]);
    t.at(100).input("SAW 0 ack 1 mss 1000 sackOK acc 1:0:1").unwrap();
    assert_eq!(t.sent(), ["AW 1 ack 1"]);
    t.connection(|c| c.ack.quick = 0);
    t
}

/// The peer has connected, and we have agreed.
fn server() -> Harness {
    let mut t = Harness::listening(&asking(), 1);
    t.input("SEWN 0 mss 1000 sackOK").unwrap();
    assert_eq!(t.sent(), ["SAW 0 ack 1"]);
    t.input("AW 1 ack 1 acc 1:0:1").unwrap();
    assert!(t.accept());
    t.connection(|c| c.ack.quick = 0);
    t
}

fn mode(t: &mut Harness) -> Mode {
    t.connection(|c| c.ecn_mode())
}

fn may_mark(t: &mut Harness) -> bool {
    t.connection(|c| c.rare.accurate().unwrap().reports.may_mark())
}

/// What was sent and was marked, and what has come and was.
fn counts(t: &mut Harness) -> [EcnCounts; 2] {
    t.connection(|c| c.ecn_counts())
}

fn window(t: &mut Harness) -> u32 {
    t.connection(|c| c.sender.as_ref().unwrap().controller.window())
}

fn option(ect0: u32, ce: u32, ect1: u32, count: u8) -> Option<AccurateEcnOption> {
    Some(AccurateEcnOption::new(FieldOrder::Ect0First, EcnBytes { ect0, ce, ect1 }, count))
}

fn options(segments: &[Emitted]) -> Vec<Option<AccurateEcnOption>> {
    segments.iter().map(|segment| segment.options.accurate_ecn).collect()
}
