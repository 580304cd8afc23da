//! Packets that a device is to cut into segments, as DPDK wants them.

use super::device::{Plan, TAP_CUTS};
use crate::{Frame, IpVersion, Pool, TxSegmentation};

/// What a device takes of them.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    mtu: u16,
    /// Of the packet, the link's header aside; 0 where the device cuts nothing.
    largest: u16,
    /// Segments that become of it.
    most: u16,
    /// Segments of its chain.
    longest_chain: u16,
    /// What the driver takes as a whole segment.
    measure: Measure,
}

/// How a driver measures segments.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Measure {
    Packet,
    /// net_tap holds the frame, the link's header included, against the MTU, and waits for ever with one that is longer
    /// (DPDK 22.11).
    Frame,
}

/// What became of a packet that is to be cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cut {
    /// The driver can have it.
    Ready,
    /// No driver could cut it as it is asked for, or not this one.
    Misfit,
    /// It must be copied, and the pool is empty.
    NoFrames,
}

impl Limits {
    pub(super) fn of(plan: &Plan, is_tap: bool) -> Self {
        Self {
            mtu: plan.mtu,
            largest: plan.tx.tcp_segmentation,
            most: if is_tap { TAP_CUTS } else { plan.tx.tcp_segments },
            longest_chain: plan.longest_chain,
            measure: if is_tap { Measure::Frame } else { Measure::Packet },
        }
    }

    /// Makes a packet such that the driver can cut it. To do so twice changes nothing: a device that is full is offered it
    /// again.
    pub(super) fn make_ready(&self, frame: &mut Frame, pool: &Pool) -> Cut {
        let Some(mut wanted) = frame.requested_segmentation() else { return Cut::Misfit };
        let Some(payload_len) = wanted.payload_len(frame) else { return Cut::Misfit };
        let fits = wanted.packet_len() <= usize::from(self.mtu)
            && frame.len() <= usize::from(wanted.l2_len) + usize::from(self.largest);
        if !fits {
            return Cut::Misfit;
        }
        if !frame.is_all_mbuf() || frame.segment_count() > usize::from(self.longest_chain) {
            let Some(mut copy) = pool.copy_of(frame) else { return Cut::NoFrames };
            copy.copy_tx_request(frame);
            if copy.segment_count() > usize::from(self.longest_chain) {
                return Cut::Misfit;
            }
            *frame = copy;
        }
        if payload_len <= usize::from(wanted.segment_size) {
            frame.leave_uncut();
            return Cut::Ready;
        }
        if self.measure == Measure::Frame {
            let room = usize::from(self.mtu).saturating_sub(wanted.headers_len());
            let room = u16::try_from(room).unwrap_or(u16::MAX);
            wanted.segment_size = wanted.segment_size.min(room);
            frame.request_segmentation(wanted);
        }
        if payload_len.div_ceil(wanted.segment_size.max(1).into()) > usize::from(self.most) {
            return Cut::Misfit;
        }
        put_sum_without_length(frame, &wanted);
        Cut::Ready
    }
}

/// DPDK has the pseudo-header's sum in such packets without a length, since the segments' lengths differ.
fn put_sum_without_length(frame: &mut Frame, wanted: &TxSegmentation) {
    let ip = usize::from(wanted.l2_len);
    let addresses = match wanted.ip {
        IpVersion::V4 => ip + 12..ip + 20,
        IpVersion::V6 => ip + 8..ip + 40,
    };
    let head = frame.head_mut();
    let Some(addresses) = head.get(addresses) else { return };
    let words = addresses.chunks_exact(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let mut sum = words.sum::<u32>() + TCP;
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    let sum = u16::try_from(sum).unwrap_or(u16::MAX);
    let field = ip + usize::from(wanted.l3_len) + TCP_FIELD;
    if let Some(field) = head.get_mut(field..field + 2) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

const TCP: u32 = 6;
const TCP_FIELD: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        mtu: 1500,
        largest: u16::MAX,
        most: u16::MAX,
        longest_chain: 4,
        measure: Measure::Packet,
    };

    fn packet(pool: &Pool, segment_size: u16) -> Frame {
        packet_of(pool, segment_size, 5000)
    }

    /// So many bytes of TCP over IPv4 from 10.0.0.1 to 10.0.0.2, with the sum that the stack puts there.
    fn packet_of(pool: &Pool, segment_size: u16, len: u16) -> Frame {
        let mut bytes = vec![0; 14 + 20 + 20 + usize::from(len)];
        bytes[14] = 0x45;
        bytes[16..18].copy_from_slice(&(40 + len).to_be_bytes());
        bytes[23] = 6;
        bytes[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        bytes[46] = 5 << 4;
        bytes[50..52].copy_from_slice(&(0x1409_u16 + len + 20).to_be_bytes());
        let mut frame = pool.frame_of(&bytes).unwrap();
        let (l2_len, l3_len, l4_len, ip) = (14, 20, 20, IpVersion::V4);
        let ipv4_header = true;
        let wanted = TxSegmentation { l2_len, l3_len, l4_len, segment_size, ip, ipv4_header };
        frame.request_segmentation(wanted);
        frame
    }

    fn sum(frame: &Frame) -> [u8; 2] {
        [frame.head()[50], frame.head()[51]]
    }

    #[test]
    fn the_length_leaves_the_sum_once_however_often_a_packet_is_offered() {
        let pool = Pool::heap(10, 2048);
        let mut frame = packet(&pool, 1460);
        for _ in 0..2 {
            assert_eq!(LIMITS.make_ready(&mut frame, &pool), Cut::Ready);
            assert_eq!(sum(&frame), [0x14, 0x09]);
            assert_eq!(frame.requested_segmentation().unwrap().segment_size, 1460);
        }
    }

    #[test]
    fn what_fits_one_segment_is_sent_as_it_is() {
        let limits = Limits { mtu: 9000, ..LIMITS };
        let pool = Pool::heap(10, 2048);
        let mut frame = packet(&pool, 5000);
        assert_eq!(limits.make_ready(&mut frame, &pool), Cut::Ready);
        assert_eq!(frame.requested_segmentation(), None);
        assert!(frame.requested_checksum().is_some());
        assert_eq!(sum(&frame), (0x1409_u16 + 5020).to_be_bytes());
    }

    #[test]
    fn what_the_driver_would_wait_for_is_refused() {
        let pool = Pool::heap(20, 2048);
        let ready = |limits: Limits, size, pool: &Pool| {
            limits.make_ready(&mut packet(&Pool::heap(20, 2048), size), pool)
        };
        assert_eq!(ready(LIMITS, 1461, &pool), Cut::Misfit, "beyond the MTU");
        assert_eq!(ready(LIMITS, 0, &pool), Cut::Misfit);
        assert_eq!(ready(Limits { largest: 5039, ..LIMITS }, 1460, &pool), Cut::Misfit);
        assert_eq!(ready(Limits { largest: 5040, ..LIMITS }, 1460, &pool), Cut::Ready);
        assert_eq!(ready(Limits { most: 3, ..LIMITS }, 1460, &pool), Cut::Misfit);
        assert_eq!(ready(Limits { most: 4, ..LIMITS }, 1460, &pool), Cut::Ready);
        assert_eq!(ready(Limits { longest_chain: 2, ..LIMITS }, 1460, &pool), Cut::Misfit);
        assert_eq!(ready(LIMITS, 1460, &Pool::heap(2, 2048)), Cut::NoFrames);
        assert_eq!(pool.available(), 20);
        let tap = Limits { measure: Measure::Frame, most: 3, ..LIMITS };
        let mut frame = packet(&pool, 1460);
        assert_eq!(tap.make_ready(&mut frame, &pool), Cut::Misfit);
        let tap = Limits { most: 4, ..tap };
        assert_eq!(tap.make_ready(&mut frame, &pool), Cut::Ready);
        assert_eq!(frame.requested_segmentation().unwrap().segment_size, 1446);
        // Half as many as it makes, however short.
        let tap = Limits { most: 64, mtu: 68, ..tap };
        let mut frame = packet_of(&pool, 28, 32 * 28);
        assert_eq!(tap.make_ready(&mut frame, &pool), Cut::Ready);
    }
}
