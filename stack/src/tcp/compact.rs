//! Flows that need so little that a table entry is all they get: the base of the tables of half-open
//! connections and of those in TIME-WAIT.
//!
//! The entry holds the flow's addresses, and the index only its number: 5 bytes per bucket instead of 17 or more.

use crate::demux::{FlowHash, FlowKey};
use crate::gradual::GradualTable;
use crate::linked::{List, Node, Nodes};

/// Entries by flow, each on one list of the table that is built on this.
pub(super) struct Compact<E> {
    nodes: Nodes<E>,
    index: GradualTable<u32>,
    hash: FlowHash,
}

/// Something that knows which flow it is for.
pub(super) trait Entry: Copy {
    type Key: FlowKey;

    fn flow(&self) -> &Self::Key;
}

impl<E: Entry> Compact<E> {
    pub(super) fn new(hash: FlowHash) -> Self {
        Self { nodes: Nodes::new(), index: GradualTable::new(), hash }
    }

    /// The number of a flow's entry, good until that is removed.
    pub(super) fn find(&self, flow: &E::Key) -> Option<u32> {
        let is_for = |&number: &u32| self.nodes[number].flow() == flow;
        self.index.find(self.hash.of(flow), is_for).copied()
    }

    /// Adds the entry of a flow that has none, at the end of `list`.
    pub(super) fn insert(&mut self, list: &mut List, entry: E) {
        let Self { nodes, index, hash } = self;
        let number = nodes.store(|_| entry);
        nodes.append(list, number);
        index.insert(hash.of(entry.flow()), number, |&other| hash.of(nodes[other].flow()));
    }

    /// Removes an entry, and takes it off the list that it is on.
    pub(super) fn remove(&mut self, list: &mut List, number: u32) -> E {
        let Self { nodes, index, hash } = self;
        let is_this = |&other: &u32| other == number;
        let entry = nodes[number];
        index.remove(hash.of(entry.flow()), is_this, |&other| hash.of(nodes[other].flow()));
        nodes.unlink(list, number);
        nodes.release(number)
    }

    /// Takes an entry off the list that it is on. It must go to another at once.
    pub(super) fn take_off(&mut self, list: &mut List, number: u32) {
        self.nodes.unlink(list, number);
    }

    /// Puts an entry that was taken off its list at the end of one.
    pub(super) fn append(&mut self, list: &mut List, number: u32) {
        self.nodes.append(list, number);
    }

    pub(super) fn get(&self, number: u32) -> &E {
        &self.nodes[number]
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut E {
        &mut self.nodes[number]
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }
}

/// What a flow costs at most, while the index is not being resized: its node, and 5 bytes per bucket of an index that is
/// at least 35 % full.
pub(super) const fn bytes_per_flow<E>() -> usize {
    size_of::<Node<E>>() + (5 * 100_usize).div_ceil(35)
}
