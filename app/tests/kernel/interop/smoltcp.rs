//! smoltcp as the peer, on a thread that has the tap.

mod shut_windows;

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Medium, PcapMode, PcapWriter, TunTapInterface, wait};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use super::{Accept, Count, End, Kind, PEER, Peer, Stream, TAP, Urgent, patiently};
use crate::world::DARNER;
use shut_windows::ShutWindows;

/// Its controller.
pub(super) struct Smoltcp(pub(super) CongestionControl);

/// What is the thread's.
struct Host {
    interface: Interface,
    device: PcapWriter<TunTapInterface, ShutWindows>,
    sockets: SocketSet<'static>,
    controller: CongestionControl,
}

/// The way to the thread, which ends with the last of them.
#[derive(Clone)]
struct Thread {
    tasks: Sender<Task>,
    shut: ShutWindows,
}

type Task = Box<dyn FnOnce(&mut Host) + Send>;

impl Kind for Smoltcp {
    fn start(&self, _: &Path) -> Box<dyn Peer> {
        let (controller, shut) = (self.0, ShutWindows::default());
        let (tasks, asked) = channel();
        let counted = shut.clone();
        thread::spawn(move || Host::new(controller, counted).run(&asked));
        Box::new(Thread { tasks, shut })
    }
}

impl Host {
    fn new(controller: CongestionControl, shut: ShutWindows) -> Self {
        let tap = TunTapInterface::new(TAP, Medium::Ethernet).expect("the tap is there");
        let mut device = PcapWriter::new(tap, shut, PcapMode::Both);
        let address = EthernetAddress([2, 0, 0, 0, 9, 1]);
        let mut config = Config::new(address.into());
        config.random_seed = 11;
        let mut interface = Interface::new(config, &mut device, Instant::now());
        let address: IpCidr = format!("{PEER}/24").parse().expect("an address");
        interface.update_ip_addrs(|all| all.push(address).expect("room for one"));
        Self { interface, device, sockets: SocketSet::new(vec![]), controller }
    }

    fn run(mut self, asked: &Receiver<Task>) {
        loop {
            match asked.try_recv() {
                Ok(task) => task(&mut self),
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    // A task waits no longer than this.
                    let rest = Duration::from_millis(1);
                    wait(self.device.get_ref().as_raw_fd(), Some(rest)).expect("a tap");
                }
            }
            self.interface.poll(Instant::now(), &mut self.device, &mut self.sockets);
        }
    }

    fn add_socket(&mut self) -> SocketHandle {
        let buffer = || SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = Socket::new(buffer(), buffer());
        socket.set_congestion_control(self.controller);
        // A window that shuts while a retransmission is due is never probed: only keep-alives find that it is open again.
        socket.set_keep_alive(Some(Duration::from_secs(1)));
        self.sockets.add(socket)
    }

    fn connect(&mut self, port: u16) -> SocketHandle {
        let handle = self.add_socket();
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        let to: IpAddress = DARNER.parse().expect("an address");
        // No two connections go to one port.
        socket.connect(self.interface.context(), (to, port), port).expect("a new socket");
        handle
    }

    fn listen(&mut self, port: u16) -> SocketHandle {
        let handle = self.add_socket();
        self.sockets.get_mut::<Socket<'_>>(handle).listen(port).expect("a new socket");
        handle
    }
}

impl Thread {
    /// What `work` returns, once the thread has done it.
    fn ask<T: Send + 'static>(&self, work: impl FnOnce(&mut Host) -> T + Send + 'static) -> T {
        let (answer, answered) = channel();
        let task =
            Box::new(move |host: &mut Host| answer.send(work(host)).expect("it is waited for"));
        self.tasks.send(task).expect("the thread lives");
        answered.recv().expect("the thread lives")
    }
}

impl Peer for Thread {
    fn listen(&self, port: u16) -> Accept {
        let handle = self.ask(move |host| host.listen(port));
        let stream = SmoltcpStream { thread: self.clone(), handle };
        Box::new(move || stream.established())
    }

    fn connect(&self, port: u16) -> End {
        let handle = self.ask(move |host| host.connect(port));
        SmoltcpStream { thread: self.clone(), handle }.established()
    }

    fn shut_out(&self) -> Count {
        let shut = self.shut.clone();
        Box::new(move || shut.there())
    }
}

/// smoltcp's end.
struct SmoltcpStream {
    thread: Thread,
    handle: SocketHandle,
}

impl SmoltcpStream {
    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Socket<'static>) -> T + Send + 'static,
    ) -> T {
        let handle = self.handle;
        self.thread.ask(move |host| work(host.sockets.get_mut(handle)))
    }

    /// The stream, once it is connected.
    fn established(self) -> End {
        let connected = patiently(|| match self.with(|socket| socket.state()) {
            State::Listen | State::SynSent | State::SynReceived => {
                Err(ErrorKind::WouldBlock.into())
            }
            State::Closed => Err(ErrorKind::ConnectionRefused.into()),
            _ => Ok(()),
        });
        connected.expect("the wire leads there");
        Box::new(self)
    }

    fn read_some(&self, most: usize) -> io::Result<Vec<u8>> {
        self.with(move |socket| {
            let mut bytes = vec![0; most.min(BUFFER)];
            match socket.recv_slice(&mut bytes) {
                Ok(0) => Err(ErrorKind::WouldBlock.into()),
                Ok(len) => Ok(bytes[..len].to_vec()),
                Err(RecvError::Finished) => Ok(vec![]),
                Err(RecvError::InvalidState) => Err(ErrorKind::ConnectionReset.into()),
            }
        })
    }

    fn write_some(&self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = bytes[..bytes.len().min(BUFFER)].to_vec();
        self.with(move |socket| match socket.send_slice(&bytes) {
            Ok(0) => Err(ErrorKind::WouldBlock.into()),
            Ok(len) => Ok(len),
            Err(_) => Err(ErrorKind::BrokenPipe.into()),
        })
    }
}

impl Read for SmoltcpStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = patiently(|| self.read_some(buffer.len()))?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl Write for SmoltcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        patiently(|| self.write_some(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for SmoltcpStream {
    fn finish(&mut self) {
        self.with(Socket::close);
    }

    fn urgent(&mut self) -> Option<&mut dyn Urgent> {
        None
    }

    fn shut_windows(&self) -> u64 {
        self.thread.shut.here()
    }
}

impl Drop for SmoltcpStream {
    fn drop(&mut self) {
        self.with(Socket::close);
    }
}

/// Bytes of a socket in each direction.
const BUFFER: usize = 1 << 16;
