//! Numbers that a stranger must not guess: where a connection's sequence numbers and timestamps begin.

use siphasher::sip::SipHasher24;

use crate::demux::FlowKey;
use crate::tcp::seq::Seq;
use crate::time::Instant;

/// Gives every flow numbers of its own, from secrets drawn once per start.
///
/// Peers see these numbers and may try to work back to the secret, so it is SipHash-2-4 here, the
/// variant with the wider margin, and the secrets are not the flow table's. RFC 6528 leaves the hash open.
pub(crate) struct Isn {
    sequence: SipHasher24,
    timestamps: SipHasher24,
}

impl Isn {
    /// From 256 random bits.
    pub(crate) fn new(secret: [u64; 4]) -> Self {
        Self {
            sequence: SipHasher24::new_with_keys(secret[0], secret[1]),
            timestamps: SipHasher24::new_with_keys(secret[2], secret[3]),
        }
    }

    /// The initial sequence number of a connection (RFC 6528, section 3): a clock that all flows share, which
    /// ticks every 4 us, and the flow's own offset. Connections of one flow so begin further and further on, and
    /// nothing about the numbers of another flow can be learnt from it.
    pub(crate) fn first(&self, flow: &impl FlowKey, now: Instant) -> Seq {
        Seq(low_bits(self.sequence.hash(flow.bytes().as_ref()))) + low_bits(now.as_nanos() / 4_000)
    }

    /// What to add to the clock of [`timestamp`] for a flow (RFC 7323, section 7.1, for the reasons of RFC 6528): a peer can
    /// neither read off how long this machine has been running nor link its flows. It is the same for every
    /// connection of a flow, so that a new one continues where TIME-WAIT's ended (RFC 6191).
    pub(crate) fn timestamp_offset(&self, flow: &impl FlowKey) -> u32 {
        low_bits(self.timestamps.hash(flow.bytes().as_ref()))
    }
}

/// The TSval to send (RFC 7323, section 5.4): milliseconds, from a point that only this flow knows.
pub(crate) fn timestamp(now: Instant, offset: u32) -> u32 {
    low_bits(now.as_millis()).wrapping_add(offset)
}

#[expect(clippy::cast_possible_truncation, reason = "these numbers live modulo 2^32")]
pub(super) const fn low_bits(number: u64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demux::FlowKey4;

    const FLOW: FlowKey4 = FlowKey4 {
        remote: std::net::Ipv4Addr::new(0, 1, 2, 3),
        local: std::net::Ipv4Addr::new(4, 5, 6, 7),
        remote_port: 0x0809,
        local_port: 0x0a0b,
    };
    const SECRET: [u64; 4] = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908, 3, 4];

    /// The designers' test vector for the key 00 01 .. 0f and the message 00 01 .. 0b.
    #[test]
    fn the_offset_is_the_published_hash() {
        assert_eq!(
            Isn::new(SECRET).first(&FLOW, Instant::ZERO),
            Seq(low_bits(0x751e_8fbc_860e_e5fb))
        );
    }

    #[test]
    fn the_clock_ticks_every_four_microseconds_and_wraps() {
        let isn = Isn::new(SECRET);
        let begin = isn.first(&FLOW, Instant::ZERO);
        for (nanos, ticks) in [(3_999, 0), (4_000, 1), (1_000_000_000, 250_000), (4_000 << 32, 0)] {
            let later = isn.first(&FLOW, Instant::ZERO + Duration::from_nanos(nanos));
            assert_eq!(later.offset_from(begin), ticks, "after {nanos} ns");
        }
    }

    #[test]
    fn every_flow_and_every_start_has_offsets_of_its_own() {
        let isn = Isn::new(SECRET);
        let mut seen = vec![(isn.first(&FLOW, Instant::ZERO).0, isn.timestamp_offset(&FLOW))];
        for flow in [
            FlowKey4 { remote: [0, 1, 2, 4].into(), ..FLOW },
            FlowKey4 { local: [4, 5, 6, 8].into(), ..FLOW },
            FlowKey4 { remote_port: 1, ..FLOW },
            FlowKey4 { local_port: 1, ..FLOW },
        ] {
            seen.push((isn.first(&flow, Instant::ZERO).0, isn.timestamp_offset(&flow)));
        }
        for changed in 0..4 {
            let mut secret = SECRET;
            secret[changed] ^= 1;
            let other = Isn::new(secret);
            let (first, offset) =
                (other.first(&FLOW, Instant::ZERO).0, other.timestamp_offset(&FLOW));
            assert_eq!((first != seen[0].0, offset != seen[0].1), (changed < 2, changed >= 2));
        }
        let mut numbers: Vec<u32> = seen.into_iter().flat_map(|(a, b)| [a, b]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 10);
    }

    #[test]
    fn timestamps_count_milliseconds_and_wrap() {
        assert_eq!(timestamp(Instant::from_millis(1500), 7), 1507);
        assert_eq!(timestamp(Instant::from_millis(2), u32::MAX), 1);
        assert_eq!(timestamp(Instant::from_millis((1 << 32) + 5), 0), 5);
    }
}
