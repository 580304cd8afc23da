//! From a datagram to whom its segment is for: a connection, one in the making or after its end, a listener, else nobody.

use super::Tcp;
use super::segment::Segment;
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::ip::Datagram;
use crate::net::Net;
use crate::socket::SocketId;
use crate::steer::Forwarded;

/// A segment that came to another core than the one that owns its flow.
#[derive(Debug)]
pub(crate) struct Stray {
    flow: FlowKey4,
    segment: Segment,
}

impl Tcp {
    /// A datagram for us that carries a segment.
    ///
    /// It may wait for those that follow it in the same turn, behind which comes [`settle_gathered`](Self::settle_gathered).
    pub(crate) fn input(&mut self, net: &mut Net, datagram: Datagram) -> Result<(), Drop> {
        net.metrics.count(Counter::TcpInSegs);
        let datagram = match self.gather(net, datagram) {
            Ok(()) => return Ok(()),
            Err(datagram) => datagram,
        };
        let (flow, segment) = Segment::parse(datagram).inspect_err(|_| {
            net.metrics.count(Counter::TcpInErrs);
        })?;
        if let Some(id) = self.find(&flow) {
            return self.arrive_at(net, id, segment);
        }
        // Only now: a connection is on its owner, and need not be hashed. So are entries of the tables below.
        if let Some(core) = net.steer.elsewhere(&flow) {
            return net.forward(core, Forwarded::Segment(Stray { flow, segment }));
        }
        self.arrive_without_connection(net, flow, segment)
    }

    /// A segment of a flow that is this core's, from the core that received it.
    pub(crate) fn input_stray(&mut self, net: &mut Net, stray: Stray) -> Result<(), Drop> {
        let Stray { flow, segment } = stray;
        match self.find(&flow) {
            Some(id) => self.arrive_at(net, id, segment),
            None => self.arrive_without_connection(net, flow, segment),
        }
    }

    #[inline]
    fn arrive_at(&mut self, net: &mut Net, id: SocketId, segment: Segment) -> Result<(), Drop> {
        let arrived =
            self.with_connection(net, id, |connection, cx| connection.arrive(cx, segment));
        arrived.unwrap_or(Err(Drop::TcpNoSocket))
    }

    fn arrive_without_connection(
        &mut self,
        net: &mut Net,
        flow: FlowKey4,
        mut segment: Segment,
    ) -> Result<(), Drop> {
        self.authenticate_stranger(&flow, &mut segment)?;
        if let Some(&entry) = self.half_open.get(&flow) {
            return self.arrive_half_open(net, flow, &entry, segment);
        }
        if let Some(&entry) = self.time_wait.get(&flow) {
            return self.arrive_in_time_wait(net, &flow, entry, &segment);
        }
        if let Some(entry) = self.open_cookie(net, &flow, &segment) {
            return self.complete_half_open(net, flow, &entry, segment);
        }
        if let Some(arrived) = self.arrive_in_listen(net, &flow, &segment, None) {
            return arrived;
        }
        // Section 3.10.7.1: the state is CLOSED.
        self.reset_stranger(net, &flow, &segment);
        Err(Drop::TcpNoSocket)
    }

    /// Whether a connection has this flow.
    pub(crate) fn has(&mut self, flow: &FlowKey4) -> bool {
        self.find(flow).is_some()
    }

    /// Whether a new connection may use these addresses.
    pub(super) fn is_free(&mut self, flow: &FlowKey4) -> bool {
        self.find(flow).is_none()
            && self.half_open.get(flow).is_none()
            && self.time_wait.get(flow).is_none()
            && !self.listeners.has_port(flow.local_port)
    }
}
