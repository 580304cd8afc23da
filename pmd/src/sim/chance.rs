//! Chance that follows from a seed (the SplitMix64 generator: Steele, Lea, Flood 2014).

/// A sequence of numbers that look random, and are the same for the same seed.
///
/// ```
/// use pmd::sim::Chance;
///
/// let [mut one, mut other] = [7, 7].map(Chance::new);
/// assert_eq!(one.below(6), other.below(6));
/// ```
pub struct Chance(u64);

impl Chance {
    /// The sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..bound`; 0 if the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The upper half of a product is below the bound: it fits.
        u64::try_from((u128::from(self.next()) * u128::from(bound)) >> 64).unwrap_or(u64::MAX)
    }

    /// Whether something of this probability happens. What cannot or must happen takes no number from the sequence.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        if probability <= 0.0 {
            return false;
        }
        if probability >= 1.0 {
            return true;
        }
        // 53 bits are what a double holds exactly.
        ((self.next() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_met() {
        let mut chance = Chance::new(1);
        for (probability, want) in [(0.0, 0..=0), (0.1, 9_500..=10_500), (1.0, 100_000..=100_000)] {
            let times = (0..100_000).filter(|_| chance.happens(probability)).count();
            assert!(want.contains(&times), "{probability}: {times}");
        }
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_all_of_it() {
        let mut chance = Chance::new(2);
        let mut seen = [false; 10];
        (0..1_000).for_each(|_| seen[usize::try_from(chance.below(10)).unwrap()] = true);
        assert_eq!(seen, [true; 10]);
        assert_eq!(chance.below(0), 0);
    }
}
