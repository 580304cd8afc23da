//! The peer: how its frames are made, and what it reads of the stack's.
//!
//! Checksums are the device's work, in both directions, as on any NIC of today: frames that arrive are marked as good, and
//! the stack leaves those of its own to the device.

use std::net::Ipv4Addr;

use darner::time::Instant;
use pmd::{ChecksumStatus, Frame, Pool, RxOffload};

pub(crate) const STACK: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(crate) const STACK_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub(crate) const STACK_PORT: u16 = 7;
const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const PEER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const PUSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

/// Payload of a full segment: 1460 bytes less the timestamps.
pub(crate) const MSS: usize = 1448;

/// The window that the peer offers once it is scaled: 64 full segments, exactly.
const WINDOW: usize = 64 * MSS;
const WINDOW_SHIFT: u8 = 7;

/// One connection, as the peer knows it.
pub(crate) struct Flow {
    port: u16,
    next_seq: u32,
    /// What it expects next.
    ack: u32,
    /// The stack's last timestamp.
    echo: u32,
    fin_seen: bool,
}

impl Flow {
    /// The `index`th; ports come round again.
    pub(crate) fn new(index: usize) -> Self {
        let port = port(index);
        // The stack's past connections on this port must all lie behind.
        let next_seq = u32::try_from(index).unwrap_or(0).wrapping_mul(1000);
        Self { port, next_seq, ack: 0, echo: 0, fin_seen: false }
    }

    /// The sequence number that follows what was sent.
    pub(crate) fn next_seq(&self) -> u32 {
        self.next_seq
    }

    /// The stack has closed its side.
    pub(crate) fn is_closed(&self) -> bool {
        self.fin_seen
    }

    /// Takes note of the stack's next segment.
    pub(crate) fn see(&mut self, segment: &Seen) {
        let synchronizes = segment.flags & SYN != 0;
        assert!(synchronizes || segment.seq == self.ack, "nothing is lost or sent again");
        self.ack = advanced(segment.seq, segment.flags, segment.len);
        self.echo = segment.timestamp;
        self.fin_seen |= segment.flags & FIN != 0;
    }

    /// The next segment, in a frame.
    pub(crate) fn segment(&mut self, pool: &Pool, now: Instant, flags: u8, len: usize) -> Frame {
        let opens = flags & SYN != 0;
        let mut options =
            [&[1, 1, 8, 10][..], &millis(now).to_be_bytes(), &self.echo.to_be_bytes()].concat();
        if opens {
            // MSS 1460, SACK permitted, window scale.
            options.extend([2, 4, 5, 180, 1, 1, 4, 2, 1, 3, 3, WINDOW_SHIFT]);
        }
        let window = if opens { usize::from(u16::MAX) } else { WINDOW >> WINDOW_SHIFT };
        let header_len = 20 + options.len();
        let mut frame = pool.alloc().expect("the pool is large enough");
        let mut put = |bytes: &[u8]| frame.extend_from_slice(bytes).expect("a frame holds 2 KiB");
        put(&[&STACK_MAC[..], &PEER_MAC[..], &[8, 0, 0x45, 0]].concat());
        put(&short(20 + header_len + len).to_be_bytes());
        put(&[0, 7, 0x40, 0, 64, 6, 0, 0]);
        put(&PEER.octets());
        put(&STACK.octets());
        put(&self.port.to_be_bytes());
        put(&STACK_PORT.to_be_bytes());
        put(&self.next_seq.to_be_bytes());
        put(&self.ack.to_be_bytes());
        put(&(short(header_len << 10) | u16::from(flags)).to_be_bytes());
        put(&short(window).to_be_bytes());
        put(&[0; 4]);
        put(&options);
        put(&vec![b'x'; len]);
        self.next_seq = advanced(self.next_seq, flags, len);
        let good = ChecksumStatus::Good;
        frame.set_rx_offload(RxOffload { ip: good, l4: good, rss_hash: None });
        frame
    }
}

/// What the peer reads of a segment.
pub(crate) struct Seen {
    port: u16,
    flags: u8,
    seq: u32,
    pub(crate) ack: u32,
    pub(crate) len: usize,
    timestamp: u32,
}

impl Seen {
    /// `None` for what is not TCP.
    pub(crate) fn of(frame: &Frame) -> Option<Self> {
        let bytes = frame.segments().collect::<Vec<_>>().concat();
        let ip = bytes.strip_prefix(&[&PEER_MAC[..], &STACK_MAC[..], &[8, 0]].concat()[..])?;
        let tcp = ip.get(20..).filter(|_| ip[9] == 6)?;
        let long = |at: usize| u32::from_be_bytes([tcp[at], tcp[at + 1], tcp[at + 2], tcp[at + 3]]);
        let header_len = usize::from(tcp[12] >> 4) * 4;
        let timestamp = tcp[20..header_len].windows(2).position(|option| option == [8, 10]);
        Some(Self {
            port: u16::from_be_bytes([tcp[2], tcp[3]]),
            flags: tcp[13],
            seq: long(4),
            ack: long(8),
            len: tcp.len() - header_len,
            timestamp: long(22 + timestamp.expect("timestamps were agreed on")),
        })
    }

    /// Which flow it belongs to, counted from the `first`.
    pub(crate) fn flow(&self, first: usize) -> usize {
        usize::from(self.port.wrapping_sub(port(first))) % PORTS
    }
}

/// Asks who has the stack's address, and so tells it the peer's.
pub(crate) fn arp_request() -> Vec<u8> {
    let header = [8, 6, 0, 1, 8, 0, 6, 4, 0, 1];
    let (peer, stack) = (PEER.octets(), STACK.octets());
    [&[0xff; 6][..], &PEER_MAC, &header, &PEER_MAC, &peer, &[0; 6], &stack].concat()
}

/// Ports that the peer uses in turn; a whole number of batches.
const PORTS: usize = 1 << 14;

fn port(index: usize) -> u16 {
    short(PORTS + index % PORTS)
}

/// The sequence number behind a segment.
fn advanced(seq: u32, flags: u8, len: usize) -> u32 {
    let len = u32::from(short(len)) + u32::from(flags & FIN != 0) + u32::from(flags & SYN != 0);
    seq.wrapping_add(len)
}

/// The clock of the peer's timestamps, never zero.
fn millis(now: Instant) -> u32 {
    1 + u32::try_from(now.as_millis()).expect("a run takes less than 49 days")
}

fn short(number: usize) -> u16 {
    u16::try_from(number).expect("it fits a header's field")
}
