//! Whole stacks over simulated wires, in virtual time.

mod apps;
mod bulk;
mod life;
mod udp;
mod world;
