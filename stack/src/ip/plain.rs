//! The packet that nearly all are: whole, without options, its checksum good, from another host to an address of ours.
//!
//! It passes every check of [`input`](super::input), so it is enough to see that it is such a one.

use std::net::Ipv4Addr;

use pmd::{ChecksumStatus, Frame};

use super::{Addressed, Datagram};
use crate::net::{Interface, Net};
use crate::wire::ipv4::{HEADER_LEN, Ipv4View};
use crate::wire::tcp;

impl Net {
    /// The packet as a datagram, if it is plain; else the packet, which the general way judges.
    #[inline]
    pub(super) fn plain_datagram(&self, mut packet: Frame) -> Result<Datagram, Frame> {
        let Some(view) = plain_header(&packet) else { return Err(packet) };
        let (source, destination) = (view.source(), view.destination());
        let held = self.neighbors.as_ref().is_none_or(|neighbors| neighbors.holds(destination));
        if !held || !self.interface.is_between_hosts(source, destination) {
            return Err(packet);
        }
        let (protocol, ttl, tos) = (view.protocol(), view.ttl(), view.tos());
        let total_len = view.total_len();
        // Behind the datagram stands what fills a frame up to the link's shortest.
        if total_len < packet.len() {
            packet.truncate(total_len);
        }
        let (frame, header_len, to) = (packet, HEADER_LEN, Addressed::Unicast);
        Ok(Datagram { frame, header_len, source, destination, protocol, ttl, tos, to })
    }
}

/// The header, if it is a plain one and what follows of the transport's is contiguous with it.
#[inline]
fn plain_header(packet: &Frame) -> Option<Ipv4View<'_>> {
    let head = packet.head();
    let view = Ipv4View::parse_plain(head, packet.len())?;
    let headers = (HEADER_LEN + tcp::MAX_HEADER_LEN).min(packet.len());
    let plain = head.len() >= headers && is_summed(packet, || view.checksum_is_valid());
    plain.then_some(view)
}

/// Whether the checksum of the IP header is right: by the device, or else by `look`.
#[inline]
pub(super) fn is_summed(packet: &Frame, look: impl FnOnce() -> bool) -> bool {
    match packet.rx_offload().ip {
        ChecksumStatus::Good => true,
        ChecksumStatus::Bad => false,
        ChecksumStatus::Unknown => look(),
    }
}

impl Interface {
    /// Whether `destination` is ours, and `source` another host's.
    #[inline]
    pub(super) fn is_between_hosts(&self, source: Ipv4Addr, destination: Ipv4Addr) -> bool {
        let mut ours = false;
        for prefix in &self.addresses {
            let address = prefix.address();
            let everyone = prefix.broadcast();
            if address == source || everyone == Some(source) || everyone == Some(destination) {
                return false;
            }
            ours |= address == destination;
        }
        ours && is_of_a_host(source)
    }
}

/// Whether some host may have the address: not 0.0.0.0/8, 127.0.0.0/8, a group, or a reserved one.
#[inline]
fn is_of_a_host(address: Ipv4Addr) -> bool {
    matches!(address.octets()[0], 1..=126 | 128..=223)
}

#[cfg(test)]
mod tests {
    use pmd::RxOffload;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::checksum::Sum;

    fn addresses() -> impl Strategy<Value = Ipv4Addr> {
        prop_oneof![
            8 => Just(Ipv4Addr::new(10, 0, 0, 1)),
            8 => Just(Ipv4Addr::new(10, 0, 0, 2)),
            1 => Just(Ipv4Addr::new(10, 0, 0, 255)),
            1 => Just(Ipv4Addr::BROADCAST),
            1 => Just(Ipv4Addr::LOCALHOST),
            1 => Just(Ipv4Addr::new(224, 0, 0, 1)),
            1 => any::<u32>().prop_map(Ipv4Addr::from_bits),
        ]
    }

    proptest! {
        /// What is taken for plain is what the general way makes of the packet.
        #[test]
        fn it_is_what_the_general_way_says(
            (source, destination) in (addresses(), addresses()),
            first in prop_oneof![8 => Just(0x45_u8), 1 => any::<u8>()],
            total_len in prop_oneof![8 => Just(60_u16), 2 => 0..100_u16],
            field in prop_oneof![8 => Just(0x4000_u16), 1 => any::<u16>()],
            ip in prop_oneof![8 => Just(ChecksumStatus::Good), 4 => Just(ChecksumStatus::Unknown), 1 => Just(ChecksumStatus::Bad)],
            summed in any::<bool>(),
            rest in any::<[u8; 3]>(),
        ) {
            let mut net = Net::for_test();
            let mut bytes = [7; 64];
            bytes[0] = first;
            bytes[1] = rest[0];
            bytes[2..4].copy_from_slice(&total_len.to_be_bytes());
            bytes[6..8].copy_from_slice(&field.to_be_bytes());
            bytes[8..10].copy_from_slice(&rest[1..]);
            bytes[10..12].fill(0);
            bytes[12..16].copy_from_slice(&source.octets());
            bytes[16..20].copy_from_slice(&destination.octets());
            if summed {
                let checksum = Sum::of(&bytes[..20]).finish();
                bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
            }
            let frame = |net: &Net| {
                let mut frame = net.frame_of(&bytes).unwrap();
                frame.set_rx_offload(RxOffload { ip, l4: ChecksumStatus::Unknown, rss_hash: None });
                frame
            };
            let (plain, general) = (net.plain_datagram(frame(&net)), frame(&net));
            let general = net.general_input(general);
            let between = source.octets() == [10, 0, 0, 2] && destination.octets() == [10, 0, 0, 1];
            let fits = (20..=64).contains(&total_len) && field & 0x3fff == 0;
            prop_assert_eq!(plain.is_ok(), plain.is_ok() || between && first == 0x45 && fits && ip == ChecksumStatus::Good);
            if let Ok(plain) = plain {
                let general = general.map_err(|drop| format!("{drop:?}"));
                prop_assert_eq!(format!("{:?}", general), format!("{:?}", Ok::<_, String>(Some(plain))));
            }
        }
    }
}
