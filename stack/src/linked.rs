//! Items by number, threaded onto doubly linked lists.
//!
//! Appending to a list and taking an item out of its middle cost constant time. Growth never moves an item, and
//! memory is not given back: a vacated node waits for the next item. The timer wheel and the compact TCP tables are made of this.

use std::ops::{Index, IndexMut};

use crate::blocks::Blocks;

/// The items. An item's index stays valid until it is released.
pub(crate) struct Nodes<T> {
    nodes: Blocks<Node<T>>,
    /// Released nodes; only their `next` is used, because the last one released is reused first.
    vacant: u32,
}

/// One item and its neighbours on whatever list it is on: 8 bytes more than the item.
pub(crate) struct Node<T> {
    previous: u32,
    next: u32,
    item: T,
}

/// The two ends of a list whose items live in a [`Nodes`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct List {
    first: u32,
    last: u32,
}

impl<T: Copy> Nodes<T> {
    pub(crate) const fn new() -> Self {
        Self { nodes: Blocks::new(), vacant: NONE }
    }

    /// Stores what `fill` makes of the item that the node held before, if it held one. The new
    /// item is on no list.
    pub(crate) fn store(&mut self, fill: impl FnOnce(Option<T>) -> T) -> u32 {
        let index = self.vacant;
        if index == NONE {
            return self.push(Node { previous: NONE, next: NONE, item: fill(None) });
        }
        let node = self.node_mut(index);
        let vacant = node.next;
        node.item = fill(Some(node.item));
        self.vacant = vacant;
        index
    }

    fn push(&mut self, node: Node<T>) -> u32 {
        let index = u32::try_from(self.nodes.len()).expect("memory ends before 2^32 nodes do");
        self.nodes.push(node);
        index
    }

    /// Gives up an item that is on no list.
    pub(crate) fn release(&mut self, index: u32) -> T {
        let vacant = self.vacant;
        self.vacant = index;
        let node = self.node_mut(index);
        node.next = vacant;
        node.item
    }

    /// Puts an item that is on no list at the end of `list`.
    pub(crate) fn append(&mut self, list: &mut List, index: u32) {
        let last = list.last;
        list.last = index;
        let node = self.node_mut(index);
        node.previous = last;
        node.next = NONE;
        match last {
            NONE => list.first = index,
            last => self.node_mut(last).next = index,
        }
    }

    /// Takes an item off `list`, which must be the one that it is on.
    pub(crate) fn unlink(&mut self, list: &mut List, index: u32) {
        let &mut Node { previous, next, .. } = self.node_mut(index);
        match previous {
            NONE => list.first = next,
            previous => self.node_mut(previous).next = next,
        }
        match next {
            NONE => list.last = previous,
            next => self.node_mut(next).previous = previous,
        }
    }
}

impl<T> Nodes<T> {
    /// The item at an index that may come from a stale reference.
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.nodes.get(index).map(|node| &node.item)
    }

    fn node_mut(&mut self, index: u32) -> &mut Node<T> {
        self.nodes.get_mut(index).expect("the index of a node that was stored")
    }
}

impl<T> Index<u32> for Nodes<T> {
    type Output = T;

    fn index(&self, index: u32) -> &T {
        self.get(index).expect("the index of an item that was stored")
    }
}

impl<T> IndexMut<u32> for Nodes<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        &mut self.node_mut(index).item
    }
}

impl List {
    pub(crate) const EMPTY: Self = Self { first: NONE, last: NONE };

    /// The index of the item that was appended longest ago.
    pub(crate) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == NONE
    }
}

/// No node: there are never this many.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn contents(nodes: &Nodes<u32>, list: &List) -> Vec<u32> {
        let mut items = vec![];
        let mut at = list.first;
        while at != NONE {
            items.push(nodes[at]);
            at = nodes.nodes.get(at).unwrap().next;
        }
        items
    }

    #[test]
    fn a_node_remembers_what_it_held() {
        let mut nodes = Nodes::new();
        let index = nodes.store(|old| old.map_or(1, |old: u32| old + 1));
        assert_eq!(nodes.release(index), 1);
        assert_eq!(nodes.store(|old| old.unwrap() + 1), index);
        assert_eq!(nodes[index], 2);
        assert_eq!(nodes.get(index + 1), None);
    }

    proptest! {
        /// Two lists share the nodes; each must behave like a deque of its own.
        #[test]
        fn lists_keep_their_order(ops in prop::collection::vec((0_usize..2, any::<bool>(), any::<usize>()), 1..200)) {
            let mut nodes = Nodes::new();
            let mut lists = [List::EMPTY; 2];
            let mut models = [VecDeque::new(), VecDeque::new()];
            let mut next = 0;
            for (which, add, pick) in ops {
                let (list, model) = (&mut lists[which], &mut models[which]);
                if add || model.is_empty() {
                    let index = nodes.store(|_| next);
                    nodes.append(list, index);
                    model.push_back((index, next));
                    next += 1;
                } else {
                    let (index, item) = model.remove(pick % model.len()).unwrap();
                    nodes.unlink(list, index);
                    prop_assert_eq!(nodes.release(index), item);
                }
                prop_assert_eq!(list.is_empty(), model.is_empty());
                prop_assert_eq!(list.first(), model.front().map(|&(index, _)| index));
                for (list, model) in lists.iter().zip(&models) {
                    let want: Vec<u32> = model.iter().map(|&(_, item)| item).collect();
                    prop_assert_eq!(contents(&nodes, list), want);
                }
            }
        }
    }
}
