//! The rows of the table.

mod inside;
mod peers;
mod taps;

use super::network::Offloads;

/// One row: what is served, what is asked, and what of it is compared.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Arguments of `serve` and of `load`.
    pub(crate) serve: &'static str,
    pub(crate) load: String,
    pub(crate) figure: Figure,
    /// Length of the frames that the reference sends back, and how many are in flight.
    pub(crate) reference: (u16, u32),
    /// The kernel is the reference instead: the same server and requests over its sockets.
    pub(crate) kernel: Option<Offloads>,
    /// Another stack is the reference, over the same kind of device.
    pub(crate) peer: Option<Peer>,
    /// The kernel's client is on the other side of a tap; a kernel's server behind two taps is the reference.
    pub(crate) taps: Option<TapKind>,
    /// What is to be reached: a part of the reference's figure, or for latencies microseconds added to it.
    pub(crate) budget: Option<f64>,
    /// Connections, for the plot.
    pub(crate) connections: Option<u32>,
    /// Windows last so long at least.
    pub(crate) seconds: f64,
    /// Whether it is always measured, or takes so long that it is to be asked for.
    pub(crate) when: When,
}

/// Another stack, in a process of its own (`bench/peers`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Peer {
    Smoltcp,
    Lwip,
}

/// How the server drives its tap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum TapKind {
    /// By DPDK's driver.
    NetTap,
    /// By `pmd::tap`.
    Native,
}

/// When a row is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum When {
    Always,
    /// By `--full`, or by its whole name.
    Full,
}

/// What of a window is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Figure {
    /// Responses per second, against frames per second.
    Responses,
    /// The same of several cores together, against as many times one.
    Cores,
    /// Connections per second, against frames per second.
    Connections,
    /// Gigabits of payload per second.
    GigabitsIn,
    GigabitsOut,
    /// Of both directions together.
    GigabitsBoth,
    /// Median latency in microseconds; what is added to the reference's.
    Latency,
    /// The same with requests at times of their own, half as many as can be served.
    LatencyOpen,
    /// Bytes of memory for each connection.
    Memory,
    /// Bytes that the server grows by for each connection once TIME-WAIT is at its limit.
    TimeWait,
    /// The same with client and server in one process.
    MemoryInside,
    /// Nanoseconds for each request with the server on a thread of its own; what is added to those on the protocol thread.
    ThreadCost,
    /// Median latency in microseconds, likewise.
    ThreadLatency,
    /// Nanoseconds for each request with the most connections, against those with few.
    Growth,
    /// Milliseconds from start to ready.
    StartUp,
    /// Connections per second when twice as many are offered, against those of a closed loop.
    Overload,
}

impl Figure {
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Responses | Self::Cores => "responses/s",
            Self::Connections | Self::Overload => "connections/s",
            Self::GigabitsIn | Self::GigabitsOut | Self::GigabitsBoth => "Gb/s",
            Self::Latency | Self::LatencyOpen | Self::ThreadLatency => "us",
            Self::ThreadCost | Self::Growth => "ns",
            Self::Memory | Self::MemoryInside | Self::TimeWait => "B each",
            Self::StartUp => "ms",
        }
    }
}

impl Row {
    /// Arguments of the `loop` that answers the client at once, so that it shows what that can make.
    pub(crate) fn ceiling(&self) -> &'static str {
        match self.serve {
            "sink" => "--respond --response 0",
            "http" => "--respond --http",
            "source" | "both" => "--respond --source",
            "respond --response 16384" => "--respond --response 16384",
            _ => "--respond",
        }
    }
}

/// A request or response of 64 bytes in a frame: Ethernet, IP, TCP with timestamps.
const SMALL: (u16, u32) = (130, 256);
/// A page of 64 bytes with its head.
const PAGE: (u16, u32) = (195, 256);
const FULL: (u16, u32) = (1514, 256);

pub(crate) fn all() -> Vec<Row> {
    [
        latencies(),
        requests(),
        streams(),
        comings_and_goings(),
        time_wait(),
        inside::rows(),
        rest(),
        kernel(),
        taps::rows(),
        peers::rows(),
    ]
    .concat()
}

fn requests() -> Vec<Row> {
    let many = [
        ("rr-1", "64 B, 1 connection", 1, None),
        ("rr-16", "64 B, 16 connections", 16, None),
        ("rr-64", "64 B, 64 connections", 64, Some(0.5)),
        ("rr-1000", "64 B, 1000 connections", 1000, None),
        ("rr-10k", "64 B, 10,000 connections", 10_000, None),
        ("rr-100k", "64 B, 100,000 connections", 100_000, Some(0.35)),
    ];
    let mut rows: Vec<Row> = many
        .into_iter()
        .map(|(name, what, connections, budget)| Row {
            budget,
            connections: Some(connections),
            load: format!("--connections {connections}"),
            ..row(name, what, Figure::Responses)
        })
        .collect();
    rows.push(Row {
        load: "--connections 16 --depth 8".to_owned(),
        ..row("pipelined", "64 B, 16 connections, 8 at a time", Figure::Responses)
    });
    rows.push(Row {
        load: "--connections 64".to_owned(),
        ..row("cores", "64 B, 64 connections on each core", Figure::Cores)
    });
    let pages = |name, what, load: &str| Row {
        serve: "http",
        load: load.to_owned(),
        reference: PAGE,
        ..row(name, what, Figure::Responses)
    };
    rows.push(pages("http-16", "GET of 64 B, 16 connections", "--mode http --connections 16"));
    rows.push(pages(
        "http-1000",
        "GET of 64 B, 1000 connections",
        "--mode http --connections 1000",
    ));
    rows
}

fn streams() -> Vec<Row> {
    let stream = |name, what, figure, serve, load: &str| Row {
        serve,
        load: load.to_owned(),
        reference: FULL,
        ..row(name, what, figure)
    };
    let (to, from) = (Figure::GigabitsOut, Figure::GigabitsIn);
    let large = "--connections 16 --response 16384";
    let budget = Some(0.8);
    let both = Figure::GigabitsBoth;
    vec![
        stream("rr-16kB", "64 B to 16 kB, 16 connections", from, "respond --response 16384", large),
        Row { budget, ..stream("bulk-in", "1 connection, to the server", to, "sink", SEND) },
        Row {
            budget,
            ..stream("bulk-out", "1 connection, from the server", from, "source", RECEIVE)
        },
        stream("bulk-both", "1 connection, both ways at once", both, "both", BOTH),
    ]
}

fn comings_and_goings() -> Vec<Row> {
    let churn = |name, what, figure, serve, load: &str, budget| Row {
        serve,
        load: load.to_owned(),
        budget: Some(budget),
        ..row(name, what, figure)
    };
    let (each, close) = (Figure::Connections, "respond --close");
    vec![
        churn("churn", "connect, 64 B, close by the client", each, "respond", CHURN, 0.06),
        churn("churn-server", "the same, closed by the server", each, close, CHURN_SERVER, 0.06),
        churn(
            "overload",
            "twice the connections it can serve",
            Figure::Overload,
            close,
            CHURN_SERVER,
            0.95,
        ),
    ]
}

/// More ports than entries, so that it is the limit that ends a wait and no new connection.
fn time_wait() -> Vec<Row> {
    let limit = |name, what, serve| Row {
        serve,
        load: format!("--mode churn --server-closes --connections 256 --addresses {ADDRESSES}"),
        budget: Some(1.0),
        ..row(name, what, Figure::TimeWait)
    };
    vec![
        limit(
            "time-wait",
            "memory per connection beyond 50,000 waiting",
            "--time-wait 50000 respond --close",
        ),
        Row {
            seconds: 40.0,
            when: When::Full,
            ..limit(
                "time-wait-1m",
                "memory per connection beyond 1,000,000",
                "--time-wait 1000000 respond --close",
            )
        },
    ]
}

/// One stream from the client, and one to it.
const SEND: &str = "--mode send --connections 1";
const RECEIVE: &str = "--mode receive --connections 1";

/// 768 MiB for a million idle connections.
const IDLE_MOST: f64 = 805.0;

fn rest() -> Vec<Row> {
    vec![
        Row {
            serve: "sink",
            load: "--mode udp".to_owned(),
            reference: (106, 256),
            ..row("udp", "64 B datagrams that come back", Figure::Responses)
        },
        Row {
            serve: "sink",
            load: "--mode rest --connections 100000".to_owned(),
            budget: Some(IDLE_MOST),
            ..row("idle-100k", "100,000 idle connections", Figure::Memory)
        },
        row("start-up", "from start to ready", Figure::StartUp),
    ]
}

fn kernel() -> Vec<Row> {
    let beside = |name, what, figure, serve, load: &str, offloads| Row {
        serve,
        load: load.to_owned(),
        kernel: Some(offloads),
        ..row(name, what, figure)
    };
    use Figure::{Connections, GigabitsIn, GigabitsOut, Responses};
    let (rr, churn) = ("--connections 16", "--mode churn --connections 16 --addresses 16");
    vec![
        beside(
            "kernel-rr",
            "64 B, 16 connections; kernel, veth",
            Responses,
            "respond",
            rr,
            Offloads::On,
        ),
        beside("kernel-rr-off", "the same, offloads off", Responses, "respond", rr, Offloads::Off),
        beside(
            "kernel-churn",
            "connect, 64 B, close; kernel, veth",
            Connections,
            "respond",
            churn,
            Offloads::On,
        ),
        beside(
            "kernel-http",
            "GET of 64 B, 16 connections; kernel, veth",
            Responses,
            "http",
            "--mode http --connections 16",
            Offloads::On,
        ),
        beside(
            "kernel-in",
            "bulk to the server; kernel, veth",
            GigabitsOut,
            "sink",
            SEND,
            Offloads::On,
        ),
        beside("kernel-in-off", "the same, offloads off", GigabitsOut, "sink", SEND, Offloads::Off),
        beside(
            "kernel-out",
            "bulk from the server; kernel, veth",
            GigabitsIn,
            "source",
            RECEIVE,
            Offloads::On,
        ),
        beside(
            "kernel-out-off",
            "the same, offloads off",
            GigabitsIn,
            "source",
            RECEIVE,
            Offloads::Off,
        ),
    ]
}

fn latencies() -> Vec<Row> {
    vec![
        Row {
            load: "--connections 1".to_owned(),
            reference: (130, 1),
            budget: Some(2.0),
            ..row("latency", "64 B, 1 connection, added to the loop's", Figure::Latency)
        },
        Row {
            load: "--connections 256".to_owned(),
            ..row("latency-open", "64 B at half the rate that can be served", Figure::LatencyOpen)
        },
    ]
}

/// Responses of 64 bytes, and no budget.
fn row(name: &'static str, what: &'static str, figure: Figure) -> Row {
    Row {
        name,
        what,
        serve: "respond",
        load: String::new(),
        figure,
        reference: SMALL,
        kernel: None,
        peer: None,
        taps: None,
        budget: None,
        connections: None,
        seconds: 0.0,
        when: When::Always,
    }
}

/// The client's addresses where TIME-WAIT is filled: ports for four million connections.
pub(crate) const ADDRESSES: u32 = 64;
const BOTH: &str = "--mode both --connections 1";
const CHURN: &str = "--mode churn --connections 256 --addresses 16";
const CHURN_SERVER: &str = "--mode churn --server-closes --connections 256 --addresses 16";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let rows = all();
        for (index, row) in rows.iter().enumerate() {
            assert!(rows[..index].iter().all(|other| other.name != row.name), "{}", row.name);
        }
    }
}
