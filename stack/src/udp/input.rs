//! Received datagrams.

use std::net::SocketAddrV4;

use pmd::{ChecksumStatus, RxOffload};

use super::Udp;
use crate::api::Readiness;
use crate::counters::Counter;
use crate::drops::Drop;
use crate::ip::Datagram;
use crate::net::Net;
use crate::socket::udp::Received;
use crate::steer::Forwarded;
use crate::wire::checksum::Sum;
use crate::wire::icmpv4::{IcmpHeader, Unreachable};
use crate::wire::ipv4::protocol;
use crate::wire::udp::{Checksum, HEADER_LEN, UdpView};

/// Whom a datagram is for, and from whom.
#[derive(Clone, Copy)]
struct Ends {
    local: SocketAddrV4,
    from: SocketAddrV4,
}

impl Udp {
    /// Takes a datagram to its socket, here or on the core where the whole stack's socket for it lives.
    pub(crate) fn input(&mut self, net: &mut Net, mut datagram: Datagram) -> Result<(), Drop> {
        let ends = check(&mut datagram)?;
        if let Some(core) = net.steer.socket_elsewhere(ends.local)
            && self.socket_for(ends.local, ends.from).is_err()
        {
            let found = datagram.frame.rx_offload();
            datagram.frame.set_rx_offload(RxOffload { l4: ChecksumStatus::Good, ..found });
            return net.forward(core, Forwarded::Datagram(datagram));
        }
        self.deliver(net, datagram, ends)
    }

    /// Takes a datagram for a socket that lives here from the core that received it.
    pub(crate) fn input_forwarded(
        &mut self,
        net: &mut Net,
        mut datagram: Datagram,
    ) -> Result<(), Drop> {
        let ends = check(&mut datagram)?;
        self.deliver(net, datagram, ends)
    }

    fn deliver(&mut self, net: &mut Net, mut datagram: Datagram, ends: Ends) -> Result<(), Drop> {
        let admitted = self.admit(net, datagram.frame.segment_count());
        match self.socket_for(ends.local, ends.from) {
            Ok(socket) => {
                admitted?;
                datagram.frame.trim_front(datagram.header_len + HEADER_LEN);
                let received = Received { from: ends.from, frame: datagram.frame };
                socket.endpoint.receive.push(received).map_err(|_| Drop::UdpQueueFull)?;
                socket.endpoint.raise(&mut net.readies, Readiness::READABLE);
                net.metrics.count(Counter::UdpInDatagrams);
                Ok(())
            }
            Err(drop) => {
                net.metrics.count(Counter::UdpNoPorts);
                refuse(net, &datagram);
                Err(drop)
            }
        }
    }

    /// Received datagrams wait in the device's own frames. What applications leave lying must not starve the device, so the
    /// last frames are not given to them. Looking at the pool costs something: it is done once for many datagrams.
    fn admit(&mut self, net: &Net, frames: usize) -> Result<(), Drop> {
        if self.spare_frames < frames {
            self.spare_frames = net.spare_frames().min(LOOK_AGAIN_AFTER.max(frames));
        }
        self.spare_frames = self.spare_frames.checked_sub(frames).ok_or(Drop::UdpFramesScarce)?;
        Ok(())
    }
}

/// Reads the header and verifies the checksum. What stands behind the datagram is cut off.
fn check(datagram: &mut Datagram) -> Result<Ends, Drop> {
    let view = UdpView::parse_head(datagram.payload_head(), datagram.payload_len())?;
    let from = SocketAddrV4::new(datagram.source, view.source_port());
    let local = SocketAddrV4::new(datagram.destination, view.destination_port());
    let len = datagram.header_len + usize::from(view.datagram_len());
    let checksum = view.checksum();
    datagram.frame.truncate(len);
    if checksum == Checksum::Sent && !sum_is_valid(datagram) {
        return Err(Drop::UdpChecksum);
    }
    Ok(Ends { local, from })
}

/// Tells the sender that nobody listens (RFC 1122, section 4.1.3.1). Where that message is dropped it is counted here:
/// the datagram has a drop of its own.
fn refuse(net: &mut Net, datagram: &Datagram) {
    let unreachable = IcmpHeader::DestinationUnreachable(Unreachable::Port);
    if let Err(drop) = net.send_icmp_error(&datagram.frame, unreachable) {
        net.metrics.count_drop(drop);
    }
}

fn sum_is_valid(datagram: &Datagram) -> bool {
    match datagram.frame.rx_offload().l4 {
        ChecksumStatus::Good => return true,
        ChecksumStatus::Bad => return false,
        ChecksumStatus::Unknown => {}
    }
    let len = u16::try_from(datagram.payload_len()).unwrap_or(u16::MAX);
    let mut sum = Sum::pseudo_header_v4(datagram.source, datagram.destination, protocol::UDP, len);
    sum.add_frame(&datagram.frame, datagram.header_len);
    sum.is_valid()
}

/// Frames that are given to applications between two looks at the pool.
const LOOK_AGAIN_AFTER: usize = 64;
