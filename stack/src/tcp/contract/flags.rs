//! What never goes back within the life of a socket, and what is told once (C-4, C-7, C-37, R-12, R-38).

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;

use darner_ring::SendEnd;
use proptest::prelude::*;

use crate::api::{Control, ReadHalf, WriteHalf};
use crate::socket::Phase;
use crate::tcp::harness::{Harness, pattern};
use crate::tcp::state::State;
use crate::tcp::{ErrorMapping, TcpConfig};

/// What happens to a socket, from any side.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Event {
    SynAck,
    Data,
    Fin,
    /// Acknowledges everything that was sent.
    Ack,
    Reset,
    /// Longer than anything is tried.
    Hours,
    Write,
    Read,
    Peek,
    /// Asks one of the three handles for an error.
    TakeError(u8),
    Shut(Shutdown),
    Abort,
    /// The protocol thread looks at its hints.
    Turn,
}

fn events() -> impl Strategy<Value = Event> {
    use Event::*;
    let ways = vec![Shutdown::Read, Shutdown::Write, Shutdown::Both];
    prop_oneof![
        4 => Just(SynAck),
        3 => Just(Data),
        1 => Just(Fin),
        3 => Just(Ack),
        1 => Just(Reset),
        1 => Just(Hours),
        3 => Just(Write),
        3 => Just(Read),
        1 => Just(Peek),
        1 => (0_u8..3).prop_map(TakeError),
        1 => prop::sample::select(ways).prop_map(Shut),
        1 => Just(Abort),
        4 => Just(Turn),
    ]
}

/// A connection, its three handles, and what they have told.
struct Watched {
    t: Harness,
    reader: ReadHalf,
    writer: WriteHalf,
    control: Control,
    /// The number of the peer's next byte, and of ours.
    next: u32,
    written: u64,
    aborted: bool,
    /// It failed for a cause that is to be told.
    failed: bool,
    told: Vec<ErrorKind>,
    seen: Seen,
}

/// What only grows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Seen {
    phase: Phase,
    read_ended: bool,
    write_ended: bool,
    /// As the protocol thread sees it: how the application has ended sending, and whether it has ended reading.
    send_end: u8,
    read_shut: bool,
    peer_ended: bool,
}

impl Watched {
    fn new() -> Self {
        // Otherwise a reset may be called what writing after one's own end is called.
        let config = TcpConfig { errors: ErrorMapping::FreeBsd, ..Harness::plain() };
        let mut t = Harness::connecting(&config);
        t.at(0).sent();
        let (reader, writer, control) = t.stream.take().unwrap().split();
        let seen = Seen {
            phase: Phase::Connecting,
            read_ended: false,
            write_ended: false,
            send_end: 0,
            read_shut: false,
            peer_ended: false,
        };
        let (next, written, aborted, failed, told) = (0, 0, false, false, vec![]);
        Self { t, reader, writer, control, next, written, aborted, failed, told, seen }
    }

    fn happen(&mut self, event: Event) {
        let before = self.t.state();
        self.act(event);
        self.t.sent();
        let gone = before.is_some() && self.t.state().is_none();
        self.failed |= gone
            && match event {
                Event::Reset => true,
                // What waited for the handshake is looked at when it ends.
                Event::Turn | Event::SynAck => self.aborted,
                // The end of FIN-WAIT-2 is no failure.
                Event::Hours => before != Some(State::FinWait2),
                _ => false,
            };
        self.watch();
    }

    fn act(&mut self, event: Event) {
        let handshake = self.next == 0;
        match event {
            Event::SynAck if handshake && self.t.state().is_some() => {
                self.t.input("SA 0 ack 1 mss 1000").unwrap();
                self.next = 1;
            }
            Event::Reset if self.t.state().is_some() => {
                let reset =
                    if handshake { "RA 0 ack 1".into() } else { format!("R {}", self.next) };
                self.t.input(&reset).unwrap();
            }
            Event::Data | Event::Fin | Event::Ack if !handshake && self.t.state().is_some() => {
                let (next, ack) = (self.next, self.t.connection(|c| c.snd.nxt - c.snd.iss.0).0);
                let can_send = !self.seen.peer_ended;
                match event {
                    Event::Data if can_send => {
                        self.t.input(&format!("PA {next}+10 ack 1")).unwrap();
                        self.next += 10;
                    }
                    Event::Fin if can_send => {
                        self.t.input(&format!("FA {next} ack 1")).unwrap();
                        self.next += 1;
                    }
                    _ => drop(self.t.input(&format!("A {next} ack {ack}"))),
                }
            }
            Event::Hours => drop(self.t.at(self.t.net.now.as_millis() + 10_000_000)),
            Event::Write => self.write(),
            Event::Read => self.read(),
            Event::Peek => {
                let peeked = self.reader.peek(&mut [0; 7]);
                self.tell(peeked.map(drop));
            }
            Event::TakeError(handle) => {
                let error = match handle {
                    0 => self.reader.take_error(),
                    1 => self.writer.take_error(),
                    _ => self.control.take_error(),
                };
                self.tell(error.map_or(Ok(()), Err));
            }
            Event::Shut(how) => self.control.shutdown(how),
            Event::Abort => {
                self.control.abort();
                self.aborted = true;
            }
            Event::Turn => self.t.application(),
            Event::SynAck | Event::Data | Event::Fin | Event::Ack | Event::Reset => {}
        }
    }

    fn write(&mut self) {
        let written = self.writer.write(&pattern(self.written, 5));
        if let Ok(len) = written {
            self.written += len as u64;
            assert!(!self.seen.write_ended, "writing goes on after its end");
            assert!(
                self.seen.phase > Phase::Connecting,
                "C-7: nothing is taken before the handshake"
            );
        }
        let broken = |error: &io::Error| error.kind() == ErrorKind::BrokenPipe;
        self.seen.write_ended |= written.as_ref().is_err_and(broken);
        self.tell(written.map(drop));
    }

    fn read(&mut self) {
        let read = self.reader.read(&mut [0; 7]);
        match read {
            Ok(0) => self.seen.read_ended = true,
            Ok(_) => assert!(!self.seen.read_ended, "reading goes on after its end"),
            Err(_) => {}
        }
        self.tell(read.map(drop));
    }

    fn tell(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        match error.kind() {
            ErrorKind::NotConnected => panic!("C-4: it was connected, or is to be"),
            ErrorKind::WouldBlock => {
                assert_ne!(
                    self.seen.phase,
                    Phase::Dead,
                    "a dead socket has always something to say"
                );
            }
            ErrorKind::BrokenPipe => {}
            told => self.told.push(told),
        }
    }

    /// Everything that only grows has only grown.
    fn watch(&mut self) {
        let mut now = Seen { phase: self.control.words().phase(), ..self.seen };
        if self.t.state().is_some() {
            (now.send_end, now.read_shut, now.peer_ended) = self.t.connection(|c| {
                let end = match c.socket.send.tail().end {
                    SendEnd::Open => 0,
                    SendEnd::Shut => 1,
                    SendEnd::Aborted => 2,
                };
                (end, c.socket.receive.is_shut(), c.socket.receive.has_ended())
            });
        }
        let before = self.seen;
        assert!(now.phase >= before.phase, "{before:?} {now:?}");
        assert!(now.send_end >= before.send_end, "{before:?} {now:?}");
        assert!(now.read_shut >= before.read_shut, "{before:?} {now:?}");
        assert!(now.peer_ended >= before.peer_ended, "{before:?} {now:?}");
        assert!(self.told.len() <= 1, "told more than once: {:?}", self.told);
        self.seen = now;
    }

    /// Asks everybody until nobody has anything to say: a failure was told by then, and nothing else was.
    fn finish(mut self) {
        self.happen(Event::Turn);
        while !self.seen.read_ended && self.seen.phase == Phase::Dead {
            self.happen(Event::Read);
        }
        let rest = [Event::Write, Event::TakeError(0), Event::TakeError(1), Event::TakeError(2)];
        rest.into_iter().for_each(|event| self.happen(event));
        assert_eq!(self.told.len(), usize::from(self.failed), "{:?}", self.told);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Three handles, and events from the network, the clock and the application in any order: phases and flags only grow, what
    /// has ended stays ended, and the cause of a failure is told exactly once.
    #[test]
    fn nothing_goes_back_and_a_failure_is_told_once(
        events in prop::collection::vec(events(), 0..40),
    ) {
        let mut watched = Watched::new();
        events.into_iter().for_each(|event| watched.happen(event));
        watched.finish();
    }
}
