//! A server without a stack: every segment is answered from itself alone.

use pmd::{Burst, Medium, Pool, QueuePair};

use crate::load::segment::{ACK, ETHERNET, FIN, PUSH, RST, SYN, Segment};
use crate::load::template::{Fields, Options, Server, Template};

/// Answers SYN, data, FIN and questions for an address.
pub(crate) struct Reflector {
    station: [u8; 6],
    pool: Pool,
    mtu: u16,
    response: u16,
    /// Toward the one client, once a frame of his has come: he may have many addresses, and only one station.
    client: Option<Client>,
}

struct Client {
    syn: Template,
    timed: Template,
    plain: Template,
}

/// What our sequence numbers begin with, on every connection.
const FIRST: u32 = 1 << 20;

impl Reflector {
    pub(crate) fn new(queue: &dyn QueuePair, response: u16) -> Self {
        let info = queue.info();
        let station = match info.medium {
            Medium::Ethernet(station) => station,
            Medium::Ip => [0; 6],
        };
        Self { station, pool: info.pool.clone(), mtu: info.mtu, response, client: None }
    }

    /// The answers to a burst, which is empty afterwards.
    pub(crate) fn answers(&mut self, burst: &mut Burst) -> Burst {
        let mut answers = Burst::new();
        for frame in burst.iter() {
            let Some(mut answer) = self.pool.alloc() else { break };
            let written = match Segment::parse(frame) {
                Some(segment) => self.answer(frame.head(), &segment, &mut answer),
                None => self.arp(frame.head(), &mut answer),
            };
            // There are as many as there were, at most.
            let _ = written.and_then(|()| answers.push(answer).ok());
        }
        burst.clear();
        answers
    }

    fn answer(&mut self, frame: &[u8], segment: &Segment, answer: &mut pmd::Frame) -> Option<()> {
        let header: &[u8; 38] = frame.first_chunk()?;
        let long = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let to = (long(ETHERNET + 12), u16::from_be_bytes([header[34], header[35]]));
        let (flags, len) = match segment.flags {
            flags if flags & RST != 0 => return None,
            flags if flags & SYN != 0 => (SYN | ACK, 0),
            flags if flags & FIN != 0 => (FIN | ACK, 0),
            _ if segment.len > 0 => (ACK | PUSH, usize::from(self.response)),
            _ => return None,
        };
        let station: [u8; 6] = header[6..12].try_into().ok()?;
        let (ours, mtu) = (self.station, self.mtu);
        let client = self.client.get_or_insert_with(|| Client::new(ours, station, mtu));
        let template = match (flags & SYN != 0, segment.timestamp) {
            (true, _) => &client.syn,
            (false, Some(_)) => &client.timed,
            (false, None) => &client.plain,
        };
        let seq = if flags & SYN != 0 { FIRST } else { segment.ack };
        template.write(
            answer,
            &Fields {
                address: segment.address,
                port: segment.port,
                seq,
                ack: segment.end(),
                flags,
                window: u16::MAX,
                time: 1,
                echo: segment.timestamp.unwrap_or(0),
                len,
            },
        )?;
        aim(answer.head_mut(), to)
    }

    /// Every address is ours, but for those who say that theirs is.
    fn arp(&self, question: &[u8], answer: &mut pmd::Frame) -> Option<()> {
        let question: &[u8; 42] = question.first_chunk()?;
        if question[12..14] != [8, 6] || question[28..32] == question[38..42] {
            return None;
        }
        let (asking, asked) = (&question[22..32], &question[38..42]);
        let head = [&question[6..12], &self.station, &question[12..21], &[2]].concat();
        answer.extend_from_slice(&[&head, &self.station[..], asked, asking].concat())
    }
}

impl Client {
    fn new(ours: [u8; 6], station: [u8; 6], mtu: u16) -> Self {
        let server = Server { station, address: 0, port: 0 };
        let make = |options| Template::new(ours, &server, options, mtu);
        Self {
            syn: make(Options::Syn),
            timed: make(Options::Timestamps),
            plain: make(Options::None),
        }
    }
}

/// Writes where a segment goes, which the template has as zeros. The checksums go along: a word that is added to the data is taken from
/// them (RFC 1624).
fn aim(frame: &mut [u8], (address, port): (u32, u16)) -> Option<()> {
    let [a, b, c, d] = address.to_be_bytes();
    let words = [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])];
    frame.get_mut(30..34)?.copy_from_slice(&[a, b, c, d]);
    frame.get_mut(36..38)?.copy_from_slice(&port.to_be_bytes());
    take(frame, 24, &words)?;
    take(frame, 50, &[words[0], words[1], port])
}

/// Takes words from the checksum at `at`, in one's complement.
fn take(frame: &mut [u8], at: usize, words: &[u16]) -> Option<()> {
    let field: &mut [u8; 2] = frame.get_mut(at..at + 2)?.try_into().ok()?;
    let mut sum = u32::from(u16::from_be_bytes(*field));
    for word in words {
        sum += u32::from(!word);
    }
    while sum >> 16 != 0 {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    *field = u16::try_from(sum).ok()?.to_be_bytes();
    Some(())
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use pmd::mem;

    use super::*;

    #[test]
    fn a_response_is_a_good_segment_back_to_who_asked() {
        let pool = Pool::heap(8, 2048);
        let (queue, _) = mem::ethernet(pool.clone(), 1500, [2, 0, 0, 0, 0, 2]);
        let mut reflector = Reflector::new(&queue, 64);
        let server = Server { station: [2, 0, 0, 0, 0, 2], address: 0x0a00_0002, port: 7000 };
        let template = Template::new([2, 0, 0, 0, 0, 1], &server, Options::Timestamps, 1500);
        let fields = Fields {
            address: 0x0a00_0010,
            port: 1024,
            seq: 5,
            ack: 9,
            flags: ACK,
            len: 33,
            ..Fields::default()
        };
        let mut burst = Burst::new();
        let mut frame = pool.alloc().unwrap();
        template.write(&mut frame, &fields).unwrap();
        burst.push(frame).unwrap();
        let answers = reflector.answers(&mut burst);
        let answer = answers.iter().next().unwrap();
        let parsed = SlicedPacket::from_ethernet(answer.head()).unwrap();
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) =
            (&parsed.net, &parsed.transport)
        else {
            panic!("not TCP over IPv4");
        };
        let header = ip.header().to_header();
        assert_eq!(header.calc_header_checksum(), header.header_checksum);
        assert_eq!(
            tcp.calc_checksum_ipv4(header.source, header.destination).unwrap(),
            tcp.checksum()
        );
        assert_eq!((header.source, header.destination), ([10, 0, 0, 2], [10, 0, 0, 16]));
        assert_eq!((tcp.source_port(), tcp.destination_port()), (7000, 1024));
        assert_eq!(
            (tcp.sequence_number(), tcp.acknowledgment_number(), tcp.payload().len()),
            (9, 38, 64)
        );
    }
}
