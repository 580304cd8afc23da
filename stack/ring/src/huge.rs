//! Large pages for memory that is looked up all over.

use std::mem::MaybeUninit;

/// Asks the kernel to keep memory that nobody has used yet in huge pages (`MADV_HUGEPAGE`), as far as whole ones fit into it. A hint: nothing depends on
/// it, and where the kernel has none, or may give none, the memory comes in small pages.
///
/// A hundred thousand connections lie on more small pages than a CPU remembers, and whoever looks up one of them waits for the page's address first.
pub fn ask_for_huge_pages<T>(memory: &mut [MaybeUninit<T>]) {
    let range = memory.as_mut_ptr_range();
    let start = range.start.addr().next_multiple_of(HUGE);
    let end = range.end.addr() / HUGE * HUGE;
    if start < end {
        advise(range.start.with_addr(start).cast(), end - start);
    }
}

#[cfg(all(target_os = "linux", not(loom), not(miri)))]
fn advise(start: *mut std::ffi::c_void, len: usize) {
    use rustix::mm::{Advice, madvise};
    // SAFETY: the range lies in memory that is borrowed mutably. The advice changes neither its content nor its protection.
    let _ = unsafe { madvise(start, len, Advice::LinuxHugepage) };
}

#[cfg(not(all(target_os = "linux", not(loom), not(miri))))]
fn advise(_: *mut std::ffi::c_void, _: usize) {}

/// Bytes of a huge page: what one entry of a page directory covers on `x86_64`, and elsewhere with pages of 4 KiB.
const HUGE: usize = 2 << 20;

#[cfg(not(loom))]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_what_it_was_afterwards() {
        let mut memory: Vec<u64> = Vec::with_capacity(1 << 20);
        ask_for_huge_pages(memory.spare_capacity_mut());
        memory.extend(0..1 << 20);
        assert!((0..1 << 20).eq(memory));
    }

    #[test]
    fn what_is_smaller_than_a_huge_page_is_left_alone() {
        ask_for_huge_pages::<u8>(&mut []);
        ask_for_huge_pages(Vec::<u8>::with_capacity(HUGE - 1).spare_capacity_mut());
    }
}
