//! Who sends and who receives.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use darner::time::Instant;
use darner::{Application, Core, Readiness, TcpListener, TcpStream, Token};

/// What each flow has delivered so far, by its number.
pub(crate) type Delivered = Arc<Mutex<BTreeMap<u64, u64>>>;

/// Sends on every connection as long as it can.
pub(crate) struct Source {
    to: SocketAddr,
    flows: u64,
    streams: BTreeMap<u64, TcpStream>,
    /// When each connection was made.
    pub(crate) connected: Arc<Mutex<Vec<Instant>>>,
}

impl Source {
    pub(crate) fn new(to: SocketAddr, flows: u64) -> Self {
        Self { to, flows, streams: BTreeMap::new(), connected: Arc::default() }
    }
}

impl Application for Source {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        for flow in 0..self.flows {
            self.streams.insert(flow, core.connect(self.to, Token(flow))?);
        }
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, readiness: Readiness) {
        let Some(stream) = self.streams.get_mut(&token.0) else { return };
        if readiness.contains(Readiness::CONNECTED) {
            self.connected.lock().unwrap().push(core.now());
        }
        while let Ok(1..) = stream.write(&BYTES) {}
    }
}

/// Reads from every connection whatever comes.
pub(crate) struct Sink {
    address: SocketAddr,
    listener: Option<TcpListener>,
    streams: BTreeMap<u64, TcpStream>,
    pub(crate) delivered: Delivered,
}

impl Sink {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, listener: None, streams: BTreeMap::new(), delivered: Arc::default() }
    }
}

impl Application for Sink {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        self.listener = Some(core.listen(self.address, 1024, Token(0))?);
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        while token == Token(0)
            && let Some(Ok((mut stream, _))) = self.listener.as_ref().map(TcpListener::accept)
        {
            let flow = self.streams.len() as u64 + 1;
            core.register(&mut stream, Token(flow));
            self.delivered.lock().unwrap().insert(flow, 0);
            self.streams.insert(flow, stream);
        }
        let Some(stream) = self.streams.get_mut(&token.0) else { return };
        while let Ok(bytes) = stream.fill_buf()
            && !bytes.is_empty()
        {
            let len = bytes.len();
            stream.consume(len);
            *self.delivered.lock().unwrap().entry(token.0).or_default() += len as u64;
        }
    }
}

static BYTES: [u8; 65_536] = [0x5a; 65_536];
