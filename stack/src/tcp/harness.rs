//! One side of a connection on paper: segments go in and come out as text, and time is a number.
//!
//! A segment is written as `FLAGS SEQ[+LEN] [ack N] [win N] [mss N] [wscale N] [ts VALUE:ECHO] [urg N]`, for instance `PA 1+5 ack 1`.
//! Numbers count from each side's SYN, which is 0. Payload is a fixed pattern, checked wherever it comes out.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use pmd::{ChecksumStatus, Frame, RxOffload};

use super::auth::Auth;
use super::seq::Seq;
use super::{Algorithm, Connection, EcnPolicy, Tcp, TcpConfig};
use crate::api::{ListenOptions, TcpStream};
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::ip::{Addressed, Datagram, Ecn};
use crate::net::{Net, Timer};
use crate::rng::Rng;
use crate::socket::thread::InTurn;
use crate::socket::{CoreShared, Inbox, ListenerShared};
use crate::time::Instant;
use crate::wire::checksum::Sum;
use crate::wire::ipv4::protocol;
use crate::wire::tcp::{Flags, HEADER_LEN, TcpHeader, TcpView};
use crate::wire::tcp_options::{
    AccurateEcnOption, EcnBytes, FastOpenCookie, FastOpenForm, FastOpenOption, FieldOrder,
    SackBlock, TcpOptions, Timestamps,
};

pub(super) const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(super) const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(super) const PEER_PORT: u16 = 4000;
pub(super) const OUR_PORT: u16 = 80;
pub(super) const PEER_ISS: Seq = Seq(u32::MAX - 20);

/// A TCP, the peer that the test plays, and at most one connection between them.
pub(super) struct Harness {
    pub(super) tcp: Tcp,
    pub(super) net: Net,
    pub(super) core: Arc<CoreShared>,
    inbox: Inbox,
    _turn: InTurn,
    pub(super) listener: Option<Arc<ListenerShared>>,
    pub(super) stream: Option<TcpStream>,
    pub(super) peer_port: u16,
    pub(super) our_port: u16,
    /// What the peer signs its segments with, and wants ours to be signed with if they are.
    pub(super) peer_auth: Option<Auth>,
    /// The numbers of our SYNs, by the peer's port.
    our_isses: BTreeMap<u16, Seq>,
    pub(super) written: u64,
    read: u64,
    seen: VecDeque<Emitted>,
    frames: usize,
}

/// A segment that came out.
#[derive(Clone, Debug)]
pub(super) struct Emitted {
    pub(super) text: String,
    pub(super) window: u16,
    pub(super) options: TcpOptions,
    /// As they were written.
    pub(super) option_bytes: Vec<u8>,
    pub(super) tos: u8,
}

impl Harness {
    pub(super) fn new(config: &TcpConfig) -> Self {
        let core = CoreShared::for_test();
        let net = Net::for_test();
        let tcp = Tcp::new(config, core.clone(), &mut Rng::new([3; 32]));
        let frames = net.pool_available();
        Self {
            tcp,
            net,
            core,
            inbox: Inbox::default(),
            _turn: InTurn::enter(0),
            listener: None,
            stream: None,
            peer_port: PEER_PORT,
            our_port: OUR_PORT,
            peer_auth: None,
            our_isses: BTreeMap::new(),
            written: 0,
            read: 0,
            seen: VecDeque::new(),
            frames,
        }
    }

    /// Without timestamps, window scaling and selective acknowledgements, which most traces do not need, and with the congestion control, the buffers and the ACKs
    /// that are easiest to foretell.
    pub(super) fn plain() -> TcpConfig {
        TcpConfig {
            timestamps: false,
            window_scaling: false,
            sack: false,
            ecn: EcnPolicy::Off,
            congestion: Algorithm::NewReno,
            receive_buffer_max: 0,
            send_buffer_max: 0,
            delay_fin_ack: false,
            ..TcpConfig::default()
        }
    }

    /// We have called the peer; our SYN is out, and taken from what was sent.
    pub(super) fn connecting(config: &TcpConfig) -> Self {
        let mut t = Self::new(config);
        let remote = SocketAddrV4::new(PEER, PEER_PORT);
        t.stream = Some(t.tcp.connect(&mut t.net, None, remote).unwrap());
        t
    }

    /// A connection that we have made, with a window of 65,535 at the peer, and no quick ACKs.
    pub(super) fn connected() -> Self {
        Self::connected_with(&Self::plain())
    }

    pub(super) fn connected_with(config: &TcpConfig) -> Self {
        let mut t = Self::connecting(config);
        assert_eq!(t.sent(), ["S 0"]);
        t.input("SA 0 ack 1 mss 1000").unwrap();
        assert_eq!(t.sent(), ["A 1 ack 1"]);
        t.connection(|connection| connection.ack.quick = 0);
        t
    }

    /// We listen, with room for this many connections that nobody has accepted.
    pub(super) fn listening(config: &TcpConfig, backlog: u32) -> Self {
        let mut t = Self::new(config);
        let listener =
            ListenerShared::new((US, OUR_PORT).into(), ListenOptions::with_backlog(backlog), 1);
        t.tcp.listen(&t.net, listener.clone()).unwrap();
        t.listener = Some(listener);
        t
    }

    /// A connection that the peer has made, accepted, without quick ACKs.
    pub(super) fn accepted() -> Self {
        let mut t = Self::listening(&Self::plain(), 1);
        t.input("S 0 mss 1000").unwrap();
        assert_eq!(t.sent(), ["SA 0 ack 1"]);
        t.input("A 1 ack 1").unwrap();
        assert_eq!(t.sent(), [""; 0]);
        assert!(t.accept());
        t.connection(|connection| connection.ack.quick = 0);
        t
    }

    /// Accepts a connection, if one waits.
    pub(super) fn accept(&mut self) -> bool {
        self.stream = self.listener.as_ref().and_then(|listener| listener.pop(0));
        self.stream.is_some()
    }

    /// Time goes on to this moment. The wheel counts in microseconds, so what is due then has fired.
    pub(super) fn at(&mut self, at_ms: u64) -> &mut Self {
        let end = Instant::from_millis(at_ms) + Duration::from_nanos(1023);
        assert!(self.net.now <= end, "time does not go back");
        while let Some(deadline) = self.net.timers.next_deadline().filter(|&at| at <= end) {
            self.net.now = self.net.now.max(deadline);
            self.run_timers();
        }
        self.net.now = end;
        self.run_timers();
        self
    }

    fn run_timers(&mut self) {
        while let Some((_, timer)) = self.net.timers.pop_due(self.net.now) {
            match timer {
                Timer::Tcp(timer) => self.tcp.timer(&mut self.net, timer),
                other => panic!("nobody armed {other:?}"),
            }
        }
        self.tcp.flush(&mut self.net);
    }

    /// The peer sends this, and the turn ends.
    pub(super) fn input(&mut self, text: &str) -> Result<(), Drop> {
        let result = self.burst_one(text);
        self.tcp.flush(&mut self.net);
        result
    }

    /// The peer sends all of this within one turn.
    pub(super) fn burst(&mut self, texts: &[&str]) -> Vec<Result<(), Drop>> {
        let results = texts.iter().map(|text| self.burst_one(text)).collect();
        self.tcp.flush(&mut self.net);
        results
    }

    fn burst_one(&mut self, text: &str) -> Result<(), Drop> {
        let datagram = self.datagram(text);
        self.tcp.input(&mut self.net, datagram)?;
        self.tcp.settle_gathered(&mut self.net)
    }

    pub(super) fn datagram(&mut self, text: &str) -> Datagram {
        let (header, payload) = self.parse(text);
        let mut bytes = vec![0; IP_LEN + header.header_len()];
        header.emit(&mut bytes[IP_LEN..]);
        if let Some(auth) = &self.peer_auth {
            auth.signer(whole(PEER_ISS, header.seq), header.seq).sign(
                &self.flow_of_peer(),
                &mut bytes[IP_LEN..],
                &payload,
            );
        }
        bytes.extend(payload);
        let mut frame = self.net.frame_of(&bytes).unwrap();
        frame.set_rx_offload(RxOffload {
            ip: ChecksumStatus::Good,
            l4: ChecksumStatus::Good,
            rss_hash: None,
        });
        Datagram {
            frame,
            header_len: IP_LEN,
            source: PEER,
            destination: US,
            protocol: protocol::TCP,
            ttl: 64,
            tos: mark(text).bits(),
            to: Addressed::Unicast,
        }
    }

    fn parse(&self, text: &str) -> (TcpHeader, Vec<u8>) {
        let mut words = text.split_whitespace();
        let flags = words.next().unwrap().chars().fold(Flags::NONE, |flags, letter| {
            flags | flag(letter).unwrap_or_else(|| panic!("flag {letter} in {text}"))
        });
        let numbers = words.next().unwrap();
        let (seq, len) = numbers.split_once('+').unwrap_or((numbers, "0"));
        let (seq, len): (i64, usize) = (seq.parse().unwrap(), len.parse().unwrap());
        let mut header = TcpHeader {
            source_port: self.peer_port,
            destination_port: self.our_port,
            seq: relative(PEER_ISS, seq),
            ack: Seq(0),
            flags,
            window: u16::MAX,
            urgent_pointer: 0,
            options: TcpOptions {
                auth: self.peer_auth.as_ref().map(Auth::kind),
                ..TcpOptions::default()
            },
        };
        while let Some(word) = words.next() {
            if word == "sackOK" {
                header.options.sack_permitted = true;
                continue;
            }
            let value = words.next().unwrap();
            self.parse_word(&mut header, word, value);
        }
        let first = u64::try_from(seq - 1).unwrap_or(0);
        (header, pattern(first, len))
    }

    fn parse_word(&self, header: &mut TcpHeader, word: &str, value: &str) {
        let number = || value.parse::<i64>().unwrap();
        match word {
            "ce" | "ect0" | "ect1" => {}
            "acc" => header.options.accurate_ecn = Some(accurate_ecn(value)),
            "ack" => header.ack = relative(self.our_iss(), number()),
            "win" => header.window = number().try_into().unwrap(),
            "urg" => header.urgent_pointer = number().try_into().unwrap(),
            "sack" => {
                for block in value.split(',') {
                    let (left, right) = block.split_once(':').unwrap();
                    let at = |number: &str| relative(self.our_iss(), number.parse().unwrap());
                    let block = SackBlock { left: at(left), right: at(right) };
                    header.options.sack_blocks.push(block).unwrap();
                }
            }
            "mss" => header.options.max_segment_size = Some(number().try_into().unwrap()),
            "wscale" => header.options.window_scale = Some(number().try_into().unwrap()),
            "ts" => {
                let (value, echo) = value.split_once(':').unwrap();
                header.options.timestamps =
                    Some(Timestamps { value: value.parse().unwrap(), echo: echo.parse().unwrap() });
            }
            "fo" => header.options.fast_open = Some(fast_open(value)),
            _ => panic!("what is {word} {value}?"),
        }
    }

    /// What we have sent since the last look.
    pub(super) fn sent(&mut self) -> Vec<String> {
        self.emitted().into_iter().map(|segment| segment.text).collect()
    }

    pub(super) fn emitted(&mut self) -> Vec<Emitted> {
        self.decode_outbox();
        self.seen.drain(..).collect()
    }

    /// What has been sent last, and nothing else.
    pub(super) fn last(&mut self) -> Emitted {
        let mut all = self.emitted();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    fn decode_outbox(&mut self) {
        let frames: Vec<Frame> = self.net.outbox.drain(..).collect();
        for bytes in frames.iter().flat_map(packets_of) {
            let segment = &bytes[IP_LEN..];
            let mut sum = Sum::pseudo_header_v4(
                US,
                PEER,
                protocol::TCP,
                u16::try_from(segment.len()).unwrap(),
            );
            if !self.net.interface.tx_offload.tcp {
                sum.add_bytes(segment);
                assert!(sum.is_valid(), "wrong checksum");
            }
            assert_eq!(bytes[6] & 0x40, 0x40, "DF is not set");
            let view = TcpView::parse(segment).unwrap();
            self.check_signature(segment, &view);
            let option_bytes = segment[HEADER_LEN..view.header_len()].to_vec();
            let emitted = Emitted { tos: bytes[1], option_bytes, ..self.describe(&view) };
            self.seen.push_back(emitted);
        }
    }

    fn check_signature(&mut self, segment: &[u8], view: &TcpView<'_>) {
        let (flow, iss) = (self.flow(), self.our_iss());
        if let (Some(auth), Some(_)) = (&mut self.peer_auth, view.options().auth) {
            let (header, payload) = segment.split_at(view.header_len());
            let said = (view.seq(), view.flags(), whole(iss, view.seq()));
            assert_eq!(auth.check(&flow, header, payload, said), Ok(()));
        }
    }

    fn describe(&mut self, view: &TcpView<'_>) -> Emitted {
        let flags = view.flags();
        self.our_port = view.source_port();
        if flags.contains(Flags::SYN) {
            self.our_isses.insert(view.destination_port(), view.seq());
        }
        let mut text: String = LETTERS
            .iter()
            .filter(|(bit, _)| flags.contains(*bit))
            .map(|(_, letter)| letter)
            .collect();
        let iss = self.our_isses.get(&view.destination_port()).copied().unwrap_or(Seq(0));
        let seq = view.seq().signed_offset_from(iss);
        // A reset for a segment without ACK has the number 0, whatever our SYN was.
        let bare_reset = flags.contains(Flags::RST) && view.seq() == Seq(0);
        write!(text, " {}", if bare_reset { 0 } else { seq }).unwrap();
        if !view.payload().is_empty() {
            write!(text, "+{}", view.payload().len()).unwrap();
            // Data on a SYN stands behind it.
            let first =
                u64::try_from(if flags.contains(Flags::SYN) { seq } else { seq - 1 }).unwrap();
            assert_eq!(view.payload(), pattern(first, view.payload().len()), "{text}");
        }
        if flags.contains(Flags::ACK) {
            write!(text, " ack {}", view.ack().signed_offset_from(PEER_ISS)).unwrap();
        }
        if flags.contains(Flags::URG) {
            write!(text, " urg {}", view.urgent_pointer()).unwrap();
        }
        Emitted {
            text,
            window: view.window(),
            options: view.options(),
            option_bytes: vec![],
            tos: 0,
        }
    }

    /// The application writes the next bytes of the pattern; returns how many were taken.
    pub(super) fn write(&mut self, len: usize) -> usize {
        self.write_by(len, TcpStream::write)
    }

    /// The same, and says that more follows.
    pub(super) fn write_more(&mut self, len: usize) -> usize {
        self.write_by(len, TcpStream::write_more)
    }

    /// The same, the last of them as urgent data.
    pub(super) fn write_urgent(&mut self, len: usize) -> usize {
        self.write_by(len, TcpStream::send_oob)
    }

    fn write_by(
        &mut self,
        len: usize,
        write: impl FnOnce(&mut TcpStream, &[u8]) -> std::io::Result<usize>,
    ) -> usize {
        let bytes = pattern(self.written, len);
        let taken = write(self.stream(), &bytes).unwrap_or(0);
        self.written += taken as u64;
        self.application();
        taken
    }

    /// The application reads at most this much, which must be the next bytes of the peer's pattern.
    pub(super) fn read(&mut self, len: usize) -> std::io::Result<usize> {
        let mut bytes = vec![0; len];
        let taken = self.stream().read(&mut bytes);
        if let Ok(taken) = taken {
            assert_eq!(bytes[..taken], pattern(self.read, taken));
            self.read += taken as u64;
        }
        self.application();
        taken
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        self.stream.as_mut().expect("the application has closed")
    }

    /// The application drops its stream.
    pub(super) fn close(&mut self) {
        self.stream = None;
        self.application();
    }

    /// Hints are followed, and the turn ends.
    pub(super) fn application(&mut self) {
        for hint in self.inbox.drain(&self.core) {
            self.tcp.follow_hint(&mut self.net, hint);
        }
        self.tcp.flush(&mut self.net);
    }

    pub(super) fn flow(&self) -> FlowKey4 {
        FlowKey4 { remote: PEER, local: US, remote_port: self.peer_port, local_port: self.our_port }
    }

    /// The same as the peer has it.
    pub(super) fn flow_of_peer(&self) -> FlowKey4 {
        FlowKey4 { remote: US, local: PEER, remote_port: self.our_port, local_port: self.peer_port }
    }

    /// The connection's control block.
    pub(super) fn connection<T>(&mut self, look: impl FnOnce(&mut Connection) -> T) -> T {
        let id = self.tcp.find(&self.flow()).expect("no connection");
        look(self.tcp.connections.get_mut(id).unwrap())
    }

    pub(super) fn state(&mut self) -> Option<super::TcpState> {
        let flow = self.flow();
        let id = self.tcp.find(&flow)?;
        self.tcp.connections.get_mut(id).map(|connection| connection.state)
    }

    /// The number of our last SYN to the peer's port.
    pub(super) fn our_iss(&self) -> Seq {
        self.our_isses.get(&self.peer_port).copied().unwrap_or(Seq(0))
    }

    pub(super) fn count(&self, counter: Counter) -> u64 {
        self.net.metrics.counter(counter)
    }

    /// Frames that something still holds.
    pub(super) fn frames_held(&self) -> usize {
        self.frames - self.net.pool_available()
    }
}

/// `len` bytes of a stream from a position on.
pub(super) fn pattern(position: u64, len: usize) -> Vec<u8> {
    (position..).take(len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// The whole number of a sequence number near that of a SYN.
fn whole(syn: Seq, seq: Seq) -> u64 {
    u64::from(syn.0).wrapping_add_signed(seq.signed_offset_from(syn).into())
}

fn relative(origin: Seq, steps: i64) -> Seq {
    Seq(origin.0.wrapping_add_signed(i32::try_from(steps).unwrap()))
}

fn flag(letter: char) -> Option<Flags> {
    LETTERS.iter().find(|(_, known)| *known == letter).map(|(bit, _)| *bit)
}

const LETTERS: [(Flags, char); 9] = [
    (Flags::SYN, 'S'),
    (Flags::FIN, 'F'),
    (Flags::RST, 'R'),
    (Flags::PSH, 'P'),
    (Flags::URG, 'U'),
    (Flags::ACK, 'A'),
    (Flags::ECE, 'E'),
    (Flags::CWR, 'W'),
    // AE, formerly of the nonce.
    (Flags::AE, 'N'),
];
pub(super) const IP_LEN: usize = 20;

/// The ECN field of the packet: `ce 1`, `ect0 1` or `ect1 1`.
fn mark(text: &str) -> Ecn {
    let marks = [(" ce ", Ecn::Marked), (" ect0 ", Ecn::Capable), (" ect1 ", Ecn::Capable1)];
    let said = marks.into_iter().find(|(word, _)| text.contains(word));
    said.map_or(Ecn::NotCapable, |(_, ecn)| ecn)
}

/// Counters as AccECN0 has them, parted by colons; those that are missing are left out.
fn accurate_ecn(text: &str) -> AccurateEcnOption {
    let fields: Vec<u32> = text.split(':').map(|field| field.parse().unwrap()).collect();
    let field = |at: usize| fields.get(at).copied().unwrap_or(0);
    let bytes = EcnBytes { ect0: field(0), ce: field(1), ect1: field(2) };
    let count = u8::try_from(fields.len()).unwrap();
    AccurateEcnOption::new(FieldOrder::Ect0First, bytes, count)
}

/// Digits of a cookie, or `-` for none.
fn fast_open(text: &str) -> FastOpenOption {
    let digits = text.trim_start_matches('-').as_bytes();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    FastOpenOption { cookie: FastOpenCookie::new(&bytes).unwrap(), form: FastOpenForm::Standard }
}

/// The packets that leave a device which cuts what it is asked to cut, and sums it or does not.
fn packets_of(frame: &Frame) -> Vec<Vec<u8>> {
    let whole: Vec<u8> = frame.segments().flatten().copied().collect();
    let Some(wanted) = frame.requested_segmentation() else { return vec![whole] };
    let headers_len = IP_LEN + usize::from(wanted.l4_len);
    let (headers, payload) = whole.split_at(headers_len);
    let sum = u16::try_from(whole.len() - IP_LEN).unwrap();
    let sum = Sum::pseudo_header_v4(US, PEER, protocol::TCP, sum).folded();
    assert_eq!(headers[IP_LEN + 16..IP_LEN + 18], sum.to_be_bytes(), "the pseudo header's sum");
    assert_eq!(usize::from(u16::from_be_bytes([whole[2], whole[3]])), whole.len());
    assert!(payload.len() > wanted.segment_size.into(), "there is something to cut");
    let pieces = payload.chunks(wanted.segment_size.into());
    let (last, seq) =
        (pieces.len() - 1, u32::from_be_bytes(headers[IP_LEN + 4..IP_LEN + 8].try_into().unwrap()));
    let cut = |(n, piece): (usize, &[u8])| {
        let mut packet = [headers, piece].concat();
        let seq = seq.wrapping_add(u32::try_from(n * usize::from(wanted.segment_size)).unwrap());
        packet[IP_LEN + 4..IP_LEN + 8].copy_from_slice(&seq.to_be_bytes());
        if n < last {
            packet[IP_LEN + 13] &= !8;
        }
        packet
    };
    pieces.enumerate().map(cut).collect()
}
