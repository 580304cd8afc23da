//! Building blocks of memory that two threads share, safe to use from code that forbids `unsafe`.
//!
//! | what carries values                  |                                                                          |
//! |--------------------------------------|--------------------------------------------------------------------------|
//! | [`spsc`]                             | a bounded queue from one thread to one other                             |
//! | [`receive_ring`]                     | bytes from a protocol thread to an application                           |
//! | [`send_ring`]                        | bytes from an application to a protocol thread                           |
//! | [`connection_rings`]                 | both of them, for one connection                                         |
//! | [`Shard`]                            | a core's completed connections, for whoever accepts them                 |
//!
//! | what says that there is something    |                                                                          |
//! |--------------------------------------|--------------------------------------------------------------------------|
//! | [`Flags`], [`EventSource`]           | bits that one side adds and the other takes; told once until taken       |
//! | [`HintMap`]                          | the same for many indices, where a queue has no room                     |
//! | [`Doorbell`]                         | which mailboxes have something, and whether the core sleeps              |
//! | [`Parker`], [`EventCount`]           | where one thread, or many, sleep until something is there                |
//!
//! | what threads agree on                |                                                                          |
//! |--------------------------------------|--------------------------------------------------------------------------|
//! | [`ErrorCell`]                        | the first cause of a failure, told once                                  |
//! | [`Owners`]                           | who still holds a thing, and who was the last                            |
//! | [`Backlog`]                          | a limit that holds exactly                                               |
//! | [`spin`]                             | a lock for a handful of instructions                                     |
//! | [`TryLock`]                          | a lock that a protocol thread never waits for, and is told about         |
//! | [`fork`]                             | whether this process is a forked copy                                    |
//!
//! A byte ring carries absolute stream positions. What qualifies a position (no more will be written, nobody
//! reads any more) is a flag in the same word, so that one load tells both and neither can overtake the other.
//! Its memory is a chain of chunks that exists only while bytes are in it; both rings are built on one
//! chain of chunks, where all their `unsafe` is.

mod backlog;
mod chain;
mod chunk;
mod connection;
mod doorbell;
mod error_cell;
mod event_count;
mod event_source;
mod fault;
mod flags;
#[cfg(not(loom))]
pub mod fork;
mod futex;
mod hint_map;
mod lent;
#[cfg(loom)]
#[cfg(test)]
mod loom_models;
mod mark;
mod owners;
mod parker;
mod prefetch;
mod receive;
mod send;
mod shard;
pub mod spin;
pub mod spsc;
#[cfg(not(loom))]
mod stock;
mod sync;
#[cfg(not(loom))]
#[cfg(test)]
mod testing;
mod try_lock;
mod word;

pub use backlog::{Backlog, Full};
pub use chunk::{CHUNK, SMALL_CHUNK};
pub use connection::{CONNECTION_WORDS, ConnectionCloser, ConnectionRings, connection_rings};
pub use doorbell::Doorbell;
pub use error_cell::ErrorCell;
pub use event_count::EventCount;
pub use event_source::EventSource;
pub use flags::Flags;
pub use hint_map::HintMap;
pub use lent::Lent;
pub use mark::{Mark, UrgentDelivery};
pub use owners::{Left, Owners};
pub use parker::Parker;
pub use prefetch::prefetch;
pub use receive::{ReceiveCloser, ReceiveConsumer, ReceiveEnd, ReceiveProducer, receive_ring};
pub use send::{
    SendClosed, SendCloser, SendConsumer, SendEnd, SendProducer, SendTail, Slices, send_ring,
};
pub use shard::{Busy, Drained, Shard, Stash};
pub use try_lock::{Deferred, TryLock};
