//! What any thread may do to a TCP connection beside reading and writing.

use std::io;
use std::net::{Shutdown, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use darner_ring::{ConnectionCloser, fork};

use crate::protocol::Order;
use crate::socket::options::Change;
use crate::socket::thread::is_protocol_thread;
use crate::socket::words::{ControlSide, Words};
use crate::socket::{Hints, OptionBits, Phase, SocketOptions};
use crate::tcp::{KeyChange, TcpKeys};

/// A handle to end a TCP connection or set its options, from any thread and as many as there are.
///
/// It neither reads nor writes, and does not keep the connection open. Operations of several threads happen one after the
/// other; none of them waits for the protocol thread, and the protocol thread waits for none. On a protocol thread, where
/// nothing may wait, an operation that finds another one going on is done in the next turn. In a forked child none does
/// anything.
#[derive(Clone)]
pub struct Control {
    closer: ConnectionCloser,
    words: ControlSide,
    /// Ours and the peer's.
    addresses: (SocketAddrV4, SocketAddrV4),
}

impl Control {
    pub(crate) fn new(
        (closer, words): (ConnectionCloser, ControlSide),
        addresses: (SocketAddrV4, SocketAddrV4),
    ) -> Self {
        Self { closer, words, addresses }
    }

    /// Our address.
    pub fn local_addr(&self) -> SocketAddr {
        self.addresses.0.into()
    }

    /// The peer's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.addresses.1.into()
    }

    /// Ends one direction or both, whoever reads or writes just now: calls that wait return.
    ///
    /// After [`Shutdown::Write`] the peer gets what was written and then the end of the stream. After [`Shutdown::Read`] reads
    /// give zero bytes, and what arrives is acknowledged and thrown away.
    pub fn shutdown(&self, how: Shutdown) {
        self.in_order(|| {
            if how != Shutdown::Write {
                self.closer.shut_reading();
            }
            if how != Shutdown::Read {
                self.closer.shut_writing();
            }
        });
        self.words.hint(match how {
            Shutdown::Read => Hints::SHUT_READ,
            Shutdown::Write => Hints::SHUT_WRITE,
            Shutdown::Both => Hints::SHUT_READ | Hints::SHUT_WRITE,
        });
        self.words.wake_all();
    }

    /// Resets the connection: what was written and not sent is lost, and so is what was not read.
    pub fn abort(&self) {
        self.in_order(|| self.closer.abort());
        self.words.hint(Hints::ABORT);
        self.words.wake_all();
    }

    /// Sends small segments at once (Nagle's algorithm off, RFC 9293 section 3.7.4). Off by default. Each time it is switched on, what waits is
    /// sent, whether it was on before or not, and even if the connection is [corked](Self::set_cork): as in Linux.
    pub fn set_nodelay(&self, on: bool) {
        self.change(Change::Bit(OptionBits::NODELAY, on));
        if on && !fork::is_child() {
            self.words.hint(Hints::FLUSH);
        }
    }

    /// Whether small segments are sent at once.
    pub fn nodelay(&self) -> bool {
        self.options().bits.contains(OptionBits::NODELAY)
    }

    /// Holds segments back that are not full, until the cork is pulled, the direction is shut down or
    /// [`set_nodelay`](Self::set_nodelay) is switched on; with nothing else on its way, for a retransmission timeout at most (200 ms above the
    /// round trip). Off by default. Like `TCP_CORK` of Linux.
    pub fn set_cork(&self, on: bool) {
        self.change(Change::Bit(OptionBits::CORK, on));
    }

    /// Whether segments are held back that are not full.
    pub fn cork(&self) -> bool {
        self.options().bits.contains(OptionBits::CORK)
    }

    /// Probes the peer while the connection is idle (RFC 9293, section 3.8.4). Off by default.
    pub fn set_keepalive(&self, on: bool) {
        self.change(Change::Bit(OptionBits::KEEPALIVE, on));
    }

    /// Whether the peer is probed while the connection is idle.
    pub fn keepalive(&self) -> bool {
        self.options().bits.contains(OptionBits::KEEPALIVE)
    }

    /// Whether a byte that the peer sent as urgent is read like any other. Else the stream skips it, and
    /// [`ReadHalf::recv_oob`](super::ReadHalf::recv_oob) fetches it. Off by default.
    pub fn set_oob_inline(&self, on: bool) {
        self.change(Change::Bit(OptionBits::OOB_INLINE, on));
    }

    /// Whether urgent bytes are read like any other.
    pub fn oob_inline(&self) -> bool {
        self.options().bits.contains(OptionBits::OOB_INLINE)
    }

    /// How long written bytes may stay unacknowledged before the connection is given up (RFC 9293, section 3.8.3). `None`: the
    /// stack's default.
    pub fn set_user_timeout(&self, timeout: Option<Duration>) {
        self.change(Change::UserTimeout(timeout.map(|span| span.max(Duration::from_millis(1)))));
    }

    /// How long written bytes may stay unacknowledged, if that was set.
    pub fn user_timeout(&self) -> Option<Duration> {
        self.options().user_timeout
    }

    /// What closing does. `None`, the default: it returns at once, and what was written is still sent. Zero: it resets the
    /// connection. Else it waits for so long until the peer has everything; see [`TcpStream::close`](super::TcpStream::close).
    pub fn set_linger(&self, linger: Option<Duration>) {
        self.change(Change::Linger(linger));
    }

    /// What closing does.
    pub fn linger(&self) -> Option<Duration> {
        self.options().linger
    }

    /// How long the peer may take to close after us, once nobody reads any more (FIN-WAIT-2). `None`: the stack's default.
    pub fn set_fin_wait_2(&self, span: Option<Duration>) {
        self.change(Change::FinWait2(span));
    }

    /// How long the peer may take to close after us, if that was set.
    pub fn fin_wait_2(&self) -> Option<Duration> {
        self.options().fin_wait_2
    }

    /// Most bytes that may wait unsent: a write takes no more than brings them to so many, and waits, however large the send buffer is; who
    /// writes is told once they are half as many. What is sent and not acknowledged does not count. `None`: the stack's default,
    /// [`TcpConfig::unsent_low_water`](crate::TcpConfig::unsent_low_water), or without one what the send buffer held at first, once that has grown by itself. Like `TCP_NOTSENT_LOWAT` of Linux.
    pub fn set_unsent_low_water(&self, bytes: Option<u32>) {
        self.change(Change::UnsentLowWater(bytes));
    }

    /// How many bytes may wait unsent, if that was set.
    pub fn unsent_low_water(&self) -> Option<u32> {
        self.options().unsent_low_water
    }

    /// Most bytes that are buffered for reading and for writing, from 1 byte to 1 GiB. A buffer whose size was set so does not grow by
    /// itself any more. Less than what is buffered loses nothing: no more is taken until it fits again.
    pub fn set_buffers(&self, receive: Option<usize>, send: Option<usize>) {
        let within = |limit: usize| limit.clamp(1, BUFFER_MAX);
        let words = self.words.words();
        let (receive, send) = (receive.map(within), send.map(within));
        words.core().order(Order::SetBuffers { target: words.target(), receive, send });
    }

    /// From now on segments are signed with what `keys` have for the peer, and only such are taken. With MD5 both ends change together, or what is on its
    /// way is lost and sent again; without a key none is signed. With TCP-AO the key that signs goes on as long as it is among them. A
    /// connection that began without TCP-AO stays without, and one that began with it keeps its keys if there is none.
    pub fn set_keys(&self, keys: &TcpKeys) {
        self.change_keys(KeyChange::Keys(keys.clone()));
    }

    /// Asks the peer to sign with another key of TCP-AO: the one whose [`recv_id`](crate::TcpAoKey::recv_id) this is (RNextKeyID, RFC 5925, section 7.5). It does so
    /// as soon as it has the key. Which one we sign with is for the peer to ask.
    pub fn set_next_ao_key(&self, recv_id: u8) {
        self.change_keys(KeyChange::NextAo(recv_id));
    }

    /// Whether the connection is over: both sides have closed it, or it has failed.
    pub fn has_ended(&self) -> bool {
        self.words.words().phase() == Phase::Dead
    }

    /// Why the connection failed; told once, here or by a read or a write.
    pub fn take_error(&self) -> Option<io::Error> {
        self.words.take_error()
    }

    /// Whether closing now would lose bytes that were received.
    pub(crate) fn has_unread(&self) -> bool {
        self.closer.has_unread()
    }

    pub(crate) fn side(&self) -> &ControlSide {
        &self.words
    }

    pub(crate) fn words(&self) -> &Arc<Words> {
        self.words.words()
    }

    fn options(&self) -> SocketOptions {
        // Who is inside when a process forks never leaves in the child.
        if fork::is_child() {
            return SocketOptions::default();
        }
        if is_protocol_thread() {
            // Whoever sets an option just now has not set it yet, as far as anybody can tell.
            return self.words.try_with(|state| state.options()).unwrap_or_default();
        }
        self.words.with(|state| state.options())
    }

    /// Takes its turn among the operations of all threads. What it does is whole without the lock as well: on a protocol
    /// thread it goes ahead.
    fn in_order(&self, act: impl Fn()) {
        if fork::is_child() {
            return;
        }
        if is_protocol_thread() {
            if self.words.try_with(|_| act()).is_err() {
                act();
            }
        } else {
            self.words.with(|_| act());
        }
    }

    fn change_keys(&self, change: KeyChange) {
        let words = self.words.words();
        words.core().order(Order::ChangeKeys(words.target(), change));
    }

    fn change(&self, change: Change) {
        if fork::is_child() {
            return;
        }
        let mut spare = change.memory();
        if is_protocol_thread() {
            if self.words.try_with(|state| change.apply(state, &mut spare)).is_err() {
                let words = self.words.words();
                words.core().order(Order::Change(words.target(), change));
                return;
            }
        } else {
            self.words.with(|state| change.apply(state, &mut spare));
        }
        self.words.hint(Hints::CONTROL);
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("local", &self.local_addr())
            .field("peer", &self.peer_addr())
            .finish_non_exhaustive()
    }
}

/// What a window can offer at most (RFC 7323, section 2.3).
const BUFFER_MAX: usize = 1 << 30;
