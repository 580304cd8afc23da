//! Takes a whole protocol thread through one scenario, for callgrind to count: `instructions SCENARIO COUNT`.
//!
//! Nothing here reads a clock or draws chance, so two runs execute the same instructions. Only what happens inside
//! [`world::counted_turn`] is to be counted (`--toggle-collect`): the turns of the protocol loop that the scenario is
//! about, with the application and the device's bursts in them, but not the peer. `scripts/bench-instructions` does it.

#![forbid(unsafe_code)]

mod peer;
mod scenario;
mod server;
mod world;

use std::process::ExitCode;

use scenario::Scenario;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((scenario, count)) = parse(&arguments) else {
        let names: Vec<_> = Scenario::ALL.iter().map(|scenario| scenario.name()).collect();
        eprintln!("usage: instructions {} COUNT", names.join("|"));
        return ExitCode::from(2);
    };
    println!("{}", scenario.run(count));
    ExitCode::SUCCESS
}

fn parse(arguments: &[String]) -> Option<(Scenario, usize)> {
    let [name, count] = arguments else { return None };
    let scenario = Scenario::ALL.into_iter().find(|scenario| scenario.name() == name)?;
    Some((scenario, count.parse().ok()?))
}
