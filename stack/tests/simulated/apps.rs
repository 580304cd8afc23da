//! Applications that send and check streams.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, BufRead, ErrorKind, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use darner::{Application, Core, Readiness, TcpListener, TcpStream, Token};

/// What became of one stream: how much was read, its hash, and how it ended.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) read: u64,
    pub(crate) hash: u64,
    pub(crate) ended: Option<Result<(), ErrorKind>>,
}

/// What all streams of an application came to, in the order in which they began.
#[derive(Clone, Default)]
pub(crate) struct Outcomes(Arc<Mutex<Vec<Outcome>>>);

impl Outcomes {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Outcome>> {
        self.0.lock().unwrap()
    }

    /// How many streams have ended.
    pub(crate) fn ended(&self) -> usize {
        self.lock().iter().filter(|outcome| outcome.ended.is_some()).count()
    }
}

/// The bytes that a peer sends: `len` of them, from `seed`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) len: u64,
}

impl Script {
    /// The byte at `position`.
    pub(crate) fn byte(self, position: u64) -> u8 {
        let mixed = (position ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 56) as u8
    }

    /// What the reader of all its bytes ends with.
    pub(crate) fn outcome(self) -> Outcome {
        let mut hasher = DefaultHasher::new();
        (0..self.len).for_each(|position| hasher.write_u8(self.byte(position)));
        Outcome { read: self.len, hash: hasher.finish(), ended: Some(Ok(())) }
    }
}

/// Both ends of every stream do the same: they send their script, shut down, and read to the end.
pub(crate) struct Talker {
    /// Listens here, or
    pub(crate) listen: Option<SocketAddr>,
    /// connects there so many times at the start.
    pub(crate) connect: Option<(SocketAddr, usize)>,
    pub(crate) script: Script,
    pub(crate) outcomes: Outcomes,
    listener: Option<TcpListener>,
    talks: BTreeMap<Token, Talk>,
    next: u64,
}

struct Talk {
    stream: TcpStream,
    script: Script,
    written: u64,
    hasher: DefaultHasher,
    read: u64,
    shut: bool,
}

impl Talker {
    pub(crate) fn listening(address: &str, script: Script) -> (Self, Outcomes) {
        Self::new(Some(address.parse().unwrap()), None, script)
    }

    pub(crate) fn connecting(address: &str, times: usize, script: Script) -> (Self, Outcomes) {
        Self::new(None, Some((address.parse().unwrap(), times)), script)
    }

    fn new(
        listen: Option<SocketAddr>,
        connect: Option<(SocketAddr, usize)>,
        script: Script,
    ) -> (Self, Outcomes) {
        let outcomes = Outcomes::default();
        let talker = Self {
            listen,
            connect,
            script,
            outcomes: outcomes.clone(),
            listener: None,
            talks: BTreeMap::new(),
            next: 1,
        };
        (talker, outcomes)
    }

    fn begin(&mut self, stream: TcpStream, token: Token) {
        self.outcomes.lock().push(Outcome::default());
        let hasher = DefaultHasher::new();
        let talk = Talk { stream, script: self.script, written: 0, hasher, read: 0, shut: false };
        self.talks.insert(token, talk);
    }

    fn token(&mut self) -> Token {
        self.next += 1;
        Token(self.next - 1)
    }
}

impl Application for Talker {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        if let Some(address) = self.listen {
            self.listener = Some(core.listen(address, 1024, Token(0))?);
        }
        if let Some((address, times)) = self.connect {
            for _ in 0..times {
                let token = self.token();
                let stream = core.connect(address, token)?;
                self.begin(stream, token);
            }
        }
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        while token == Token(0)
            && let Some(Ok((mut stream, _))) = self.listener.as_ref().map(TcpListener::accept)
        {
            let token = self.token();
            core.register(&mut stream, token);
            self.begin(stream, token);
        }
        let Some(talk) = self.talks.get_mut(&token) else { return };
        let index = usize::try_from(token.0).unwrap() - 1;
        match talk.go_on() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            ended => {
                self.outcomes.lock()[index] = Outcome {
                    read: talk.read,
                    hash: talk.hasher.finish(),
                    ended: Some(ended.map_err(|error| error.kind())),
                };
                self.talks.remove(&token);
            }
        }
    }
}

impl Talk {
    /// Reads and writes until both would block, or both are done.
    fn go_on(&mut self) -> io::Result<()> {
        let written = self.write();
        let read = self.read();
        match (read, written) {
            (Err(error), _) if error.kind() != ErrorKind::WouldBlock => Err(error),
            (_, Err(error)) => Err(error),
            (read, Ok(())) => read,
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while self.written < self.script.len {
            let end = self.script.len.min(self.written + 4096);
            let bytes: Vec<u8> =
                (self.written..end).map(|position| self.script.byte(position)).collect();
            self.written += self.stream.write(&bytes)? as u64;
        }
        if !self.shut {
            self.stream.shutdown(Shutdown::Write);
            self.shut = true;
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.stream.fill_buf()?;
            let len = bytes.len();
            if len == 0 {
                return Ok(());
            }
            bytes.iter().for_each(|&byte| self.hasher.write_u8(byte));
            self.stream.consume(len);
            self.read += len as u64;
        }
    }
}

/// Gives back what it gets, in order, over UDP.
pub(crate) struct UdpEcho {
    pub(crate) address: SocketAddr,
    pub(crate) socket: Option<darner::UdpSocket>,
}

impl Application for UdpEcho {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        self.socket = Some(core.bind_udp(self.address, Token(0))?);
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {
        let mut bytes = vec![0; 65_536];
        let Some(socket) = &mut self.socket else { return };
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(&bytes[..len], from);
        }
    }
}

/// Sends datagrams one after the other, each once the one before was answered.
pub(crate) struct UdpAsker {
    pub(crate) to: SocketAddr,
    pub(crate) questions: VecDeque<Vec<u8>>,
    pub(crate) socket: Option<darner::UdpSocket>,
    pub(crate) answers: Arc<Mutex<Vec<io::Result<Vec<u8>>>>>,
}

impl UdpAsker {
    fn ask(&mut self) {
        if let (Some(socket), Some(question)) = (&mut self.socket, self.questions.front()) {
            socket.send(question).expect("room for one datagram");
        }
    }
}

impl Application for UdpAsker {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        let mut socket = core.bind_udp("0.0.0.0:0".parse().unwrap(), Token(0))?;
        socket.connect(self.to)?;
        self.socket = Some(socket);
        self.ask();
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {
        let mut bytes = vec![0; 65_536];
        let Some(socket) = &mut self.socket else { return };
        let answer = match socket.recv_from(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => Err(error),
            Ok((len, _)) => Ok(bytes[..len].to_vec()),
        };
        self.answers.lock().unwrap().push(answer);
        self.questions.pop_front();
        self.ask();
    }
}
