//! Which connection a flow is: an index of places, for the connections themselves know their flows.
//!
//! With 5 bytes per bucket a dozen connections share a cache line of it, and a hundred thousand fit a core's caches.

use super::connection::Connection;
use crate::demux::{FlowHash, FlowKey4};
use crate::gradual::GradualTable;
use crate::table::Table;

/// Places of connections by flow.
pub(super) struct Flows {
    places: GradualTable<u32>,
    hash: FlowHash,
    /// Where flows were last found, by their ports. Who makes flows meet there makes them no slower than they are without it.
    recent: Box<[u32; RECENT]>,
}

/// While there are no more connections than this, they stay in the CPU's caches, and a look at the wrong one costs little.
const RECENT: usize = 1024;

impl Flows {
    pub(super) fn new(hash: FlowHash) -> Self {
        Self { places: GradualTable::new(), hash, recent: Box::new([0; RECENT]) }
    }

    /// The place of a flow's connection.
    #[inline]
    pub(super) fn find(&mut self, connections: &Table<Connection>, flow: &FlowKey4) -> Option<u32> {
        if connections.len() > RECENT {
            return self.look_up(connections, flow);
        }
        let recent = usize::from(flow.remote_port ^ flow.local_port) % RECENT;
        let place = self.recent[recent];
        if flow_at(connections, place) == Some(flow) {
            return Some(place);
        }
        let place = self.look_up(connections, flow)?;
        self.recent[recent] = place;
        Some(place)
    }

    fn look_up(&self, connections: &Table<Connection>, flow: &FlowKey4) -> Option<u32> {
        let is_for = |&place: &u32| flow_at(connections, place) == Some(flow);
        self.places.find(self.hash.of(flow), is_for).copied()
    }

    /// Where the connection of a flow is likely to be, without a look at it.
    #[inline]
    pub(super) fn guess(&self, flow: &FlowKey4) -> Option<u32> {
        self.places.find(self.hash.of(flow), |_| true).copied()
    }

    /// Adds the connection at `place`, whose flow no other has.
    pub(super) fn insert(&mut self, connections: &Table<Connection>, flow: &FlowKey4, place: u32) {
        let Self { places, hash, .. } = self;
        places.insert(hash.of(flow), place, |&place| hash_at(connections, hash, place));
    }

    /// Removes the flow of the connection at `place`, which is still there.
    pub(super) fn remove(&mut self, connections: &Table<Connection>, flow: &FlowKey4, place: u32) {
        let Self { places, hash, .. } = self;
        let rehash = |&place: &u32| hash_at(connections, hash, place);
        places.remove(hash.of(flow), |&other| other == place, rehash);
    }
}

fn flow_at(connections: &Table<Connection>, place: u32) -> Option<&FlowKey4> {
    connections.at(place).map(|connection| &connection.flow)
}

fn hash_at(connections: &Table<Connection>, hash: &FlowHash, place: u32) -> u64 {
    hash.of(flow_at(connections, place).expect("a connection leaves the index with its place"))
}

/// What a connection takes of the index at most, while that is not being resized: 35 % of the buckets are used then.
pub(super) const BYTES: usize = (5 * 100_usize).div_ceil(35);

#[cfg(test)]
mod tests {
    use crate::tcp::harness::Harness;

    /// Hundreds of them, so that the index grows and shrinks between.
    #[test]
    fn each_flow_finds_its_own_connection_and_none_once_that_is_gone() {
        let mut t = Harness::listening(&Harness::plain(), 1000);
        let mut flows = Vec::new();
        for port in 1..=600 {
            t.peer_port = port;
            t.input("S 0 mss 1000").unwrap();
            t.sent();
            t.input("A 1 ack 1").unwrap();
            flows.push(t.flow());
        }
        for (n, flow) in flows.iter().enumerate() {
            let id = t.tcp.find(flow).unwrap();
            assert_eq!(t.tcp.connections.at(id.index).unwrap().flow, *flow);
            assert!(t.tcp.flows.guess(flow).is_some());
            if n % 3 > 0 {
                t.peer_port = flow.remote_port;
                t.input("RA 1 ack 1").unwrap();
            }
        }
        for (n, flow) in flows.iter().enumerate() {
            assert_eq!(t.tcp.find(flow).is_some(), n % 3 == 0);
        }
        // Others take the places, whose ports are not told apart by where flows were last found.
        for port in 1..=400 {
            t.peer_port = 1024 + port;
            t.input("S 0 mss 1000").unwrap();
            t.sent();
            t.input("A 1 ack 1").unwrap();
            assert!(t.tcp.find(&t.flow()).is_some());
        }
        for (n, flow) in flows.iter().enumerate() {
            assert_eq!(t.tcp.find(flow).is_some(), n % 3 == 0);
        }
        let mut stranger = flows[0];
        stranger.local_port += 1;
        assert_eq!(t.tcp.find(&stranger), None);
    }
}
