//! The identification field (RFC 6864).

use std::net::Ipv4Addr;

use crate::rng::Rng;

/// Numbers for datagrams that may be fragmented.
///
/// Such datagrams need a number that is not used again for the same source, destination and protocol while an
/// earlier one may still be on its way (RFC 6864, section 4.3). One counter for all would tell an observer how much we
/// send to others (RFC 7739, section 5.1, for IPv6), so there are many, each shared by the flows that a secret hash
/// sends there.
pub(crate) struct Identification {
    counters: Box<[u16; COUNTERS]>,
    secret: u64,
}

impl Identification {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut counters = Box::new([0; COUNTERS]);
        for counter in counters.iter_mut() {
            *counter = (rng.next_u32() >> 16) as u16;
        }
        Self { counters, secret: rng.next_u64() }
    }

    /// The number of the next datagram.
    pub(crate) fn next(&mut self, source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> u16 {
        let flow = u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits());
        let mixed = mix(mix(flow ^ self.secret) ^ u64::from(protocol));
        // The top byte: `COUNTERS` is 256.
        let counter = &mut self.counters[usize::from((mixed >> 56) as u8)];
        *counter = counter.wrapping_add(1);
        // Flows that share a counter see different stretches of it.
        counter.wrapping_add((mixed & 0xffff) as u16)
    }
}

/// A finalizer with full avalanche (the constants are those of David Stafford's variant 13).
fn mix(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

const COUNTERS: usize = 256;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    #[test]
    fn no_number_repeats_within_65536_datagrams_of_a_flow() {
        let mut identification = Identification::new(&mut Rng::new([1; 32]));
        let peer = Ipv4Addr::new(10, 0, 0, 2);
        let numbers: HashSet<u16> =
            (0..=u16::MAX).map(|_| identification.next(US, peer, 17)).collect();
        assert_eq!(numbers.len(), 65_536);
    }

    #[test]
    fn flows_do_not_share_one_sequence() {
        let mut identification = Identification::new(&mut Rng::new([1; 32]));
        let firsts: HashSet<u16> = (0..100)
            .map(|host| identification.next(US, Ipv4Addr::new(10, 0, 1, host), 17))
            .collect();
        assert!(firsts.len() > 95, "{}", firsts.len());
    }
}
