//! The download on the protocol thread: one connection at a time, from request to events.

use std::io::{self, BufRead, ErrorKind, Write};
use std::net::SocketAddr;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use darner::{Application, Core, Readiness, TcpStream, Token};

use crate::http::client::{Piece, ResponseHead, ResponseReader};

/// What to fetch: from whom, the request's head, and whom to tell. A new request ends the one before.
pub(crate) struct Request {
    pub(crate) address: SocketAddr,
    pub(crate) head: Vec<u8>,
    pub(crate) events: Sender<Event>,
}

/// What happened, in this order: a head, content, the end; or a failure at any time, which is the last.
pub(crate) enum Event {
    Head(ResponseHead),
    Content(Vec<u8>),
    End,
    Failed(io::Error),
}

/// Fetches what it is asked for. Waits with reading while the channel of events is full.
pub(crate) struct Fetcher {
    requests: Option<Receiver<Request>>,
    /// Whom the last request wants to be told.
    events: Option<Sender<Event>>,
    fetch: Option<Fetch>,
    /// What the channel had no room for.
    held: Option<Event>,
}

struct Fetch {
    stream: TcpStream,
    request: Vec<u8>,
    sent: usize,
    reader: ResponseReader,
}

/// The token of the only connection.
const CONNECTION: Token = Token(0);
/// Steps of reading before packets get their turn.
const STEPS_AT_ONCE: usize = 64;

impl Fetcher {
    /// A core without a channel of requests fetches nothing.
    pub(crate) fn new(requests: Option<Receiver<Request>>) -> Self {
        Self { requests, events: None, fetch: None, held: None }
    }

    fn begin(&mut self, core: &mut Core<'_>, request: Request) {
        self.held = None;
        self.events = Some(request.events);
        match core.connect(request.address, CONNECTION) {
            Ok(stream) => {
                let reader = ResponseReader::new();
                self.fetch = Some(Fetch { stream, request: request.head, sent: 0, reader });
            }
            Err(error) => self.end(Event::Failed(error)),
        }
    }

    fn run(&mut self, core: &mut Core<'_>) {
        for _ in 0..STEPS_AT_ONCE {
            if self.held.take().is_some_and(|event| !self.tell(event)) {
                return;
            }
            let Some(fetch) = &mut self.fetch else { return };
            match fetch.step() {
                Ok(Some(event @ (Event::End | Event::Failed(_)))) => return self.end(event),
                Ok(Some(event)) => self.held = Some(event),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.end(Event::Failed(error)),
            }
        }
        core.again(CONNECTION, Readiness::READABLE);
    }

    fn end(&mut self, event: Event) {
        self.fetch = None;
        self.tell(event);
    }

    /// Whether the channel had room; else the event is held.
    fn tell(&mut self, event: Event) -> bool {
        let Some(events) = &self.events else { return true };
        match events.try_send(event) {
            Err(TrySendError::Full(event)) => {
                self.held = Some(event);
                false
            }
            // The main thread has lost interest in this request.
            Ok(()) | Err(TrySendError::Disconnected(_)) => true,
        }
    }
}

impl Fetch {
    /// Sends what is left of the request, then reads a little.
    fn step(&mut self) -> io::Result<Option<Event>> {
        while self.sent < self.request.len() {
            self.sent += self.stream.write(&self.request[self.sent..])?;
        }
        if self.reader.is_done() {
            return Ok(Some(Event::End));
        }
        let input = self.stream.fill_buf()?;
        if input.is_empty() {
            return Ok(Some(self.reader.input_ended().map_or_else(broken, |()| Event::End)));
        }
        let step = match self.reader.step(input) {
            Ok(step) => step,
            Err(error) => return Ok(Some(broken(error))),
        };
        let event = match step.piece {
            Piece::Nothing => None,
            Piece::Head(head) => Some(Event::Head(head)),
            Piece::Content(content) => Some(Event::Content(content.to_vec())),
        };
        let used = step.used;
        self.stream.consume(used);
        Ok(event)
    }
}

fn broken(error: crate::http::client::BadResponse) -> Event {
    Event::Failed(io::Error::new(ErrorKind::InvalidData, error))
}

impl Application for Fetcher {
    fn start(&mut self, _: &mut Core<'_>) -> io::Result<()> {
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, _: Token, _: Readiness) {
        self.run(core);
    }

    /// There is a request, or room for events.
    fn woken(&mut self, core: &mut Core<'_>) {
        let request = self.requests.as_ref().and_then(|requests| requests.try_recv().ok());
        if let Some(request) = request {
            self.begin(core, request);
        }
        self.run(core);
    }
}
