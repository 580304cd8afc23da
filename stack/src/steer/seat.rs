//! What each core of a stack is given at the start, so that they can work together.

use std::io;
use std::sync::Arc;

use darner_ring::spsc::{Consumer, Producer, queue};
use pmd::{QueueInfo, QueuePair};

use super::lanes::{Ends, Forwarded, Lane, Steer};
use super::steering::Steering;
use crate::config::{Config, invalid};
use crate::rng::Rng;
use crate::socket::CoreShared;
use crate::stack::places;

/// A core's place among the cores of its stack.
pub(crate) struct Seat {
    pub(crate) shared: Arc<CoreShared>,
    pub(crate) steer: Steer,
    /// The device that it speaks through, by a queue of its own or by another core's.
    pub(crate) device: QueueInfo,
}

impl Seat {
    /// The place of a core that has the stack for itself.
    ///
    /// # Errors
    ///
    /// As [`seats`].
    pub(crate) fn alone(
        config: &Config,
        queues: &[Box<dyn QueuePair>],
        seed: [u8; 32],
    ) -> io::Result<Self> {
        let (_, mut seats) = seats(config, &[queues], &mut Rng::new(seed))?;
        seats.pop().ok_or_else(|| invalid("no core".to_owned()))
    }
}

/// Makes the place of each core. `queues` holds what each of them polls; some may have none, as long as others have.
///
/// # Errors
///
/// No queue at all, what [`Config::check`] finds wrong, or no descriptors for bells.
pub(crate) fn seats<Q: AsRef<[Box<dyn QueuePair>]>>(
    config: &Config,
    queues: &[Q],
    rng: &mut Rng,
) -> io::Result<(Arc<Steering>, Vec<Seat>)> {
    let device = queues.iter().find_map(|own| own.as_ref().first());
    let device = device.ok_or_else(|| {
        invalid("a stack needs at least one queue pair: none was given".to_owned())
    })?;
    let device = device.info().clone();
    config.check(&device)?;
    let numbers = |own: &Q| own.as_ref().iter().map(|queue| queue.info().queue).collect();
    let polled: Vec<Vec<u16>> = queues.iter().map(numbers).collect();
    let steering = Arc::new(Steering::new(&config.steering, &device.rss, &polled, rng));
    let shared = (0..queues.len())
        .map(|core| CoreShared::new(core, places(config)))
        .collect::<io::Result<Vec<_>>>()?;
    let mut seats = Vec::with_capacity(queues.len());
    for (core, ends) in ends(&shared, &polled, config.steering.ring).into_iter().enumerate() {
        let steer = Steer::new(core, steering.clone(), ends, rng);
        seats.push(Seat { shared: shared[core].clone(), steer, device: device.clone() });
    }
    Ok((steering, seats))
}

/// A ring for each ordered pair of cores, and for each core without a queue one that sends for it.
fn ends(shared: &[Arc<CoreShared>], polled: &[Vec<u16>], capacity: usize) -> Vec<Ends> {
    let count = shared.len();
    let carriers: Vec<usize> = (0..count).filter(|&core| !polled[core].is_empty()).collect();
    let mut lanes: Vec<Vec<Option<Lane>>> = (0..count).map(|_| Vec::new()).collect();
    let mut incoming: Vec<Vec<Consumer<Forwarded>>> = (0..count).map(|_| Vec::new()).collect();
    for from in 0..count {
        for to in 0..count {
            let lane = (from != to).then(|| {
                let (producer, consumer): (Producer<Forwarded>, _) = queue(capacity);
                incoming[to].push(consumer);
                Lane::new(producer, shared[to].clone())
            });
            lanes[from].push(lane);
        }
    }
    let carrier = |core: usize| polled[core].is_empty().then(|| carriers[core % carriers.len()]);
    lanes
        .into_iter()
        .zip(incoming)
        .enumerate()
        .map(|(core, (lanes, incoming))| Ends {
            lanes: lanes.into_boxed_slice(),
            incoming,
            carrier: carrier(core),
        })
        .collect()
}
