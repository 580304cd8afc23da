//! Takes the steps of a schedule, and holds what comes of each against the model.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use darner::{TcpListener, TcpStream, Token};

use super::model::{End, Excuses, Urgency, Verdict};
use super::network::{Network, address};
use super::steps::{Call, Step};

pub(super) struct Run {
    network: Network,
    listeners: Vec<Option<TcpListener>>,
    connections: Vec<Connection>,
}

/// Both ends, the one that connects first.
struct Connection {
    stacks: [usize; 2],
    local: SocketAddr,
    streams: [Option<TcpStream>; 2],
    models: [End; 2],
    accepted: bool,
    excuses: Excuses,
}

impl Run {
    pub(super) fn new(seed: u64, stacks: usize, pcap: Option<&str>) -> Self {
        let network = Network::new(seed, stacks, pcap);
        let listeners = (0..stacks).map(|_| None).collect();
        Self { network, listeners, connections: Vec::new() }
    }

    pub(super) fn take(&mut self, step: Step) -> Verdict {
        let verdict = match step {
            Step::Listen(stack) => self.listen(stack % self.listeners.len()),
            Step::Accept(stack) => self.accept(stack % self.listeners.len()).map(|_| ()),
            Step::Connect { from, to } => self.connect(from, to),
            Step::Path(stack, path) => {
                self.network.change(stack % self.listeners.len(), path);
                let bad = self.network.is_bad();
                let waiting = self.connections.iter_mut().filter(|it| !it.accepted);
                waiting.for_each(|it| it.excuses.unreachable |= bad);
                Ok(())
            }
            Step::Pass(span) => {
                self.network.pass(span);
                Ok(())
            }
            Step::At(end, call) => {
                let index = (end / 2) % self.connections.len().max(1);
                self.connections.get_mut(index).map_or(Ok(()), |it| it.take(end % 2, call))
            }
        };
        self.network.settle();
        verdict
    }

    fn listen(&mut self, stack: usize) -> Verdict {
        if self.listeners[stack].take().is_some() {
            let waiting = |it: &&mut Connection| it.stacks[1] == stack && !it.accepted;
            self.connections.iter_mut().filter(waiting).for_each(|it| it.excuses.refused = true);
            return Ok(());
        }
        let now = self.network.now();
        let listener = self.network.stacks[stack]
            .with_core(now, |core| core.listen(address(stack), 64, Token(0)))
            .map_err(|error| format!("listen: {error}"))?;
        self.listeners[stack] = Some(listener);
        Ok(())
    }

    fn connect(&mut self, from: usize, to: usize) -> Verdict {
        let from = from % self.listeners.len();
        let to = to % self.listeners.len();
        if from == to || self.connections.len() == MOST_CONNECTIONS {
            return Ok(());
        }
        let now = self.network.now();
        let stream = self.network.stacks[from]
            .with_core(now, |core| core.connect(address(to), Token(1)))
            .map_err(|error| format!("connect: {error}"))?;
        let seed = self.connections.len() as u64 * 2;
        self.connections.push(Connection {
            stacks: [from, to],
            local: stream.control().local_addr(),
            streams: [Some(stream), None],
            models: [End::new(seed), End::new(seed + 1)],
            accepted: false,
            excuses: Excuses {
                refused: self.listeners[to].is_none(),
                unreachable: self.network.is_bad(),
            },
        });
        Ok(())
    }

    /// Says whether there was a connection to accept.
    fn accept(&mut self, stack: usize) -> Result<bool, String> {
        let Some(listener) = &self.listeners[stack] else { return Ok(false) };
        let (mut stream, from) = match listener.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            accepted => accepted.map_err(|error| format!("accept: {error}"))?,
        };
        stream.set_nonblocking(true);
        let ours = |it: &&mut Connection| it.local == from && it.stacks[1] == stack && !it.accepted;
        let connection = self.connections.iter_mut().rfind(ours);
        let connection = connection.ok_or("somebody was accepted who did not connect")?;
        connection.accepted = true;
        connection.excuses.unreachable = false;
        connection.streams[1] = Some(stream);
        Ok(true)
    }

    /// From here on the network is good, and the applications take all there is and end their streams.
    pub(super) fn finish(mut self) -> Verdict {
        (0..self.listeners.len()).for_each(|stack| self.network.change(stack, [0; 4]));
        let mut rounds = 0;
        loop {
            for stack in 0..self.listeners.len() {
                while self.accept(stack)? {}
            }
            self.connections.iter_mut().try_for_each(Connection::drain)?;
            if self.connections.iter().all(Connection::is_done) || rounds == MOST_ROUNDS {
                break;
            }
            self.network.pass(Duration::from_millis(100));
            rounds += 1;
        }
        self.connections.iter().try_for_each(Connection::finished)?;
        self.connections.clear();
        self.listeners.clear();
        // TIME-WAIT, and what neighbours are remembered for.
        self.network.pass(Duration::from_secs(7200));
        self.network.finish()
    }
}

impl Connection {
    fn take(&mut self, end: usize, call: Call) -> Verdict {
        let (Some(stream), [model, peer]) = self.end(end) else { return Ok(()) };
        let control = stream.control();
        match call {
            Call::Write(len, urgency) => return self.write(end, len, urgency),
            Call::Read(len) => return self.read(end, len).map(|_| ()),
            Call::ReadUrgent => return model.got_urgent(peer, &stream.recv_oob()),
            Call::Close(linger) => return self.close(end, linger),
            Call::Shutdown(how) if stream.is_connected() => {
                control.shutdown(how);
                model.shut(how);
            }
            Call::Shutdown(_) => {}
            Call::Abort => {
                control.abort();
                model.abort();
            }
            Call::Nodelay(on) => control.set_nodelay(on),
            Call::Keepalive(on) => control.set_keepalive(on),
            Call::Inline(on) => control.set_oob_inline(on),
            Call::Buffers(len) => control.set_buffers(Some(len), Some(len)),
        }
        Ok(())
    }

    /// One end's stream, and the models of it and of its peer.
    fn end(&mut self, end: usize) -> (Option<&mut TcpStream>, [&mut End; 2]) {
        let [first, second] = &mut self.models;
        let models = if end == 0 { [first, second] } else { [second, first] };
        (self.streams[end].as_mut(), models)
    }

    fn write(&mut self, end: usize, len: usize, urgency: Urgency) -> Verdict {
        let excuses = self.excuses;
        let (Some(stream), [model, peer]) = self.end(end) else { return Ok(()) };
        let bytes = model.bytes(len, urgency);
        let got = match urgency {
            Urgency::None => stream.write(&bytes),
            Urgency::LastByte => stream.send_oob(&bytes),
        };
        model.wrote(peer, excuses, (len, urgency), &got)
    }

    /// Says how many bytes there were.
    fn read(&mut self, end: usize, len: usize) -> Result<usize, String> {
        let excuses = self.excuses;
        let (Some(stream), [model, peer]) = self.end(end) else { return Ok(0) };
        let mut bytes = vec![0; len];
        let got = stream.read(&mut bytes);
        let count = *got.as_ref().unwrap_or(&0);
        model.got(peer, excuses, got.map(|count| &bytes[..count]))?;
        Ok(count)
    }

    fn close(&mut self, end: usize, linger: Option<Duration>) -> Verdict {
        let Some(stream) = self.streams[end].take() else { return Ok(()) };
        stream.control().set_linger(linger);
        let closed: io::Result<()> = stream.close();
        if linger == Some(Duration::ZERO) {
            self.models[end].abort();
        }
        self.models[end].close();
        match closed {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => {
                let excuses = self.excuses;
                let (_, [model, peer]) = self.end(end);
                model.failed(peer, excuses, error.kind())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Reads what is there at each end, and ends what it sends: the second does so once it has seen the first one's end, which must be told
    /// while the connection is still half open.
    fn drain(&mut self) -> Verdict {
        for end in 0..2 {
            if let (Some(stream), [model, _]) = self.end(end)
                && stream.is_connected()
                && (end == 0 || model.is_done())
            {
                stream.control().shutdown(Shutdown::Write);
                model.shut(Shutdown::Write);
            }
            while !self.models[end].is_done() && self.read(end, 65_536)? > 0 {}
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let here = |end: usize| self.streams[end].is_none() || self.models[end].is_done();
        here(0) && here(1) && (self.accepted || self.models[0].is_done())
    }

    fn finished(&self) -> Verdict {
        let [near, far] = &self.models;
        near.finished(far, self.excuses)
            .and_then(|()| if self.accepted { far.finished(near, self.excuses) } else { Ok(()) })
            .map_err(|broken| format!("{} to {:?}: {broken}", self.local, self.stacks))
    }
}

const MOST_CONNECTIONS: usize = 6;

/// Ten minutes: many times what the longest retransmission timer runs for.
const MOST_ROUNDS: usize = 6000;
