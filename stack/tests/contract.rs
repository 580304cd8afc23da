//! The table of the socket contract is complete, and its links lead somewhere.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each kind of id and how far it counts.
const IDS: [(char, u32); 6] = [('C', 41), ('R', 40), ('S', 19), ('L', 22), ('D', 8), ('T', 15)];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn text() -> String {
    std::fs::read_to_string(folder().join("socket-contract.md")).unwrap()
}

#[test]
fn every_id_has_a_row() {
    let text = text();
    let rows: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next()).collect();
    let wanted =
        IDS.into_iter().flat_map(|(kind, last)| (1..=last).map(move |n| format!("{kind}-{n}")));
    let missing: Vec<String> = wanted.filter(|id| !rows.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

#[test]
fn every_link_leads_to_a_file_and_every_test_is_in_it() {
    let text = text();
    let mut wrong = vec![];
    for (label, target) in links(&text) {
        let Ok(file) = std::fs::read_to_string(folder().join(target)) else {
            wrong.push(format!("{target}: no such file"));
            continue;
        };
        let Some(name) = label.strip_prefix('`').and_then(|label| label.strip_suffix('`')) else {
            continue;
        };
        let is_test = target.ends_with(".rs");
        if is_test && !file.contains(&format!("fn {name}(")) {
            wrong.push(format!("{target}: no test {name}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `[label](target)`, in order.
fn links(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("](").zip(text.split("](").skip(1)).filter_map(|(before, after)| {
        let label = before.rsplit('[').next()?;
        let target = after.split(')').next()?;
        Some((label, target))
    })
}
