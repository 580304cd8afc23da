//! `darner-bench suite`: every row of the table, measured beside a reference in the same run. `make bench` is this.
//!
//! A row ([`rows`]) is measured in pairs: a window of the reference, a window of ours, and so on ([`pairs`]); only what both saw in the same
//! minute is compared. A window is two processes ([`child`]) on a CPU each. Windows in which the machine did other work are thrown away
//! and counted ([`machine`]). [`table`] and [`page`] show what came out ([`outcome`]).

mod base;
mod child;
mod cores;
#[cfg(feature = "cycles")]
pub(crate) mod cycles;
mod inside;
mod machine;
mod network;
mod open;
mod outcome;
mod page;
mod pairs;
mod rows;
mod stop;
mod table;
mod taps;
mod window;

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::failure::Failure;
use outcome::Outcome;
use rows::{Row, When};
use window::Bench;

/// Measure the rows of the table, each beside a reference in the same run.
#[derive(Args, Debug)]
pub(crate) struct SuiteCommand {
    /// Only rows whose name has one of these words
    #[arg(value_name = "ROW")]
    rows: Vec<String>,
    /// Rows that take long, too
    #[arg(long)]
    full: bool,
    /// Pairs of windows of each row
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pairs: u32,
    /// Seconds of a window
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    seconds: f64,
    /// Pairs that may be thrown away and measured again, in each row
    #[arg(long, value_name = "COUNT", default_value_t = 3)]
    retries: u32,
    /// Another build of this program, whose server is the reference of every row
    #[arg(long, value_name = "PROGRAM")]
    base: Option<PathBuf>,
    /// The server's CPU
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    server_cpu: usize,
    /// The client's CPU
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    client_cpu: usize,
    /// Where results.json and index.html go
    #[arg(long, value_name = "FOLDER", default_value = "target/bench")]
    output: PathBuf,
}

/// Measures, and shows.
pub(crate) fn run(command: &SuiteCommand) -> Result<(), Failure> {
    let mut rows = chosen(&command.rows, command.full)?;
    if command.base.is_some() {
        rows.retain(base::compares);
    }
    if rows.is_empty() {
        return Err(Failure::usage(
            "these rows do not compare builds: say rr, bulk, churn, latency or udp",
        ));
    }
    stop::watch()?;
    let bench = Bench::new(
        (command.server_cpu, command.client_cpu),
        command.seconds,
        command.base.clone(),
    )?;
    eprintln!(
        "reference: {}; server on CPU {}, client on CPU {}",
        bench.reference_name(),
        command.server_cpu,
        command.client_cpu
    );
    let started = Instant::now();
    let progress = ProgressBar::new(rows.len() as u64);
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {wide_bar} {elapsed} {msg}") {
        progress.set_style(style);
    }
    let mut outcomes = Vec::new();
    for row in &rows {
        progress.set_message(row.name);
        let measured = pairs::measure(&bench, row, command.pairs, command.retries);
        stop::check()?;
        let outcome = match measured {
            Ok(outcome) => outcome,
            Err(failure) => Outcome::failed(row, &failure),
        };
        progress.suspend(|| eprintln!("{}", table::line(&outcome)));
        outcomes.push(outcome);
        progress.inc(1);
    }
    progress.finish_and_clear();
    print!("{}", table::whole(&outcomes));
    eprintln!("took {:.0} s", started.elapsed().as_secs_f64());
    write(command, &outcomes)
}

fn chosen(words: &[String], full: bool) -> Result<Vec<Row>, Failure> {
    let rows = rows::all();
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    if let Some(word) = words.iter().find(|word| !names.iter().any(|name| name.contains(*word))) {
        return Err(Failure::usage(format_args!(
            "no row has \"{word}\" in its name; there are {}",
            names.join(", ")
        )));
    }
    let wanted = |row: &Row| match words {
        [] => full || row.when == When::Always,
        _ if full || row.when == When::Always => words.iter().any(|word| row.name.contains(word)),
        // Who names it wants it.
        _ => words.iter().any(|word| row.name == word),
    };
    let rows: Vec<Row> = rows.into_iter().filter(wanted).collect();
    if rows.is_empty() {
        return Err(Failure::usage(
            "all of these rows take long: say --full, or a row's whole name",
        ));
    }
    Ok(rows)
}

fn write(command: &SuiteCommand, outcomes: &[Outcome]) -> Result<(), Failure> {
    let folder = &command.output;
    let fail =
        |error| Failure::failed(format_args!("cannot write to {}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(fail)?;
    let json = serde_json::to_string_pretty(outcomes).map_err(Failure::failed)?;
    fs::write(folder.join("results.json"), json).map_err(fail)?;
    fs::write(folder.join("index.html"), page::draw(outcomes)).map_err(fail)?;
    eprintln!("see {} and results.json beside it", folder.join("index.html").display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str], full: bool) -> Vec<&'static str> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        chosen(&words, full).unwrap().iter().map(|row| row.name).collect()
    }

    #[test]
    fn a_word_stands_for_the_rows_that_have_it_in_their_names() {
        assert_eq!(
            names(&["rr-1", "start"], false),
            ["rr-1", "rr-16", "rr-1000", "rr-10k", "rr-100k", "rr-16kB", "start-up"]
        );
    }

    #[test]
    fn what_takes_long_is_measured_when_it_is_asked_for() {
        assert_eq!(names(&["time-wait"], false), ["time-wait"]);
        assert_eq!(names(&["time-wait"], true), ["time-wait", "time-wait-1m"]);
        assert_eq!(names(&["time-wait-1m"], false), ["time-wait-1m"]);
        assert!(!names(&[], false).contains(&"time-wait-1m"));
        assert!(chosen(&["wait-1m".to_owned()], false).is_err());
    }
}
