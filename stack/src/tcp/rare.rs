//! What few connections have, kept apart: the others have a pointer's room for it, and nothing in it.

use super::auth::Auth;
use super::ecn::Accurate;
use super::fast_open::FastOpen;
use super::low_water::Unsent;

/// Empty for most connections.
#[derive(Default)]
pub(super) struct Rare(Option<Box<Held>>);

#[derive(Default)]
struct Held {
    fast_open: Option<FastOpen>,
    accurate: Option<Accurate>,
    auth: Option<Auth>,
    unsent: Option<Unsent>,
    max_segment_size: Option<u16>,
    /// How often our SYN may be sent again, where that was said of this connection and it is not made yet.
    syn_retries: Option<u8>,
    /// Zero if none is set.
    user_timeout_ms: u32,
}

impl Held {
    fn is_empty(&self) -> bool {
        let opened = self.fast_open.is_none() && self.accurate.is_none() && self.auth.is_none();
        let said = self.syn_retries.is_some()
            || self.max_segment_size.is_some()
            || self.user_timeout_ms != 0;
        opened && self.unsent.is_none() && !said
    }
}

impl Rare {
    pub(super) const NOTHING: Self = Self(None);

    /// TCP Fast Open, until the handshake is complete.
    pub(super) fn fast_open(&self) -> Option<&FastOpen> {
        self.0.as_ref()?.fast_open.as_ref()
    }

    pub(super) fn set_fast_open(&mut self, fast_open: FastOpen) {
        self.0.get_or_insert_default().fast_open = Some(fast_open);
    }

    pub(super) fn take_fast_open(&mut self) -> Option<FastOpen> {
        let taken = self.0.as_mut()?.fast_open.take();
        self.shrink();
        taken
    }

    /// Accurate ECN feedback, if it was agreed on.
    #[inline]
    pub(super) fn accurate(&self) -> Option<&Accurate> {
        self.0.as_ref()?.accurate.as_ref()
    }

    #[inline]
    pub(super) fn accurate_mut(&mut self) -> Option<&mut Accurate> {
        self.0.as_mut()?.accurate.as_mut()
    }

    pub(super) fn set_accurate(&mut self, accurate: Accurate) {
        self.0.get_or_insert_default().accurate = Some(accurate);
    }

    /// What the connection's segments are signed with.
    #[inline]
    pub(super) fn auth(&self) -> Option<&Auth> {
        self.0.as_ref()?.auth.as_ref()
    }

    pub(super) fn auth_mut(&mut self) -> Option<&mut Auth> {
        self.0.as_mut()?.auth.as_mut()
    }

    pub(super) fn set_auth(&mut self, auth: Option<Auth>) {
        self.change(|held| held.auth = auth);
    }

    pub(super) fn take_auth(&mut self) -> Option<Auth> {
        self.0.as_mut()?.auth.take()
    }

    /// How much may wait unsent, if there is a limit.
    #[inline]
    pub(super) fn unsent(&self) -> Option<&Unsent> {
        self.0.as_ref()?.unsent.as_ref()
    }

    pub(super) fn unsent_mut(&mut self) -> Option<&mut Unsent> {
        self.0.as_mut()?.unsent.as_mut()
    }

    pub(super) fn set_unsent(&mut self, unsent: Option<Unsent>) {
        self.change(|held| held.unsent = unsent);
    }

    /// Most bytes in a segment, either way, if that was said before the handshake.
    pub(super) fn max_segment_size(&self) -> Option<u16> {
        self.0.as_ref()?.max_segment_size
    }

    pub(super) fn set_max_segment_size(&mut self, size: Option<u16>) {
        if size != self.max_segment_size() {
            self.change(|held| held.max_segment_size = size);
        }
    }

    /// How often our SYN may be sent again, if that was said.
    pub(super) fn syn_retries(&self) -> Option<u8> {
        self.0.as_ref()?.syn_retries
    }

    pub(super) fn set_syn_retries(&mut self, retries: Option<u8>) {
        if retries != self.syn_retries() {
            self.change(|held| held.syn_retries = retries);
        }
    }

    /// The user timeout that the application has set; zero if none.
    pub(super) fn user_timeout_ms(&self) -> u32 {
        self.0.as_ref().map_or(0, |held| held.user_timeout_ms)
    }

    pub(super) fn set_user_timeout_ms(&mut self, span: u32) {
        self.change(|held| held.user_timeout_ms = span);
    }

    fn change(&mut self, change: impl FnOnce(&mut Held)) {
        change(self.0.get_or_insert_default());
        self.shrink();
    }

    fn shrink(&mut self) {
        self.0.take_if(|held| held.is_empty());
    }
}
