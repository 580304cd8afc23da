//! A server's cookies: a hash of both addresses under a secret (RFC 7413, section 4.1.2).

use std::hash::Hasher;
use std::net::Ipv4Addr;

use siphasher::sip::SipHasher24;

use crate::wire::tcp_options::FastOpenCookie;

/// The secret. Servers that share it, Linux among them, take each other's cookies.
pub(in crate::tcp) struct CookieKey(SipHasher24);

impl CookieKey {
    /// `key`, or else one that follows from a secret of the core's.
    pub(in crate::tcp) fn new(key: Option<[u8; 16]>, secret: [u64; 2]) -> Self {
        let derived = |label: &[u8]| SipHasher24::new_with_keys(secret[0], secret[1]).hash(label);
        Self(match key {
            Some(key) => SipHasher24::new_with_key(&key),
            None => SipHasher24::new_with_keys(derived(b"fast open 0"), derived(b"fast open 1")),
        })
    }

    /// The cookie that shows that `client` has heard from `server`.
    pub(super) fn cookie(&self, client: Ipv4Addr, server: Ipv4Addr) -> FastOpenCookie {
        let mut hasher = self.0;
        hasher.write(&client.octets());
        hasher.write(&server.octets());
        FastOpenCookie::new(&hasher.finish().to_le_bytes()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_key_each_core_has_its_own() {
        let addresses = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 168, 0, 1));
        let cookie = |secret| CookieKey::new(None, secret).cookie(addresses.0, addresses.1);
        assert_eq!(cookie([1, 2]), cookie([1, 2]));
        assert_ne!(cookie([1, 2]), cookie([1, 3]));
    }

    /// What Linux hands out, from the key as `net.ipv4.tcp_fastopen_key` has it.
    #[test]
    fn cookies_are_those_of_linux() {
        let words = [0xa1a1_a1a1_u32, 0xb2b2_b2b2, 0xc3c3_c3c3, 0xd4d4_d4d4];
        let mut key = [0; 16];
        for (bytes, word) in key.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let key = CookieKey::new(Some(key), [0; 2]);
        let cookie = key.cookie(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 168, 0, 1));
        assert_eq!(format!("{cookie:?}"), "3021b9d889017eeb");
    }
}
