//! What other threads, and handles that are dropped, ask of a protocol thread. Rare, so it may allocate.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::snapshot::CoreSnapshot;
use crate::socket::{ListenerShared, SocketId, Target};

/// One order. It is moved to the core and followed in its next turn.
pub(crate) enum Order {
    /// Look at this socket: its hint found the queue full.
    Look(Target),
    /// The listener was dropped.
    Unlisten(Arc<ListenerShared>),
    /// Count a connection that was reset before it was accepted: only the protocol thread counts.
    CountSkipped,
    /// The socket receives from this peer only.
    ConnectUdp(SocketId, SocketAddrV4),
    /// Say what there is. The answer is thrown away if nobody waits for it any more.
    Snapshot(SyncSender<CoreSnapshot>),
    /// Call the application.
    Wake,
    /// Close everything, within this time.
    Stop(Duration),
}
