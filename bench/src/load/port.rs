//! One queue pair, with what waits to be sent.

use pmd::{Burst, Frame, Medium, Pool, QueuePair};

/// A queue pair of a device, and a burst each way.
pub(crate) struct Port {
    queue: Box<dyn QueuePair>,
    outgoing: Burst,
    pool: Pool,
    when_full: WhenFull,
    counts: PortCounts,
}

/// What becomes of frames that a device does not take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum WhenFull {
    /// They wait, and the client with them: nothing is lost between two processes.
    Wait,
    /// They are lost, as on a wire to a NIC whose queue is full: who is overloaded does not slow the client down.
    Lose,
}

/// Frames, from the start on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PortCounts {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// Not taken by the device.
    pub(crate) lost: u64,
    /// Not sent because the pool was empty.
    pub(crate) without_frame: u64,
}

impl Port {
    pub(crate) fn new(queue: Box<dyn QueuePair>, when_full: WhenFull) -> Self {
        let pool = queue.info().pool.clone();
        Self { queue, outgoing: Burst::new(), pool, when_full, counts: PortCounts::default() }
    }

    /// The device's own station address; zero where it has no link headers.
    pub(crate) fn station(&self) -> [u8; 6] {
        match self.queue.info().medium {
            Medium::Ethernet(station) => station,
            Medium::Ip => [0; 6],
        }
    }

    /// Largest IP packet.
    pub(crate) fn mtu(&self) -> u16 {
        self.queue.info().mtu
    }

    pub(crate) fn counts(&self) -> PortCounts {
        self.counts
    }

    /// How many frames can be sent before the device has taken some.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.outgoing.room()
    }

    /// Receives as many frames as can be answered with one each: none while the device takes nothing.
    #[inline]
    pub(crate) fn receive(&mut self, burst: &mut Burst) -> usize {
        if !self.outgoing.is_empty() {
            return 0;
        }
        let count = self.queue.rx_burst(burst);
        self.counts.received += count as u64;
        count
    }

    /// Sends a frame that `write` fills, if there is room and a frame.
    #[inline]
    pub(crate) fn send(&mut self, write: impl FnOnce(&mut Frame) -> Option<()>) -> Option<()> {
        if self.outgoing.room() == 0 {
            self.flush();
        }
        let Some(mut frame) = self.pool.alloc() else {
            self.counts.without_frame += 1;
            return None;
        };
        write(&mut frame)?;
        self.outgoing.push(frame).ok()
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        let _lost_like_any_frame = self.send(|frame| frame.extend_from_slice(bytes));
    }

    /// Hands the device what waits.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if self.outgoing.is_empty() {
            return;
        }
        self.counts.sent += self.queue.tx_burst(&mut self.outgoing) as u64;
        if !self.outgoing.is_empty() && self.when_full == WhenFull::Lose {
            self.counts.lost += self.outgoing.len() as u64;
            self.outgoing.clear();
        }
    }

    /// Sends what has been received as it is, but for what `change` does; for frames that come back.
    pub(crate) fn bounce(&mut self, change: impl FnMut(&mut Frame)) -> usize {
        let count = self.receive_outgoing();
        self.change(change);
        self.flush();
        count
    }

    fn receive_outgoing(&mut self) -> usize {
        self.flush();
        if !self.outgoing.is_empty() {
            return 0;
        }
        let count = self.queue.rx_burst(&mut self.outgoing);
        self.counts.received += count as u64;
        count
    }

    fn change(&mut self, mut change: impl FnMut(&mut Frame)) {
        let mut changed: Burst = std::mem::take(&mut self.outgoing);
        for mut frame in changed.drain() {
            change(&mut frame);
            // It came from there.
            let _ = self.outgoing.push(frame);
        }
    }
}
