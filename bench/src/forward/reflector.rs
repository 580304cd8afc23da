//! A server without a stack: every segment is answered from itself alone.

use std::collections::VecDeque;

use pmd::{Burst, Frame, Medium, Pool, QueuePair};

use crate::load::http::REQUEST_LEN;
use crate::load::segment::{ACK, Datagram, ETHERNET, FIN, NETWORK, PUSH, RST, SYN, Segment};
use crate::load::template::{Fields, Options, Server, Template};
use crate::serve::http::response;

/// Answers SYN, data, FIN and questions for an address.
pub(crate) struct Reflector {
    station: [u8; 6],
    pool: Pool,
    mtu: u16,
    answers: Answers,
    /// They wait to be sent.
    waiting: VecDeque<Frame>,
    /// What comes next on the one connection, where there is no end.
    next: u32,
    /// Toward the one client, once a frame of his has come: he may have many addresses, and only one station.
    client: Option<Client>,
}

/// What comes back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answers {
    /// So many bytes for each segment with data.
    Of(u32),
    /// A page for each request of our own client.
    Pages,
    /// As much as may be in flight, whatever comes; on one connection.
    Endless,
}

struct Client {
    syn: Template,
    timed: Template,
    plain: Template,
}

/// What our sequence numbers begin with, on every connection.
const FIRST: u32 = 1 << 20;
/// Bytes of a page.
const PAGE: usize = 64;
/// Segments in flight where there is no end: half of what a queue holds.
const IN_FLIGHT: u32 = 512;

impl Reflector {
    pub(crate) fn new(queue: &dyn QueuePair, answers: Answers) -> Self {
        let info = queue.info();
        let station = match info.medium {
            Medium::Ethernet(station) => station,
            Medium::Ip => [0; 6],
        };
        let (waiting, next) = (VecDeque::new(), FIRST + 1);
        let (pool, mtu) = (info.pool.clone(), info.mtu);
        Self { station, pool, mtu, answers, waiting, next, client: None }
    }

    /// Makes the answers to a burst, which is empty afterwards.
    pub(crate) fn take(&mut self, burst: &mut Burst) {
        for frame in burst.iter() {
            let _without_an_answer = match (Segment::parse(frame), Datagram::parse(frame)) {
                (Some(segment), _) => self.answer(frame.head(), &segment),
                (None, Some(_)) => self.send_back(frame.head()),
                (None, None) => self.arp(frame.head()),
            };
        }
        burst.clear();
    }

    /// Moves answers into a burst, as many as it has room for; says whether there were any.
    pub(crate) fn fill(&mut self, burst: &mut Burst) -> bool {
        let count = burst.room().min(self.waiting.len());
        for frame in self.waiting.drain(..count) {
            // There is as much room.
            let _ = burst.push(frame);
        }
        count > 0
    }

    fn answer(&mut self, frame: &[u8], segment: &Segment) -> Option<()> {
        let header: &[u8; 38] = frame.first_chunk()?;
        let long = |at: usize| {
            u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        let to = (long(ETHERNET + 12), u16::from_be_bytes([header[34], header[35]]));
        let station: [u8; 6] = header[6..12].try_into().ok()?;
        let (ours, mtu, answers) = (self.station, self.mtu, self.answers);
        self.client.get_or_insert_with(|| Client::new(ours, station, mtu, answers));
        match (segment.flags, self.answers) {
            (flags, _) if flags & RST != 0 => None,
            (flags, _) if flags & SYN != 0 => {
                self.next = FIRST + 1;
                self.send(to, segment, (FIRST, SYN | ACK, 0))
            }
            (flags, _) if flags & FIN != 0 => self.send(to, segment, (segment.ack, FIN | ACK, 0)),
            (_, Answers::Endless) => self.go_on(to, segment),
            (_, Answers::Pages) => {
                let requests = segment.len / REQUEST_LEN;
                self.respond(to, segment, requests * u32::try_from(response(PAGE).len()).ok()?)
            }
            (_, Answers::Of(0)) if segment.len > 0 => self.send(to, segment, (segment.ack, ACK, 0)),
            (_, Answers::Of(len)) if segment.len > 0 => self.respond(to, segment, len),
            _ => None,
        }
    }

    fn respond(&mut self, to: (u32, u16), segment: &Segment, response: u32) -> Option<()> {
        let most = self.most(segment)?;
        let mut sent = 0;
        while sent < response {
            let len = most.min(response - sent);
            let flags = if sent + len < response { ACK } else { ACK | PUSH };
            self.send(to, segment, (segment.ack.wrapping_add(sent), flags, len))?;
            sent += len;
        }
        Some(())
    }

    /// Sends as much as may be in flight.
    fn go_on(&mut self, to: (u32, u16), segment: &Segment) -> Option<()> {
        let most = self.most(segment)?;
        while self.next.wrapping_sub(segment.ack) < IN_FLIGHT * most {
            self.send(to, segment, (self.next, ACK, most))?;
            self.next = self.next.wrapping_add(most);
        }
        Some(())
    }

    /// The most payload of an answer to a segment.
    fn most(&self, segment: &Segment) -> Option<u32> {
        let client = self.client.as_ref()?;
        let template = if segment.timestamp.is_some() { &client.timed } else { &client.plain };
        u32::try_from(template.most()).ok()
    }

    /// One segment: where it begins, its flags, and its length.
    fn send(
        &mut self,
        to: (u32, u16),
        segment: &Segment,
        (seq, flags, len): (u32, u8, u32),
    ) -> Option<()> {
        let client = self.client.as_ref()?;
        let template = match (flags & SYN != 0, segment.timestamp) {
            (true, _) => &client.syn,
            (false, Some(_)) => &client.timed,
            (false, None) => &client.plain,
        };
        let fields = Fields {
            address: segment.address,
            port: segment.port,
            seq,
            ack: segment.end(),
            flags,
            window: u16::MAX,
            time: 1,
            echo: segment.timestamp.unwrap_or(0),
            len: len as usize,
        };
        let mut answer = self.pool.alloc()?;
        template.write(&mut answer, &fields)?;
        aim(answer.head_mut(), to)?;
        self.waiting.push_back(answer);
        Some(())
    }

    /// A datagram goes back as it is, from where it came to: no checksum minds.
    fn send_back(&mut self, datagram: &[u8]) -> Option<()> {
        let mut answer = self.pool.frame_of(datagram)?;
        let bytes: &mut [u8; NETWORK + 4] = answer.head_mut().first_chunk_mut()?;
        for (a, b, len) in [(0, 6, 6), (ETHERNET + 12, ETHERNET + 16, 4), (NETWORK, NETWORK + 2, 2)]
        {
            let (front, back) = bytes.split_at_mut(b);
            front[a..a + len].swap_with_slice(&mut back[..len]);
        }
        self.waiting.push_back(answer);
        Some(())
    }

    /// Every address is ours, but for those who say that theirs is.
    fn arp(&mut self, question: &[u8]) -> Option<()> {
        let question: &[u8; 42] = question.first_chunk()?;
        if question[12..14] != [8, 6] || question[28..32] == question[38..42] {
            return None;
        }
        let (asking, asked) = (&question[22..32], &question[38..42]);
        let head = [&question[6..12], &self.station, &question[12..21], &[2]].concat();
        let answer = [&head, &self.station[..], asked, asking].concat();
        self.waiting.push_back(self.pool.frame_of(&answer)?);
        Some(())
    }
}

impl Client {
    fn new(ours: [u8; 6], station: [u8; 6], mtu: u16, answers: Answers) -> Self {
        let server = Server { station, address: 0, port: 0 };
        let make = |options| Template::new(ours, &server, options, mtu);
        let filled = |options| match answers {
            Answers::Pages => make(options).with_pieces(&response(PAGE)),
            _ => make(options),
        };
        Self {
            syn: make(Options::Syn),
            timed: filled(Options::Timestamps),
            plain: filled(Options::None),
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
    use crate::load::template::DatagramTemplate;

    const SERVER: Server = Server { station: [2, 0, 0, 0, 0, 2], address: 0x0a00_0002, port: 7000 };
    const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 1];

    /// What comes back for frames.
    struct Mirror {
        pool: Pool,
        reflector: Reflector,
    }

    impl Mirror {
        fn new(answers: Answers) -> Self {
            let pool = Pool::heap(1024, 2048);
            let (queue, _) = mem::ethernet(pool.clone(), 1500, SERVER.station);
            Self { pool, reflector: Reflector::new(&queue, answers) }
        }

        /// The answers to one segment with `len` bytes that acknowledges `ack`.
        fn answers(&mut self, ack: u32, len: usize) -> Vec<Frame> {
            let template = Template::new(CLIENT, &SERVER, Options::Timestamps, 1500);
            let fields = Fields {
                address: 0x0a00_0010,
                port: 1024,
                seq: 5,
                ack,
                flags: ACK,
                len,
                ..Fields::default()
            };
            self.answers_to(|frame| template.write(frame, &fields))
        }

        fn answers_to(&mut self, write: impl FnOnce(&mut Frame) -> Option<()>) -> Vec<Frame> {
            let mut burst = Burst::new();
            let mut frame = self.pool.alloc().unwrap();
            write(&mut frame).unwrap();
            burst.push(frame).unwrap();
            self.reflector.take(&mut burst);
            self.reflector.waiting.drain(..).collect()
        }
    }

    #[test]
    fn a_response_is_a_good_segment_back_to_who_asked() {
        let answers = Mirror::new(Answers::Of(64)).answers(9, 33);
        assert_eq!(answers.len(), 1);
        let parsed = SlicedPacket::from_ethernet(answers[0].head()).unwrap();
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

    #[test]
    fn long_responses_and_those_without_end_go_on_where_the_last_segment_ends() {
        let spans = |frames: &[Frame]| -> Vec<(u32, u32)> {
            let segments = frames.iter().map(|frame| Segment::parse(frame).unwrap());
            segments.map(|segment| (segment.seq, segment.len)).collect()
        };
        let response = Mirror::new(Answers::Of(3000)).answers(9, 64);
        assert_eq!(spans(&response), [(9, 1448), (1457, 1448), (2905, 104)]);
        assert_eq!(spans(&Mirror::new(Answers::Of(0)).answers(9, 64)), [(9, 0)]);
        assert!(Mirror::new(Answers::Of(0)).answers(9, 0).is_empty());
        let mut endless = Mirror::new(Answers::Endless);
        let first = spans(&endless.answers(FIRST + 1, 0));
        assert_eq!((first.len(), first[1]), (512, (FIRST + 1 + 1448, 1448)));
        let then = spans(&endless.answers(FIRST + 1 + 2 * 1448, 0));
        assert_eq!(then, [512, 513].map(|number| (FIRST + 1 + number * 1448, 1448)));
    }

    #[test]
    fn a_datagram_comes_back_from_where_it_went() {
        let template = DatagramTemplate::new(CLIENT, &SERVER, 64);
        let answers = Mirror::new(Answers::Of(64))
            .answers_to(|frame| template.write(frame, (0x0a00_0010, 1024), 7));
        let datagram = Datagram::parse(&answers[0]).unwrap();
        assert_eq!((datagram.address, datagram.port), (0x0a00_0010, 1024));
        let parsed = SlicedPacket::from_ethernet(answers[0].head()).unwrap();
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) =
            (&parsed.net, &parsed.transport)
        else {
            panic!("not UDP over IPv4");
        };
        let header = ip.header().to_header();
        assert_eq!(header.calc_header_checksum(), header.header_checksum);
        let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap();
        assert_eq!((sum, udp.source_port()), (udp.checksum(), 7000));
    }
}
