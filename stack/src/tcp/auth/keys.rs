//! Keys as whoever configures them has them: for a peer, or for all of a network.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::ip::Ipv4Prefix;

/// A key of TCP MD5 (RFC 2385), which protects sessions of BGP: every segment to and from the peer is signed with it.
///
/// RFC 5925 has made it obsolete, but not every router knows better.
#[derive(Clone, Eq, PartialEq)]
pub struct TcpMd5Key {
    peer: Ipv4Prefix,
    secret: Secret,
}

impl TcpMd5Key {
    /// Most bytes of a key, as in Linux (`TCP_MD5SIG_MAXKEYLEN`).
    pub const MAX_LEN: usize = 80;

    /// A key for one peer, given by its address, or for all of a network.
    ///
    /// # Errors
    ///
    /// [`BadTcpKey::Length`] for one that is empty or too long.
    pub fn new(peer: impl Into<Ipv4Prefix>, key: &[u8]) -> Result<Self, BadTcpKey> {
        if key.is_empty() || key.len() > Self::MAX_LEN {
            return Err(BadTcpKey::Length);
        }
        Ok(Self { peer: whole_network(peer.into()), secret: Secret(key.into()) })
    }

    /// Whom it is for.
    pub fn peer(&self) -> Ipv4Prefix {
        self.peer
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }
}

/// The keys of a listener or a connection. Where several are for one peer, that for the smallest network counts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TcpKeys {
    md5: Vec<TcpMd5Key>,
}

impl TcpKeys {
    /// None.
    pub const NONE: Self = Self { md5: Vec::new() };

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.md5.is_empty()
    }

    /// Adds a key, in place of the one for the same peer or network if there is one.
    pub fn add_md5(&mut self, key: TcpMd5Key) {
        self.remove_md5(key.peer);
        self.md5.push(key);
    }

    /// Removes the key for exactly this peer or network, and returns whether there was one.
    pub fn remove_md5(&mut self, peer: impl Into<Ipv4Prefix>) -> bool {
        let (peer, before) = (whole_network(peer.into()), self.md5.len());
        self.md5.retain(|key| key.peer != peer);
        self.md5.len() < before
    }

    /// The key of MD5 for a peer.
    pub(super) fn md5_for(&self, peer: Ipv4Addr) -> Option<&TcpMd5Key> {
        self.md5.iter().filter(|key| key.peer.contains(peer)).max_by_key(|key| key.peer.len())
    }
}

impl From<TcpMd5Key> for TcpKeys {
    fn from(key: TcpMd5Key) -> Self {
        Self { md5: vec![key] }
    }
}

/// Why something cannot be a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadTcpKey {
    /// The length of the key.
    #[error("a key has 1 to 80 bytes")]
    Length,
}

/// Bytes that are shared, and neither shown nor compared in a time that tells them.
#[derive(Clone)]
pub(in crate::tcp) struct Secret(Arc<[u8]>);

impl Secret {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for TcpMd5Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpMd5Key").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Two prefixes of one network are the same.
fn whole_network(prefix: Ipv4Prefix) -> Ipv4Prefix {
    Ipv4Prefix::new(prefix.network(), prefix.len()).unwrap_or(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(peer: &str, key: &str) -> TcpMd5Key {
        TcpMd5Key::new(peer.parse::<Ipv4Prefix>().unwrap(), key.as_bytes()).unwrap()
    }

    #[test]
    fn the_smallest_network_that_the_peer_is_in_counts() {
        let mut keys = TcpKeys::NONE;
        for (peer, secret) in [("10.0.0.0/8", "8"), ("10.1.0.0/16", "16"), ("10.1.1.1/32", "32")] {
            keys.add_md5(key(peer, secret));
        }
        let found = |keys: &TcpKeys, peer: [u8; 4]| {
            let found = keys.md5_for(peer.into());
            found.map(|key| String::from_utf8(key.secret().as_bytes().to_vec()).unwrap())
        };
        assert_eq!(found(&keys, [10, 1, 1, 1]).as_deref(), Some("32"));
        assert_eq!(found(&keys, [10, 1, 1, 2]).as_deref(), Some("16"));
        assert_eq!(found(&keys, [10, 2, 1, 1]).as_deref(), Some("8"));
        assert_eq!(found(&keys, [11, 1, 1, 1]), None);
        // The same network, written otherwise.
        keys.add_md5(key("10.1.9.9/16", "new"));
        assert_eq!(found(&keys, [10, 1, 1, 2]).as_deref(), Some("new"));
        assert!(keys.remove_md5(Ipv4Addr::new(10, 1, 1, 1)));
        assert!(!keys.remove_md5(Ipv4Addr::new(10, 1, 1, 1)));
        assert_eq!(found(&keys, [10, 1, 1, 1]).as_deref(), Some("new"));
    }

    #[test]
    fn keys_have_a_length_and_are_not_shown() {
        let peer = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(TcpMd5Key::new(peer, b""), Err(BadTcpKey::Length));
        assert_eq!(TcpMd5Key::new(peer, &[1; 81]), Err(BadTcpKey::Length));
        let longest = TcpMd5Key::new(peer, &[b'%'; 80]).unwrap();
        assert!(!format!("{longest:?}").contains('%'), "{longest:?}");
        assert_ne!(key("10.0.0.1/32", "a"), key("10.0.0.1/32", "b"));
    }
}
