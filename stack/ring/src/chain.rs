//! The memory of a byte ring: a chain of chunks with one writer and one reader. All `unsafe` of the byte rings that
//! concerns two threads is here and below; [`receive`](crate::receive) and [`send`](crate::send) give the flags their meaning.
//!
//! A chain comes into being when the writer wants to write into an empty ring, grows at the writer's end, is given
//! back chunk by chunk behind the reader, and is gone when the reader has read everything.
//!
//! | word    | writer                                        | reader     |
//! |---------|-----------------------------------------------|------------|
//! | `tail`  | writer; flags also by closers                 | reader     |
//! | `claim` | writer, and the reader in one case (see C)    | both       |
//! | `first` | writer while the reader knows no chunk        | reader     |
//! | `head`  | reader; flags also by closers                 | writer     |
//! | `limit` | whoever decides about memory                  | writer     |
//! | `window` | writer                                       | reader     |
//! | `lent`  | reader, and who has a lease                   | writer     |
//! | `mark`  | writer, before the tail (A1)                  | reader     |
//!
//! # Ordering
//!
//! - **A**: the writer fills bytes and links chunks, then publishes `tail` (A1, release). A reader that sees the new
//!   tail (A2, acquire) sees the bytes below it, and `first`.
//! - **B**: a chunk is made ready before it is linked (B1, release); a reader that follows the link (B2, acquire) sees
//!   it whole, even before the tail has entered it.
//! - **C**: who may use the last chunk of an empty ring? The writer *claims* the chain before it writes and lets go of
//!   it before it publishes, by storing the new tail in `claim` (C1, release). The reader, once it has read
//!   everything, takes the chain away if `claim` is still the tail that it has read to (C2, acquire). Positions
//!   never repeat, so an exchange that succeeds proves that the writer has not been there since.
//! - **D**: the reader reads bytes, then moves `head` (D1, release) and gives chunks back. The writer (D2, acquire) counts
//!   room by it; it never writes a byte a second time, so memory does not depend on D.
//! - **E**: the writer says that there is no window, fences (E1), and looks at the head once more. The reader moves the head,
//!   fences (E2), and looks whether there is a window. Both fences are sequentially consistent, so one of the two sees what
//!   the other did.

use std::ptr::NonNull;

use crate::chunk::Chunk;
use crate::sync::Arc;

mod reader;
mod words;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use words::{Direction, Pair, Receiving, Sending, Words};
pub(crate) use writer::Writer;

/// The ends of an empty chain, which holds no memory but its words.
pub(crate) fn chain<D: Direction>(pair: Arc<Pair>) -> (Writer<D>, Reader<D>) {
    let words = Words::new(pair);
    (Writer::new(words.clone()), Reader::new(words))
}

/// Gives back `first` and all chunks linked behind it.
///
/// # Safety
/// Nobody uses them any more.
unsafe fn free_chain(first: Option<NonNull<Chunk>>) {
    let mut rest = first;
    while let Some(chunk) = rest {
        // SAFETY: the caller's promise.
        unsafe {
            rest = chunk.as_ref().next();
            Chunk::free(chunk);
        }
    }
}

/// The writer is in the chain.
const CLAIMED: u64 = 1 << 63;
/// There is no chain.
const NO_CHAIN: u64 = 1 << 62;
