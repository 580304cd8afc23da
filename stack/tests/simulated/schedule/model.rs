//! What an application may see of a connection, whatever the network does to it.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::Shutdown;

/// A sentence that says which promise was broken.
pub(super) type Verdict = Result<(), String>;

/// One end of a connection as its application knows it: what it has written and read, and how it has ended either.
#[derive(Default)]
pub(super) struct End {
    seed: u64,
    written: u64,
    /// Where urgent bytes are: the peer's reads may leave these out, and nothing else.
    urgent: BTreeSet<u64>,
    /// Where in the peer's stream reading has come to.
    read: u64,
    ended: bool,
    error: Option<ErrorKind>,
    shut_read: bool,
    shut_write: bool,
    aborted: bool,
    pub(super) closed: bool,
}

/// What the network and the far application have done that an error could come from.
#[derive(Clone, Copy, Default)]
pub(super) struct Excuses {
    /// Nobody listened, or no longer before the connection was accepted.
    pub(super) refused: bool,
    /// Frames were lost before the connection was accepted: ARP asks three times only.
    pub(super) unreachable: bool,
}

impl End {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// The next `len` bytes of this end's stream, the last of them urgent or not.
    pub(super) fn bytes(&self, len: usize, urgency: Urgency) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            (self.written..).take(len).map(|position| byte(self.seed, position)).collect();
        if let (Urgency::LastByte, Some(last)) = (urgency, bytes.last_mut()) {
            *last = URGENT;
        }
        bytes
    }

    /// Whether an error would be honest: somebody has reset the connection, or had to.
    fn may_fail(&self, peer: &Self, excuses: Excuses) -> bool {
        let unread = peer.closed && peer.read < self.written;
        self.aborted || peer.aborted || unread || excuses.refused
    }

    /// Judges a write of `len` bytes.
    pub(super) fn wrote(
        &mut self,
        peer: &Self,
        excuses: Excuses,
        (len, urgency): (usize, Urgency),
        got: &io::Result<usize>,
    ) -> Verdict {
        match got {
            Ok(count) => {
                ensure(*count <= len, "more was written than was given")?;
                ensure(!self.shut_write && !self.aborted, "a write after the end was taken")?;
                self.written += *count as u64;
                if urgency == Urgency::LastByte && *count == len {
                    self.urgent.insert(self.written - 1);
                }
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                let closed = self.shut_write || self.aborted || self.error.is_some();
                ensure(closed, "a pipe is broken that nobody broke")
            }
            Err(error) => self.failed(peer, excuses, error.kind()),
        }
    }

    /// Judges what a read gave.
    pub(super) fn got(&mut self, peer: &Self, excuses: Excuses, got: io::Result<&[u8]>) -> Verdict {
        match got {
            Ok([]) => {
                let whole = peer.shut_write && self.whole(peer);
                let end = whole || self.shut_read || self.aborted || self.error.is_some();
                self.ended = true;
                ensure(end, "the stream ended before its end")
            }
            Ok(bytes) => {
                ensure(!self.ended, "bytes after the end of the stream")?;
                ensure(!self.shut_read, "bytes for who reads no more")?;
                bytes.iter().try_for_each(|&byte| self.take(peer, byte))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                ensure(!self.ended, "a stream that has ended goes on")
            }
            Err(error) => self.failed(peer, excuses, error.kind()),
        }
    }

    /// Judges what reading an urgent byte out of turn gave.
    pub(super) fn got_urgent(&self, peer: &Self, got: &io::Result<u8>) -> Verdict {
        let any = !peer.urgent.is_empty();
        ensure(got.as_ref().map_or(true, |&byte| byte == URGENT && any), "no such urgent byte")
    }

    fn take(&mut self, peer: &Self, got: u8) -> Verdict {
        while got != URGENT && peer.urgent.contains(&self.read) {
            self.read += 1;
        }
        ensure(self.read < peer.written, "more bytes than were written")?;
        let want =
            if peer.urgent.contains(&self.read) { URGENT } else { byte(peer.seed, self.read) };
        if got != want {
            return Err(format!("byte {} is {got}, not {want}", self.read));
        }
        self.read += 1;
        Ok(())
    }

    /// Whether nothing but urgent bytes is left to read.
    fn whole(&self, peer: &Self) -> bool {
        (self.read..peer.written).all(|position| peer.urgent.contains(&position))
    }

    pub(super) fn failed(&mut self, peer: &Self, excuses: Excuses, kind: ErrorKind) -> Verdict {
        let unreachable = kind == ErrorKind::HostUnreachable && excuses.unreachable;
        if !unreachable && !self.may_fail(peer, excuses) {
            return Err(format!("{kind:?} without a cause"));
        }
        let first = self.error.replace(kind);
        ensure(first.is_none(), "an error was told twice")
    }

    /// Whether the peer was never found; only an end that may be so was told.
    fn unreachable(&self) -> bool {
        self.error == Some(ErrorKind::HostUnreachable)
    }

    pub(super) fn shut(&mut self, how: Shutdown) {
        self.shut_read |= how != Shutdown::Write;
        self.shut_write |= how != Shutdown::Read;
    }

    pub(super) fn abort(&mut self) {
        self.aborted = true;
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.shut_write = true;
    }

    /// Whether there is nothing to wait for at this end.
    pub(super) fn is_done(&self) -> bool {
        self.closed || self.ended || self.error.is_some()
    }

    /// Judges an end whose application has read for as long as anything could come.
    pub(super) fn finished(&self, peer: &Self, excuses: Excuses) -> Verdict {
        if self.closed || self.may_fail(peer, excuses) || self.unreachable() {
            return Ok(());
        }
        ensure(self.ended, "a stream never ended")?;
        ensure(self.shut_read || self.whole(peer), "bytes were lost")
    }
}

/// Whether a write ends with an urgent byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Urgency {
    None,
    LastByte,
}

fn ensure(holds: bool, broken: &str) -> Verdict {
    if holds { Ok(()) } else { Err(broken.to_owned()) }
}

/// No other byte has this value.
const URGENT: u8 = 255;

fn byte(seed: u64, position: u64) -> u8 {
    let mixed = (position ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 32) % u64::from(URGENT)) as u8
}
