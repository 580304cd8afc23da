//! What cells came to when they were last looked at: `snapshots/*.txt`, a line for each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

use crate::cell::{Cell, Outcome};

/// Runs a group of cells, and fails where one is worse than its snapshot or below its floor.
pub(crate) fn check(group: &str, cells: &[Cell], packets: u64) {
    let mut wrong = String::new();
    let before = read(group);
    let mut text = HEAD.to_owned();
    for cell in cells {
        let (name, outcome) = (cell.to_string(), cell.run(packets));
        writeln!(text, "{name} {outcome}").unwrap();
        if outcome.is_below_floor() {
            writeln!(wrong, "{name}: {outcome} is below its floor").unwrap();
        }
        match before.get(name.trim_end()) {
            None if blessed() => {}
            None => writeln!(wrong, "{name}: {outcome} has no snapshot").unwrap(),
            Some(known) if is_worse(&outcome, known) && !blessed() => {
                writeln!(wrong, "{name}: {outcome} was {known}").unwrap();
            }
            Some(_) => {}
        }
    }
    if blessed() {
        fs::write(file(group), text).unwrap();
    }
    assert!(
        wrong.is_empty(),
        "\n{wrong}\nthroughput, sent again, fairness, floor. {BLESS}=1 takes the new figures for the snapshot (a floor stays)."
    );
}

/// A little is not worth a failure: another order of the same events.
fn is_worse(now: &Outcome, before: &Outcome) -> bool {
    now.throughput < before.throughput * 0.97 - 0.5
        || now.again > before.again * 1.15 + 0.2
        || now.fairness < before.fairness - 0.05
}

fn read(group: &str) -> BTreeMap<String, Outcome> {
    let text = fs::read_to_string(file(group)).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with('#')).map(parse).collect()
}

/// The name ends where the last four numbers begin.
fn parse(line: &str) -> (String, Outcome) {
    let mut numbers: Vec<f64> = Vec::new();
    let mut name = line;
    for _ in 0..4 {
        let (rest, number) = name.trim_end().rsplit_once(' ').expect("four numbers in a line");
        numbers.push(number.parse().expect("a number"));
        name = rest;
    }
    let outcome = Outcome {
        throughput: numbers[3],
        again: numbers[2],
        fairness: numbers[1],
        floor: numbers[0],
    };

    (name.trim_end().to_owned(), outcome)
}

fn file(group: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/netsim/snapshots/{group}.txt"))
}

fn blessed() -> bool {
    env::var_os(BLESS).is_some()
}

const BLESS: &str = "DARNER_BLESS_NETSIM";
const HEAD: &str = "# path: rate, round trip, loss, order, queue; congestion control, flows; throughput in % of the capacity, segments sent again in %, \
fairness; floor of the throughput\n";

#[test]
fn a_line_is_read_as_it_was_written() {
    let outcome = Outcome { throughput: 93.25, again: 0.5, fairness: 0.998, floor: 70.0 };
    let line = format!("100M 20ms cubic x2  {outcome}");
    assert_eq!(parse(&line), ("100M 20ms cubic x2".to_owned(), outcome));
}

#[test]
fn worse_is_less_throughput_more_repeats_or_less_fair() {
    let before = Outcome { throughput: 90.0, again: 1.0, fairness: 0.99, floor: 0.0 };
    for (throughput, again, fairness, want) in [
        (90.0, 1.0, 0.99, false),
        (87.5, 1.2, 0.95, false),
        (86.0, 1.0, 0.99, true),
        (90.0, 1.5, 0.99, true),
        (90.0, 1.0, 0.93, true),
        (99.0, 0.0, 1.0, false),
    ] {
        assert_eq!(is_worse(&Outcome { throughput, again, fairness, floor: 0.0 }, &before), want);
    }
}
