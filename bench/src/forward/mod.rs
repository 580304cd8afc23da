//! `darner-bench loop`: sends back what it receives, as testpmd does with `--forward-mode=io --port-topology=loop`.

mod reflector;

use std::sync::mpsc::TryRecvError;

use clap::Args;
use pmd::{Burst, Frame, QueuePair};

use crate::device::DeviceOptions;
use crate::failure::Failure;
use crate::serve::end;
use reflector::Reflector;

/// Send every frame back where it came from, until Ctrl-C or the end of standard input.
#[derive(Args, Debug)]
pub(crate) struct LoopCommand {
    #[command(flatten)]
    device: DeviceOptions,
    /// Answer TCP segments instead, each from itself alone, as a server would that never closes first: what a client can make at most
    #[arg(long)]
    respond: bool,
    /// Bytes of the response to each segment with data; one segment
    #[arg(long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1448))]
    response: u16,
}

/// Turns between two looks whether it is to end.
const LOOK_EVERY: u32 = 1 << 12;

/// Forwards until it is to end.
pub(crate) fn run(command: &LoopCommand) -> Result<(), Failure> {
    let ends = end::watch()?;
    let (_device, mut queue) = command.device.open()?;
    command.device.pin()?;
    println!("ready");
    let mut reflector = command.respond.then(|| Reflector::new(queue.as_ref(), command.response));
    let mut burst = Burst::new();
    while let Err(TryRecvError::Empty) = ends.try_recv() {
        for _ in 0..LOOK_EVERY {
            turn(queue.as_mut(), &mut burst, reflector.as_mut());
        }
    }
    Ok(())
}

/// One burst; frames that the device does not take wait, and no more are received meanwhile.
fn turn(queue: &mut dyn QueuePair, burst: &mut Burst, reflector: Option<&mut Reflector>) {
    if burst.is_empty() && queue.rx_burst(burst) > 0 {
        match reflector {
            Some(reflector) => *burst = reflector.answers(burst),
            None => *burst = cleared(burst),
        }
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
