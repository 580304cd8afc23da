//! Received frames go back to their device together, not one by one. A binary of its own: all frames of a process are counted.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io;

use darner::time::Instant;
use darner::{
    Application, Config, Core, DuplicateDetection, Protocol, Readiness, TcpListener, TcpStream,
    Token,
};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use pmd::mem::{self, MemHandle};
use pmd::{Burst, Pool, frames_dropped_singly};

/// Sends what comes back.
#[derive(Default)]
struct Echo {
    listener: Option<TcpListener>,
    stream: Option<TcpStream>,
}

impl Application for Echo {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        self.listener = Some(core.listen("10.0.0.1:80".parse().unwrap(), 4, Token(0))?);
        Ok(())
    }

    fn ready(&mut self, core: &mut Core<'_>, token: Token, _: Readiness) {
        if token == Token(0)
            && let Some(Ok((mut stream, _))) = self.listener.as_ref().map(TcpListener::accept)
        {
            core.register(&mut stream, Token(1));
            stream.set_nodelay(true);
            self.stream = Some(stream);
        }
        let Some(stream) = &mut self.stream else { return };
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = io::Read::read(stream, &mut bytes) {
            io::Write::write_all(stream, &bytes[..len]).unwrap();
        }
    }
}

const NOW: Instant = Instant::from_millis(1);

fn inject(wire: &MemHandle, (seq, ack): (u32, Option<u32>), data: &[u8]) {
    let tcp = PacketBuilder::ipv4([10, 0, 0, 9], [10, 0, 0, 1], 64).tcp(1000, 80, seq, 60_000);
    let tcp = match ack {
        Some(ack) => tcp.ack(ack),
        None => tcp.syn(),
    };
    let mut bytes = Vec::new();
    tcp.write(&mut bytes, data).unwrap();
    wire.inject_bytes(&bytes).unwrap();
}

/// The first number and the data of what was sent. The frames that it takes from the wire are freed one by one.
fn sent(wire: &MemHandle) -> (u32, usize) {
    let (mut first, mut len) = (None, 0);
    while let Some(packet) = wire.take_bytes() {
        let sliced = SlicedPacket::from_ip(&packet).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("a segment") };
        first.get_or_insert(tcp.sequence_number());
        len += tcp.payload().len();
    }
    (first.unwrap(), len)
}

#[test]
fn segments_that_were_expected_are_freed_in_bulk() {
    let (queue, wire) = mem::device(Pool::heap(512, 2048), 1500);
    let config = Config {
        addresses: vec!["10.0.0.1/8".parse().unwrap()],
        duplicate_detection: DuplicateDetection::Off,
        ..Config::default()
    };
    let application = Box::new(Echo::default());
    let mut protocol = Protocol::new(&config, vec![Box::new(queue)], application, [7; 32]).unwrap();
    inject(&wire, (0, None), &[]);
    protocol.turn(NOW);
    let mut ours = sent(&wire).0.wrapping_add(1);
    inject(&wire, (1, Some(ours)), &[]);
    while protocol.turn(NOW).is_busy() {}

    let (mut seq, mut singly) = (1, 0);
    for segments in [1, 3, Burst::CAPACITY, 3 * Burst::CAPACITY] {
        let before = frames_dropped_singly();
        for _ in 0..segments {
            inject(&wire, (seq, Some(ours)), &[7; 10]);
            seq += 10;
        }
        while protocol.turn(NOW).is_busy() {}
        singly += frames_dropped_singly() - before;
        let (_, len) = sent(&wire);
        assert_eq!(len, 10 * segments, "an echo");
        // An ACK for each.
        let before = frames_dropped_singly();
        for _ in 0..segments {
            ours = ours.wrapping_add(10);
            inject(&wire, (seq, Some(ours)), &[]);
        }
        while protocol.turn(NOW).is_busy() {}
        singly += frames_dropped_singly() - before;
    }
    assert_eq!(singly, 0);
}
