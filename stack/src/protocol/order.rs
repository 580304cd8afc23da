//! What other threads, and handles that are dropped, ask of a protocol thread. Rare, so it may allocate.

use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use darner_ring::spsc::Consumer;

use crate::api::{ConnectOptions, TcpStream, UdpSocket};
use crate::snapshot::CoreSnapshot;
use crate::socket::options::Change;
use crate::socket::{ListenerShared, Part, PollerEnd, SocketId, Target, Told};
use crate::tcp::{KeyChange, TcpKeys};

/// One order. It is moved to the core and followed in its next turn.
///
/// Who waits for an answer hears that there will be none when the order is dropped.
pub(crate) enum Order {
    /// A thread has made a ring for its hints.
    OpenMailbox(usize, Consumer<Target>),
    /// A thread has given its ring up.
    CloseMailbox(usize),
    /// A poller wants to be told of sockets of this core.
    OpenPoller(u16, PollerEnd),
    ClosePoller(u16),
    /// Tell readiness of a socket there, from now on.
    Attach {
        target: Target,
        part: Part,
        told: Told,
    },
    /// Tell readiness of a listener there, from now on.
    AttachListener(Arc<ListenerShared>, Told),
    /// Set an option: whoever asks must not wait for the control lock.
    Change(Target, Change),
    /// Most bytes that a socket buffers.
    SetBuffers {
        target: Target,
        receive: Option<usize>,
        send: Option<usize>,
    },
    /// Sign a socket's segments otherwise.
    ChangeKeys(Target, KeyChange),
    /// A listener's peers have these keys.
    SetListenerKeys(Arc<ListenerShared>, TcpKeys),
    Listen(Arc<ListenerShared>, SyncSender<io::Result<()>>),
    /// Tell of what waits at a listener once more: somebody was in the way of who looked.
    Announce(Arc<ListenerShared>),
    /// The listener was closed.
    Unlisten(Arc<ListenerShared>),
    Connect {
        local: Option<SocketAddrV4>,
        remote: SocketAddrV4,
        options: ConnectOptions,
        answer: SyncSender<io::Result<TcpStream>>,
    },
    /// Connect, with the beginning of the data on the SYN if that can be; says how much of it that was.
    ConnectWithData {
        local: Option<SocketAddrV4>,
        remote: SocketAddrV4,
        options: ConnectOptions,
        data: Vec<u8>,
        answer: SyncSender<io::Result<(TcpStream, usize)>>,
    },
    /// Open a UDP socket of the whole stack, which lives here.
    BindUdp(SocketAddrV4, SyncSender<io::Result<UdpSocket>>),
    /// Follow all hints that were given before this, and answer.
    Settle(SyncSender<io::Result<()>>),
    /// Count a connection that was reset before it was accepted: only the protocol thread counts.
    CountSkipped,
    /// The socket receives from this peer only.
    ConnectUdp(SocketId, SocketAddrV4),
    /// A UDP socket of the whole stack lives on that core from now on: what comes here for it goes there.
    SocketHome(SocketAddrV4, usize, SyncSender<io::Result<()>>),
    /// It has closed.
    SocketGone(SocketAddrV4, usize),
    /// Say what there is. The answer is thrown away if nobody waits for it any more.
    Snapshot(SyncSender<CoreSnapshot>),
    /// Call the application.
    Wake,
    /// Close everything, within this time.
    Stop(Duration),
}
