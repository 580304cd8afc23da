//! TCP MD5 (RFC 2385): a digest of addresses, header, payload and key.

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::covered::Covered;
use super::keys::Secret;
use crate::drops::Drop;
use crate::wire::tcp_options::MD5_DIGEST_LEN;

/// Section 2.0: the pseudo header, the header without options and checksum, the payload, the key.
pub(super) fn digest(secret: &Secret, segment: &Covered<'_>) -> [u8; MD5_DIGEST_LEN] {
    let mut md5 = Md5::new();
    md5.update(segment.pseudo_header());
    md5.update(segment.fixed_header());
    segment.payload(|bytes| md5.update(bytes));
    md5.update(secret.as_bytes());
    md5.finalize().into()
}

/// Whether a segment that has the option was signed with this key.
pub(super) fn verify(secret: &Secret, segment: &Covered<'_>) -> Result<(), Drop> {
    let theirs = segment.auth_data().and_then(|data| data.get(..MD5_DIGEST_LEN));
    let genuine = theirs.is_some_and(|theirs| digest(secret, segment).ct_eq(theirs).into());
    if genuine { Ok(()) } else { Err(Drop::TcpMd5Wrong) }
}
