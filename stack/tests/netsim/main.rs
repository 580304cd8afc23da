//! TCP over every kind of path, in virtual time: how much of it a transfer gets, what it sends twice, and who gets which share.
//!
//! A [cell](cell) is a path, a congestion control and a number of flows. Its outcome is compared with a [snapshot](snapshot), which a change
//! may only make better, and with a [floor](floor) from theory, which no snapshot can move. `make test` runs a sample, `make grid` every
//! cell, with a page to look at.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test may panic, and its numbers are small"
)]

mod cell;
mod floor;
mod flows;
mod grid;
mod page;
mod path;
mod recovery;
mod sample;
mod snapshot;
mod trace;
mod two_ends;
