//! Throughput by the number of cores: as many servers, each with a client, a wire and two CPUs of its own, at the same time.
//!
//! What it shows is how far cores are in each other's way: in caches, in memory, in the kernel. Servers are processes of their own, since a wire
//! of shared memory has two ends.

use std::time::Duration;

use super::child::Child;
use super::machine::{DISTURBED, Sample};
use super::outcome::{Outcome, median};
use super::pairs::told_by_client;
use super::rows::Row;
use super::table::shown;
use super::window::{Bench, READY_WITHIN, SET_UP_WITHIN, cpus};
use crate::failure::Failure;
use crate::load::run::MEASURING;

/// The CPUs of a server and of its client.
type Lane = (usize, usize);

/// Goes through 1, 2, 4 cores and so on, up to what the machine has. The ratio is that of all cores to as many times one.
pub(super) fn measure(bench: &Bench, row: &Row, count: u32) -> Result<Outcome, Failure> {
    let cpus = cpus();
    let lanes = lanes(bench.lane(), &cpus);
    let steps = steps(lanes.len());
    let mut outcome = Outcome::of(row);
    let mut runs = Vec::new();
    for _ in 0..count {
        let run = steps.iter().map(|cores| {
            let (sum, others) = side_by_side(bench, row, &lanes[..*cores])?;
            // Nothing is thrown away here: what a disturbed window shows is said.
            outcome.disturbed |= others > DISTURBED;
            Ok(sum)
        });
        runs.push(run.collect::<Result<Vec<f64>, Failure>>()?);
    }
    let of = |step: usize| median(&runs.iter().map(|run| run[step]).collect::<Vec<_>>());
    outcome.curve =
        steps.iter().enumerate().map(|(step, cores)| (*cores as f64, of(step))).collect();
    let last = steps.len() - 1;
    outcome.ours = of(last);
    outcome.pairs = runs.len();
    if last > 0 {
        let most = steps[last] as f64;
        outcome.reference = most * of(0);
        let ratios: Vec<f64> =
            runs.iter().map(|run| run[last] / (most * run[0]).max(1e-9)).collect();
        outcome.set_ratios(&ratios);
    }
    let told = outcome.curve.iter().map(|(cores, sum)| format!("{cores}: {}", shown(*sum)));
    outcome.note = Some(format!(
        "by cores {}; {} CPUs, of which each core of the stack takes one and its client another",
        told.collect::<Vec<_>>().join(", "),
        cpus.len()
    ));
    Ok(outcome)
}

/// The CPUs two by two, those first that other rows are measured on: no two poll on one.
fn lanes(first: Lane, cpus: &[usize]) -> Vec<Lane> {
    let rest: Vec<usize> =
        cpus.iter().copied().filter(|cpu| ![first.0, first.1].contains(cpu)).collect();
    let rest = rest.chunks_exact(2).map(|pair| (pair[0], pair[1]));
    [first].into_iter().chain(rest).collect()
}

/// Powers of two, and all.
fn steps(most: usize) -> Vec<usize> {
    let powers = (0..usize::BITS).map(|shift| 1 << shift);
    let mut steps: Vec<usize> = powers.take_while(|step| *step < most).collect();
    steps.push(most);
    steps
}

/// What all clients have measured together, and how many cores others used.
fn side_by_side(bench: &Bench, row: &Row, lanes: &[Lane]) -> Result<(f64, f64), Failure> {
    let (mut servers, mut clients) = (Vec::new(), Vec::new());
    for lane in lanes {
        let [mut server, client] = bench.server_and_client(row, *lane);
        let mut server = Child::start("the server", &mut server)?;
        server.expect("ready", READY_WITHIN)?;
        servers.push(server);
        clients.push(client);
    }
    let clients = clients.iter_mut().map(|client| Child::start("the client", client));
    let mut clients = clients.collect::<Result<Vec<_>, _>>()?;
    for client in &mut clients {
        client.expect(MEASURING, SET_UP_WITHIN)?;
    }
    let processes: Vec<u32> = servers.iter().chain(&clients).map(Child::id).collect();
    let before = Sample::take(&processes);
    let within = Duration::from_secs_f64(bench.seconds()) + READY_WITHIN;
    let mut sum = 0.0;
    for client in &mut clients {
        let report = serde_json::from_str(&client.expect("{", within)?);
        sum += told_by_client(row.figure, &report.map_err(Failure::failed)?);
    }
    Ok((sum, Sample::take(&processes).others_since(&before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cpu_is_polled_on_twice() {
        assert_eq!(lanes((0, 1), &[0, 1]), [(0, 1)]);
        assert_eq!(lanes((0, 1), &[0, 1, 2]), [(0, 1)]);
        assert_eq!(lanes((4, 2), &[0, 1, 2, 3, 4, 5, 6]), [(4, 2), (0, 1), (3, 5)]);
    }

    #[test]
    fn cores_are_doubled_up_to_all() {
        assert_eq!(steps(1), [1]);
        assert_eq!(steps(4), [1, 2, 4]);
        assert_eq!(steps(6), [1, 2, 4, 6]);
    }
}
