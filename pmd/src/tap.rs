//! A tap interface of the kernel, without DPDK: large frames both ways, and checksums left to the kernel.
//!
//! Each queue pair is a descriptor of the tun driver whose frames carry a header (`struct virtio_net_hdr`) that says what
//! is still to be done. So the kernel hands over TCP packets of up to 64 KiB as they are, without cutting or summing
//! them, and takes ours with their checksums open, and as large ([`request_segmentation`](crate::Frame::request_segmentation)). The interface is there for as long as the [`Tap`] or one of its queue
//! pairs; its far end is the kernel's, and configured through [`Spec`] or with `ip`.
//!
//! ```no_run
//! use pmd::tap;
//!
//! let spec: tap::Spec = "dtap0,address=10.99.0.1/24".parse()?;
//! let (tap, queue_pairs) = tap::open(&spec, &tap::Options::default())?;
//! // Each queue pair goes to the thread that polls it.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A burst costs a system call for each frame, so it is for few large frames rather than many small ones; and there is no
//! signal and no second descriptor per queue as with DPDK's net_tap. Receiving starts with TCP packets larger than the
//! MTU: whoever receives must take chains of segments of up to 65,535 bytes of IP.
//!
//! IPv4 header checksums are not the kernel's to fill: [`TxOffload::ipv4`](crate::TxOffload::ipv4) is off. What arrives with
//! its TCP or UDP checksum open or verified is [`Good`](crate::ChecksumStatus::Good); the field itself may then hold only the
//! pseudo-header's sum, and a [recording](crate::pcap) shows it so.

mod counters;
mod error;
mod interface;
mod queue;
mod spec;
mod virtio;

use std::fs::File;
use std::sync::Arc;

use counters::Counters;
pub use counters::Statistics;
pub use error::Error;
use interface::Interface;
pub use interface::{LARGEST_MTU, LEAST_MTU};
use queue::TapQueue;
#[cfg(feature = "dpdk")]
pub(crate) use spec::is_interface_name;
pub use spec::{Spec, SpecError};

use crate::{Medium, Pool, QueueInfo, QueuePair, Rss, TxOffload};

/// What is asked of a tap.
#[derive(Clone, Debug)]
pub struct Options {
    /// Queue pairs, 1 to [`MOST_QUEUES`]; each is polled by one thread. The kernel sends a flow to the queue on which its
    /// packets came last.
    pub queues: u16,
    /// Frames in the pool beyond those that the queues hold ready. Their memory is taken as they are first needed.
    pub frames: usize,
    /// Largest IP packet to send; what [`Spec`] says unless said, and else the interface's own default of 1500.
    pub mtu: Option<u16>,
    /// What is left to the kernel.
    pub offload: Offload,
}

/// What is left to the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offload {
    /// Nothing: every frame is within the MTU and has its checksums.
    None,
    /// It hands over large TCP packets and open checksums, and fills in ours.
    Full,
}

impl Default for Options {
    fn default() -> Self {
        Self { queues: 1, frames: 16 << 10, mtu: None, offload: Offload::Full }
    }
}

/// Most queue pairs of one interface: the kernel's limit.
pub const MOST_QUEUES: u16 = 256;

/// An open tap interface.
pub struct Tap {
    label: String,
    interface: Interface,
    mac: [u8; 6],
    mtu: u16,
    pool: Pool,
    counters: Vec<Arc<Counters>>,
    /// Keeps the interface when all queue pairs have gone.
    _queue: Arc<File>,
}

/// Makes the interface, configures it and takes it up, and makes its queue pairs, in order.
pub fn open(spec: &Spec, options: &Options) -> Result<(Tap, Vec<Box<dyn QueuePair>>), Error> {
    let label = format!("vtap:{spec}");
    if !(1..=MOST_QUEUES).contains(&options.queues) {
        let (asked, most) = (options.queues, MOST_QUEUES);
        return Err(Error::Queues { device: label, asked, most });
    }
    let files = (0..options.queues)
        .map(|queue| interface::open_queue(&label, spec.interface(), queue, options.offload))
        .collect::<Result<Vec<_>, _>>()?;
    let interface = Interface::new(&label, spec.interface())?;
    let mtu = interface.configure(spec, options.mtu)?;
    let mac = station_beside(interface.mac()?);
    let shape = queue::Shape::of(options.offload, mtu);
    let held = usize::from(options.queues) * shape.segments;
    let pool = Pool::heap(options.frames.max(1) + held, shape.room);
    let info = QueueInfo {
        device: label.clone(),
        queue: 0,
        medium: Medium::Ethernet(mac),
        mtu,
        tx_offload: tx_offload(options.offload),
        rss: if options.queues == 1 { Rss::OneQueue } else { Rss::Unsupported },
        pool: pool.clone(),
    };
    let mut tap = Tap {
        label,
        interface,
        mac,
        mtu,
        pool,
        counters: vec![],
        // At least one queue was asked for.
        _queue: files[0].clone(),
    };
    let mut queue_pairs: Vec<Box<dyn QueuePair>> = vec![];
    for (file, queue) in files.into_iter().zip(0..) {
        let counters = Arc::new(Counters::default());
        tap.counters.push(counters.clone());
        let info = QueueInfo { queue, ..info.clone() };
        queue_pairs.push(Box::new(TapQueue::new(file, info, shape, counters)));
    }
    Ok((tap, queue_pairs))
}

impl Tap {
    /// The name that the user gave it: `vtap:` and its [`Spec`].
    pub fn name(&self) -> &str {
        &self.label
    }

    /// Our Ethernet address. The kernel's end of the wire has the one that differs in the last bit.
    pub fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The largest IP packet to send, in bytes. TCP packets that arrive may be larger.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Where its frames come from. Its queues hold some of them ready.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether frames can pass: the kernel's end is up.
    pub fn is_up(&self) -> bool {
        self.interface.is_up()
    }

    /// What was counted until now, over all queues.
    pub fn statistics(&self) -> Statistics {
        let mut sum = Statistics { rx_missed: self.interface.missed(), ..Statistics::default() };
        self.counters.iter().for_each(|queue| sum.add(queue));
        sum
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tap({})", self.label)
    }
}

fn tx_offload(offload: Offload) -> TxOffload {
    let segments = TxOffload { multi_segment: true, ..TxOffload::default() };
    match offload {
        Offload::None => segments,
        // Within the kernel nothing is cut at all.
        Offload::Full => TxOffload {
            tcp: true,
            udp: true,
            tcp_segmentation: u16::MAX,
            tcp_segments: u16::MAX,
            ..segments
        },
    }
}

/// The kernel's interface is a station, and we are another one on its wire: a frame from one's own address is an echo.
fn station_beside(mut mac: [u8; 6]) -> [u8; 6] {
    mac[5] ^= 1;
    mac
}
