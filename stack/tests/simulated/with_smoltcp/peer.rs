//! smoltcp's end: an interface on a simulated card, and one socket that plays a part.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

use darner::time::Instant;
use pmd::sim::SimQueue;
use pmd::{Burst, Frame, Medium as PmdMedium, QueuePair};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::time::{Duration as PeerDuration, Instant as PeerInstant};
use smoltcp::wire::{EthernetAddress, EthernetFrame, IpAddress, IpCidr, Ipv4Packet, TcpPacket};

use super::Client;
use super::part::{Part, Stream};
use crate::world::{LEFT, RIGHT};

/// A host with one connection, which it closes at the end of its part.
pub(super) struct Peer {
    interface: Interface,
    card: Card,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    part: Part,
}

impl Peer {
    pub(super) fn new(seed: u64, queue: SimQueue, client: Client, part: Part) -> Self {
        let PmdMedium::Ethernet(address) = queue.info().medium else { unreachable!("it is one") };
        let mut card = Card { queue, arrived: VecDeque::new(), shut_windows: [0; 2] };
        let mut config = Config::new(EthernetAddress(address).into());
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut card, PeerInstant::ZERO);
        let address: IpCidr = format!("{RIGHT}/24").parse().unwrap();
        interface.update_ip_addrs(|all| all.push(address).unwrap());
        let buffer = || SocketBuffer::new(vec![0; 1 << 16]);
        let mut socket = Socket::new(buffer(), buffer());
        // Its default depends on what else is compiled.
        socket.set_congestion_control(CongestionControl::None);
        // A window that shuts while a retransmission is due is never probed: only keep-alives find that it is open again.
        socket.set_keep_alive(Some(PeerDuration::from_secs(10)));
        match client {
            Client::Darner => socket.listen(80).unwrap(),
            Client::Smoltcp => {
                let to: IpAddress = LEFT.parse().unwrap();
                socket.connect(interface.context(), (to, 80), 50_000).unwrap();
            }
        }
        let mut sockets = SocketSet::new(vec![]);
        let socket = sockets.add(socket);
        Self { interface, card, sockets, socket, part }
    }

    /// Takes what has arrived, plays on, and sends what follows from both.
    pub(super) fn turn(&mut self, now: Instant) {
        let its_now = on_its_clock(now);
        self.interface.poll(its_now, &mut self.card, &mut self.sockets);
        let socket: &mut Socket<'_> = self.sockets.get_mut(self.socket);
        if !matches!(socket.state(), State::Listen | State::SynSent | State::SynReceived) {
            let went = self.part.go_on(now, &mut Ours(socket));
            went.unwrap_or_else(|error| panic!("{error}: {:?}", self.part));
            if self.part.is_done() {
                socket.close();
            }
        }
        self.interface.poll(its_now, &mut self.card, &mut self.sockets);
    }

    pub(super) fn next_deadline(&mut self, now: Instant) -> Option<Instant> {
        let at = self.interface.poll_at(on_its_clock(now), &self.sockets);
        let at = at.map(|at| Instant::from_nanos(at.total_micros() as u64 * 1000));
        [at, self.part.rests_until()].into_iter().flatten().min()
    }

    /// How many segments shut a window: those that it received, and those that it sent.
    pub(super) fn shut_windows(&self) -> [u64; 2] {
        self.card.shut_windows
    }

    pub(super) fn is_done(&self) -> bool {
        self.part.is_done()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.sockets.get::<Socket<'_>>(self.socket).state();
        write!(out, "{state:?} {:?}", self.part)
    }
}

/// It counts microseconds.
fn on_its_clock(now: Instant) -> PeerInstant {
    PeerInstant::from_micros((now.as_nanos() / 1000) as i64)
}

/// Its socket, once it was connected.
struct Ours<'a>(&'a mut Socket<'static>);

impl Read for Ours<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.recv_slice(buffer) {
            Ok(0) => Err(ErrorKind::WouldBlock.into()),
            Ok(len) => Ok(len),
            Err(RecvError::Finished) => Ok(0),
            Err(RecvError::InvalidState) => Err(ErrorKind::ConnectionReset.into()),
        }
    }
}

impl Write for Ours<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.send_slice(bytes) {
            Ok(0) => Err(ErrorKind::WouldBlock.into()),
            Ok(len) => Ok(len),
            Err(_) => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Ours<'_> {
    fn finish(&mut self) {
        self.0.close();
    }
}

/// An end of a simulated wire, as smoltcp wants it.
struct Card {
    queue: SimQueue,
    arrived: VecDeque<Vec<u8>>,
    shut_windows: [u64; 2],
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: PeerInstant) -> Option<(Received, Sending<'_>)> {
        if self.arrived.is_empty() {
            let mut burst = Burst::new();
            self.queue.rx_burst(&mut burst);
            let bytes = |frame: Frame| frame.segments().flatten().copied().collect();
            self.arrived.extend(burst.drain().map(bytes));
        }
        let frame = self.arrived.pop_front()?;
        self.shut_windows[0] += u64::from(shuts_a_window(&frame) == Ok(true));
        Some((Received(frame), Sending(self)))
    }

    fn transmit(&mut self, _: PeerInstant) -> Option<Sending<'_>> {
        Some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        // It counts the Ethernet header, too.
        capabilities.max_transmission_unit = usize::from(self.queue.info().mtu) + 14;
        capabilities
    }
}

fn shuts_a_window(frame: &[u8]) -> Result<bool, smoltcp::wire::Error> {
    let frame = EthernetFrame::new_checked(frame)?;
    let packet = Ipv4Packet::new_checked(frame.payload())?;
    let segment = TcpPacket::new_checked(packet.payload())?;
    Ok(segment.window_len() == 0 && !segment.rst())
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Sending<'a>(&'a mut Card);

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut bytes = vec![0; len];
        let result = write(&mut bytes);
        let Card { queue, shut_windows, .. } = self.0;
        shut_windows[1] += u64::from(shuts_a_window(&bytes) == Ok(true));
        let mut burst = Burst::new();
        let frame = queue.info().pool.frame_of(&bytes).expect("the pool is large");
        burst.push(frame).expect("it is empty");
        queue.tx_burst(&mut burst);
        result
    }
}
