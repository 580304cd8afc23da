//! T-10: a half that was written to on one thread is closed on another, which hints through another ring.

use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use super::driven::Driven;
use super::leave_order_to_chance;
use super::world::{Dice, LONG, check, duration, fill};
use crate::api::{TcpStream, WriteHalf};

const THREADS: usize = 4;
/// Streams that are written at any time.
const STREAMS: u32 = 8;
/// Most bytes of a leg: all legs together fit the buffers, so that no thread waits for another.
const LONGEST: usize = 60_000;

/// A half on its way from thread to thread.
struct Baton {
    half: WriteHalf,
    stream: u64,
    position: u64,
    /// How many bytes each of the next threads writes; the one after the last drops the half.
    legs: Vec<usize>,
}

///
#[test]
fn what_several_threads_write_and_another_closes_arrives_in_order() {
    let driven = Driven::start(leave_order_to_chance);
    let until = Instant::now() + duration();
    let mut dice = Dice::new(18);
    thread::scope(|scope| {
        let (runners, batons): (Vec<Sender<Baton>>, Vec<Receiver<Baton>>) =
            (0..THREADS).map(|_| channel()).unzip();
        for (seed, batons) in (0..).zip(batons) {
            let others = runners.clone();
            let distractions = [driven.pair(), driven.pair()];
            scope.spawn(move || run(&batons, &others, distractions, &mut Dice::new(seed)));
        }
        let mut streams = 0;
        while Instant::now() < until {
            let listener = driven.listen(STREAMS);
            let reading: Vec<_> = (0..STREAMS)
                .map(|_| {
                    streams += 1;
                    let client = driven.connect(listener.local_addr());
                    let server = listener.accept().unwrap().0;
                    let legs: Vec<usize> = (0..dice.below(5)).map(|_| dice.size(LONGEST)).collect();
                    let total = legs.iter().sum::<usize>() as u64;
                    let (reader, half, _control) = client.split();
                    let baton = Baton { half, stream: streams, position: 0, legs };
                    runners[dice.below(THREADS)].send(baton).unwrap();
                    (server, reader, streams, total)
                })
                .collect();
            for (server, _reader, stream, total) in reading {
                assert_eq!(read_to_end(server, stream), total, "stream {stream}");
            }
        }
        // Runners keep each other in being.
        runners.iter().for_each(|runner| {
            let (half, stream, position) = (driven.pair().0.split().1, 0, u64::MAX);
            runner.send(Baton { half, stream, position, legs: vec![] }).unwrap();
        });
    });
    driven.stop();
}

/// One thread: writes a leg of each stream that comes, and hands it on.
fn run(
    batons: &Receiver<Baton>,
    others: &[Sender<Baton>],
    mut distractions: [(TcpStream, TcpStream); 2],
    dice: &mut Dice,
) {
    let mut bytes = vec![0; LONGEST];
    while let Ok(mut baton) = batons.recv() {
        if baton.position == u64::MAX {
            return;
        }
        if dice.below(2) == 0 {
            distract(&mut distractions);
        }
        let Some(len) = baton.legs.pop() else { continue };
        fill(baton.stream, baton.position, &mut bytes[..len]);
        baton.half.write_all(&bytes[..len]).unwrap();
        baton.position += len as u64;
        others[dice.below(THREADS)].send(baton).unwrap();
    }
}

/// Fills the calling thread's ring of hints, which holds two here: what it hints at next is a bit.
fn distract(streams: &mut [(TcpStream, TcpStream); 2]) {
    for (one, other) in streams {
        one.write_all(b"!").unwrap();
        other.set_nonblocking(true);
        while let Ok(1..) = other.read(&mut [0; 64]) {}
    }
}

fn read_to_end(mut stream: TcpStream, number: u64) -> u64 {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut bytes = vec![0; LONGEST];
    let mut position = 0;
    loop {
        match stream.read(&mut bytes).unwrap() {
            0 => return position,
            len => {
                check(number, position, &bytes[..len]);
                position += len as u64;
            }
        }
    }
}
