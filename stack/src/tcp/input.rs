//! From a datagram to whom its segment is for: a connection, one in the making or after its end, a listener, else nobody.

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
        if let Some(&entry) = self.half_open.get(&flow) {
            return self.arrive_half_open(net, flow, &entry, segment);
        }
        if let Some(&entry) = self.time_wait.get(&flow) {
            return self.arrive_in_time_wait(net, &flow, entry, &segment);
        }
        if let Some(arrived) = self.arrive_in_listen(net, &flow, &segment, None) {
            return arrived;
        }
        // Section 3.10.7.1: the state is CLOSED.
        reset_segment(net, &flow, &segment);
        Err(Drop::TcpNoSocket)
    }

    /// Whether a new connection may use these addresses.
    pub(super) fn is_free(&self, flow: &FlowKey4) -> bool {
        self.flows.get(flow).is_none()
            && self.half_open.get(flow).is_none()
            && self.time_wait.get(flow).is_none()
            && !self.listeners.has_port(flow.local_port)
    }
}
