//! Two stacks back to back, and beside each end of their connection the reference for it.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use super::reference::{Fate, Limits, Reference, Seen};
use super::steps::{Call, Side, Step};
use crate::api::{ListenOptions, TcpStream};
use crate::socket::ListenerShared;
use crate::tcp::TcpConfig;
use crate::tcp::harness::{PEER, US, pattern};
use crate::tcp::host::{Host, IP_LEN};
use crate::tcp::seq::Seq;
use crate::time::Instant;
use crate::wire::checksum::Sum;
use crate::wire::ipv4::protocol;
use crate::wire::tcp::{Flags, TcpHeader, TcpView};
use crate::wire::tcp_options::TcpOptions;

/// The two stacks, which one schedule after the other is run on: each with a connection of its own.
pub(super) struct World {
    hosts: [Host; 2],
    listener: Arc<ListenerShared>,
    limits: Limits,
    now: Instant,
}

/// A connection between the two, and what is on its way.
pub(super) struct Run<'a> {
    world: &'a mut World,
    ends: [End; 2],
}

/// One side of the connection.
struct End {
    stream: Option<TcpStream>,
    reference: Reference,
    /// Its application has called, and its protocol thread has not looked since.
    hinted: bool,
    /// What it has sent and was not delivered or lost.
    wire: VecDeque<Vec<u8>>,
    iss: Seq,
    port: u16,
}

impl World {
    pub(super) fn new(config: &TcpConfig) -> Self {
        let mut hosts = [Host::new(config, US, 1), Host::new(config, PEER, 2)];
        let options = ListenOptions::with_backlog(1);
        let listener = ListenerShared::new((PEER, PORT).into(), options, 1);
        let [_, b] = &mut hosts;
        b.tcp.listen(&b.net, listener.clone()).expect("a free port");
        let (send, receive) = (config.send_buffer as u64, config.receive_buffer as u64);
        Self { hosts, listener, limits: Limits { send, receive }, now: Instant::ZERO }
    }

    /// Side A connects to side B, and B accepts. What A sends leaves at once, so that several segments of its are on their way;
    /// B has Nagle's algorithm.
    pub(super) fn connect(&mut self) -> Run<'_> {
        let [a, _] = &mut self.hosts;
        let stream = a.tcp.connect(&mut a.net, None, SocketAddrV4::new(PEER, PORT));
        let stream = stream.expect("a free port");
        let port = stream.local_addr().port();
        let (mut windows, mut isses) = ([0; 2], [Seq(0); 2]);
        for from in [0, 1, 0] {
            let bytes = self.hosts[from].pop_sent().expect("a handshake of three");
            let view = TcpView::parse(&bytes[IP_LEN..]).expect("a segment");
            windows[from] = windows[from].max(u64::from(view.window()));
            if view.flags().contains(Flags::SYN) {
                isses[from] = view.seq();
            }
            let source = self.hosts[from].address;
            self.hosts[1 - from].input(&bytes, source);
            self.hosts[1 - from].flush();
        }
        stream.set_nodelay(true);
        self.hosts[0].follow_hints();
        let streams = [Some(stream), self.listener.pop(0)];
        let mut parts = windows.into_iter().zip(isses).zip([port, PORT]).zip(streams);
        let mut end = || {
            let (((window, iss), port), stream) = parts.next().expect("two ends");
            let reference = Reference::new(self.limits, window);
            End { stream, reference, hinted: false, wire: VecDeque::new(), iss, port }
        };
        let ends = [end(), end()];
        Run { ends, world: self }
    }
}

impl Run<'_> {
    /// What tells one point of a schedule from another, beside what is hidden in the stacks.
    pub(super) fn mark(&self) -> [(Reference, VecDeque<Vec<u8>>); 2] {
        self.ends.each_ref().map(|end| (end.reference.clone(), end.wire.clone()))
    }

    fn references(&self) -> [&Reference; 2] {
        self.ends.each_ref().map(|end| &end.reference)
    }

    /// Whether something would happen.
    pub(super) fn can(&self, step: Step) -> bool {
        let end = |side: Side| &self.ends[side as usize];
        match step {
            Step::Call(side, _) => end(side).stream.is_some(),
            Step::Turn(side) => end(side).hinted,
            Step::Deliver(side) | Step::Lose(side) | Step::Repeat(side) => {
                !end(side).wire.is_empty()
            }
            Step::Delay(side) => end(side).wire.len() > 1,
            Step::Reset(side) => end(side).reference.fate == Fate::Open,
            Step::Timer => self.next_deadline().is_some(),
        }
    }

    /// # Panics
    ///
    /// If the stack does otherwise than the reference.
    pub(super) fn take(&mut self, step: Step) {
        match step {
            Step::Call(side, call) => self.call(side as usize, call),
            Step::Turn(side) => self.turn(side as usize),
            Step::Deliver(side) => self.deliver(side as usize),
            Step::Lose(side) => drop(self.ends[side as usize].wire.pop_front()),
            Step::Repeat(side) => {
                let wire = &mut self.ends[side as usize].wire;
                wire.extend(wire.front().cloned());
            }
            Step::Delay(side) => self.ends[side as usize].wire.rotate_left(1),
            Step::Reset(side) => {
                let reset = self.reset_for(side as usize);
                self.input(side as usize, &reset);
            }
            Step::Timer => self.run_timers(),
        }
    }

    fn call(&mut self, at: usize, call: Call) {
        let End { stream: holder, reference, hinted, .. } = &mut self.ends[at];
        let Some(stream) = holder else { return };
        *hinted = true;
        match call {
            Call::Send => {
                let bytes = pattern(offset(at) + reference.sent, SENT_AT_ONCE);
                let wanted = reference.send(SENT_AT_ONCE as u64);
                assert_eq!(result(stream.write(&bytes)), wanted, "what send gives");
            }
            Call::Receive => {
                let _any = receive(at, stream, reference);
            }
            Call::ShutWrite => {
                stream.shutdown(Shutdown::Write);
                reference.shut_write = true;
            }
            Call::ShutRead => {
                stream.shutdown(Shutdown::Read);
                reference.shut_read();
            }
            Call::Abort => {
                stream.abort();
                reference.aborted = true;
            }
            Call::Close => {
                *holder = None;
                reference.closed = true;
            }
        }
    }

    /// The protocol thread looks at its hints and ends its turn.
    fn turn(&mut self, at: usize) {
        let host = &mut self.world.hosts[at];
        host.net.now = self.world.now;
        host.follow_hints();
        host.flush();
        self.ends[at].hinted = false;
        self.ends[at].reference.look(self.world.now);
        self.collect(at);
    }

    fn deliver(&mut self, from: usize) {
        if let Some(bytes) = self.ends[from].wire.pop_front() {
            self.input(1 - from, &bytes);
        }
    }

    /// A packet arrives; what it makes the stack send at once is judged before the stack looks at its hints.
    fn input(&mut self, at: usize, bytes: &[u8]) {
        let segment = self.seen(1 - at, bytes);
        let source = self.world.hosts[1 - at].address;
        let host = &mut self.world.hosts[at];
        host.net.now = self.world.now;
        host.input(bytes, source);
        self.ends[at].reference.arrive(segment, self.world.now);
        self.collect(at);
        self.turn(at);
    }

    /// Time goes on until a timer goes off, on one side or on both.
    fn run_timers(&mut self) {
        let mut count = 0;
        while let Some(next) = self.next_deadline().filter(|_| count == 0) {
            self.world.now = self.world.now.max(next);
            count = (0..2).map(|at| self.run_timers_of(at)).sum();
        }
    }

    fn run_timers_of(&mut self, at: usize) -> usize {
        let host = &mut self.world.hosts[at];
        host.net.now = self.world.now;
        let count = host.run_timers();
        if count > 0 {
            self.ends[at].reference.time(self.world.now);
            self.collect(at);
            self.turn(at);
        }
        count
    }

    fn next_deadline(&self) -> Option<Instant> {
        let hosts = self.world.hosts.iter();
        hosts.filter_map(|host| host.net.timers.next_deadline()).min()
    }

    /// Puts what was sent on the wire.
    fn collect(&mut self, at: usize) {
        while let Some(bytes) = self.world.hosts[at].pop_sent() {
            let segment = self.seen(at, &bytes);
            let end = &mut self.ends[at];
            end.reference.judge(&segment);
            end.wire.push_back(bytes);
        }
    }

    /// A packet that this side has sent, as the reference sees it.
    fn seen(&self, from: usize, bytes: &[u8]) -> Seen {
        let view = TcpView::parse(&bytes[IP_LEN..]).expect("a segment");
        let position = |seq: Seq, side: usize| {
            i64::from(seq.signed_offset_from(self.ends[side].iss + 1)).cast_unsigned()
        };
        let (seq, payload) = (position(view.seq(), from), view.payload());
        assert_eq!(payload, pattern(offset(from).wrapping_add(seq), payload.len()), "the bytes");
        Seen {
            seq,
            len: payload.len() as u64,
            fin: view.flags().contains(Flags::FIN),
            reset: view.flags().contains(Flags::RST),
            ack: if view.flags().contains(Flags::ACK) { position(view.ack(), 1 - from) } else { 0 },
            window: view.window().into(),
        }
    }

    /// A reset that this side believes to be its peer's.
    fn reset_for(&self, at: usize) -> Vec<u8> {
        let (end, peer) = (&self.ends[at], &self.ends[1 - at]);
        let steps = u32::try_from(end.reference.next()).expect("a short stream");
        let header = TcpHeader {
            source_port: peer.port,
            destination_port: end.port,
            seq: peer.iss + 1 + steps,
            ack: Seq(0),
            flags: Flags::RST,
            window: 0,
            urgent_pointer: 0,
            options: TcpOptions::default(),
        };
        let mut bytes = vec![0; IP_LEN + header.header_len()];
        let (_, segment) = bytes.split_at_mut(IP_LEN);
        header.emit(segment);
        let [from, to] = [1 - at, at].map(|side| self.world.hosts[side].address);
        let len = u16::try_from(segment.len()).expect("a header");
        let mut sum = Sum::pseudo_header_v4(from, to, protocol::TCP, len);
        sum.add_bytes(segment);
        segment[16..18].copy_from_slice(&sum.finish().to_be_bytes());
        bytes
    }
}

/// From the end of a schedule to the end of the connection, over a wire without faults.
impl Run<'_> {
    /// # Panics
    ///
    /// If something that must come does not, or something is left that must go.
    pub(super) fn finish(mut self) -> [Fate; 2] {
        self.settle(self.world.now + QUIET);
        self.judge_rest();
        for end in &mut self.ends {
            if let Some(stream) = end.stream.take() {
                let error = stream.take_error().map(|error| error.kind());
                assert_eq!(error, end.reference.take_error(), "what nobody was told yet (R-12)");
                end.reference.closed = true;
                end.hinted = true;
            }
        }
        self.settle(Instant::FAR_FUTURE);
        self.judge_rest();
        for host in &self.world.hosts {
            assert!(host.tcp.is_idle(), "a connection is left");
            assert_eq!(host.frames_held(), 0, "frames are left");
        }
        self.ends.map(|end| end.reference.fate)
    }

    /// Delivers, reads and lets time go on until nothing is left to do before `end`.
    fn settle(&mut self, end: Instant) {
        loop {
            for at in 0..2 {
                self.turn(at);
                while !self.ends[at].wire.is_empty() {
                    self.deliver(at);
                }
            }
            let read = (0..2).filter(|&at| self.receive_all(at)).count();
            if read > 0 || self.ends.iter().any(|end| !end.wire.is_empty()) {
                continue;
            }
            match self.next_deadline() {
                Some(next) if next <= end => self.run_timers(),
                _ => return,
            }
        }
    }

    /// Reads what there is; whether there was anything.
    fn receive_all(&mut self, at: usize) -> bool {
        let End { stream, reference, hinted, .. } = &mut self.ends[at];
        let Some(stream) = stream else { return false };
        let any = |got: &Result<u64, ErrorKind>| got.as_ref().is_ok_and(|&len| len > 0);
        let mut got = std::iter::repeat_with(|| receive(at, stream, reference));
        let read = got.by_ref().take_while(any).count();
        *hinted |= read > 0;
        read > 0
    }

    fn judge_rest(&self) {
        let [a, b] = self.references();
        a.judge_rest(b);
        b.judge_rest(a);
    }
}

/// Reads a little, and checks that it is what comes next.
fn receive(at: usize, stream: &mut TcpStream, reference: &mut Reference) -> Result<u64, ErrorKind> {
    let position = offset(1 - at) + reference.position();
    let mut bytes = [0; READ_AT_ONCE];
    let got = result(stream.read(&mut bytes));
    assert_eq!(got, reference.receive(READ_AT_ONCE as u64), "what recv gives");
    if let Ok(len) = got {
        let len = usize::try_from(len).expect("a few bytes");
        assert_eq!(bytes[..len], pattern(position, len), "the bytes that recv gives");
    }
    got
}

fn result(result: io::Result<usize>) -> Result<u64, ErrorKind> {
    result.map(|len| len as u64).map_err(|error| error.kind())
}

/// Where the bytes of a side begin in the pattern.
fn offset(side: usize) -> u64 {
    100 * side as u64
}

const PORT: u16 = 80;
const SENT_AT_ONCE: usize = 3;
/// Less than is sent at once, so that some of it stays unread.
const READ_AT_ONCE: usize = 2;
/// So long nothing may happen before the applications close: longer than anything is tried.
const QUIET: Duration = Duration::from_secs(100);
