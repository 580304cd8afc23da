//! How much new data in full segments may wait for the device.
//!
//! Of what a core's connections make no more than [`AT_ONCE`] waits in the outbox, and more is made only when all of that has gone to the device. So what is under
//! way stays small enough for the CPU's caches, whatever the windows allow, and whoever else sends (datagrams, answers, other cores) neither counts nor can keep
//! them from their turn.

/// Full segments of new data that may still be made, and those that may still be in the outbox.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    /// Frames that were ever put into the outbox.
    given: u64,
    /// How many that were when the last full segment was made.
    until: u64,
    /// Full segments made since all of them had last left it.
    made: u32,
}

/// A few bursts, so that a device that has room is not kept waiting.
pub(crate) const AT_ONCE: u32 = 128;

impl Backlog {
    /// A frame was put into the outbox.
    pub(crate) fn give(&mut self) {
        self.given += 1;
    }

    /// A flush begins while so many frames wait in the outbox.
    pub(crate) fn begin(&mut self, waiting: usize) {
        if self.given - waiting as u64 >= self.until {
            self.made = 0;
        }
    }

    /// How many more may be made.
    pub(crate) fn room(&self) -> u32 {
        AT_ONCE.saturating_sub(self.made)
    }

    /// How many frames were ever put into the outbox.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    /// So many were made since there were `before` frames. Those that are not for the device, but for ourselves, do not count.
    pub(crate) fn spend(&mut self, before: u64, segments: u32) {
        if self.given != before {
            self.made = self.made.saturating_add(segments);
            self.until = self.given;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(backlog: &mut Backlog, frames: u32) {
        (0..frames).for_each(|_| backlog.give());
    }

    #[test]
    fn what_was_made_is_taken_before_more_is() {
        let mut backlog = Backlog::default();
        backlog.begin(0);
        assert_eq!(backlog.room(), AT_ONCE);
        given(&mut backlog, 100);
        backlog.spend(0, 100);
        assert_eq!(backlog.room(), AT_ONCE - 100);
        backlog.begin(1);
        assert_eq!(backlog.room(), AT_ONCE - 100);
        given(&mut backlog, 28);
        backlog.spend(100, 28);
        assert_eq!(backlog.room(), 0);
        backlog.begin(1);
        assert_eq!(backlog.room(), 0);
        backlog.begin(0);
        assert_eq!(backlog.room(), AT_ONCE);
    }

    #[test]
    fn what_others_send_does_not_count() {
        let mut backlog = Backlog::default();
        given(&mut backlog, 500);
        backlog.begin(500);
        assert_eq!(backlog.room(), AT_ONCE);
        given(&mut backlog, 1);
        backlog.spend(500, 1);
        given(&mut backlog, 300);
        backlog.begin(300);
        assert_eq!(
            backlog.room(),
            AT_ONCE,
            "the device has taken ours, and none of what came later"
        );
    }

    /// A frame of somebody else is stuck, and says nothing of what goes on without the device.
    #[test]
    fn what_is_for_ourselves_does_not_count() {
        let mut backlog = Backlog::default();
        given(&mut backlog, 1);
        for _ in 0..10 {
            backlog.begin(1);
            assert_eq!(backlog.room(), AT_ONCE);
            backlog.spend(1, AT_ONCE);
        }
    }
}
