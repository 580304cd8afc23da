//! The UDP header (RFC 768).

use crate::drops::Drop;
use Malformed::{Length, Truncated};

/// A received datagram whose length field fits the packet that carried it.
#[derive(Clone, Copy)]
pub(crate) struct UdpView<'a> {
    fixed: &'a [u8; HEADER_LEN],
    payload: &'a [u8],
}

impl<'a> UdpView<'a> {
    /// Views the payload of an IP packet. Bytes behind the datagram's own length are left out.
    pub(crate) fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse_head(datagram, datagram.len())
    }

    /// Views the first bytes of an IP payload of `len` bytes. [`UdpView::payload`] is then the part that `head` holds.
    pub(crate) fn parse_head(head: &'a [u8], len: usize) -> Result<Self, Malformed> {
        let (fixed, rest) = head.split_first_chunk::<HEADER_LEN>().ok_or(Truncated)?;
        let datagram_len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let payload_len = datagram_len.checked_sub(HEADER_LEN).ok_or(Length)?;
        if datagram_len > len {
            return Err(Length);
        }
        Ok(Self { fixed, payload: rest.get(..payload_len).unwrap_or(rest) })
    }

    /// The sender's port; 0 where no answer is expected.
    pub(crate) fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[0], self.fixed[1]])
    }

    /// The port it is for.
    pub(crate) fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.fixed[2], self.fixed[3]])
    }

    /// Bytes of header and payload, at least 8.
    pub(crate) fn datagram_len(&self) -> u16 {
        u16::from_be_bytes([self.fixed[4], self.fixed[5]])
    }

    /// Whether the sender computed a checksum.
    pub(crate) fn checksum(&self) -> Checksum {
        match u16::from_be_bytes([self.fixed[6], self.fixed[7]]) {
            0 => Checksum::NotSent,
            _ => Checksum::Sent,
        }
    }

    /// What the header carries, as far as the viewed bytes reach.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

/// What the checksum field says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Checksum {
    /// Zero: nothing to verify.
    NotSent,
    /// To be verified over pseudo header and datagram.
    Sent,
}

/// Why bytes could not be viewed as UDP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// The length is below the header's or above what the packet carries.
    Length,
    /// Fewer than 8 bytes.
    Truncated,
}

impl From<Malformed> for Drop {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Length | Truncated => Self::UdpTruncated,
        }
    }
}

/// A header to send. The checksum is left zero: it needs the pseudo header, which IP knows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct UdpHeader {
    /// Our port.
    pub(crate) source_port: u16,
    /// The port it is for.
    pub(crate) destination_port: u16,
    /// Bytes of header and payload.
    pub(crate) datagram_len: u16,
}

impl UdpHeader {
    /// Writes the header with a checksum of zero.
    pub(crate) fn emit(&self, out: &mut [u8; HEADER_LEN]) {
        out[..2].copy_from_slice(&self.source_port.to_be_bytes());
        out[2..4].copy_from_slice(&self.destination_port.to_be_bytes());
        out[4..6].copy_from_slice(&self.datagram_len.to_be_bytes());
        out[6..].fill(0);
    }
}

/// Bytes of the header.
pub(crate) const HEADER_LEN: usize = 8;
/// Where the checksum stands.
pub(crate) const CHECKSUM_OFFSET: usize = 6;

#[cfg(test)]
mod tests {
    use etherparse::UdpSlice;
    use proptest::prelude::*;
    use smoltcp::wire::UdpPacket;

    use super::*;

    #[test]
    fn the_length_must_fit_the_packet() {
        for (name, length, len, want) in [
            ("nothing", 8, 0, Err(Truncated)),
            ("one byte short", 8, 7, Err(Truncated)),
            ("length zero", 0, 8, Err(Length)),
            ("length below the header", 7, 8, Err(Length)),
            ("length beyond the packet", 9, 8, Err(Length)),
            ("no payload", 8, 8, Ok(0)),
            ("payload and trailing bytes", 10, 12, Ok(2)),
        ] {
            let mut datagram = vec![0; len];
            if let Some(byte) = datagram.get_mut(5) {
                *byte = length;
            }
            assert_eq!(UdpView::parse(&datagram).map(|view| view.payload().len()), want, "{name}");
        }
    }

    #[test]
    fn a_head_is_judged_by_the_length_of_the_packet() {
        let mut bytes = [1; 30];
        UdpHeader { source_port: 1, destination_port: 2, datagram_len: 50 }
            .emit(bytes.first_chunk_mut().unwrap());
        assert_eq!(UdpView::parse_head(&bytes, 50).unwrap().payload(), [1; 22]);
        assert_eq!(UdpView::parse_head(&bytes, 49).err(), Some(Length));
    }

    proptest! {
        #[test]
        fn smoltcp_and_etherparse_agree(
            mut bytes in prop::collection::vec(any::<u8>(), 0..40), high in 0..2_u8, low in 0..45_u8,
        ) {
            for (at, value) in [(4, high & 1), (5, low)] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            let ours = UdpView::parse(&bytes);
            prop_assert_eq!(ours.is_ok(), UdpPacket::new_checked(&bytes).is_ok());
            let Ok(ours) = ours else { return Ok(()) };
            let theirs = UdpSlice::from_slice(&bytes).unwrap();
            prop_assert_eq!(ours.source_port(), theirs.source_port());
            prop_assert_eq!(ours.destination_port(), theirs.destination_port());
            prop_assert_eq!(ours.datagram_len(), theirs.length());
            prop_assert_eq!(ours.checksum() == Checksum::NotSent, theirs.checksum() == 0);
            prop_assert_eq!(ours.payload(), theirs.payload());
        }

        #[test]
        fn what_we_emit_is_viewed(source_port: u16, destination_port: u16, payload in prop::collection::vec(any::<u8>(), 0..9)) {
            let datagram_len = u16::try_from(HEADER_LEN + payload.len()).unwrap();
            let mut bytes = vec![0xaa; HEADER_LEN];
            UdpHeader { source_port, destination_port, datagram_len }.emit(bytes.first_chunk_mut().unwrap());
            bytes.extend(&payload);
            let view = UdpView::parse(&bytes).unwrap();
            prop_assert_eq!((view.source_port(), view.destination_port()), (source_port, destination_port));
            prop_assert_eq!((view.datagram_len(), view.payload()), (datagram_len, &payload[..]));
            prop_assert_eq!(view.checksum(), Checksum::NotSent);
        }
    }
}
