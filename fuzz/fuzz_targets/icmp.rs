//! ICMP errors about what a connection has sent, and about what it has not: it lives on, and sends all that was written.

#![no_main]

use std::time::Duration;

use darner::{MtuProbing, TcpConfig, TcpState};
use darner_fuzz::{ACK, FIN, MTU, SYN, Script, Segment, World, checksum, packet, stream};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut script = Script::new(bytes);
    let setup = script.byte();
    let mut run = Run::opening(setup);
    if setup & 0x80 != 0 && run.call_is_answered_by_errors(&mut script) == Call::Over {
        return run.world.finish();
    }
    run.establish();
    for _ in 0..MOST_STEPS {
        let Some(step) = script.step() else { break };
        match step % 8 {
            0 => run.world.write(script.amount()),
            1 => run.pass(script.byte()),
            2 => run.acknowledge(script.byte()),
            3 => run.peer_sends(script.amount()),
            _ => drop(run.error(&mut script)),
        }
        run.judge();
    }
    run.end();
});

const MOST_STEPS: usize = 128;
/// The number of the peer's SYN.
const ISS: u32 = 0x7fff_fff0;
/// The least that a path is believed to take.
const LEAST_MTU: u16 = 552;
/// RFC 1191, table 7-1.
const PLATEAUS: [u16; 4] = [1492, 1006, 576, 552];
/// Destination unreachable, fragmentation needed.
const TOO_BIG: (u8, u8) = (3, 4);

struct Run {
    world: World,
    timestamps: bool,
    /// What the path is taken to carry.
    path: u16,
    /// The least of what true errors have claimed: what is not believed at once may be later.
    claimed: u16,
    /// The number of the oldest byte that the peer has not acknowledged.
    unacknowledged: u32,
    /// How much the peer has sent.
    said: u32,
    /// Segments that the stack has sent, from which errors quote.
    packets: Vec<Vec<u8>>,
}

#[derive(PartialEq)]
enum Call {
    GoesOn,
    Over,
}

/// Whether an error is about something that is on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Truth {
    True,
    False,
}

impl Run {
    fn opening(setup: u8) -> Self {
        let timestamps = setup & 1 != 0;
        let mut world = World::new(TcpConfig {
            timestamps,
            mtu_probing: MtuProbing::Off,
            ..TcpConfig::default()
        });
        world.connect();
        let unacknowledged = world.known.as_ref().expect("a SYN is out").stack_iss;
        let packets = world.sent.clone();
        Self { world, timestamps, path: MTU, claimed: MTU, unacknowledged, said: 0, packets }
    }

    /// Only an error about our SYN ends the attempt (RFC 5927, section 4.1).
    fn call_is_answered_by_errors(&mut self, script: &mut Script<'_>) -> Call {
        for _ in 0..script.byte() % 4 {
            let (kind, truth) = self.error(script);
            let ends = truth == Truth::True && kind != TOO_BIG && is_error(kind);
            let state = self.world.connection().map(|info| info.state);
            assert_eq!(state, (!ends).then_some(TcpState::SynSent), "{kind:?} {truth:?}");
            if ends {
                return Call::Over;
            }
        }
        Call::GoesOn
    }

    fn establish(&mut self) {
        let mut options = vec![2, 4, 5, 180, 1, 1, 4, 2];
        options.extend(self.timestamps());
        self.unacknowledged = self.sent();
        let syn_ack = Segment {
            seq: ISS,
            ack: self.unacknowledged,
            flags: SYN | ACK,
            options,
            ..self.world.segment()
        };
        self.world.send(&syn_ack);
        self.judge();
    }

    /// As far as the stack has sent.
    fn sent(&self) -> u32 {
        self.world.known.as_ref().expect("a SYN is out").sent
    }

    fn timestamps(&self) -> Vec<u8> {
        let Some(echo) = self.world.known.as_ref().and_then(|known| known.stamp) else {
            return vec![];
        };
        [&[1, 1, 8, 10, 0, 0, 0, 9][..], &echo.to_be_bytes()].concat()
    }

    fn peer_segment(&self, payload: Vec<u8>) -> Segment {
        Segment {
            seq: ISS.wrapping_add(1).wrapping_add(self.said),
            ack: self.unacknowledged,
            flags: ACK,
            options: self.timestamps(),
            payload,
            ..self.world.segment()
        }
    }

    /// The peer acknowledges a part of what is on its way.
    fn acknowledge(&mut self, part: u8) {
        let outstanding = self.sent().wrapping_sub(self.unacknowledged);
        let step = u64::from(outstanding) * u64::from(part) / 255;
        self.unacknowledged = self.unacknowledged.wrapping_add(step as u32);
        self.world.send(&self.peer_segment(vec![]));
    }

    fn peer_sends(&mut self, len: usize) {
        let len = len.min(1400);
        let segment = self.peer_segment(stream(self.said, len));
        self.world.send(&segment);
        self.said += len as u32;
        let _nothing_there = self.world.read(len);
        assert_eq!(self.world.read, self.said, "what the peer sends is read");
    }

    fn pass(&mut self, hundredths: u8) {
        self.world.pass(Duration::from_millis(10 * u64::from(hundredths)));
    }

    /// An error that quotes a segment, or something like one. Returns its type and code.
    fn error(&mut self, script: &mut Script<'_>) -> ((u8, u8), Truth) {
        self.note_packets();
        let kind = match script.byte() % 8 {
            0..4 => TOO_BIG,
            4 => (3, script.byte() % 16),
            5 => (11, script.byte() % 3),
            6 => (12, script.byte() % 2),
            _ => (script.byte(), script.byte()),
        };
        let mtu = script.word();
        let recent = usize::from(script.byte()) % self.packets.len();
        let mut quote = self.packets[self.packets.len() - 1 - recent].clone();
        let forgery = script.byte();
        forge(&mut quote, forgery, script);
        let truth = self.truth(&quote, forgery);
        let message = error_message(kind, mtu, &quote);

        let before = self.standing();
        self.world.sent.clear();
        self.world.inject(&packet(1, &message));
        if truth == Truth::True && kind == TOO_BIG {
            let refused = u16::from_be_bytes([quote[2], quote[3]]);
            self.narrow(believed(mtu, refused), &quote);
        }
        if truth == Truth::False || !is_error(kind) {
            assert_eq!(self.standing(), before, "{kind:?} about {quote:?}");
            let answers = self.world.sent.iter().filter(|answer| is_tcp(answer));
            assert_eq!(answers.count(), 0, "nothing is sent for a false error");
        }
        (kind, truth)
    }

    /// What is on its way was too large. It is sent again at once where nothing has arrived that speaks against it (RFC 5927, section 7.2).
    fn narrow(&mut self, path: u16, quote: &[u8]) {
        self.claimed = self.claimed.min(path);
        let Some(info) = self.world.connection() else { return };
        let first = self.world.known.as_ref().expect("a SYN is out").stack_iss.wrapping_add(1);
        let seq = u32::from_be_bytes([quote[24], quote[25], quote[26], quote[27]]);
        let sent = self.sent().wrapping_sub(seq).min(self.path.into());
        let credible = path < self.path && u32::from(path - 40 - self.options_len()) < sent;
        if info.state == TcpState::Established && self.unacknowledged == first && credible {
            assert_eq!(info.segment_size, path - 40 - self.options_len(), "nothing was proven");
            let mut segments = self.world.sent.iter().filter_map(|packet| Segment::parse(packet));
            let again = segments.any(|segment| segment.seq == self.unacknowledged);
            assert!(again, "nothing is sent again for a path of {path}");
        }
    }

    fn options_len(&self) -> u16 {
        if self.timestamps { 12 } else { 0 }
    }

    fn standing(&mut self) -> Option<(TcpState, u32, u32, u16)> {
        let info = self.world.connection()?;
        Some((info.state, info.in_flight, info.congestion_window, info.segment_size))
    }

    fn truth(&mut self, quote: &[u8], forgery: u8) -> Truth {
        let Some(info) = self.world.connection() else { return Truth::False };
        if quote.len() < 28 || is_forged(forgery) {
            return Truth::False;
        }
        let seq = u32::from_be_bytes([quote[24], quote[25], quote[26], quote[27]]);
        let in_flight = seq.wrapping_sub(self.unacknowledged) < info.in_flight;
        if in_flight { Truth::True } else { Truth::False }
    }

    /// Keeps the last segments of those that the stack has sent.
    fn note_packets(&mut self) {
        self.packets.extend(self.world.sent.drain(..).filter(|sent| is_tcp(sent)));
        let old = self.packets.len().saturating_sub(64);
        self.packets.drain(..old);
    }

    /// The connection lives, and its packets fit through what the path is known to take.
    fn judge(&mut self) {
        for sent in self.world.sent.iter().filter(|sent| is_tcp(sent)) {
            let len = sent.len() as u16;
            assert!(len <= self.path, "{len} bytes on a path of {}", self.path);
        }
        self.note_packets();
        let info = self.world.connection().expect("no ICMP error ends a connection");
        assert_eq!(info.state, TcpState::Established);
        let path = info.segment_size + 40 + self.options_len();
        assert!((self.claimed..=self.path).contains(&path), "{path}: no error has said so");
        self.path = path;
    }

    /// The peer takes what is sent, and misses nothing of it at the end.
    fn end(mut self) {
        self.world.shutdown(std::net::Shutdown::Write);
        let known = self.world.known.as_ref().expect("a connection");
        let all = known.stack_iss.wrapping_add(2 + known.written);
        for _ in 0..MOST_ROUNDS {
            self.note_packets();
            self.receive();
            if self.unacknowledged == all {
                return self.close();
            }
            self.world.send(&self.peer_segment(vec![]));
            self.world.pass(Duration::from_secs(1));
        }
        panic!("not all is sent: {} of {all}", self.unacknowledged);
    }

    /// The peer moves on over all that it has in order.
    fn receive(&mut self) {
        let mut parts: Vec<Segment> =
            self.packets.iter().filter_map(|packet| Segment::parse(packet)).collect();
        parts.sort_by_key(|part| part.seq.wrapping_sub(self.unacknowledged) as i32);
        for part in parts {
            let gap = part.seq.wrapping_sub(self.unacknowledged) as i32;
            let gain = gap.wrapping_add(part.len() as i32);
            if gap <= 0 && gain > 0 {
                self.unacknowledged = self.unacknowledged.wrapping_add(gain as u32);
            }
        }
    }

    fn close(mut self) {
        let fin = Segment { flags: ACK | FIN, ..self.peer_segment(vec![]) };
        self.world.send(&fin);
        assert!(self.world.connection().is_none(), "TIME-WAIT");
        assert_eq!(self.world.read(1).expect("an end in good order"), 0);
        self.world.finish();
    }
}

/// Rounds of a second in which everything must arrive, back-off of timeouts included.
const MOST_ROUNDS: usize = 600;

/// Makes the quotation one of something that was never sent, where that is what is wanted.
fn forge(quote: &mut Vec<u8>, forgery: u8, script: &mut Script<'_>) {
    match forgery % 8 {
        // Another destination, protocol, port; a later fragment; too little.
        0 => quote[19] ^= 1 | script.byte(),
        1 => quote[9] = 17,
        2 => quote[21] ^= 1 | script.byte(),
        3 => quote[7] = 1 | script.byte(),
        4 => quote.truncate(usize::from(script.byte()) % 28),
        // Another number; as much as routers quote; all.
        5 => quote[24..28].copy_from_slice(&script.long().to_be_bytes()),
        6 => quote.truncate(28),
        _ => {}
    }
}

fn is_forged(forgery: u8) -> bool {
    forgery % 8 < 5
}

/// Echoes of what was no error lie among what the stack sends.
fn is_tcp(packet: &[u8]) -> bool {
    packet[9] == 6
}

fn error_message(kind: (u8, u8), mtu: u16, quote: &[u8]) -> Vec<u8> {
    let mut message = vec![kind.0, kind.1, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(&quote[..quote.len().min(usize::from(MTU) - 28)]);
    let sum = checksum(&message, 0);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

/// Whether a message of this type and code says that something did not arrive (RFC 792; RFC 1122, section 3.2.2.1; RFC 1812,
/// section 5.2.7.1).
fn is_error(kind: (u8, u8)) -> bool {
    matches!(kind, (3, 0..=15) | (11, 0 | 1) | (12, 0))
}

/// What a path is taken to carry that has refused so much (RFC 1191, section 5).
fn believed(mtu: u16, refused: u16) -> u16 {
    let next = PLATEAUS.into_iter().find(|&plateau| plateau < refused).unwrap_or(LEAST_MTU);
    if mtu == 0 { next } else { mtu.max(LEAST_MTU) }
}
