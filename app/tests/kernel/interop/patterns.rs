//! What two ends do with a connection, whichever TCPs they are.

use std::thread;

use super::{End, PATIENCE, Urgent};
use crate::world::eventually;

/// Plays both ends; panics where one of them is not given what it must be.
pub(super) type Pattern = fn(client: End, server: End);

pub(super) const PATTERNS: [(&str, Pattern); 5] = [
    ("bulk", bulk),
    ("request-response", request_response),
    ("half-close", half_close),
    ("urgent data", urgent_data),
    ("zero windows", zero_windows),
];

/// One way, then the other.
fn bulk(client: End, server: End) {
    let play = |mut end: End, first: First| {
        let content = bytes(1 << 20);
        match first {
            First::Send => {
                end.write_all(&content).expect("all of it");
                expect(&mut end, &content);
            }
            First::Receive => {
                expect(&mut end, &content);
                end.write_all(&content).expect("all of it");
                expect_end(&mut end);
            }
        }
    };
    both(client, server, play);
}

/// Short messages, each of which waits for the one before.
fn request_response(client: End, server: End) {
    let play = |mut end: End, first: First| {
        for number in 0..100_u8 {
            let (request, response) = ([number; 100], [!number; 200]);
            match first {
                First::Send => {
                    end.write_all(&request).expect("connected");
                    expect(&mut end, &response);
                }
                First::Receive => {
                    expect(&mut end, &request);
                    end.write_all(&response).expect("connected");
                }
            }
        }
    };
    both(client, server, play);
}

/// The answer begins behind the end of the question.
fn half_close(client: End, server: End) {
    let play = |mut end: End, first: First| {
        let (question, answer) = (bytes(100_000), bytes(300_000));
        match first {
            First::Send => {
                end.write_all(&question).expect("all of it");
                end.finish();
                expect(&mut end, &answer);
                expect_end(&mut end);
            }
            First::Receive => {
                expect(&mut end, &question);
                expect_end(&mut end);
                end.write_all(&answer).expect("the other direction is open");
                end.finish();
            }
        }
    };
    both(client, server, play);
}

/// One way, then the other; or as much of it as an end allows that does not know what urgent data is.
fn urgent_data(mut client: End, mut server: End) {
    match [client.urgent().is_some(), server.urgent().is_some()] {
        [true, true] => both(client, server, out_of_turn),
        [true, false] => both(client, server, in_the_stream),
        [false, _] => both(server, client, in_the_stream),
    }
}

/// Fetched out of turn, and not among the bytes around it.
fn out_of_turn(mut end: End, first: First) {
    let receive = |end: &mut End| {
        let fetched = eventually(PATIENCE, || urgent(end).fetch().is_ok_and(|byte| byte == b'!'));
        assert!(fetched, "no urgent byte");
        expect(end, b"beforeafter");
    };
    match first {
        First::Send => {
            send_with_urgent(&mut end);
            receive(&mut end);
        }
        First::Receive => {
            receive(&mut end);
            send_with_urgent(&mut end);
            expect_end(&mut end);
        }
    }
}

/// Read in turn by an end that knows no better; its answer has nothing urgent.
fn in_the_stream(mut end: End, first: First) {
    match first {
        First::Send => {
            send_with_urgent(&mut end);
            expect(&mut end, b"before!after");
            urgent(&mut end).fetch().expect_err("nothing was urgent");
        }
        First::Receive => {
            expect(&mut end, b"before!after");
            end.write_all(b"before!after").expect("connected");
            expect_end(&mut end);
        }
    }
}

fn send_with_urgent(end: &mut End) {
    end.write_all(b"before").expect("connected");
    assert_eq!(urgent(end).send(b'!').expect("connected"), 1);
    end.write_all(b"after").expect("connected");
}

fn urgent(end: &mut End) -> &mut dyn Urgent {
    end.urgent().expect("it knows urgent data")
}

/// Nobody reads until the window is shut; one way, then the other.
fn zero_windows(client: End, server: End) {
    let receive = |end: &mut End, before: u64, content: &[u8]| {
        assert!(eventually(PATIENCE, || end.shut_windows() > before), "the window stays open");
        expect(end, content);
    };
    let play = move |mut end: End, first: First| {
        let (content, before) = (bytes(1 << 20), end.shut_windows());
        match first {
            First::Send => {
                end.write_all(&content).expect("all of it");
                receive(&mut end, before, &content);
            }
            First::Receive => {
                receive(&mut end, before, &content);
                end.write_all(&content).expect("all of it");
                expect_end(&mut end);
            }
        }
    };
    both(client, server, play);
}

/// Which end of a connection it is: the client begins.
#[derive(Clone, Copy)]
enum First {
    Send,
    Receive,
}

/// Plays both ends at once. An end that has played its part is dropped, which closes it.
fn both(client: End, server: End, play: impl Fn(End, First) + Clone + Send + 'static) {
    let other = play.clone();
    let server = thread::spawn(move || other(server, First::Receive));
    play(client, First::Send);
    server.join().expect("the server's end passes");
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31).to_le_bytes()[0] ^ (at >> 8).to_le_bytes()[0]).collect()
}

fn expect(end: &mut End, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    end.read_exact(&mut got).expect("as much as was sent");
    assert!(got == wanted, "what came is not what was sent");
}

fn expect_end(end: &mut End) {
    assert_eq!(end.read(&mut [0]).expect("an end, not a reset"), 0);
}
