//! The options that sign a segment: MD5 (RFC 2385) and TCP-AO (RFC 5925, section 2.2).
//!
//! What is parsed of them is that they are there. Their content is judged over the bytes as they came, by whoever has the key.

use super::{Cursor, NO_OPERATION};

/// Which of the two a segment has. Written, it is room that a signer fills.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AuthKind {
    Md5,
    Ao,
    /// More than one, or one whose length no algorithm here has. It is never written.
    Malformed,
}

impl AuthKind {
    /// What an option of this kind is, if it is one of these.
    pub(super) fn of(kind: u8, data: &[u8]) -> Option<Self> {
        match (kind, data.len()) {
            (MD5, MD5_DIGEST_LEN) => Some(Self::Md5),
            (AO, AO_DATA_LEN) => Some(Self::Ao),
            (MD5 | AO, _) => Some(Self::Malformed),
            _ => None,
        }
    }

    /// Bytes that it takes, with the no-operations before it that make whole words.
    pub(crate) const fn encoded_len(self) -> usize {
        match self {
            Self::Md5 => 4 + MD5_DIGEST_LEN,
            Self::Ao => 2 + AO_DATA_LEN,
            Self::Malformed => 0,
        }
    }

    /// Writes the option with nothing in it. As in Linux it comes first.
    pub(super) fn emit(self, out: &mut Cursor<'_>) {
        match self {
            Self::Md5 => out.put([NO_OPERATION, NO_OPERATION, MD5, MD5_LEN]),
            Self::Ao => out.put([AO, AO_LEN, 0, 0]),
            Self::Malformed => return,
        }
        (4..self.encoded_len()).step_by(4).for_each(|_| out.put([0; 4]));
    }
}

/// Where the content of an option stands that a parsed segment is known to have, in the bytes of all options: the digest of MD5, or what
/// follows the length of AO.
pub(crate) fn auth_data_at(options: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *options.get(at..)? {
            [NO_OPERATION, ..] => at += 1,
            [MD5 | AO, _, ..] => return Some(at + 2),
            [_, len, ..] => at += usize::from(len.max(2)),
            _ => return None,
        }
    }
}

/// Bytes of an MD5 digest.
pub(crate) const MD5_DIGEST_LEN: usize = 16;
/// Bytes of a MAC of TCP-AO: both algorithms of RFC 5926 are cut to 96 bits.
pub(crate) const AO_MAC_LEN: usize = 12;

/// KeyID, RNextKeyID and the MAC.
const AO_DATA_LEN: usize = 2 + AO_MAC_LEN;
const MD5: u8 = 19;
const MD5_LEN: u8 = 18;
const AO: u8 = 29;
const AO_LEN: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp_options::{
        FastOpenCookie, FastOpenForm, FastOpenOption, MAX_LEN, TcpOptions, Timestamps,
    };

    fn parsed(options: &[u8]) -> Option<AuthKind> {
        TcpOptions::parse(options).auth
    }

    fn option(kind: u8, len: u8) -> Vec<u8> {
        let mut bytes = vec![7; len.into()];
        bytes[..2].copy_from_slice(&[kind, len]);
        bytes
    }

    #[test]
    fn an_option_is_seen_wherever_it_stands() {
        let timestamps = option(8, 10);
        for (kind, want) in [(option(19, 18), AuthKind::Md5), (option(29, 16), AuthKind::Ao)] {
            for before in [&[][..], &[1, 1], &timestamps] {
                let bytes = [before, &kind].concat();
                assert_eq!(parsed(&bytes), Some(want));
                assert_eq!(auth_data_at(&bytes), Some(before.len() + 2));
            }
        }
        assert_eq!((parsed(&timestamps), auth_data_at(&timestamps)), (None, None));
        assert_eq!(auth_data_at(&[0, 19, 18]), None);
    }

    #[test]
    fn two_of_them_or_one_of_another_length_are_malformed() {
        for (first, second) in [
            (option(19, 18), option(29, 16)),
            (option(29, 16), option(29, 16)),
            (option(19, 18), option(19, 18)),
            (option(19, 17), vec![]),
            (option(29, 20), vec![]),
            (option(29, 4), vec![]),
        ] {
            assert_eq!(parsed(&[first, second].concat()), Some(AuthKind::Malformed));
        }
    }

    #[test]
    fn room_is_left_before_all_others_and_fast_open_gives_way() {
        let timestamps = Some(Timestamps { value: 1, echo: 2 });
        for (kind, head, len) in
            [(AuthKind::Md5, &[1, 1, 19, 18][..], 40), (AuthKind::Ao, &[29, 16, 0, 0], 36)]
        {
            let syn = TcpOptions {
                max_segment_size: Some(1460),
                window_scale: Some(7),
                sack_permitted: true,
                auth: Some(kind),
                timestamps,
                ..TcpOptions::default()
            };
            let (cookie, form) = (FastOpenCookie::NONE, FastOpenForm::Standard);
            let fast_open = Some(FastOpenOption { cookie, form });
            let mut bytes = vec![0xff; TcpOptions { fast_open, ..syn }.encoded_len()];
            assert_eq!((bytes.len(), len <= MAX_LEN), (len, true));
            TcpOptions { fast_open, ..syn }.emit(&mut bytes);
            assert_eq!(bytes[..4], *head);
            assert!(bytes[4..kind.encoded_len()].iter().all(|&byte| byte == 0));
            assert_eq!(TcpOptions::parse(&bytes), syn);
        }
    }
}
