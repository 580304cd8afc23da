//! From a datagram to whom its segment is for: a connection, else nobody.

use super::Tcp;
use super::reset::reset_segment;
use super::segment::Segment;
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::ip::Datagram;
use crate::net::Net;

impl Tcp {
    /// A datagram for us that carries a segment.
    pub(crate) fn input(&mut self, net: &mut Net, datagram: Datagram) -> Result<(), Drop> {
        net.metrics.count(Counter::TcpInSegs);
        let (flow, segment) = Segment::parse(datagram).inspect_err(|_| {
            net.metrics.count(Counter::TcpInErrs);
        })?;
        if let Some(id) = self.flows.get(&flow) {
            let arrived =
                self.with_connection(net, id, |connection, cx| connection.arrive(cx, segment));
            return arrived.unwrap_or(Err(Drop::TcpNoSocket));
        }
        // Section 3.10.7.1: the state is CLOSED.
        reset_segment(net, &flow, &segment);
        Err(Drop::TcpNoSocket)
    }

    /// Whether a new connection may use these addresses.
    pub(super) fn is_free(&self, flow: &FlowKey4) -> bool {
        self.flows.get(flow).is_none()
    }
}
