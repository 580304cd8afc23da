//! Rows over tap devices: ours to a kernel, beside a kernel to a kernel over two taps that testpmd joins.
//!
//! In either case one poller has a CPU of its own: our server, or testpmd. Servers and clients of the kernel sleep when they have nothing to do, so that
//! two of them can share the other CPU; where there is a third, the reference's server has that.

use std::process::Command;

use super::child::Child;
use super::network::{Apart, TAP, TAPS, Tap, TapBy};
use super::outcome::Outcome;
use super::pairs::{Pair, collect, compare};
use super::rows::{Row, TapKind};
use super::window::{Bench, READY_WITHIN, Window};
use crate::failure::Failure;

/// Measures a row in pairs.
pub(super) fn measure(
    bench: &Bench,
    (row, kind): (&Row, TapKind),
    count: u32,
    retries: u32,
) -> Result<Outcome, Failure> {
    let measure =
        || Ok(Pair { reference: kernel_to_kernel(bench, row)?, ours: ours(bench, row, kind)? });
    let mut outcome = Outcome::of(row);
    let pairs = collect(&mut outcome, (count, retries), measure)?;
    compare(&mut outcome, row, &pairs);
    outcome.judge(|ratio, budget| ratio >= budget);
    Ok(outcome)
}

/// Our server, and a kernel's client on the kernel's side of its tap.
fn ours(bench: &Bench, row: &Row, kind: TapKind) -> Result<Window, Failure> {
    let tap = Tap::new(bench.number(), TapBy::Server)?;
    let (mut server, mut client) = (tap.command(), tap.command());
    let device = match kind {
        TapKind::NetTap => format!("tap:{TAP}"),
        TapKind::Native => format!("vtap:{TAP}"),
    };
    bench.serve_over(&mut server, &device, row);
    load_kernel(bench, &mut client);
    let server = bench.begin("the server", &mut server, "ready")?;
    tap.give_address()?;
    bench.go_on(server, &mut client, row, &row.load)
}

fn kernel_to_kernel(bench: &Bench, row: &Row) -> Result<Window, Failure> {
    let apart = Apart::new(bench.number())?;
    let [mut testpmd, mut server, mut client] =
        [apart.server_command(), apart.server_command(), apart.client_command()];
    join_taps(bench, &mut testpmd)?;
    let mut testpmd = Child::start("testpmd over two taps", &mut testpmd)?;
    testpmd.expect("Press enter", READY_WITHIN)?;
    apart.take_taps()?;
    let cpu = bench.spare_cpu().to_string();
    server.arg(bench.program()).args(["serve", "--kernel", "--sleep", "--cpu", &cpu]);
    server.args(row.serve.split_whitespace());
    load_kernel(bench, &mut client);
    let mut server = bench.begin("the kernel's server", &mut server, "ready")?;
    server.helper = Some(testpmd.id());
    bench.go_on(server, &mut client, row, &row.load)
}

fn load_kernel(bench: &Bench, client: &mut Command) {
    let cpu = bench.lane().1.to_string();
    client.arg(bench.program()).args(["load", "--kernel", "--sleep", "--cpu", &cpu]);
}

/// Frames of one tap go to the other, and back.
fn join_taps(bench: &Bench, command: &mut Command) -> Result<(), Failure> {
    let Some(program) = bench.testpmd() else {
        return Err(Failure::start(
            "dpdk-testpmd joins the reference's taps, and is not installed: scripts/deps bench installs it",
        ));
    };
    bench.testpmd_arguments(command, program, &bench.socket());
    let [first, second] = TAPS;
    command.arg(format!("--vdev=net_tap0,iface={first}"));
    command.arg(format!("--vdev=net_tap1,iface={second}"));
    command.args(["--", "--forward-mode=io", "--port-topology=paired", "--disable-link-check"]);
    command.args(["--total-num-mbufs=16384", "--rxd=1024", "--txd=1024"]);
    Ok(())
}
