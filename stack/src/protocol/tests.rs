use std::io::{self, Read};
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use etherparse::PacketBuilder;
use pmd::{Pool, mem};

use super::peer::{LISTENING, PEER, Said, US, listening};
use super::*;
use crate::api::{EchoReply, ListenOptions, Readiness, TcpListener, TcpStream, Token};
use crate::config::DuplicateDetection;
use crate::rng::Rng;
use crate::stack::Stack;
use crate::steer::seats;
use crate::wire::ipv4::HEADER_LEN;
use crate::wire::tcp::{Flags, TcpView};

struct Idle;

impl Application for Idle {
    fn start(&mut self, _: &mut Core<'_>) -> io::Result<()> {
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}
}

fn config() -> Config {
    Config {
        addresses: vec!["10.0.0.2/24".parse().unwrap()],
        duplicate_detection: DuplicateDetection::Off,
        ..Config::default()
    }
}

#[test]
fn what_the_device_refuses_is_offered_again_soon() {
    let (queue, handle) = mem::ethernet(Pool::heap(64, 2048), 1500, [2, 0, 0, 0, 0, 1]);
    handle.limit_transmit(0);
    let mut protocol =
        Protocol::new(&config(), vec![Box::new(queue)], Box::new(Idle), [0; 32]).unwrap();
    let mut now = Instant::from_millis(1);
    while protocol.turn(now).is_busy() {}
    assert_eq!(handle.transmitted(), 0, "our address is announced, and the device is stuck");
    now = protocol.next_deadline().unwrap();
    assert!(now < Instant::from_millis(2));
    handle.limit_transmit(64);
    while protocol.turn(now).is_busy() {}
    assert!(handle.transmitted() > 0);
    assert!(protocol.next_deadline().unwrap() > Instant::from_millis(1000));
}

/// Has one timer.
struct Alarm(Arc<AtomicUsize>);

impl Application for Alarm {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        core.set_timer(Duration::from_millis(50), Token(1));
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}

    fn timeout(&mut self, _: &mut Core<'_>, _: Token) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_device_that_is_stuck_does_not_stop_time() {
    let (queue, handle) = mem::ethernet(Pool::heap(2048, 64), 1500, [2, 0, 0, 0, 0, 1]);
    handle.limit_transmit(0);
    let rung = Arc::new(AtomicUsize::new(0));
    let application = Box::new(Alarm(rung.clone()));
    let mut protocol =
        Protocol::new(&config(), vec![Box::new(queue)], application, [0; 32]).unwrap();
    // A burst is in the device's hands after a turn.
    for at in [1, 100] {
        let net = &mut protocol.layers.net;
        while net.outbox_room() > 0 {
            let frame = net.alloc().unwrap();
            net.transmit(frame).unwrap();
        }
        protocol.turn(Instant::from_millis(at));
    }
    assert_eq!(rung.load(Ordering::Relaxed), 1);
}

#[test]
fn a_cpu_that_cannot_be_is_an_error() {
    for cpu in [1023, 1024, usize::MAX] {
        let (queue, _handle) = mem::device(Pool::heap(64, 2048), 1500);
        let config = Config { cores: vec![cpu], ..config() };
        let error =
            Stack::start_with(&config, vec![vec![Box::new(queue)]], |_| Box::new(Idle)).err();
        let error = error.expect("no machine has so many CPUs").to_string();
        assert!(error.contains(&format!("cannot run on CPU {cpu}")), "{error}");
    }
}

/// Wakes itself whenever it is woken.
#[derive(Default)]
struct Restless {
    woken: Arc<AtomicUsize>,
}

impl Application for Restless {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        core.waker().wake();
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}

    fn woken(&mut self, core: &mut Core<'_>) {
        self.woken.fetch_add(1, Ordering::Relaxed);
        core.waker().wake();
    }
}

/// A protocol thread with an application, connected to nothing.
fn alone(application: impl Application + 'static) -> (Protocol, mem::MemHandle) {
    let (queue, handle) = mem::device(Pool::heap(64, 2048), 1500);
    let queues: Vec<Box<dyn QueuePair>> = vec![Box::new(queue)];
    (Protocol::new(&config(), queues, Box::new(application), [0; 32]).unwrap(), handle)
}

#[test]
fn who_wakes_itself_has_its_turn_after_the_packets() {
    let application = Restless::default();
    let told = application.woken.clone();
    let (mut protocol, _handle) = alone(application);
    for turn in 1..=3 {
        assert!(protocol.turn(Instant::from_millis(1)).is_busy());
        assert_eq!(told.load(Ordering::Relaxed), turn);
    }
}

/// A protocol thread whose next turn only looks whether there is something.
fn at_rest(application: impl Application + 'static) -> (Protocol, mem::MemHandle) {
    let (mut protocol, handle) = alone(application);
    while protocol.turn(NOW).is_busy() {}
    assert_eq!(protocol.left, Left::Nothing);
    (protocol, handle)
}

const NOW: Instant = Instant::from_millis(1);

#[test]
fn whatever_comes_up_between_turns_is_seen_in_the_next() {
    let later = NOW + Duration::from_millis(5);
    type Event = fn(&mut Protocol, &mem::MemHandle);
    let events: [(&str, Event); 5] = [
        ("frame", |_, handle| handle.inject_bytes(&[0; 60]).unwrap()),
        ("order", |protocol, _| protocol.layers.shared.wake_application()),
        ("hint", |protocol, _| {
            let mut socket = protocol.layers.bind_udp("10.0.0.2:9".parse().unwrap()).unwrap();
            protocol.turn(NOW);
            let to: SocketAddr = "10.0.0.3:9".parse().unwrap();
            std::thread::spawn(move || socket.send_to(b"far", to).unwrap()).join().unwrap();
        }),
        ("nudge", |protocol, _| protocol.layers.shared.nudge()),
        ("timer", |protocol, _| {
            protocol.layers.set_timer(Duration::from_millis(4), Token(1));
            assert!(!protocol.turn(NOW).is_busy());
        }),
    ];
    for (name, event) in events {
        let (mut protocol, handle) = at_rest(Idle);
        event(&mut protocol, &handle);
        assert!(protocol.turn(later).is_busy(), "{name}");
    }
}

#[test]
fn what_is_begun_between_turns_goes_on_in_the_next() {
    let (mut protocol, handle) = at_rest(Idle);
    let before = handle.transmitted();
    let to = "10.0.0.3:80".parse().unwrap();
    let _stream = protocol.with_core(NOW, |core| core.connect(to, Token(1))).unwrap();
    protocol.turn(NOW);
    assert!(handle.transmitted() > before, "the SYN, or who is asked where it is to go");
}

#[test]
fn who_has_more_to_send_has_a_turn_at_once_unless_the_device_is_full() {
    let (mut protocol, handle) = at_rest(Idle);
    let to = "10.0.0.3:80".parse().unwrap();
    let stream = protocol.with_core(NOW, |core| core.connect(to, Token(1))).unwrap();
    while protocol.turn(NOW).is_busy() {}
    let Target::Tcp(id) = stream.words().target() else { panic!() };
    let Layers { tcp, net, .. } = &mut protocol.layers;
    tcp.set_buffers(net, id, (None, None));
    assert_eq!(protocol.next_deadline(), Some(NOW));
    handle.limit_transmit(0);
    let frame = protocol.layers.net.alloc().unwrap();
    protocol.layers.net.transmit(frame).unwrap();
    assert!(protocol.next_deadline() > Some(NOW));
}

/// Calls itself, and finds somebody inside the shard when it is first told of that.
#[derive(Default)]
struct Hindered {
    sockets: Option<(TcpListener, TcpStream)>,
    accepted: Arc<Mutex<Vec<Result<(), io::ErrorKind>>>>,
}

impl Application for Hindered {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        let address = "10.0.0.2:80".parse().unwrap();
        self.sockets = Some((core.listen(address, 1, Token(0))?, core.connect(address, Token(1))?));
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, token: Token, _: Readiness) {
        let Some((listener, _)) = self.sockets.as_ref().filter(|_| token == Token(0)) else {
            return;
        };
        let mut accepted = self.accepted.lock().unwrap();
        let is_first = accepted.is_empty();
        let mut accept =
            || accepted.push(listener.accept().map(drop).map_err(|error| error.kind()));
        if is_first { listener.shared().hold(0, accept) } else { accept() }
    }
}

#[test]
fn who_finds_somebody_inside_the_shard_is_told_again_of_what_waits() {
    let application = Hindered::default();
    let accepted = application.accepted.clone();
    let (mut protocol, _handle) = alone(application);
    while protocol.turn(Instant::from_millis(1)).is_busy() {}
    assert_eq!(*accepted.lock().unwrap(), [Err(io::ErrorKind::WouldBlock), Ok(())]);
}

/// Two cores count their sockets' places each for itself.
#[test]
fn another_cores_socket_takes_no_place_here() {
    let mut layers = two_cores();
    let local: SocketAddrV4 = "10.0.0.2:9".parse().unwrap();
    let mut sockets = layers.each_mut().map(|layers| layers.bind_udp(local).unwrap());
    let targets = sockets.each_ref().map(|socket| socket.words().target());
    assert_eq!(targets[0], targets[1]);
    let [here, there] = &mut sockets;
    let mut core = Core::new(&mut layers[0]);
    core.register(here, Token(1));
    core.register(there, Token(2));
    assert_eq!(told(&mut layers[0]), [Token(2)], "once, and no more");
    here.send_to(b"hello", SocketAddr::V4(local)).unwrap();
    while let Some(order) = layers[0].shared.pop_order() {
        layers[0].follow(order);
    }
    layers[0].follow_hints(1);
    assert!(layers[0].input_loopback().is_some());
    assert_eq!(told(&mut layers[0]), [Token(1)]);
}

#[test]
fn another_cores_listener_is_told_of_once() {
    let mut layers = two_cores();
    let at = "10.0.0.2:80".parse().unwrap();
    let mut there = layers[1].listen_here(at, ListenOptions::default(), Token(1)).unwrap();
    Core::new(&mut layers[0]).register(&mut there, Token(2));
    assert_eq!(told(&mut layers[0]), [Token(2)]);
}

fn told(layers: &mut Layers) -> Vec<Token> {
    std::iter::from_fn(|| layers.net.readies.pop()).map(|(token, _)| token).collect()
}

fn two_cores() -> [Layers; 2] {
    let (queue, _handle) = mem::device(Pool::heap(64, 2048), 1500);
    let config = Config { cores: vec![0, 0], ..config() };
    let queues: [Vec<Box<dyn QueuePair>>; 2] = [vec![Box::new(queue)], vec![]];
    let (_, seats) = seats(&config, &queues, &mut Rng::new([0; 32])).unwrap();
    let layers = seats.into_iter().map(|seat| Layers::new(&config, [0; 32], seat));
    layers.collect::<Vec<_>>().try_into().ok().unwrap()
}

#[test]
fn a_socket_before_a_stuck_device_is_looked_at_once() {
    let pool = Pool::heap(2048, 64);
    let (queue, _handle) = mem::device(pool.clone(), 1500);
    let queues: Vec<Box<dyn QueuePair>> = vec![Box::new(queue)];
    let seat = Seat::alone(&config(), &queues, [0; 32]).unwrap();
    let mut layers = Layers::new(&config(), [0; 32], seat);
    while layers.net.transmit(pool.alloc().unwrap()).is_ok() {}
    let mut socket = layers.bind_udp("10.0.0.2:9".parse().unwrap()).unwrap();
    socket.send_to(b"waits", "10.0.0.3:9".parse().unwrap()).unwrap();
    while let Some(order) = layers.shared.pop_order() {
        layers.follow(order);
    }
    assert_eq!(layers.follow_hints(100), 1);
    assert_eq!(layers.follow_hints(100), 1, "and again in the next turn");
}

#[test]
fn an_address_that_many_share_cannot_be_ours() {
    for address in ["10.0.0.255/24", "255.255.255.255/32", "224.0.0.1/4", "127.0.0.1/8"] {
        let (queue, _handle) = mem::device(Pool::heap(64, 2048), 1500);
        let config = Config { addresses: vec![address.parse().unwrap()], ..config() };
        let error = config.check(queue.info()).unwrap_err().to_string();
        assert!(error.contains(address), "{error}");
    }
}

/// Between those of two nothing is gathered, so a burst is a turn's work.
#[test]
fn segments_of_one_connection_are_as_good_as_one() {
    let burst = Burst::CAPACITY;
    for (peers, segments, taken) in
        [(1, 3 * burst, GATHERED_BURSTS * burst), (2, 3 * burst, burst), (1, burst, burst)]
    {
        let (mut protocol, handle) = listening();
        let sent: Vec<u32> =
            (1..=peers).map(|port| connected(&mut protocol, &handle, port)).collect();
        for number in 0..segments {
            let peer = number % sent.len();
            inject_byte(&handle, 1 + peer, number / sent.len(), sent[peer]);
        }
        protocol.turn(NOW);
        assert_eq!(segments - handle.arriving(), taken, "{peers} connections");
        while protocol.turn(NOW).is_busy() {}
        assert_eq!(acknowledged(&handle, 1), segments / sent.len(), "{peers} connections");
    }
}

/// More of them than are kept together.
#[test]
fn what_is_gathered_between_those_who_ask_arrives_whole() {
    let (mut protocol, handle) = listening();
    let ack = connected(&mut protocol, &handle, 1);
    let segments = 4 * GATHERED_BURSTS * Burst::CAPACITY;
    for number in 0..segments {
        inject_byte(&handle, 1, number, ack);
        let ports = (u16::try_from(2 + number).unwrap(), LISTENING);
        let said = Said { ports, flags: Flags::SYN, seq: 0, ack: 0, data: &[] };
        handle.inject_bytes(&said.packet()).unwrap();
    }
    protocol.turn(NOW);
    assert_eq!(handle.arriving(), 0, "the device was emptied");
    while protocol.turn(NOW).is_busy() {}
    assert_eq!(acknowledged(&handle, 1), segments);
    assert_eq!(protocol.layers.net.pool_available(), protocol.layers.frames(), "no frame is kept");
}

/// Reads when an echo reply comes.
#[derive(Default)]
struct Pinged {
    listener: Option<TcpListener>,
    stream: Option<TcpStream>,
    read: Arc<Mutex<Vec<u8>>>,
}

impl Application for Pinged {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        self.listener = Some(core.listen((US, LISTENING).into(), 1, Token(0))?);
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {
        let accepted = self.listener.as_ref().map(TcpListener::accept);
        self.stream =
            accepted.and_then(Result::ok).map(|(stream, _)| stream).or(self.stream.take());
    }

    fn echo_reply(&mut self, _: &mut Core<'_>, _: EchoReply) {
        let mut bytes = [0; 8];
        let len = self.stream.as_mut().unwrap().read(&mut bytes).unwrap();
        self.read.lock().unwrap().extend(&bytes[..len]);
    }
}

/// Also that which came behind it in the burst: the application may end the connection.
#[test]
fn who_is_told_of_an_echo_reply_finds_what_was_gathered() {
    let application = Pinged::default();
    let read = application.read.clone();
    let (mut protocol, handle) = alone(application);
    let ack = connected(&mut protocol, &handle, 1);
    inject_byte(&handle, 1, 0, ack);
    let reply = PacketBuilder::ipv4(PEER.octets(), US.octets(), 64).icmpv4_echo_reply(1, 1);
    let mut bytes = Vec::new();
    reply.write(&mut bytes, b"ping").unwrap();
    handle.inject_bytes(&bytes).unwrap();
    inject_byte(&handle, 1, 1, ack);
    protocol.turn(NOW);
    assert_eq!(*read.lock().unwrap(), b"..");
}

/// A byte from a peer, which has sent so many before.
fn inject_byte(handle: &mem::MemHandle, port: usize, before: usize, ack: u32) {
    let ports = (u16::try_from(port).unwrap(), LISTENING);
    let seq = 1 + u32::try_from(before).unwrap();
    let said = Said { ports, flags: Flags::ACK, seq, ack, data: b"." };
    handle.inject_bytes(&said.packet()).unwrap();
}

/// How many bytes a peer was told to have arrived. Takes all that was sent.
fn acknowledged(handle: &mem::MemHandle, port: u16) -> usize {
    let sent: Vec<Vec<u8>> = std::iter::from_fn(|| handle.take_bytes()).collect();
    let mut acks = sent.iter().filter_map(|packet| {
        let segment = TcpView::parse(&packet[HEADER_LEN..]).unwrap();
        (segment.destination_port() == port).then(|| segment.ack().0)
    });
    acks.next_back().expect("an ACK") as usize - 1
}

/// The peer's handshake from `port`; returns what it acknowledges then.
fn connected(protocol: &mut Protocol, handle: &mem::MemHandle, port: u16) -> u32 {
    let said = |flags, seq, ack| Said { ports: (port, LISTENING), flags, seq, ack, data: &[] };
    handle.inject_bytes(&said(Flags::SYN, 0, 0).packet()).unwrap();
    protocol.turn(NOW);
    let answer = handle.take_bytes().expect("a SYN-ACK");
    let ack = TcpView::parse(&answer[HEADER_LEN..]).unwrap().seq().0 + 1;
    handle.inject_bytes(&said(Flags::ACK, 1, ack).packet()).unwrap();
    while protocol.turn(NOW).is_busy() {}
    ack
}
