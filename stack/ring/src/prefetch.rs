//! Memory that will be needed soon.

/// Asks the CPU to bring all of a value into its caches, and does not wait for it. A hint: nothing depends on it.
#[inline]
pub fn prefetch<T: ?Sized>(value: &T) {
    let (start, len) = (std::ptr::from_ref(value).cast::<u8>(), size_of_val(value));
    for offset in (0..len.max(1)).step_by(LINE) {
        line(start.wrapping_add(offset));
    }
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
    fn anything_may_be_asked_for() {
        prefetch(&());
        prefetch(&[0_u8; 1000]);
        prefetch::<[u64]>(&[]);
        prefetch("text");
    }
}
