//! Rows beside other stacks, all over a tap device of the same kind, with the same client on its other side (`af_packet`).

use super::{Figure, Peer, RECEIVE, Row, SEND, When, row};

pub(super) fn rows() -> Vec<Row> {
    let beside = |name, what, figure, serve, load: &str, peer| Row {
        serve,
        load: load.to_owned(),
        peer: Some(peer),
        when: When::Full,
        ..row(name, what, figure)
    };
    use Figure::{GigabitsIn, GigabitsOut, Responses};
    use Peer::{Lwip, Smoltcp};
    let requests = "--connections 16";
    vec![
        beside(
            "peer-smoltcp-rr",
            "64 B, 16 connections; smoltcp, tap",
            Responses,
            "respond",
            requests,
            Smoltcp,
        ),
        beside("peer-smoltcp-in", "bulk to the server", GigabitsOut, "sink", SEND, Smoltcp),
        beside("peer-smoltcp-out", "bulk from the server", GigabitsIn, "source", RECEIVE, Smoltcp),
        beside(
            "peer-lwip-rr",
            "64 B, 16 connections; lwIP, tap",
            Responses,
            "respond",
            requests,
            Lwip,
        ),
        beside("peer-lwip-in", "bulk to the server", GigabitsOut, "sink", SEND, Lwip),
        beside("peer-lwip-out", "bulk from the server", GigabitsIn, "source", RECEIVE, Lwip),
    ]
}
