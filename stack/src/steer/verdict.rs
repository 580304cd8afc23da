//! What is to be said about a device's receive-side scaling.

use std::fmt;

/// Whether the device takes each packet to the core that owns it. If not, the cores do that among themselves: nothing is lost
/// but time.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// There is one core, which owns everything.
    #[default]
    OneCore,
    /// Some cores have no queue of their own.
    FewerQueues {
        /// Receive queues of all cores.
        queues: usize,
        /// Protocol threads.
        cores: usize,
    },
    /// By the device's own account; the text says what it lacks.
    NotScaled(String),
    /// The cores do not poll one queue each, in their order.
    OtherQueues,
    /// The device has another key than the configuration.
    OtherKey,
    /// The device does not hash the ports of TCP.
    AddressesOnly,
    /// The device says so; no packet has come by which to check it.
    Unproved,
    /// Every packet that was checked came to the core that its hash leads to; where the device tells hashes, they were right too.
    Verified {
        /// How many were checked.
        packets: u64,
    },
    /// Packets came with another hash than they should, or at another queue.
    Differs {
        /// How many did.
        packets: u64,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneCore => f.write_str("one core, which gets every packet"),
            Self::FewerQueues { queues, cores } => {
                let plural = if *queues == 1 { "" } else { "s" };
                write!(f, "{queues} queue{plural} for {cores} cores: steering in software")
            }
            Self::NotScaled(why) => write!(f, "{why}: steering in software"),
            Self::OtherQueues => {
                f.write_str("the cores do not poll one queue each in turn: steering in software")
            }
            Self::OtherKey => f.write_str(
                "the device has another RSS key than the configuration: steering in software",
            ),
            Self::AddressesOnly => {
                f.write_str("RSS hashes addresses without ports: steering in software")
            }
            Self::Unproved => f.write_str(
                "RSS set as asked, by the device's own account; no packet has shown it yet",
            ),
            Self::Verified { packets } => {
                write!(
                    f,
                    "RSS verified: {packets} packets came to the core that their hash leads to"
                )
            }
            Self::Differs { packets } => write!(
                f,
                "RSS hashes differently from what the device says ({packets} packets so far): steering in software"
            ),
        }
    }
}
