//! Sending, whatever the message says.

use std::net::Ipv4Addr;

use pmd::Frame;

use crate::counters::Counter;
use crate::drops::Drop;
use crate::ip::{DEFAULT_TTL, Fragment, Outgoing, Transport};
use crate::net::Net;

impl Net {
    /// Sends a message, which begins with its ICMP header.
    pub(super) fn send_icmp(
        &mut self,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        tos: u8,
        message: Frame,
    ) -> Result<(), Drop> {
        self.metrics.count(Counter::IcmpOutMsgs);
        let outgoing = Outgoing {
            source,
            destination,
            transport: Transport::Icmp,
            ttl: DEFAULT_TTL,
            tos,
            fragment: Fragment::MayFragment,
        };
        self.send_ipv4(outgoing, message)
    }
}
