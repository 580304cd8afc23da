//! Trains: segments of one length that go one way, one after the other. What is the same in all of them is found, written and summed once.

use pmd::{IpVersion, L4Checksum, TxChecksum, TxOffload, TxSegmentation};

#[cfg(test)]
use super::TrainsMade;
use super::{HEADERS_MAX, Way, place};
use crate::counters::Counter;
use crate::ip::Outgoing;
use crate::net::Net;
use crate::wire::checksum::Sum;
use crate::wire::ipv4::HEADER_LEN;
use crate::wire::tcp;

/// What segments that leave together have in common.
pub(crate) struct Train {
    way: Way,
    tos: u8,
    /// Of the link and of IP, ready to be sent before one segment; the last [`Way::headers_len`] bytes count.
    headers: [u8; HEADERS_MAX],
    /// Bytes of TCP's header and of a segment's payload.
    header_len: usize,
    payload_len: usize,
    /// Over the pseudo header of one segment.
    pseudo_sum: Sum,
    asked: TxChecksum,
    /// How many segments the device takes as one packet.
    at_once: u32,
}

/// Why a segment of a train has not left: no frame is free, or the device takes no more for now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stopped;

impl Train {
    /// How many segments the device takes as one packet, which it cuts (TSO); 1 if it cuts none.
    pub(crate) fn at_once(&self) -> u32 {
        self.at_once
    }
}

impl Net {
    /// For TCP segments with so many bytes of header and of payload. `None` where packets to there need more than a [way](super::Ways), or do
    /// not fit.
    pub(crate) fn train(
        &mut self,
        header: &Outgoing,
        (header_len, payload_len): (usize, usize),
    ) -> Option<Train> {
        #[cfg(test)]
        match &mut self.ways.trains {
            TrainsMade::Forbidden => return None,
            TrainsMade::Many(count) => *count += 1,
        }
        if !self.has_way(header.source, header.destination) {
            return None;
        }
        let offload = self.interface.tx_offload;
        let way = self.ways.entries[place(header.destination)].clone()?;
        let packet_len = way.packet_len(header_len + payload_len)?;
        let asked = way.asked(offload);
        let headers = way.headers_of((packet_len, header.tos), asked.ipv4_header);
        let at_once = segments_at_once(offload, header_len, payload_len);
        let (tos, pseudo_sum) = (header.tos, way.pseudo_sum_of(packet_len));
        Some(Train { way, tos, headers, header_len, payload_len, pseudo_sum, asked, at_once })
    }

    /// Sends a segment that `write` writes, its checksum field zero. Where there is a sum `write` adds all of the segment to it.
    #[inline]
    pub(crate) fn send_in_train(
        &mut self,
        train: &Train,
        write: impl FnOnce(&mut [u8], Option<&mut Sum>),
    ) -> Result<(), Stopped> {
        let mut frame = self.transport_frame().ok_or(Stopped)?;
        let space = frame.append(train.header_len + train.payload_len).ok_or(Stopped)?;
        let mut sum = train.pseudo_sum;
        let checksum = if train.asked.l4 == L4Checksum::None {
            write(space, Some(&mut sum));
            sum.finish()
        } else {
            write(space, None);
            sum.folded()
        };
        put_checksum(space, checksum);
        let headers = &train.headers[HEADERS_MAX - usize::from(train.way.headers_len)..];
        frame.prepend(headers.len()).ok_or(Stopped)?.copy_from_slice(headers);
        if train.asked.ipv4_header || train.asked.l4 != L4Checksum::None {
            frame.request_checksum(train.asked);
        }
        self.transmit(frame).map_err(|_full| Stopped)
    }

    /// Sends so many segments, at most [as many as the device takes](Train::at_once), as one packet that it cuts. `write` writes the header, and then
    /// `fill` the payload, a piece at a time: it is told where in the payload that is.
    pub(crate) fn send_at_once(
        &mut self,
        train: &Train,
        segments: u32,
        write: impl FnOnce(&mut [u8]),
        mut fill: impl FnMut(usize, &mut [u8]),
    ) -> Result<(), Stopped> {
        let payload_len = segments as usize * train.payload_len;
        let len = train.header_len + payload_len;
        let packet_len = u16::try_from(HEADER_LEN + len).map_err(|_| Stopped)?;
        let mut frame = self.transport_frame().ok_or(Stopped)?;
        let space = frame.append(len.min(frame.tailroom())).ok_or(Stopped)?;
        let (head, payload) = space.split_at_mut_checked(train.header_len).ok_or(Stopped)?;
        write(head);
        put_checksum(head, train.way.pseudo_sum_of(packet_len).folded());
        fill(0, payload);
        let mut filled = payload.len();
        while filled < payload_len {
            let mut more = self.transport_frame().ok_or(Stopped)?;
            let space = more.append((payload_len - filled).min(more.tailroom())).ok_or(Stopped)?;
            if space.is_empty() {
                return Err(Stopped);
            }
            fill(filled, space);
            filled += space.len();
            frame.chain(more);
        }
        let ipv4_header = train.asked.ipv4_header;
        train.way.put_headers(&mut frame, (packet_len, train.tos), ipv4_header);
        frame.request_segmentation(TxSegmentation {
            l2_len: train.asked.l2_len,
            l3_len: train.asked.l3_len,
            l4_len: u8::try_from(train.header_len).map_err(|_| Stopped)?,
            segment_size: u16::try_from(train.payload_len).map_err(|_| Stopped)?,
            ip: IpVersion::V4,
            ipv4_header,
        });
        self.transmit(frame).map_err(|_full| Stopped)
    }

    /// So many segments have left in trains.
    pub(crate) fn count_train(&self, segments: u32) {
        self.metrics.add(Counter::IpOutRequests, segments.into());
        self.metrics.add(Counter::IpOutTransmits, segments.into());
    }
}

fn segments_at_once(offload: TxOffload, header_len: usize, payload_len: usize) -> u32 {
    if !(offload.tcp && offload.multi_segment) {
        return 1;
    }
    let room = usize::from(offload.tcp_segmentation).saturating_sub(HEADER_LEN + header_len);
    let fit = u32::try_from(room / payload_len.max(1)).unwrap_or(u32::MAX);
    fit.min(offload.tcp_segments.into()).max(1)
}

fn put_checksum(segment: &mut [u8], checksum: u16) {
    let field = segment.get_mut(tcp::CHECKSUM_OFFSET..tcp::CHECKSUM_OFFSET + 2);
    field.expect("TCP writes whole headers").copy_from_slice(&checksum.to_be_bytes());
}
