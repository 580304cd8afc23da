//! What it costs to hand a value from one thread to another: this project's queue, and two that others know.
//!
//! Two threads, each on a CPU of its own, and nothing else to do: one pushes consecutive numbers, one takes them out and
//! checks them. On a full or empty queue they spin. `rings` prints a table for `RESULTS.md`.

#![forbid(unsafe_code)]

use std::hint::spin_loop;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use crossbeam_queue::ArrayQueue;
use darner_ring::spsc;

fn main() {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let &[first, second, ..] = cores.as_slice() else {
        eprintln!("this takes two CPUs");
        return;
    };
    println!("ns per value, median (best) of {RUNS} runs of {VALUES} values, {CAPACITY} slots");
    println!("| queue | 8 B, 1 by 1 | 8 B, batch | 64 B, 1 by 1 | 64 B, batch |");
    println!("|---|---|---|---|---|");
    let cpus = [first, second];
    println!("{}", row::<Darner>("darner-ring `spsc`", cpus));
    println!("{}", row::<Rtrb>("rtrb", cpus));
    println!("{}", row::<Crossbeam>("crossbeam `ArrayQueue`", cpus));
}

fn row<Q>(name: &str, cpus: [CoreId; 2]) -> String
where
    Q: Queue<u64> + Queue<[u64; 8]>,
{
    let cells = [
        measure::<u64, Q>(1, cpus),
        measure::<u64, Q>(BATCH, cpus),
        measure::<[u64; 8], Q>(1, cpus),
        measure::<[u64; 8], Q>(BATCH, cpus),
    ];
    format!("| {name} | {} |", cells.join(" | "))
}

/// Nanoseconds per value.
fn measure<T: Value, Q: Queue<T>>(batch: usize, cpus: [CoreId; 2]) -> String {
    let mut times: Vec<_> = (0..RUNS).map(|_| run::<T, Q>(batch, cpus)).collect();
    times.sort_unstable();
    let per_value = |time: Duration| time.as_secs_f64() * 1e9 / VALUES as f64;
    format!("{:.2} ({:.2})", per_value(times[RUNS / 2]), per_value(times[0]))
}

fn run<T: Value, Q: Queue<T>>(batch: usize, [pushing, popping]: [CoreId; 2]) -> Duration {
    let (mut producer, mut consumer) = Q::new();
    let start = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            core_affinity::set_for_current(pushing);
            let mut values = (0..VALUES).map(T::from_number);
            start.wait();
            let mut pushed = 0;
            while pushed < VALUES {
                let count = Q::push(&mut producer, &mut values, batch);
                if count == 0 {
                    spin_loop();
                }
                pushed += count as u64;
            }
        });
        let taking = scope.spawn(|| {
            core_affinity::set_for_current(popping);
            start.wait();
            let before = Instant::now();
            let mut next = 0;
            while next < VALUES {
                let mut check = |value: T| {
                    assert_eq!(value.number(), next);
                    next += 1;
                };
                if Q::pop(&mut consumer, batch, &mut check) == 0 {
                    spin_loop();
                }
            }
            before.elapsed()
        });
        taking.join().expect("no value was lost")
    })
}

/// What is handed over.
trait Value: Send {
    fn from_number(number: u64) -> Self;
    fn number(&self) -> u64;
}

impl Value for u64 {
    fn from_number(number: u64) -> Self {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
}

impl Value for [u64; 8] {
    fn from_number(number: u64) -> Self {
        [number; 8]
    }

    fn number(&self) -> u64 {
        self[7]
    }
}

/// A queue with both its ends.
trait Queue<T> {
    type Producer: Send;
    type Consumer: Send;

    fn new() -> (Self::Producer, Self::Consumer);

    /// Pushes at most `most` values, as many as fit. Gives their number.
    fn push(
        producer: &mut Self::Producer,
        values: &mut impl Iterator<Item = T>,
        most: usize,
    ) -> usize;

    /// Pops at most `most` values, as many as are there. Gives their number.
    fn pop(consumer: &mut Self::Consumer, most: usize, take: &mut impl FnMut(T)) -> usize;
}

struct Darner;

impl<T: Value> Queue<T> for Darner {
    type Producer = spsc::Producer<T>;
    type Consumer = spsc::Consumer<T>;

    fn new() -> (Self::Producer, Self::Consumer) {
        spsc::queue(CAPACITY)
    }

    fn push(
        producer: &mut Self::Producer,
        values: &mut impl Iterator<Item = T>,
        most: usize,
    ) -> usize {
        if most == 1 {
            return push_one(values, |value| producer.push(value));
        }
        producer.push_all(&mut values.take(most))
    }

    fn pop(consumer: &mut Self::Consumer, most: usize, take: &mut impl FnMut(T)) -> usize {
        if most == 1 {
            return consumer.pop().map(take).into_iter().count();
        }
        consumer.pop_into(&mut Taken(take), most)
    }
}

/// Uses values at once instead of keeping them.
struct Taken<'a, F>(&'a mut F);

impl<T, F: FnMut(T)> Extend<T> for Taken<'_, F> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        values.into_iter().for_each(&mut self.0);
    }
}

struct Rtrb;

impl<T: Value> Queue<T> for Rtrb {
    type Producer = rtrb::Producer<T>;
    type Consumer = rtrb::Consumer<T>;

    fn new() -> (Self::Producer, Self::Consumer) {
        rtrb::RingBuffer::new(CAPACITY)
    }

    fn push(
        producer: &mut Self::Producer,
        values: &mut impl Iterator<Item = T>,
        most: usize,
    ) -> usize {
        if most == 1 {
            return push_one(values, |value| {
                producer.push(value).map_err(|rtrb::PushError::Full(value)| value)
            });
        }
        let count = producer.slots().min(most);
        let chunk = producer.write_chunk_uninit(count).expect("so many slots are free");
        chunk.fill_from_iter(values)
    }

    fn pop(consumer: &mut Self::Consumer, most: usize, take: &mut impl FnMut(T)) -> usize {
        if most == 1 {
            return consumer.pop().map(take).into_iter().count();
        }
        let count = consumer.slots().min(most);
        let chunk = consumer.read_chunk(count).expect("so many slots are filled");
        chunk.into_iter().for_each(take);
        count
    }
}

struct Crossbeam;

/// For many producers and consumers, and without batches.
impl<T: Value> Queue<T> for Crossbeam {
    type Producer = Arc<ArrayQueue<T>>;
    type Consumer = Arc<ArrayQueue<T>>;

    fn new() -> (Self::Producer, Self::Consumer) {
        let queue = Arc::new(ArrayQueue::new(CAPACITY));
        (queue.clone(), queue)
    }

    fn push(
        producer: &mut Self::Producer,
        values: &mut impl Iterator<Item = T>,
        most: usize,
    ) -> usize {
        (0..most).take_while(|_| push_one(values, |value| producer.push(value)) == 1).count()
    }

    fn pop(consumer: &mut Self::Consumer, most: usize, take: &mut impl FnMut(T)) -> usize {
        std::iter::from_fn(|| consumer.pop()).take(most).map(take).count()
    }
}

/// Pushes the next value, waiting for room. Gives 1, or 0 if there is none.
fn push_one<T>(
    values: &mut impl Iterator<Item = T>,
    mut push: impl FnMut(T) -> Result<(), T>,
) -> usize {
    let Some(mut value) = values.next() else { return 0 };
    while let Err(refused) = push(value) {
        value = refused;
        spin_loop();
    }
    1
}

const VALUES: u64 = 2_000_000;
const RUNS: usize = 21;
const CAPACITY: usize = 1024;
const BATCH: usize = 32;
