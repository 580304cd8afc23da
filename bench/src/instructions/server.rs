//! The application: one of three things to do with every connection.

use std::io::{self, BufRead, ErrorKind, Write};

use darner::{Application, Core, Readiness, TcpListener, TcpStream, Token};

use crate::peer::{MSS, STACK_PORT};

/// What is done with a connection.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    /// Reads in place and discards, as `darner sink` does.
    Sink,
    /// Answers whatever can be read at once with so many bytes.
    Answer(usize),
    /// Writes as long as there is room.
    Source,
}

pub(crate) struct Server {
    role: Role,
    listener: Option<TcpListener>,
    /// By token, less one.
    streams: Vec<Option<TcpStream>>,
    free: Vec<usize>,
    output: Vec<u8>,
}

impl Server {
    pub(crate) fn new(role: Role) -> Self {
        let output = match role {
            Role::Sink => 0,
            Role::Answer(len) => len,
            Role::Source => SOURCE_WRITE,
        };
        Self {
            role,
            listener: None,
            streams: Vec::new(),
            free: Vec::new(),
            output: vec![b'x'; output],
        }
    }

    fn accept(&mut self, core: &mut Core<'_>) {
        while let Some(Ok((mut stream, _))) = self.listener.as_ref().map(TcpListener::accept) {
            let index = self.free.pop().unwrap_or_else(|| {
                self.streams.push(None);
                self.streams.len() - 1
            });
            core.register(&mut stream, Token(1 + index as u64));
            self.streams[index] = Some(stream);
        }
    }
}

impl Application for Server {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        let address = ([0, 0, 0, 0], STACK_PORT).into();
        self.listener = Some(core.listen(address, 1024, LISTENER)?);
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        if token == LISTENER {
            return self.accept(core);
        }
        let Some(index) = usize::try_from(token.0 - 1).ok() else { return };
        let Some(Some(stream)) = self.streams.get_mut(index) else { return };
        match go_on(self.role, stream, &self.output) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("no connection fails here: {error}"),
            Ok(()) => {
                self.streams[index] = None;
                self.free.push(index);
            }
        }
    }
}

const LISTENER: Token = Token(0);

/// Bytes that a source writes at once: two segments. From 4 KiB on the C library copies with `rep movsb`, of which
/// callgrind counts every byte as an instruction.
const SOURCE_WRITE: usize = 2 * MSS;

/// Goes on until nothing more can be done for now; `Ok` when the peer has closed.
fn go_on(role: Role, stream: &mut TcpStream, output: &[u8]) -> io::Result<()> {
    if let Role::Source = role {
        while stream.write(output)? > 0 {}
    }
    loop {
        let len = stream.fill_buf()?.len();
        if len == 0 {
            return Ok(());
        }
        stream.consume(len);
        stream.write_all(output)?;
    }
}
