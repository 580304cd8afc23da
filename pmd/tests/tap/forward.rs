//! What a device leaves to the kernel shows only when the packet goes on: so the kernel routes it, out to a tap that takes
//! nothing large and no open checksum.

use std::fs;
use std::time::{Duration, Instant};

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use pmd::tap::{self, Offload, Options, Tap};
use pmd::{Burst, Frame, IpVersion, L4Checksum, Pool, QueuePair, TxChecksum, TxSegmentation};

use super::namespace::ip;

/// From the device that is tested to behind the far tap.
const FROM: [u8; 4] = [10, 9, 0, 2];
const TO: [u8; 4] = [10, 8, 0, 2];

/// The far tap, and the kernel's way to it from any device.
pub(crate) struct Router {
    _far: Tap,
    queues: Vec<Box<dyn QueuePair>>,
}

impl Router {
    pub(crate) fn new() -> Self {
        let options = Options { offload: Offload::None, frames: 512, ..Options::default() };
        let (far, queues) =
            tap::open(&"far,address=10.8.0.1/24".parse().unwrap(), &options).unwrap();
        let mac = far.mac().map(|byte| format!("{byte:02x}")).join(":");
        ip(&format!("neigh add 10.8.0.2 lladdr {mac} dev far"));
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        Self { _far: far, queues }
    }

    /// The TCP and UDP packets that come out at the far end, within a while after the last.
    pub(crate) fn take(&mut self, count: usize) -> Vec<Vec<u8>> {
        let mut packets = vec![];
        let deadline = Instant::now() + Duration::from_secs(5);
        while packets.len() < count && Instant::now() < deadline {
            let mut burst = Burst::new();
            self.queues[0].rx_burst(&mut burst);
            let bytes = |frame: Frame| frame.segments().flatten().copied().collect::<Vec<u8>>();
            packets.extend(burst.drain().map(bytes).filter(|bytes| bytes[30..34] == TO));
        }
        packets
    }
}

/// A UDP and a TCP packet with open checksums, each with what it is to be at the end.
pub(crate) fn open_checksums(pool: &Pool, station: [u8; 6], fills_ipv4: bool) -> Vec<Frame> {
    let of = |l4, field: usize| {
        let ip = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], station).ipv4(FROM, TO, 64);
        let mut bytes = vec![];
        match l4 {
            L4Checksum::Udp => ip.udp(7, 8).write(&mut bytes, b"over UDP"),
            _ => ip.tcp(7, 8, 9, 10).write(&mut bytes, b"over TCP"),
        }
        .unwrap();
        put_pseudo_sum(&mut bytes, field, fills_ipv4);
        let mut frame = pool.frame_of(&bytes).unwrap();
        frame.request_checksum(TxChecksum { l2_len: 14, l3_len: 20, ipv4_header: fills_ipv4, l4 });
        frame
    };
    vec![of(L4Checksum::Udp, 6), of(L4Checksum::Tcp, 16)]
}

/// A packet of `len` bytes of payload, to be cut.
pub(crate) fn large(
    pool: &Pool,
    station: [u8; 6],
    fills_ipv4: bool,
    (len, segment_size): (usize, u16),
) -> Frame {
    let mut bytes = vec![];
    PacketBuilder::ethernet2([2, 0, 0, 0, 0, 9], station)
        .ipv4(FROM, TO, 64)
        .tcp(7, 8, SEQ, 10)
        .ack(1)
        .psh()
        .fin()
        .options_raw(&[1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6])
        .unwrap()
        .write(&mut bytes, &payload(len))
        .unwrap();
    put_pseudo_sum(&mut bytes, 16, fills_ipv4);
    let mut frame = pool.frame_of(&bytes).unwrap();
    frame.request_segmentation(TxSegmentation {
        l2_len: 14,
        l3_len: 20,
        l4_len: 32,
        segment_size,
        ip: IpVersion::V4,
        ipv4_header: fills_ipv4,
    });
    frame
}

/// Checks that the packets are a `large` of `len` bytes in segments of at most `segment_size`.
#[track_caller]
pub(crate) fn check_segments(packets: &[Vec<u8>], (len, segment_size): (usize, usize)) {
    let (mut seq, mut came) = (SEQ, vec![]);
    for (index, packet) in packets.iter().enumerate() {
        let (flags, bytes) = checked(packet);
        let is_last = index + 1 == packets.len();
        let end = if is_last { FIN | PSH } else { 0 };
        assert_eq!((flags.0, flags.1), (seq, ACK | end), "segment {index}");
        assert!(bytes.len() == segment_size || is_last, "segment {index}: {} bytes", bytes.len());
        seq = seq.wrapping_add(u32::try_from(bytes.len()).unwrap());
        came.extend(bytes);
    }
    assert_eq!(packets.len(), len.div_ceil(segment_size));
    assert!(came == payload(len), "{} bytes came", came.len());
}

/// Sequence number, flags and payload of a packet, all of whose checksums must be right.
#[track_caller]
pub(crate) fn checked(packet: &[u8]) -> ((u32, u8), Vec<u8>) {
    let sliced = SlicedPacket::from_ethernet(packet).unwrap();
    let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net else { panic!("no IPv4") };
    let header = ip.header().to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => {
            let sum = tcp.calc_checksum_ipv4(header.source, header.destination).unwrap();
            assert_eq!(tcp.checksum(), sum, "{} bytes", packet.len());
            ((tcp.sequence_number(), tcp.slice()[13]), tcp.payload().to_vec())
        }
        Some(TransportSlice::Udp(udp)) => {
            let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap();
            assert_eq!(udp.checksum(), sum);
            ((0, 0), udp.payload().to_vec())
        }
        other => panic!("{other:?}"),
    }
}

/// Makes a right packet one with an open checksum: `field` is where the transport has it.
fn put_pseudo_sum(bytes: &mut [u8], field: usize, fills_ipv4: bool) {
    let len = u16::try_from(bytes.len() - 34).unwrap().to_be_bytes();
    let protocol = [0, bytes[23]];
    let words = bytes[26..34].chunks(2).chain([&protocol[..], &len]);
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = u16::try_from(sum).unwrap();
    bytes[34 + field..][..2].copy_from_slice(&sum.to_be_bytes());
    if fills_ipv4 {
        bytes[24..26].fill(0);
    }
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

const SEQ: u32 = 0xffff_f000;
const FIN: u8 = 1;
const PSH: u8 = 8;
const ACK: u8 = 16;
