//! Readiness on its way to the application, and the name under which it is told.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::mailbox::{Mailboxes, Source};
use crate::api::{Readiness, Token};

/// What a socket or a listener has to tell, and to whom.
pub(crate) struct Events {
    raised: AtomicU32,
    token: AtomicU64,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self { raised: AtomicU32::new(0), token: AtomicU64::new(Token::NONE.0) }
    }

    /// Adds `readiness`. The `source` is queued unless it waits already, or there is nobody to tell.
    pub(super) fn raise(
        &self,
        mailboxes: &mut Mailboxes,
        readiness: Readiness,
        source: impl FnOnce() -> Source,
    ) {
        let before = self.raised.fetch_or(readiness.bits(), Ordering::AcqRel);
        if before == 0 && self.token() != Token::NONE {
            mailboxes.push(source());
        }
    }

    /// What was raised since the last call, and for whom.
    pub(crate) fn take(&self) -> (Token, Readiness) {
        let readiness = Readiness::from_bits_truncate(self.raised.swap(0, Ordering::AcqRel));
        (self.token(), readiness)
    }

    fn token(&self) -> Token {
        Token(self.token.load(Ordering::Acquire))
    }

    pub(crate) fn set_token(&self, token: Token) {
        self.token.store(token.0, Ordering::Release);
    }
}
