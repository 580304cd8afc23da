//! What `darner stat` and `TCP_INFO` show of a connection.

use std::net::SocketAddr;
use std::time::Duration;

use super::auth::Auth;
use super::config::TcpConfig;
use super::congestion::LARGEST;
use super::congestion::controller::Controller;
use super::connection::Connection;
use super::ecn::Mode;
use super::sender::{Phase, Sender};
use super::state::State;
use crate::time::Instant;

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
    /// Which congestion control decides about it, by name.
    pub congestion_control: &'static str,
    /// The window up to which it grows exponentially; `None` before the first loss.
    pub slow_start_threshold: Option<u32>,
    /// Bytes that have arrived behind a gap (SACK).
    pub selectively_acknowledged: u32,
    /// Bytes that are lost and not sent again yet.
    pub lost: u32,
    /// The window that the peer offers, in bytes.
    pub send_window: u32,
    /// The window that we offer, in bytes.
    pub receive_window: u32,
    /// Most bytes of payload in a segment to the peer.
    pub segment_size: u16,
    /// What the application has said that a segment may carry at most, either way.
    pub max_segment_size: Option<u16>,
    /// The smoothed round-trip time, once one was measured.
    pub round_trip: Option<Duration>,
    /// The shortest round trip of the last minutes, as far as the connection knows.
    pub shortest_round_trip: Option<Duration>,
    /// The retransmission timeout, back-off included.
    pub timeout: Duration,
    /// How long something was written and not acknowledged, since the connection last rested: that is, had been silent for ten retransmission timeouts.
    pub busy: Duration,
    /// In that time, how long the peer's window was full.
    pub window_limited: Duration,
    /// In that time, how long the send buffer was full although more could have been on its way.
    pub buffer_limited: Duration,
    /// Segments that were sent again.
    pub retransmitted: u32,
    /// Bytes that were sent again and not heard of since.
    pub retransmitted_in_flight: u32,
    /// How often the path has changed the order of segments.
    pub reorderings: u32,
    /// Over how many bytes at most a segment was overtaken by later ones.
    pub reordering_degree: u32,
    /// Where loss recovery stands.
    pub recovery: RecoveryPhase,
    /// Timeouts in a row without an answer.
    pub timeouts: u8,
    /// Questions in a row after a closed window.
    pub window_probes: u8,
    /// Both sides send timestamps (RFC 7323).
    pub timestamps: bool,
    /// Both sides take selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Both sides take part in explicit congestion notification (RFC 3168).
    pub ecn: bool,
    /// And with accurate feedback (AccECN, RFC 9768).
    pub accurate_ecn: bool,
    /// What of our data has arrived, by its marks, as the peer reports it with accurate feedback.
    pub ecn_delivered: EcnCounts,
    /// What has come from the peer, by its marks, counted for accurate feedback.
    pub ecn_received: EcnCounts,
    /// Data on the SYN was taken, by us or by the peer (TCP Fast Open, RFC 7413).
    pub syn_data: bool,
    /// Where segments are signed by TCP-AO (RFC 5925): the SendID of the key that signs ours, and the RecvID of the one that the peer is asked to sign with.
    pub ao_keys: Option<(u8, u8)>,
    /// By how much our and the peer's window fields are shifted, if they are (RFC 7323).
    pub window_shifts: Option<(u8, u8)>,
    /// When data last came, or else the handshake was complete.
    pub last_data: Instant,
    /// Bytes that the peer is known to have, by ACK or by SACK, modulo 2^32.
    pub delivered: u32,
    /// Payload of the largest segment that has come.
    pub received_segment_size: u16,
}

/// What has arrived by the ECN field of its packets, modulo 2^32: all zero without accurate feedback (RFC 9768, section 3.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EcnCounts {
    /// Packets that a router has marked (CE).
    pub marked_packets: u32,
    /// Bytes in them.
    pub marked_bytes: u32,
    /// Bytes in packets of ECT(0) that no router has marked.
    pub ect0_bytes: u32,
    /// And of ECT(1).
    pub ect1_bytes: u32,
}

/// Where loss recovery stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RecoveryPhase {
    /// Nothing is missing.
    Open,
    /// Something has arrived behind a gap, and nothing counts as lost.
    Disorder,
    /// Something was found lost without a timeout.
    Recovery,
    /// A timeout has expired.
    Loss,
}

impl Connection {
    pub(super) fn info(&self, config: &TcpConfig, now: Instant) -> ConnectionInfo {
        let flow = &self.flow;
        let sender = self.sender.as_deref();
        let busy = self.busy_times(now);
        let [ecn_delivered, ecn_received] = self.ecn_counts();
        let (reorderings, reordering_degree) = sender.map_or((0, 0), |sender| sender.reordering());
        ConnectionInfo {
            state: self.state,
            local: (flow.local, flow.local_port).into(),
            remote: (flow.remote, flow.remote_port).into(),
            in_flight: self.flight(),
            congestion_window: self.congestion_window(config),
            congestion_control: sender
                .map_or(config.congestion.name(), |sender| sender.controller.name()),
            slow_start_threshold: sender
                .map(|sender| sender.controller.ssthresh())
                .filter(|&threshold| threshold < LARGEST),
            selectively_acknowledged: sender.map_or(0, |sender| sender.board.arrived()),
            lost: sender.map_or(0, |sender| sender.board.lost()),
            send_window: self.snd.wnd,
            receive_window: self.receive_window(),
            segment_size: self.snd.mss,
            max_segment_size: self.rare.max_segment_size(),
            round_trip: self.rtt.srtt().map(Duration::from),
            shortest_round_trip: sender.and_then(Sender::shortest_round_trip).map(Duration::from),
            timeout: self.rtt.rto().into(),
            busy: busy.busy.into(),
            window_limited: busy.window_limited.into(),
            buffer_limited: busy.buffer_limited.into(),
            retransmitted: self.totals.retransmitted,
            retransmitted_in_flight: sender.map_or(0, |sender| sender.board.in_flight_again()),
            reorderings,
            reordering_degree,
            recovery: sender.map_or(RecoveryPhase::Open, Sender::recovery),
            timeouts: self.retries,
            window_probes: self.probe_backoff,
            timestamps: self.timestamps.enabled,
            sack: self.sack,
            ecn: self.ecn_mode() != Mode::Off,
            accurate_ecn: self.ecn_mode() == Mode::Accurate,
            ecn_delivered,
            ecn_received,
            ao_keys: self.auth().and_then(Auth::ao_ids),
            syn_data: self.syn_data,
            window_shifts: self.rcv.scaling.then_some((self.rcv.wnd_shift, self.snd.wnd_shift)),
            last_data: self.data_at,
            delivered: self.snd.una.offset_from(self.snd.iss).saturating_sub(1)
                + sender.map_or(0, |sender| sender.board.arrived()),
            received_segment_size: self.rcv.full,
        }
    }
}

impl Sender {
    fn recovery(&self) -> RecoveryPhase {
        match self.phase() {
            Phase::Open if self.board.arrived() > 0 => RecoveryPhase::Disorder,
            Phase::Open => RecoveryPhase::Open,
            Phase::Recovery => RecoveryPhase::Recovery,
            Phase::Loss => RecoveryPhase::Loss,
        }
    }
}
