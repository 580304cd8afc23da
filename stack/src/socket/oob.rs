//! The urgent byte of a connection, as the application fetches it apart from the stream (`MSG_OOB`; socket contract,
//! C-18).

use darner_ring::{Mark, UrgentDelivery};
use rustix::io::Errno;

/// What is known of the newest urgent byte. The protocol thread replaces it as a whole.
///
/// The mark in the receive ring says *where* the byte is, and is never late; this says *what* it is, and may be. Where the two
/// disagree, the mark is right and the byte is on its way here.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct OobCell {
    state: State,
    /// The byte's position in the receive ring.
    position: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    /// No byte was ever urgent.
    #[default]
    None,
    /// The peer has said that there is one; it has not come.
    Announced,
    Have(u8),
    /// The application has fetched it.
    Taken,
}

impl OobCell {
    pub(crate) const fn announced(position: u64) -> Self {
        Self { state: State::Announced, position }
    }

    pub(crate) const fn arrived(position: u64, byte: u8) -> Self {
        Self { state: State::Have(byte), position }
    }

    /// Whether the byte is here to be fetched.
    pub(crate) const fn has_come(&self) -> bool {
        matches!(self.state, State::Have(_))
    }

    /// Fetches the byte, once. `mark` is the ring's, looked at while this cell cannot change: the newest urgent byte, unless
    /// reading has gone past it. Who gets the byte says so to the ring.
    pub(crate) fn fetch(&mut self, mark: Option<Mark>) -> Result<u8, Errno> {
        let Some(Mark { position, delivery: UrgentDelivery::Apart }) = mark else {
            return Err(Errno::INVAL);
        };
        match self.state {
            State::Have(byte) if self.position == position => {
                self.state = State::Taken;
                Ok(byte)
            }
            State::Taken if self.position == position => Err(Errno::INVAL),
            _ => Err(Errno::WOULDBLOCK),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(position: u64, delivery: UrgentDelivery) -> Option<Mark> {
        Some(Mark { position, delivery })
    }

    #[test]
    fn fetching_gives_what_is_urgent_now_and_once() {
        let apart = mark(7, UrgentDelivery::Apart);
        let inline = mark(7, UrgentDelivery::Inline);
        let taken = OobCell { state: State::Taken, position: 7 };
        for (name, cell, mark, want) in [
            ("nothing was ever urgent", OobCell::default(), None, Err(Errno::INVAL)),
            ("announced, inline", OobCell::announced(7), inline, Err(Errno::INVAL)),
            ("here, inline", OobCell::arrived(7, b'!'), inline, Err(Errno::INVAL)),
            ("marked, not told here yet", OobCell::default(), apart, Err(Errno::WOULDBLOCK)),
            ("announced", OobCell::announced(7), apart, Err(Errno::WOULDBLOCK)),
            ("here", OobCell::arrived(7, b'!'), apart, Ok(b'!')),
            ("here, and read past", OobCell::arrived(7, b'!'), None, Err(Errno::INVAL)),
            ("taken", taken, apart, Err(Errno::INVAL)),
            ("taken, and read past", taken, None, Err(Errno::INVAL)),
            ("an older one is here", OobCell::arrived(6, b'?'), apart, Err(Errno::WOULDBLOCK)),
            (
                "an older one was taken",
                taken,
                mark(8, UrgentDelivery::Apart),
                Err(Errno::WOULDBLOCK),
            ),
        ] {
            let mut after = cell;
            assert_eq!(after.fetch(mark), want, "{name}");
            assert_eq!(after, if want.is_ok() { taken } else { cell }, "{name}");
        }
    }
}
