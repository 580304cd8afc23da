//! What any thread may ask of a running stack.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use darner_ring::fork;
use rustix::io::Errno;

use crate::api::udp_socket::ipv4;
use crate::api::{ConnectOptions, ListenOptions, TcpListener, TcpStream, UdpSocket, Waker};
use crate::config::invalid;
use crate::metrics::Metrics;
use crate::protocol::Order;
use crate::snapshot::Snapshot;
use crate::socket::thread::{home_core, is_protocol_thread, refuse_child};
use crate::socket::{CoreShared, ListenerShared};
use crate::steer::Steering;

/// A handle to a [`Stack`](super::Stack), for any thread. It does not keep the stack running: once that has ended, every call
/// gives `ENETDOWN`. In a forked child, where protocol threads are not, every call gives `EBADF`.
#[derive(Clone)]
pub struct StackHandle {
    shared: Arc<Shared>,
}

struct Shared {
    cores: Vec<Arc<CoreShared>>,
    metrics: Vec<Arc<Metrics>>,
    /// Ports for listeners that do not care.
    ports: RangeInclusive<u16>,
    steering: Arc<Steering>,
    /// One at a time asks all cores for an address, or two could each have it on one core.
    claiming: Mutex<()>,
}

/// How long a core has to answer a request for a snapshot.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

impl StackHandle {
    pub(super) fn new(
        cores: Vec<Arc<CoreShared>>,
        metrics: Vec<Arc<Metrics>>,
        ports: RangeInclusive<u16>,
        steering: Arc<Steering>,
    ) -> Self {
        let claiming = Mutex::new(());
        Self { shared: Arc::new(Shared { cores, metrics, ports, steering, claiming }) }
    }

    /// Listens for TCP connections to `address` on every core: `0.0.0.0` for all our addresses, port 0 for any free one. Returns
    /// when every core does, so that no SYN is refused from then on.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](ErrorKind::AddrInUse), [`AddrNotAvailable`](ErrorKind::AddrNotAvailable) for an address that is not ours,
    /// `EAFNOSUPPORT` for IPv6, `ENETDOWN` when the stack has ended, [`Deadlock`](ErrorKind::Deadlock) on a protocol thread.
    pub fn listen(&self, address: SocketAddr) -> io::Result<TcpListener> {
        self.listen_with(address, ListenOptions::default())
    }

    /// The same with more to say about it.
    ///
    /// # Errors
    ///
    /// As [`listen`](Self::listen).
    pub fn listen_with(
        &self,
        address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<TcpListener> {
        let address = ipv4(address)?;
        if is_protocol_thread() {
            return Err(ErrorKind::Deadlock.into());
        }
        refuse_child()?;
        let _one_at_a_time = self.shared.claiming.lock().unwrap_or_else(PoisonError::into_inner);
        if address.port() != 0 {
            return self.listen_at(address, options);
        }
        let (first, last) = (*self.shared.ports.start(), *self.shared.ports.end());
        let mut outcome = Err(ErrorKind::AddrInUse.into());
        for port in first..=last {
            outcome = self.listen_at(SocketAddrV4::new(*address.ip(), port), options.clone());
            if !matches!(&outcome, Err(error) if error.kind() == ErrorKind::AddrInUse) {
                break;
            }
        }
        outcome
    }

    /// Connects to `remote`: waits until the peer has answered.
    ///
    /// # Errors
    ///
    /// Why there is no connection: [`ConnectionRefused`](ErrorKind::ConnectionRefused), [`TimedOut`](ErrorKind::TimedOut) after
    /// the time of all retries, `ENETUNREACH` without a route, [`AddrNotAvailable`](ErrorKind::AddrNotAvailable) when every source
    /// port toward `remote` is taken, [`InvalidInput`](ErrorKind::InvalidInput) for an address that nobody can connect to,
    /// `EAFNOSUPPORT` for IPv6, `ENETDOWN` when the stack has ended, [`Deadlock`](ErrorKind::Deadlock) on a protocol thread.
    pub fn connect(&self, remote: SocketAddr) -> io::Result<TcpStream> {
        let stream = self.begin_connect(None, remote)?;
        stream.wait_connected(None)?;
        Ok(stream)
    }

    /// The same within `timeout`; after it the connection is given up.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect), and [`TimedOut`](ErrorKind::TimedOut) after `timeout`.
    pub fn connect_timeout(&self, remote: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        let deadline = Instant::now().checked_add(timeout);
        let stream = self.begin_connect(None, remote)?;
        stream.wait_connected(deadline)?;
        Ok(stream)
    }

    /// The same from `local`: an address of ours or `0.0.0.0`, and a port or 0 for any.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect); [`AddrInUse`](ErrorKind::AddrInUse) when there is a connection between these two addresses,
    /// [`AddrNotAvailable`](ErrorKind::AddrNotAvailable) for an address that is not ours.
    pub fn connect_from(&self, local: SocketAddr, remote: SocketAddr) -> io::Result<TcpStream> {
        let stream = self.begin_connect(Some(local), remote)?;
        stream.wait_connected(None)?;
        Ok(stream)
    }

    /// The same with more to say about it.
    ///
    /// # Errors
    ///
    /// As [`connect_from`](Self::connect_from).
    pub fn connect_with(
        &self,
        remote: SocketAddr,
        options: ConnectOptions,
    ) -> io::Result<TcpStream> {
        let stream = self.begin_connect_with(remote, options)?;
        stream.wait_connected(None)?;
        Ok(stream)
    }

    /// Begins to connect, and does not wait for the peer: the stream becomes writable, and a poller is told
    /// [`CONNECTED`](crate::Readiness::CONNECTED), when it has answered.
    ///
    /// # Errors
    ///
    /// As [`connect_from`](Self::connect_from), as far as it is known at once.
    pub fn begin_connect(
        &self,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> io::Result<TcpStream> {
        self.begin_connect_with(remote, ConnectOptions { local, ..ConnectOptions::default() })
    }

    /// The same with more to say about it.
    ///
    /// # Errors
    ///
    /// As [`connect_from`](Self::connect_from), as far as it is known at once.
    pub fn begin_connect_with(
        &self,
        remote: SocketAddr,
        options: ConnectOptions,
    ) -> io::Result<TcpStream> {
        let (local, remote) = (options.local.map(ipv4).transpose()?, ipv4(remote)?);
        let mut stream: TcpStream = self.ask_until_open(|answer| {
            let options = options.clone();
            Order::Connect { local, remote, options, answer }
        })?;
        stream.set_nonblocking(false);
        Ok(stream)
    }

    /// The same, with TCP Fast Open (RFC 7413): to a peer who has handed out a cookie before the beginning of `data` goes with the SYN, up to a segment
    /// of it; else a cookie is asked for, and nothing is taken. Returns how many bytes were taken: the rest is to be written, which waits for
    /// the handshake. What goes with a SYN may be handled twice, if the network doubles it. Where segments are signed nothing is taken.
    ///
    /// # Errors
    ///
    /// As [`begin_connect`](Self::begin_connect).
    pub fn begin_connect_with_data(
        &self,
        remote: SocketAddr,
        options: ConnectOptions,
        data: &[u8],
    ) -> io::Result<(TcpStream, usize)> {
        let (local, remote) = (options.local.map(ipv4).transpose()?, ipv4(remote)?);
        // More does not go with a SYN.
        let data = &data[..data.len().min(usize::from(u16::MAX))];
        let (mut stream, taken): (TcpStream, usize) = self.ask_until_open(|answer| {
            let options = options.clone();
            Order::ConnectWithData { local, remote, options, data: data.to_vec(), answer }
        })?;
        stream.set_nonblocking(false);
        Ok((stream, taken))
    }

    /// Asks one core after the other to open a connection: the ports of one may be used up while another has some (socket contract, S-12).
    fn ask_until_open<T>(
        &self,
        order: impl Fn(SyncSender<io::Result<T>>) -> Order,
    ) -> io::Result<T> {
        let mut outcome = Err(Errno::NETDOWN.into());
        for core in self.cores_from_home() {
            outcome = ask(core, &order);
            match &outcome {
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {}
                Err(error) if is(error, Errno::NETDOWN) || is(error, Errno::NOBUFS) => {}
                _ => break,
            }
        }
        outcome
    }

    /// Opens a UDP socket on `local`: `0.0.0.0` for all our addresses, port 0 for any free one. It lives on one core, and hears
    /// what comes to any that has no socket of its own for it.
    ///
    /// # Errors
    ///
    /// [`AddrInUse`](ErrorKind::AddrInUse), [`AddrNotAvailable`](ErrorKind::AddrNotAvailable) for an address that is not ours,
    /// `EAFNOSUPPORT` for IPv6, `ENETDOWN` when the stack has ended, [`Deadlock`](ErrorKind::Deadlock) on a protocol thread.
    pub fn bind_udp(&self, local: SocketAddr) -> io::Result<UdpSocket> {
        let local = ipv4(local)?;
        if is_protocol_thread() {
            return Err(ErrorKind::Deadlock.into());
        }
        refuse_child()?;
        let _one_at_a_time = self.shared.claiming.lock().unwrap_or_else(PoisonError::into_inner);
        let home = self.cores_from_home().find(|core| !core.has_ended()).ok_or(Errno::NETDOWN)?;
        let bind = || ask(home, |answer| Order::BindUdp(local, answer));
        let mut socket: UdpSocket = match bind() {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                // Whoever had it may have dropped it just now.
                self.settle();
                bind()?
            }
            bound => bound?,
        };
        for core in self.shared.cores.iter().filter(|core| core.index != home.index) {
            // One that has ended gets no datagrams.
            let _ended = ask(core, |answer| Order::SocketHome(socket.local(), home.index, answer));
        }
        socket.set_nonblocking(false);
        Ok(socket)
    }

    /// What the stack does, and with whom. A core that does not answer within a second is left out; on a protocol thread,
    /// which cannot wait for itself, all cores are, and the counters are there.
    pub fn snapshot(&self) -> Snapshot {
        if is_protocol_thread() {
            return Snapshot::new(Vec::new(), self.metrics(), self.steering());
        }
        let answers: Vec<_> = self
            .shared
            .cores
            .iter()
            .map(|core| {
                let (answer, answered) = sync_channel(1);
                core.order(Order::Snapshot(answer));
                answered
            })
            .collect();
        let cores =
            answers.iter().filter_map(|answer| answer.recv_timeout(ANSWER_WITHIN).ok()).collect();
        Snapshot::new(cores, self.metrics(), self.steering())
    }

    /// Calls the application of core `index` from any thread. `None` when there is no such core.
    pub fn waker(&self, index: usize) -> Option<Waker> {
        self.shared.cores.get(index).map(|core| Waker::of_core(core.clone()))
    }

    /// Asks every core to stop: applications end, connections close in good order, and after `deadline` what is left is
    /// reset. Does not wait: see [`Stack::join`](super::Stack::join).
    pub fn stop(&self, deadline: Duration) {
        for core in &self.shared.cores {
            core.order(Order::Stop(deadline));
        }
    }

    /// Whether every protocol thread has ended: because the stack was stopped, or they panicked. A forked child has none.
    pub fn has_ended(&self) -> bool {
        fork::is_child() || self.shared.cores.iter().all(|core| core.has_ended())
    }

    pub(crate) fn cores(&self) -> &[Arc<CoreShared>] {
        &self.shared.cores
    }

    pub(super) fn metrics(&self) -> impl Iterator<Item = &Metrics> + Clone {
        self.shared.metrics.iter().map(AsRef::as_ref)
    }

    pub(super) fn steering(&self) -> &Steering {
        &self.shared.steering
    }

    fn listen_at(&self, address: SocketAddrV4, options: ListenOptions) -> io::Result<TcpListener> {
        if options.backlog == 0 {
            return Err(invalid("a listener's backlog is at least 1".to_owned()));
        }
        let cores = &self.shared.cores;
        let shared = ListenerShared::new(address.into(), options, cores.len());
        // Dropped on the way out, it takes back what some cores have agreed to before another refused.
        let listener = TcpListener::new(shared.clone(), cores.clone());
        let mut listening = 0;
        for core in cores.iter().filter(|core| !core.has_ended()) {
            match ask(core, |answer| Order::Listen(shared.clone(), answer)) {
                // It has just ended.
                Err(error) if is(&error, Errno::NETDOWN) => {}
                asked => {
                    asked?;
                    listening += 1;
                }
            }
        }
        if listening == 0 {
            return Err(Errno::NETDOWN.into());
        }
        Ok(listener)
    }

    /// Returns when every core has followed the hints given so far, and has heard what the others then told it.
    fn settle(&self) {
        for core in self.shared.cores.iter().chain(&self.shared.cores) {
            // One that has ended has nothing to follow.
            let _ended = ask(core, Order::Settle);
        }
    }

    /// All cores, beginning with the one that the calling thread is next to.
    fn cores_from_home(&self) -> impl Iterator<Item = &Arc<CoreShared>> {
        let cores = &self.shared.cores;
        cores.iter().cycle().skip(home_core() % cores.len().max(1)).take(cores.len())
    }
}

impl std::fmt::Debug for StackHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StackHandle")
            .field("cores", &self.shared.cores.len())
            .finish_non_exhaustive()
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// Gives a core an order and waits for its answer.
fn ask<T>(
    core: &CoreShared,
    order: impl FnOnce(SyncSender<io::Result<T>>) -> Order,
) -> io::Result<T> {
    if is_protocol_thread() {
        return Err(ErrorKind::Deadlock.into());
    }
    refuse_child()?;
    let (answer, answered) = sync_channel(1);
    core.order(order(answer));
    // An order that nobody follows any more is dropped.
    answered.recv().unwrap_or(Err(Errno::NETDOWN.into()))
}
