//! The byte rings: positions with flags, and the memory under them.

use loom::thread;

use super::Size::{Big, Small};
use super::check;
use crate::fault::Fault;
use crate::{
    ReceiveConsumer, ReceiveEnd, SendClosed, SendConsumer, SendEnd, receive_ring, send_ring,
};

/// L-1: what `write` accepted is what the FIN follows, and the bytes are there.
#[test]
fn send_close_is_fused_with_the_position() {
    check(
        "rings::send_close_is_fused_with_the_position",
        Small,
        send_close_model,
        &[Fault::TailByStore, Fault::TailA1, Fault::TailA2],
    );
}

fn send_close_model() {
    let (mut producer, mut consumer, closer) = send_ring(8);
    let writing = thread::spawn(move || {
        let accepted = (1..=2).take_while(|&byte| producer.write(&[byte]).is_ok()).count();
        (accepted as u64, producer)
    });
    let closing = thread::spawn(move || closer.shut_down());

    let tail = consumer.tail();
    assert_stream(&consumer, tail.position);
    let (accepted, _producer) = writing.join().unwrap();
    let fin = closing.join().unwrap();
    assert_eq!(accepted, fin);
    if tail.end == SendEnd::Shut {
        assert_eq!(tail.position, fin);
    }
    assert_eq!(consumer.tail().position, fin);
}

/// L-11: EOF is never seen before the last byte.
#[test]
fn fin_follows_the_last_byte() {
    check(
        "rings::fin_follows_the_last_byte",
        Small,
        fin_model,
        &[Fault::FinFirst, Fault::TailA1, Fault::TailA2],
    );
}

fn fin_model() {
    let (mut producer, mut consumer, _closer) = receive_ring(8);
    let writing = thread::spawn(move || {
        producer.write(&[1]);
        producer.publish();
        producer.write(&[2]);
        producer.finish();
        producer
    });
    for _ in 0..2 {
        read(&mut consumer);
        if consumer.fill_buf().is_empty() && consumer.end() != ReceiveEnd::Open {
            assert_eq!((consumer.position(), consumer.end()), (2, ReceiveEnd::Finished));
        }
    }
    writing.join().unwrap();
}

/// L-12: a shutdown of reading survives the reader's own progress.
#[test]
fn shut_survives_consume() {
    check("rings::shut_survives_consume", Small, shut_model, &[Fault::HeadByStore]);
}

fn shut_model() {
    let (mut producer, mut consumer, closer) = receive_ring(8);
    producer.write(&[1]);
    producer.publish();
    let closing = thread::spawn(move || closer.shut());
    let read = read(&mut consumer);
    closing.join().unwrap();
    assert_eq!(consumer.end(), ReceiveEnd::Shut);
    assert!(producer.is_shut());
    assert!(consumer.fill_buf().is_empty(), "after shut() nothing is read");
    assert!(read <= 1 && consumer.position() == 1);
}

/// L-21: the chain grows under a reader that reads in place and gives back.
#[test]
fn chain_grows_and_is_given_back() {
    check(
        "rings::chain_grows_and_is_given_back",
        Small,
        growth_model,
        &[
            Fault::TailA1,
            Fault::TailA2,
            Fault::LinkB1,
            Fault::LinkB2,
            Fault::TailBeforeLink,
            Fault::GiveBackEarly,
        ],
    );
}

fn growth_model() {
    let (mut producer, mut consumer, _closer) = receive_ring(8);
    let writing = thread::spawn(move || {
        producer.write(&[1, 2]);
        producer.publish();
        producer.write(&[3]);
        producer.publish();
        producer
    });
    for _ in 0..3 {
        read_up_to(&mut consumer, 1);
    }
    let producer = writing.join().unwrap();
    while read_up_to(&mut consumer, 1) > 0 {}
    assert_eq!(consumer.position(), producer.position());
}

/// L-22: the last chunk of an empty ring is given back, unless the writer is in it.
#[test]
fn last_chunk_is_given_back_or_written() {
    check(
        "rings::last_chunk_is_given_back_or_written",
        Small,
        give_back_model,
        &[Fault::TakeUnasked, Fault::TailBeforeClaim, Fault::TailA1],
    );
}

fn give_back_model() {
    let (mut producer, mut consumer, _closer) = receive_ring(8);
    let writing = thread::spawn(move || {
        for byte in 1..=2 {
            producer.write(&[byte]);
            producer.publish();
        }
        producer
    });
    for _ in 0..2 {
        read(&mut consumer);
    }
    let _producer = writing.join().unwrap();
    if consumer.position() == 2 {
        assert!(!consumer.holds_memory(), "nobody comes back to an empty ring to tidy up");
    }
    while read(&mut consumer) > 0 {}
    assert_eq!(consumer.position(), 2);
}

/// L-22: a reservation that came to nothing leaves the chunk to the reader.
#[test]
fn reserved_chunk_is_given_back_after_the_commit() {
    check(
        "rings::reserved_chunk_is_given_back_after_the_commit",
        Small,
        reserve_model,
        &[Fault::ClaimC1, Fault::ClaimC2, Fault::TakeUnasked],
    );
}

fn reserve_model() {
    let (mut producer, mut consumer, _closer) = send_ring(8);
    producer.write(&[1]).unwrap();
    let writing = thread::spawn(move || {
        producer.reserve()[0] = 2;
        producer.commit(0).unwrap();
        producer
    });
    let tail = consumer.tail();
    assert_stream(&consumer, tail.position);
    consumer.release(tail.position);
    let _producer = writing.join().unwrap();
    consumer.tail();
    assert!(!consumer.holds_memory());
}

/// L-21, L-22 against a shutdown of reading: nothing is read after it, and no chunk is lost or given back twice.
#[test]
fn shut_against_write_and_read() {
    check(
        "rings::shut_against_write_and_read",
        Small,
        shut_write_model,
        &[Fault::HeadByStore, Fault::TakeUnasked],
    );
}

fn shut_write_model() {
    let (mut producer, mut consumer, closer) = receive_ring(8);
    let writing = thread::spawn(move || {
        producer.write(&[1, 2, 3]);
        producer.publish();
        producer.write(&[4]);
        producer.publish();
        producer
    });
    let closing = thread::spawn(move || closer.shut());
    read(&mut consumer);
    closing.join().unwrap();
    assert!(consumer.fill_buf().is_empty());
    assert_eq!(consumer.end(), ReceiveEnd::Shut);
    let mut producer = writing.join().unwrap();
    assert!(producer.is_shut());
    assert_eq!(producer.free(), 8);
    assert!(consumer.fill_buf().is_empty());
    assert!(!consumer.holds_memory());
}

/// L-21, L-22 against the connection's death: the writer is told, and no chunk is lost or given back twice.
#[test]
fn death_against_write() {
    check("rings::death_against_write", Small, death_model, &[Fault::TakeUnasked]);
}

fn death_model() {
    let (mut producer, mut consumer, _closer) = send_ring(8);
    let writing = thread::spawn(move || {
        for byte in 1..=2 {
            if let Err(closed) = producer.write(&[byte]) {
                assert_eq!(closed, SendClosed::Dead);
            }
        }
        producer
    });
    consumer.kill();
    let mut producer = writing.join().unwrap();
    assert_eq!(producer.write(&[9]), Err(SendClosed::Dead));
}

/// L-13: if the writer finds no room for a window, the reader sees that it is to tell.
#[test]
fn closed_window_is_reopened() {
    check(
        "rings::closed_window_is_reopened",
        Small,
        window_model,
        &[Fault::WindowE1, Fault::WindowE2],
    );
}

fn window_model() {
    let (mut producer, mut consumer, _closer) = receive_ring(1);
    producer.write(&[1]);
    producer.publish();
    let reading = thread::spawn(move || {
        read(&mut consumer);
        consumer.window_is_closed()
    });
    let room = producer.close_window();
    let told = reading.join().unwrap();
    assert!(room > 0 || told, "the window stays closed");
}

/// L-16: what is lent stays, through a reset and the end of the ring, and its memory is given back once.
#[test]
fn lent_bytes_stay() {
    check(
        "rings::lent_bytes_stay",
        Big,
        lent_model,
        &[Fault::LeaseA1, Fault::LeaseA2, Fault::LeaseForgotten],
    );
}

fn lent_model() {
    let (mut producer, mut consumer, _closer) = receive_ring(8);
    producer.write(&[1, 2]);
    producer.publish();
    let lent = [consumer.lend(1).unwrap(), consumer.lend(1).unwrap()];
    let resetting = thread::spawn(move || {
        producer.write(&[3]);
        producer.reset();
    });
    let [first, second] = lent;
    let keeping = thread::spawn(move || assert_eq!(&*first, [1]));
    read(&mut consumer);
    drop(consumer);
    assert_eq!(&*second, [2]);
    drop(second);
    resetting.join().unwrap();
    keeping.join().unwrap();
}

/// Consumes what lies together at the head, which must be the stream 1, 2, 3 ..., and gives its length.
fn read(consumer: &mut ReceiveConsumer) -> usize {
    read_up_to(consumer, usize::MAX)
}

fn read_up_to(consumer: &mut ReceiveConsumer, limit: usize) -> usize {
    let position = consumer.position();
    let bytes = consumer.fill_buf();
    let len = bytes.len();
    assert!(bytes.iter().zip(position + 1..).all(|(&byte, want)| u64::from(byte) == want));
    assert!(len > 0 || consumer.has_seen_everything(), "published bytes cannot be read");
    consumer.consume(len.min(limit));
    len
}

fn assert_stream(consumer: &SendConsumer, end: u64) {
    let bytes: Vec<u8> = consumer.slices_at(0, 8).flatten().copied().collect();
    assert_eq!(bytes, [1, 2, 3, 4][..usize::try_from(end).unwrap()]);
}
