//! What is known about the largest packet that paths carry (RFC 1191).

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::time::Instant;

/// A bounded memory of destinations whose path is narrower than our own link.
#[derive(Debug, Default)]
pub(crate) struct PathMtus {
    paths: HashMap<Ipv4Addr, Path>,
}

#[derive(Clone, Copy, Debug)]
struct Path {
    mtu: u16,
    /// When the value is forgotten: the path may have become wider (RFC 1191, section 6.3).
    until: Instant,
}

impl PathMtus {
    /// The largest packet for `destination`, if its path is known to be narrower than `link_mtu`.
    pub(crate) fn narrow(&self, destination: Ipv4Addr, link_mtu: u16, now: Instant) -> u16 {
        match self.paths.get(&destination) {
            Some(path) if path.until > now => path.mtu.min(link_mtu),
            _ => link_mtu,
        }
    }

    /// Learns from a router's "fragmentation needed" that `destination` is behind a hop of `reported` bytes, which
    /// refused a packet of `refused` bytes. Returns the new value, or `None` when nothing was learnt: paths only get
    /// narrower by such messages, never wider (RFC 1191, section 6.3).
    pub(crate) fn learn(&mut self, destination: Ipv4Addr, heard: Heard) -> Option<u16> {
        let Heard { reported, refused, link_mtu, now } = heard;
        let known = self.narrow(destination, link_mtu, now);
        let mtu = claimed_mtu(reported, refused);
        if mtu >= known {
            return None;
        }
        self.make_room();
        self.paths.insert(destination, Path { mtu, until: now + AGE });
        Some(mtu)
    }

    /// Keeps the table bounded: at the limit, the half that would be forgotten first is forgotten now. Rare, so that the
    /// search costs little per path learnt.
    fn make_room(&mut self) {
        if self.paths.len() < MOST_PATHS {
            return;
        }
        let mut ends: Vec<Instant> = self.paths.values().map(|path| path.until).collect();
        let (_, &mut median, _) = ends.select_nth_unstable(MOST_PATHS / 2);
        self.paths.retain(|_, path| path.until > median);
    }
}

/// What a "fragmentation needed" message says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    /// The MTU of the next hop, as the router has it.
    pub(crate) reported: u16,
    /// Total length of the packet that it quotes.
    pub(crate) refused: u16,
    /// Our own link's MTU.
    pub(crate) link_mtu: u16,
    pub(crate) now: Instant,
}

/// What a router claims to carry that `reported` so much when it refused a packet of `refused` bytes. One that does not report
/// its MTU sends zero (RFC 1191, section 5).
pub(crate) fn claimed_mtu(reported: u16, refused: u16) -> u16 {
    if reported == 0 { plateau_below(refused) } else { reported }.max(LEAST_MTU)
}

/// The next MTU in use below `len` (RFC 1191, section 7.1).
fn plateau_below(len: u16) -> u16 {
    PLATEAUS.into_iter().find(|&plateau| plateau < len).unwrap_or(LEAST_MTU)
}

/// Table 7-1 of RFC 1191, as far as it matters to us.
const PLATEAUS: [u16; 8] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 576];

/// Reports of less are taken for this. RFC 791 lets a hop be as narrow as 68 bytes, but none is today, and a forged
/// report would make us send a flood of tiny packets.
pub(crate) const LEAST_MTU: u16 = 552;

/// RFC 1191, section 6.3, asks for ten minutes.
pub(crate) const AGE: Duration = Duration::from_secs(600);

/// Anyone who can guess a connection can make us remember a path.
const MOST_PATHS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

    fn heard(reported: u16, refused: u16, now: Instant) -> Heard {
        Heard { reported, refused, link_mtu: 1500, now }
    }

    #[test]
    fn a_path_narrows_and_is_forgotten_after_ten_minutes() {
        let mut paths = PathMtus::default();
        let now = Instant::from_millis(5);
        for (name, reported, refused, want) in [
            ("wider than the link", 9000, 1500, None),
            ("narrower", 1400, 1500, Some(1400)),
            ("the same again", 1400, 1500, None),
            ("wider than known", 1450, 1500, None),
            ("an old router, which reports nothing", 0, 1400, Some(1006)),
            ("absurdly narrow", 1, 1006, Some(552)),
            ("nothing is narrower than that", 0, 552, None),
        ] {
            assert_eq!(paths.learn(PEER, heard(reported, refused, now)), want, "{name}");
        }
        assert_eq!(paths.narrow(PEER, 1500, now + Duration::from_secs(599)), 552);
        assert_eq!(paths.narrow(PEER, 1500, now + Duration::from_secs(600)), 1500);
    }

    #[test]
    fn memory_is_bounded_and_the_newest_paths_stay() {
        let mut paths = PathMtus::default();
        let host = |n: u32| Ipv4Addr::from_bits(0x0a00_0000 + n);
        for n in 0..3000 {
            let now = Instant::from_millis(u64::from(n));
            assert_eq!(paths.learn(host(n), heard(1000, 1500, now)), Some(1000));
        }
        assert!((MOST_PATHS / 2..=MOST_PATHS).contains(&paths.paths.len()));
        let now = Instant::from_millis(3000);
        assert_eq!(paths.narrow(host(2999), 1500, now), 1000);
        assert_eq!(paths.narrow(host(0), 1500, now), 1500);
    }
}
