//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use super::ethernet::MacAddr;
use crate::drops::Drop;
use Malformed::{
    AddressLength, HardwareType, Operation as UnknownOperation, ProtocolType, Truncated,
};

/// An ARP packet. Small and of fixed length, so it is read whole instead of viewed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ArpPacket {
    /// Question or answer.
    pub(crate) operation: Operation,
    /// Who says it.
    pub(crate) sender_mac: MacAddr,
    /// The sender's address; unspecified in a probe (RFC 5227, section 1.1).
    pub(crate) sender_ip: Ipv4Addr,
    /// Whom it is for; means nothing in a request.
    pub(crate) target_mac: MacAddr,
    /// The address asked about.
    pub(crate) target_ip: Ipv4Addr,
}

impl ArpPacket {
    /// Reads the payload of an Ethernet frame, in the order of checks of RFC 826, "Packet Reception".
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let f: &[u8; PACKET_LEN] = payload.first_chunk().ok_or(Truncated)?;
        if [f[0], f[1]] != ETHERNET {
            return Err(HardwareType);
        }
        if [f[2], f[3]] != IPV4 {
            return Err(ProtocolType);
        }
        if [f[4], f[5]] != ADDRESS_LENGTHS {
            return Err(AddressLength);
        }
        Ok(Self {
            operation: Operation::from_bits(u16::from_be_bytes([f[6], f[7]]))
                .ok_or(UnknownOperation)?,
            sender_mac: MacAddr([f[8], f[9], f[10], f[11], f[12], f[13]]),
            sender_ip: Ipv4Addr::new(f[14], f[15], f[16], f[17]),
            target_mac: MacAddr([f[18], f[19], f[20], f[21], f[22], f[23]]),
            target_ip: Ipv4Addr::new(f[24], f[25], f[26], f[27]),
        })
    }

    /// Writes the packet.
    pub(crate) fn emit(&self, out: &mut [u8; PACKET_LEN]) {
        out[..2].copy_from_slice(&ETHERNET);
        out[2..4].copy_from_slice(&IPV4);
        out[4..6].copy_from_slice(&ADDRESS_LENGTHS);
        out[6..8].copy_from_slice(&self.operation.bits().to_be_bytes());
        out[8..14].copy_from_slice(&self.sender_mac.0);
        out[14..18].copy_from_slice(&self.sender_ip.octets());
        out[18..24].copy_from_slice(&self.target_mac.0);
        out[24..].copy_from_slice(&self.target_ip.octets());
    }
}

/// Question or answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Operation {
    /// Who has the target address?
    Request,
    /// The sender has it.
    Reply,
}

impl Operation {
    fn from_bits(bits: u16) -> Option<Self> {
        match bits {
            1 => Some(Self::Request),
            2 => Some(Self::Reply),
            _ => None,
        }
    }

    fn bits(self) -> u16 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
        }
    }
}

/// Why bytes are not ARP for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Malformed {
    /// The lengths of the addresses are not 6 and 4.
    AddressLength,
    /// Not Ethernet.
    HardwareType,
    /// Neither request nor reply.
    Operation,
    /// Not IPv4.
    ProtocolType,
    /// Fewer than 28 bytes.
    Truncated,
}

impl From<Malformed> for Drop {
    /// One counter for all: ARP for other hardware or protocols does not occur outside of attacks and museums.
    fn from(_: Malformed) -> Self {
        Self::ArpMalformed
    }
}

/// Bytes of a packet.
pub(crate) const PACKET_LEN: usize = 28;

const ETHERNET: [u8; 2] = [0, 1];
const IPV4: [u8; 2] = [8, 0];
const ADDRESS_LENGTHS: [u8; 2] = [6, 4];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smoltcp::wire::{ArpOperation, ArpPacket as Theirs, ArpRepr};

    use super::*;

    #[test]
    fn each_rule_has_its_error() {
        let mut valid = [0; PACKET_LEN];
        packet(Operation::Request, [2, 0, 0, 0, 0, 1], [10, 0, 0, 1], [0; 6], [10, 0, 0, 2])
            .emit(&mut valid);
        for len in 0..PACKET_LEN {
            assert_eq!(ArpPacket::parse(&valid[..len]), Err(Truncated), "{len}");
        }
        for (at, value, want) in [
            (0, 1, HardwareType),
            (1, 6, HardwareType),
            (2, 0x86, ProtocolType),
            (3, 1, ProtocolType),
            (4, 8, AddressLength),
            (5, 16, AddressLength),
            (6, 1, UnknownOperation),
            (7, 3, UnknownOperation),
            (7, 0, UnknownOperation),
        ] {
            let mut broken = valid;
            broken[at] = value;
            assert_eq!(ArpPacket::parse(&broken), Err(want), "byte {at} = {value}");
        }
    }

    #[test]
    fn padding_is_ignored() {
        let mut frame = [0; 46];
        let sent = packet(Operation::Reply, [2; 6], [10, 0, 0, 1], [4; 6], [10, 0, 0, 2]);
        sent.emit(frame.first_chunk_mut().unwrap());
        assert_eq!(ArpPacket::parse(&frame), Ok(sent));
    }

    proptest! {
        #[test]
        fn smoltcp_reads_what_we_emit_and_we_read_it_back(
            reply: bool, sender: ([u8; 6], [u8; 4]), target: ([u8; 6], [u8; 4]),
        ) {
            let operation = if reply { Operation::Reply } else { Operation::Request };
            let sent = packet(operation, sender.0, sender.1, target.0, target.1);
            let mut bytes = [0xaa; PACKET_LEN];
            sent.emit(&mut bytes);
            prop_assert_eq!(ArpPacket::parse(&bytes), Ok(sent));

            let ArpRepr::EthernetIpv4 {
                operation,
                source_hardware_addr,
                source_protocol_addr,
                target_hardware_addr,
                target_protocol_addr,
            } = ArpRepr::parse(&Theirs::new_checked(&bytes).unwrap()).unwrap()
            else {
                panic!("smoltcp sees another kind of ARP")
            };
            prop_assert_eq!(operation == ArpOperation::Reply, reply);
            prop_assert_eq!((source_hardware_addr.0, source_protocol_addr.octets()), sender);
            prop_assert_eq!((target_hardware_addr.0, target_protocol_addr.octets()), target);
        }

        #[test]
        fn we_accept_what_smoltcp_accepts(
            tail in prop::collection::vec(any::<u8>(), 0..30),
            head in prop::sample::subsequence(vec![(1_usize, 1_u8), (2, 8), (4, 6), (5, 4), (7, 1), (7, 2)], 0..=6),
        ) {
            let mut bytes = tail;
            let zeroed = bytes.len().min(8);
            bytes[..zeroed].fill(0);
            for (at, value) in head {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            let theirs = Theirs::new_checked(&bytes).and_then(|packet| ArpRepr::parse(&packet));
            let known = theirs.is_ok_and(|repr| {
                matches!(repr, ArpRepr::EthernetIpv4 { operation, .. } if operation != ArpOperation::Unknown(0))
            });
            prop_assert_eq!(ArpPacket::parse(&bytes).is_ok(), known);
        }
    }

    fn packet(
        operation: Operation,
        mac: [u8; 6],
        ip: [u8; 4],
        target_mac: [u8; 6],
        target_ip: [u8; 4],
    ) -> ArpPacket {
        ArpPacket {
            operation,
            sender_mac: MacAddr(mac),
            sender_ip: ip.into(),
            target_mac: MacAddr(target_mac),
            target_ip: target_ip.into(),
        }
    }
}
