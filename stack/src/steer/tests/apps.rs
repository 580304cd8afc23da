//! Applications that call each other and talk.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::api::{
    Application, Core, EchoReply, Readiness, TcpListener, TcpStream, Token, UdpSocket,
};

/// What one connection came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Call {
    /// The core that has it.
    pub(super) core: usize,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    /// Bytes that came back, or why it failed.
    pub(super) outcome: Result<usize, ErrorKind>,
}

/// What all cores' applications tell.
#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Told>>);

#[derive(Default)]
pub(super) struct Told {
    pub(super) calls: Vec<Call>,
    pub(super) refused: Vec<ErrorKind>,
    pub(super) echo_replies: Vec<(usize, EchoReply)>,
}

impl Log {
    pub(super) fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap()
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }
}

/// Sends back what it gets, on every connection to `listen`; calls `call` so many times at its start and checks what comes back.
#[derive(Default)]
pub(super) struct Talker {
    pub(super) listen: Option<SocketAddr>,
    pub(super) call: Option<(SocketAddr, usize)>,
    pub(super) len: usize,
    /// Says its piece and waits, instead of ending when it is said.
    pub(super) stays: bool,
    pub(super) ping: Option<std::net::Ipv4Addr>,
    pub(super) log: Log,
    /// Opens a UDP socket and leaves what it gets there.
    pub(super) bind: Option<SocketAddr>,
    pub(super) sockets: Sockets,
}

#[derive(Default)]
pub(super) struct Sockets {
    listener: Option<TcpListener>,
    datagrams: Option<UdpSocket>,
    talks: BTreeMap<Token, Talk>,
}

struct Talk {
    stream: TcpStream,
    is_caller: bool,
    has_spoken: bool,
    got: Vec<u8>,
}

impl Application for Talker {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        if let Some(address) = self.listen {
            self.sockets.listener = Some(core.listen(address, 4096, Token(0))?);
        }
        if let Some(address) = self.ping {
            core.ping(address, 1, 1, 8)?;
        }
        if let Some(address) = self.bind {
            self.sockets.datagrams = Some(core.bind_udp(address, Token(u64::MAX - 1))?);
        }
        let Some((address, times)) = self.call else { return Ok(()) };
        for _ in 0..times {
            let token = self.free_token();
            match core.connect(address, token) {
                Ok(stream) => self.begin(token, stream, true),
                Err(error) => self.log.lock().refused.push(error.kind()),
            }
        }
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, readiness: Readiness) {
        while token == Token(0)
            && let Some(Ok((mut stream, _))) =
                self.sockets.listener.as_ref().map(TcpListener::accept)
        {
            let token = self.free_token();
            core.register(&mut stream, token);
            self.begin(token, stream, false);
        }
        let len = self.len;
        let Some(talk) = self.sockets.talks.get_mut(&token) else { return };
        if talk.is_caller && !talk.has_spoken && readiness.contains(Readiness::CONNECTED) {
            talk.has_spoken = true;
            talk.stream.write_all(&pattern(len)).unwrap();
            if !self.stays {
                talk.stream.shutdown(Shutdown::Write);
            }
        }
        match talk.go_on() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            ended => self.end(core.index(), token, ended),
        }
    }

    fn echo_reply(&mut self, core: &mut Core<'_>, reply: EchoReply) {
        self.log.lock().echo_replies.push((core.index(), reply));
    }
}

impl Talker {
    fn free_token(&self) -> Token {
        Token(self.sockets.talks.last_key_value().map_or(1, |(token, _)| token.0 + 1))
    }

    fn begin(&mut self, token: Token, stream: TcpStream, is_caller: bool) {
        self.sockets
            .talks
            .insert(token, Talk { stream, is_caller, has_spoken: false, got: Vec::new() });
    }

    fn end(&mut self, core: usize, token: Token, ended: io::Result<()>) {
        let Some(talk) = self.sockets.talks.remove(&token) else { return };
        let outcome = ended.map(|()| talk.got.len()).map_err(|error| error.kind());
        if outcome.is_ok() {
            assert!(talk.got == pattern(self.len), "every byte comes back, in order");
        }
        let (local, remote) = (talk.stream.local_addr(), talk.stream.peer_addr());
        self.log.lock().calls.push(Call { core, local, remote, outcome });
    }
}

impl Talk {
    /// Until the peer's end; one that was called sends everything back at once.
    fn go_on(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        loop {
            let count = self.stream.read(&mut bytes)?;
            self.got.extend_from_slice(&bytes[..count]);
            if !self.is_caller {
                self.stream.write_all(&bytes[..count])?;
            }
            if count == 0 {
                return Ok(());
            }
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from(index % 251).unwrap()).collect()
}
