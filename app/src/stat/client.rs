//! `darner stat`'s end of the socket.

use std::fmt::Write as _;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use darner::counters::Counter;

use super::report::{Core, Report};
use super::{PREFIX, SUFFIX, default_socket, folder};
use crate::cli::StatOptions;
use crate::failure::Failure;

/// Prints a report, or one after the other.
pub(crate) fn run(options: &StatOptions) -> Result<(), Failure> {
    let path = match (&options.stat_socket, &options.device) {
        (Some(path), _) => path.clone(),
        (None, Some(device)) => default_socket(device),
        (None, None) => only_socket(&folder())?,
    };
    let mut before: Option<(Report, Instant)> = None;
    loop {
        let (text, report) = fetch(&path)?;
        let now = Instant::now();
        let since = before.as_ref().map(|(report, then)| (report, now - *then));
        let output = if options.json { text } else { render(&report, since) };
        if !print(&output, options) {
            return Ok(());
        }
        let Some(interval) = options.watch else { return Ok(()) };
        before = Some((report, now));
        std::thread::sleep(interval);
    }
}

/// Whether anybody still reads.
fn print(output: &str, options: &StatOptions) -> bool {
    let mut stdout = std::io::stdout().lock();
    let clear = if options.watch.is_some() && !options.json && stdout.is_terminal() {
        "\x1b[H\x1b[2J"
    } else {
        ""
    };
    stdout.write_all(clear.as_bytes()).and_then(|()| stdout.write_all(output.as_bytes())).is_ok()
}

fn fetch(path: &Path) -> Result<(String, Report), Failure> {
    let shown = path.display();
    let mut text = String::new();
    UnixStream::connect(path).and_then(|mut socket| socket.read_to_string(&mut text)).map_err(
        |error| {
            Failure::failed(format_args!(
                "no darner answers at {shown} ({error}): start one, or name its --stat-socket"
            ))
        },
    )?;
    let report = serde_json::from_str(&text).map_err(|error| {
        Failure::failed(format_args!("{shown} does not speak as this darner does: {error}"))
    })?;
    Ok((text, report))
}

fn only_socket(folder: &Path) -> Result<PathBuf, Failure> {
    let shown = folder.display();
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Failure::failed(format_args!("cannot look for sockets in {shown}: {error}"))
    })?;
    let mut living: Vec<PathBuf> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            (name.starts_with(PREFIX) && name.ends_with(SUFFIX)).then(|| entry.path())
        })
        .filter(|path| UnixStream::connect(path).is_ok())
        .collect();
    living.sort();
    match living.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::failed(format_args!(
            "no darner is running: {shown} has no socket of one; name one elsewhere with --stat-socket"
        ))),
        several => {
            let paths: Vec<String> =
                several.iter().map(|path| format!("\n  {}", path.display())).collect();
            Err(Failure::failed(format_args!(
                "several darners are running; choose one with --device or --stat-socket:{}",
                paths.concat()
            )))
        }
    }
}

/// The report as tables. Counters that are zero are left out; `since` adds rates.
fn render(report: &Report, since: Option<(&Report, Duration)>) -> String {
    let mut text = String::new();
    let identity = &report.identity;
    let uptime = report.cores.first().map_or(0.0, |core| core.uptime_seconds);
    let mut line = |line: std::fmt::Arguments<'_>| {
        text.write_fmt(line).expect("memory takes every write");
        text.push('\n');
    };
    line(format_args!(
        "darner {} on {}, {}, pid {}, up {uptime:.0} s",
        identity.version,
        identity.device,
        identity.addresses.join(" "),
        identity.pid
    ));
    for (title, counts, before) in [
        ("counters", &report.counters, since.map(|(before, time)| (&before.counters, time))),
        ("drops", &report.drops, since.map(|(before, time)| (&before.drops, time))),
    ] {
        line(format_args!("\n{title}"));
        for (name, count) in counts.iter().filter(|(_, count)| **count > 0) {
            let rate = before.map_or_else(String::new, |(before, time)| {
                per_second(count.saturating_sub(before.get(name).copied().unwrap_or(0)), time)
            });
            line(format_args!("  {name:<32}{count:>16}{rate:>16}"));
        }
    }
    if report.cores.len() > 1 {
        line(format_args!("\n{} cores: {}", report.cores.len(), report.steering));
    }
    for core in &report.cores {
        text.push_str(&render_core(core));
    }
    text
}

fn per_second(count: u64, time: Duration) -> String {
    let nanos = time.as_nanos().max(1);
    format!("{}/s", u128::from(count) * 1_000_000_000 / nanos)
}

fn render_core(core: &Core) -> String {
    let count = |name: &str| core.counters.get(name).copied().unwrap_or(0);
    let mut text = format!(
        "\ncore {}: {} connections, {} neighbours, {} frames received, {} sent\n",
        core.core,
        core.connection_count,
        core.neighbors.len(),
        count(Counter::FramesReceived.name()),
        count(Counter::FramesSent.name())
    );
    let mut row = |row: std::fmt::Arguments<'_>| {
        text.write_fmt(row).expect("memory takes every write");
        text.push('\n');
    };
    if core.memory_pressure != "none" {
        let (bytes, yields) = (core.buffered, &core.memory_pressure);
        row(format_args!("  {bytes} bytes are not read: memory runs out, {yields} give way"));
    }
    if !core.connections.is_empty() {
        row(format_args!(
            "  {:<22}{:<22}{:<13}{:>10}{:>10}{:>10}{:>10}{:>8}",
            "local", "remote", "state", "in flight", "cwnd", "window", "rtt us", "resent"
        ));
    }
    for connection in &core.connections {
        let (local, remote) = (connection.local.to_string(), connection.remote.to_string());
        let round_trip =
            connection.round_trip_us.map_or_else(|| "-".to_owned(), |time| time.to_string());
        row(format_args!(
            "  {local:<22}{remote:<22}{:<13}{:>10}{:>10}{:>10}{round_trip:>10}{:>8}",
            connection.state,
            connection.in_flight,
            connection.congestion_window,
            connection.send_window,
            connection.retransmitted
        ));
    }
    let left_out = core.connection_count.saturating_sub(core.connections.len());
    if left_out > 0 {
        row(format_args!("  and {left_out} more"));
    }
    for neighbor in &core.neighbors {
        let link = neighbor.link.as_deref().unwrap_or("-");
        let address = neighbor.address.to_string();
        row(format_args!("  {address:<22}{link:<22}{}", neighbor.state));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::report::{Connection, Identity, Neighbor};
    use super::*;

    #[test]
    fn tables_show_what_is_not_zero_and_how_fast_it_grows() {
        let report = report(300);
        let before = self::report(100);
        let text = render(&report, Some((&before, Duration::from_secs(2))));
        assert_eq!(
            text,
            "darner 0.1.0 on tap:dtap0, 10.0.0.2/24, pid 7, up 12 s\n\
             \n\
             counters\n\
             \x20 tcpInSegs                                    300           100/s\n\
             \n\
             drops\n\
             \n\
             core 0: 3 connections, 1 neighbours, 301 frames received, 299 sent\n\
             \x20 local                 remote                state         in flight      cwnd    window    rtt us  resent\n\
             \x20 10.0.0.2:80           10.0.0.1:5000         ESTABLISHED           0     14480     65535       120       1\n\
             \x20 and 2 more\n\
             \x20 10.0.0.1              02:00:00:00:00:01     fresh\n"
        );
    }

    #[test]
    fn several_cores_are_told_how_their_packets_reach_them() {
        let mut report = report(1);
        report.cores.push(report.cores[0].clone());
        report.steering = "no RSS: steering in software".to_owned();
        let text = render(&report, None);
        assert!(text.contains("\n2 cores: no RSS: steering in software\n\ncore 0: "), "{text}");
    }

    #[test]
    fn memory_that_runs_out_is_told() {
        let mut report = report(1);
        report.cores[0].memory_pressure = "windows".into();
        let text = render(&report, None);
        assert!(
            text.contains("\n  16384 bytes are not read: memory runs out, windows give way\n"),
            "{text}"
        );
    }

    #[test]
    fn reports_survive_json() {
        let report = report(1);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
    }

    #[test]
    fn without_a_choice_the_only_living_socket_is_asked() {
        let place = tempfile::tempdir().unwrap();
        let listen =
            |name: &str| std::os::unix::net::UnixListener::bind(place.path().join(name)).unwrap();
        let message = |result: Result<PathBuf, Failure>| format!("{:?}", result.unwrap_err());
        assert!(message(only_socket(place.path())).contains("no darner is running"));
        drop(listen("darner-dead.sock"));
        let _one = listen("darner-a.sock");
        assert_eq!(only_socket(place.path()).unwrap(), place.path().join("darner-a.sock"));
        let _two = listen("darner-b.sock");
        assert!(message(only_socket(place.path())).contains("darner-b.sock"));
    }

    fn report(segments: u64) -> Report {
        let counts = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
            counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        Report {
            identity: Identity {
                version: "0.1.0".into(),
                pid: 7,
                device: "tap:dtap0".into(),
                addresses: vec!["10.0.0.2/24".into()],
            },
            counters: counts(&[("tcpInSegs", segments), ("udpNoPorts", 0)]),
            drops: counts(&[("pool-empty", 0)]),
            steering: "one core, which gets every packet".into(),
            cores: vec![Core {
                core: 0,
                uptime_seconds: 12.3,
                connection_count: 3,
                buffered: 16_384,
                memory_pressure: "none".into(),
                counters: counts(&[("framesReceived", 301), ("framesSent", 299)]),
                connections: vec![Connection {
                    local: "10.0.0.2:80".parse().unwrap(),
                    remote: "10.0.0.1:5000".parse().unwrap(),
                    state: "ESTABLISHED".into(),
                    in_flight: 0,
                    congestion_window: 14_480,
                    send_window: 65_535,
                    receive_window: 65_535,
                    segment_size: 1448,
                    round_trip_us: Some(120),
                    timeout_us: 200_000,
                    retransmitted: 1,
                }],
                neighbors: vec![Neighbor {
                    address: "10.0.0.1".parse().unwrap(),
                    link: Some("02:00:00:00:00:01".into()),
                    state: "fresh".into(),
                }],
            }],
        }
    }
}
