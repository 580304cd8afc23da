//! Two devices and a simulated wire between them: what arrives at one leaves by the other, when and if the wire says so.
//!
//! Time is told, so that the same bridge runs in real time and, in its tests, in virtual time.

use std::os::fd::BorrowedFd;

use pmd::sim::{End, Sim, SimQueue, Statistics, Way, Wire};
use pmd::{Burst, QueuePair};

/// What the wire does in each direction; an element each for left to right and for right to left.
pub(crate) type Directions<T> = [T; 2];

/// Two devices with a wire between them.
pub(crate) struct Bridge {
    sim: Sim,
    sides: [Side; 2],
}

/// A device, and the end of the wire that is plugged into it.
struct Side {
    device: Box<dyn QueuePair>,
    end: SimQueue,
    /// What the wire has delivered and the device has not taken yet.
    leaving: Burst,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Turn {
    /// Frames moved, and more may wait.
    Moved,
    /// Nothing moved, as all that waits is not due yet.
    Idle,
    /// Nothing moved, and a device does not take what is due.
    Blocked,
}

/// Frames that wait at the end of the wire for a device that does not take them: as in a large NIC's ring.
const RING: usize = 4096;

impl Bridge {
    /// Everything that chance decides follows from `seed`.
    pub(crate) fn new(
        devices: [Box<dyn QueuePair>; 2],
        wires: Directions<Wire>,
        seed: u64,
    ) -> Self {
        let mut sim = Sim::new(seed);
        let [left, right] = devices;
        let [there, back] = wires;
        let (left_end, right_end) = sim.link(end_for(&*left, 1), end_for(&*right, 2), there);
        sim.change(right_end.id(), Way::Out, |wire| *wire = back);
        let side = |device, end| Side { device, end, leaving: Burst::new() };
        Self { sim, sides: [side(left, left_end), side(right, right_end)] }
    }

    /// Moves a burst from each device onto the wire, and one from the wire to each device. `now` is in nanoseconds since the
    /// start, and never less than before.
    pub(crate) fn turn(&mut self, now: u64) -> Turn {
        self.sim.advance(now);
        let mut moved = 0;
        for side in &mut self.sides {
            moved += side.take_in();
        }
        // What has no delay is due at once.
        self.sim.advance(now);
        for side in &mut self.sides {
            moved += side.give_out();
        }
        match self.sides.iter().all(|side| side.leaving.is_empty()) {
            _ if moved > 0 => Turn::Moved,
            true => Turn::Idle,
            false => Turn::Blocked,
        }
    }

    /// When the next frame is due, in nanoseconds since the start.
    pub(crate) fn next_due(&self) -> Option<u64> {
        self.sim.next_event()
    }

    /// Descriptors that are readable while frames wait at a device; `None` for a device that must be polled.
    pub(crate) fn wait_descriptors(&self) -> [Option<BorrowedFd<'_>>; 2] {
        self.sides.each_ref().map(|side| side.device.wait_descriptor())
    }

    /// What has happened so far.
    pub(crate) fn statistics(&self) -> Directions<Statistics> {
        self.sides.each_ref().map(|side| self.sim.statistics(side.end.id(), Way::Out))
    }
}

fn end_for(device: &dyn QueuePair, number: u16) -> End {
    let info = device.info();
    End { mtu: info.mtu, rx_ring: RING, ..End::new(number).with_pool(info.pool.clone()) }
}

impl Side {
    fn take_in(&mut self) -> usize {
        let mut burst = Burst::new();
        let count = self.device.rx_burst(&mut burst);
        self.end.tx_burst(&mut burst);
        count
    }

    fn give_out(&mut self) -> usize {
        self.end.rx_burst(&mut self.leaving);
        if self.leaving.is_empty() { 0 } else { self.device.tx_burst(&mut self.leaving) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pmd::Pool;
    use pmd::mem::{self, MemHandle};
    use pmd::sim::Rate;

    use super::*;

    /// A bridge between two devices whose frames go in and come out by hand.
    fn bridge(wires: Directions<Wire>) -> (Bridge, [MemHandle; 2]) {
        let device = || mem::ethernet(Pool::heap(64, 2048), 1500, [2, 0, 0, 0, 0, 1]);
        let ((left, at_left), (right, at_right)) = (device(), device());
        (Bridge::new([Box::new(left), Box::new(right)], wires, 1), [at_left, at_right])
    }

    fn wire(delay: u64) -> Wire {
        Wire { delay: Duration::from_nanos(delay), ..Wire::default() }
    }

    #[test]
    fn each_direction_has_its_own_delay() {
        let (mut bridge, [left, right]) = bridge([wire(500), wire(70)]);
        left.inject_bytes(&[1; 60]).unwrap();
        right.inject_bytes(&[2; 60]).unwrap();
        assert_eq!(bridge.turn(1000), Turn::Moved);
        assert_eq!((bridge.turn(1069), bridge.next_due()), (Turn::Idle, Some(1070)));
        assert_eq!((left.transmitted(), right.transmitted()), (0, 0));
        assert_eq!(bridge.turn(1070), Turn::Moved);
        assert_eq!(left.take_bytes(), Some(vec![2; 60]));
        assert_eq!(bridge.turn(1499), Turn::Idle);
        bridge.turn(1500);
        assert_eq!(right.take_bytes(), Some(vec![1; 60]));
        assert_eq!(bridge.next_due(), None);
    }

    #[test]
    fn without_a_delay_a_frame_passes_within_a_turn() {
        let (mut bridge, [left, right]) = bridge([wire(0), wire(0)]);
        left.inject_bytes(&[1; 60]).unwrap();
        assert_eq!((bridge.turn(5), right.transmitted()), (Turn::Moved, 1));
    }

    #[test]
    fn a_late_turn_does_not_stretch_the_rate() {
        // 1000 bytes at 8 Gb/s take 1000 ns.
        let rate = Wire { rate: Some(Rate::new(8_000_000_000)), ..Wire::default() };
        let (mut bridge, [left, right]) = bridge([rate, Wire::default()]);
        (0..3).for_each(|_| left.inject_bytes(&[1; 1000]).unwrap());
        bridge.turn(0);
        bridge.turn(2900);
        assert_eq!((right.transmitted(), bridge.next_due()), (2, Some(3000)));
    }

    #[test]
    fn a_device_that_takes_nothing_blocks_its_own_side_only() {
        let (mut bridge, [left, right]) = bridge([wire(0), wire(0)]);
        right.limit_transmit(0);
        left.inject_bytes(&[1; 60]).unwrap();
        bridge.turn(0);
        assert_eq!(bridge.turn(1), Turn::Blocked);
        right.inject_bytes(&[2; 60]).unwrap();
        assert_eq!((bridge.turn(2), left.transmitted()), (Turn::Moved, 1));
        right.limit_transmit(64);
        assert_eq!((bridge.turn(3), right.transmitted()), (Turn::Moved, 1));
        let [there, back] = bridge.statistics();
        assert_eq!((there.delivered, back.delivered), (1, 1));
    }
}
