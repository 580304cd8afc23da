//! Errors that we send about what we received (RFC 1122, section 3.2.2).

use std::net::Ipv4Addr;

use pmd::Frame;

use super::limit::Permission;
use crate::drops::Drop;
use crate::net::Net;
use crate::wire::checksum::Sum;
use crate::wire::icmpv4::{HEADER_LEN, IcmpHeader, IcmpView};
use crate::wire::ipv4::{Ipv4View, protocol};

impl Net {
    /// Tells the sender of `packet`, which begins with its IP header, what is wrong with it. Not if the rules forbid it,
    /// which is no failure, nor beyond the rate limit.
    pub(crate) fn send_icmp_error(
        &mut self,
        packet: &Frame,
        header: IcmpHeader,
    ) -> Result<(), Drop> {
        let Some((source, destination)) = self.may_be_told(packet) else { return Ok(()) };
        if self.icmp_limit.permits(self.now, &mut self.rng) == Permission::Denied {
            return Err(Drop::IcmpRateLimited);
        }
        let mut message = self.alloc().ok_or(Drop::PoolEmpty)?;
        // At most 576 bytes, which every host takes, with as much of the packet as fits (RFC 1812, section 4.3.2.3).
        let quoted = packet.len().min(MOST_QUOTED);
        let out = message.append(HEADER_LEN + quoted).ok_or(Drop::PoolEmpty)?;
        let (head, body) = out.split_first_chunk_mut().ok_or(Drop::PoolEmpty)?;
        packet.copy_to(0, body);
        header.emit(Sum::of(body), head);
        self.send_icmp(source, destination, 0, message)
    }

    /// Our address and the sender's, if RFC 1122, section 3.2.2, allows an error about this packet: it came for us
    /// alone, from one host, is not a later fragment, and not an error itself.
    fn may_be_told(&self, packet: &Frame) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let view = Ipv4View::parse_head(packet.head(), packet.len()).ok()?;
        let (ours, theirs) = (view.destination(), view.source());
        // What came from where no single host can be has been dropped by IP's input.
        let about_us_alone = self.is_local(ours);
        let is_error = view.protocol() == protocol::ICMP
            && !IcmpView::parse(view.payload()).is_ok_and(|message| is_query(message.header()));
        let told = about_us_alone && view.fragment().offset() == 0 && !is_error;
        told.then_some((ours, theirs))
    }
}

/// Only what is known to ask something may be answered with an error.
fn is_query(header: IcmpHeader) -> bool {
    matches!(header, IcmpHeader::EchoRequest { .. } | IcmpHeader::EchoReply { .. })
}

/// 576 bytes less an IP and an ICMP header.
const MOST_QUOTED: usize = 576 - 20 - HEADER_LEN;

#[cfg(test)]
mod tests;
