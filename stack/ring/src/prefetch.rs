//! Memory that will be needed soon.

/// Asks the CPU to bring all of a value into its caches, and does not wait for it. A hint: nothing depends on it.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<u8>();
    for offset in line_starts(start.addr(), size_of_val(value)) {
        line(start.wrapping_sub(start.addr() % LINE).wrapping_add(offset));
    }
}

/// Where the lines of `len` bytes begin, the first of which is at `address`, beginning with the line of that.
#[inline]
fn line_starts(address: usize, len: usize) -> impl Iterator<Item = usize> {
    (0..address % LINE + len.max(1)).step_by(LINE)
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
fn line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing that the program could see, and faults for no address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
#[inline]
fn line(_: *const u8) {}

const LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_begins_within_a_line_has_the_line_that_it_ends_in_as_well() {
        let lines = |address, len| line_starts(address, len).collect::<Vec<_>>();
        assert_eq!(lines(128, 64), [0]);
        assert_eq!(lines(144, 64), [0, 64]);
        assert_eq!(lines(191, 1), [0]);
        assert_eq!(lines(191, 2), [0, 64]);
        assert_eq!(lines(16, 440), [0, 64, 128, 192, 256, 320, 384, 448]);
        assert_eq!(lines(7, 0), [0]);
    }

    #[test]
    fn anything_may_be_asked_for() {
        prefetch(&());
        prefetch(&[0_u8; 1000]);
        prefetch::<[u64]>(&[]);
        prefetch("text");
    }
}
