//! Segments in IPv4 packets, written and read without the stack's own code.

use std::net::Ipv4Addr;

pub const STACK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;
pub const URG: u8 = 0x20;

#[derive(Clone, Debug, Default)]
pub struct Segment {
    pub source_port: u16,
    pub destination_port: u16,
    pub seq: u32,
    pub ack: u32,
    pub flags: u8,
    pub window: u16,
    pub urgent: u16,
    /// At most 40 bytes, a multiple of four.
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

impl Segment {
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// SEG.LEN.
    pub fn len(&self) -> u32 {
        self.payload.len() as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// From the peer to the stack.
    pub fn packet(&self) -> Vec<u8> {
        let mut tcp = Vec::with_capacity(60 + self.payload.len());
        tcp.extend(self.source_port.to_be_bytes());
        tcp.extend(self.destination_port.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.extend([(5 + self.options.len() as u8 / 4) << 4, self.flags]);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0; 2]);
        tcp.extend(self.urgent.to_be_bytes());
        tcp.extend(&self.options);
        tcp.extend(&self.payload);
        let sum = checksum(&tcp, pseudo_header(PEER, STACK, tcp.len()));
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        packet(6, &tcp)
    }

    /// What the stack has sent; `None` if it is not TCP.
    ///
    /// # Panics
    ///
    /// If the packet is not what the stack may send.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        assert_eq!(packet[0], 0x45, "no IP options of ours");
        let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        assert_eq!(total, packet.len(), "the IP header tells the length");
        assert_eq!(checksum(&packet[..20], 0), 0, "the IP header's checksum");
        assert_eq!(packet[12..20], [STACK.octets(), PEER.octets()].concat());
        if packet[9] != 6 {
            return None;
        }
        let tcp = &packet[20..];
        assert_eq!(checksum(tcp, pseudo_header(STACK, PEER, tcp.len())), 0, "TCP's checksum");
        let word = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let long = |at: usize| (u32::from(word(at)) << 16) | u32::from(word(at + 2));
        let header_len = usize::from(tcp[12] >> 4) * 4;
        Some(Self {
            source_port: word(0),
            destination_port: word(2),
            seq: long(4),
            ack: long(8),
            flags: tcp[13],
            window: word(14),
            urgent: word(18),
            options: tcp[20..header_len].to_vec(),
            payload: tcp[header_len..].to_vec(),
        })
    }

    /// The data of an option, if it is there; of the last, if it is there twice.
    pub fn option(&self, wanted: u8) -> Option<&[u8]> {
        let (mut rest, mut found) = (&self.options[..], None);
        loop {
            match *rest {
                [] | [0, ..] | [_] => return found,
                [1, ref behind @ ..] => rest = behind,
                [kind, len, ..] => {
                    let Some((option, behind)) = rest.split_at_checked(usize::from(len)) else {
                        return found;
                    };
                    let Some(data) = option.get(2..) else { return found };
                    if kind == wanted {
                        found = Some(data);
                    }
                    rest = behind;
                }
            }
        }
    }

    /// The sender's clock, if it tells it.
    pub fn stamp(&self) -> Option<u32> {
        self.option(8).map(|data| u32::from_be_bytes([data[0], data[1], data[2], data[3]]))
    }

    /// Left and right edges of SACK blocks, in the option's order.
    pub fn sack_blocks(&self) -> Vec<(u32, u32)> {
        let edge = |bytes: &[u8]| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let blocks = self.option(5).unwrap_or_default().chunks_exact(8);
        blocks.map(|block| (edge(block), edge(&block[4..]))).collect()
    }
}

/// An IPv4 packet from the peer to the stack.
pub fn packet(protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut header = [0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    header[2..4].copy_from_slice(&((20 + body.len()) as u16).to_be_bytes());
    let sum = checksum(&header, 0);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header[..], body].concat()
}

fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, len: usize) -> u32 {
    let halves = |address: Ipv4Addr| (address.to_bits() >> 16) + (address.to_bits() & 0xffff);
    halves(source) + halves(destination) + 6 + len as u32
}

/// The Internet checksum (RFC 1071) of `bytes` behind a sum; zero if there is a right one among them.
pub fn checksum(bytes: &[u8], start: u32) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| (u32::from(pair[0]) << 8) | u32::from(*pair.get(1).unwrap_or(&0)));
    let sum = words.fold(start, |sum, word| sum + word);
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
