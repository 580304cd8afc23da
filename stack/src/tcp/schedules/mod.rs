//! Every short schedule of what two applications, two protocol threads and the wire between them can do (D-2).
//!
//! Two stacks run back to back, and beside each end runs a [`reference`]: a socket with one lock around everything. Whatever
//! the order of calls, looks of the protocol threads, and packets that arrive, are lost, come late, or twice, both applications
//! must get what the reference gives them, and the wire must carry what it allows. From where a schedule ends the wire is
//! good: then everything that was accepted must arrive, whoever failed must be told once, and nothing may be left behind.
//!
//! The reference learns what arrives and judges what is sent; it does not say when something is sent, for that is up to TCP.
//! What a call asks for it does when the protocol thread looks the next time: the network cannot tell that from a call that
//! came later, and of the caller only one that has aborted could (contract, 3.5).
//!
//! A schedule that fails is printed. `DARNER_SCHEDULE='A-Send A-turn ...'` runs it alone, and `make schedules` goes through
//! longer ones.

mod reference;
mod steps;
mod world;

use std::collections::BTreeSet;
use std::env;

use super::{ErrorMapping, TcpConfig};
use reference::Fate;
use steps::{Step, parse, print};
use world::World;

/// Goes through all schedules up to a length, those left out that differ from one of them only in the order of steps that do
/// not mind it.
struct Search {
    world: World,
    length: usize,
    count: u64,
    /// Steps that were taken, and what became of connections.
    seen: BTreeSet<String>,
}

impl Search {
    fn new(config: &TcpConfig, length: usize) -> Self {
        Self { world: World::new(config), length, count: 0, seen: BTreeSet::new() }
    }

    /// Runs `schedule` and everything that begins with it. `before` are the steps that the last one was chosen from.
    fn explore(&mut self, schedule: &mut Vec<Step>, before: &[Step]) {
        let next = self.run(schedule);
        self.count += 1;
        let Some(next) = next.filter(|_| schedule.len() < self.length) else { return };
        let last = schedule.last().copied();
        for &step in &next {
            let swapped = last.is_some_and(|last| {
                step.rank() < last.rank() && last.commutes_with(step) && before.contains(&step)
            });
            if !swapped {
                schedule.push(step);
                self.explore(schedule, &next);
                schedule.pop();
            }
        }
    }

    /// Runs one schedule to its end and beyond. Gives what could come next, unless the last step has changed nothing: then
    /// everything was seen without it.
    fn run(&mut self, schedule: &[Step]) -> Option<Vec<Step>> {
        let _named = Named(schedule);
        let mut run = self.world.connect();
        let (last, first) = schedule.split_last().unzip();
        for &step in first.unwrap_or_default() {
            assert!(run.can(step), "{step} cannot be taken there");
            run.take(step);
        }
        let before = run.mark();
        last.into_iter().for_each(|&step| run.take(step));
        let idle = matches!(last, Some(Step::Call(..))) && run.mark() == before;
        let next = Step::all().filter(|&step| run.can(step)).collect();
        self.seen.extend(last.map(Step::to_string));
        self.seen.extend(run.finish().map(|fate| format!("{fate:?}")));
        (!idle).then_some(next)
    }
}

/// Says which schedule it was when a test fails.
struct Named<'a>(&'a [Step]);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("DARNER_SCHEDULE='{}'", print(self.0));
        }
    }
}

fn plain() -> TcpConfig {
    // Timestamps would make an older segment of a repeated one, which the reference does not care to know of; and it tells a reset from the end.
    TcpConfig {
        errors: ErrorMapping::FreeBsd,
        timestamps: false,
        window_scaling: false,
        receive_buffer_max: 0,
        send_buffer_max: 0,
        ..TcpConfig::default()
    }
}

/// Buffers of less than what is sent at once: windows close, and sends are cut short.
fn tiny() -> TcpConfig {
    TcpConfig { receive_buffer: 4, send_buffer: 5, ..plain() }
}

fn search(config: &TcpConfig, quick: usize) -> Search {
    let length = env::var("DARNER_SCHEDULE_LENGTH").ok().map(|length| length.parse().unwrap());
    let mut search = Search::new(config, length.unwrap_or(quick));
    if let Ok(schedule) = env::var("DARNER_SCHEDULE") {
        search.run(&parse(&schedule));
    } else {
        search.explore(&mut Vec::new(), &[]);
        let missing = Step::all().map(|step| step.to_string()).filter(|s| !search.seen.contains(s));
        assert_eq!(missing.collect::<Vec<_>>(), [""; 0], "steps that were never taken");
        let fates = [Fate::Over, Fate::Failed].map(|fate| format!("{fate:?}"));
        assert!(fates.iter().all(|fate| search.seen.contains(fate)), "a fate that nobody met");
    }
    eprintln!("{} schedules of up to {} steps", search.count, search.length);
    search
}

#[test]
fn a_socket_with_one_lock_could_not_be_told_from_ours() {
    search(&plain(), 5);
}

#[test]
fn nor_where_buffers_are_tiny() {
    search(&tiny(), 5);
}
