//! A TCP of its own, for tests in which several talk to each other.

use std::net::Ipv4Addr;
use std::sync::Arc;

use pmd::{ChecksumStatus, Frame, RxOffload};

use super::{Tcp, TcpConfig};
use crate::ip::{Addressed, Datagram};
use crate::net::{Net, Timer};
use crate::rng::Rng;
use crate::socket::thread::InTurn;
use crate::socket::{CoreShared, Inbox};
use crate::wire::ipv4::protocol;

/// One core and what is below its TCP. As long as it lives the calling thread is its protocol thread.
pub(super) struct Host {
    pub(super) tcp: Tcp,
    pub(super) net: Net,
    pub(super) core: Arc<CoreShared>,
    pub(super) address: Ipv4Addr,
    inbox: Inbox,
    _turn: InTurn,
    frames: usize,
}

impl Host {
    pub(super) fn new(config: &TcpConfig, address: Ipv4Addr, seed: u8) -> Self {
        let core = CoreShared::for_test();
        let mut net = Net::for_test();
        net.interface.addresses = vec![format!("{address}/24").parse().unwrap()];
        Self {
            tcp: Tcp::new(config, core.clone(), &mut Rng::new([seed; 32])),
            frames: net.pool_available(),
            net,
            core,
            address,
            inbox: Inbox::default(),
            _turn: InTurn::enter(0),
        }
    }

    /// An IP packet arrives. What is sent in answer waits for the end of the turn.
    pub(super) fn input(&mut self, bytes: &[u8], from: Ipv4Addr) {
        // A pool that is empty loses packets, as a device does.
        let Some(mut frame) = self.net.frame_of(bytes) else { return };
        let unknown = ChecksumStatus::Unknown;
        frame.set_rx_offload(RxOffload { ip: unknown, l4: unknown, rss_hash: None });
        let datagram = Datagram {
            frame,
            header_len: IP_LEN,
            source: from,
            destination: self.address,
            protocol: protocol::TCP,
            ttl: 64,
            tos: bytes[1],
            to: Addressed::Unicast,
        };
        let _dropped = self.tcp.input(&mut self.net, datagram);
        let _dropped = self.tcp.settle_gathered(&mut self.net);
    }

    /// Runs the timers that are due; returns how many there were.
    pub(super) fn run_timers(&mut self) -> usize {
        let mut count = 0;
        while let Some((_, timer)) = self.net.timers.pop_due(self.net.now) {
            if let Timer::Tcp(timer) = timer {
                self.tcp.timer(&mut self.net, timer);
                count += 1;
            }
        }
        count
    }

    /// Looks at what the application hinted at.
    pub(super) fn follow_hints(&mut self) {
        for hint in self.inbox.drain(&self.core) {
            self.tcp.follow_hint(&mut self.net, hint);
        }
    }

    /// The end of a turn: what is to be sent is.
    pub(super) fn flush(&mut self) {
        self.tcp.flush(&mut self.net);
    }

    /// The next packet that was sent.
    pub(super) fn pop_sent(&mut self) -> Option<Vec<u8>> {
        self.net.outbox.pop_front().map(|frame| bytes_of(&frame))
    }

    /// Frames that something still holds.
    pub(super) fn frames_held(&self) -> usize {
        self.frames - self.net.pool_available()
    }
}

fn bytes_of(frame: &Frame) -> Vec<u8> {
    frame.segments().flatten().copied().collect()
}

pub(super) const IP_LEN: usize = 20;
