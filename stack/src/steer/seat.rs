//! What each core of a stack is given at the start, so that they can work together.

use std::io;
use std::sync::Arc;

use darner_ring::spsc::{Producer, queue};
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
    let with_queue = |&core: &usize| polled.get(core).is_some_and(|queues| !queues.is_empty());
    let carriers: Vec<usize> = (0..polled.len()).filter(with_queue).collect();
    let carrier = |core| match carriers.get(core % carriers.len()) {
        Some(&carrier) if !with_queue(&core) => Some(carrier),
        _ => None,
    };
    let mut ends: Vec<Ends> = (0..shared.len())
        .map(|core| Ends { lanes: Box::default(), incoming: Vec::new(), carrier: carrier(core) })
        .collect();
    for from in 0..shared.len() {
        let lanes = shared.iter().zip(&mut ends).enumerate().map(|(to, (core, end))| {
            (from != to).then(|| {
                let (producer, consumer): (Producer<Forwarded>, _) = queue(capacity);
                end.incoming.push(consumer);
                Lane::new(producer, core.clone())
            })
        });
        let lanes = lanes.collect();
        if let Some(end) = ends.get_mut(from) {
            end.lanes = lanes;
        }
    }
    ends
}
