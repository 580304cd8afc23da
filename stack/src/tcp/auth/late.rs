//! What the segments of connections in TIME-WAIT are signed with: few have anything, so it is not in the table of all.

use hashbrown::HashTable;

use super::arrive::judge;
use super::{Auth, Numbers, Signer};
use crate::demux::{FlowHash, FlowKey4};
use crate::drops::Drop;
use crate::tcp::segment::Segment;
use crate::tcp::seq::Seq;

/// By flow. Each entry lives as long as that of the flow in TIME-WAIT.
pub(in crate::tcp) struct LateAuths {
    table: HashTable<LateAuth>,
    hash: FlowHash,
}

struct LateAuth {
    flow: FlowKey4,
    auth: Auth,
    numbers: Numbers,
}

impl LateAuths {
    pub(in crate::tcp) fn new(hash: FlowHash) -> Self {
        Self { table: HashTable::new(), hash }
    }

    pub(in crate::tcp) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(in crate::tcp) fn insert(&mut self, flow: FlowKey4, auth: Auth, numbers: Numbers) {
        self.remove(&flow);
        let hash = &self.hash;
        let late = LateAuth { flow, auth, numbers };
        self.table.insert_unique(hash.of(&flow), late, |late| hash.of(&late.flow));
    }

    /// The flow is in TIME-WAIT no more.
    pub(in crate::tcp) fn remove(&mut self, flow: &FlowKey4) {
        if self.is_empty() {
            return;
        }
        if let Ok(found) = self.table.find_entry(self.hash.of(flow), |late| late.flow == *flow) {
            found.remove();
        }
    }

    /// What signs our segment with this number.
    pub(in crate::tcp) fn signer(&self, flow: &FlowKey4, seq: Seq) -> Option<Signer<'_>> {
        let late = self.table.find(self.hash.of(flow), |late| late.flow == *flow)?;
        Some(late.auth.signer(late.numbers.sent, seq))
    }

    /// Whether a segment of the flow is signed as those of its connection were.
    pub(super) fn judge(&mut self, flow: &FlowKey4, segment: &mut Segment) -> Result<(), Drop> {
        match self.table.find_mut(self.hash.of(flow), |late| late.flow == *flow) {
            Some(late) => judge(Some(&mut late.auth), flow, segment, late.numbers.received),
            None => judge(None, flow, segment, 0),
        }
    }
}
