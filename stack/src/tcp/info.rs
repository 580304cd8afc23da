//! What `darner stat` shows of a connection.

use std::net::SocketAddr;
use std::time::Duration;

use super::congestion::Congestion;
use super::connection::Connection;
use super::state::State;

/// A connection as it was when it was asked about.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Where it stands in the state diagram.
    pub state: State,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Bytes sent and not acknowledged.
    pub in_flight: u32,
    /// The congestion window in bytes.
    pub congestion_window: u32,
    /// The window that the peer offers, in bytes.
    pub send_window: u32,
    /// The window that we offer, in bytes.
    pub receive_window: u32,
    /// Most bytes of payload in a segment to the peer.
    pub segment_size: u16,
    /// The smoothed round-trip time, once one was measured.
    pub round_trip: Option<Duration>,
    /// The retransmission timeout, back-off included.
    pub timeout: Duration,
    /// Segments that were sent again.
    pub retransmitted: u32,
}

impl Connection {
    pub(super) fn info(&self) -> ConnectionInfo {
        let flow = &self.flow;
        ConnectionInfo {
            state: self.state,
            local: (flow.local, flow.local_port).into(),
            remote: (flow.remote, flow.remote_port).into(),
            in_flight: self.flight(),
            congestion_window: self.congestion.window(),
            send_window: self.snd.wnd,
            receive_window: self.receive_window(),
            segment_size: self.snd.mss,
            round_trip: self.rtt.srtt(),
            timeout: self.rtt.rto(),
            retransmitted: self.totals.retransmitted,
        }
    }
}
