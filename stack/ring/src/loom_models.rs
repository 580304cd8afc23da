//! Every interleaving (up to a number of preemptions) of small runs, on the crate's own types. Each model is first seen
//! green, then red with each of the faults that it guards against.
//!
//! A chunk holds two bytes here; [`Watch`](crate::sync::Watch) lets loom see who touches which.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::fault::{self, Fault};
use crate::sync::BALANCE;

mod hints;
mod locks;
mod rings;
mod shards;
mod sleeping;
mod urgent;
mod words;

/// Runs the model of the test `name` in every interleaving: as it is, then with each fault, which must be noticed.
fn check(name: &str, size: Size, model: fn(), faults: &[Fault]) {
    check_use(name, size, model, faults, &[]);
}

/// The same for a model of how the types are used together, with what users can do wrong.
///
/// Each fault has a process of its own, because loom does not survive what a failed model drops.
fn check_use(name: &str, size: Size, model: fn(), faults: &[Fault], misuses: &[Misuse]) {
    explore(size, model);
    if fault::chosen().is_some() || std::env::var_os(MISUSE).is_some() {
        return;
    }
    for &fault in faults {
        let noticed = fails(name, fault::VARIABLE, (fault as u8).to_string());
        assert!(noticed, "{name} does not notice {fault:?}");
    }
    for &misuse in misuses {
        let noticed = fails(name, MISUSE, format!("{misuse:?}"));
        assert!(noticed, "{name} does not notice {misuse:?}");
    }
}

fn fails(name: &str, variable: &str, value: String) -> bool {
    let status = Command::new(std::env::current_exe().unwrap())
        .args([&format!("loom_models::{name}"), "--exact"])
        .env(variable, value)
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !status.unwrap().success()
}

/// One way to use the types wrongly, which a model does itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Misuse {
    /// What a hint is about is read before the hint is taken.
    StateReadFirst,
    /// News are taken before the name is taken out of the queue.
    NewsTakenFirst,
    /// A reader takes news of a source that has moved on to another.
    OldReaderTakes,
    /// A hint is followed without asking for which generation.
    GenerationUnasked,
    /// A hint does not lead to a new decision.
    NotEvaluatedAgain,
    /// The hint is given before the flag that it is about.
    HintBeforeFlag,
}

impl Misuse {
    fn is_done(self) -> bool {
        static DONE: OnceLock<Option<String>> = OnceLock::new();
        let done = DONE.get_or_init(|| std::env::var(MISUSE).ok());
        done.as_ref().is_some_and(|done| *done == format!("{self:?}"))
    }
}

/// Holds the name of a [`Misuse`].
const MISUSE: &str = "DARNER_RING_MISUSE";

/// How much there is to explore.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Size {
    Small,
    /// More threads, or longer ones.
    Big,
}

impl Size {
    /// At how many points a thread may be interrupted that could have gone on.
    fn preemptions(self) -> usize {
        let more = std::env::var(MORE).ok().and_then(|more| more.parse().ok()).unwrap_or(0);
        more + match self {
            Self::Small => 5,
            Self::Big => 3,
        }
    }
}

/// How many preemptions more than usual `make loom-long` looks at.
const MORE: &str = "DARNER_RING_MORE_PREEMPTIONS";

fn explore(size: Size, model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(size.preemptions());
    builder.check(move || {
        BALANCE.set(0);
        model();
        assert_eq!(BALANCE.get(), 0, "chunks are left");
    });
}
