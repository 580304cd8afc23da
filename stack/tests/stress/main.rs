//! Many threads at once on one stack: the part T of the socket contract, as far as it can be seen from outside.
//!
//! Each test goes on for a moment, or for as many seconds as `DARNER_STRESS_SECONDS` says (`make stress`). Whatever happened,
//! at the end everything is given back. A wait that ends only by its time limit is a failure.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test may panic, and its numbers are small"
)]

mod chaos;
mod echo;
mod hogs;
mod lent;
mod slow_readers;
mod unturned;
mod wakes;
mod world;
