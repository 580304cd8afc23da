//! `darner-bench loop`: sends back what it receives, as testpmd does with `--forward-mode=io --port-topology=loop`.

mod reflector;

use std::sync::mpsc::TryRecvError;

use clap::Args;
use pmd::{Burst, Frame, QueuePair};

use crate::device::DeviceOptions;
use crate::failure::Failure;
use crate::serve::end;
use reflector::{Answers, Reflector};

/// Send every frame back where it came from, until Ctrl-C or the end of standard input.
#[derive(Args, Debug)]
pub(crate) struct LoopCommand {
    #[command(flatten)]
    device: DeviceOptions,
    /// Answer TCP segments and datagrams instead, each from itself alone, as a server would that never closes first: what a client can make
    /// at most
    #[arg(long)]
    respond: bool,
    /// Bytes of the response to each segment with data; 0: it is acknowledged
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(0..=1 << 20))]
    response: u32,
    /// Send without end instead, on one connection
    #[arg(long, requires = "respond")]
    source: bool,
    /// Answer each request of `load --mode http` with a page of 64 bytes instead
    #[arg(long, requires = "respond", conflicts_with = "source")]
    http: bool,
}

/// Turns between two looks whether it is to end.
const LOOK_EVERY: u32 = 1 << 12;

/// Forwards until it is to end.
pub(crate) fn run(command: &LoopCommand) -> Result<(), Failure> {
    let ends = end::watch()?;
    let (_device, mut queue) = command.device.open()?;
    command.device.pin()?;
    println!("ready");
    let answers = match command {
        LoopCommand { source: true, .. } => Answers::Endless,
        LoopCommand { http: true, .. } => Answers::Pages,
        LoopCommand { response, .. } => Answers::Of(*response),
    };
    let mut reflector = command.respond.then(|| Reflector::new(queue.as_ref(), answers));
    let mut burst = Burst::new();
    while let Err(TryRecvError::Empty) = ends.try_recv() {
        for _ in 0..LOOK_EVERY {
            match &mut reflector {
                Some(reflector) => reflect(queue.as_mut(), &mut burst, reflector),
                None => bounce(queue.as_mut(), &mut burst),
            }
        }
    }
    Ok(())
}

/// Receives a burst and sends one of answers; while answers wait, nothing is received.
fn reflect(queue: &mut dyn QueuePair, answers: &mut Burst, reflector: &mut Reflector) {
    if answers.is_empty() && !reflector.fill(answers) {
        let mut received = Burst::new();
        if queue.rx_burst(&mut received) > 0 {
            reflector.take(&mut received);
            reflector.fill(answers);
        }
    }
    if !answers.is_empty() {
        queue.tx_burst(answers);
    }
}

/// One burst; frames that the device does not take wait, and no more are received meanwhile.
fn bounce(queue: &mut dyn QueuePair, burst: &mut Burst) {
    if burst.is_empty() && queue.rx_burst(burst) > 0 {
        *burst = cleared(burst);
    }
    if !burst.is_empty() {
        queue.tx_burst(burst);
    }
}

/// The frames without what the device has said of them.
fn cleared(burst: &mut Burst) -> Burst {
    let mut cleared = Burst::new();
    for mut frame in burst.drain() {
        Frame::clear_offload(&mut frame);
        // There is as much room as there was.
        let _ = cleared.push(frame);
    }
    cleared
}
