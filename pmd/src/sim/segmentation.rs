//! Cutting a TCP packet into segments, as a card does that is asked to.

use super::offload::sum;
use crate::{Frame, IpVersion, Pool, TxSegmentation};

/// Why a packet was not cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Uncut {
    /// What is asked for does not fit it.
    Misfit,
    /// There are too few frames for the segments.
    NoFrames,
}

/// The segments, with all their checksums, in frames of `pool`.
pub(super) fn cut(
    frame: &Frame,
    wanted: &TxSegmentation,
    pool: &Pool,
) -> Result<Vec<Frame>, Uncut> {
    let payload_len = wanted.payload_len(frame).ok_or(Uncut::Misfit)?;
    let mut bytes = vec![0; frame.len()];
    frame.copy_to(0, &mut bytes);
    let (headers, behind) = bytes.split_at(wanted.headers_len());
    // Behind the packet stands what fills a frame up to the link's shortest.
    let payload = &behind[..payload_len];
    let size = usize::from(wanted.segment_size);
    let count = payload.len().div_ceil(size).max(1);
    let segment = |number: usize| {
        let start = (number * size).min(payload.len());
        let part = &payload[start..payload.len().min(start + size)];
        let mut bytes = [headers, part].concat();
        let place = Place { number, start, is_last: number + 1 == count };
        write_headers(&mut bytes, wanted, place);
        pool.frame_of(&bytes).ok_or(Uncut::NoFrames)
    };
    (0..count).map(segment).collect()
}

/// Where a segment is among those of its packet.
#[derive(Clone, Copy)]
struct Place {
    number: usize,
    /// Bytes of payload before its own.
    start: usize,
    is_last: bool,
}

/// Makes the headers of a segment of those of its packet (RFC 9293, section 3.1).
fn write_headers(bytes: &mut [u8], wanted: &TxSegmentation, place: Place) {
    let ip = usize::from(wanted.l2_len);
    let tcp = ip + usize::from(wanted.l3_len);
    let tcp_len = lower_half(bytes.len() - tcp);
    write_ip(&mut bytes[ip..], wanted, place);
    let segment = &mut bytes[tcp..];
    let seq = read_u32(&segment[4..8]).wrapping_add(u32::try_from(place.start).unwrap_or(0));
    segment[4..8].copy_from_slice(&seq.to_be_bytes());
    if !place.is_last {
        segment[13] &= !(FIN | PSH);
    }
    if place.number > 0 {
        segment[13] &= !CWR;
    }
    segment[16..18].fill(0);
    let addresses = match wanted.ip {
        IpVersion::V4 => 12..20,
        IpVersion::V6 => 8..40,
    };
    let pseudo_header =
        u64::from(sum(0, &bytes[ip..][addresses])) + u64::from(TCP) + u64::from(tcp_len);
    let checksum = !sum(pseudo_header, &bytes[tcp..]);
    bytes[tcp + 16..tcp + 18].copy_from_slice(&checksum.to_be_bytes());
}

fn write_ip(packet: &mut [u8], wanted: &TxSegmentation, place: Place) {
    match wanted.ip {
        IpVersion::V4 => {
            let total_len = lower_half(packet.len());
            let number = lower_half(place.number);
            let identification = u16::from_be_bytes([packet[4], packet[5]]).wrapping_add(number);
            packet[2..4].copy_from_slice(&total_len.to_be_bytes());
            packet[4..6].copy_from_slice(&identification.to_be_bytes());
            packet[10..12].fill(0);
            let checksum = !sum(0, &packet[..usize::from(wanted.l3_len)]);
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        IpVersion::V6 => {
            let payload_len = lower_half(packet.len() - IPV6_LEN);
            packet[4..6].copy_from_slice(&payload_len.to_be_bytes());
        }
    }
}

fn read_u32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// Lengths of packets, which are below 64 KiB.
fn lower_half(number: usize) -> u16 {
    u16::try_from(number & 0xffff).unwrap_or(0)
}

const IPV6_LEN: usize = 40;
const TCP: u8 = 6;
const FIN: u8 = 0x01;
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

#[cfg(test)]
mod tests;
