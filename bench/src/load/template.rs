//! Segments made from a template: one copy, and the few fields that differ.
//!
//! All that is known of every segment to one server is summed up before; payloads are all of one byte. So a checksum costs a
//! dozen additions, whatever the length.

use pmd::Frame;

use super::checksum::{FILL, Sum};
use super::segment::{ETHERNET, NETWORK, TCP, UDP};

/// The other side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server {
    pub(crate) station: [u8; 6],
    pub(crate) address: u32,
    pub(crate) port: u16,
}

/// A segment to a server, but for what differs from one to the next.
pub(crate) struct Template {
    /// A whole frame of the largest size.
    frame: Vec<u8>,
    header_len: usize,
    timestamps: bool,
    ip_sum: Sum,
    tcp_sum: Sum,
    /// Sums of none, one, two and more pieces of the payload, where that is no [`FILL`]; and the length of a piece.
    pieces: Option<(usize, Vec<Sum>)>,
}

/// What differs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fields {
    pub(crate) address: u32,
    pub(crate) port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// Our clock, and the peer's last word about his; without the option not said.
    pub(crate) time: u32,
    pub(crate) echo: u32,
    /// Bytes of payload.
    pub(crate) len: usize,
}

/// The TCP options of a segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Options {
    None,
    Timestamps,
    /// MSS, SACK permitted, timestamps, window scale: in Linux's order.
    Syn,
    /// The same without timestamps.
    SynWithoutTimestamps,
}

/// By how much our windows are to be shifted.
pub(crate) const WINDOW_SHIFT: u8 = 7;

/// Behind the TCP header, where timestamps stand in each kind of segment that has them.
const TIME: usize = NETWORK + 24;

impl Options {
    fn bytes(self, mss: u16) -> Vec<u8> {
        let [high, low] = mss.to_be_bytes();
        let times = [0; 8];
        match self {
            Self::None => vec![],
            Self::Timestamps => [&[1, 1, 8, 10][..], &times].concat(),
            // Timestamps stand first, so that they have the same place everywhere.
            Self::Syn => {
                [&[1, 1, 8, 10][..], &times, &[2, 4, high, low, 1, 1, 4, 2, 1, 3, 3, WINDOW_SHIFT]]
                    .concat()
            }
            Self::SynWithoutTimestamps => vec![2, 4, high, low, 1, 1, 4, 2, 1, 3, 3, WINDOW_SHIFT],
        }
    }

    fn timestamps(self) -> bool {
        matches!(self, Self::Timestamps | Self::Syn)
    }
}

impl Template {
    /// Segments from a station of `our` address over a link of `mtu`.
    pub(crate) fn new(our: [u8; 6], server: &Server, options: Options, mtu: u16) -> Self {
        let mss = mtu - 40;
        let options_bytes = options.bytes(mss);
        let header_len = 20 + options_bytes.len();
        let mut frame = network_header(our, server, TCP);
        frame.extend([0, 0]);
        frame.extend(server.port.to_be_bytes());
        frame.extend([0; 8]);
        // The words of the header, in the upper four bits.
        frame.extend([u8::try_from(header_len << 2).unwrap_or(0), 0]);
        frame.extend([0; 6]);
        frame.extend(options_bytes);
        let ip_sum = Sum::of(&frame[ETHERNET..NETWORK]);
        let tcp_sum = Sum::of(&frame[NETWORK..]).long(server.address).short(TCP.into());
        frame.resize(ETHERNET + usize::from(mtu), FILL);
        Self { frame, header_len, timestamps: options.timestamps(), ip_sum, tcp_sum, pieces: None }
    }

    /// The same with whole copies of `piece` as payload. It is not empty, and fits.
    pub(crate) fn with_pieces(mut self, piece: &[u8]) -> Self {
        let payload = &mut self.frame[NETWORK + self.header_len..];
        let most = payload.len() / piece.len();
        payload.chunks_exact_mut(piece.len()).for_each(|place| place.copy_from_slice(piece));
        let sums = (0..=most).map(|count| Sum::of(&payload[..count * piece.len()])).collect();
        self.pieces = Some((piece.len(), sums));
        self
    }

    /// The most payload that a segment carries.
    pub(crate) fn most(&self) -> usize {
        let room = self.frame.len() - NETWORK - self.header_len;
        self.pieces.as_ref().map_or(room, |(len, _)| room - room % len)
    }

    /// Writes a segment into an empty frame; `None` if that has no room.
    #[inline]
    pub(crate) fn write(&self, into: &mut Frame, fields: &Fields) -> Option<()> {
        let len = NETWORK + self.header_len + fields.len;
        let bytes = into.append(len)?;
        bytes.copy_from_slice(self.frame.get(..len)?);
        let tcp_len = u16::try_from(self.header_len + fields.len).ok()?;
        let ip = self.ip_sum.short(tcp_len + 20).long(fields.address);
        put(bytes, ETHERNET + 2, (tcp_len + 20).to_be_bytes());
        put(bytes, ETHERNET + 10, ip.checksum().to_be_bytes());
        put(bytes, ETHERNET + 12, fields.address.to_be_bytes());
        put(bytes, NETWORK, fields.port.to_be_bytes());
        put(bytes, NETWORK + 4, fields.seq.to_be_bytes());
        put(bytes, NETWORK + 8, fields.ack.to_be_bytes());
        put(bytes, NETWORK + 13, [fields.flags]);
        put(bytes, NETWORK + 14, fields.window.to_be_bytes());
        let mut sum = self.tcp_sum.long(fields.address).short(tcp_len).short(fields.port);
        sum = sum.long(fields.seq).long(fields.ack).short(fields.flags.into());
        let payload = match &self.pieces {
            Some((len, sums)) => *sums.get(fields.len / len)?,
            None => Sum::of_fill(fields.len),
        };
        sum = sum.short(fields.window).plus(payload);
        if self.timestamps {
            put(bytes, TIME, fields.time.to_be_bytes());
            put(bytes, TIME + 4, fields.echo.to_be_bytes());
            sum = sum.long(fields.time).long(fields.echo);
        }
        put(bytes, NETWORK + 16, sum.checksum().to_be_bytes());
        Some(())
    }
}

/// A datagram to a server, but for its source and the first eight bytes of payload.
pub(crate) struct DatagramTemplate {
    frame: Vec<u8>,
    ip_sum: Sum,
    udp_sum: Sum,
}

impl DatagramTemplate {
    /// Datagrams of `len` bytes, at least 8.
    pub(crate) fn new(our: [u8; 6], server: &Server, len: u16) -> Self {
        let udp_len = 8 + len;
        let mut frame = network_header(our, server, UDP);
        put(&mut frame, ETHERNET + 2, (20 + udp_len).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(server.port.to_be_bytes());
        frame.extend(udp_len.to_be_bytes());
        frame.extend([0; 2 + 8]);
        frame.resize(NETWORK + usize::from(udp_len), FILL);
        let ip_sum = Sum::of(&frame[ETHERNET..NETWORK]);
        let udp_sum =
            Sum::of(&frame[NETWORK..]).long(server.address).short(UDP.into()).short(udp_len);
        Self { frame, ip_sum, udp_sum }
    }

    /// Writes a datagram into an empty frame, with `stamp` in front of its payload.
    pub(crate) fn write(
        &self,
        into: &mut Frame,
        (address, port): (u32, u16),
        stamp: u64,
    ) -> Option<()> {
        let bytes = into.append(self.frame.len())?;
        bytes.copy_from_slice(&self.frame);
        let stamp = stamp.to_be_bytes();
        put(bytes, ETHERNET + 10, self.ip_sum.long(address).checksum().to_be_bytes());
        put(bytes, ETHERNET + 12, address.to_be_bytes());
        put(bytes, NETWORK, port.to_be_bytes());
        put(bytes, NETWORK + 8, stamp);
        let sum = self.udp_sum.long(address).short(port).plus(Sum::of(&stamp)).checksum();
        // Zero would say that there is none (RFC 768).
        put(bytes, NETWORK + 6, if sum == 0 { [0xff; 2] } else { sum.to_be_bytes() });
        Some(())
    }
}

/// The headers of Ethernet and IP, without length, source and checksum.
fn network_header(our: [u8; 6], server: &Server, protocol: u8) -> Vec<u8> {
    let mut header = [&server.station[..], &our, &[8, 0]].concat();
    header.extend([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 0, 0, 0, 0]);
    header.extend(server.address.to_be_bytes());
    header
}

#[inline]
fn put<const LEN: usize>(bytes: &mut [u8], at: usize, value: [u8; LEN]) {
    bytes[at..at + LEN].copy_from_slice(&value);
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use pmd::Pool;
    use proptest::prelude::*;

    use super::*;
    use crate::load::segment::{ACK, Datagram, PUSH, SYN, Segment};

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const SERVER: Server = Server { station: [2, 0, 0, 0, 0, 2], address: 0x0a00_0002, port: 7 };

    fn written(options: Options, fields: &Fields) -> Vec<u8> {
        let mut frame = Pool::heap(1, 2048).alloc().unwrap();
        Template::new(OURS, &SERVER, options, 1500).write(&mut frame, fields).unwrap();
        frame.head().to_vec()
    }

    proptest! {
        #[test]
        fn checksums_are_what_etherparse_says(
            address: u32, port: u16, seq: u32, ack: u32, window: u16, time: u32, echo: u32, len in 0_usize..1449,
            options in prop::sample::select(vec![Options::None, Options::Timestamps, Options::Syn, Options::SynWithoutTimestamps]),
        ) {
            let len = if matches!(options, Options::None | Options::Timestamps) { len } else { 0 };
            let fields = Fields { address, port, seq, ack, flags: ACK | PUSH, window, time, echo, len };
            let frame = written(options, &fields);
            let parsed = SlicedPacket::from_ethernet(&frame).unwrap();
            let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (&parsed.net, &parsed.transport) else {
                panic!("not TCP over IPv4");
            };
            let header = ip.header().to_header();
            prop_assert_eq!(header.calc_header_checksum(), header.header_checksum);
            prop_assert_eq!(tcp.calc_checksum_ipv4(header.source, header.destination).unwrap(), tcp.checksum());
            prop_assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number(), tcp.payload().len()), (seq, ack, len));
        }

        #[test]
        fn datagrams_are_what_etherparse_says(address: u32, port: u16, stamp: u64, len in 8_u16..1472) {
            let mut frame = Pool::heap(1, 2048).alloc().unwrap();
            DatagramTemplate::new(OURS, &SERVER, len).write(&mut frame, (address, port), stamp).unwrap();
            let parsed = SlicedPacket::from_ethernet(frame.head()).unwrap();
            let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) = (&parsed.net, &parsed.transport) else {
                panic!("not UDP over IPv4");
            };
            let header = ip.header().to_header();
            prop_assert_eq!(header.calc_header_checksum(), header.header_checksum);
            let sum = udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap();
            prop_assert_eq!(sum, udp.checksum());
            prop_assert_eq!(udp.payload().len(), usize::from(len));
            prop_assert_eq!(Datagram::parse(&frame).unwrap().payload, udp.payload());
        }
    }

    #[test]
    fn pieces_are_whole_and_summed_as_they_are() {
        let template = Template::new(OURS, &SERVER, Options::Timestamps, 1500).with_pieces(b"odd");
        assert_eq!(template.most(), 1446);
        for len in [0, 3, 6, 1446] {
            let mut frame = Pool::heap(1, 2048).alloc().unwrap();
            template.write(&mut frame, &Fields { address: 7, len, ..Fields::default() }).unwrap();
            let parsed = SlicedPacket::from_ethernet(frame.head()).unwrap();
            let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) =
                (&parsed.net, &parsed.transport)
            else {
                panic!("not TCP over IPv4");
            };
            let header = ip.header().to_header();
            let sum = tcp.calc_checksum_ipv4(header.source, header.destination).unwrap();
            assert_eq!(sum, tcp.checksum(), "{len}");
            assert_eq!(tcp.payload(), b"odd".repeat(len / 3));
            assert_eq!(Segment::parse(&frame).unwrap().text_at, frame.head().len() - len);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let fields = Fields {
            address: 0x0a00_0010,
            port: 2000,
            seq: 5,
            ack: 6,
            flags: SYN,
            time: 77,
            ..Fields::default()
        };
        let mut frame = Pool::heap(1, 2048).alloc().unwrap();
        Template::new(OURS, &SERVER, Options::Syn, 1500).write(&mut frame, &fields).unwrap();
        let segment = Segment::parse(&frame).unwrap();
        assert_eq!((segment.address, segment.port), (SERVER.address, SERVER.port));
        assert_eq!((segment.seq, segment.ack, segment.flags, segment.end()), (5, 6, SYN, 6));
        assert_eq!(
            (segment.timestamp, segment.window_shift, segment.len),
            (Some(77), Some(WINDOW_SHIFT), 0)
        );
    }
}
