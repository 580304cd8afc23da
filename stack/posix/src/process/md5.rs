//! `TCP_MD5SIG` and `TCP_MD5SIG_EXT`: keys of peers, as `struct tcp_md5sig` of Linux has them (linux/tcp.h).

use std::ffi::c_int;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::RawFd;

use darner::{Ipv4Prefix, TcpMd5Key};
use rustix::io::Errno;

use super::Process;
use super::socket::Kind;

/// The options that set keys.
pub(super) const NAMES: [c_int; 2] = [TCP_MD5SIG, TCP_MD5SIG_EXT];

impl Process {
    /// Sets the key of a peer, or takes it away if it is empty.
    pub(super) fn set_md5_key(
        &mut self,
        fd: RawFd,
        name: c_int,
        value: &[u8],
    ) -> Result<(), Errno> {
        let (peer, key) = read(name, value)?;
        let (machine, socket) = self.parts(fd)?;
        if let Kind::Deferred(_) = socket.kind {
            // It has said that it will begin with a cookie.
            return Err(Errno::INVAL);
        }
        if key.is_empty() {
            if !socket.keys.remove_md5(peer) {
                return Err(Errno::NOENT);
            }
        } else {
            let key = TcpMd5Key::new(peer, key).map_err(|_| Errno::INVAL)?;
            socket.keys.add_md5(key).map_err(|_| Errno::INVAL)?;
        }
        let keys = &socket.keys;
        match &socket.kind {
            Kind::Stream { stream, .. } => machine.with_core(|_| stream.control().set_keys(keys)),
            Kind::Listener { listener, .. } => machine.with_core(|_| listener.set_keys(keys)),
            Kind::Fresh | Kind::Deferred(_) => {}
        }
        Ok(())
    }
}

/// The peer and the key. The address is a `sockaddr_storage`; flags, prefix length, key length and interface follow, then the key.
fn read(name: c_int, value: &[u8]) -> Result<(Ipv4Prefix, &[u8]), Errno> {
    let Some((address, rest)) = value.split_first_chunk::<STORAGE_LEN>() else {
        return Err(Errno::INVAL);
    };
    let [flags, prefix_len, len @ .., _, _, _, _] = *rest.first_chunk::<8>().ok_or(Errno::INVAL)?;
    let key = rest.get(8..8 + KEY_ROOM).ok_or(Errno::INVAL)?;
    let key = key.get(..u16::from_ne_bytes(len).into()).ok_or(Errno::INVAL)?;
    let peer = peer(address)?;
    if name == TCP_MD5SIG || flags & TCP_MD5SIG_FLAG_PREFIX == 0 {
        return Ok((peer.into(), key));
    }
    let prefix = Ipv4Prefix::new(peer, prefix_len).map_err(|_| Errno::INVAL)?;
    Ok((prefix, key))
}

/// What stands in a `sockaddr_in`, or mapped in a `sockaddr_in6`. A prefix of the latter has at most 32 bits too.
fn peer(address: &[u8; STORAGE_LEN]) -> Result<Ipv4Addr, Errno> {
    let [f0, f1, _, _, a, b, c, d, rest @ ..] = *address;
    match (c_int::from(u16::from_ne_bytes([f0, f1])), rest.first_chunk()) {
        (libc::AF_INET, _) => Ok(Ipv4Addr::new(a, b, c, d)),
        (libc::AF_INET6, Some(&octets)) => {
            let octets: [u8; 16] = octets;
            Ipv6Addr::from(octets).to_ipv4_mapped().ok_or(Errno::AFNOSUPPORT)
        }
        _ => Err(Errno::INVAL),
    }
}

const TCP_MD5SIG: c_int = 14;
const TCP_MD5SIG_EXT: c_int = 32;
const TCP_MD5SIG_FLAG_PREFIX: u8 = 1;
/// A `sockaddr_storage`.
const STORAGE_LEN: usize = 128;
/// `tcpm_key`.
const KEY_ROOM: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn md5sig(flags: u8, prefix_len: u8, len: u16) -> Vec<u8> {
        let mut bytes = vec![0; STORAGE_LEN + 8 + KEY_ROOM];
        bytes[..2].copy_from_slice(&2_u16.to_ne_bytes());
        bytes[4..8].copy_from_slice(&[192, 0, 2, 9]);
        bytes[STORAGE_LEN..][..2].copy_from_slice(&[flags, prefix_len]);
        bytes[STORAGE_LEN + 2..][..2].copy_from_slice(&len.to_ne_bytes());
        bytes[STORAGE_LEN + 8..][..3].copy_from_slice(b"key");
        bytes
    }

    #[test]
    fn a_key_is_for_an_address_or_a_prefix() {
        let address: Ipv4Prefix = Ipv4Addr::new(192, 0, 2, 9).into();
        let prefix = Ipv4Prefix::new(Ipv4Addr::new(192, 0, 2, 9), 24).unwrap();
        assert_eq!(read(TCP_MD5SIG, &md5sig(1, 24, 3)), Ok((address, &b"key"[..])));
        assert_eq!(read(TCP_MD5SIG_EXT, &md5sig(0, 24, 3)), Ok((address, &b"key"[..])));
        assert_eq!(read(TCP_MD5SIG_EXT, &md5sig(1, 24, 3)), Ok((prefix, &b"key"[..])));
        assert_eq!(read(TCP_MD5SIG_EXT, &md5sig(1, 33, 3)), Err(Errno::INVAL));
        assert_eq!(read(TCP_MD5SIG, &md5sig(0, 0, 81)), Err(Errno::INVAL));
        assert_eq!(read(TCP_MD5SIG, &md5sig(0, 0, 3)[..215]), Err(Errno::INVAL));
        let mut other = md5sig(0, 0, 3);
        other[..2].copy_from_slice(&1_u16.to_ne_bytes());
        assert_eq!(read(TCP_MD5SIG, &other), Err(Errno::INVAL));
    }

    #[test]
    fn the_peer_may_be_mapped_into_ipv6() {
        let peer = Ipv4Addr::new(192, 0, 2, 9);
        let mut six = md5sig(1, 24, 3);
        six[..2].copy_from_slice(&10_u16.to_ne_bytes());
        six[4..8].fill(7);
        six[8..24].copy_from_slice(&peer.to_ipv6_mapped().octets());
        assert_eq!(read(TCP_MD5SIG, &six), Ok((peer.into(), &b"key"[..])));
        let prefix = Ipv4Prefix::new(peer, 24).unwrap();
        assert_eq!(read(TCP_MD5SIG_EXT, &six), Ok((prefix, &b"key"[..])));
        six[8] = 0x20;
        assert_eq!(read(TCP_MD5SIG, &six), Err(Errno::AFNOSUPPORT));
    }
}
