//! `darner stat`: what a running darner does.
//!
//! A running program listens on a Unix socket and writes one [`Report`](report::Report) as JSON to whoever connects.

mod client;
mod report;
mod server;

use std::path::PathBuf;

use pmd::dpdk::DeviceSpec;

pub(crate) use client::run;
pub(crate) use report::Identity;
pub(crate) use server::{Server, Socket};

/// The socket of the darner that runs on `device`.
pub(crate) fn default_socket(device: &DeviceSpec) -> PathBuf {
    let name: String =
        device
            .to_string()
            .chars()
            .map(|character| {
                if character.is_ascii_alphanumeric() || character == '.' { character } else { '-' }
            })
            .collect();
    folder().join(format!("{PREFIX}{name}{SUFFIX}"))
}

fn folder() -> PathBuf {
    std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
}

const PREFIX: &str = "darner-";
const SUFFIX: &str = ".sock";
