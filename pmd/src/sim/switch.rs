//! A switch that learns where addresses are.

use std::collections::HashMap;

use crate::Frame;

/// Ports are numbered in the order in which they were added.
#[derive(Default)]
pub(super) struct Switch {
    /// For each port, the direction that leads out of it.
    ports: Vec<usize>,
    learnt: HashMap<[u8; 6], usize>,
}

impl Switch {
    pub(super) fn add_port(&mut self, direction: usize) -> usize {
        self.ports.push(direction);
        self.ports.len() - 1
    }

    /// The directions in which a frame that came in at `port` goes on: one, or all others while its destination is unknown
    /// or a group.
    pub(super) fn route(&mut self, port: usize, frame: &Frame) -> Vec<usize> {
        let mut addresses = [[0; 6]; 2];
        if frame.copy_to(0, addresses.as_flattened_mut()) < 12 {
            return Vec::new();
        }
        let [destination, source] = addresses;
        self.learn(source, port);
        match self.learnt.get(&destination) {
            Some(&known) if known == port => Vec::new(),
            Some(&known) => vec![self.ports[known]],
            None => {
                let others = self.ports.iter().enumerate().filter(|&(other, _)| other != port);
                others.map(|(_, &direction)| direction).collect()
            }
        }
    }

    fn learn(&mut self, source: [u8; 6], port: usize) {
        let is_group = source[0] & 1 != 0;
        if !is_group && (self.learnt.len() < MOST_LEARNT || self.learnt.contains_key(&source)) {
            self.learnt.insert(source, port);
        }
    }
}

/// Addresses that a switch remembers; further ones are always flooded.
const MOST_LEARNT: usize = 8_192;
