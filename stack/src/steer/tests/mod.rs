//! Steering as a whole (D-7, T-12): stacks of several cores behind a card that spreads as it likes, in virtual time.

mod apps;
mod datagrams;
mod flows;
mod nic;
mod owner;
mod packet;
mod strangers;
mod world;
