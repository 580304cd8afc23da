//! The table in `table.txt`, which says how it is read, and what TCP makes of each of its cells.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::State::*;
use super::reach::{Next, Place, Reached, next, reach, state_of};

const TABLE: &str = include_str!("table.txt");

const PLACES: [(&str, Place); 13] = [
    ("CLOSED", Place { state: Closed, listener: false }),
    ("LISTEN", Place { state: Listen, listener: true }),
    ("SYN-SENT", Place { state: SynSent, listener: false }),
    ("SYN-RECEIVED, opened by the peer", Place { state: SynReceived, listener: true }),
    ("SYN-RECEIVED, opened by both", Place { state: SynReceived, listener: false }),
    ("ESTABLISHED", Place { state: Established, listener: false }),
    ("FIN-WAIT-1", Place { state: FinWait1, listener: false }),
    ("FIN-WAIT-2", Place { state: FinWait2, listener: false }),
    ("CLOSE-WAIT", Place { state: CloseWait, listener: false }),
    ("CLOSING", Place { state: Closing, listener: false }),
    ("LAST-ACK", Place { state: LastAck, listener: false }),
    ("TIME-WAIT", Place { state: TimeWait, listener: false }),
    ("TIME-WAIT, beside a listener", Place { state: TimeWait, listener: true }),
];

/// A name in the table, the flags, and what follows the number.
const SEGMENTS: [(&str, &str, &str); 10] = [
    ("SYN", "S", ""),
    ("SYN,ACK", "SA", ""),
    ("RST", "R", ""),
    ("RST,ACK", "RA", ""),
    ("ACK", "A", ""),
    ("data,ACK", "A", "+10"),
    ("FIN,ACK", "FA", ""),
    ("data", "P", "+10"),
    ("FIN", "F", ""),
    ("none", "P", ""),
];
const ACKS: [&str; 4] = ["all", "una", "old", "new"];
const COLUMNS: [&str; 5] = ["left", "again", "next", "inside", "right"];

/// State, segment, acknowledgement, position.
type Cell = (&'static str, &'static str, &'static str, &'static str);

#[test]
fn every_cell_does_what_the_rfcs_say() {
    let want = parse(TABLE);
    let got = measure();
    let mut wrong = String::new();
    for (cell, got) in &got {
        match want.get(cell) {
            Some(want) if want == got => {}
            want => writeln!(wrong, "{cell:?}: {got}, and the table has {want:?}").unwrap(),
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert_eq!(want.len(), got.len(), "the table has cells that are none");
}

/// What becomes of each segment.
fn measure() -> BTreeMap<Cell, String> {
    let mut cells = BTreeMap::new();
    for (name, place) in PLACES {
        for (segment, flags, len) in SEGMENTS {
            for ack in acks_of(segment) {
                for column in COLUMNS {
                    let outcome = outcome(place, (flags, len), ack, column);
                    cells.insert((name, segment, ack, column), outcome);
                }
            }
        }
    }
    cells
}

/// Segments without ACK have no acknowledgement number to be right or wrong.
fn acks_of(segment: &str) -> impl Iterator<Item = &'static str> + use<> {
    let count = if segment.ends_with("ACK") { ACKS.len() } else { 1 };
    ACKS.into_iter().take(count).map(move |ack| if count == 1 { "-" } else { ack })
}

fn outcome(place: Place, (flags, len): (&str, &str), ack: &str, column: &str) -> String {
    let Reached { mut t, next: before } = reach(place);
    let until = t.tcp.time_wait.next_expiry();
    t.at(1);
    let number = before.theirs
        + match column {
            "left" => -1000,
            "again" => -len_of(flags, len).max(1),
            "next" => 0,
            "inside" => 1000,
            _ => 70_000,
        };
    let acknowledged = match ack {
        "all" => before.ours,
        "una" => before.unacknowledged,
        "old" => before.unacknowledged - 70_000,
        _ => before.ours + 1,
    };
    let text = match ack {
        "-" => format!("{flags} {number}{len}"),
        _ => format!("{flags} {number}{len} ack {acknowledged}"),
    };
    let _dropped = t.input(&text);

    let (sent, state) = (t.sent(), state_of(&mut t));
    let mut parts = vec![];
    let after = if state == Closed { before } else { next(&mut t) };
    if t.tcp.find(&t.flow()).is_some() {
        if after.unacknowledged > before.unacknowledged {
            parts.push("acked".to_owned());
        }
        if place.state.is_synchronized() && after.theirs > before.theirs {
            parts.push("taken".to_owned());
        }
        if t.connection(|c| c.reassembly.as_ref().is_some_and(|queue| !queue.is_empty())) {
            parts.push("held".to_owned());
        }
    }
    if (place.state, state) == (TimeWait, TimeWait) && t.tcp.time_wait.next_expiry() != until {
        parts.push("anew".to_owned());
    }
    let end = number + len_of(flags, len);
    parts.extend(sent.iter().map(|sent| answer(sent, after, acknowledged, end)));
    if state != place.state {
        parts.push(format!(">{}", state.name()));
    }
    if parts.is_empty() { ".".to_owned() } else { parts.join(" ") }
}

/// SEG.LEN.
fn len_of(flags: &str, payload: &str) -> i64 {
    let payload = payload.parse().unwrap_or(0);
    flags.chars().filter(|flag| "SF".contains(*flag)).fold(payload, |len, _| len + 1)
}

/// What we have sent, named if it is what it should be.
fn answer(sent: &str, after: Next, acknowledged: i64, end: i64) -> String {
    let Next { theirs, ours, .. } = after;
    let names = [
        ("ack", format!("A {ours} ack {theirs}")),
        ("syn,ack", format!("SA 0 ack {theirs}")),
        ("rst", format!("R {acknowledged}")),
        ("rst,ack", format!("RA 0 ack {end}")),
    ];
    let name = names.iter().find(|(_, text)| text == sent);
    name.map_or_else(|| format!("<{sent}>"), |(name, _)| (*name).to_owned())
}

/// Reads the table: a state's name in a line of its own, then rows of a segment, an acknowledgement (`any` stands for all four), and what
/// becomes of it in each column. One entry stands for all columns.
fn parse(table: &str) -> BTreeMap<Cell, String> {
    let mut cells = BTreeMap::new();
    let mut place = None;
    for line in table.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
        if let Some((name, _)) = PLACES.iter().find(|(name, _)| *name == line.trim()) {
            place = Some(*name);
            continue;
        }
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [head, entries @ ..] = columns.as_slice() else { panic!("{line}") };
        let (segment, ack) = head.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let segment = SEGMENTS.iter().find(|(name, ..)| *name == segment.trim());
        let (segment, ..) = *segment.unwrap_or_else(|| panic!("{line}"));
        for this in acks_of(segment).filter(|this| ack == "any" || ack == *this) {
            for (number, column) in COLUMNS.into_iter().enumerate() {
                let entry = if entries.len() == 1 { entries[0] } else { entries[number] };
                let place = place.unwrap_or_else(|| panic!("no state before {line}"));
                let before = cells.insert((place, segment, this, column), entry.to_owned());
                assert_eq!(before, None, "twice: {line}");
            }
        }
    }
    cells
}
