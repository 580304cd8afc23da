//! Trains: segments of one length that go one way, one after the other. What is the same in all of them is found, written and summed once.

use pmd::{L4Checksum, TxChecksum};

#[cfg(test)]
use super::TrainsMade;
use super::{HEADERS_MAX, place};
use crate::counters::Counter;
use crate::ip::Outgoing;
use crate::net::Net;
use crate::wire::checksum::Sum;
use crate::wire::tcp;

/// What segments that leave together have in common.
pub(crate) struct Train {
    /// Of the link and of IP, ready to be sent; the last `headers_len` bytes count.
    headers: [u8; HEADERS_MAX],
    headers_len: usize,
    /// Bytes of a segment, with its header.
    len: usize,
    /// Over the pseudo header.
    pseudo_sum: Sum,
    asked: TxChecksum,
}

/// Why a segment of a train has not left: no frame is free, or the device takes no more for now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stopped;

impl Net {
    /// For TCP segments of `len` bytes, headers included. `None` where packets to there need more than a [way](super::Ways), or do not fit.
    pub(crate) fn train(&mut self, header: &Outgoing, len: usize) -> Option<Train> {
        #[cfg(test)]
        match &mut self.ways.trains {
            TrainsMade::Forbidden => return None,
            TrainsMade::Many(count) => *count += 1,
        }
        if !self.has_way(header.source, header.destination) {
            return None;
        }
        let offload = self.interface.tx_offload;
        let way = self.ways.entries[place(header.destination)].as_ref()?;
        let packet_len = way.packet_len(len)?;
        let asked = way.asked(offload);
        let headers = way.headers_of((packet_len, header.tos), asked.ipv4_header);
        let pseudo_sum = way.pseudo_sum_of(packet_len);
        Some(Train { headers, headers_len: way.headers_len.into(), len, pseudo_sum, asked })
    }

    /// Sends a segment that `write` writes, its checksum field zero. Where there is a sum `write` adds all of the segment to it.
    #[inline]
    pub(crate) fn send_in_train(
        &mut self,
        train: &Train,
        write: impl FnOnce(&mut [u8], Option<&mut Sum>),
    ) -> Result<(), Stopped> {
        let mut frame = self.transport_frame().ok_or(Stopped)?;
        let headers = &train.headers[HEADERS_MAX - train.headers_len..];
        let space = frame.append(train.len).ok_or(Stopped)?;
        let mut sum = train.pseudo_sum;
        let checksum = if train.asked.l4 == L4Checksum::None {
            write(space, Some(&mut sum));
            sum.finish()
        } else {
            write(space, None);
            sum.folded()
        };
        let field = space.get_mut(tcp::CHECKSUM_OFFSET..tcp::CHECKSUM_OFFSET + 2);
        field.expect("TCP writes whole headers").copy_from_slice(&checksum.to_be_bytes());
        frame.prepend(headers.len()).ok_or(Stopped)?.copy_from_slice(headers);
        if train.asked.ipv4_header || train.asked.l4 != L4Checksum::None {
            frame.request_checksum(train.asked);
        }
        self.transmit(frame).map_err(|_full| Stopped)
    }

    /// So many segments have left in trains.
    pub(crate) fn count_train(&self, segments: u32) {
        self.metrics.add(Counter::IpOutRequests, segments.into());
        self.metrics.add(Counter::IpOutTransmits, segments.into());
    }
}
