//! T-13: received bytes that a reader has taken with it, when their connection is reset.

use std::io::Write;
use std::ops::Deref;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use darner::{ReadHalf, TcpStream};

use crate::world::{Dice, LONG, World, check, config, duration, fill};

/// Most bytes of a stream: they fit the buffers.
const LONGEST: usize = 200_000;
/// How long pieces are kept, while other streams use the memory that is free.
const KEPT_FOR: Duration = Duration::from_millis(300);

/// they stay what they are, and their memory is given back when the last is dropped, on whatever thread.
#[test]
fn lent_bytes_outlive_the_reset_of_their_connection() {
    let world = World::new(&config());
    let until = Instant::now() + duration();
    let (keep, kept) = channel();
    thread::scope(|scope| {
        let keeping = scope.spawn(move || look_after(&kept));
        let streams: Vec<_> = (0..3_u64)
            .map(|seed| {
                let (world, keep) = (&world, keep.clone());
                scope.spawn(move || {
                    let mut dice = Dice::new(seed);
                    let mut stream = seed;
                    while Instant::now() < until {
                        stream += 3;
                        let (writer, reader) = world.pair();
                        let pieces = read_until_reset(writer, reader, stream, &mut dice);
                        keep.send((Instant::now(), stream, pieces)).unwrap();
                    }
                })
            })
            .collect();
        drop(keep);
        streams.into_iter().for_each(|stream| stream.join().unwrap());
        assert!(keeping.join().unwrap() > 20, "pieces were kept");
    });
    world.assert_balanced();
}

/// A piece of a stream, and where it begins.
struct Piece<B>(u64, B);

/// Writes, lends some of it, and resets the connection from either end.
fn read_until_reset(
    mut writer: TcpStream,
    reader: TcpStream,
    stream: u64,
    dice: &mut Dice,
) -> Vec<Piece<impl Deref<Target = [u8]> + Send + use<>>> {
    let mut bytes = vec![0; dice.size(LONGEST)];
    fill(stream, 0, &mut bytes);
    writer.write_all(&bytes).unwrap();
    let (mut reader, _writer, control) = reader.split();
    reader.set_read_timeout(Some(LONG)).unwrap();
    let wanted = 1 + dice.below(bytes.len());
    let mut pieces = Vec::new();
    let mut position = 0;
    while position < wanted {
        let piece = lend(&mut reader, dice);
        let at = position as u64;
        position += piece.len();
        pieces.push(Piece(at, piece));
    }
    if dice.below(2) == 0 {
        writer.abort()
    } else {
        control.abort()
    }
    // Nothing, an end or a reset, whichever the reader is told first.
    let _ = reader.lend(LONGEST);
    pieces
}

fn lend(reader: &mut ReadHalf, dice: &mut Dice) -> impl Deref<Target = [u8]> + Send + use<> {
    let most = dice.size(LONGEST);
    reader.lend(most).unwrap().expect("bytes that were sent")
}

/// Keeps pieces for a while, and looks whether they are what was sent. How many there were.
fn look_after<B: Deref<Target = [u8]>>(kept: &Receiver<(Instant, u64, Vec<Piece<B>>)>) -> usize {
    let mut count = 0;
    while let Ok((since, stream, pieces)) = kept.recv() {
        thread::sleep((since + KEPT_FOR).saturating_duration_since(Instant::now()));
        for Piece(at, bytes) in &pieces {
            check(stream, *at, bytes);
        }
        count += pieces.len();
    }
    count
}
