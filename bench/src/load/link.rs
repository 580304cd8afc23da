//! The link: who the server is, and that all the client's addresses are ours (ARP, RFC 826).

use pmd::Frame;

use super::addresses::Addresses;
use super::port::Port;

/// What is known of the link.
pub(crate) struct Link {
    ours: [u8; 6],
    addresses: Addresses,
    server: u32,
    station: Option<[u8; 6]>,
    asked_at: Option<u64>,
}

/// When the question is repeated.
const ASK_EVERY: u64 = 5_000_000;

const ETHERNET_ARP: [u8; 2] = [8, 6];
/// Ethernet, IPv4, and the lengths of their addresses.
const KINDS: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: [u8; 2] = [0, 1];
const REPLY: [u8; 2] = [0, 2];

impl Link {
    pub(crate) fn new(ours: [u8; 6], addresses: Addresses, server: u32) -> Self {
        Self { ours, addresses, server, station: None, asked_at: None }
    }

    /// The server's station, once it has answered.
    pub(crate) fn station(&self) -> Option<[u8; 6]> {
        self.station
    }

    /// Asks for the server, from every address: who is asked learns who asks, so that no answer of his will wait.
    pub(crate) fn ask(&mut self, port: &mut Port, now: u64) {
        if self.station.is_some() || self.asked_at.is_some_and(|at| now < at + ASK_EVERY) {
            return;
        }
        self.asked_at = Some(now);
        for index in 0..self.addresses.count() {
            let from = self.addresses.address(index);
            port.send_bytes(&self.packet(REQUEST, from, ([0xff; 6], self.server)));
        }
    }

    /// Takes what may be ARP, and answers it.
    pub(crate) fn arrived(&mut self, port: &mut Port, frame: &Frame) {
        let Some(bytes) = frame.head().first_chunk::<42>() else { return };
        if bytes[12..14] != ETHERNET_ARP || bytes[14..20] != KINDS {
            return;
        }
        let mut station = [0; 6];
        station.copy_from_slice(&bytes[22..28]);
        let long = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let (sender, target) = (long(28), long(38));
        // An answer may still be about to be probed (RFC 5227): only what he says of himself counts.
        if sender == self.server && bytes[20..22] == REPLY {
            self.station = Some(station);
        }
        if bytes[20..22] == REQUEST && self.addresses.contains(target) {
            port.send_bytes(&self.packet(REPLY, target, (station, sender)));
        }
    }

    fn packet(&self, kind: [u8; 2], from: u32, (station, to): ([u8; 6], u32)) -> Vec<u8> {
        let (from, to) = (from.to_be_bytes(), to.to_be_bytes());
        [&station[..], &self.ours, &ETHERNET_ARP, &KINDS, &kind, &self.ours, &from, &station, &to]
            .concat()
    }
}
