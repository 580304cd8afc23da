//! `darner-bench cycles`: where the server's time goes, row by row. Only a build with the feature `cycles` has it: `make bench-cycles`.

use std::time::Duration;

use clap::Args;

use super::child::Child;
use super::pairs::told_by_client;
use super::rows::{self, Figure, Row};
use super::table::shown;
use super::window::{Bench, READY_WITHIN, SET_UP_WITHIN, ServerSummary};
use super::{base, stop};
use crate::failure::Failure;
use crate::load::report::Report;
use crate::load::run::MEASURING;
use crate::serve::cycles::Account;

/// Tell where the time of the server's protocol thread goes, for some rows of `suite`.
///
/// Each row is run once, over memif, with no reference beside it. Reading the clock takes time as well, some twelve times in each turn.
#[derive(Args, Debug)]
pub(crate) struct CyclesCommand {
    /// Rows, by their whole names
    #[arg(value_name = "ROW", default_values = ["rr-64", "rr-100k", "bulk-out"])]
    rows: Vec<String>,
    /// Seconds that each is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    seconds: f64,
    /// The server's CPU
    #[arg(long, value_name = "CPU", default_value_t = 0)]
    server_cpu: usize,
    /// The client's CPU
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    client_cpu: usize,
}

/// Measures, and shows.
pub(crate) fn run(command: &CyclesCommand) -> Result<(), Failure> {
    let rows = command.rows.iter().map(|name| named(name)).collect::<Result<Vec<_>, _>>()?;
    stop::watch()?;
    let bench = Bench::new((command.server_cpu, command.client_cpu), command.seconds, None)?;
    for row in &rows {
        let (report, account) = measure(&bench, row)?;
        let figure = shown(told_by_client(row.figure, &report));
        println!("{}: {}; {figure} {}\n", row.name, row.what, row.figure.unit());
        println!("{}", account.table());
    }
    Ok(())
}

/// A row that goes on while it is measured.
fn named(name: &str) -> Result<Row, Failure> {
    let has_account =
        |row: &Row| base::compares(row) && !matches!(row.figure, Figure::Memory | Figure::StartUp);
    let mut rows = rows::all();
    rows.retain(has_account);
    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
    let unknown = Failure::usage(format_args!(
        "no row that is measured so is called {name}; there are {}",
        names.join(", ")
    ));
    rows.into_iter().find(|row| row.name == name).ok_or(unknown)
}

fn measure(bench: &Bench, row: &Row) -> Result<(Report, Account), Failure> {
    let [mut server, mut client] = bench.server_and_client(row, bench.lane());
    let mut server = Child::start("the server", &mut server)?;
    server.expect("ready", READY_WITHIN)?;
    let mut client = Child::start("the client", &mut client)?;
    client.expect(MEASURING, SET_UP_WITHIN)?;
    server.line().map_err(Failure::failed)?;
    let result = client.expect("{", Duration::from_secs_f64(bench.seconds()) + READY_WITHIN)?;
    drop(client);
    let report = serde_json::from_str(&result).map_err(Failure::failed)?;
    let summary = server.end().ok_or_else(|| Failure::failed("the server has not told its end"))?;
    let summary: ServerSummary = serde_json::from_str(&summary).map_err(Failure::failed)?;
    let account = summary.account.ok_or_else(|| Failure::failed("the server kept no account"))?;
    Ok((report, account))
}
