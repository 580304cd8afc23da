//! What of a segment is signed.

use std::net::Ipv4Addr;

use pmd::Frame;

use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::tcp::segment::Segment;
use crate::wire::ipv4::protocol;
use crate::wire::tcp::{CHECKSUM_OFFSET, HEADER_LEN};
use crate::wire::tcp_options::auth_data_at;

/// A segment as a signature sees it.
pub(super) struct Covered<'a> {
    addresses: (Ipv4Addr, Ipv4Addr),
    len: usize,
    fixed: [u8; HEADER_LEN],
    options: &'a [u8],
    payload: Payload<'a>,
}

enum Payload<'a> {
    Whole(&'a [u8]),
    /// What follows the header in a frame's first segment, and the segments behind that.
    Chain(&'a [u8], &'a Frame),
}

impl<'a> Covered<'a> {
    /// A segment that is about to be sent.
    pub(super) fn sent(flow: &FlowKey4, header: &'a [u8], payload: &'a [u8]) -> Option<Self> {
        let len = header.len() + payload.len();
        Self::new((flow.local, flow.remote), len, header, Payload::Whole(payload))
    }

    /// A segment that has come, whose header is still before its payload in `frame`.
    fn received(flow: &FlowKey4, header_len: usize, frame: &'a Frame) -> Option<Self> {
        let (header, rest) = frame.head().split_at_checked(header_len)?;
        Self::new((flow.remote, flow.local), frame.len(), header, Payload::Chain(rest, frame))
    }

    fn new(
        addresses: (Ipv4Addr, Ipv4Addr),
        len: usize,
        header: &'a [u8],
        payload: Payload<'a>,
    ) -> Option<Self> {
        let (&(mut fixed), options) = header.split_first_chunk()?;
        // Signed as zero: it is computed later, maybe by the device.
        fixed[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].fill(0);
        Some(Self { addresses, len, fixed, options, payload })
    }

    /// The addresses, the protocol and the length, as the checksum has them (RFC 9293, section 3.1).
    pub(super) fn pseudo_header(&self) -> [u8; 12] {
        let ([a, b, c, d], [e, f, g, h]) = (self.addresses.0.octets(), self.addresses.1.octets());
        let [high, low] = u16::try_from(self.len).unwrap_or(u16::MAX).to_be_bytes();
        [a, b, c, d, e, f, g, h, 0, protocol::TCP, high, low]
    }

    /// The header without options, and with a checksum of zero.
    pub(super) fn fixed_header(&self) -> &[u8; HEADER_LEN] {
        &self.fixed
    }

    /// All options, and where the one begins that signs the segment.
    pub(super) fn options(&self) -> (usize, &'a [u8]) {
        let data_at = auth_data_at(self.options).unwrap_or(OPTION_HEAD);
        (data_at.saturating_sub(OPTION_HEAD), self.options)
    }

    /// What the option says that signs the segment: its data, to its end or that of the header.
    pub(super) fn auth_data(&self) -> Option<&'a [u8]> {
        self.options.get(auth_data_at(self.options)?..)
    }

    /// Hands all bytes of the payload to `each`, in their order.
    pub(super) fn payload(&self, mut each: impl FnMut(&[u8])) {
        match self.payload {
            Payload::Whole(bytes) => each(bytes),
            Payload::Chain(first, frame) => {
                each(first);
                frame.segments().skip(1).for_each(each);
            }
        }
    }
}

impl Segment {
    /// Has `judge` look at the segment as it came.
    pub(super) fn as_it_came(
        &mut self,
        flow: &FlowKey4,
        judge: impl FnOnce(&Covered<'_>) -> Result<(), Drop>,
    ) -> Result<(), Drop> {
        let header_len = usize::from(self.header_len);
        // Nobody has written there since it was parsed: the header is what the buffer held.
        self.payload.prepend(header_len).ok_or(Drop::TcpTruncated)?;
        let covered = Covered::received(flow, header_len, &self.payload);
        let judged = covered.ok_or(Drop::TcpTruncated).and_then(|segment| judge(&segment));
        self.payload.trim_front(header_len);
        judged
    }
}

/// Kind and length.
const OPTION_HEAD: usize = 2;
