//! Linux's `net.ipv4.tcp_*` as configuration: scripts set them, before they open a socket, with `sysctl`.

use std::path::Path;
use std::time::Duration;

use darner::{EcnPolicy, MtuProbing, TcpConfig};

/// Sets what the files of `directory` say and the stack has. What is missing there, or makes no sense, stays as it is.
pub(crate) fn read(directory: &Path, tcp: &mut TcpConfig) {
    let words = |name: &str| {
        let text = std::fs::read_to_string(directory.join(name)).ok()?;
        Some(text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    };
    let number = |name: &str| words(name)?.first()?.parse::<u64>().ok();
    let small = |name: &str| u8::try_from(number(name)?).ok();
    let switch = |name: &str| number(name).map(|value| value != 0);
    // Minimum, default and maximum.
    let largest = |name: &str| words(name)?.get(2)?.parse::<usize>().ok();
    let seconds = |name: &str| number(name).map(Duration::from_secs);

    set(&mut tcp.timestamps, switch("tcp_timestamps"));
    set(&mut tcp.sack, switch("tcp_sack"));
    set(&mut tcp.window_scaling, switch("tcp_window_scaling"));
    // 1 and 2 agree to no accurate feedback there, and 4 and 5 do; we always do.
    let ecn = number("tcp_ecn").map(|value| match value {
        0 => EcnPolicy::Off,
        1 | 4 => EcnPolicy::Ask,
        3 => EcnPolicy::AskAccurate,
        _ => EcnPolicy::WhenAsked,
    });
    set(&mut tcp.ecn, ecn);
    let probing = number("tcp_mtu_probing").map(|value| match value {
        0 => MtuProbing::Off,
        1 => MtuProbing::OnBlackHole,
        _ => MtuProbing::Always,
    });
    set(&mut tcp.mtu_probing, probing);
    let base = number("tcp_base_mss").and_then(|size| u16::try_from(size).ok());
    set(&mut tcp.base_mss, base.filter(|size| TcpConfig::BASE_MSS.contains(size)));
    set(&mut tcp.receive_buffer, largest("tcp_rmem"));
    set(&mut tcp.send_buffer, largest("tcp_wmem"));
    set(&mut tcp.syn_retries, small("tcp_syn_retries"));
    set(&mut tcp.syn_ack_retries, small("tcp_synack_retries"));
    set(&mut tcp.train_min, small("tcp_min_tso_segs"));
    set(&mut tcp.retries, small("tcp_retries2"));
    set(&mut tcp.fin_wait_2, seconds("tcp_fin_timeout"));
    set(&mut tcp.keepalive_idle, seconds("tcp_keepalive_time"));
    set(&mut tcp.keepalive_interval, seconds("tcp_keepalive_intvl"));
    set(&mut tcp.keepalive_probes, small("tcp_keepalive_probes"));
    let bits = fast_open(Some(directory));
    tcp.fast_open.sends_without_cookie = bits & FAST_OPEN_SENDS_WITHOUT_COOKIE != 0;
    tcp.fast_open.accepts_without_cookie = bits & FAST_OPEN_ACCEPTS_WITHOUT_COOKIE != 0;
    tcp.fast_open.key = std::fs::read_to_string(directory.join("tcp_fastopen_key"))
        .ok()
        .and_then(|text| key(&text));
    let congestion = words("tcp_congestion_control").and_then(|names| names.first()?.parse().ok());
    set(&mut tcp.congestion, congestion);
}

/// The bits of `tcp_fastopen`, as they are now: scripts change them between sockets. Without a directory Linux's default.
pub(crate) fn fast_open(directory: Option<&Path>) -> u32 {
    let read = |directory: &Path| {
        let text = std::fs::read_to_string(directory.join("tcp_fastopen")).ok()?;
        text.trim().parse::<u32>().ok()
    };
    directory.and_then(read).unwrap_or(FAST_OPEN_CLIENT)
}

/// `tcp_fastopen_key`: four words that dashes part, of which the last byte comes first.
fn key(text: &str) -> Option<[u8; 16]> {
    let first = text.split(',').next()?;
    let words: Vec<u32> = first
        .trim()
        .split('-')
        .map(|word| u32::from_str_radix(word, 16))
        .collect::<Result<_, _>>()
        .ok()?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.try_into().ok()
}

/// Connections may send data with their SYN.
pub(crate) const FAST_OPEN_CLIENT: u32 = 1;
/// Listeners may take it.
pub(crate) const FAST_OPEN_SERVER: u32 = 2;
const FAST_OPEN_SENDS_WITHOUT_COOKIE: u32 = 4;
const FAST_OPEN_ACCEPTS_WITHOUT_COOKIE: u32 = 0x200;
/// All of them do, whether they have asked for it or not.
pub(crate) const FAST_OPEN_ALL_LISTENERS: u32 = 0x400;

fn set<T>(what: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *what = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecn_is_what_the_file_says() {
        let name = format!("darner-sysctl-ecn-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        for (value, want) in [
            ("0", EcnPolicy::Off),
            ("1", EcnPolicy::Ask),
            ("2", EcnPolicy::WhenAsked),
            ("3", EcnPolicy::AskAccurate),
            ("4", EcnPolicy::Ask),
            ("5", EcnPolicy::WhenAsked),
            ("x", EcnPolicy::Ask),
        ] {
            std::fs::write(directory.join("tcp_ecn"), value).unwrap();
            let mut tcp = TcpConfig::default();
            read(&directory, &mut tcp);
            assert_eq!(tcp.ecn, want, "{value}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn mtu_probing_is_what_the_files_say() {
        let directory = std::env::temp_dir().join(format!("darner-sysctl-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        for (probing, base, want) in [
            ("0", "512", (MtuProbing::Off, 512)),
            ("1", "48", (MtuProbing::OnBlackHole, 1024)),
            ("2", "70000", (MtuProbing::Always, 1024)),
            ("x", "", (MtuProbing::OnBlackHole, 1024)),
        ] {
            std::fs::write(directory.join("tcp_mtu_probing"), probing).unwrap();
            std::fs::write(directory.join("tcp_base_mss"), base).unwrap();
            let mut tcp = TcpConfig::default();
            read(&directory, &mut tcp);
            assert_eq!((tcp.mtu_probing, tcp.base_mss), want, "{probing} {base}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
