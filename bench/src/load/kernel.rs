//! The same requests over the kernel's sockets: one thread, epoll, a closed loop.

use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::counts::{Counts, histogram};
use super::http::{self, REQUEST};
use super::options::LoadCommand;
use super::plan::Work;
use super::report::{Latency, Report};
use super::run::MEASURING;
use crate::failure::Failure;

struct Client {
    poll: Poll,
    work: Work,
    server: std::net::SocketAddr,
    peers: Vec<Peer>,
    buffer: Box<[u8]>,
    /// As many requests of HTTP as are ever owed.
    requests: Vec<u8>,
    counts: Counts,
    latencies: Histogram<u64>,
    patience: Duration,
}

struct Peer {
    stream: TcpStream,
    connected: bool,
    owed: usize,
    awaited: usize,
    /// What is missing of an HTTP response's body, or the part of its head that has come.
    left: u32,
    head: Vec<u8>,
    sent_at: Instant,
}

const BUFFER: usize = 64 << 10;

/// Runs the client and tells what it has measured.
pub(super) fn run(command: &LoadCommand) -> Result<Report, Failure> {
    command.device.pin()?;
    eprintln!("setting up");
    let spans = command.spans();
    let mut client = Client::new(command).map_err(|error| {
        Failure::start(format_args!(
            "cannot connect to {} through the kernel: {error}",
            command.server
        ))
    })?;
    let churn = matches!(client.work, Work::Once { .. });
    let wanted = if churn { 1 } else { u64::from(command.connections) };
    let deadline = Instant::now() + spans.set_up_most;
    while client.counts.opened < wanted {
        if Instant::now() > deadline {
            return Err(Failure::failed(format_args!(
                "{} does not answer: does a server run there?",
                command.server
            )));
        }
        client.run_for(Duration::from_millis(10)).map_err(Failure::failed)?;
    }
    client.run_for(spans.warm_up).map_err(Failure::failed)?;
    eprintln!("{MEASURING} for {:.2} s", spans.measure.as_secs_f64());
    client.latencies.reset();
    let (before, begin) = (client.counts, Instant::now());
    client.run_for(spans.measure).map_err(Failure::failed)?;
    let seconds = begin.elapsed().as_secs_f64();
    let counts = client.counts.since(&before);
    Ok(Report { seconds, counts, before, latency: Latency::of(&client.latencies) })
}

impl Client {
    fn new(command: &LoadCommand) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (work, server) = (command.plan().work, command.server.into());
        let peers = (0..command.connections as usize)
            .map(|index| Peer::connect(&poll, server, index))
            .collect::<io::Result<_>>()?;
        let buffer = vec![b'x'; BUFFER].into_boxed_slice();
        let (counts, latencies) = (Counts::default(), histogram());
        let requests = REQUEST.repeat(command.depth as usize);
        let patience = command.patience();
        Ok(Self { poll, work, server, peers, buffer, requests, counts, latencies, patience })
    }

    fn run_for(&mut self, span: Duration) -> io::Result<()> {
        let begin = Instant::now();
        let mut events = Events::with_capacity(1024);
        while begin.elapsed() < span {
            match self.poll.poll(&mut events, Some(self.patience)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome?,
            }
            for event in events.iter() {
                let Token(index) = event.token();
                match self.go_on(index) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(_) => {
                        self.counts.resets += 1;
                        self.connect_again(index)?;
                    }
                    Ok(()) => self.connect_again(index)?,
                }
            }
        }
        Ok(())
    }

    fn connect_again(&mut self, index: usize) -> io::Result<()> {
        self.peers[index] = Peer::connect(&self.poll, self.server, index)?;
        Ok(())
    }

    /// Goes on until it would block; `Ok` when the connection is over.
    fn go_on(&mut self, index: usize) -> io::Result<()> {
        let Self { peers, work, buffer, requests, counts, latencies, .. } = self;
        let pages = matches!(work, Work::Pages { .. });
        let peer = &mut peers[index];
        if !peer.connected {
            peer.stream.take_error()?.map_or(Ok(()), Err)?;
            // Not yet connected: there is no peer.
            peer.stream.peer_addr().map_err(|_| ErrorKind::WouldBlock)?;
            peer.begin(*work);
            counts.opened += 1;
        }
        loop {
            while peer.owed > 0 {
                let output = if pages { &requests[..] } else { &buffer[..] };
                // What is left of a request is written first.
                let from = if pages {
                    (REQUEST.len() - peer.owed % REQUEST.len()) % REQUEST.len()
                } else {
                    0
                };
                let most = peer.owed.min(output.len() - from);
                let written = peer.stream.write(&output[from..from + most])?;
                counts.bytes_out += written as u64;
                if *work != Work::Send {
                    peer.owed -= written;
                }
            }
            let len = peer.stream.read(buffer)?;
            if len == 0 {
                counts.closed_early += 1;
                return Ok(());
            }
            counts.bytes_in += len as u64;
            let (request, response) = match *work {
                Work::Pages { .. } => (REQUEST.len(), 0),
                Work::Requests { request, response, .. } | Work::Once { request, response, .. } => {
                    (request as usize, response as usize)
                }
                Work::Send | Work::Receive | Work::Both | Work::Rest => continue,
            };
            let complete = match work {
                Work::Pages { .. } => peer.take_pages(&buffer[..len]).inspect_err(|_| {
                    counts.bad_responses += 1;
                })?,
                _ => peer.take(len, response),
            };
            if complete == 0 {
                continue;
            }
            counts.responses += complete as u64;
            let now = Instant::now();
            let took = now.duration_since(peer.sent_at).as_nanos();
            latencies.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
            if let Work::Once { .. } = work {
                counts.closed += 1;
                return Ok(());
            }
            peer.sent_at = now;
            peer.owed += complete * request;
            peer.awaited += complete * response;
        }
    }
}

impl Peer {
    fn connect(poll: &Poll, server: std::net::SocketAddr, index: usize) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(index), both)?;
        Ok(Self {
            stream,
            connected: false,
            owed: 0,
            awaited: 0,
            left: 0,
            head: Vec::new(),
            sent_at: Instant::now(),
        })
    }

    fn begin(&mut self, work: Work) {
        self.connected = true;
        let _ = self.stream.set_nodelay(true);
        (self.owed, self.awaited) = match work {
            Work::Requests { request, response, depth } => {
                ((request * depth) as usize, (response * depth) as usize)
            }
            Work::Once { request, response, .. } => (request as usize, response as usize),
            Work::Pages { depth } => (REQUEST.len() * depth as usize, 0),
            Work::Send => (BUFFER, 0),
            // Not over the kernel: `LoadCommand::check`.
            Work::Receive | Work::Both | Work::Rest => (0, 0),
        };
        if let Work::Requests { .. } | Work::Pages { .. } = work {
            self.sent_at = Instant::now();
        }
    }

    fn take_pages(&mut self, text: &[u8]) -> io::Result<usize> {
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let complete = http::take((&mut self.left, &mut self.head), text, len);
        complete.map(|count| count as usize).map_err(|_| ErrorKind::InvalidData.into())
    }

    /// How many responses are complete with `len` more bytes.
    fn take(&mut self, len: usize, response: usize) -> usize {
        let before = self.awaited.div_ceil(response);
        self.awaited = self.awaited.saturating_sub(len);
        before - self.awaited.div_ceil(response)
    }
}
