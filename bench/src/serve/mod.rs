//! `darner-bench serve`: servers that do one simple thing, to be measured.

pub(crate) mod application;
#[cfg(feature = "cycles")]
pub(crate) mod cycles;
pub(crate) mod end;
pub(crate) mod http;
mod kernel;
mod options;
mod output;
pub(crate) mod summary;

use std::time::{Duration, Instant};

use darner::Stack;

use crate::failure::Failure;
use application::{Role, Server};
pub(crate) use options::{ServeCommand, config};
use summary::{Memory, Summary, recycled};

/// How long connections may take to close at the end: whoever measured is gone already.
const STOP_WITHIN: Duration = Duration::from_millis(100);
/// How often it is looked whether the stack still runs.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Serves until Ctrl-C or the end of standard input.
pub(crate) fn run(command: &ServeCommand) -> Result<(), Failure> {
    let started = Instant::now();
    #[cfg(not(feature = "cycles"))]
    let ends = end::watch()?;
    #[cfg(feature = "cycles")]
    let (mut account, ends) = cycles::Watch::start()?;
    if command.kernel {
        if command.role() == Role::Both {
            return Err(Failure::usage(
                "over the kernel there is no `both`: say respond, sink or source",
            ));
        }
        command.device.pin()?;
        let rest = if command.sleep { kernel::Rest::Sleeps } else { kernel::Rest::Spins };
        return kernel::run(command.role(), command.port(), (rest, &ends));
    }
    let (device, queue) = command.device.open()?;
    let (tell, told) = std::sync::mpsc::channel();
    let config = command.config();
    let stack = Stack::start_with(&config, vec![vec![queue]], |_| {
        Box::new(Server::new(command.role(), command.port(), tell.clone()))
    });
    let stack = stack.map_err(Failure::start)?;
    println!("ready after {:.3} s on {}", started.elapsed().as_secs_f64(), device.driver());
    let mut memory = Memory { start: summary::resident_kib(), ..Memory::default() };
    while ends.recv_timeout(LOOK_EVERY).is_err() && !stack.is_finished() {
        #[cfg(feature = "cycles")]
        account.look(&stack, &told);
        if command.watches_time_wait() && memory.time_wait_full.is_none() {
            let recycles = recycled(&stack.snapshot()) > 0;
            memory.time_wait_full = recycles.then(summary::resident_kib);
        }
    }
    memory.end = summary::resident_kib();
    // Before the end: what is then sent to a client who has gone is no part of what was measured.
    let snapshot = stack.snapshot();
    stack.stop(STOP_WITHIN);
    stack.join().map_err(Failure::failed)?;
    let totals = told.try_iter().last().unwrap_or_default();
    let summary = Summary::new(&totals, &snapshot, memory, config.tcp.time_wait);
    #[cfg(feature = "cycles")]
    let summary = summary.with_account(account.end(&snapshot, &totals));
    println!("{}", serde_json::to_string(&summary).map_err(Failure::failed)?);
    Ok(())
}
