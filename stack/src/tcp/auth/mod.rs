//! Segments that are signed with a key that both ends have: TCP MD5 (RFC 2385).
//!
//! [`keys`] are what applications configure; [`covered`] is what of a segment is signed, and [`md5`] how. [`arrive`] judges what comes, before
//! anything else looks at it: for connections here, for all others in [`strangers`]. What leaves is signed where its frame is made
//! ([`send_segment`](super::emit::send_segment)).

mod arrive;
mod change;
mod covered;
mod keys;
mod late;
mod md5;
mod strangers;

pub use keys::{BadTcpKey, TcpKeys, TcpMd5Key};
pub(super) use late::LateAuths;

use std::net::Ipv4Addr;

use covered::Covered;
use keys::Secret;

use super::connection::Connection;
use crate::demux::FlowKey4;
use crate::wire::tcp::HEADER_LEN;
use crate::wire::tcp_options::{AuthKind, auth_data_at};

/// What the segments of a connection are signed with, both ways.
pub(super) enum Auth {
    Md5(Secret),
}

/// What a segment was found to be signed with, or what those of a handshake are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Signing {
    #[default]
    None,
    Md5,
}

/// What signs one segment.
#[derive(Clone, Copy)]
pub(super) enum Signer<'a> {
    Md5(&'a Secret),
}

impl Auth {
    /// What segments to and from a peer are signed with.
    pub(super) fn for_peer(keys: &TcpKeys, peer: Ipv4Addr) -> Option<Self> {
        keys.md5_for(peer).map(|key| Self::Md5(key.secret().clone()))
    }

    pub(super) fn kind(&self) -> AuthKind {
        self.signer().kind()
    }

    fn signing(&self) -> Signing {
        match self {
            Self::Md5(_) => Signing::Md5,
        }
    }

    pub(super) fn signer(&self) -> Signer<'_> {
        match self {
            Self::Md5(secret) => Signer::Md5(secret),
        }
    }
}

#[cfg(test)]
impl Auth {
    /// Whether a segment that was sent on `flow` has a good signature.
    pub(super) fn has_signed(&self, flow: &FlowKey4, header: &[u8], payload: &[u8]) -> bool {
        let Self::Md5(secret) = self;
        Covered::sent(flow, header, payload).is_some_and(|bytes| md5::is_genuine(secret, &bytes))
    }
}

impl Signer<'_> {
    /// The option that the segment must have for it.
    pub(super) fn kind(self) -> AuthKind {
        match self {
            Self::Md5(_) => AuthKind::Md5,
        }
    }

    /// Fills the option of a segment that is complete but for its checksum.
    #[cold]
    pub(super) fn sign(self, flow: &FlowKey4, header: &mut [u8], payload: &[u8]) {
        let Self::Md5(secret) = self;
        let digest = Covered::sent(flow, header, payload).map(|bytes| md5::digest(secret, &bytes));
        let options = header.get_mut(HEADER_LEN..).unwrap_or_default();
        let at = auth_data_at(options).and_then(|at| options.get_mut(at..)?.first_chunk_mut());
        debug_assert!(at.is_some(), "no room for a signature");
        if let Some((place, digest)) = at.zip(digest) {
            *place = digest;
        }
    }
}

impl Connection {
    /// What its segments are signed with.
    #[inline]
    pub(super) fn auth(&self) -> Option<&Auth> {
        self.rare.as_deref().and_then(|rare| rare.auth())
    }

    /// The bytes that signing takes from every segment.
    pub(super) fn auth_len(&self) -> usize {
        self.auth().map_or(0, |auth| auth.kind().encoded_len())
    }
}

#[cfg(test)]
mod tests;
