//! UDP datagrams that a server sends back.

use hdrhistogram::Histogram;
use pmd::Burst;

use super::addresses::Addresses;
use super::counts::{Counts, histogram};
use super::link::Link;
use super::port::Port;
use super::segment::Datagram;
use super::template::{DatagramTemplate, Server};
use super::traffic::Traffic;

/// A bounded number of datagrams in flight, from one port each. Each says when it was sent, so nothing is remembered of it.
pub(crate) struct Datagrams {
    link: Link,
    addresses: Addresses,
    server: (u32, u16),
    len: u16,
    template: Option<DatagramTemplate>,
    in_flight_most: u32,
    /// The next port to begin with, and those in flight.
    next: u32,
    in_flight: u32,
    progress: u64,
    counts: Counts,
    latencies: Histogram<u64>,
    received: Burst,
}

/// When those that were not answered are taken to be lost.
const PATIENCE: u64 = 20_000_000;

impl Datagrams {
    pub(crate) fn new(
        (addresses, station): (Addresses, [u8; 6]),
        server: (u32, u16),
        len: u16,
        in_flight: u32,
    ) -> Self {
        Self {
            link: Link::new(station, addresses, server.0),
            addresses,
            server,
            len,
            template: None,
            in_flight_most: in_flight,
            next: 0,
            in_flight: 0,
            progress: 0,
            counts: Counts::default(),
            latencies: histogram(),
            received: Burst::new(),
        }
    }

    fn receive(&mut self, port: &mut Port, now: u64) {
        let mut received = std::mem::take(&mut self.received);
        port.receive(&mut received);
        for frame in received.iter() {
            match Datagram::parse(frame) {
                Some(datagram) => self.arrived(port, &datagram, now),
                None => self.link.arrived(port, frame),
            }
        }
        received.clear();
        self.received = received;
    }

    fn arrived(&mut self, port: &mut Port, datagram: &Datagram<'_>, now: u64) {
        let source = (datagram.address, datagram.port);
        if self.addresses.number(source.0, source.1).is_none() {
            self.counts.strays += 1;
            return;
        }
        if let Some(stamp) = datagram.payload.first_chunk::<8>() {
            let sent = u64::from_be_bytes(*stamp);
            self.latencies.saturating_record(now.saturating_sub(sent));
        }
        self.counts.responses += 1;
        self.counts.bytes_in += datagram.payload.len() as u64;
        self.progress = now;
        self.send(port, source, now);
    }

    fn send(&mut self, port: &mut Port, source: (u32, u16), now: u64) {
        let Some(template) = &self.template else { return };
        if port.send(|frame| template.write(frame, source, now)).is_some() {
            self.counts.bytes_out += u64::from(self.len);
        }
    }

    fn fill(&mut self, port: &mut Port, now: u64) {
        if now > self.progress + PATIENCE {
            self.counts.resent += u64::from(self.in_flight);
            (self.in_flight, self.progress) = (0, now);
        }
        while self.in_flight < self.in_flight_most && port.room() > 0 {
            let source = self.addresses.of(self.next % self.in_flight_most);
            self.send(port, source, now);
            self.next = self.next.wrapping_add(1);
            self.in_flight += 1;
        }
    }
}

impl Traffic for Datagrams {
    fn turn(&mut self, port: &mut Port, now: u64) {
        self.receive(port, now);
        if self.template.is_some() {
            self.fill(port, now);
        } else {
            self.link.ask(port, now);
            self.template = self.link.station().map(|station| {
                let server = Server { station, address: self.server.0, port: self.server.1 };
                DatagramTemplate::new(port.station(), &server, self.len)
            });
        }
        port.flush();
    }

    fn is_ready(&self) -> bool {
        self.counts.responses > 0
    }

    fn counts(&self) -> Counts {
        self.counts
    }

    fn latencies(&mut self) -> &mut Histogram<u64> {
        &mut self.latencies
    }
}
