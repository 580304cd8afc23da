//! Taking to another core what is not this one's, and sending by way of it.

use pmd::Frame;

use super::lanes::Forwarded;
use crate::api::EchoReply;
use crate::counters::Counter;
use crate::drops::Drop;
use crate::net::Net;
use crate::wire::arp::ArpPacket;

impl Net {
    /// Gives something to the core that it belongs to, for good.
    pub(crate) fn forward(&mut self, to: usize, item: Forwarded) -> Result<(), Drop> {
        let is_missteered = matches!(item, Forwarded::Segment(_) | Forwarded::Fragment(_));
        self.steer.stage(to, item)?;
        self.metrics.count(Counter::ForwardedOut);
        if is_missteered {
            self.metrics.count(Counter::Missteered);
        }
        Ok(())
    }

    /// Has every core learn what this one has heard. Whom it does not reach asks for himself.
    pub(crate) fn tell_arp(&mut self, packet: ArpPacket) {
        for core in self.steer.others() {
            self.tell(core, Forwarded::Arp(packet));
        }
    }

    /// From now on this core hears the answers to its pings, wherever they come.
    pub(crate) fn hear_echo_replies(&self) {
        self.steer.steering().hear_answers(self.steer.core());
    }

    /// Has every core that sends pings know of an answer.
    pub(crate) fn tell_echo_reply(&mut self, reply: EchoReply) {
        for core in self.steer.others() {
            if self.steer.steering().hears_answers(core) {
                self.tell(core, Forwarded::EchoReply(reply));
            }
        }
    }

    fn tell(&mut self, core: usize, item: Forwarded) {
        if let Err(drop) = self.forward(core, item) {
            self.metrics.count_drop(drop);
        }
    }

    /// For a core without a queue: gives its frames to the one that sends for it, as far as that takes them. The rest waits as
    /// it would for a device.
    pub(crate) fn transmit_elsewhere(&mut self) {
        while let Some((carrier, room)) = self.steer.carrier_room()
            && room > 0
            && let Some(frame) = self.outbox.pop_front()
        {
            self.carry(carrier, frame);
        }
    }

    fn carry(&mut self, carrier: usize, frame: Frame) {
        self.tell(carrier, Forwarded::Transmit(frame));
    }
}
