//! TCP-AO's arithmetic: traffic keys from a master key (RFC 5925, section 5.2; RFC 5926, section 3.1), and MACs under them (sections 5.1 and 3.2).

use aes::Aes128;
use cmac::Cmac;
use hmac::{Hmac, KeyInit, Mac as _};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::ao_key::{TcpAoAlgorithm, TcpAoKey, TcpAoOptions};
use super::covered::Covered;
use crate::demux::FlowKey4;
use crate::tcp::seq::Seq;
use crate::wire::tcp_options::{AO_MAC_LEN, AuthKind, MAX_LEN};

/// A traffic key, ready to sign with. It is wiped when it is dropped.
#[derive(Clone)]
pub(super) enum TrafficKey {
    Sha1(Hmac<Sha1>),
    Cmac(Box<Cmac<Aes128>>),
}

/// Which way the segments go that a traffic key is for: it is derived from their source before their destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    Sent,
    Received,
}

impl TrafficKey {
    /// For one direction of a connection. The numbers are the ISNs of the sender and of the receiver, which is zero while it is not known: for a
    /// SYN without ACK.
    pub(super) fn derive(
        key: &TcpAoKey,
        flow: &FlowKey4,
        way: Direction,
        numbers: (Seq, Seq),
    ) -> Self {
        let context = context(flow, way, numbers);
        match key.algorithm() {
            TcpAoAlgorithm::HmacSha1 => {
                let master = hmac_sha1(key.secret());
                let derived = master.chain_update(input(&context, 160)).finalize().into_bytes();
                Self::Sha1(hmac_sha1(Zeroizing::<[u8; 20]>::new(derived.into()).as_ref()))
            }
            TcpAoAlgorithm::Aes128Cmac => {
                let master = aes_cmac(&sixteen_bytes(key.secret()));
                let derived = master.chain_update(input(&context, 128)).finalize().into_bytes();
                Self::Cmac(Box::new(aes_cmac(&Zeroizing::new(derived.into()))))
            }
        }
    }

    /// The MAC of a segment whose number has this extension (section 5.1).
    pub(super) fn mac(
        &self,
        extension: u32,
        segment: &Covered<'_>,
        options: TcpAoOptions,
    ) -> [u8; AO_MAC_LEN] {
        match self {
            Self::Sha1(key) => {
                let mut mac = key.clone();
                feed(extension, segment, options, |bytes| mac.update(bytes));
                first_bytes(&mac.finalize().into_bytes())
            }
            Self::Cmac(key) => {
                let mut mac = Cmac::clone(key);
                feed(extension, segment, options, |bytes| mac.update(bytes));
                first_bytes(&mac.finalize().into_bytes())
            }
        }
    }

    /// Whether a segment has the MAC that it must have.
    pub(super) fn has_signed(
        &self,
        extension: u32,
        segment: &Covered<'_>,
        options: TcpAoOptions,
    ) -> bool {
        let theirs = segment.auth_data().and_then(|data| data.get(IDS_LEN..IDS_LEN + AO_MAC_LEN));
        let ours = self.mac(extension, segment, options);
        theirs.is_some_and(|theirs| ours.ct_eq(theirs).into())
    }
}

/// Section 5.1: the extension, the pseudo header, the header with its options or with TCP-AO alone, its MAC as zeros, and the payload.
fn feed(
    extension: u32,
    segment: &Covered<'_>,
    options: TcpAoOptions,
    mut update: impl FnMut(&[u8]),
) {
    update(&extension.to_be_bytes());
    update(&segment.pseudo_header());
    update(segment.fixed_header());
    let mut zeroed = [0; MAX_LEN];
    let (start, all) = segment.options();
    if let Some(copy) = zeroed.get_mut(..all.len()) {
        copy.copy_from_slice(all);
        let option = start..start + AuthKind::Ao.encoded_len();
        if let Some(mac) = copy.get_mut(option.end - AO_MAC_LEN..option.end) {
            mac.fill(0);
        }
        let range = if options == TcpAoOptions::Covered { 0..all.len() } else { option };
        update(copy.get(range).unwrap_or_default());
    }
    segment.payload(update);
}

/// The addresses and ports of the connection, the sender's before the receiver's, and the ISNs (section 5.2).
fn context(flow: &FlowKey4, way: Direction, (sender, receiver): (Seq, Seq)) -> [u8; 20] {
    let ours = (flow.local.octets(), flow.local_port.to_be_bytes());
    let theirs = (flow.remote.octets(), flow.remote_port.to_be_bytes());
    let (source, destination) = match way {
        Direction::Sent => (ours, theirs),
        Direction::Received => (theirs, ours),
    };
    let mut context = [0; 20];
    context[..4].copy_from_slice(&source.0);
    context[4..8].copy_from_slice(&destination.0);
    context[8..10].copy_from_slice(&source.1);
    context[10..12].copy_from_slice(&destination.1);
    context[12..16].copy_from_slice(&sender.0.to_be_bytes());
    context[16..].copy_from_slice(&receiver.0.to_be_bytes());
    context
}

/// What the key derivation functions take: a counter, a label, the context, and how many bits are wanted (RFC 5926, section 3.1.1).
fn input(context: &[u8; 20], bits: u16) -> [u8; 29] {
    let mut input = [0; 29];
    input[0] = 1;
    input[1..7].copy_from_slice(b"TCP-AO");
    input[7..27].copy_from_slice(context);
    input[27..].copy_from_slice(&bits.to_be_bytes());
    input
}

fn hmac_sha1(key: &[u8]) -> Hmac<Sha1> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

fn aes_cmac(key: &[u8; 16]) -> Cmac<Aes128> {
    Cmac::new(key.into())
}

/// A master key of another length than AES has (RFC 5926, section 3.1.1.2).
fn sixteen_bytes(secret: &[u8]) -> Zeroizing<[u8; 16]> {
    Zeroizing::new(match secret.try_into() {
        Ok(key) => key,
        Err(_) => aes_cmac(&[0; 16]).chain_update(secret).finalize().into_bytes().into(),
    })
}

fn first_bytes(mac: &[u8]) -> [u8; AO_MAC_LEN] {
    mac.first_chunk().copied().unwrap_or_default()
}

/// KeyID and RNextKeyID.
pub(super) const IDS_LEN: usize = 2;

#[cfg(test)]
mod tests {
    use zeroize::ZeroizeOnDrop;

    use super::*;

    /// What HMAC, CMAC and the digest of TCP MD5 are made of: the crates wipe what they hold only where their feature is on.
    #[test]
    fn what_is_derived_of_a_secret_is_wiped_as_it_is() {
        fn is_wiped<T: ZeroizeOnDrop>() {}
        is_wiped::<Sha1>();
        is_wiped::<Aes128>();
        is_wiped::<cmac::block_api::CmacCore<Aes128>>();
        is_wiped::<md5::Md5>();
    }
}
