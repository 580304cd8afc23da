//! T-3: connections come and go faster than generations last; there are sixteen here.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::world::{Dice, Finally, LONG, World, address, config, duration, two_cores};
use crate::api::{Event, Interest, ListenOptions, Overflow, Poller, TcpListener, TcpStream, Token};
use crate::counters::Counter;
use crate::drops::Drop as Dropped;
use crate::stack::StackHandle;
use crate::table::BLOCK;

/// C-34: whoever comes at once, so many are let in as there are places, over all cores.
#[test]
fn the_backlog_is_exact_whoever_comes_at_once() {
    const THREADS: usize = 4;
    const EACH: usize = 6;
    let world = World::new(&two_cores());
    let until = Instant::now() + duration();
    let mut refused = 0;
    let mut round = 0;
    while round < 4 || Instant::now() < until {
        round += 1;
        let places = 1 + round % (THREADS * EACH);
        let backlog = u32::try_from(places).unwrap();
        let options =
            ListenOptions { backlog, overflow: Overflow::Reset, ..ListenOptions::default() };
        let listener = world.listen_with(address(), options).unwrap();
        listener.set_nonblocking(true);
        let clients = connect_at_once::<THREADS, EACH>(&world, listener.local_addr());
        refused += THREADS * EACH - places;
        wait_until(|| world.snapshot().dropped(Dropped::TcpListenOverflow) == refused as u64);
        wait_until(|| listener.shared().counts() == (backlog, backlog));
        // The others are thrown out when nobody listens any more.
        let accepted: Vec<TcpStream> =
            (0..places.div_ceil(2)).map(|_| listener.accept().unwrap().0).collect();
        let served = accepted.len();
        listener.close();
        drop(accepted);
        let ends = clients.into_iter().map(|mut client| client.read(&mut [0; 1]));
        let reset = ends.filter(Result::is_err).count();
        assert_eq!(reset, THREADS * EACH - served);
        wait_until(|| listener.shared().counts() == (0, 0));
    }
    world.assert_balanced();
}

fn connect_at_once<const THREADS: usize, const EACH: usize>(
    world: &World,
    to: SocketAddr,
) -> Vec<TcpStream> {
    let together = Barrier::new(THREADS);
    thread::scope(|scope| {
        let connecting: Vec<_> = (0..THREADS)
            .map(|_| {
                let together = &together;
                scope.spawn(move || {
                    together.wait();
                    (0..EACH).map(|_| world.connect(to).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        connecting.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn wait_until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_micros(200));
    }
}

/// nobody is told what was another's, though every name is used again and again.
#[test]
fn connections_come_and_go_and_none_is_taken_for_another() {
    let world = World::new(&config());
    let listener = world.listen();
    let over = AtomicBool::new(false);
    let numbers = AtomicU64::new(1);
    let until = Instant::now() + duration();
    thread::scope(|scope| {
        let _over = Finally(|| {
            over.store(true, Ordering::Relaxed);
            listener.close();
        });
        for seed in 0..3 {
            let listener = &listener;
            scope.spawn(move || serve(listener, &mut Dice::new(seed)));
        }
        let clients: Vec<_> = (10..13)
            .map(|seed| {
                let (stack, to) = (world.handle(), listener.local_addr());
                let (over, numbers) = (&over, &numbers);
                scope.spawn(move || {
                    let mut visitor = Visitor::new(stack, to, seed);
                    while !over.load(Ordering::Relaxed) {
                        visitor.visit(numbers.fetch_add(1, Ordering::Relaxed));
                    }
                })
            })
            .collect();
        let deadline = until + LONG;
        // Until every place has been used more often than there are generations.
        let enough = (3 * 16 * BLOCK) as u64;
        while Instant::now() < until || opened(&world) < enough {
            assert!(Instant::now() < deadline, "{} of {enough} were opened", opened(&world));
            thread::sleep(Duration::from_millis(10));
        }
        over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    assert_eq!(listener.shared().counts().0, 0);
    let shared = listener.shared().clone();
    drop(listener);
    world.assert_balanced();
    assert_eq!(shared.counts(), (0, 0));
}

/// Sockets that were ever made: two for each connection.
fn opened(world: &World) -> u64 {
    let snapshot = world.snapshot();
    snapshot.counter(Counter::TcpActiveOpens) + snapshot.counter(Counter::TcpPassiveOpens)
}

/// Sends back the number that each visitor brings, or throws him out.
fn serve(listener: &TcpListener, dice: &mut Dice) {
    while let Ok((mut stream, _)) = listener.accept() {
        stream.set_read_timeout(Some(LONG)).unwrap();
        if dice.below(10) == 0 {
            stream.abort();
            continue;
        }
        let mut number = [0; 8];
        if stream.read_exact(&mut number).is_ok() {
            let _ = stream.write_all(&number);
        }
        if dice.below(2) == 0 {
            // The other side closes first.
            stream.shutdown(Shutdown::Write);
            let _ = stream.read(&mut [0; 1]);
        }
    }
}

/// Connects time and again, and keeps the names of connections that are gone.
struct Visitor {
    stack: StackHandle,
    to: SocketAddr,
    dice: Dice,
    poller: Poller,
    /// Not so many that a generation comes around meanwhile.
    gone: VecDeque<TcpStream>,
}

const GONE: usize = 40;

impl Visitor {
    fn new(stack: StackHandle, to: SocketAddr, seed: u64) -> Self {
        let (dice, poller) = (Dice::new(seed), Poller::with_capacity(4 * GONE));
        Self { stack, to, dice, poller, gone: VecDeque::new() }
    }

    fn visit(&mut self, number: u64) {
        let mut stream = self.stack.connect(self.to).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        if self.dice.below(8) == 0 {
            return;
        }
        let by_poller = self.dice.below(2) == 0;
        if by_poller {
            stream.set_nonblocking(true);
            self.poller.register(&stream, Token(number), Interest::READABLE).unwrap();
        }
        let _ = stream.write_all(&number.to_ne_bytes());
        if by_poller {
            self.wait_for(number);
            stream.set_nonblocking(false);
        }
        let mut answer = [0; 8];
        match stream.read_exact(&mut answer) {
            Ok(()) => assert_eq!(u64::from_ne_bytes(answer), number, "the answer to another"),
            Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "stuck"),
        }
        match self.dice.below(4) {
            0 | 1 => {
                stream.abort();
                self.gone.push_back(stream);
            }
            2 => stream.shutdown(Shutdown::Both),
            _ => {}
        }
        self.use_an_old_name();
    }

    fn wait_for(&mut self, number: u64) {
        let deadline = Instant::now() + LONG;
        let mut events = Vec::new();
        while !events.iter().any(|event: &Event| event.token == Token(number)) {
            assert!(Instant::now() < deadline, "nobody tells of visitor {number}");
            self.poller.wait(&mut events, Some(LONG)).unwrap();
        }
    }

    /// Asks for things to be done to a connection that is gone. By now its place is another's.
    fn use_an_old_name(&mut self) {
        if self.gone.len() <= GONE {
            return;
        }
        let Some(old) = self.gone.pop_front() else { return };
        self.poller.register(&old, Token(0), Interest::BOTH).unwrap();
        old.set_nodelay(true);
        old.set_buffers(Some(1), Some(1));
        old.abort();
    }
}
