//! A server, and what a peer on the wire says to it, for tests.

use std::io;
use std::net::Ipv4Addr;

use pmd::{Pool, QueuePair, mem};

use super::Protocol;
use crate::api::{Application, Core, Readiness, Token};
use crate::config::{Config, DuplicateDetection};
use crate::tcp::seq::Seq;
use crate::wire::checksum::Sum;
use crate::wire::ipv4::{FragmentField, HEADER_LEN, Ipv4Header, protocol};
use crate::wire::tcp::{Flags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;

pub(super) const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(super) const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

pub(super) const LISTENING: u16 = 80;

/// Leaves its connections to themselves.
struct Listening;

impl Application for Listening {
    fn start(&mut self, core: &mut Core<'_>) -> io::Result<()> {
        core.listen((US, LISTENING).into(), 1 << 12, Token(0)).map(std::mem::forget)
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}
}

pub(super) fn listening() -> (Protocol, mem::MemHandle) {
    let (queue, handle) = mem::device(Pool::heap(20_000, 256), 1500);
    (listening_on(vec![Box::new(queue)]), handle)
}

pub(super) fn listening_on(queues: Vec<Box<dyn QueuePair>>) -> Protocol {
    let config = Config {
        addresses: vec!["10.0.0.2/24".parse().unwrap()],
        duplicate_detection: DuplicateDetection::Off,
        ..Config::default()
    };
    Protocol::new(&config, queues, Box::new(Listening), [0; 32]).unwrap()
}

/// A segment without options, from [`PEER`] to [`US`].
pub(super) struct Said<'a> {
    /// The peer's and ours.
    pub(super) ports: (u16, u16),
    pub(super) flags: Flags,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) data: &'a [u8],
}

impl Said<'_> {
    /// As it comes from a device of the IP level.
    pub(super) fn packet(&self) -> Vec<u8> {
        let header = TcpHeader {
            source_port: self.ports.0,
            destination_port: self.ports.1,
            seq: Seq(self.seq),
            ack: Seq(self.ack),
            flags: self.flags,
            window: 1000,
            urgent_pointer: 0,
            options: TcpOptions::default(),
        };
        let len = header.header_len() + self.data.len();
        let mut bytes = vec![0; HEADER_LEN + len];
        let (ip, tcp) = bytes.split_first_chunk_mut().unwrap();
        header.emit(&mut tcp[..header.header_len()]);
        tcp[header.header_len()..].copy_from_slice(self.data);
        let mut sum = Sum::pseudo_header_v4(PEER, US, protocol::TCP, u16::try_from(len).unwrap());
        sum.add_bytes(tcp);
        tcp[16..18].copy_from_slice(&sum.finish().to_be_bytes());
        Ipv4Header {
            tos: 0,
            total_len: u16::try_from(HEADER_LEN + len).unwrap(),
            identification: 0,
            fragment: FragmentField::DONT_FRAGMENT,
            ttl: 64,
            protocol: protocol::TCP,
            source: PEER,
            destination: US,
        }
        .emit(ip);
        bytes
    }
}
