//! One round trip, told by bytes.

/// Over once everything that was in flight when it began has left the network.
///
/// A controller that reacts at most once per round trip does so in the middle of one, where the connection's own rounds
/// say nothing of when the next is due.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct RoundTrip {
    left: u32,
}

impl RoundTrip {
    pub(super) fn begin(flight: u32) -> Self {
        Self { left: flight }
    }

    /// So many bytes have been delivered, or lost.
    pub(super) fn pass(&mut self, bytes: u32) {
        self.left = self.left.saturating_sub(bytes);
    }

    pub(super) fn is_over(self) -> bool {
        self.left == 0
    }
}
