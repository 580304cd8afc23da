//! Between the numbers of a script and those on the wire: sequence numbers, timestamps and ports that the stack chose.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::packet::{Packet, TcpOption};

/// One connection's numbers. The script chooses the peer's, so those are the same.
pub(crate) struct Numbers {
    pub(crate) local: SocketAddrV4,
    pub(crate) remote: SocketAddrV4,
    /// From our sequence numbers in the script to those on the wire.
    seq: Option<u32>,
    /// The same for our timestamps.
    timestamps: Option<u32>,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        Self {
            local: SocketAddrV4::new(Ipv4Addr::new(192, 168, 0, 1), PORT),
            remote: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), PEER_PORT),
            seq: None,
            timestamps: None,
        }
    }

    /// The peer's packet of the script as it is on the wire.
    pub(crate) fn arriving(&self, script: &Packet) -> Vec<u8> {
        let mut packet = script.clone();
        packet.ack = packet.ack.map(|ack| ack.wrapping_add(self.seq.unwrap_or(0)));
        for option in packet.options.iter_mut().flatten() {
            match option {
                TcpOption::Timestamps { echo, .. } if script.flags != "S" => {
                    *echo = echo.wrapping_add(self.timestamps.unwrap_or(0));
                }
                TcpOption::Sack(blocks) => {
                    for (left, right) in blocks {
                        *left = left.wrapping_add(self.seq.unwrap_or(0));
                        *right = right.wrapping_add(self.seq.unwrap_or(0));
                    }
                }
                _ => {}
            }
        }
        packet.encode(self.remote, self.local)
    }

    /// Our packet off the wire, with the numbers of the script, which expects `script`.
    pub(crate) fn leaving(&mut self, bytes: &[u8], script: &Packet) -> Packet {
        let (mut packet, from, to) = Packet::decode(bytes);
        if packet.flags == "S" {
            (self.local, self.remote) = (from, to);
        }
        assert_eq!((from, to), (self.local, self.remote), "of the connection: {packet}");
        if packet.flags.contains('S') && self.seq.is_none() {
            self.seq = Some(packet.seq.wrapping_sub(script.seq));
        }
        packet.seq = packet.seq.wrapping_sub(self.seq.unwrap_or(0));
        let wanted = script.options.iter().flatten().find_map(|option| match option {
            TcpOption::Timestamps { value, .. } => Some(*value),
            _ => None,
        });
        for option in packet.options.iter_mut().flatten() {
            if let TcpOption::Timestamps { value, .. } = option {
                let offset = || value.wrapping_sub(wanted.unwrap_or(0));
                *value = value.wrapping_sub(*self.timestamps.get_or_insert_with(offset));
            }
        }
        packet
    }
}

/// Where a script's server listens, and where its client connects to.
pub(crate) const PORT: u16 = 8080;
const PEER_PORT: u16 = 40_000;
