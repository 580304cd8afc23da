//! What arrives, as far as a client needs it.

use pmd::Frame;

/// A TCP segment that has arrived. Whether its checksum is right is not looked at: what the server sends is proved by its tests.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Segment {
    /// Whose it is.
    pub(crate) address: u32,
    pub(crate) port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// The sender's clock (RFC 7323).
    pub(crate) timestamp: Option<u32>,
    /// By how many bits its windows are to be shifted; on a SYN only.
    pub(crate) window_shift: Option<u8>,
    /// Bytes of payload, and where they begin in the frame.
    pub(crate) len: u32,
    pub(crate) text_at: usize,
}

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PUSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

/// Ethernet's header.
pub(crate) const ETHERNET: usize = 14;
/// Ethernet's and IP's, without options.
pub(crate) const NETWORK: usize = ETHERNET + 20;
/// IP's numbers for what it carries.
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

impl Segment {
    /// Reads a frame; `None` for what is not TCP over IPv4.
    #[inline]
    pub(crate) fn parse(frame: &Frame) -> Option<Self> {
        let (payload, address) = ipv4(frame.head(), TCP)?;
        let fixed: &[u8; 20] = payload.bytes.first_chunk()?;
        let header_len = usize::from(fixed[12] >> 4) * 4;
        let options = payload.bytes.get(20..header_len)?;
        let mut segment = Self {
            address,
            port: u16::from_be_bytes([fixed[2], fixed[3]]),
            seq: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ack: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            flags: fixed[13],
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            len: u32::try_from(payload.len.checked_sub(header_len)?).ok()?,
            text_at: frame.head().len() - payload.bytes.len() + header_len,
            ..Self::default()
        };
        segment.read_options(options);
        Some(segment)
    }

    /// Where the sequence goes on behind it.
    pub(crate) fn end(&self) -> u32 {
        let marks = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.seq.wrapping_add(self.len).wrapping_add(marks)
    }

    #[inline]
    fn read_options(&mut self, options: &[u8]) {
        // What nearly every segment has, and nothing else.
        if let Ok([1, 1, 8, 10, time @ .., _, _, _, _]) = <&[u8; 12]>::try_from(options) {
            self.timestamp = Some(u32::from_be_bytes(*time));
            return;
        }
        let mut rest = options;
        while let [kind, tail @ ..] = rest {
            match (kind, tail) {
                (0, _) => return,
                (1, _) => rest = tail,
                (kind, [len, ..]) => {
                    let Some((option, behind)) = rest.split_at_checked(usize::from(*len).max(2))
                    else {
                        return;
                    };
                    match (kind, option) {
                        (3, [_, _, shift]) => self.window_shift = Some(*shift),
                        (8, [_, _, a, b, c, d, ..]) => {
                            self.timestamp = Some(u32::from_be_bytes([*a, *b, *c, *d]));
                        }
                        _ => {}
                    }
                    rest = behind;
                }
                _ => return,
            }
        }
    }
}

/// A UDP datagram that has arrived.
pub(crate) struct Datagram<'a> {
    pub(crate) address: u32,
    pub(crate) port: u16,
    pub(crate) payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads a frame; `None` for what is not UDP over IPv4.
    pub(crate) fn parse(frame: &'a Frame) -> Option<Self> {
        let (payload, address) = ipv4(frame.head(), UDP)?;
        let header: &[u8; 8] = payload.bytes.first_chunk()?;
        let port = u16::from_be_bytes([header[2], header[3]]);
        Some(Self { address, port, payload: payload.bytes.get(8..payload.len)? })
    }
}

/// What IP carries: its bytes as far as they are in one piece, and how many there are by IP's word.
struct Payload<'a> {
    bytes: &'a [u8],
    len: usize,
}

/// The payload of an IPv4 packet of `protocol`, and its destination.
#[inline]
fn ipv4(frame: &[u8], protocol: u8) -> Option<(Payload<'_>, u32)> {
    let (ethernet, packet) = frame.split_first_chunk::<ETHERNET>()?;
    let header: &[u8; 20] = packet.first_chunk()?;
    if ethernet[12..] != [8, 0] || header[9] != protocol {
        return None;
    }
    let header_len = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let address = u32::from_be_bytes([header[16], header[17], header[18], header[19]]);
    let payload = Payload { bytes: packet.get(header_len..)?, len: total.checked_sub(header_len)? };
    Some((payload, address))
}

/// Whether `a` lies before `b` on the circle of sequence numbers.
#[inline]
pub(crate) fn precedes(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) > i32::MAX.cast_unsigned()
}
