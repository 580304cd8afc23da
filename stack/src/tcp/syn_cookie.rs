//! SYN cookies (RFC 4987, section 3.6): what must be remembered of a SYN, folded into the number of our SYN-ACK and its timestamp,
//! so that the peer remembers it for us.
//!
//! The sequence number has, from its low end:
//!
//! | bits | what |
//! |---|---|
//! | 0 to 2 | the peer's segment size, rounded down to one of [`SIZES`] |
//! | 3 | which of the two secrets |
//! | 4 to 31 | a hash, under that secret, of the flow, the peer's number, the segment size and the options |
//!
//! That the peer has asked for accurate ECN feedback is kept nowhere: his ACK shows it ([`shows_accurate_ecn`](super::Tcp::shows_accurate_ecn)).
//!
//! The options have no room there. Where the peer sends timestamps, the low six bits of ours say them; where it does not, the SYN-ACK
//! offers none. The hash covers them either way, so an ACK whose timestamp was tampered with opens nothing.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher24;

use super::connect::DEFAULT_SEGMENT_SIZE;
use super::half_open::{HalfOpen, Offers};
use super::isn::low_bits;
use super::seq::Seq;
use crate::demux::FlowKey;
use crate::rng::Rng;
use crate::time::Instant;

/// The cookies of one core.
///
/// Each secret makes cookies for one [period](PERIOD_MS), and opens them until the end of the next: a cookie is good for one to two periods. The two
/// take turns, so one bit says which it was. A guess is right once in 2^28.
pub(super) struct SynCookies {
    secrets: [SipHasher24; 2],
    /// The period whose secret was drawn last. None is drawn before the first cookie is made.
    drawn: Option<u64>,
    /// The period in which a cookie was made last.
    made: Option<u64>,
}

impl SynCookies {
    pub(super) fn new() -> Self {
        let unused = SipHasher24::new_with_keys(0, 0);
        Self { secrets: [unused; 2], drawn: None, made: None }
    }

    /// The number of the SYN-ACK for a SYN. `entry` is what the SYN says; its ISS is of no account.
    pub(super) fn make(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        flow: &impl FlowKey,
        entry: &HalfOpen,
    ) -> Seq {
        let period = period(now);
        self.turn_over(period, rng);
        self.made = Some(period);
        self.cookie(flow, entry, secret_of(period) * SECRET + size_index(entry.mss))
    }

    /// Whether a cookie may be on its way back. If not, nothing need be hashed.
    pub(super) fn are_awaited(&self, now: Instant) -> bool {
        self.made.is_some_and(|made| period(now) - made < 2)
    }

    /// The segment size in the cookie that `entry` has for its ISS, if it is one, made in this period or the last.
    pub(super) fn open(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        flow: &impl FlowKey,
        entry: &HalfOpen,
    ) -> Option<u16> {
        self.turn_over(period(now), rng);
        let clear = entry.iss.0 & CLEAR;
        let genuine = self.cookie(flow, entry, clear) == entry.iss;
        genuine.then(|| SIZES[(clear % SECRET) as usize])
    }

    /// The cookie with these bits in clear.
    fn cookie(&self, flow: &impl FlowKey, entry: &HalfOpen, clear: u32) -> Seq {
        let mut hash = self.secrets[(clear / SECRET) as usize];
        hash.write(flow.bytes().as_ref());
        hash.write(&entry.irs.0.to_be_bytes());
        hash.write(&clear.to_be_bytes());
        hash.write(&[entry.offers.byte()]);
        Seq(low_bits(hash.finish()) & !CLEAR | clear)
    }

    /// Draws the secrets of the periods that have begun.
    fn turn_over(&mut self, period: u64, rng: &mut Rng) {
        let begun = self.drawn.map_or(2, |drawn| (period - drawn).min(2));
        for ago in 0..begun {
            let keys = (rng.next_u64(), rng.next_u64());
            self.secrets[secret_of(period ^ ago) as usize] =
                SipHasher24::new_with_keys(keys.0, keys.1);
        }
        self.drawn = Some(period);
    }
}

/// The latest timestamp up to `clock` that says in its low bits what was offered.
///
/// Never one that is still to come: the connection's own would then look old (PAWS, RFC 7323, section 5).
pub(super) fn marked_timestamp(clock: u32, offers: Offers) -> u32 {
    let behind = clock.wrapping_sub(offers.beside_timestamps()) % (1 << Offers::BITS);
    clock.wrapping_sub(behind)
}

fn period(now: Instant) -> u64 {
    now.as_millis() / PERIOD_MS
}

/// The two secrets take turns.
fn secret_of(period: u64) -> u32 {
    u32::from(period % 2 == 1)
}

/// The largest of the sizes that the peer takes.
fn size_index(mss: u16) -> u32 {
    let mss = if mss == 0 { DEFAULT_SEGMENT_SIZE } else { mss };
    let larger = SIZES.iter().filter(|&&size| size > mss).count();
    u32::try_from(SIZES.len() - larger).map_or(0, |fit| fit.saturating_sub(1))
}

/// How long one secret makes cookies.
const PERIOD_MS: u64 = 60_000;

/// The least that we send anyway; what a peer takes that says nothing; the least and the usual sizes of IPv6, of tunnels, PPPoE and Ethernet;
/// Ethernet with large frames.
const SIZES: [u16; 8] = [64, 536, 1220, 1360, 1400, 1440, 1460, 8940];

/// The bit that says which secret, above those that say which size.
const SECRET: u32 = 8;
/// The bits that are not the hash's.
const CLEAR: u32 = 15;

const _: () = assert!(SIZES.len() == SECRET as usize && CLEAR == SECRET * 2 - 1);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::demux::FlowKey4;
    use crate::tcp::auth::Signing;

    const FLOW: FlowKey4 = FlowKey4 {
        remote: std::net::Ipv4Addr::new(10, 0, 0, 2),
        local: std::net::Ipv4Addr::new(10, 0, 0, 1),
        remote_port: 4000,
        local_port: 80,
    };

    fn syn(mss: u16, offers: Offers) -> HalfOpen {
        HalfOpen {
            irs: Seq(7),
            iss: Seq(0),
            ts_recent: 0,
            mss,
            offers,
            accurate: None,
            resent: 0,
            signing: Signing::None,
        }
    }

    fn all_offers() -> Offers {
        Offers::new(Some(7), true, true)
    }

    struct Server {
        cookies: SynCookies,
        rng: Rng,
    }

    impl Server {
        fn new() -> Self {
            Self { cookies: SynCookies::new(), rng: Rng::new([1; 32]) }
        }

        fn make(&mut self, second: u64, entry: HalfOpen) -> HalfOpen {
            let now = Instant::from_millis(second * 1000);
            HalfOpen { iss: self.cookies.make(now, &mut self.rng, &FLOW, &entry), ..entry }
        }

        fn open(&mut self, second: u64, flow: &FlowKey4, entry: &HalfOpen) -> Option<u16> {
            self.cookies.open(Instant::from_millis(second * 1000), &mut self.rng, flow, entry)
        }
    }

    #[test]
    fn a_cookie_says_the_segment_size_rounded_down() {
        for (mss, want) in [
            (0, 536),
            (1, 64),
            (64, 64),
            (535, 64),
            (536, 536),
            (1459, 1440),
            (1460, 1460),
            (9000, 8940),
            (u16::MAX, 8940),
        ] {
            let mut server = Server::new();
            let sent = server.make(0, syn(mss, all_offers()));
            assert_eq!(server.open(0, &FLOW, &sent), Some(want), "{mss}");
        }
    }

    #[test]
    fn it_opens_for_its_own_flow_number_and_options_only() {
        let mut server = Server::new();
        let sent = server.make(0, syn(1460, all_offers()));
        for other in [
            HalfOpen { irs: sent.irs + 1, ..sent },
            HalfOpen { iss: sent.iss + 1, ..sent },
            HalfOpen { iss: sent.iss + SECRET, ..sent },
            HalfOpen { iss: sent.iss + 16, ..sent },
            HalfOpen { offers: Offers::NONE, ..sent },
            HalfOpen { offers: Offers::new(Some(8), true, true), ..sent },
            HalfOpen { offers: Offers::new(Some(7), true, false), ..sent },
            HalfOpen { offers: Offers::new(Some(7), false, true), ..sent },
        ] {
            assert_eq!(server.open(0, &FLOW, &other), None, "{other:?}");
        }
        for other in [
            FlowKey4 { remote: [10, 0, 0, 3].into(), ..FLOW },
            FlowKey4 { local: [10, 0, 0, 3].into(), ..FLOW },
            FlowKey4 { remote_port: 4001, ..FLOW },
            FlowKey4 { local_port: 81, ..FLOW },
        ] {
            assert_eq!(server.open(0, &other, &sent), None, "{other:?}");
        }
    }

    #[test]
    fn it_is_good_for_the_rest_of_its_minute_and_the_next() {
        for (made, opened, good) in [
            (0, 0, true),
            (0, 119, true),
            (0, 120, false),
            (0, 240, false),
            (59, 119, true),
            (59, 120, false),
            (60, 179, true),
            (60, 180, false),
            (60, 1_000_000, false),
        ] {
            let mut server = Server::new();
            let sent = server.make(made, syn(1460, all_offers()));
            let got = server.open(opened, &FLOW, &sent);
            assert_eq!(got.is_some(), good, "made at {made} s, opened at {opened} s");
            let awaited = server.cookies.are_awaited(Instant::from_millis(opened * 1000));
            assert_eq!(awaited, good, "made at {made} s, asked at {opened} s");
        }
    }

    #[test]
    fn secrets_take_turns_and_never_come_back() {
        let mut server = Server::new();
        let numbers: BTreeSet<u32> = (0..50)
            .map(|minute| server.make(minute * 60, syn(1460, all_offers())).iss.0 & !CLEAR)
            .collect();
        assert_eq!(numbers.len(), 50);
    }

    #[test]
    fn guesses_open_nothing() {
        let mut server = Server::new();
        server.make(0, syn(1460, Offers::NONE));
        let mut rng = Rng::new([2; 32]);
        for _ in 0..100_000 {
            let guess = HalfOpen { iss: Seq(rng.next_u32()), ..syn(0, Offers::NONE) };
            assert_eq!(server.open(0, &FLOW, &guess), None);
        }
    }

    #[test]
    fn a_marked_timestamp_says_the_options_and_is_no_younger_than_the_clock() {
        for offers in [
            all_offers(),
            Offers::new(None, true, false),
            Offers::new(Some(0), true, true),
            Offers::new(Some(14), true, false),
        ] {
            for clock in (0..200).chain(u32::MAX - 200..=u32::MAX) {
                let marked = marked_timestamp(clock, offers);
                assert!(clock.wrapping_sub(marked) < 64, "{clock}");
                assert_eq!(Offers::with_timestamps(marked), offers, "{clock}");
            }
        }
    }
}
