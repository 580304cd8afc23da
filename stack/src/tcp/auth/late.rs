//! What the segments of connections in TIME-WAIT are signed with: few have anything, so it is not in the table of all.

use hashbrown::HashTable;

use super::Auth;
use crate::demux::{FlowHash, FlowKey4};

/// By flow. Each entry lives as long as that of the flow in TIME-WAIT.
pub(in crate::tcp) struct LateAuths {
    table: HashTable<(FlowKey4, Auth)>,
    hash: FlowHash,
}

impl LateAuths {
    pub(in crate::tcp) fn new(hash: FlowHash) -> Self {
        Self { table: HashTable::new(), hash }
    }

    pub(in crate::tcp) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(in crate::tcp) fn insert(&mut self, flow: FlowKey4, auth: Auth) {
        self.remove(&flow);
        let hash = self.hash;
        self.table.insert_unique(hash.of(&flow), (flow, auth), |(flow, _)| hash.of(flow));
    }

    pub(in crate::tcp) fn get(&self, flow: &FlowKey4) -> Option<&Auth> {
        let found = self.table.find(self.hash.of(flow), |(held, _)| held == flow)?;
        Some(&found.1)
    }

    pub(in crate::tcp) fn get_mut(&mut self, flow: &FlowKey4) -> Option<&mut Auth> {
        let found = self.table.find_mut(self.hash.of(flow), |(held, _)| held == flow)?;
        Some(&mut found.1)
    }

    /// The flow is in TIME-WAIT no more.
    pub(in crate::tcp) fn remove(&mut self, flow: &FlowKey4) {
        if self.is_empty() {
            return;
        }
        if let Ok(found) = self.table.find_entry(self.hash.of(flow), |(held, _)| held == flow) {
            found.remove();
        }
    }
}
