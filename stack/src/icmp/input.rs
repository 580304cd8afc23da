//! Received messages.

use std::net::Ipv4Addr;

use pmd::Frame;

use super::trouble::{IcmpError, Trouble};
use crate::counters::Counter;
use crate::drops::Drop;
use crate::ip::{Addressed, Datagram};
use crate::net::Net;
use crate::wire::checksum::{self, Sum};
use crate::wire::icmpv4::{HEADER_LEN, IcmpHeader, IcmpView};
use crate::wire::quoted::Quoted;

/// A message for a socket.
#[derive(Debug)]
pub(crate) enum Message {
    /// An answer to an echo request.
    EchoReply(EchoReply),
    /// Something that we sent did not arrive.
    Trouble(Trouble),
}

/// An answer to an echo request.
#[derive(Debug)]
pub(crate) struct EchoReply {
    pub(crate) from: Ipv4Addr,
    pub(crate) ttl: u8,
    pub(crate) identifier: u16,
    pub(crate) sequence: u16,
    /// The data of the request alone.
    pub(crate) data: Frame,
}

impl Net {
    /// Takes an ICMP message. `None` means that it was answered here.
    pub(crate) fn icmp_input(&mut self, datagram: Datagram) -> Result<Option<Message>, Drop> {
        self.metrics.count(Counter::IcmpInMsgs);
        let taken = self.icmp_dispatch(datagram);
        if let Err(Drop::IcmpChecksum | Drop::IcmpMalformed) = taken {
            self.metrics.count(Counter::IcmpInErrors);
        }
        taken
    }

    fn icmp_dispatch(&mut self, mut datagram: Datagram) -> Result<Option<Message>, Drop> {
        let quoted_len = datagram.header_len + HEADER_LEN + QUOTED_HEADERS;
        let _as_far_as_it_goes = datagram.frame.pull_up(quoted_len.min(datagram.frame.len()));
        if !checksum_is_valid(&datagram) {
            return Err(Drop::IcmpChecksum);
        }
        let view = IcmpView::parse(datagram.payload_head())?;
        match view.header() {
            // Broadcast pings are for amplifying attacks (RFC 1122, section 3.2.2.6, allows silence).
            IcmpHeader::EchoRequest { .. } if datagram.to != Addressed::Unicast => {
                Err(Drop::IcmpBroadcastEcho)
            }
            IcmpHeader::EchoRequest { .. } => self.echo(datagram).map(|()| None),
            IcmpHeader::EchoReply { identifier, sequence } => {
                let Datagram { source: from, ttl, header_len, mut frame, .. } = datagram;
                frame.trim_front(header_len + HEADER_LEN);
                let reply = EchoReply { from, ttl, identifier, sequence, data: frame };
                Ok(Some(Message::EchoReply(reply)))
            }
            // Redirects among them: RFC 1122, section 3.2.2.2, has hosts follow them, but whoever can reach our link could
            // bend our routes with one.
            header => {
                let error = IcmpError::of(header).ok_or(Drop::IcmpType)?;
                trouble(view.body(), &datagram, error).map(Message::Trouble).map(Some)
            }
        }
    }

    /// Sends a request's own bytes back, with another type.
    fn echo(&mut self, datagram: Datagram) -> Result<(), Drop> {
        let mut frame = datagram.frame;
        frame.trim_front(datagram.header_len);
        let message = frame.head_mut();
        let Some(&[kind, code, c0, c1]) = message.first_chunk() else {
            return Err(Drop::IcmpMalformed);
        };
        let before = u16::from_be_bytes([kind, code]);
        let checksum = checksum::update(u16::from_be_bytes([c0, c1]), before, ECHO_REPLY);
        if let Some(start) = message.first_chunk_mut::<4>() {
            let ([kind, code], [c0, c1]) = (ECHO_REPLY.to_be_bytes(), checksum.to_be_bytes());
            *start = [kind, code, c0, c1];
        }
        self.send_icmp(datagram.destination, datagram.source, datagram.tos, frame)
    }

    /// Asks `destination` to send `data` back.
    pub(crate) fn send_echo_request(
        &mut self,
        destination: Ipv4Addr,
        identifier: u16,
        sequence: u16,
        data: Frame,
    ) -> Result<(), Drop> {
        let source = self.source_for(destination).map_err(|_| Drop::IpNoRoute)?;
        let mut body = Sum::new();
        body.add_frame(&data, 0);
        let mut frame = data;
        let out = frame.prepend(HEADER_LEN).and_then(<[u8]>::first_chunk_mut);
        let header = IcmpHeader::EchoRequest { identifier, sequence };
        header.emit(body, out.ok_or(Drop::FrameHeadroom)?);
        self.send_icmp(source, destination, 0, frame)
    }
}

/// An error counts if it came to us alone, and quotes a packet from the address that it came to.
fn trouble(quote: &[u8], datagram: &Datagram, error: IcmpError) -> Result<Trouble, Drop> {
    let quoted = Quoted::parse(quote)?;
    if datagram.to == Addressed::Unicast && quoted.source() == datagram.destination {
        Trouble::with(&quoted, error)
    } else {
        Err(Drop::IcmpUnmatched)
    }
}

fn checksum_is_valid(datagram: &Datagram) -> bool {
    let mut sum = Sum::new();
    sum.add_frame(&datagram.frame, datagram.header_len);
    sum.is_valid()
}

/// The type and code of an echo reply, as one word.
const ECHO_REPLY: u16 = 0;
/// A quoted IP header with options, and the start of a transport's.
const QUOTED_HEADERS: usize = 60 + 8;

#[cfg(test)]
mod tests;
