//! Cutting a datagram that is too large for its path (RFC 791, section 3.2).

use std::net::Ipv4Addr;

use pmd::{Frame, L4Checksum};

use super::Outgoing;
use super::output::{ip_header, sum_in_software};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::net::Net;
use crate::wire::ipv4::{FragmentField, HEADER_LEN, Position};

impl Net {
    /// Sends `frame`, a transport's header and payload, in as many fragments as it takes.
    ///
    /// Frames for all of them are there before the first is sent: a datagram is of no use with a hole in it.
    pub(super) fn send_fragments(
        &mut self,
        header: &Outgoing,
        next_hop: Ipv4Addr,
        mut frame: Frame,
    ) -> Result<(), Drop> {
        let len = frame.len();
        ip_header(header, FragmentField::WHOLE, 0, len)?;
        sum_in_software(header, &mut frame)?;
        let piece_len = self.piece_len(header.destination);
        if len.div_ceil(piece_len) > self.outbox_room() {
            return Err(Drop::OutboxFull);
        }
        let pieces = self.cut(&frame, piece_len).ok_or(Drop::PoolEmpty)?;
        let identification = self.identification_for(header);
        self.metrics.count(Counter::IpOutFragOks);
        self.metrics.add(Counter::IpOutFragCreates, pieces.len() as u64);
        let mut offset = 0;
        for piece in pieces {
            let end = offset + piece.len();
            let position = if end == len { Position::Last } else { Position::MoreFollow };
            // The whole fits a packet, as was seen above.
            let field = FragmentField::of(u16::try_from(offset).unwrap_or(u16::MAX), position);
            let header = ip_header(header, field, identification, piece.len())?;
            self.send_packet(&header, L4Checksum::None, next_hop, piece)?;
            offset = end;
        }
        Ok(())
    }

    /// Payload bytes of each fragment but the last: a multiple of eight.
    fn piece_len(&self, destination: Ipv4Addr) -> usize {
        let packet = usize::from(self.path_mtu(destination)) - HEADER_LEN;
        (packet.min(self.frame_room()) & !7).max(8)
    }

    /// Copies a payload into frames of `piece_len` bytes each, the last one shorter.
    fn cut(&self, frame: &Frame, piece_len: usize) -> Option<Vec<Frame>> {
        let len = frame.len();
        let mut pieces = Vec::with_capacity(len.div_ceil(piece_len));
        for offset in (0..len).step_by(piece_len) {
            let mut piece = self.alloc()?;
            let bytes = piece.append(piece_len.min(len - offset))?;
            frame.copy_to(offset, bytes);
            pieces.push(piece);
        }
        Some(pieces)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ip::{Fragment, Transport};
    use crate::wire::checksum::Sum;
    use crate::wire::ipv4::Ipv4View;

    const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    proptest! {
        #[test]
        fn pieces_fit_the_path_and_make_up_the_datagram(
            len in 8_usize..=65_515,
            mtu in 68_u16..=1500,
        ) {
            let mut net = Net::for_test();
            net.interface.mtu = mtu;
            let Some(frame) = datagram(&net, len) else { return Ok(()) };
            let sent = net.send_ipv4(udp(), frame);
            if sent.is_err() {
                prop_assert!(net.outbox.is_empty());
                return Ok(());
            }
            let packets: Vec<_> = net.outbox.drain(..).collect();
            let mut payload = vec![];
            for (index, packet) in packets.iter().enumerate() {
                let view = Ipv4View::parse(packet.head()).unwrap();
                prop_assert!(packet.len() <= usize::from(mtu));
                prop_assert!(view.checksum_is_valid());
                prop_assert_eq!(usize::from(view.fragment().offset()), payload.len());
                let last = index + 1 == packets.len();
                prop_assert_eq!(view.fragment().position() == Position::Last, last);
                payload.extend_from_slice(view.payload());
            }
            prop_assert_eq!(payload.len(), len);
            let mut sum = Sum::pseudo_header_v4(udp().source, PEER, 17, u16::try_from(len).unwrap());
            sum.add_bytes(&payload);
            prop_assert!(sum.is_valid());
            drop(packets);
            prop_assert_eq!(net.pool_available(), 512);
        }
    }

    #[test]
    fn what_no_packet_can_hold_is_not_sent() {
        let mut net = Net::for_test();
        let frame = datagram(&net, 65_516).unwrap();
        assert_eq!(net.send_ipv4(udp(), frame), Err(Drop::IpTooBig));
        assert!(net.outbox.is_empty());
    }

    #[test]
    fn an_empty_pool_sends_no_piece() {
        let mut net = Net::for_test();
        let frame = datagram(&net, 60_000).unwrap();
        let mut hoard: Vec<_> = std::iter::from_fn(|| net.alloc()).collect();
        hoard.truncate(hoard.len() - 40);
        assert_eq!(net.send_ipv4(udp(), frame), Err(Drop::PoolEmpty));
        assert!(net.outbox.is_empty());
    }

    fn udp() -> Outgoing {
        Outgoing {
            source: Ipv4Addr::new(10, 0, 0, 1),
            destination: PEER,
            transport: Transport::Udp,
            ttl: 64,
            tos: 0,
            fragment: Fragment::MayFragment,
        }
    }

    /// `len` bytes with a checksum field of zero, in a chain.
    fn datagram(net: &Net, len: usize) -> Option<Frame> {
        let mut bytes: Vec<u8> =
            (0..len).map(|i| u8::try_from(i * 31 / 8 % 251).unwrap()).collect();
        bytes[6..8].fill(0);
        net.frame_of(&bytes)
    }
}
