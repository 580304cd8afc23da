//! What TCP may be told: sizes in bytes, times as durations, limits per core.

use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use darner_ring::CHUNK;

use super::congestion::algorithm::Algorithm;
use super::half_open::Limits;
use super::rtt::RtoLimits;
use crate::wire::tcp_options::OptionOrder;

/// TCP's times and limits. The defaults are those of Linux where it has them, or the RFC's.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    /// Most bytes that a connection buffers for its application to read, at first; the window it offers.
    pub receive_buffer: usize,
    /// What that grows to by itself, if the application reads as fast as the path brings. Not above `receive_buffer`: it does not grow.
    pub receive_buffer_max: usize,
    /// Most bytes that a connection buffers for sending at first, those not yet acknowledged included.
    pub send_buffer: usize,
    /// What that grows to by itself, with the congestion window. Not above `send_buffer`: it does not grow. One that has grown holds no more unsent than
    /// `send_buffer`, unless `unsent_low_water` says otherwise.
    pub send_buffer_max: usize,
    /// How many bytes a read waits for, if it has room for so many, and are told as readable: see
    /// [`ReadHalf::set_low_water`](crate::ReadHalf::set_low_water).
    pub receive_low_water: usize,
    /// Most bytes that may wait unsent: see [`Control::set_unsent_low_water`](crate::Control::set_unsent_low_water). `None`: as many as the send
    /// buffer holds.
    pub unsent_low_water: Option<u32>,
    /// Most bytes that a core's connections hold for applications to read, over all of them: ring memory in whole chunks of 16 KiB (one of a
    /// kilobyte for what fits that), and what has arrived out of order. Beyond it segments are dropped, for the peer to send again later; from half of it on other things give
    /// way first, see [`MemoryPressure`](super::MemoryPressure).
    pub max_buffered: usize,
    /// Most connections on a core, those half open or in TIME-WAIT not counted.
    pub max_connections: usize,
    /// Most connections on a core whose handshake a peer has begun and not finished. An eighth more may be of peers that sign with a key.
    pub max_half_open: usize,
    /// How many of them may be of one address and port of ours.
    pub max_half_open_per_listener: usize,
    /// How many of them may be of one network of peers: a /24.
    pub max_half_open_per_source: usize,
    /// Whether handshakes may be answered without an entry, by SYN cookies (RFC 4987).
    pub syn_cookies: CookiePolicy,
    /// Most connections on a core in TIME-WAIT, 64 bytes each; at the limit the oldest ends early.
    pub max_time_wait: usize,
    /// Ports that outgoing connections are made from (RFC 6056).
    pub ephemeral_ports: RangeInclusive<u16>,
    /// How long a connection stays in TIME-WAIT: twice the longest life of a segment (RFC 9293, section 3.4.2).
    pub time_wait: Duration,
    /// How long a peer may take to close after us, once the application has lost interest in it.
    pub fin_wait_2: Duration,
    /// Retransmission timeout before a round trip was measured (RFC 6298, section 2.1).
    pub initial_rto: Duration,
    /// How far the retransmission timeout is above the round trip at least. RFC 6298 wants it to be a second in all, which costs more
    /// than it saves today; this is Linux's.
    pub min_rto: Duration,
    /// Longest retransmission timeout, at least a minute (RFC 6298, section 2.5).
    pub max_rto: Duration,
    /// How often a SYN is sent again before the connection is given up. RFC 9293 (MUST-23) wants three minutes of trying.
    pub syn_retries: u8,
    /// How often a SYN-ACK is sent again before a half-open connection is forgotten: 31 times at most.
    pub syn_ack_retries: u8,
    /// How often anything else is sent again before the connection is given up, where no user timeout says when.
    pub retries: u8,
    /// How often, when no application is left to care.
    pub orphan_retries: u8,
    /// How long bytes may stay unacknowledged before the connection is given up, where the application has not
    /// said (RFC 9293, section 3.8.3). `None`: [`retries`](Self::retries) decides.
    pub user_timeout: Option<Duration>,
    /// How long an ACK waits for data to ride on; below half a second (RFC 9293, section 3.8.6.3).
    pub delayed_ack: Duration,
    /// Whether the ACK of a FIN waits so, too, for data or a FIN of ours. One that ends the connection does not wait.
    pub delay_fin_ack: bool,
    /// How many ACKs a connection sends at once before it begins to delay them: the peer is in slow start then.
    pub quick_acks: u8,
    /// Segments that may be sent before the first is acknowledged (RFC 6928).
    pub initial_window: u8,
    /// What decides how much may be in flight.
    pub congestion: Algorithm,
    /// Whether what is sent is spread over the round trip.
    pub pacing: Pacing,
    /// Whether segment sizes are tried out, where ICMP does not tell them (RFC 4821).
    pub mtu_probing: MtuProbing,
    /// Bytes of payload in a segment that nearly every path carries: what is sent where larger segments vanish, and what
    /// [`MtuProbing::Always`] begins with. One of [`BASE_MSS`](Self::BASE_MSS).
    pub base_mss: u16,
    /// Segments that leave together at least, where there is room for so many.
    pub train_min: u8,
    /// Which segments have PSH.
    pub push: PushRule,
    /// In which order the options of a SYN stand.
    pub option_order: OptionOrder,
    /// What applications are told of resets and ICMP errors.
    pub errors: ErrorMapping,
    /// TCP Fast Open (RFC 7413), for listeners and connections that ask for it.
    pub fast_open: FastOpenConfig,
    /// Whether to offer the timestamps option (RFC 7323).
    pub timestamps: bool,
    /// Whether to take part in explicit congestion notification (RFC 3168 and 9768).
    pub ecn: EcnPolicy,
    /// Whether to offer selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Whether to offer the window scale option (RFC 7323).
    pub window_scaling: bool,
    /// How long a connection is silent before keep-alive, if switched on, asks whether the peer is still there.
    pub keepalive_idle: Duration,
    /// How long keep-alive waits for each answer.
    pub keepalive_interval: Duration,
    /// How many questions in a row may stay unanswered.
    pub keepalive_probes: u8,
    /// Challenge ACKs that a core sends in a second, give or take a random half (RFC 5961, section 7).
    pub challenge_acks: u32,
}

/// Whether what a window allows leaves at once, or bit by bit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Pacing {
    /// The congestion control says: BBR paces, the others do not.
    #[default]
    ByController,
    /// Everything is paced, in slow start at twice the window in a round trip and later at 1.2 times. Bursts become shorter, which spares short
    /// queues, and each connection costs a timer a millisecond.
    Always,
}

/// Which segments tell the peer that what has come so far is worth passing on (PSH; RFC 9293, section 3.9.1.2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum PushRule {
    /// The last of several that leave together, and the last of what was written.
    #[default]
    Trains,
    /// The last of what was written.
    Written,
}

/// What applications are told where the RFCs leave it open.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ErrorMapping {
    /// A reset that follows the peer's FIN is a broken pipe (`EPIPE`). An ICMP error about its SYN ends a connection attempt, whatever it
    /// says: the program may want to try another address (RFC 5461, section 4.1).
    #[default]
    Linux,
    /// A reset is a reset (`ECONNRESET`). An attempt survives "destination unreachable" that may pass, and "time exceeded", as RFC 9293 has it
    /// (section 3.9.2.2); it gives up when nobody answers, with what ICMP has said.
    FreeBsd,
}

/// TCP Fast Open (RFC 7413): data on the SYN. Who uses it says so:
/// [`ListenOptions::fast_open`](crate::ListenOptions::fast_open) and [`Core::connect_with_data`](crate::Core::connect_with_data).
#[derive(Clone, Debug, Default)]
pub struct FastOpenConfig {
    /// The secret of the cookies that listeners hand out. Stacks that share it take each other's cookies; its bytes are those of Linux's
    /// `net.ipv4.tcp_fastopen_key`, each of the four words with its last byte first. `None`: drawn at the start.
    pub key: Option<[u8; 16]>,
    /// Whether listeners take data on a SYN that brings no cookie. Then anybody can have them work and answer, whatever source address he writes:
    /// for networks where nobody can forge one.
    pub accepts_without_cookie: bool,
    /// Whether connections send data on their SYN to a server that has handed out no cookie.
    pub sends_without_cookie: bool,
}

/// Whether connections take part in explicit congestion notification: as in RFC 3168, one mark in a round trip, or with accurate feedback (AccECN, RFC
/// 9768), every mark.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum EcnPolicy {
    /// Never.
    Off,
    /// Those that a peer opens who asks for it, in the way that he asks for.
    WhenAsked,
    /// Those, and our own SYNs ask for it as in RFC 3168.
    #[default]
    Ask,
    /// Those, and our own SYNs ask for accurate feedback; a peer that does not know it answers as in RFC 3168.
    AskAccurate,
}

/// Whether TCP finds out by itself how large a packet a path carries (packetization layer path MTU discovery, RFC 4821).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum MtuProbing {
    /// No: routers tell it by ICMP, or nobody does. What they have told is forgotten after ten minutes.
    Off,
    /// Where full segments time out twice in a row, smaller ones are sent, and then a larger one is tried now and then.
    #[default]
    OnBlackHole,
    /// Segments are small at first on every path.
    Always,
}

/// When a SYN is answered with a cookie: nothing is remembered of it, and the ACK that brings the cookie back makes the connection.
///
/// A handshake with a cookie is not repeated from here when something of it is lost, segment sizes are rounded down, and a peer without
/// timestamps gets no window scaling, no selective acknowledgements and no ECN but AccECN. So cookies are for floods.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum CookiePolicy {
    /// Never: SYNs beyond the limits are dropped.
    Off,
    /// While there are as many half-open connections as there may be, of the core, the listener, or the peer's network.
    #[default]
    OnPressure,
    /// Always.
    Always,
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            receive_buffer: 256 << 10,
            receive_buffer_max: 8 << 20,
            send_buffer: 256 << 10,
            send_buffer_max: 8 << 20,
            receive_low_water: 1,
            unsent_low_water: None,
            max_buffered: 1 << 30,
            max_connections: 1 << 17,
            max_half_open: 1 << 14,
            max_half_open_per_listener: 1 << 13,
            max_half_open_per_source: 1 << 11,
            syn_cookies: CookiePolicy::default(),
            max_time_wait: 1 << 20,
            ephemeral_ports: 32_768..=60_999,
            time_wait: Duration::from_secs(60),
            fin_wait_2: Duration::from_secs(60),
            initial_rto: Duration::from_secs(1),
            min_rto: Duration::from_millis(200),
            max_rto: Duration::from_secs(120),
            syn_retries: 7,
            syn_ack_retries: 5,
            retries: 15,
            orphan_retries: 8,
            user_timeout: None,
            delayed_ack: Duration::from_millis(40),
            delay_fin_ack: true,
            quick_acks: 16,
            initial_window: 10,
            congestion: Algorithm::default(),
            pacing: Pacing::default(),
            mtu_probing: MtuProbing::default(),
            base_mss: 1024,
            train_min: 2,
            push: PushRule::default(),
            option_order: OptionOrder::default(),
            errors: ErrorMapping::default(),
            fast_open: FastOpenConfig::default(),
            timestamps: true,
            ecn: EcnPolicy::default(),
            sack: true,
            window_scaling: true,
            keepalive_idle: Duration::from_secs(7200),
            keepalive_interval: Duration::from_secs(75),
            keepalive_probes: 9,
            challenge_acks: 1000,
        }
    }
}

impl TcpConfig {
    /// What [`base_mss`](Self::base_mss) may be, in bytes.
    pub const BASE_MSS: RangeInclusive<u16> = 512..=65_495;

    pub(super) fn rto_limits(&self) -> RtoLimits {
        RtoLimits {
            initial: self.initial_rto.into(),
            min: self.min_rto.into(),
            max: self.max_rto.into(),
        }
    }

    pub(super) fn half_open_limits(&self) -> Limits {
        Limits {
            all: self.max_half_open,
            listener: self.max_half_open_per_listener,
            source: self.max_half_open_per_source,
        }
    }

    /// The shift by which the window field can express the largest receive buffer (RFC 7323, section 2.3: at most 14).
    pub(super) fn window_shift(&self) -> u8 {
        let fits = |shift: &u8| self.largest_receive_buffer() >> shift <= usize::from(u16::MAX);
        (0..14).find(fits).unwrap_or(14)
    }

    /// Whether a stack can run so.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput), saying what to change.
    pub fn check(&self) -> io::Result<()> {
        let first = [self.receive_buffer, self.send_buffer];
        let largest = [self.receive_buffer_max, self.send_buffer_max];
        let ports = &self.ephemeral_ports;
        let wrong = if first.iter().any(|size| !(BUFFER_MIN..=BUFFER_MAX).contains(size))
            || largest.iter().any(|&size| size > BUFFER_MAX)
        {
            "TCP buffers are 4 KiB to 1 GiB"
        } else if self.receive_low_water == 0 || self.unsent_low_water == Some(0) {
            "a low-water mark is at least one byte"
        } else if self.max_buffered < self.receive_buffer.next_multiple_of(CHUNK) {
            "the memory of all TCP connections is enough for one receive buffer, in chunks of 16 KiB"
        } else if [self.max_connections, self.max_time_wait, self.max_half_open].contains(&0)
            || [self.max_half_open_per_listener, self.max_half_open_per_source].contains(&0)
        {
            "TCP needs room for at least one connection in every table"
        } else if self.max_connections.max(self.max_half_open).max(self.max_time_wait) > TABLE_MAX {
            "a TCP table holds at most 2^30 connections"
        } else if ports.is_empty() || *ports.start() == 0 {
            "the range of ephemeral ports is empty, or holds port 0"
        } else if self.min_rto.is_zero() || self.min_rto > self.initial_rto {
            "what the shortest retransmission timeout adds to the round trip lies above zero and not above the initial timeout"
        } else if self.initial_rto > self.max_rto || self.max_rto > RTO_MAX {
            "the longest retransmission timeout is at least the initial one, and at most an hour"
        } else if self.delayed_ack > DELAYED_ACK_MAX {
            "an ACK is delayed by at most 500 ms (RFC 9293, section 3.8.6.3)"
        } else if self.initial_window == 0 {
            "the initial window is at least one segment"
        } else if !Self::BASE_MSS.contains(&self.base_mss) {
            "the base segment size is 512 to 65495 bytes: less is mostly headers, and no packet holds more"
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, wrong))
    }
}

const BUFFER_MIN: usize = 4 << 10;
/// The largest window that RFC 7323 can express.
const BUFFER_MAX: usize = 1 << 30;
const TABLE_MAX: usize = 1 << 30;
const RTO_MAX: Duration = Duration::from_secs(3600);
const DELAYED_ACK_MAX: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_runs_and_what_cannot_is_refused() {
        type Change = fn(&mut TcpConfig);
        let changes: [(Change, &str); 12] = [
            (|c| c.receive_low_water = 0, "low-water"),
            (|c| c.unsent_low_water = Some(0), "low-water"),
            (|c| c.receive_buffer = 0, "buffers"),
            (|c| c.max_buffered = c.receive_buffer - 1, "all TCP connections"),
            (|c| c.max_half_open = 0, "at least one connection"),
            (|c| c.max_half_open_per_source = 0, "at least one connection"),
            (|c| c.max_connections = usize::MAX, "2^30"),
            (|c| c.ephemeral_ports = 0..=10, "port 0"),
            (|c| c.min_rto = Duration::from_secs(2), "shortest"),
            (|c| c.max_rto = Duration::from_millis(1), "longest"),
            (|c| c.delayed_ack = Duration::from_secs(1), "500 ms"),
            (|c| c.base_mss = 511, "512 to 65495"),
        ];
        TcpConfig::default().check().unwrap();
        for (change, want) in changes {
            let mut config = TcpConfig::default();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}
