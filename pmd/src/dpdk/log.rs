//! DPDK's log: kept aside, so that errors can quote it, or shown on standard error.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use super::Error;

/// How much DPDK says on standard error when it is asked to; by default it says nothing there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogLevel {
    /// What is wrong.
    Warning,
    /// And what is notable.
    Notice,
    /// And what happens.
    Info,
    /// Everything.
    Debug,
}

/// The drivers of network devices in this program, without their `net_`: `["af_packet", "memif", "tap"]`.
///
/// A program that links DPDK dynamically has none before EAL has started and loaded them.
pub fn drivers() -> Vec<String> {
    // Drivers cannot be listed, but each registers a log type `pmd.net.NAME`.
    let mut text = vec![0_u8; 64 << 10];
    // SAFETY: the buffer has the size that is passed.
    if unsafe { dpdk_sys::pmd_log_types(text.as_mut_ptr().cast(), text.len()) } != 0 {
        return vec![];
    }
    let text = CStr::from_bytes_until_nul(&text).unwrap_or_default().to_string_lossy();
    let mut names: Vec<String> = text.lines().filter_map(driver_in).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A line may begin with the type's number and end with its level.
fn driver_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("pmd.net.")?;
    rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
}

impl FromStr for LogLevel {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            "warning" => Ok(Self::Warning),
            "notice" => Ok(Self::Notice),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            _ => Err(Error::EalArgument(format!(
                "log level \"{word}\": it can be warning, notice, info or debug"
            ))),
        }
    }
}

impl LogLevel {
    /// DPDK's number for it.
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Warning => dpdk_sys::RTE_LOG_WARNING,
            Self::Notice => dpdk_sys::RTE_LOG_NOTICE,
            Self::Info => dpdk_sys::RTE_LOG_INFO,
            Self::Debug => dpdk_sys::RTE_LOG_DEBUG,
        }
    }
}

/// Shows the log on standard error.
pub(super) fn show(level: LogLevel) {
    // SAFETY: plain calls; descriptor 2 need not be open for them.
    unsafe {
        dpdk_sys::rte_log_set_global_level(level.number());
        dpdk_sys::pmd_log_to(libc::STDERR_FILENO);
    }
}

/// Keeps the log in a pipe that never blocks its writer: what does not fit is lost.
pub(super) fn keep() {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for two descriptors, which are owned from here on.
    let (reader, writer) = unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) != 0 {
            return;
        }
        (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
    };
    // SAFETY: the descriptor is open; the shim copies it.
    unsafe {
        dpdk_sys::rte_log_set_global_level(dpdk_sys::RTE_LOG_NOTICE);
        dpdk_sys::pmd_log_to(writer.as_raw_fd());
    }
    *KEPT.lock().unwrap_or_else(PoisonError::into_inner) = Some(File::from(reader));
}

/// Forgets what was kept, so that [`reason`] quotes what comes next.
pub(super) fn forget() {
    drop(take());
}

/// Why a call failed: what DPDK logged meanwhile, or else the meaning of its error number.
pub(super) fn reason(code: i32) -> String {
    let log = take();
    let mut lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.dedup();
    if lines.is_empty() { meaning(code) } else { lines.join("; ") }
}

/// The meaning of an error number of either sign.
fn meaning(code: i32) -> String {
    // SAFETY: DPDK returns a string that stays until this thread's next call, and is copied before.
    let text = unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(code.abs())) };
    text.to_string_lossy().into_owned()
}

/// The reading end of the pipe, or nothing while the log goes elsewhere.
static KEPT: Mutex<Option<File>> = Mutex::new(None);

fn take() -> String {
    let mut bytes = vec![];
    if let Some(pipe) = &mut *KEPT.lock().unwrap_or_else(PoisonError::into_inner) {
        // Ends with "would block" when the pipe is empty; what was read until then counts.
        let _ = pipe.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_found_among_log_types() {
        for (line, want) in [
            ("id 57: pmd.net.tap, level is notice", Some("tap")),
            ("id 58: pmd.net.e1000.init, level is notice", Some("e1000")),
            ("pmd.net.af_packet", Some("af_packet")),
            ("id 1: lib.eal, level is info", None),
        ] {
            assert_eq!(driver_in(line), want, "{line}");
        }
    }

    #[test]
    fn the_binary_has_its_drivers() {
        let drivers = drivers();
        for name in
            ["af_packet", "af_xdp", "e1000", "i40e", "ice", "ixgbe", "memif", "null", "pcap"]
        {
            assert!(drivers.iter().any(|driver| driver == name), "{name} in {drivers:?}");
        }
        for name in ["ring", "tap", "vhost", "virtio", "vmxnet3"] {
            assert!(drivers.iter().any(|driver| driver == name), "{name} in {drivers:?}");
        }
    }
}
