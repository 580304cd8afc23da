//! Sequence numbers (RFC 9293, section 3.4): arithmetic modulo 2^32 and nothing else.

use std::ops::{Add, AddAssign, Sub};

/// A point on a circle of 2^32 sequence numbers.
///
/// A circle has no total order, so `Seq` does not implement `Ord`: ask [`Seq::precedes`] and its
/// relatives, which compare along the shorter way round. Two points exactly half the circle apart
/// have no shorter way: neither precedes the other. All arithmetic wraps.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Seq(pub(crate) u32);

impl Seq {
    /// Whether `self` lies less than half the circle before `other`.
    pub(crate) const fn precedes(self, other: Self) -> bool {
        other.signed_offset_from(self) > 0
    }

    /// Whether `self` lies less than half the circle after `other`.
    pub(crate) const fn follows(self, other: Self) -> bool {
        self.signed_offset_from(other) > 0
    }

    /// Whether `self` precedes `other` or is the same point.
    pub(crate) const fn at_or_before(self, other: Self) -> bool {
        other.signed_offset_from(self) >= 0
    }

    /// Whether `self` follows `other` or is the same point.
    pub(crate) const fn at_or_after(self, other: Self) -> bool {
        self.signed_offset_from(other) >= 0
    }

    /// How many steps forward lead from `origin` to `self`. A point just before `origin` is nearly
    /// 2^32 steps away.
    pub(crate) const fn offset_from(self, origin: Self) -> u32 {
        self.0.wrapping_sub(origin.0)
    }

    /// The shorter way from `origin` to `self`, negative if it leads backward.
    pub(crate) const fn signed_offset_from(self, origin: Self) -> i32 {
        self.offset_from(origin).cast_signed()
    }

    /// Whether `self` is one of the `len` points that begin with `left`. An empty window holds
    /// nothing.
    pub(crate) const fn is_within(self, left: Self, len: u32) -> bool {
        self.offset_from(left) < len
    }

    /// Whichever of the two is further along.
    pub(crate) const fn later(self, other: Self) -> Self {
        if other.follows(self) { other } else { self }
    }

    /// Whichever of the two is less far along.
    pub(crate) const fn earlier(self, other: Self) -> Self {
        if other.precedes(self) { other } else { self }
    }
}

impl Add<u32> for Seq {
    type Output = Self;

    fn add(self, steps: u32) -> Self {
        Self(self.0.wrapping_add(steps))
    }
}

impl AddAssign<u32> for Seq {
    fn add_assign(&mut self, steps: u32) {
        *self = *self + steps;
    }
}

impl Sub<u32> for Seq {
    type Output = Self;

    fn sub(self, steps: u32) -> Self {
        Self(self.0.wrapping_sub(steps))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_survives_the_wrap() {
        assert!(Seq(u32::MAX).precedes(Seq(0)));
        assert!(Seq(0).follows(Seq(u32::MAX)));
        assert!(!Seq(0).precedes(Seq(u32::MAX)));
        assert!(!Seq(7).precedes(Seq(7)) && !Seq(7).follows(Seq(7)));
        assert!(Seq(7).at_or_before(Seq(7)) && Seq(7).at_or_after(Seq(7)));
    }

    #[test]
    fn opposite_points_are_unordered() {
        let (a, b) = (Seq(5), Seq(5 + (1 << 31)));
        assert!(!a.precedes(b) && !b.precedes(a) && !a.follows(b) && !b.follows(a));
        assert!(!a.at_or_before(b) && !a.at_or_after(b));
    }

    #[test]
    fn windows_are_half_open_and_wrap() {
        for (name, point, left, len, want) in [
            ("empty window", 10, 10, 0, false),
            ("left edge", 10, 10, 1, true),
            ("right edge is outside", 11, 10, 1, false),
            ("before the left edge", 9, 10, 100, false),
            ("across the wrap", 3, u32::MAX - 3, 8, true),
            ("past a wrapped right edge", 4, u32::MAX - 3, 8, false),
            ("the largest window of RFC 7323", (1 << 30) - 1, 0, 1 << 30, true),
        ] {
            assert_eq!(Seq(point).is_within(Seq(left), len), want, "{name}");
        }
    }

    /// Numbers that matter: near a common origin, near its opposite point, and anywhere.
    fn steps() -> impl Strategy<Value = u32> {
        prop_oneof![0_u32..4, (1_u32 << 31) - 3..(1 << 31) + 3, any::<u32>()]
    }

    proptest! {
        /// The oracle walks a line: positions are 64-bit numbers less than half a circle apart.
        #[test]
        fn points_close_together_compare_like_numbers(
            origin in any::<u32>(), a in 0_u64..1 << 31, b in 0_u64..1 << 31,
        ) {
            let [x, y] = [a, b].map(|steps| Seq(origin) + u32::try_from(steps).unwrap());
            prop_assert_eq!(x.precedes(y), a < b);
            prop_assert_eq!(x.follows(y), a > b);
            prop_assert_eq!(x.at_or_before(y), a <= b);
            prop_assert_eq!(x.at_or_after(y), a >= b);
            prop_assert_eq!(i64::from(x.signed_offset_from(y)), a.cast_signed() - b.cast_signed());
            prop_assert_eq!(x.later(y), if a < b { y } else { x });
            prop_assert_eq!(x.earlier(y), if a < b { x } else { y });
        }

        #[test]
        fn precedes_and_follows_mirror_each_other(origin in any::<u32>(), far in steps()) {
            let (a, b) = (Seq(origin), Seq(origin) + far);
            prop_assert_eq!(a.precedes(b), b.follows(a));
            prop_assert_eq!(a.at_or_before(b), b.at_or_after(a));
            prop_assert!(!(a.precedes(b) && a.follows(b)));
            prop_assert_eq!(a.at_or_before(b), a == b || a.precedes(b));
        }

        #[test]
        fn offsets_undo_addition(origin in any::<u32>(), far in steps()) {
            let mut moved = Seq(origin);
            moved += far;
            prop_assert_eq!(moved.offset_from(Seq(origin)), far);
            prop_assert_eq!(moved - far, Seq(origin));
        }

        #[test]
        fn window_membership_counts_steps_from_the_left_edge(
            left in any::<u32>(), len in steps(), far in steps(),
        ) {
            prop_assert_eq!((Seq(left) + far).is_within(Seq(left), len), far < len);
        }
    }
}
