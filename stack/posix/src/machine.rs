//! One protocol thread, the device below it, and the time that both are told.

use std::collections::VecDeque;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use darner::time::Instant;
use darner::{Application, ConnectionInfo, Control, Core, Protocol, Readiness, Token};
use pmd::Pool;
use pmd::mem::{self, MemHandle};

use crate::settings::Settings;
use crate::sysctl;

/// A machine with one network interface, whose other end is [`inject`](Self::inject) and [`take`](Self::take).
pub(crate) struct Machine {
    now: Instant,
    protocol: Protocol,
    far: MemHandle,
    sent: VecDeque<Sent>,
    settings: Settings,
}

/// An IP packet that the stack has sent.
pub(crate) struct Sent {
    pub(crate) at: Instant,
    pub(crate) bytes: Vec<u8>,
}

/// Whether anything happened that a call may have waited for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Settled {
    Quiet,
    Stirred,
}

impl Machine {
    pub(crate) fn start(settings: &Settings, now: Instant) -> io::Result<Self> {
        let pool = Pool::heap(POOL_FRAMES, FRAME_ROOM);
        let (queue, far) = mem::device(pool, settings.mtu);
        let config = settings.config();
        let mut protocol =
            Protocol::new(&config, vec![Box::new(queue)], Box::new(Nobody), settings.seed)?;
        // The stack's first turn would otherwise be at its epoch, long before.
        protocol.turn(now);
        Ok(Self { now, protocol, far, sent: VecDeque::new(), settings: settings.clone() })
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// What a packet of the link carries of a segment.
    pub(crate) fn max_segment_size(&self) -> u16 {
        self.settings.mtu - 40
    }

    /// Lets `act` use the stack, as an application on its protocol thread.
    pub(crate) fn with_core<T>(&mut self, act: impl FnOnce(&mut Core<'_>) -> T) -> T {
        self.protocol.with_core(self.now, act)
    }

    /// How a connection stands; `None` once it is over.
    pub(crate) fn connection(&mut self, control: &Control) -> Option<ConnectionInfo> {
        self.protocol.connection(control)
    }

    /// Takes over the system's settings as they are now: scripts change them between sockets.
    pub(crate) fn reread_settings(&mut self) {
        if self.settings.sysctl.is_some() {
            // What makes no sense there leaves things as they are.
            let _refused = self.protocol.set_tcp(&self.settings.config().tcp);
        }
    }

    /// Which sides may use TCP Fast Open: the bits of `tcp_fastopen`.
    pub(crate) fn fast_open(&self) -> u32 {
        sysctl::fast_open(self.settings.sysctl.as_deref())
    }

    /// Whether data can go with a SYN to this server.
    pub(crate) fn knows_cookie_of(&self, server: Ipv4Addr) -> bool {
        self.protocol.knows_cookie_of(server)
    }

    /// Lets an IP packet arrive.
    pub(crate) fn inject(&mut self, packet: &[u8]) -> Option<()> {
        self.far.inject_bytes(packet)
    }

    /// The first packet that was sent and not yet taken.
    pub(crate) fn take(&mut self) -> Option<Sent> {
        self.sent.pop_front()
    }

    /// When something happens next by itself.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.protocol.next_deadline()
    }

    /// Goes on to `time`, or stays where it is if that is past.
    pub(crate) fn go_to(&mut self, time: Instant) {
        self.now = self.now.max(time);
    }

    /// Has the stack do all that is due now.
    pub(crate) fn settle(&mut self) -> Settled {
        let mut settled = Settled::Quiet;
        while self.protocol.turn(self.now).is_busy() {
            settled = Settled::Stirred;
        }
        while let Some(bytes) = self.far.take_bytes() {
            self.sent.push_back(Sent { at: self.now, bytes });
        }
        settled
    }
}

/// Enough for the windows of the scripts at 1,500 bytes.
const POOL_FRAMES: usize = 16_384;

/// The largest IP packet that a script may inject, with headroom.
const FRAME_ROOM: usize = 2048;

/// Calls come from outside of the turns: nobody waits to be told of anything in them.
struct Nobody;

impl Application for Nobody {
    fn start(&mut self, _: &mut Core<'_>) -> io::Result<()> {
        Ok(())
    }

    fn ready(&mut self, _: &mut Core<'_>, _: Token, _: Readiness) {}
}

/// One microsecond, the unit of packetdrill's clock.
pub(crate) const MICROSECOND: Duration = Duration::from_micros(1);
