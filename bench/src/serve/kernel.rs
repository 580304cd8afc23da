//! The same server over the kernel's sockets: one thread, epoll.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::application::{Role, Totals};
use super::http;
use super::output::Output;
use crate::failure::Failure;

/// The server: its connections by token.
struct Server {
    poll: Poll,
    listener: TcpListener,
    role: Role,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    buffer: Box<[u8]>,
    output: Output,
    totals: Totals,
    patience: Duration,
}

struct Peer {
    stream: TcpStream,
    /// Bytes of a request that is not complete yet, and bytes of responses that found no room.
    partial: usize,
    owed: usize,
    closing: bool,
}

/// What it does when there is nothing to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rest {
    Spins,
    Sleeps,
}

const LISTENER: Token = Token(usize::MAX);
const BUFFER: usize = 64 << 10;
/// How often it is looked whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Serves on a port of all the kernel's addresses until `ends`.
pub(super) fn run(
    role: Role,
    port: u16,
    (rest, ends): (Rest, &Receiver<()>),
) -> Result<(), Failure> {
    let mut server = Server::new(role, port, rest).map_err(|error| {
        Failure::start(format_args!("cannot listen on the kernel's port {port}: {error}"))
    })?;
    println!("ready on the kernel");
    let mut events = Events::with_capacity(1024);
    let mut looked = Instant::now();
    loop {
        server.turn(&mut events).map_err(Failure::failed)?;
        if looked.elapsed() > LOOK_EVERY {
            looked = Instant::now();
            if ends.try_recv().is_ok() {
                break;
            }
        }
    }
    let totals = serde_json::to_string(&server.totals).map_err(Failure::failed)?;
    println!("{{\"totals\":{totals},\"drops\":{{}}}}");
    Ok(())
}

impl Server {
    fn new(role: Role, port: u16, rest: Rest) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(([0, 0, 0, 0], port).into())?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let buffer = vec![b'x'; BUFFER].into_boxed_slice();
        let (peers, free, totals) = (Vec::new(), Vec::new(), Totals::default());
        let output = Output::of(role);
        let patience = match rest {
            Rest::Spins => Duration::ZERO,
            Rest::Sleeps => LOOK_EVERY,
        };
        Ok(Self { poll, listener, role, peers, free, buffer, output, totals, patience })
    }

    fn turn(&mut self, events: &mut Events) -> io::Result<()> {
        match self.poll.poll(events, Some(self.patience)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        for event in events.iter() {
            match event.token() {
                LISTENER => self.accept(),
                Token(index) => self.serve(index),
            }
        }
        Ok(())
    }

    fn accept(&mut self) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            self.totals.accepted += 1;
            let _ = stream.set_nodelay(true);
            let index = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            let both = Interest::READABLE | Interest::WRITABLE;
            if self.poll.registry().register(&mut stream, Token(index), both).is_err() {
                self.free.push(index);
                continue;
            }
            self.peers[index] = Some(Peer { stream, partial: 0, owed: 0, closing: false });
        }
    }

    fn serve(&mut self, index: usize) {
        let Some(Some(peer)) = self.peers.get_mut(index) else { return };
        match peer.go_on(self.role, &mut self.buffer, &self.output, &mut self.totals) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => self.totals.failed += 1,
            Ok(()) => {}
        }
        // Closing takes it out of the poll.
        self.peers[index] = None;
        self.free.push(index);
    }
}

impl Peer {
    /// Goes on until it would block; `Ok` when the connection is over.
    fn go_on(
        &mut self,
        role: Role,
        buffer: &mut [u8],
        output: &Output,
        totals: &mut Totals,
    ) -> io::Result<()> {
        if role == Role::Source {
            loop {
                totals.bytes_out += self.stream.write(output.all())? as u64;
            }
        }
        loop {
            while self.owed > 0 {
                let written = self.stream.write(output.owed(self.owed))?;
                self.owed -= written;
                totals.bytes_out += written as u64;
            }
            let len = if self.closing { 0 } else { self.stream.read(buffer)? };
            if len == 0 {
                return Ok(());
            }
            totals.bytes_in += len as u64;
            if let Role::Http { .. } = role {
                let complete = http::requests(&mut self.partial, &buffer[..len]);
                self.owed += complete * output.piece();
                totals.requests += complete as u64;
            }
            if let Role::Respond { request, response, close } = role {
                let complete = (self.partial + len) / request;
                self.partial = (self.partial + len) % request;
                self.owed += complete * response;
                totals.requests += complete as u64;
                self.closing = close && complete > 0;
            }
        }
    }
}
