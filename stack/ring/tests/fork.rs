//! T-14: a forked child that calls every function of a socket. Here, because forking takes `unsafe`.

#![cfg(not(any(loom, miri)))]
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{self, BufRead, Read, Write};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use darner::{
    Application, ApplicationThread, Config, Core, DuplicateDetection, Interest, Poller, ReadHalf,
    Readiness, Stack, TcpListener, TcpStream, Token, UdpSocket, WriteHalf,
};
use pmd::{Pool, QueuePair, mem};

/// Longer than anything takes that does not wait.
const LONG: Duration = Duration::from_secs(20);

const LISTENING: &str = "10.0.0.1:80";

/// Everything that a process may have when it forks.
struct Sockets {
    stack: Stack,
    application: ApplicationThread,
    listener: TcpListener,
    client: TcpStream,
    server: TcpStream,
    reader: ReadHalf,
    writer: WriteHalf,
    udp: UdpSocket,
    poller: Poller,
}

/// An application that has nothing to do.
struct Quiet;

impl Application for Quiet {
    fn start(&mut self, _: &mut Core<'_>) -> io::Result<()> {
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}
}

impl Sockets {
    fn open(pool: &Pool) -> Self {
        let stack = Stack::start(&config(), queues(pool)).unwrap();
        let listener = stack.listen(LISTENING.parse().unwrap()).unwrap();
        let connect = || stack.connect(listener.local_addr()).unwrap();
        let (client, halves) = (connect(), connect());
        let (server, _) = listener.accept().unwrap();
        let (reader, writer, _control) = halves.split();
        let udp = stack.bind_udp("10.0.0.1:9".parse().unwrap()).unwrap();
        let mut poller = Poller::new();
        poller.register(&client, Token(1), Interest::BOTH).unwrap();
        let application = stack.spawn(Box::new(Quiet)).unwrap();
        Self { stack, application, listener, client, server, reader, writer, udp, poller }
    }

    /// Which calls give no error in a forked child, though they could.
    fn call_everything(&mut self) -> Vec<&'static str> {
        let Self { stack, listener, client, server, reader, writer, udp, poller, .. } = self;
        let address = || LISTENING.parse().unwrap();
        let other = || "10.0.0.1:81".parse().unwrap();
        let mut bytes = [0; 10];
        let mut events = Vec::new();
        let calls = [
            ("Stack::start", is_refused(Stack::start(&config(), queues(&Pool::heap(64, 2048))))),
            ("listen", is_refused(stack.listen(other()))),
            ("connect", is_refused(stack.connect(address()))),
            ("begin_connect", is_refused(stack.begin_connect(None, address()))),
            ("bind_udp", is_refused(stack.bind_udp(other()))),
            ("spawn", is_refused(stack.spawn(Box::new(Quiet)))),
            ("snapshot", stack.snapshot().cores.is_empty()),
            ("has_ended", stack.has_ended()),
            ("accept", is_refused(listener.accept())),
            ("accept_local", is_refused(listener.accept_local())),
            ("read", is_refused(server.read(&mut bytes))),
            ("peek", is_refused(server.peek(&mut bytes))),
            ("fill_buf", is_refused(server.fill_buf().map(<[u8]>::len))),
            ("write", is_refused(client.write(&bytes))),
            ("read of a half", is_refused(reader.read(&mut bytes))),
            ("lend", is_refused(reader.lend(10))),
            ("write of a half", is_refused(writer.write(&bytes))),
            ("commit", is_refused(writer.commit(0))),
            ("send_to", is_refused(udp.send_to(&bytes, other()))),
            ("recv_from", is_refused(udp.recv_from(&mut bytes))),
            ("connect of UDP", is_refused(udp.connect(other()))),
            ("register", is_refused(poller.register(client, Token(2), Interest::BOTH))),
            ("wait", is_refused(poller.wait(&mut events, None))),
        ];
        calls.into_iter().filter(|&(_, refused)| !refused).map(|(name, _)| name).collect()
    }

    /// What gives no errors: it must do nothing to the parent, and not wait.
    fn call_the_rest(&mut self) {
        let Self { stack, application, listener, client, server, poller, .. } = self;
        for how in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
            server.shutdown(how);
        }
        client.set_nodelay(true);
        client.set_linger(Some(LONG));
        client.set_buffers(Some(5000), Some(5000));
        let _ = (client.nodelay(), client.linger(), client.take_error());
        client.abort();
        poller.deregister(client);
        poller.waker().wake();
        application.waker().wake();
        application.stop();
        stack.waker(0).unwrap().wake();
        stack.stop(Duration::ZERO);
        listener.close();
    }
}

fn config() -> Config {
    Config {
        addresses: vec!["10.0.0.1/24".parse().unwrap()],
        duplicate_detection: DuplicateDetection::Off,
        ..Config::default()
    }
}

fn queues(pool: &Pool) -> Vec<Vec<Box<dyn QueuePair>>> {
    let (queue, _far_end) = mem::device(pool.clone(), 1500);
    vec![vec![Box::new(queue)]]
}

fn is_refused<T>(outcome: io::Result<T>) -> bool {
    outcome.is_err_and(|error| error.raw_os_error() == Some(libc::EBADF))
}

#[test]
fn a_forked_child_gets_errors_and_its_parent_notices_nothing() {
    let pool = Pool::heap(2048, 2048);
    let mut sockets = Sockets::open(&pool);
    // So that a child finds something that it could take.
    sockets.client.write_all(b"for the parent alone").unwrap();
    sockets.server.peek(&mut [0; 1]).unwrap();

    let outcome = in_child(sockets, |mut sockets| {
        let accepted = sockets.call_everything();
        accepted.iter().for_each(|call| eprintln!("{call} gives no error"));
        sockets.call_the_rest();
        drop(sockets);
        i32::from(!accepted.is_empty())
    });
    let Sockets { stack, application, listener, mut client, mut server, mut udp, .. } = outcome;

    client.write_all(b", all of it").unwrap();
    client.shutdown(Shutdown::Write);
    let mut all = Vec::new();
    server.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"for the parent alone, all of it");
    udp.send_to(b"to myself", udp.local_addr()).unwrap();
    assert_eq!(udp.recv_from(&mut [0; 20]).unwrap().0, 9);
    drop(stack.connect(LISTENING.parse().unwrap()).unwrap());
    // The other end of the halves is there, too.
    assert!(listener.accept().is_ok() && listener.accept().is_ok());
    assert!(!application.is_finished() && !stack.has_ended());
}

/// A process may fork while other threads are inside every lock there is.
#[test]
fn a_child_waits_for_no_lock_that_its_parent_held() {
    let pool = Pool::heap(2048, 2048);
    let mut sockets = Sockets::open(&pool);
    let over = AtomicBool::new(false);
    let control = sockets.client.control().clone();
    let stack = sockets.stack.handle();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                control.set_linger(Some(LONG));
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                drop(stack.listen("10.0.0.1:82".parse().unwrap()).unwrap());
            }
        });
        let _over = Over(&over);
        for _ in 0..50 {
            in_child(&mut sockets, |sockets| {
                let accepted = sockets.call_everything();
                sockets.call_the_rest();
                i32::from(!accepted.is_empty())
            });
        }
    });
    assert!(!sockets.stack.has_ended());
}

/// Says that it is over, also by a failed assertion.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has a forked child do `body`, which gives its exit status: zero if all is well.
fn in_child<T>(value: T, body: impl FnOnce(T) -> i32) -> T {
    // SAFETY: the child of this process of many threads allocates, which glibc allows there, and takes no lock that another
    // thread might have held: that is what is tested.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let status = body(value);
        // SAFETY: ends the child without running what is the parent's to run.
        unsafe { libc::_exit(status) };
    }
    let deadline = Instant::now() + LONG;
    let mut status = 0;
    loop {
        // SAFETY: asks for the child just made; `status` is this function's.
        let ended = unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) };
        if ended == child {
            break;
        }
        if Instant::now() > deadline {
            // SAFETY: the child is this function's, and was not waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
            panic!("the child waits");
        }
        thread::sleep(Duration::from_millis(1));
    }
    assert!(libc::WIFEXITED(status), "the child has crashed: {status}");
    assert_eq!(libc::WEXITSTATUS(status), 0, "what the child said is above");
    value
}
