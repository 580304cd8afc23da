//! A device from its name to its queue pairs, and back.

use std::mem::MaybeUninit;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::queue::DpdkQueue;
use super::{DeviceSpec, Eal, Error, preflight};
use crate::toeplitz::Key;
use crate::{Pool, QueuePair, Rss};

mod abilities;
mod configure;
mod native;
mod port;
mod scaling;

pub use abilities::{Abilities, RssAbilities};
pub(super) use configure::{Plan, TAP, TAP_CUTS};
pub(super) use port::Port;

/// A started device. It is stopped, and taken out of EAL, when this and all its queue pairs are gone; a tap interface then
/// disappears.
///
/// A native tap (`vtap:NAME`) is none of DPDK's, and opened here as well, so that programs need not tell the two apart.
pub struct Device {
    kind: Kind,
    mac: [u8; 6],
    mtu: u16,
    rss: Rss,
    pool: Pool,
}

enum Kind {
    Port(Arc<Port>),
    Tap(native::Native),
}

/// What is asked of a device. What it cannot do is left out where the stack can do without, and else is an error.
#[derive(Clone, Debug)]
pub struct DeviceConfig {
    /// Queue pairs; each is polled by one thread.
    pub queues: u16,
    /// Frames that one receive queue holds ready; adjusted to what the device can.
    pub rx_descriptors: u16,
    /// Frames that one transmit queue holds at most; adjusted to what the device can.
    pub tx_descriptors: u16,
    /// Frames in the device's pool beyond those that its queues hold.
    pub frames: u32,
    /// Largest IP packet; the device's own default unless said.
    pub mtu: Option<u16>,
    /// The key of receive-side scaling, for several queues on devices that spread flows by one; a random one unless said: who
    /// knows it can aim all flows at one queue. The redirection table is filled evenly. What became of both is told by
    /// [`Device::rss`]: no device fails to open for want of them.
    pub rss_key: Option<Key>,
    /// Whether the device is to verify and fill checksums where it can.
    pub checksum_offload: bool,
    /// Whether frames for other addresses are received, too.
    pub promiscuous: bool,
}

impl Default for DeviceConfig {
    fn default() -> Self {
        Self {
            queues: 1,
            rx_descriptors: 512,
            tx_descriptors: 512,
            frames: 16 << 10,
            mtu: None,
            rss_key: None,
            checksum_offload: true,
            promiscuous: false,
        }
    }
}

/// The state of the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Link {
    /// Whether frames can pass.
    pub up: bool,
    /// In megabits per second, where the device knows.
    pub speed_mbps: Option<u32>,
}

/// What the device counted since it was opened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Statistics {
    /// Frames received.
    pub rx_frames: u64,
    /// Frames sent.
    pub tx_frames: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames that came while the receive queue was full.
    pub rx_missed: u64,
    /// Frames that came damaged.
    pub rx_errors: u64,
    /// Frames that came while the pool was empty.
    pub rx_no_frame: u64,
    /// Frames that the device failed to send.
    pub tx_errors: u64,
    /// Frames that no device could send (too long, malformed), or that met a link that is down.
    pub tx_discarded: u64,
}

impl Device {
    /// Opens a device: attaches it to EAL, configures it by its capabilities, starts it, and makes its queue pairs, in order.
    ///
    /// The link may still be down: see [`wait_for_link`](Self::wait_for_link). A native tap needs no EAL, and none of the
    /// descriptors that `config` asks for.
    pub fn open(
        eal: impl Into<Option<Eal>>,
        spec: &DeviceSpec,
        config: &DeviceConfig,
    ) -> Result<(Self, Vec<Box<dyn QueuePair>>), Error> {
        if let DeviceSpec::Vtap(spec) = spec {
            return Self::open_tap(spec, config);
        }
        let eal = eal.into().ok_or_else(|| Error::NoEal { device: spec.to_string() })?;
        preflight::check(eal, spec)?;
        let port = Port::attach(spec, config.queues).map_err(|error| {
            preflight::explain(Path::new(preflight::ROOT), spec, config.queues, error)
        })?;
        preflight::check_attached(spec, config.queues)?;
        let (port, plan) = configure::start(port, config)?;
        let port = Arc::new(port);
        let queue_pairs = (0..config.queues)
            .map(|queue| Box::new(DpdkQueue::new(port.clone(), &plan, queue)) as Box<dyn QueuePair>)
            .collect();
        let Plan { mac, mtu, rss, pool, .. } = plan;
        Ok((Self { kind: Kind::Port(port), mac, mtu, rss, pool }, queue_pairs))
    }

    /// The name that the user gave it.
    pub fn name(&self) -> &str {
        match &self.kind {
            Kind::Port(port) => &port.label,
            Kind::Tap(native) => native.tap.name(),
        }
    }

    /// The driver that serves it, such as `net_tap`; `vtap` for a native tap.
    pub fn driver(&self) -> &str {
        match &self.kind {
            Kind::Port(port) => &port.driver,
            Kind::Tap(_) => native::DRIVER,
        }
    }

    /// Its Ethernet address.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Its largest IP packet in bytes.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// How it spreads what it receives over its queues.
    pub fn rss(&self) -> &Rss {
        &self.rss
    }

    /// Where its frames come from. Its receive queues hold some of them.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The state of the line just now.
    pub fn link(&self) -> Link {
        match &self.kind {
            Kind::Port(port) => port.link(),
            Kind::Tap(native) => native.link(),
        }
    }

    /// Waits until the link is up, or the time is over; NICs need seconds, a memif its peer.
    pub fn wait_for_link(&self, at_most: Duration) -> Link {
        let deadline = Instant::now() + at_most;
        loop {
            let link = self.link();
            if link.up || Instant::now() >= deadline {
                return link;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What was counted until now.
    pub fn statistics(&self) -> Statistics {
        let port = match &self.kind {
            Kind::Port(port) => port,
            Kind::Tap(native) => return native.statistics(),
        };
        let mut counted = MaybeUninit::<dpdk_sys::rte_eth_stats>::zeroed();
        // SAFETY: the port is open; all zeros are valid statistics, for drivers that count nothing.
        let counted = unsafe {
            dpdk_sys::rte_eth_stats_get(port.id, counted.as_mut_ptr());
            counted.assume_init()
        };
        Statistics {
            rx_frames: counted.ipackets,
            tx_frames: counted.opackets,
            rx_bytes: counted.ibytes,
            tx_bytes: counted.obytes,
            rx_missed: counted.imissed,
            rx_errors: counted.ierrors,
            rx_no_frame: counted.rx_nombuf,
            tx_errors: counted.oerrors,
            tx_discarded: port.discarded(),
        }
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({} by {})", self.name(), self.driver())
    }
}
