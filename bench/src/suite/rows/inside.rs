//! Rows with client and server in one process.

use super::{Figure, IDLE_MOST, Row, When, row};

pub(super) fn rows() -> Vec<Row> {
    let one = "--connections 1 --under-way 1";
    let beside = |name, what, figure, placement, load: &str, budget| Row {
        serve: placement,
        load: load.to_owned(),
        budget,
        ..row(name, what, figure)
    };
    let latency = Figure::ThreadLatency;
    let grown = |name, what, connections, when| Row {
        connections: Some(connections),
        budget: Some(1.3),
        when,
        ..row(name, what, Figure::Growth)
    };
    vec![
        beside(
            "thread",
            "1000 connections, server's own thread",
            Figure::ThreadCost,
            "thread",
            "--connections 1000",
            Some(300.0),
        ),
        beside("thread-latency", "1 connection, the same", latency, "thread", one, Some(1.0)),
        // So far apart that the thread has done looking and sleeps.
        beside(
            "thread-parked",
            "5000 requests/s, woken for each",
            latency,
            "parked",
            "--connections 1 --under-way 1 --rate 5000",
            None,
        ),
        grown("growth", "cost of 64 B up to 100,000 connections", 100_000, When::Always),
        grown("growth-1m", "the same up to 1,000,000", 1_000_000, When::Full),
        Row {
            load: "--mode rest --connections 1000000".to_owned(),
            budget: Some(IDLE_MOST),
            when: When::Full,
            ..row("idle-1m", "1,000,000 idle connections", Figure::MemoryInside)
        },
    ]
}
