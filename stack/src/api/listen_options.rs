//! How to listen.

use std::time::Duration;

use crate::tcp::TcpKeys;

/// How a listener treats those who connect.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListenOptions {
    /// Connections that wait to be accepted, over all cores and exactly; at least one. 1024 by default.
    pub backlog: u32,
    /// What becomes of a handshake that is completed while the backlog is full.
    pub overflow: Overflow,
    /// Several listeners with this set share an address: each connection goes to one of them, by its addresses and ports.
    pub sharing: Sharing,
    /// Most connections of this listener at any time, those that wait included. `None`: as many as the stack has.
    pub max_connections: Option<u32>,
    /// A connection waits to be accepted only once its peer has sent something, or this time has passed since its SYN. It counts in
    /// SYN-ACKs that could have been sent again meanwhile. `None`: at once.
    pub defer_accept: Option<Duration>,
    /// What becomes of a connection that is reset while it waits.
    pub reset_while_waiting: WaitingReset,
    /// TCP Fast Open (RFC 7413): peers who have connected before may send data with their SYN, and the connection waits to be accepted before its
    /// handshake is complete. At most so many may be in that state; zero, the default: none. What such a SYN brings may be handled twice, if the
    /// network doubles it: for requests that bear that.
    pub fast_open: u32,
    /// Keys of peers (TCP MD5, RFC 2385; TCP-AO, RFC 5925). A peer that has one can only connect with it, and all segments of its connections are signed; others connect as
    /// ever. [`TcpListener::set_keys`](crate::TcpListener::set_keys) changes them.
    pub keys: TcpKeys,
    /// Most bytes of payload and options in a segment of an accepted connection, either way (`TCP_MAXSEG`); less than 88 counts as 88. `None`: as many as
    /// the path carries.
    pub max_segment_size: Option<u16>,
    /// Most bytes that an accepted connection buffers for reading, always. `None`: the stack's default, which grows by itself.
    pub receive_buffer: Option<usize>,
    /// Most bytes that an accepted connection buffers for sending, always. `None`: the stack's default, which grows by itself.
    pub send_buffer: Option<usize>,
}

/// What becomes of a handshake that is completed while the backlog is full.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Overflow {
    /// It is not noticed: the peer's data comes again, and with it another chance.
    #[default]
    Ignore,
    /// The peer is reset.
    Reset,
}

/// What becomes of a connection that is reset while it waits to be accepted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WaitingReset {
    /// It is passed over, and counted.
    #[default]
    Skip,
    /// It is accepted: what has come can be read, and then the error. Linux does so.
    Accept,
}

/// Whether others may listen at the same address.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Sharing {
    /// Nobody else may.
    #[default]
    Exclusive,
    /// Others may who say so too, like `SO_REUSEPORT`. Connections are spread over all of them by their flow.
    Group,
    /// The same, and connections of this core go to this listener, if no other is pinned to that core.
    GroupPinned(usize),
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            overflow: Overflow::default(),
            sharing: Sharing::default(),
            max_connections: None,
            defer_accept: None,
            reset_while_waiting: WaitingReset::default(),
            fast_open: 0,
            keys: TcpKeys::NONE,
            max_segment_size: None,
            receive_buffer: None,
            send_buffer: None,
        }
    }
}

impl ListenOptions {
    /// The defaults with another backlog.
    pub fn with_backlog(backlog: u32) -> Self {
        Self { backlog, ..Self::default() }
    }
}
