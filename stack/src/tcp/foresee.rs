//! What a burst will need, fetched before it is needed.
//!
//! With many connections each segment finds its connection in no cache, and one after the other they wait for memory most of the time. So the
//! connections of a whole burst are looked up first, and the CPU is asked for what belongs to each while others are still on their way: first
//! the control blocks, then what these lead to. Nothing is decided here: a segment's own way finds the same, but sooner.

use arrayvec::ArrayVec;
use darner_ring::prefetch;
use pmd::Burst;

use super::Tcp;
use crate::demux::FlowKey4;
use crate::link::Link;
use crate::socket::SocketId;
use crate::wire::ipv4::{HEADER_LEN, Ipv4View, protocol};

/// The flows of a burst, with the places of their connections, in the order in which they arrive.
#[derive(Default)]
pub(super) struct Foreseen {
    flows: ArrayVec<(FlowKey4, u32), { Burst::CAPACITY }>,
    next: usize,
}

impl Tcp {
    /// A burst is about to be taken in.
    pub(crate) fn foresee(&mut self, link: &Link, burst: &Burst) {
        self.foreseen.flows.clear();
        self.foreseen.next = 0;
        if burst.len() < WORTHWHILE || self.connections.len() < FEW {
            return;
        }
        let flows =
            burst.iter().filter_map(|frame| flow_of(frame.head().get(link.header_len()..)?));
        for flow in flows {
            if let Some(place) = self.flows.guess(&flow) {
                self.connections.prefetch(place);
                self.foreseen.flows.push((flow, place));
            }
        }
        let places = self.foreseen.flows.iter().map(|&(_, place)| place);
        let connections = places.filter_map(|place| self.connections.at(place));
        connections.clone().for_each(|connection| {
            connection.socket.prefetch();
            if let Some(sender) = &connection.sender {
                prefetch(&**sender);
            }
        });
        for sender in connections.filter_map(|connection| connection.sender.as_ref()) {
            sender.prefetch();
        }
    }

    /// The connection of a flow: where it was foreseen, if it was.
    #[inline]
    pub(super) fn find_foreseen(&mut self, flow: &FlowKey4) -> Option<SocketId> {
        let Foreseen { flows, next } = &mut self.foreseen;
        // Those before it were taken together with others, or were not for a connection after all.
        let ahead = flows.get(*next..).unwrap_or_default();
        let Some(at) = ahead.iter().position(|(foreseen, _)| foreseen == flow) else {
            return self.find(flow);
        };
        let place = ahead[at].1;
        *next += at + 1;
        // Somebody else may have the place by now.
        let still = self.connections.at(place).is_some_and(|connection| connection.flow == *flow);
        if still { self.connections.id_at(place) } else { self.find(flow) }
    }
}

/// The flow of a packet that is plain enough, as seen from here.
#[inline]
fn flow_of(packet: &[u8]) -> Option<FlowKey4> {
    let view = Ipv4View::parse_head(packet, usize::MAX).ok()?;
    let ports = packet.get(HEADER_LEN..)?.first_chunk::<4>()?;
    let plain = view.header_len() == HEADER_LEN && view.protocol() == protocol::TCP;
    let [a, b, c, d] = *ports;
    plain.then(|| FlowKey4 {
        remote: view.source(),
        local: view.destination(),
        remote_port: u16::from_be_bytes([a, b]),
        local_port: u16::from_be_bytes([c, d]),
    })
}

/// In a smaller burst there is nothing to do meanwhile. Tests have few segments, and are to come by here.
const WORTHWHILE: usize = if cfg!(test) { 1 } else { 4 };
/// So many connections stay in the caches.
const FEW: usize = if cfg!(test) { 1 } else { 256 };

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::harness::Harness;
    use crate::wire::ipv4::{FragmentField, Ipv4Header};

    #[test]
    fn a_flow_is_found_where_it_was_foreseen() {
        let mut t = Harness::connected();
        let flow = t.flow();
        let id = t.tcp.find(&flow).unwrap();
        let stranger = FlowKey4 { remote_port: 1, ..flow };
        let other = FlowKey4 { remote_port: 2, ..flow };
        let [a, b] = [(flow, id.index), (stranger, id.index)];
        t.tcp.foreseen.flows.extend([a, (other, id.index), a, b]);
        let at = |t: &mut Harness, flow| (t.tcp.find_foreseen(flow), t.tcp.foreseen.next);
        assert_eq!(at(&mut t, &flow), (Some(id), 1));
        assert_eq!(at(&mut t, &flow), (Some(id), 3), "one in between was taken with others");
        assert_eq!(at(&mut t, &stranger), (None, 4), "somebody else has its place");
        assert_eq!(at(&mut t, &flow), (Some(id), 4), "nothing more was foreseen");
    }

    #[test]
    fn the_flow_of_a_packet_is_read_where_it_is_plain() {
        let flow = Harness::connected().flow();
        let header = Ipv4Header {
            tos: 0,
            total_len: 40,
            identification: 0,
            fragment: FragmentField::WHOLE,
            ttl: 64,
            protocol: protocol::TCP,
            source: flow.remote,
            destination: flow.local,
        };
        let packet = |header: Ipv4Header| {
            let mut bytes = [0; 40];
            header.emit(bytes.first_chunk_mut().unwrap());
            bytes[20..22].copy_from_slice(&flow.remote_port.to_be_bytes());
            bytes[22..24].copy_from_slice(&flow.local_port.to_be_bytes());
            bytes
        };
        assert_eq!(flow_of(&packet(header)), Some(flow));
        assert_eq!(flow_of(&packet(Ipv4Header { protocol: protocol::UDP, ..header })), None);
        assert_eq!(flow_of(&packet(header)[..23]), None);
        assert_eq!(flow_of(&[]), None);
    }
}
