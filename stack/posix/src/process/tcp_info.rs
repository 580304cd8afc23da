//! `struct tcp_info` of Linux 6.18, as far as the stack knows what goes into it.

use std::time::Duration;

use darner::time::Instant;
use darner::{ConnectionInfo, RecoveryPhase, TcpState};

/// The struct's bytes. Without a connection: of a listener, or of a socket that is closed.
/// `most` is what a packet of the link carries.
pub(super) fn tcp_info(
    info: Option<&ConnectionInfo>,
    listens: bool,
    (now, most): (Instant, u16),
) -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    let Some(info) = info else {
        bytes[0] = if listens { LISTEN } else { CLOSE };
        return bytes;
    };
    bytes[STATE] = state(info.state);
    bytes[CA_STATE] = phase(info.recovery);
    bytes[RETRANSMITS] = info.timeouts;
    bytes[PROBES] = info.window_probes;
    bytes[BACKOFF] = info.timeouts.max(info.window_probes);
    bytes[OPTIONS] = options(info);
    let (ours, theirs) = info.window_shifts.unwrap_or_default();
    bytes[WINDOW_SHIFTS] = theirs & 0xf | ours << 4;
    let size = u32::from(info.segment_size).max(1);
    let segments = |bytes: u32| bytes.div_ceil(size);
    let words = [
        (RTO, micros(info.timeout)),
        (SEGMENT_SIZE, size),
        (RECEIVED_SEGMENT_SIZE, info.received_segment_size.into()),
        (UNACKNOWLEDGED, segments(info.in_flight)),
        (SELECTIVELY_ACKNOWLEDGED, segments(info.selectively_acknowledged)),
        // What was lost and sent again still counts as lost there.
        (LOST, segments(info.lost + info.retransmitted_in_flight)),
        (RETRANSMITTED, segments(info.retransmitted_in_flight)),
        (RTT, info.round_trip.map_or(0, micros)),
        (SLOW_START_THRESHOLD, info.slow_start_threshold.map_or(INFINITE, |bytes| bytes / size)),
        (CONGESTION_WINDOW, info.congestion_window / size),
        (ANNOUNCED_SEGMENT_SIZE, info.max_segment_size.map_or(most, |size| size.min(most)).into()),
        (REORDERING, segments(info.reordering_degree).max(DUPLICATES)),
        (REORDERINGS, info.reorderings),
        (LAST_DATA_RECEIVED, millis(now.since(info.last_data))),
        (DELIVERED, delivered(info)),
        (ALL_RETRANSMITTED, info.retransmitted),
        (SHORTEST_RTT, info.shortest_round_trip.map_or(u32::MAX, micros)),
        (SEND_WINDOW, info.send_window),
        (RECEIVE_WINDOW, info.receive_window),
        (DELIVERED_MARKED, info.ecn_delivered.marked_packets),
        (RECEIVED_MARKED, info.ecn_received.marked_packets),
        (DELIVERED_ECT1_BYTES, info.ecn_delivered.ect1_bytes),
        (DELIVERED_ECT0_BYTES, info.ecn_delivered.ect0_bytes),
        (DELIVERED_MARKED_BYTES, info.ecn_delivered.marked_bytes),
        (RECEIVED_ECT1_BYTES, info.ecn_received.ect1_bytes),
        (RECEIVED_ECT0_BYTES, info.ecn_received.ect0_bytes),
        (RECEIVED_MARKED_BYTES, info.ecn_received.marked_bytes),
    ];
    for (at, word) in words {
        bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    for (at, span) in [
        (BUSY_TIME, info.busy),
        (WINDOW_LIMITED, info.window_limited),
        (BUFFER_LIMITED, info.buffer_limited),
    ] {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        bytes[at..at + 8].copy_from_slice(&micros.to_ne_bytes());
    }
    bytes
}

fn options(info: &ConnectionInfo) -> u8 {
    let bit = |on: bool, bit: u8| if on { bit } else { 0 };
    bit(info.timestamps, TIMESTAMPS)
        | bit(info.sack, SACK)
        | bit(info.window_shifts.is_some(), WINDOW_SCALE)
        | bit(info.ecn, ECN)
        | bit(info.syn_data, SYN_DATA)
}

fn state(state: TcpState) -> u8 {
    match state {
        TcpState::Established => 1,
        TcpState::SynSent => 2,
        TcpState::SynReceived => 3,
        TcpState::FinWait1 => 4,
        TcpState::FinWait2 => 5,
        TcpState::TimeWait => 6,
        TcpState::Closed => CLOSE,
        TcpState::CloseWait => 8,
        TcpState::LastAck => 9,
        TcpState::Listen => LISTEN,
        TcpState::Closing => 11,
    }
}

fn phase(phase: RecoveryPhase) -> u8 {
    match phase {
        RecoveryPhase::Open => 0,
        RecoveryPhase::Disorder => 1,
        RecoveryPhase::Recovery => 3,
        RecoveryPhase::Loss => 4,
    }
}

/// Segments, our SYN among them.
fn delivered(info: &ConnectionInfo) -> u32 {
    let size = u32::from(info.segment_size).max(1);
    let opening = matches!(info.state, TcpState::SynSent | TcpState::SynReceived);
    let with_data = info.syn_data && info.delivered > 0;
    let syn = !opening && !with_data;
    info.delivered.div_ceil(size) + u32::from(syn)
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

fn micros(span: Duration) -> u32 {
    u32::try_from(span.as_micros()).unwrap_or(u32::MAX)
}

/// States of sockets without a connection.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

/// Bits of `tcpi_options`.
const TIMESTAMPS: u8 = 1;
const SACK: u8 = 2;
const WINDOW_SCALE: u8 = 4;
const ECN: u8 = 8;
const SYN_DATA: u8 = 32;

/// A slow start threshold that was never set.
const INFINITE: u32 = 0x7fff_ffff;

/// Segments that may come out of order before one counts as lost, in the beginning.
const DUPLICATES: u32 = 3;

/// Where the fields are.
const STATE: usize = 0;
const CA_STATE: usize = 1;
const RETRANSMITS: usize = 2;
const PROBES: usize = 3;
const BACKOFF: usize = 4;
const OPTIONS: usize = 5;
const WINDOW_SHIFTS: usize = 6;
const RTO: usize = 8;
const SEGMENT_SIZE: usize = 16;
const RECEIVED_SEGMENT_SIZE: usize = 20;
const UNACKNOWLEDGED: usize = 24;
const SELECTIVELY_ACKNOWLEDGED: usize = 28;
const LOST: usize = 32;
const RETRANSMITTED: usize = 36;
const LAST_DATA_RECEIVED: usize = 52;
const RTT: usize = 68;
const SLOW_START_THRESHOLD: usize = 76;
const CONGESTION_WINDOW: usize = 80;
const ANNOUNCED_SEGMENT_SIZE: usize = 84;
const REORDERING: usize = 88;
const ALL_RETRANSMITTED: usize = 100;
const SHORTEST_RTT: usize = 148;
const BUSY_TIME: usize = 168;
const WINDOW_LIMITED: usize = 176;
const BUFFER_LIMITED: usize = 184;
const DELIVERED: usize = 192;
const DELIVERED_MARKED: usize = 196;
const SEND_WINDOW: usize = 228;
const REORDERINGS: usize = 220;
const RECEIVE_WINDOW: usize = 232;
const RECEIVED_MARKED: usize = 248;
const DELIVERED_ECT1_BYTES: usize = 252;
const DELIVERED_ECT0_BYTES: usize = 256;
const DELIVERED_MARKED_BYTES: usize = 260;
const RECEIVED_ECT1_BYTES: usize = 264;
const RECEIVED_ECT0_BYTES: usize = 268;
const RECEIVED_MARKED_BYTES: usize = 272;
const LEN: usize = 280;
