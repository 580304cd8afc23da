//! Urgent bytes: no byte is seen before it is seen to be urgent.

use loom::thread;

use super::Size::Small;
use super::check;
use crate::fault::Fault;
use crate::{Mark, ReceiveConsumer, UrgentDelivery, receive_ring, send_ring};

/// L-6: who sees what lies behind an urgent byte sees that it is urgent.
#[test]
fn a_read_stops_at_the_mark() {
    check(
        "urgent::a_read_stops_at_the_mark",
        Small,
        mark_model,
        &[Fault::MarkAfterTail, Fault::TailA1, Fault::TailA2],
    );
}

fn mark_model() {
    let (mut producer, mut consumer, _closer) = receive_ring(8);
    let writing = thread::spawn(move || {
        producer.write(&[1, 2]);
        producer.set_mark(Mark { position: 1, delivery: UrgentDelivery::Apart });
        producer.publish();
        producer.write(&[3]);
        producer.publish();
        producer
    });
    let mut stream = vec![];
    for _ in 0..2 {
        read_to_mark(&mut consumer, &mut stream);
    }
    writing.join().unwrap();
    while read_to_mark(&mut consumer, &mut stream) > 0 {}
    assert_eq!((stream, consumer.position()), (vec![1, 3], 3));
    assert!(!consumer.at_mark());
}

/// Reads what is shown at once, which must be the first byte and then the mark, or the last one.
fn read_to_mark(consumer: &mut ReceiveConsumer, stream: &mut Vec<u8>) -> usize {
    let bytes = consumer.fill_buf().to_vec();
    consumer.consume(bytes.len());
    assert!(bytes.len() <= 1, "read past the mark");
    assert!(bytes != [1] || consumer.at_mark());
    stream.extend(&bytes);
    bytes.len()
}

/// L-6 the other way.
#[test]
fn urgent_bytes_are_marked_before_they_are_sent() {
    check(
        "urgent::urgent_bytes_are_marked_before_they_are_sent",
        Small,
        urgent_model,
        &[Fault::MarkAfterTail, Fault::TailA1, Fault::TailA2],
    );
}

fn urgent_model() {
    let (mut producer, mut consumer, closer) = send_ring(8);
    let writing =
        thread::spawn(move || producer.write(&[1]).is_ok() && producer.write_urgent(&[2]).is_ok());
    let closing = thread::spawn(move || closer.shut_down());
    let tail = consumer.tail();
    assert_eq!(consumer.urgent(), (tail.position == 2).then_some(1));
    let accepted = writing.join().unwrap();
    assert_eq!(closing.join().unwrap() == 2, accepted);
    consumer.tail();
    assert_eq!(consumer.urgent(), accepted.then_some(1), "what was refused is not urgent");
}
