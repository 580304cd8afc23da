//! The stack behind POSIX calls, in virtual time: what packetdrill's `--so_filename` loads.
//!
//! packetdrill plays a script of calls and packets against whatever offers its C interface. Here that is a whole
//! protocol thread over an in-memory device, whose turns are made inside the calls, under one mutex. No thread runs by itself and no
//! clock is read: time goes on when packetdrill sleeps, asks for the time, or waits for a packet. So a script has
//! one outcome, whatever else the machine does.
//!
//! - `edge`: the C interface, and all that is unsafe.
//! - `host`: the mutex, calls that wait, and time.
//! - `process`: descriptors and what calls do to them.
//! - `machine`: the protocol thread, its device and its clock.

mod edge;
mod host;
mod machine;
mod process;
mod settings;
mod sysctl;

pub use edge::{PacketdrillInterface, packetdrill_interface_init};
