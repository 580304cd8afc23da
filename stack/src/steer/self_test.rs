//! Whether the device hashes as it says: some of what it receives is hashed again (S-2).

use super::Steer;
use super::steering::{Steering, What};
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::ip::Datagram;
use crate::net::Net;
use crate::wire::ipv4::protocol;
use pmd::Hashed;

/// One core's share of checking the device.
pub(super) struct SelfTest {
    /// Datagrams until the next one that is looked at. Never reached where there is nothing to check.
    countdown: u32,
    checked: u32,
}

impl SelfTest {
    pub(super) fn new(steering: &Steering) -> Self {
        let countdown = if steering.trusted().is_some() { 1 } else { NEVER };
        Self { countdown, checked: 0 }
    }
}

impl Steer {
    /// Whether the next datagram is one of those that are looked at.
    #[inline]
    pub(crate) fn is_check_due(&self) -> bool {
        self.self_test.countdown == 1
    }

    /// A datagram came that is [none of them](Self::is_check_due).
    #[inline]
    pub(crate) fn count_unchecked(&mut self) {
        let test = &mut self.self_test;
        debug_assert_ne!(test.countdown, 1, "it is to be looked at");
        if test.countdown != NEVER {
            test.countdown -= 1;
        }
    }
}

impl Net {
    /// Looks at a datagram that came from the device in one piece, if it is one of those that are looked at.
    #[inline]
    pub(crate) fn check_steering(&mut self, datagram: &Datagram) {
        let test = &mut self.steer.self_test;
        if test.countdown == NEVER {
            return;
        }
        test.countdown -= 1;
        if test.countdown == 0 {
            self.check_hash(datagram);
        }
    }

    fn check_hash(&mut self, datagram: &Datagram) {
        let Some(what) = self.steer.steering().trusted() else {
            self.steer.self_test.countdown = NEVER;
            return;
        };
        let Some(hash) = expected(self.steer.steering(), what, datagram) else {
            self.steer.self_test.countdown = 1;
            return;
        };
        let told = datagram.frame.rx_offload().rss_hash;
        let right = self.steer.steering().core_of(hash) == self.steer.core()
            && told.is_none_or(|told| told == hash);
        self.metrics.count(Counter::RssChecked);
        if !right {
            self.metrics.count(Counter::RssMismatches);
            self.steer.steering().mistrust();
        }
        let test = &mut self.steer.self_test;
        test.checked = test.checked.saturating_add(1);
        test.countdown = if test.checked < ALL_OF_THE_FIRST { 1 } else { ONE_OF };
    }
}

/// The hash that the device should have computed; `None` for a datagram that says nothing about it.
fn expected(steering: &Steering, what: What, datagram: &Datagram) -> Option<u32> {
    let hashed = match datagram.protocol {
        protocol::TCP => what.tcp,
        protocol::UDP => what.udp,
        _ => return None,
    };
    match hashed {
        Hashed::Ports => Some(steering.hash(&flow_of(datagram)?)),
        Hashed::Addresses => {
            Some(steering.hash_of_addresses(datagram.source, datagram.destination))
        }
        Hashed::Nothing => None,
    }
}

/// TCP and UDP have their ports in the same place.
fn flow_of(datagram: &Datagram) -> Option<FlowKey4> {
    let &[s0, s1, d0, d1] = datagram.payload_head().first_chunk()?;
    Some(FlowKey4 {
        remote: datagram.source,
        local: datagram.destination,
        remote_port: u16::from_be_bytes([s0, s1]),
        local_port: u16::from_be_bytes([d0, d1]),
    })
}

/// So many datagrams are all checked; a device that hashes otherwise is found out by then, save for its rarest kinds.
const ALL_OF_THE_FIRST: u32 = 1024;

/// Of the further ones, one of so many.
const ONE_OF: u32 = 1024;

const NEVER: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_looked_at_brings_the_next_look_nearer() {
        let mut net = Net::for_test();
        assert_eq!((net.steer.self_test.countdown, net.steer.is_check_due()), (NEVER, false));
        net.steer.count_unchecked();
        assert!(!net.steer.is_check_due());
        net.steer.self_test.countdown = 3;
        let due = [(); 2].map(|()| {
            net.steer.count_unchecked();
            net.steer.is_check_due()
        });
        assert_eq!(due, [false, true]);
    }
}
