//! TCP packets as scripts write them, and as they are on the wire.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddrV4;
use std::str::FromStr;

use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};

/// A packet with the numbers of a script, or, off the wire, with its own.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Packet {
    /// In packetdrill's order and letters; `.` is ACK.
    pub(crate) flags: String,
    pub(crate) seq: u32,
    pub(crate) len: u32,
    pub(crate) ack: Option<u32>,
    /// A script may leave it open.
    pub(crate) window: Option<u16>,
    /// A script may leave them open.
    pub(crate) options: Option<Vec<TcpOption>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum TcpOption {
    Nop,
    MaxSegment(u16),
    WindowScale(u8),
    SackPermitted,
    Sack(Vec<(u32, u32)>),
    Timestamps { value: u32, echo: u32 },
    Other(Vec<u8>),
}

use TcpOption::{MaxSegment, Nop, Other, Sack, SackPermitted, Timestamps, WindowScale};

impl FromStr for Packet {
    type Err = ();

    /// `S. 0:0(0) ack 1 win 1000 <mss 1000,nop>`
    fn from_str(text: &str) -> Result<Self, ()> {
        let (text, options) = match text.split_once('<') {
            Some((text, options)) => {
                let options = options.trim().strip_suffix('>').ok_or(())?;
                (text, (options != "...").then(|| parse_options(options)).transpose()?)
            }
            None => (text, Some(Vec::new())),
        };
        let mut words = text.split_whitespace();
        let flags = words.next().ok_or(())?.to_owned();
        let (seq, rest) = words.next().and_then(|range| range.split_once(':')).ok_or(())?;
        let len = rest.split_once('(').and_then(|(_, len)| len.strip_suffix(')')).ok_or(())?;
        let mut packet =
            Self { flags, seq: number(seq)?, len: number(len)?, ack: None, window: None, options };
        while let Some(word) = words.next() {
            let value: u32 = number(words.next().ok_or(())?)?;
            match word {
                "ack" => packet.ack = Some(value),
                "win" => packet.window = Some(value.try_into().map_err(|_| ())?),
                _ => return Err(()),
            }
        }
        Ok(packet)
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, ()> {
    text.parse().map_err(|_| ())
}

fn parse_options(text: &str) -> Result<Vec<TcpOption>, ()> {
    text.split(',').map(|option| parse_option(option.trim())).collect()
}

fn parse_option(text: &str) -> Result<TcpOption, ()> {
    let words: Vec<&str> = text.split_whitespace().collect();
    Ok(match *words {
        ["nop"] => Nop,
        ["sackOK"] => SackPermitted,
        ["mss", size] => MaxSegment(number(size)?),
        ["wscale", shift] => WindowScale(number(shift)?),
        ["TS", "val", value, "ecr", echo] => {
            Timestamps { value: number(value)?, echo: number(echo)? }
        }
        ["sack", ref blocks @ ..] => {
            let block = |block: &&str| {
                let (left, right) = block.split_once(':').ok_or(())?;
                Ok((number(left)?, number(right)?))
            };
            Sack(blocks.iter().map(block).collect::<Result<_, ()>>()?)
        }
        _ => return Err(()),
    })
}

impl Packet {
    /// The packet on the wire, with bytes of zero.
    pub(crate) fn encode(&self, from: SocketAddrV4, to: SocketAddrV4) -> Vec<u8> {
        let window = self.window.unwrap_or(0);
        let mut builder = PacketBuilder::ipv4(from.ip().octets(), to.ip().octets(), 64).tcp(
            from.port(),
            to.port(),
            self.seq,
            window,
        );
        for flag in self.flags.chars() {
            builder = match flag {
                'S' => builder.syn(),
                'F' => builder.fin(),
                'R' => builder.rst(),
                'P' => builder.psh(),
                'E' => builder.ece(),
                'W' => builder.cwr(),
                '.' => builder.ack(self.ack.unwrap_or(0)),
                flag => panic!("a flag {flag}"),
            };
        }
        let mut options = Vec::new();
        for option in self.options.iter().flatten() {
            option.encode(&mut options);
        }
        options.resize(options.len().next_multiple_of(4), 0);
        let payload = vec![0; self.len as usize];
        let mut bytes = Vec::new();
        let builder = builder.options_raw(&options).expect("at most 40 bytes");
        builder.write(&mut bytes, &payload).expect("memory takes it");
        bytes
    }

    /// What is on the wire, from whom and to whom.
    pub(crate) fn decode(bytes: &[u8]) -> (Self, SocketAddrV4, SocketAddrV4) {
        let sliced = SlicedPacket::from_ip(bytes).expect("an IP packet");
        let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net else { panic!("not IPv4") };
        let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("not TCP") };
        let sum = tcp.to_header().calc_checksum_ipv4(&ip.header().to_header(), tcp.payload());
        assert_eq!(Ok(tcp.checksum()), sum, "the checksum is right");
        let set = [
            (tcp.syn(), 'S'),
            (tcp.fin(), 'F'),
            (tcp.rst(), 'R'),
            (tcp.psh(), 'P'),
            (tcp.ece(), 'E'),
            (tcp.cwr(), 'W'),
            (tcp.ack(), '.'),
        ];
        let flags = set.iter().filter(|(on, _)| *on).map(|(_, letter)| letter).collect();
        let header = ip.header();
        let packet = Self {
            flags,
            seq: tcp.sequence_number(),
            len: tcp.payload().len().try_into().expect("an IP packet"),
            ack: tcp.ack().then(|| tcp.acknowledgment_number()),
            window: Some(tcp.window_size()),
            options: Some(TcpOption::decode(tcp.options())),
        };
        let from = SocketAddrV4::new(header.source_addr(), tcp.source_port());
        let to = SocketAddrV4::new(header.destination_addr(), tcp.destination_port());
        (packet, from, to)
    }

    /// Whether `live` is what the script has here.
    pub(crate) fn matches(&self, live: &Self) -> bool {
        let window = self.window.or(live.window);
        let options = self.options.clone().or_else(|| live.options.clone());
        *live == Self { window, options, ..self.clone() }
    }
}

impl TcpOption {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Nop => out.push(1),
            MaxSegment(size) => {
                out.extend([2, 4]);
                out.extend(size.to_be_bytes());
            }
            WindowScale(shift) => out.extend([3, 3, *shift]),
            SackPermitted => out.extend([4, 2]),
            Sack(blocks) => {
                out.extend([5, u8::try_from(2 + 8 * blocks.len()).expect("at most four blocks")]);
                for (left, right) in blocks {
                    out.extend(left.to_be_bytes());
                    out.extend(right.to_be_bytes());
                }
            }
            Timestamps { value, echo } => {
                out.extend([8, 10]);
                out.extend(value.to_be_bytes());
                out.extend(echo.to_be_bytes());
            }
            Other(bytes) => out.extend(bytes),
        }
    }

    fn decode(mut bytes: &[u8]) -> Vec<Self> {
        let mut options = Vec::new();
        while let Some((&kind, rest)) = bytes.split_first() {
            if kind <= 1 {
                if kind == 1 {
                    options.push(Nop);
                }
                bytes = rest;
                continue;
            }
            let (option, behind) = bytes.split_at(rest[0].into());
            bytes = behind;
            let word = |at: usize| u32::from_be_bytes(option[at..at + 4].try_into().expect("four"));
            options.push(match kind {
                2 => MaxSegment(u16::from_be_bytes([option[2], option[3]])),
                3 => WindowScale(option[2]),
                4 => SackPermitted,
                5 => {
                    Sack((2..option.len()).step_by(8).map(|at| (word(at), word(at + 4))).collect())
                }
                8 => Timestamps { value: word(2), echo: word(6) },
                _ => Other(option.to_vec()),
            });
        }
        options
    }
}

impl Display for Packet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { flags, seq, len, .. } = self;
        write!(f, "{flags} {seq}:{}({len})", seq.wrapping_add(*len))?;
        if let Some(ack) = self.ack {
            write!(f, " ack {ack}")?;
        }
        if let Some(window) = self.window {
            write!(f, " win {window}")?;
        }
        match &self.options {
            Some(options) if options.is_empty() => Ok(()),
            options => write!(f, " {options:?}"),
        }
    }
}
