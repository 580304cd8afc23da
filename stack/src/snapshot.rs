//! What a stack says about itself.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::counters::Counter;
use crate::drops::Drop;
use crate::metrics::Metrics;
use crate::neighbor::{Neighbor, Standing};
use crate::steer::{Steering, Verdict};
use crate::tcp::{ConnectionInfo, MemoryPressure};
use crate::wire::ethernet::MacAddr;

/// The state of a running stack, one core after the other.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Each core that answered in time.
    pub cores: Vec<CoreSnapshot>,
    /// Every counter, summed over all cores.
    pub counters: Vec<(Counter, u64)>,
    /// Every reason for dropping, summed over all cores.
    pub drops: Vec<(Drop, u64)>,
    /// Whether the device takes packets to the cores that own them.
    pub steering: Verdict,
}

/// The state of one core.
#[derive(Clone, Debug)]
pub struct CoreSnapshot {
    /// Which core it is.
    pub core: usize,
    /// How long it has run.
    pub uptime: Duration,
    /// Its TCP connections, at most [`CONNECTIONS_MAX`] of them.
    pub connections: Vec<ConnectionInfo>,
    /// How many TCP connections it has, those left out above counted too.
    pub connection_count: usize,
    /// The bytes of memory that its TCP connections take for what nobody has read yet.
    pub buffered: usize,
    /// What gives way because that is too much.
    pub memory_pressure: MemoryPressure,
    /// Every counter, of this core alone. Each core polls queues of its own, so these show how the device spreads packets.
    pub counters: Vec<(Counter, u64)>,
    /// Where its time has gone, up to its last turn.
    #[cfg(feature = "cycles")]
    pub cycles: crate::protocol::Cycles,
    /// Its neighbours on the link.
    pub neighbors: Vec<NeighborInfo>,
}

/// A neighbour on the link, as ARP knows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NeighborInfo {
    /// Its IP address.
    pub address: Ipv4Addr,
    /// Its link-layer address; `None` while it is being asked for.
    pub station: Option<[u8; 6]>,
    /// How sure we are of it.
    pub state: NeighborState,
}

/// How sure we are of a neighbour's link-layer address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NeighborState {
    /// Heard from lately.
    Fresh,
    /// Not heard from lately.
    Stale,
    /// Being asked whether it is still there.
    Checked,
    /// Not known yet: packets wait.
    Sought,
}

impl From<Neighbor> for NeighborInfo {
    fn from(neighbor: Neighbor) -> Self {
        let (station, state) = match neighbor.standing {
            Standing::Fresh(station) => (Some(station), NeighborState::Fresh),
            Standing::Stale(station) => (Some(station), NeighborState::Stale),
            Standing::Checked(station) => (Some(station), NeighborState::Checked),
            Standing::Sought => (None, NeighborState::Sought),
        };
        Self { address: neighbor.address, station: station.map(|MacAddr(bytes)| bytes), state }
    }
}

/// Most connections in one core's snapshot, so that taking it does not hold up packets.
pub const CONNECTIONS_MAX: usize = 1024;

impl Snapshot {
    pub(crate) fn new<'a>(
        cores: Vec<CoreSnapshot>,
        metrics: impl Iterator<Item = &'a Metrics> + Clone,
        steering: &Steering,
    ) -> Self {
        let counters = Counter::ALL
            .iter()
            .map(|&counter| (counter, metrics.clone().map(|core| core.counter(counter)).sum()))
            .collect();
        let drops = Drop::ALL
            .iter()
            .map(|&drop| (drop, metrics.clone().map(|core| core.dropped(drop)).sum()))
            .collect();
        let mut snapshot = Self { cores, counters, drops, steering: Verdict::default() };
        let checked = snapshot.counter(Counter::RssChecked);
        snapshot.steering = steering.verdict(checked, snapshot.counter(Counter::RssMismatches));
        snapshot
    }

    /// The count of `counter` over all cores.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.counters.iter().find(|(name, _)| *name == counter).map_or(0, |(_, count)| *count)
    }

    /// Packets dropped for this reason on all cores.
    pub fn dropped(&self, drop: Drop) -> u64 {
        self.drops.iter().find(|(name, _)| *name == drop).map_or(0, |(_, count)| *count)
    }
}
