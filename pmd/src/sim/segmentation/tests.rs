//! What a card cuts, against what a sender would have sent one by one, made by another's builder.

use etherparse::{PacketBuilder, TcpHeader, TcpOptionElement};
use proptest::prelude::*;

use super::*;
use crate::sim::{End, Offload, Sim, Way, Wire};
use crate::{Burst, QueuePair};

/// A stream of bytes, and how its packets look.
#[derive(Clone, Debug)]
struct Stream {
    ip: IpVersion,
    vlan: bool,
    timestamps: bool,
    payload: Vec<u8>,
    segment_size: u16,
    seq: u32,
    identification: u16,
    flags: u8,
    fills_ipv4: bool,
}

impl Stream {
    /// One packet of the stream: payload from `start` on, with these flags.
    fn packet(&self, start: usize, len: usize, number: u16, flags: u8) -> Vec<u8> {
        let seq = self.seq.wrapping_add(u32::try_from(start).unwrap());
        let mut tcp = TcpHeader::new(80, 50_000, seq, 1024);
        tcp.acknowledgment_number = 77;
        [tcp.fin, tcp.syn, tcp.rst, tcp.psh, tcp.ack, tcp.urg, tcp.ece, tcp.cwr] =
            std::array::from_fn(|bit| flags & 1 << bit != 0);
        if self.timestamps {
            let noop = TcpOptionElement::Noop;
            tcp.set_options(&[noop.clone(), noop, TcpOptionElement::Timestamp(5, 6)]).unwrap();
        }
        let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let mut bytes = vec![];
        let payload = &self.payload[start..start + len];
        match (self.ip, self.vlan) {
            (IpVersion::V4, vlan) => {
                let mut ip = etherparse::Ipv4Header::new(
                    0,
                    64,
                    etherparse::IpNumber::TCP,
                    [192, 0, 2, 1],
                    [198, 51, 100, 77],
                )
                .unwrap();
                ip.identification = self.identification.wrapping_add(number);
                let ip = etherparse::IpHeaders::Ipv4(ip, Default::default());
                match vlan {
                    false => ethernet.ip(ip).tcp_header(tcp).write(&mut bytes, payload).unwrap(),
                    true => ethernet
                        .single_vlan(7.try_into().unwrap())
                        .ip(ip)
                        .tcp_header(tcp)
                        .write(&mut bytes, payload)
                        .unwrap(),
                }
            }
            (IpVersion::V6, false) => {
                ethernet
                    .ipv6([1; 16], [2; 16], 64)
                    .tcp_header(tcp)
                    .write(&mut bytes, payload)
                    .unwrap();
            }
            (IpVersion::V6, true) => {
                let ethernet = ethernet.single_vlan(7.try_into().unwrap());
                ethernet
                    .ipv6([1; 16], [2; 16], 64)
                    .tcp_header(tcp)
                    .write(&mut bytes, payload)
                    .unwrap();
            }
        }
        bytes
    }

    fn wanted(&self) -> TxSegmentation {
        TxSegmentation {
            l2_len: if self.vlan { 18 } else { 14 },
            l3_len: match self.ip {
                IpVersion::V4 => 20,
                IpVersion::V6 => 40,
            },
            l4_len: if self.timestamps { 32 } else { 20 },
            segment_size: self.segment_size,
            ip: self.ip,
            ipv4_header: self.fills_ipv4,
        }
    }

    /// All of it in one packet, as it is handed to a card: with the pseudo-header's sum, and without what the card is to fill.
    fn whole(&self) -> Vec<u8> {
        let wanted = self.wanted();
        let mut bytes = self.packet(0, self.payload.len(), 0, self.flags);
        let (ip, tcp) =
            (usize::from(wanted.l2_len), usize::from(wanted.l2_len) + usize::from(wanted.l3_len));
        let addresses = match self.ip {
            IpVersion::V4 => ip + 12..ip + 20,
            IpVersion::V6 => ip + 8..ip + 40,
        };
        let start = u64::from(TCP) + (bytes.len() - tcp) as u64;
        let pseudo = sum(start, &bytes[addresses]);
        bytes[tcp + 16..tcp + 18].copy_from_slice(&pseudo.to_be_bytes());
        if self.ip == IpVersion::V4 && self.fills_ipv4 {
            bytes[ip + 10..ip + 12].fill(0);
        }
        bytes
    }

    /// What a sender without such a card would have sent.
    fn one_by_one(&self) -> Vec<Vec<u8>> {
        let size = usize::from(self.segment_size);
        let count = self.payload.len().div_ceil(size).max(1);
        (0..count)
            .map(|number| {
                let start = number * size;
                let len = size.min(self.payload.len() - start);
                let mut flags = self.flags;
                if number + 1 < count {
                    flags &= !(FIN | PSH);
                }
                if number > 0 {
                    flags &= !CWR;
                }
                self.packet(start, len, u16::try_from(number).unwrap(), flags)
            })
            .map(|mut bytes| {
                bytes.resize(bytes.len().max(60), 0);
                bytes
            })
            .collect()
    }
}

fn streams() -> impl Strategy<Value = Stream> {
    let ip = prop_oneof![Just(IpVersion::V4), Just(IpVersion::V6)];
    let len = prop_oneof![4 => 0..9000_usize, 1 => 60_000..65_400_usize];
    let shape = (ip, any::<[bool; 3]>(), len, 1..3000_u16, any::<u8>());
    (shape, any::<u32>(), any::<u16>(), any::<u8>()).prop_map(
        |((ip, [vlan, timestamps, fills_ipv4], len, size, first), seq, identification, flags)| {
            // As many segments as the simulation has copies for.
            let segment_size = size.max(u16::try_from(len / 1000).unwrap());
            let payload =
                (0..len).map(|n| first.wrapping_add(u8::try_from(n % 251).unwrap())).collect();
            // Neither SYN nor RST nor URG is cut.
            let flags = flags & (FIN | PSH | CWR | 0x50);
            Stream {
                ip,
                vlan,
                timestamps,
                payload,
                segment_size,
                seq,
                identification,
                flags,
                fills_ipv4,
            }
        },
    )
}

fn card(n: u16) -> End {
    End { offload: Offload::Segmentation, rx_ring: 70_000, ..End::new(n) }
}

fn contents(frame: &Frame) -> Vec<u8> {
    frame.segments().flatten().copied().collect()
}

proptest! {
    #[test]
    fn what_arrives_is_what_would_have_been_sent_one_by_one(stream in streams()) {
        let mut sim = Sim::new(1);
        let wire = Wire { mtu: 9000, ..Wire::default() };
        let (mut left, mut right) = sim.link(card(1), card(2), wire);
        let mut frame = left.info().pool.frame_of(&stream.whole()).unwrap();
        frame.request_segmentation(stream.wanted());
        let mut burst = Burst::new();
        burst.push(frame).unwrap();
        prop_assert_eq!(left.tx_burst(&mut burst), 1);
        sim.advance(1);
        let mut arrived = vec![];
        while right.rx_burst(&mut burst) > 0 {
            arrived.extend(burst.drain().map(|frame| contents(&frame)));
        }
        prop_assert_eq!(arrived, stream.one_by_one());
        prop_assert_eq!(sim.copies().available(), sim.copies().capacity());
    }
}

fn stream() -> Stream {
    Stream {
        ip: IpVersion::V4,
        vlan: false,
        timestamps: false,
        payload: vec![7; 5000],
        segment_size: 1000,
        seq: u32::MAX,
        identification: u16::MAX,
        flags: 0x10,
        fills_ipv4: true,
    }
}

#[test]
fn a_request_that_does_not_fit_is_dropped_and_counted() {
    let right = stream().wanted();
    for (name, wanted, len) in [
        ("segments of nothing", TxSegmentation { segment_size: 0, ..right }, 5054),
        ("a short TCP header", TxSegmentation { l4_len: 19, ..right }, 5054),
        ("a header that says another length", TxSegmentation { l4_len: 24, ..right }, 5054),
        ("a short IP header", TxSegmentation { l3_len: 16, ..right }, 5054),
        ("another version", TxSegmentation { ip: IpVersion::V6, l3_len: 40, ..right }, 5054),
        ("headers that are not there", right, 53),
        ("a packet that is not all there", right, 5053),
    ] {
        let mut sim = Sim::new(1);
        let (mut left, mut right) = sim.link(card(1), card(2), Wire::default());
        let mut frame = left.info().pool.frame_of(&stream().whole()[..len]).unwrap();
        frame.request_segmentation(wanted);
        let mut burst = Burst::new();
        burst.push(frame).unwrap();
        assert_eq!(left.tx_burst(&mut burst), 1);
        sim.advance(1);
        assert_eq!(right.rx_burst(&mut burst), 0, "{name}");
        let counted = sim.statistics(left.id(), Way::Out);
        assert_eq!((counted.misfit, counted.sent), (1, 0), "{name}");
    }
}

#[test]
fn a_card_that_cannot_cut_is_not_asked_to() {
    for (offload, largest) in
        [(Offload::None, 0), (Offload::Checksums, 0), (Offload::Segmentation, 65_535)]
    {
        let mut sim = Sim::new(1);
        let end = End { offload, ..End::new(1) };
        let (mut left, mut right) = sim.link(end, End::new(2), Wire::default());
        assert_eq!(left.info().tx_offload.tcp_segmentation, largest);
        let mut frame = left.info().pool.frame_of(&stream().whole()).unwrap();
        frame.request_segmentation(stream().wanted());
        let mut burst = Burst::new();
        burst.push(frame).unwrap();
        left.tx_burst(&mut burst);
        sim.advance(1);
        // Elsewhere the whole packet meets a wire that is too narrow for it.
        let arrived = right.rx_burst(&mut burst);
        assert_eq!(arrived, if largest > 0 { 5 } else { 0 }, "{offload:?}");
    }
}
