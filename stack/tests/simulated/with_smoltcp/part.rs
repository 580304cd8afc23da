//! What an end of a connection does, step after step, whichever TCP it is.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use darner::time::Instant;

use crate::apps::Script;

/// The client's part and the server's, with bytes that follow from the seed.
pub(super) type Pattern = fn(seed: u64) -> [Part; 2];

pub(super) const PATTERNS: [(&str, Pattern); 4] = [
    ("bulk", bulk),
    ("request-response", request_response),
    ("half-close", half_close),
    ("zero windows", zero_windows),
];

fn bulk(seed: u64) -> [Part; 2] {
    parts(
        seed,
        [Step::Send(1 << 20), Step::Expect(1 << 20), Step::Finish],
        [Step::Expect(1 << 20), Step::Send(1 << 20), Step::ExpectEnd],
    )
}

fn request_response(seed: u64) -> [Part; 2] {
    let (asks, answers) =
        ([Step::Send(100), Step::Expect(200)], [Step::Expect(100), Step::Send(200)]);
    parts(seed, [asks; 100].concat(), [answers; 100].concat())
}

fn half_close(seed: u64) -> [Part; 2] {
    parts(
        seed,
        [Step::Send(100_000), Step::Finish, Step::Expect(300_000), Step::ExpectEnd],
        [Step::Expect(100_000), Step::ExpectEnd, Step::Send(300_000), Step::Finish],
    )
}

/// Long enough for all the losses of a sender that waits for a timeout to notice each.
fn zero_windows(seed: u64) -> [Part; 2] {
    let rest = Step::Rest(Duration::from_secs(120));
    parts(
        seed,
        [Step::Send(1 << 20), rest, Step::Expect(1 << 20), Step::Finish],
        [rest, Step::Expect(1 << 20), Step::Send(1 << 20), Step::ExpectEnd],
    )
}

fn parts(
    seed: u64,
    client: impl IntoIterator<Item = Step>,
    server: impl IntoIterator<Item = Step>,
) -> [Part; 2] {
    let [there, back] = [seed, !seed].map(|seed| Script { seed, len: u64::MAX });
    let part =
        |steps: VecDeque<Step>, sends, expects| Part { steps, sends, sent: 0, expects, got: 0 };
    [
        part(client.into_iter().collect(), there, back),
        part(server.into_iter().collect(), back, there),
    ]
}

/// What is left to do.
#[derive(Debug)]
pub(super) struct Part {
    steps: VecDeque<Step>,
    sends: Script,
    sent: u64,
    expects: Script,
    got: u64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many bytes more.
    Send(u64),
    Expect(u64),
    /// Sends no more.
    Finish,
    ExpectEnd,
    Rest(Duration),
    RestUntil(Instant),
}

/// An end of a connection whose calls never wait.
pub(super) trait Stream: Read + Write {
    fn finish(&mut self);
}

impl Part {
    pub(super) fn is_done(&self) -> bool {
        self.steps.is_empty()
    }

    /// Until when it does nothing.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        match self.steps.front() {
            Some(&Step::RestUntil(until)) => Some(until),
            _ => None,
        }
    }

    /// Goes on as far as the stream allows.
    ///
    /// # Panics
    ///
    /// Where what comes is not what was sent.
    pub(super) fn go_on(&mut self, now: Instant, stream: &mut impl Stream) -> io::Result<()> {
        match self.try_go_on(now, stream) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }

    fn try_go_on(&mut self, now: Instant, stream: &mut impl Stream) -> io::Result<()> {
        while let Some(step) = self.steps.front_mut() {
            match step {
                Step::Send(0) | Step::Expect(0) => {}
                Step::Send(left) => {
                    let len = (*left).min(4096);
                    let bytes: Vec<u8> =
                        (self.sent..self.sent + len).map(|at| self.sends.byte(at)).collect();
                    let written = stream.write(&bytes)? as u64;
                    (*left, self.sent) = (*left - written, self.sent + written);
                    continue;
                }
                Step::Expect(left) => {
                    let mut bytes = vec![0; (*left).min(4096) as usize];
                    let len = stream.read(&mut bytes)? as u64;
                    let wanted = (self.got..self.got + len).map(|at| self.expects.byte(at));
                    assert!(len > 0, "an end {left} bytes too early");
                    assert!(bytes.into_iter().take(len as usize).eq(wanted), "not what was sent");
                    (*left, self.got) = (*left - len, self.got + len);
                    continue;
                }
                Step::Rest(span) => {
                    *step = Step::RestUntil(now + *span);
                    continue;
                }
                Step::RestUntil(until) if now < *until => return Ok(()),
                Step::RestUntil(_) => {}
                Step::Finish => stream.finish(),
                Step::ExpectEnd => assert_eq!(stream.read(&mut [0])?, 0, "more than was sent"),
            }
            self.steps.pop_front();
        }
        Ok(())
    }
}
