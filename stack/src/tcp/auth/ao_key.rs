//! Master key tuples of TCP-AO (RFC 5925, section 3.1) as whoever configures them has them.

use std::fmt;

use super::keys::{BadTcpKey, Secret, whole_network};
use crate::ip::Ipv4Prefix;

/// A key of TCP-AO: what RFC 5925 calls a master key tuple. The keys that sign are derived from it for each connection.
///
/// Several keys for one peer differ in their ids. The one that was added first signs first; which one later, the ends agree on by
/// themselves ([`Control::set_next_ao_key`](crate::Control::set_next_ao_key)).
#[derive(Clone, Eq, PartialEq)]
pub struct TcpAoKey {
    peer: Ipv4Prefix,
    send_id: u8,
    recv_id: u8,
    algorithm: TcpAoAlgorithm,
    options: TcpAoOptions,
    secret: Secret,
}

/// How keys are derived and segments signed: the two of RFC 5926 that every implementation has.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TcpAoAlgorithm {
    /// `KDF_HMAC_SHA1` and `HMAC-SHA-1-96`.
    #[default]
    HmacSha1,
    /// `KDF_AES_128_CMAC` and `AES-128-CMAC-96`.
    Aes128Cmac,
}

/// Whether the other options of a segment are signed too.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TcpAoOptions {
    /// They are.
    #[default]
    Covered,
    /// They are not, for paths on which somebody changes them.
    Excluded,
}

impl TcpAoKey {
    /// Most bytes of a key, as in Linux (`TCP_AO_MAXKEYLEN`).
    pub const MAX_LEN: usize = 80;

    /// A key for one peer, given by its address, or for all of a network. Segments to it have `send_id`, and those from it `recv_id`: the peer's
    /// key has them the other way round.
    ///
    /// # Errors
    ///
    /// [`BadTcpKey::Length`] for one that is empty or too long.
    pub fn new(
        peer: impl Into<Ipv4Prefix>,
        (send_id, recv_id): (u8, u8),
        algorithm: TcpAoAlgorithm,
        key: &[u8],
    ) -> Result<Self, BadTcpKey> {
        if key.is_empty() || key.len() > Self::MAX_LEN {
            return Err(BadTcpKey::Length);
        }
        let (peer, secret) = (whole_network(peer.into()), Secret::new(key));
        Ok(Self { peer, send_id, recv_id, algorithm, options: TcpAoOptions::Covered, secret })
    }

    /// The same for a path on which options may be changed.
    #[must_use]
    pub fn excluding_options(self) -> Self {
        Self { options: TcpAoOptions::Excluded, ..self }
    }

    /// Whom it is for.
    pub fn peer(&self) -> Ipv4Prefix {
        self.peer
    }

    /// The KeyID of segments that we sign with it.
    pub fn send_id(&self) -> u8 {
        self.send_id
    }

    /// The KeyID of segments that the peer signs with it.
    pub fn recv_id(&self) -> u8 {
        self.recv_id
    }

    /// How it signs.
    pub fn algorithm(&self) -> TcpAoAlgorithm {
        self.algorithm
    }

    /// Whether it signs the other options.
    pub fn options(&self) -> TcpAoOptions {
        self.options
    }

    pub(super) fn secret(&self) -> &[u8] {
        self.secret.as_bytes()
    }
}

impl fmt::Debug for TcpAoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpAoKey")
            .field("peer", &self.peer)
            .field("send_id", &self.send_id)
            .field("recv_id", &self.recv_id)
            .field("algorithm", &self.algorithm)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
