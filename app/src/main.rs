//! The darner program: `darner serve`, `echo`, `sink`, `get`, `ping`, `stat`, `wire`, `doctor`.
//!
//! [`cli`] says what can be asked for, [`config`] what a file may say of it, [`settings`] what comes of both.
//! [`device`] opens the device, [`run`] starts a stack over it and stops it again. The programs themselves are
//! applications: [`serve`], [`echo`], [`sink`], [`get`], [`ping`]. They run on the protocol threads, the servers also on
//! threads of their own ([`placement`]). [`wire`] has no stack: it joins two devices.

#![forbid(unsafe_code)]

mod cli;
mod config;
mod console;
mod failure;
mod settings;

mod device;
mod placement;
mod run;
mod signals;

mod doctor;
mod echo;
mod get;
mod http;
mod listen;
mod ping;
mod serve;
mod service;
mod sink;
mod stat;
mod wire;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use settings::Settings;

fn main() -> ExitCode {
    let outcome =
        match Cli::parse().command {
            Command::Serve(options) => Settings::load(&options.stack)
                .and_then(|settings| serve::run(&settings, options.serve, options.placement)),
            Command::Echo(options) => Settings::load(&options.stack)
                .and_then(|settings| echo::run(&settings, &options.listen, options.placement)),
            Command::Sink(options) => Settings::load(&options.stack)
                .and_then(|settings| sink::run(&settings, &options.listen, options.placement)),
            Command::Get(options) => Settings::load(&options.stack)
                .and_then(|settings| get::run(&settings, &options.get)),
            Command::Ping(options) => Settings::load(&options.stack)
                .and_then(|settings| ping::run(&settings, &options.ping)),
            Command::Stat(options) => stat::run(&options),
            Command::Wire(options) => wire::run(&options),
            Command::Doctor(options) => doctor::run(&options),
        };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
