//! The tool `darner-bench`: how fast the stack is, beside what the wire and the kernel can do.
//!
//! [`serve`] is a server on the stack, or on the kernel's sockets. [`load`] makes requests of it, or of any server. [`forward`] sends back
//! what it receives: what the wire carries at most. [`inside`] has client and server in one process. [`suite`] runs them against each other, two at a time, and says how they compare.

#![forbid(unsafe_code)]

mod device;
mod failure;
mod forward;
mod inside;
mod load;
mod serve;
mod suite;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measure the darner stack, and others, over any device.
#[derive(Debug, Parser)]
#[command(name = "darner-bench", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeCommand),
    Load(load::LoadCommand),
    Loop(forward::LoopCommand),
    Inside(inside::InsideCommand),
    Suite(suite::SuiteCommand),
    #[cfg(feature = "cycles")]
    Cycles(suite::cycles::CyclesCommand),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Serve(command) => serve::run(&command),
        Command::Load(command) => load::run(&command),
        Command::Loop(command) => forward::run(&command),
        Command::Inside(command) => inside::run(&command),
        Command::Suite(command) => suite::run(&command),
        #[cfg(feature = "cycles")]
        Command::Cycles(command) => suite::cycles::run(&command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
