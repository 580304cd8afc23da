//! One connection, as far as it cannot be read from the server's next segment: 48 bytes.

/// A connection of the client.
///
/// Where the next segment begins and what it acknowledges follow from the segment that it answers. They are kept for those that
/// answer nothing: requests that are due by the clock, that wait for room, or that were lost.
#[derive(Clone, Debug)]
pub(crate) struct Flow {
    /// Its place among all that the addresses allow.
    pub(crate) number: u32,
    /// Next to be sent; what is not acknowledged of what was sent; next to be received.
    pub(crate) next: u32,
    pub(crate) acknowledged: u32,
    pub(crate) expected: u32,
    /// The peer's last timestamp.
    pub(crate) echo: u32,
    /// How much the peer can take.
    pub(crate) window: u32,
    /// Bytes of requests to be sent, and of responses still to come.
    pub(crate) owed: u32,
    pub(crate) awaited: u32,
    /// When the request was sent, or was to be: nanoseconds modulo 2^32, which is 4.3 s.
    pub(crate) sent_at: u32,
    /// When something last went on, by the [`coarse`] clock.
    pub(crate) progress: u16,
    pub(crate) state: State,
    pub(crate) timestamps: bool,
    /// It waits for room to send.
    pub(crate) queued: bool,
    /// A request of it is under way.
    pub(crate) asks: bool,
    pub(crate) window_shift: u8,
    /// Segments received and not acknowledged.
    pub(crate) unacknowledged: u8,
    /// ACKs in a row that said nothing new.
    pub(crate) duplicates: u8,
}

const _: () = assert!(size_of::<Flow>() == 48);

/// How far a connection is (RFC 9293, section 3.3.2, in fewer words).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Closed,
    SynSent,
    Open,
    /// We have closed, and the peer has not: FIN-WAIT.
    Closing,
    /// Both have closed, and ours is not acknowledged yet: LAST-ACK.
    LastAck,
}

impl Flow {
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            next: 0,
            acknowledged: 0,
            expected: 0,
            echo: 0,
            window: u32::MAX,
            owed: 0,
            awaited: 0,
            sent_at: 0,
            progress: 0,
            state: State::Closed,
            timestamps: false,
            queued: false,
            asks: false,
            window_shift: 0,
            unacknowledged: 0,
            duplicates: 0,
        }
    }

    /// Bytes in flight, a SYN or FIN counted.
    pub(crate) fn in_flight(&self) -> u32 {
        self.next.wrapping_sub(self.acknowledged)
    }

    /// How many responses of `length` are complete once `len` more bytes have come.
    #[inline]
    pub(crate) fn take(&mut self, len: u32, length: u32) -> u32 {
        let before = self.awaited.div_ceil(length.max(1));
        self.awaited = self.awaited.saturating_sub(len);
        before - self.awaited.div_ceil(length.max(1))
    }
}

/// A clock in units of 4 ms, which comes round after 4.6 minutes.
#[inline]
pub(crate) fn coarse(now: u64) -> u16 {
    (now >> 22 & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_counted_where_they_end() {
        let mut flow = Flow { awaited: 3 * 100, ..Flow::new(0) };
        let complete: Vec<u32> = [99, 1, 150, 50].map(|len| flow.take(len, 100)).to_vec();
        assert_eq!((complete, flow.awaited), (vec![0, 1, 1, 1], 0));
    }
}
