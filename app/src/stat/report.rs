//! What a running darner says of itself, as JSON. The names of counters and drops are those of the stack.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use darner::counters::Counter;
use darner::{ConnectionInfo, CoreSnapshot, NeighborInfo, NeighborState, Snapshot};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// Who reports.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Identity {
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) device: String,
    pub(crate) addresses: Vec<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    pub(crate) identity: Identity,
    pub(crate) counters: BTreeMap<String, u64>,
    /// Packets dropped, by reason; all of them, also those that are zero.
    pub(crate) drops: BTreeMap<String, u64>,
    /// Whether the device takes packets to the cores that own them, in words.
    pub(crate) steering: String,
    pub(crate) cores: Vec<Core>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Core {
    pub(crate) core: usize,
    pub(crate) uptime_seconds: f64,
    /// All TCP connections; the list below may leave some out.
    pub(crate) connection_count: usize,
    /// Bytes of memory that received data takes which nobody has read yet.
    pub(crate) buffered: usize,
    /// What gives way because that is too much, or `none`.
    pub(crate) memory_pressure: String,
    /// The core's share of the counters above: its receive queues are its own.
    pub(crate) counters: BTreeMap<String, u64>,
    pub(crate) connections: Vec<Connection>,
    pub(crate) neighbors: Vec<Neighbor>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Connection {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) state: String,
    pub(crate) in_flight: u32,
    pub(crate) congestion_window: u32,
    pub(crate) send_window: u32,
    pub(crate) receive_window: u32,
    pub(crate) segment_size: u16,
    pub(crate) round_trip_us: Option<u64>,
    pub(crate) timeout_us: u64,
    pub(crate) retransmitted: u32,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Neighbor {
    pub(crate) address: Ipv4Addr,
    /// `None` while it is being asked for.
    pub(crate) link: Option<String>,
    /// `fresh`, `stale`, `checked` or `sought`.
    pub(crate) state: String,
}

impl Identity {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            device: settings.device.to_string(),
            addresses: settings.stack.addresses.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Report {
    pub(crate) fn new(identity: Identity, snapshot: &Snapshot) -> Self {
        let drops = snapshot.drops.iter();
        Self {
            identity,
            counters: named(&snapshot.counters),
            drops: drops.map(|(drop, count)| (drop.name().to_owned(), *count)).collect(),
            steering: snapshot.steering.to_string(),
            cores: snapshot.cores.iter().map(Core::new).collect(),
        }
    }
}

impl Core {
    fn new(core: &CoreSnapshot) -> Self {
        Self {
            core: core.core,
            uptime_seconds: core.uptime.as_secs_f64(),
            connection_count: core.connection_count,
            buffered: core.buffered,
            memory_pressure: core.memory_pressure.name().to_owned(),
            counters: named(&core.counters),
            connections: core.connections.iter().map(Connection::new).collect(),
            neighbors: core.neighbors.iter().map(Neighbor::new).collect(),
        }
    }
}

fn named(counters: &[(Counter, u64)]) -> BTreeMap<String, u64> {
    counters.iter().map(|(counter, count)| (counter.name().to_owned(), *count)).collect()
}

impl Connection {
    fn new(info: &ConnectionInfo) -> Self {
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            local: info.local,
            remote: info.remote,
            state: info.state.name().to_owned(),
            in_flight: info.in_flight,
            congestion_window: info.congestion_window,
            send_window: info.send_window,
            receive_window: info.receive_window,
            segment_size: info.segment_size,
            round_trip_us: info.round_trip.map(micros),
            timeout_us: micros(info.timeout),
            retransmitted: info.retransmitted,
        }
    }
}

impl Neighbor {
    fn new(info: &NeighborInfo) -> Self {
        let link = info.station.map(|bytes| bytes.map(|byte| format!("{byte:02x}")).join(":"));
        let state = match info.state {
            NeighborState::Fresh => "fresh",
            NeighborState::Stale => "stale",
            NeighborState::Checked => "checked",
            NeighborState::Sought => "sought",
        };
        Self { address: info.address, link, state: state.to_owned() }
    }
}
