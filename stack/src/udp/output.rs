//! Datagrams from applications.

use super::Socket;
use crate::api::Readiness;
use crate::counters::Counter;
use crate::drops::Drop;
use crate::ip::{DEFAULT_TTL, Fragment, Outgoing, Transport};
use crate::net::Net;
use crate::socket::Failure;
use crate::socket::udp::Submitted;
use crate::wire::udp::{HEADER_LEN, UdpHeader};

impl Socket {
    /// Sends what the application has submitted, until others should have their turn or the device has more than it takes.
    pub(super) fn send_some(&mut self, net: &mut Net) {
        for _ in 0..BATCH {
            if net.outbox_room() < MOST_FRAGMENTS {
                break;
            }
            let Some(submitted) = self.endpoint.send.pop() else { break };
            self.send(net, submitted);
        }
        if !self.endpoint.send.is_empty() {
            self.endpoint.look_again();
        }
        self.endpoint.raise(&mut net.readies, Readiness::WRITABLE);
    }

    /// Sends what is left. The queue is bounded, and what the device does not take now is lost.
    pub(super) fn send_all(&mut self, net: &mut Net) {
        while let Some(submitted) = self.endpoint.send.pop() {
            self.send(net, submitted);
        }
    }

    /// Sends one datagram. What cannot be sent is dropped and counted, as the network would.
    fn send(&self, net: &mut Net, submitted: Submitted) {
        let Err(drop) = self.try_send(net, submitted) else { return };
        net.metrics.count_drop(drop);
        if drop == Drop::IpNoRoute {
            self.endpoint.report(&mut net.readies, Failure::NetUnreachable);
        }
    }

    fn try_send(&self, net: &mut Net, submitted: Submitted) -> Result<(), Drop> {
        let Submitted { to, mut frame } = submitted;
        let source = match *self.local.ip() {
            any if any.is_unspecified() => net.source_for(*to.ip()).map_err(|_| Drop::IpNoRoute)?,
            bound => bound,
        };
        let header = UdpHeader {
            source_port: self.local.port(),
            destination_port: to.port(),
            datagram_len: u16::try_from(HEADER_LEN + frame.len()).map_err(|_| Drop::IpTooBig)?,
        };
        let out = frame.prepend(HEADER_LEN).and_then(<[u8]>::first_chunk_mut);
        header.emit(out.ok_or(Drop::FrameHeadroom)?);
        let outgoing = Outgoing {
            source,
            destination: *to.ip(),
            transport: Transport::Udp,
            ttl: DEFAULT_TTL,
            tos: 0,
            fragment: Fragment::MayFragment,
        };
        net.send_ipv4(outgoing, frame)?;
        net.metrics.count(Counter::UdpOutDatagrams);
        Ok(())
    }
}

/// Datagrams of one socket that are sent before others have their turn.
const BATCH: usize = 64;

/// Frames for the longest datagram over the narrowest path that we believe in.
const MOST_FRAGMENTS: usize = 128;
