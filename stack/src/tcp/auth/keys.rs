//! Keys as whoever configures them has them: for a peer, or for all of a network. Those of TCP-AO are in [`ao_key`](super::ao_key).

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::ao_key::TcpAoKey;
use crate::ip::Ipv4Prefix;
use crate::wire::tcp_options::AuthKind;

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
        Ok(Self { peer: whole_network(peer.into()), secret: Secret::new(key) })
    }

    /// Whom it is for.
    pub fn peer(&self) -> Ipv4Prefix {
        self.peer
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }
}

/// The keys of a listener or a connection. Of those of MD5 that for the smallest network counts that the peer is in; of those of TCP-AO all that are for
/// it. No peer has keys of both kinds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TcpKeys {
    md5: Vec<TcpMd5Key>,
    ao: Vec<TcpAoKey>,
}

impl TcpKeys {
    /// None.
    pub const NONE: Self = Self { md5: Vec::new(), ao: Vec::new() };

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.md5.is_empty() && self.ao.is_empty()
    }

    /// Adds a key of MD5, in place of the one for the same peer or network if there is one.
    ///
    /// # Errors
    ///
    /// [`BadTcpKey::OtherKind`] if a peer that it is for has a key of TCP-AO.
    pub fn add_md5(&mut self, key: TcpMd5Key) -> Result<(), BadTcpKey> {
        if self.ao.iter().any(|other| overlap(other.peer(), key.peer)) {
            return Err(BadTcpKey::OtherKind);
        }
        self.remove_md5(key.peer);
        self.md5.push(key);
        Ok(())
    }

    /// Adds a key of TCP-AO.
    ///
    /// # Errors
    ///
    /// [`BadTcpKey::OtherKind`] if a peer that it is for has a key of MD5, [`BadTcpKey::SameId`] if one has a key of TCP-AO with one of the two ids
    /// (RFC 5925, section 3.1).
    pub fn add_ao(&mut self, key: TcpAoKey) -> Result<(), BadTcpKey> {
        if self.md5.iter().any(|other| overlap(other.peer, key.peer())) {
            return Err(BadTcpKey::OtherKind);
        }
        let same_id =
            |other: &TcpAoKey| other.send_id() == key.send_id() || other.recv_id() == key.recv_id();
        let mut others = self.ao.iter().filter(|other| overlap(other.peer(), key.peer()));
        if others.any(same_id) {
            return Err(BadTcpKey::SameId);
        }
        self.ao.push(key);
        Ok(())
    }

    /// Removes the key of TCP-AO for exactly this peer or network that has this SendID, and returns whether there was one.
    pub fn remove_ao(&mut self, peer: impl Into<Ipv4Prefix>, send_id: u8) -> bool {
        let (peer, before) = (whole_network(peer.into()), self.ao.len());
        self.ao.retain(|key| key.peer() != peer || key.send_id() != send_id);
        self.ao.len() < before
    }

    /// Removes the key of MD5 for exactly this peer or network, and returns whether there was one.
    pub fn remove_md5(&mut self, peer: impl Into<Ipv4Prefix>) -> bool {
        let (peer, before) = (whole_network(peer.into()), self.md5.len());
        self.md5.retain(|key| key.peer != peer);
        self.md5.len() < before
    }

    /// The keys of TCP-AO for a peer, in the order in which they were added.
    pub(super) fn ao_for(&self, peer: Ipv4Addr) -> impl Iterator<Item = &TcpAoKey> {
        self.ao.iter().filter(move |key| key.peer().contains(peer))
    }

    /// What segments of a peer are to be signed by.
    pub(in crate::tcp) fn kind_for(&self, peer: Ipv4Addr) -> Option<AuthKind> {
        let ao = self.ao_for(peer).next().map(|_| AuthKind::Ao);
        self.md5_for(peer).map(|_| AuthKind::Md5).or(ao)
    }

    /// The key of MD5 for a peer.
    pub(super) fn md5_for(&self, peer: Ipv4Addr) -> Option<&TcpMd5Key> {
        self.md5.iter().filter(|key| key.peer.contains(peer)).max_by_key(|key| key.peer.len())
    }
}

impl From<TcpMd5Key> for TcpKeys {
    fn from(key: TcpMd5Key) -> Self {
        Self { md5: vec![key], ..Self::NONE }
    }
}

impl From<TcpAoKey> for TcpKeys {
    fn from(key: TcpAoKey) -> Self {
        Self { ao: vec![key], ..Self::NONE }
    }
}

/// Why something cannot be a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadTcpKey {
    /// The length of the key.
    #[error("a key has 1 to 80 bytes")]
    Length,
    /// The peer has keys of MD5 and of TCP-AO.
    #[error("a peer has keys of MD5 or of TCP-AO: remove the other kind first")]
    OtherKind,
    /// Another key of the peer has the same id.
    #[error("the keys of a peer differ in both of their ids")]
    SameId,
}

/// Bytes that are shared, neither shown nor compared in a time that tells them, and wiped when nobody has them any more.
#[derive(Clone)]
pub(in crate::tcp) struct Secret(Arc<Zeroizing<Box<[u8]>>>);

impl Secret {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.into())))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for TcpMd5Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpMd5Key").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// Whether some peer is in both.
fn overlap(one: Ipv4Prefix, other: Ipv4Prefix) -> bool {
    one.contains(other.address()) || other.contains(one.address())
}

/// Two prefixes of one network are the same.
pub(super) fn whole_network(prefix: Ipv4Prefix) -> Ipv4Prefix {
    Ipv4Prefix::new(prefix.network(), prefix.len()).unwrap_or(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::auth::TcpAoAlgorithm;

    fn key(peer: &str, key: &str) -> TcpMd5Key {
        TcpMd5Key::new(peer.parse::<Ipv4Prefix>().unwrap(), key.as_bytes()).unwrap()
    }

    #[test]
    fn the_smallest_network_that_the_peer_is_in_counts() {
        let mut keys = TcpKeys::NONE;
        for (peer, secret) in [("10.0.0.0/8", "8"), ("10.1.0.0/16", "16"), ("10.1.1.1/32", "32")] {
            keys.add_md5(key(peer, secret)).unwrap();
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
        keys.add_md5(key("10.1.9.9/16", "new")).unwrap();
        assert_eq!(found(&keys, [10, 1, 1, 2]).as_deref(), Some("new"));
        assert!(keys.remove_md5(Ipv4Addr::new(10, 1, 1, 1)));
        assert!(!keys.remove_md5(Ipv4Addr::new(10, 1, 1, 1)));
        assert_eq!(found(&keys, [10, 1, 1, 1]).as_deref(), Some("new"));
    }

    #[test]
    fn a_peer_has_one_kind_of_keys_with_ids_of_their_own() {
        let ao = |peer: &str, ids| {
            let peer: Ipv4Prefix = peer.parse().unwrap();
            TcpAoKey::new(peer, ids, TcpAoAlgorithm::HmacSha1, b"k").unwrap()
        };
        let mut keys = TcpKeys::from(key("10.1.0.0/16", "md5"));
        assert_eq!(keys.add_ao(ao("10.1.2.3/32", (1, 2))), Err(BadTcpKey::OtherKind));
        assert_eq!(keys.add_ao(ao("10.0.0.0/8", (1, 2))), Err(BadTcpKey::OtherKind));
        keys.add_ao(ao("10.2.0.0/16", (1, 2))).unwrap();
        assert_eq!(keys.add_md5(key("10.2.9.9/32", "md5")), Err(BadTcpKey::OtherKind));
        for ids in [(1, 3), (3, 2)] {
            assert_eq!(keys.add_ao(ao("10.2.0.7/32", ids)), Err(BadTcpKey::SameId));
        }
        keys.add_ao(ao("10.2.0.7/32", (2, 1))).unwrap();
        keys.add_ao(ao("10.3.0.0/16", (1, 2))).unwrap();
        let ids =
            |peer: [u8; 4]| keys.ao_for(peer.into()).map(TcpAoKey::send_id).collect::<Vec<_>>();
        assert_eq!((ids([10, 2, 0, 7]), ids([10, 2, 0, 8])), (vec![1, 2], vec![1]));
        assert!(keys.remove_ao("10.2.9.9/16".parse::<Ipv4Prefix>().unwrap(), 1));
        assert_eq!(keys.ao_for([10, 2, 0, 8].into()).count(), 0);
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
