//! Ports that a stranger must not guess: the local ones of connections that we make (RFC 6056).

use std::ops::RangeInclusive;

use siphasher::sip::SipHasher24;

use super::isn::low_bits;
use crate::demux::FlowKey;
use crate::rng::Rng;

/// Double-hash port selection (RFC 6056, section 3.3.4), with the small random steps of section 3.3.5.
///
/// Towards each peer ports follow each other, so none is used again soon; where they begin is the peer's own secret. How many were used is
/// counted for groups of peers: so what one sees of its own ports tells little about those of another.
pub(super) struct SourcePorts {
    secret: SipHasher24,
    /// Below the number of ports, each.
    counters: Box<[u16]>,
}

/// One look for a free port: the candidates in their order, at most [`TRIES`] of them.
pub(super) struct Search {
    first: u16,
    count: u32,
    /// Where the peer's ports begin.
    offset: u32,
    group: usize,
    counter: u32,
    left: u32,
}

impl SourcePorts {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let secret = SipHasher24::new_with_keys(rng.next_u64(), rng.next_u64());
        let counters = (0..GROUPS).map(|_| (rng.next_u32() >> 16) as u16).collect();
        Self { secret, counters }
    }

    /// A look for a port towards the peer of `flow`, whose local port is zero.
    pub(super) fn search(
        &self,
        ports: &RangeInclusive<u16>,
        flow: &impl FlowKey,
        rng: &mut Rng,
    ) -> Search {
        let count = u32::from(ports.end() - ports.start()) + 1;
        let hash = self.secret.hash(flow.bytes().as_ref());
        let group = low_bits(hash) as usize % GROUPS;
        let counter = (u32::from(self.counters[group]) + rng.below(STEP_MAX)) % count;
        let offset = low_bits(hash >> 32) % count;
        Search { first: *ports.start(), count, offset, group, counter, left: count.min(TRIES) }
    }

    /// The next look goes on behind what this one has tried.
    pub(super) fn remember(&mut self, search: &Search) {
        self.counters[search.group] = u16::try_from(search.counter).unwrap_or(0);
    }
}

impl Iterator for Search {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        self.left = self.left.checked_sub(1)?;
        let step = (self.offset + self.counter) % self.count;
        self.counter = (self.counter + 1) % self.count;
        u16::try_from(u32::from(self.first) + step).ok()
    }
}

/// A thousand would do to tell peers apart; more make it rare that two of a stranger's own share one (which shows him which do).
const GROUPS: usize = 4096;
/// Ports passed over by chance, so that nobody can count how many are used.
const STEP_MAX: u32 = 8;
/// Ports that one connect tries: with eight cores one in eight of them is this core's. Where 99 % of these are in use, it finds one of the
/// rest 199 times in 200, and a search that fails takes 0.1 ms, not 1.
const TRIES: u32 = 4096;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    use super::*;
    use crate::demux::FlowKey4;

    const RANGE: RangeInclusive<u16> = 32_768..=60_999;

    fn towards(peer: u32) -> FlowKey4 {
        FlowKey4 {
            remote: Ipv4Addr::from_bits(0x0a00_0000 + peer),
            local: [10, 0, 0, 1].into(),
            remote_port: 80,
            local_port: 0,
        }
    }

    struct Client {
        ports: SourcePorts,
        rng: Rng,
    }

    impl Client {
        fn new(seed: u8) -> Self {
            let mut rng = Rng::new([seed; 32]);
            Self { ports: SourcePorts::new(&mut rng), rng }
        }

        fn pick(
            &mut self,
            range: &RangeInclusive<u16>,
            peer: u32,
            mut suits: impl FnMut(u16) -> bool,
        ) -> Option<u16> {
            let mut search = self.ports.search(range, &towards(peer), &mut self.rng);
            let found = search.find(|&port| suits(port));
            self.ports.remember(&search);
            found
        }
    }

    #[test]
    fn ports_to_one_peer_follow_each_other_and_come_round() {
        let mut client = Client::new(1);
        let mut last = client.pick(&RANGE, 1, |_| true).unwrap();
        let mut wraps = 0;
        for _ in 0..20_000 {
            let next = client.pick(&RANGE, 1, |_| true).unwrap();
            assert!(RANGE.contains(&next));
            wraps += u32::from(next < last);
            let step = (u32::from(next) + 28_232 - u32::from(last)) % 28_232;
            assert!((1..=STEP_MAX).contains(&step), "{next} after {last}");
            last = next;
        }
        assert!((2..=4).contains(&wraps), "{wraps}: 4.5 ports a step");
    }

    #[test]
    fn where_ports_begin_is_each_peers_own_and_each_start_of_ours() {
        let first_ports = |seed| -> Vec<u16> {
            let mut client = Client::new(seed);
            (0..1000).map(|peer| client.pick(&RANGE, peer, |_| true).unwrap()).collect()
        };
        let (one, other) = (first_ports(1), first_ports(2));
        let distinct: BTreeSet<_> = one.iter().collect();
        assert!(distinct.len() > 950, "{}", distinct.len());
        let same = one.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(same < 5, "{same}");
        for part in 0..4 {
            let range = 32_768 + part * 7058..32_768 + (part + 1) * 7058;
            let count = one.iter().filter(|&&port| range.contains(&port)).count();
            assert!((180..=320).contains(&count), "{count} of 1000 in {range:?}");
        }
    }

    #[test]
    fn what_other_peers_use_moves_a_peers_ports_only_within_its_group() {
        let mut client = Client::new(1);
        let first = client.pick(&RANGE, 0, |_| true).unwrap();
        for peer in 1..200 {
            client.pick(&RANGE, peer, |_| true).unwrap();
        }
        let next = client.pick(&RANGE, 0, |_| true).unwrap();
        assert!((1..=2 * STEP_MAX).contains(&u32::from(next - first)), "{next} after {first}");
    }

    #[test]
    fn a_port_that_does_not_suit_is_passed_over() {
        let mut client = Client::new(1);
        let taken = client.pick(&RANGE, 1, |port| port % 64 == 7).unwrap();
        assert_eq!(taken % 64, 7);
        assert_eq!(client.pick(&(5000..=5003), 1, |port| port == 5002), Some(5002));
        assert_eq!(client.pick(&(5000..=5000), 1, |_| true), Some(5000));
        let all = 1..=u16::MAX;
        assert_eq!(client.pick(&all, 1, |_| true).map(|port| all.contains(&port)), Some(true));
    }

    #[test]
    fn a_search_without_success_is_bounded_and_the_next_goes_on() {
        let mut client = Client::new(1);
        let mut tried = BTreeSet::new();
        for call in 1..=8 {
            let before = tried.len();
            assert_eq!(
                client.pick(&RANGE, 1, |port| {
                    tried.insert(port);
                    false
                }),
                None
            );
            assert!(tried.len() - before <= TRIES as usize);
            if call == 6 {
                assert!(tried.len() > 24_000);
            }
        }
        assert!(tried.len() > 28_232 - 8 * STEP_MAX as usize, "{}", tried.len());
        let mut tries = 0;
        client.pick(&(5000..=5003), 1, |_| {
            tries += 1;
            false
        });
        assert_eq!(tries, 4, "few ports are all tried");
    }
}
