//! How to connect.

use std::net::SocketAddr;

use crate::tcp::TcpKeys;

/// What a call that connects may say beside where to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ConnectOptions {
    /// Where from: an address of ours or `0.0.0.0`, and a port or 0 for any. `None`: the address that the route says, and any port.
    pub local: Option<SocketAddr>,
    /// Keys of peers (TCP MD5, RFC 2385; TCP-AO, RFC 5925). If one is for the peer, all segments are signed with it, and only such are taken; a peer that has another
    /// key, or none, is as good as not there.
    pub keys: TcpKeys,
    /// Most bytes of payload and options in a segment, either way (`TCP_MAXSEG`); less than 88 counts as 88. `None`: as many as the path carries.
    pub max_segment_size: Option<u16>,
    /// How often our SYN is sent again before the attempt is given up (`TCP_SYNCNT`). `None`: [`TcpConfig::syn_retries`](crate::TcpConfig::syn_retries).
    pub syn_retries: Option<u8>,
}
