//! T-7: readers that take their time, with room for one segment.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use darner::counters::Counter;
use darner::{ListenOptions, TcpStream};

use crate::world::{Dice, LONG, World, address, check, config, duration, fill};

const READERS: usize = 6;
/// What a segment carries at an MTU of 1500 with timestamps.
const SEGMENT: usize = 1448;

/// a window that was closed is open again as soon as something was read. Were it not, the writer would have to ask,
/// and here it asks only after ten seconds.
#[test]
fn a_window_of_one_segment_never_stalls() {
    let mut config = config();
    config.tcp.min_rto = Duration::from_secs(10);
    config.tcp.initial_rto = Duration::from_secs(10);
    let world = World::new(&config);
    let until = Instant::now() + duration();
    thread::scope(|scope| {
        for stream in 0..READERS as u64 {
            let (client, server) = narrow_pair(&world, stream);
            scope.spawn(move || write(client, stream, until));
            scope.spawn(move || read_slowly(server, stream));
        }
    });
    let snapshot = world.snapshot();
    assert_eq!(snapshot.counter(Counter::TcpZeroWindowProbes), 0);
    assert_eq!(snapshot.counter(Counter::TcpTimeouts), 0);
    world.assert_balanced();
}

/// The second end buffers one segment for reading: from the start, or after it was born with more, when it reports what it
/// has read only after two segments, or when it is asked to.
fn narrow_pair(world: &World, stream: u64) -> (TcpStream, TcpStream) {
    let most = [SEGMENT, 3 * SEGMENT][usize::from(stream.is_multiple_of(2))];
    let options = ListenOptions { receive_buffer: Some(most), ..ListenOptions::default() };
    let listener = world.listen_with(address(), options).unwrap();
    let client = world.connect(listener.local_addr()).unwrap();
    let (server, _) = listener.accept().unwrap();
    server.set_buffers(Some(SEGMENT), None);
    // What waits there at the end is still to be read.
    client.set_buffers(None, Some(20_000));
    (client, server)
}

fn write(mut stream: TcpStream, number: u64, until: Instant) {
    let mut dice = Dice::new(number);
    let mut bytes = vec![0; 20_000];
    let mut position = 0;
    while Instant::now() < until {
        let len = dice.size(bytes.len());
        fill(number, position, &mut bytes[..len]);
        stream.write_all(&bytes[..len]).unwrap();
        position += len as u64;
    }
}

fn read_slowly(mut stream: TcpStream, number: u64) {
    let mut dice = Dice::new(100 + number);
    let mut bytes = vec![0; 2 * SEGMENT];
    // Less than the ten seconds after which the writer asks.
    stream.set_read_timeout(Some(LONG / 6)).unwrap();
    let mut position = 0;
    loop {
        let len = dice.size(bytes.len());
        let read = stream.read(&mut bytes[..len]).expect("the stream stalls");
        if read == 0 {
            return;
        }
        check(number, position, &bytes[..read]);
        position += read as u64;
        match dice.below(8) {
            0 => thread::sleep(Duration::from_micros(dice.below(2000) as u64)),
            1..4 => thread::yield_now(),
            _ => {}
        }
    }
}
