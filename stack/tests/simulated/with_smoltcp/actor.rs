//! darner's end: an application that plays a part.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::{Arc, Mutex};

use darner::{Application, Core, Readiness, TcpListener, TcpStream, Token};

use super::Client;
use super::part::{Part, Stream};
use crate::world::RIGHT;

/// Has one connection, which it closes by dropping it at the end of its part.
pub(super) struct Actor {
    client: Client,
    part: Outcome,
    listener: Option<TcpListener>,
    stream: Option<TcpStream>,
}

/// What is left of the part.
#[derive(Clone, Debug)]
pub(super) struct Outcome(Arc<Mutex<Part>>);

impl Outcome {
    pub(super) fn is_done(&self) -> bool {
        self.0.lock().unwrap().is_done()
    }
}

impl Actor {
    pub(super) fn new(client: Client, part: Part) -> (Self, Outcome) {
        let outcome = Outcome(Arc::new(Mutex::new(part)));
        (Self { client, part: outcome.clone(), listener: None, stream: None }, outcome)
    }
}

impl Application for Actor {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        match self.client {
            Client::Darner => self.connect(core)?,
            Client::Smoltcp => {
                let all = "0.0.0.0:80".parse().unwrap();
                self.listener = Some(core.listen(all, 1, LISTENER)?);
            }
        }
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        if token == LISTENER
            && let Some(Ok((mut stream, _))) = self.listener.as_ref().map(TcpListener::accept)
        {
            core.register(&mut stream, STREAM);
            self.stream = Some(stream);
        } else if token == STREAM {
            self.go_on(core);
        }
    }

    fn timeout(&mut self, core: &mut Core<'_>, _: Token) {
        self.go_on(core);
    }
}

impl Actor {
    fn connect(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        self.stream = Some(core.connect(format!("{RIGHT}:80").parse().unwrap(), STREAM)?);
        Ok(())
    }

    fn go_on(&mut self, core: &mut Core<'_>) {
        let Some(stream) = &mut self.stream else { return };
        let mut part = self.part.0.lock().unwrap();
        match part.go_on(core.now(), stream) {
            // ARP asks three times, and a few lossy paths lose every question or answer.
            Err(error) if error.kind() == ErrorKind::HostUnreachable => {
                drop(part);
                return self.connect(core).unwrap();
            }
            went => went.unwrap_or_else(|error| panic!("{error}: {part:?}")),
        }
        if let Some(until) = part.rests_until() {
            core.set_timer(until.since(core.now()), STREAM);
        }
        self.stream.take_if(|_| part.is_done());
    }
}

impl Stream for TcpStream {
    fn finish(&mut self) {
        self.shutdown(Shutdown::Write);
    }
}

const LISTENER: Token = Token(0);
const STREAM: Token = Token(1);
