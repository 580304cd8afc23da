//! What was seen when it was last looked at: `snapshots/*.txt`, a line for each cell.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::{env, fs};

/// The figures that a cell comes to, as they stand behind its name.
pub(crate) trait Figures: fmt::Display + Sized {
    /// What the file says of itself in its first line.
    const HEAD: &'static str;
    const COUNT: usize;

    /// The opposite of `Display`, from `COUNT` numbers.
    fn from_numbers(numbers: &[f64]) -> Self;

    fn is_worse_than(&self, before: &Self) -> bool;

    /// Beyond what theory allows, which no snapshot can bless.
    fn is_out_of_bounds(&self) -> bool;
}

/// Runs a group of cells, and fails where one is worse than its snapshot or out of bounds.
pub(crate) fn check<C: fmt::Display, F: Figures>(
    group: &str,
    cells: &[C],
    mut run: impl FnMut(&C) -> F,
) {
    let mut wrong = String::new();
    let before: BTreeMap<String, F> = read(group);
    let mut text = format!("{}\n", F::HEAD);
    for cell in cells {
        let (name, figures) = (cell.to_string(), run(cell));
        writeln!(text, "{name} {figures}").unwrap();
        if figures.is_out_of_bounds() {
            writeln!(wrong, "{name}: {figures} is out of bounds").unwrap();
        }
        match before.get(name.trim_end()) {
            _ if blessed() => {}
            None => writeln!(wrong, "{name}: {figures} has no snapshot").unwrap(),
            Some(known) if figures.is_worse_than(known) => {
                writeln!(wrong, "{name}: {figures} was {known}").unwrap();
            }
            Some(_) => {}
        }
    }
    if blessed() {
        fs::write(file(group), text).unwrap();
    }
    let head = F::HEAD;
    assert!(
        wrong.is_empty(),
        "\n{wrong}\n{head}\n{BLESS}=1 takes the new figures for the snapshot (bounds stay)."
    );
}

fn read<F: Figures>(group: &str) -> BTreeMap<String, F> {
    let text = fs::read_to_string(file(group)).unwrap_or_default();
    text.lines().filter(|line| !line.starts_with('#')).map(parse).collect()
}

/// The name ends where the last numbers begin.
fn parse<F: Figures>(line: &str) -> (String, F) {
    let mut numbers: Vec<f64> = Vec::new();
    let mut name = line;
    for _ in 0..F::COUNT {
        let (rest, number) = name.trim_end().rsplit_once(' ').expect("numbers end the line");
        numbers.push(number.parse().expect("a number"));
        name = rest;
    }
    numbers.reverse();
    (name.trim_end().to_owned(), F::from_numbers(&numbers))
}

fn file(group: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/netsim/snapshots/{group}.txt"))
}

fn blessed() -> bool {
    env::var_os(BLESS).is_some()
}

const BLESS: &str = "DARNER_BLESS_NETSIM";

#[test]
fn a_line_is_read_as_it_was_written() {
    use crate::cell::Outcome;
    let outcome = Outcome { throughput: 93.25, again: 0.5, fairness: 0.998, floor: 70.0 };
    let line = format!("100M 20ms cubic x2  {outcome}");
    assert_eq!(parse(&line), ("100M 20ms cubic x2".to_owned(), outcome));
}
