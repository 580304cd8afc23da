//! Huge pages or not.

use std::fs;
use std::ptr;

use super::{Error, HugePages, Memory};

/// Decides before EAL is asked, because EAL can be asked only once.
pub(super) fn choose(wanted: HugePages, mib: usize) -> Result<Memory, Error> {
    if wanted == HugePages::Never {
        return Ok(Memory::Ordinary);
    }
    let free_mib = free_mib();
    if free_mib >= mib && mappable() {
        return Ok(Memory::HugePages);
    }
    match wanted {
        HugePages::Always => Err(Error::NoHugePages { needed_mib: mib, free_mib }),
        HugePages::Auto | HugePages::Never => Ok(Memory::Ordinary),
    }
}

/// What the kernel holds free and unpromised, over all sizes of huge pages.
pub(super) fn free_mib() -> usize {
    page_sizes_kib().map(|kib| free_pages(kib) * kib / 1024).sum()
}

/// Whether this process gets a huge page: a control group may forbid it.
fn mappable() -> bool {
    page_sizes_kib().filter(|&kib| free_pages(kib) > 0).any(|kib| {
        let size = kib * 1024;
        let shift = i32::try_from(size.ilog2()).unwrap_or(0) << libc::MAP_HUGE_SHIFT;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB | shift;
        // SAFETY: an anonymous mapping of our own, at an address that the kernel chooses, which is not touched.
        unsafe {
            let page = libc::mmap(ptr::null_mut(), size, libc::PROT_READ, flags, -1, 0);
            page != libc::MAP_FAILED && libc::munmap(page, size) == 0
        }
    })
}

fn page_sizes_kib() -> impl Iterator<Item = usize> {
    fs::read_dir(POOLS).into_iter().flatten().flatten().filter_map(|entry| {
        entry.file_name().to_str()?.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()
    })
}

/// Free ones are counted with those that are promised to mappings, which are not to be had.
fn free_pages(kib: usize) -> usize {
    let count = |file: &str| {
        let text =
            fs::read_to_string(format!("{POOLS}/hugepages-{kib}kB/{file}")).unwrap_or_default();
        text.trim().parse().unwrap_or(0_usize)
    };
    count("free_hugepages").saturating_sub(count("resv_hugepages"))
}

const POOLS: &str = "/sys/kernel/mm/hugepages";
