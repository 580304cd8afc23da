//! The tables of the documentation are complete, and their links lead somewhere.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each kind of id and how far it counts.
const IDS: [(char, u32); 6] = [('C', 41), ('R', 40), ('S', 19), ('L', 23), ('D', 8), ('T', 15)];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn text_of(document: &str) -> String {
    std::fs::read_to_string(folder().join(document)).unwrap()
}

fn rows(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| line.starts_with("| "))
}

#[test]
fn every_id_has_a_row() {
    let text = text_of("socket-contract.md");
    let rows: BTreeSet<&str> =
        rows(&text).filter_map(|row| row.strip_prefix("| ")?.split(" |").next()).collect();
    let wanted =
        IDS.into_iter().flat_map(|(kind, last)| (1..=last).map(move |n| format!("{kind}-{n}")));
    let missing: Vec<String> = wanted.filter(|id| !rows.contains(id.as_str())).collect();
    assert!(missing.is_empty(), "no row for {missing:?}");
}

/// 31 names of TCP, 7 of what is below it, and 5 that have to wait for IPv6.
#[test]
fn every_behaviour_of_packetimpact_has_a_test_of_its_name_or_says_why_not() {
    let text = text_of("conformance.md");
    let names = ["tcp_", "udp_", "icmpv4_", "icmpv6_", "ipv4_", "ipv6_", "fin_wait2_"];
    let is_name = |row: &&str| names.iter().any(|name| row[2..].starts_with(name));
    let all: Vec<&str> = rows(&text).filter(is_name).collect();
    assert_eq!(all.len(), 43);
    for row in all {
        let name = row[2..].split([' ', '|']).next().unwrap();
        let has_test = row.contains(&format!("[`{name}`]("));
        let waits = row.contains("| not yet: ") || name == "tcp_rack";
        assert!(has_test != waits, "{row}");
    }
}

#[test]
fn every_link_leads_to_a_file_and_every_test_is_in_it() {
    let text = ["socket-contract.md", "conformance.md", "interop.md"].map(text_of).concat();
    let mut wrong = vec![];
    for (label, target) in links(&text).filter(|(_, target)| !target.starts_with("https:")) {
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

/// The rows of the documentation and the tests are the same, and so are the patterns.
#[test]
fn every_meeting_with_another_tcp_has_a_row() {
    let text = text_of("interop.md");
    let tests = ["../app/tests/kernel/interop.rs", "../stack/tests/simulated/with_smoltcp.rs"];
    let tests = tests.map(text_of).concat();
    let is_test = |line: &&str| line.starts_with("fn ");
    let names: BTreeSet<&str> = tests
        .split("#[test]\n")
        .skip(1)
        .filter_map(|part| part.lines().find(is_test)?.strip_prefix("fn ")?.split('(').next())
        .collect();
    let labels = links(&text).map(|(label, _)| label.trim_matches('`'));
    let told: BTreeSet<&str> = labels.filter(|label| !label.contains(' ')).collect();
    assert_eq!(told, names);
    let played = patterns_of("../app/tests/kernel/interop/patterns.rs");
    let asserted = text.split("\n## ").find(|section| section.starts_with("What is asserted"));
    let told = rows(asserted.unwrap()).skip(1).filter_map(|row| row[2..].split(" |").next());
    assert_eq!(told.collect::<Vec<_>>(), played);
    // smoltcp has no urgent data.
    let simulated = patterns_of("../stack/tests/simulated/with_smoltcp/part.rs");
    let known = played.into_iter().filter(|name| name != "urgent data");
    assert_eq!(simulated, known.collect::<Vec<_>>());
}

/// The names in a file's table of patterns.
fn patterns_of(file: &str) -> Vec<String> {
    let text = text_of(file);
    let table = text.split("const PATTERNS").nth(1).unwrap().split("];").next().unwrap();
    table.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// `[label](target)`, in order.
fn links(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("](").zip(text.split("](").skip(1)).filter_map(|(before, after)| {
        let label = before.rsplit('[').next()?;
        let target = after.split(')').next()?;
        Some((label, target))
    })
}
