//! Chance, from one seed per protocol thread: the same seed gives the same trace.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A protocol thread's source of chance. Not predictable from what it gave before, so good for ports and secrets.
pub(crate) struct Rng(ChaCha12Rng);

impl Rng {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    pub(crate) fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Evenly from `0..bound`, as good as (the bias is below 2^-32); zero when `bound` is.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        // The high half of a 32 x 32 product is below `bound`.
        ((u64::from(self.next_u32()) * u64::from(bound)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_a_bound_holds() {
        let (mut a, mut b) = (Rng::new([7; 32]), Rng::new([7; 32]));
        for bound in [1, 2, 3, 1000, u32::MAX] {
            let value = a.below(bound);
            assert!(value < bound);
            assert_eq!(value, b.below(bound));
        }
        assert_eq!(a.next_u64(), b.next_u64());
        assert_ne!(Rng::new([7; 32]).next_u64(), Rng::new([8; 32]).next_u64());
    }
}
