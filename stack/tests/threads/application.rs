//! The same application object on a protocol thread and on a thread of its own.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use darner::{
    Application, Config, Core, ListenOptions, Poller, Readiness, Sharing, Stack, TcpListener,
    TcpStream, Token,
};

use crate::world::{LONG, address, config, no_network, stack};

/// Echoes, and tells what else it was called for.
struct Echo {
    address: SocketAddr,
    tell: Sender<&'static str>,
    listener: Option<TcpListener>,
    streams: HashMap<Token, TcpStream>,
}

impl Echo {
    fn new(address: SocketAddr, tell: Sender<&'static str>) -> Box<Self> {
        Box::new(Self { address, tell, listener: None, streams: HashMap::new() })
    }
}

impl Application for Echo {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        self.listener = Some(core.listen(self.address, 16, Token(0))?);
        core.set_timer(Duration::from_millis(1), Token(1));
        core.waker().wake();
        core.again(Token(2), Readiness::READABLE);
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        if token == Token(2) {
            self.tell.send("again").unwrap();
        }
        while token == Token(0)
            && let Some(Ok((mut stream, peer))) = self.listener.as_ref().map(TcpListener::accept)
        {
            let token = Token(peer.port().into());
            core.register(&mut stream, token);
            self.streams.insert(token, stream);
        }
        let Some(stream) = self.streams.get_mut(&token) else { return };
        let mut bytes = [0; 1000];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(len) => stream.write_all(&bytes[..len]).unwrap(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => break,
            }
        }
        self.streams.remove(&token);
    }

    fn timeout(&mut self, _: &mut Core<'_>, _: Token) {
        self.tell.send("timeout").unwrap();
    }

    fn woken(&mut self, _: &mut Core<'_>) {
        self.tell.send("woken").unwrap();
    }

    fn stop(&mut self, _: &mut Core<'_>) {
        self.tell.send("stop").unwrap();
    }
}

fn talk(stack: &Stack, to: SocketAddr) {
    for _ in 0..10 {
        let mut stream = stack.connect(to).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
    }
}

#[test]
fn an_application_runs_in_either_place() {
    for place in ["core", "thread"] {
        let (tell, told) = channel();
        let at = address();
        let application = Echo::new(at, tell);
        let mut thread = None;
        let stack = if place == "core" {
            let mut application = Some(application as Box<dyn Application>);
            let queues = vec![no_network()];
            Stack::start_with(&config(), queues, |_| application.take().unwrap()).unwrap()
        } else {
            let stack = stack();
            thread = Some(stack.spawn(application).unwrap());
            stack
        };
        talk(&stack, at);
        let mut events: Vec<_> = (0..3).map(|_| told.recv_timeout(LONG).unwrap()).collect();
        events.sort_unstable();
        assert_eq!(events, ["again", "timeout", "woken"], "{place}");
        match thread {
            Some(thread) => {
                thread.stop();
                thread.join().unwrap();
            }
            None => stack.stop(Duration::ZERO),
        }
        assert_eq!(told.recv_timeout(LONG).unwrap(), "stop", "{place}");
    }
}

/// Sets a timer for at once whenever one goes off, up to a limit, and tells how many have when it is woken.
struct Restless {
    timeouts: u32,
    tell: Sender<u32>,
}

impl Application for Restless {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        core.set_timer(Duration::ZERO, Token(0));
        core.waker().wake();
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}

    fn timeout(&mut self, core: &mut Core<'_>, token: Token) {
        self.timeouts += 1;
        if self.timeouts < 1_000_000 {
            core.set_timer(Duration::ZERO, token);
        }
    }

    fn woken(&mut self, _: &mut Core<'_>) {
        self.tell.send(self.timeouts).unwrap();
    }
}

#[test]
fn a_timer_that_is_set_for_at_once_keeps_a_thread_from_nothing_else() {
    let stack = stack();
    let (tell, told) = channel();
    let thread = stack.spawn(Box::new(Restless { timeouts: 0, tell })).unwrap();
    assert_eq!(told.recv_timeout(LONG).unwrap(), 1);
    thread.stop();
    thread.join().unwrap();
}

#[test]
fn an_application_that_cannot_start_says_why() {
    let stack = stack();
    let (tell, _told) = channel();
    let taken = stack.listen(address()).unwrap();
    let error = stack.spawn(Echo::new(taken.local_addr(), tell)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
}

/// Decision 9: what would wait for its own thread is an error.
struct Impatient {
    tell: Sender<Vec<ErrorKind>>,
}

impl Application for Impatient {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        let listener = core.listen(address(), 1, Token(0))?;
        listener.set_nonblocking(false);
        let mut stream = core.connect(listener.local_addr(), Token(1))?;
        stream.set_nonblocking(false);
        let mut socket = core.bind_udp(address(), Token(2))?;
        socket.set_nonblocking(false);
        let kinds = [
            listener.accept().err(),
            stream.read(&mut [0; 1]).err(),
            stream.write(b"x").err(),
            socket.recv_from(&mut [0; 1]).err(),
            Poller::new().wait(&mut Vec::new(), None).err(),
        ];
        self.tell.send(kinds.into_iter().flatten().map(|error| error.kind()).collect()).unwrap();
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}
}

#[test]
fn nothing_waits_on_a_protocol_thread() {
    let (tell, told) = channel();
    let stack = Stack::start_with(&config(), vec![no_network()], |_| {
        Box::new(Impatient { tell: tell.clone() })
    });
    assert_eq!(told.recv_timeout(LONG).unwrap(), [ErrorKind::Deadlock; 5]);
    drop(stack);
}

/// Tells which core it is next to, and listens there with the others.
struct Neighbour {
    at: SocketAddr,
    tell: Sender<usize>,
    listener: Option<TcpListener>,
}

impl Application for Neighbour {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        let sharing = Sharing::GroupPinned(core.index());
        let options = ListenOptions { sharing, ..ListenOptions::default() };
        self.listener = Some(core.listen_with(self.at, options, Token(0))?);
        self.tell.send(core.index()).unwrap();
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}
}

#[test]
fn applications_on_threads_are_dealt_out_over_the_cores() {
    let cpu = core_affinity::get_core_ids().unwrap()[0].id;
    let config = Config { cores: vec![cpu; 3], ..config() };
    let queues = (0..3).map(|_| no_network()).collect();
    let stack = Stack::start(&config, queues).unwrap();
    // A thread that opens a socket is next to a core as well, and is not counted.
    let _socket = stack.bind_udp(address()).unwrap();
    let (tell, told) = channel();
    let at = address();
    let _threads: Vec<_> = (0..4)
        .map(|_| {
            let application = Neighbour { at, tell: tell.clone(), listener: None };
            stack.spawn(Box::new(application)).unwrap()
        })
        .collect();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [0, 1, 2, 0]);
}
