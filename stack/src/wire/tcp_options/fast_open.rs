//! The option of TCP Fast Open (RFC 7413, section 4.1.1), and the form that it had as an experiment (RFC 6994).

use std::fmt;

/// Asks for a cookie, brings one, or hands one out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FastOpenOption {
    /// Empty where one is asked for.
    pub(crate) cookie: FastOpenCookie,
    pub(crate) form: FastOpenForm,
}

/// How the option is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum FastOpenForm {
    #[default]
    Standard,
    /// Under the number that experiments share.
    Experimental,
}

/// None, or 4 to 16 bytes, an even number.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(crate) struct FastOpenCookie {
    len: u8,
    bytes: [u8; COOKIE_MAX],
}

impl FastOpenCookie {
    pub(crate) const NONE: Self = Self { len: 0, bytes: [0; COOKIE_MAX] };

    /// `None` for a length that no cookie has.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        let fits = bytes.is_empty()
            || (COOKIE_MIN..=COOKIE_MAX).contains(&bytes.len()) && bytes.len().is_multiple_of(2);
        let mut cookie = Self { len: u8::try_from(bytes.len()).ok()?, ..Self::NONE };
        cookie.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        fits.then_some(cookie)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub(crate) fn is_none(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for FastOpenCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FastOpenOption {
    /// What an option of this kind says, if it is one of these.
    pub(super) fn of(kind: u8, data: &[u8]) -> Option<Self> {
        let (form, cookie) = match (kind, data) {
            (FAST_OPEN, cookie) => (FastOpenForm::Standard, cookie),
            (EXPERIMENT, [a, b, cookie @ ..]) if [*a, *b] == EXPERIMENT_ID => {
                (FastOpenForm::Experimental, cookie)
            }
            _ => return None,
        };
        Some(Self { cookie: FastOpenCookie::new(cookie)?, form })
    }

    /// Bytes that it takes, with the no-operations behind it that make whole words.
    pub(super) fn encoded_len(&self) -> usize {
        self.option_len().next_multiple_of(4)
    }

    fn option_len(&self) -> usize {
        let head = if self.form == FastOpenForm::Experimental { 4 } else { 2 };
        head + usize::from(self.cookie.len)
    }

    /// Its words.
    pub(super) fn words(&self) -> impl Iterator<Item = [u8; 4]> {
        let mut bytes = [super::NO_OPERATION; OPTION_MAX];
        let len = self.option_len();
        bytes[1] = u8::try_from(len).unwrap_or(0);
        match self.form {
            FastOpenForm::Standard => bytes[0] = FAST_OPEN,
            FastOpenForm::Experimental => {
                bytes[0] = EXPERIMENT;
                bytes[2..4].copy_from_slice(&EXPERIMENT_ID);
            }
        }
        let cookie = self.cookie.as_bytes();
        bytes[len - cookie.len()..len].copy_from_slice(cookie);
        let words = self.encoded_len() / 4;
        (0..words).map(move |word| {
            let at = word * 4;
            [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
        })
    }
}

const COOKIE_MIN: usize = 4;
const COOKIE_MAX: usize = 16;
const OPTION_MAX: usize = 20;
const FAST_OPEN: u8 = 34;
const EXPERIMENT: u8 = 254;
const EXPERIMENT_ID: [u8; 2] = [0xf9, 0x89];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp_options::TcpOptions;

    const REQUEST: FastOpenOption =
        FastOpenOption { cookie: FastOpenCookie::NONE, form: FastOpenForm::Standard };

    fn written(option: FastOpenOption) -> Vec<u8> {
        let options = TcpOptions { fast_open: Some(option), ..TcpOptions::default() };
        let mut bytes = vec![0; options.encoded_len()];
        options.emit(&mut bytes);
        assert_eq!(TcpOptions::parse(&bytes), options);
        bytes
    }

    #[test]
    fn a_request_and_a_cookie_in_both_forms() {
        let cookie = FastOpenCookie::new(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        let experimental = FastOpenForm::Experimental;
        assert_eq!(written(REQUEST), [34, 2, 1, 1]);
        assert_eq!(
            written(FastOpenOption { cookie, ..REQUEST }),
            [34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]
        );
        assert_eq!(written(FastOpenOption { form: experimental, ..REQUEST }), [254, 4, 0xf9, 0x89]);
        assert_eq!(
            written(FastOpenOption { cookie, form: experimental }),
            [254, 12, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 7, 8]
        );
    }

    #[test]
    fn a_cookie_has_an_even_number_of_bytes_from_4_to_16() {
        for len in 0..=38 {
            let mut option = vec![FAST_OPEN, 2 + len];
            option.extend(0..len);
            let want = len == 0 || (4..=16).contains(&len) && len % 2 == 0;
            assert_eq!(TcpOptions::parse(&option).fast_open.is_some(), want, "{len}");
        }
        assert_eq!(TcpOptions::parse(&[254, 4, 0, 0]).fast_open, None, "another experiment");
        assert_eq!(TcpOptions::parse(&[254, 2]).fast_open, None);
    }

    #[test]
    fn the_longest_cookie_fits_beside_everything_else() {
        let cookie = FastOpenCookie::new(&[7; 16]).unwrap();
        let full = TcpOptions {
            max_segment_size: Some(1460),
            window_scale: Some(8),
            sack_permitted: true,
            timestamps: Some(crate::wire::tcp_options::Timestamps { value: 1, echo: 0 }),
            fast_open: Some(FastOpenOption { cookie, form: FastOpenForm::Experimental }),
            ..TcpOptions::default()
        };
        assert_eq!(full.encoded_len(), 40);
    }
}
