//! How many ICMP errors leave us (RFC 1122, section 3.2.2; RFC 1812, section 4.3.2.8).

use std::time::Duration;

use crate::rng::Rng;
use crate::time::Instant;

/// A token bucket, kept as the time at which it will be full again.
///
/// One bucket serves all destinations. An attacker could fill it from his own address, and learn from what is missing what
/// others were told; a forger of DNS answers can find open ports that way. So a message takes one token or two,
/// by chance.
#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    full_at: Instant,
}

impl RateLimit {
    /// Whether one more error may be sent now.
    pub(crate) fn permits(&mut self, now: Instant, rng: &mut Rng) -> Permission {
        let full_at = self.full_at.max(now);
        if full_at.since(now) >= INTERVAL * BURST {
            return Permission::Denied;
        }
        self.full_at = full_at + INTERVAL * (1 + rng.below(2));
        Permission::Granted
    }
}

/// Whether to send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Permission {
    Denied,
    Granted,
}

/// Up to two hundred a second for long.
const INTERVAL: Duration = Duration::from_millis(5);
/// Up to fifty at once.
const BURST: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let (mut limit, mut rng) = (RateLimit::default(), Rng::new([3; 32]));
        let mut granted_at = |now: Instant| {
            let asked = std::iter::repeat_with(|| limit.permits(now, &mut rng));
            asked.take(1000).filter(|&answer| answer == Permission::Granted).count()
        };
        let now = Instant::from_millis(1000);
        assert!((25..=50).contains(&granted_at(now)));
        assert!(granted_at(now) == 0);
        let later: usize =
            (1..=100).map(|tenth| granted_at(now + Duration::from_millis(100) * tenth)).sum();
        assert!((1000..=2000).contains(&later), "{later} in ten seconds");
    }
}
