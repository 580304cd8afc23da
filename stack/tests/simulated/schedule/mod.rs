//! Random schedules of calls, losses and time over whole stacks, against a model of what applications may see.
//!
//! Beside `darner::tcp::schedules`, which goes through every short schedule of two connections without a network below them,
//! this one takes long schedules, two or three whole stacks, and wires that lose, reorder, double and corrupt. Whatever
//! happens: bytes come in order and as they were written, none is lost while nobody has reset the connection, a stream ends once
//! and only where its writer has ended it, errors have a cause and are told once. Afterwards no connection, buffer, timer or
//! frame is left.
//!
//! A schedule that fails is made shorter for as long as it still fails, printed with the command that replays it, and recorded
//! in `target`. `DARNER_SEEDS` widens the test, `DARNER_SEED` plays one seed.

mod model;
mod network;
mod run;
mod steps;

use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};

use model::Verdict;
use run::Run;
use steps::{Step, schedule};

#[test]
fn applications_see_what_the_model_allows() {
    let number = |name| env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("DARNER_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DARNER_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let (stacks, steps) = schedule(seed);
        if let Err(broken) = play(seed, stacks, &steps, None) {
            report(seed, stacks, steps, &broken);
        }
    }
}

/// Plays a schedule to its end and beyond. A panic of the stack's is a broken promise too.
fn play(seed: u64, stacks: usize, steps: &[Step], pcap: Option<&str>) -> Verdict {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run::new(seed, stacks, pcap);
        steps.iter().try_for_each(|&step| run.take(step))?;
        run.finish()
    }));
    played.unwrap_or_else(|panic| Err(said(panic.as_ref())))
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

fn report(seed: u64, stacks: usize, steps: Vec<Step>, broken: &str) -> ! {
    let (len, steps) = (steps.len(), shorten(seed, stacks, steps));
    let pcap = format!("{}/../target/schedule-{seed}", env!("CARGO_MANIFEST_DIR"));
    let after = play(seed, stacks, &steps, Some(&pcap));
    panic!(
        "seed {seed}: {broken}\n\
         {} of {len} steps with {stacks} stacks: {after:?}\n{steps:#?}\n\
         traffic of each stack: {pcap}-*.pcap\n\
         replay: DARNER_SEED={seed} PKG_CONFIG=false cargo nextest run -p darner -E 'test(applications_see)'",
        steps.len(),
    );
}

/// Leaves out pieces, then single steps, for as long as the rest still fails.
fn shorten(seed: u64, stacks: usize, mut steps: Vec<Step>) -> Vec<Step> {
    let mut piece = steps.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < steps.len() {
            let end = steps.len().min(at + piece);
            let rest = [&steps[..at], &steps[end..]].concat();
            if play(seed, stacks, &rest, None).is_err() {
                steps = rest;
            } else {
                at = end;
            }
        }
        piece /= 2;
    }
    steps
}

/// What there is time for in `make test`.
const SEEDS: u64 = 5000;
