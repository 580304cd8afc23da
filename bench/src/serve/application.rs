//! The server on the stack's own thread.

use std::io::{self, BufRead, ErrorKind, Write};
use std::sync::mpsc::Sender;

use darner::{Application, Core, Readiness, TcpListener, TcpStream, Token, UdpSocket};
use serde::Serialize;

use super::http;
use super::output::Output;

/// What is done with a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    Respond { request: usize, response: usize, close: bool },
    Http { body: usize },
    Sink,
    Source,
    Both,
}

/// What has been done.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Totals {
    pub(crate) accepted: u64,
    pub(crate) requests: u64,
    pub(crate) datagrams: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Connections that ended with an error.
    pub(crate) failed: u64,
}

pub(crate) struct Server {
    role: Role,
    port: u16,
    listener: Option<TcpListener>,
    datagrams: Option<UdpSocket>,
    /// By token, less [`FIRST`].
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    output: Output,
    totals: Totals,
    tell: Sender<Totals>,
}

struct Peer {
    stream: TcpStream,
    /// Bytes of a request that is not complete yet (of its end, with HTTP), and bytes of responses that found no room.
    partial: usize,
    owed: usize,
}

/// What becomes of a connection after it was looked at.
enum Outcome {
    /// There is more to do, after others had their turn.
    Again,
    Over,
}

const LISTENER: Token = Token(0);
const DATAGRAMS: Token = Token(1);
const FIRST: u64 = 2;

/// Instead of a length: the response was the last.
const CLOSING: usize = usize::MAX;
/// Bytes, connections and datagrams handled before others get their turn.
const BYTES_AT_ONCE: usize = 256 << 10;
const ACCEPT_AT_ONCE: usize = 64;
const DATAGRAMS_AT_ONCE: usize = 64;
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1 << 16;

impl Server {
    pub(crate) fn new(role: Role, port: u16, tell: Sender<Totals>) -> Self {
        Self {
            role,
            port,
            listener: None,
            datagrams: None,
            peers: Vec::new(),
            free: Vec::new(),
            output: Output::of(role),
            totals: Totals::default(),
            tell,
        }
    }

    fn accept(&mut self, core: &mut Core<'_>) {
        for _ in 0..ACCEPT_AT_ONCE {
            let Some(Ok((stream, _))) = self.listener.as_ref().map(TcpListener::accept) else {
                return;
            };
            stream.set_nodelay(true);
            self.totals.accepted += 1;
            let index = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            let peer = self.peers[index].insert(Peer { stream, partial: 0, owed: 0 });
            core.register(&mut peer.stream, Token(FIRST + index as u64));
        }
        core.again(LISTENER, Readiness::READABLE);
    }

    fn serve(&mut self, core: &mut Core<'_>, token: Token) {
        let Some(index) = token.0.checked_sub(FIRST).and_then(|index| usize::try_from(index).ok())
        else {
            return;
        };
        let Some(Some(peer)) = self.peers.get_mut(index) else { return };
        match peer.go_on(self.role, &self.output, &mut self.totals) {
            Ok(Outcome::Again) => return core.again(token, Readiness::READABLE),
            Ok(Outcome::Over) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => self.totals.failed += 1,
        }
        self.peers[index] = None;
        self.free.push(index);
    }

    fn echo(&mut self, core: &mut Core<'_>) {
        let Some(socket) = &mut self.datagrams else { return };
        let mut payload = [0; 2048];
        for _ in 0..DATAGRAMS_AT_ONCE {
            match socket.recv_from(&mut payload) {
                Ok((len, from)) => {
                    self.totals.datagrams += 1;
                    // What does not fit the queue is lost, as any datagram may be.
                    let _ = socket.send_to(&payload[..len], from);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
        core.again(DATAGRAMS, Readiness::READABLE);
    }
}

impl Peer {
    fn go_on(&mut self, role: Role, output: &Output, totals: &mut Totals) -> io::Result<Outcome> {
        match role {
            Role::Respond { request, response, close } => {
                self.respond(request, response, close, output, totals)
            }
            Role::Http { .. } => self.pages(output, totals),
            Role::Sink => self.sink(totals),
            Role::Source => self.source(output, totals),
            Role::Both => self.both(output, totals),
        }
    }

    fn respond(
        &mut self,
        request: usize,
        response: usize,
        close: bool,
        output: &Output,
        totals: &mut Totals,
    ) -> io::Result<Outcome> {
        let mut used = 0;
        loop {
            self.write_owed(output, totals)?;
            if close && self.partial == CLOSING {
                return Ok(Outcome::Over);
            }
            if used >= BYTES_AT_ONCE {
                return Ok(Outcome::Again);
            }
            let len = self.stream.fill_buf()?.len();
            if len == 0 {
                return Ok(Outcome::Over);
            }
            self.stream.consume(len);
            used += len;
            totals.bytes_in += len as u64;
            let complete = (self.partial + len) / request;
            self.partial = (self.partial + len) % request;
            self.owed += complete * response;
            totals.requests += complete as u64;
            if close && complete > 0 {
                // Nothing more is read.
                self.partial = CLOSING;
            }
        }
    }

    /// Answers whole requests of HTTP; what is in their heads does not matter.
    fn pages(&mut self, output: &Output, totals: &mut Totals) -> io::Result<Outcome> {
        let mut used = 0;
        loop {
            self.write_owed(output, totals)?;
            if used >= BYTES_AT_ONCE {
                return Ok(Outcome::Again);
            }
            let bytes = self.stream.fill_buf()?;
            let len = bytes.len();
            if len == 0 {
                return Ok(Outcome::Over);
            }
            let complete = http::requests(&mut self.partial, bytes);
            self.stream.consume(len);
            used += len;
            totals.bytes_in += len as u64;
            self.owed += complete * output.piece();
            totals.requests += complete as u64;
        }
    }

    /// Writes what is owed, or says that it would block.
    fn write_owed(&mut self, output: &Output, totals: &mut Totals) -> io::Result<()> {
        while self.owed > 0 {
            let written = self.stream.write(output.owed(self.owed))?;
            self.owed -= written;
            totals.bytes_out += written as u64;
        }
        Ok(())
    }

    fn sink(&mut self, totals: &mut Totals) -> io::Result<Outcome> {
        let mut used = 0;
        while used < BYTES_AT_ONCE {
            let len = self.stream.fill_buf()?.len();
            if len == 0 {
                return Ok(Outcome::Over);
            }
            self.stream.consume(len);
            used += len;
            totals.bytes_in += len as u64;
        }
        Ok(Outcome::Again)
    }

    /// A direction that would block does not keep the other waiting.
    fn both(&mut self, output: &Output, totals: &mut Totals) -> io::Result<Outcome> {
        let goes_on = |outcome: io::Result<Outcome>| match outcome {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            outcome => outcome.map(Some),
        };
        match (goes_on(self.sink(totals))?, goes_on(self.source(output, totals))?) {
            (Some(Outcome::Over), _) => Ok(Outcome::Over),
            (None, None) => Err(ErrorKind::WouldBlock.into()),
            _ => Ok(Outcome::Again),
        }
    }

    fn source(&mut self, output: &Output, totals: &mut Totals) -> io::Result<Outcome> {
        // A client that sends something is heard no further.
        for _ in 0..BYTES_AT_ONCE / output.all().len() {
            let written = self.stream.write(output.all())?;
            totals.bytes_out += written as u64;
        }
        Ok(Outcome::Again)
    }
}

impl Application for Server {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        let address = ([0, 0, 0, 0], self.port).into();
        self.listener = Some(core.listen(address, BACKLOG, LISTENER)?);
        self.datagrams = Some(core.bind_udp(address, DATAGRAMS)?);
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        match token {
            LISTENER => self.accept(core),
            DATAGRAMS => self.echo(core),
            _ => self.serve(core, token),
        }
    }

    #[cfg(feature = "cycles")]
    fn woken(&mut self, _: &mut Core<'_>) {
        // Whoever asked may have gone.
        let _ = self.tell.send(self.totals);
    }

    fn stop(&mut self, _: &mut Core<'_>) {
        // Nobody may be left to hear it.
        let _ = self.tell.send(self.totals);
    }
}
