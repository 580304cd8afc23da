//! What is kept under a socket's control lock: options, how it lingers, and the urgent byte.

use std::time::Duration;

use bitflags::bitflags;
use darner_ring::Mark;
use rustix::io::Errno;

use super::oob::OobCell;

/// What the control lock guards. What few sockets need is in a box.
#[derive(Debug, Default)]
pub(crate) struct ControlState {
    bits: OptionBits,
    rare: Option<Box<Rare>>,
}

/// What few sockets have.
#[derive(Debug, Default)]
pub(crate) struct Rare {
    pub(crate) user_timeout: Option<Duration>,
    pub(crate) linger: Option<Duration>,
    pub(crate) fin_wait_2: Option<Duration>,
    pub(crate) unsent_low_water: Option<u32>,
    pub(crate) oob: OobCell,
}

bitflags! {
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    pub(crate) struct OptionBits: u32 {
        /// Small segments are not held back (RFC 9293, section 3.7.4).
        const NODELAY = 1;
        /// The peer is asked whether it is there while nothing is sent (RFC 9293, section 3.8.4).
        const KEEPALIVE = 1 << 1;
        /// The urgent byte is read with the others.
        const OOB_INLINE = 1 << 2;
        /// Segments that are not full wait for more.
        const CORK = 1 << 3;
    }
}

/// What the application has set, as the protocol thread takes it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct SocketOptions {
    pub(crate) bits: OptionBits,
    /// RFC 9293, section 3.8.3.
    pub(crate) user_timeout: Option<Duration>,
    /// What closing waits for; zero: it resets.
    pub(crate) linger: Option<Duration>,
    /// How long the peer may take to close after us.
    pub(crate) fin_wait_2: Option<Duration>,
    /// Most bytes that wait unsent.
    pub(crate) unsent_low_water: Option<u32>,
}

impl ControlState {
    pub(crate) fn options(&self) -> SocketOptions {
        let rare = self.rare.as_deref();
        SocketOptions {
            bits: self.bits,
            user_timeout: rare.and_then(|rare| rare.user_timeout),
            linger: rare.and_then(|rare| rare.linger),
            fin_wait_2: rare.and_then(|rare| rare.fin_wait_2),
            unsent_low_water: rare.and_then(|rare| rare.unsent_low_water),
        }
    }

    pub(crate) fn set_bit(&mut self, bit: OptionBits, on: bool) {
        self.bits.set(bit, on);
    }

    /// Fetches the urgent byte, if it is the one at `mark`.
    pub(crate) fn fetch_oob(&mut self, mark: Option<Mark>) -> Result<u8, Errno> {
        match &mut self.rare {
            Some(rare) => rare.oob.fetch(mark),
            None => OobCell::default().fetch(mark),
        }
    }

    /// What few sockets have; `spare` is the memory for it, since under the lock nothing is allocated.
    pub(crate) fn rare(&mut self, spare: &mut Option<Box<Rare>>) -> &mut Rare {
        if self.rare.is_none() {
            self.rare = spare.take();
        }
        self.rare.get_or_insert_default()
    }
}

/// A change of one option, for whoever has the lock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    Bit(OptionBits, bool),
    UserTimeout(Option<Duration>),
    Linger(Option<Duration>),
    FinWait2(Option<Duration>),
    UnsentLowWater(Option<u32>),
}

impl Change {
    /// Memory that applying it may need.
    pub(crate) fn memory(&self) -> Option<Box<Rare>> {
        match self {
            Self::Bit(..) => None,
            Self::UserTimeout(_)
            | Self::Linger(_)
            | Self::FinWait2(_)
            | Self::UnsentLowWater(_) => Some(Box::default()),
        }
    }

    pub(crate) fn apply(&self, state: &mut ControlState, spare: &mut Option<Box<Rare>>) {
        match *self {
            Self::Bit(bit, on) => state.set_bit(bit, on),
            Self::UserTimeout(timeout) => state.rare(spare).user_timeout = timeout,
            Self::Linger(linger) => state.rare(spare).linger = linger,
            Self::FinWait2(span) => state.rare(spare).fin_wait_2 = span,
            Self::UnsentLowWater(mark) => state.rare(spare).unsent_low_water = mark,
        }
    }
}
