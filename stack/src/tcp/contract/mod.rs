//! What a socket owes to its application, in virtual time and on one thread: as many orders of events as there are.
//!
//! - [`errors`]: what every call gives in every phase (D-1).
//! - [`shutdown`]: both directions ended in every order, and the timers of what is left (D-4).
//! - [`linger`]: what closing does with bytes that nobody has read or sent (D-5).
//! - [`accept`]: connections between their handshake and whoever accepts them (D-6).
//! - [`flags`]: what never goes back, and errors that are told once.
//! - [`reuse`]: places and addresses that are taken again.

mod accept;
mod errors;
mod flags;
mod linger;
mod reuse;
mod shutdown;

use std::io;

/// A call by a thread that is no protocol thread.
fn elsewhere<T: Send>(call: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(call).join().unwrap())
}

/// A result as the tables write it: a number, or the kind of the error.
fn said<T: ToString>(result: io::Result<T>) -> String {
    result.map_or_else(|error| format!("{:?}", error.kind()), |value| value.to_string())
}
