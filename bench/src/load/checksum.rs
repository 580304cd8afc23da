//! The Internet checksum (RFC 1071) of what is mostly known before.

/// A sum of 16-bit words that is not folded yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u64);

/// Every byte of a payload. What is all alike has a checksum that needs no look at the bytes.
pub(crate) const FILL: u8 = b'x';

impl Sum {
    /// The words of `bytes`; an odd last one has a zero behind it.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        Self(bytes.chunks(2).map(word).sum())
    }

    /// The words of `len` bytes of [`FILL`].
    #[inline]
    pub(crate) fn of_fill(len: usize) -> Self {
        let (fill, len) = (u64::from(FILL), len as u64);
        Self(len / 2 * (fill << 8 | fill) + len % 2 * (fill << 8))
    }

    #[inline]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    #[inline]
    pub(crate) fn short(self, word: u16) -> Self {
        Self(self.0 + u64::from(word))
    }

    #[inline]
    pub(crate) fn long(self, word: u32) -> Self {
        Self(self.0 + u64::from(word >> 16) + u64::from(word & 0xffff))
    }

    /// As the header has it.
    #[inline]
    pub(crate) fn checksum(self) -> u16 {
        let mut sum = self.0;
        while sum >> 16 != 0 {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        // Folded above.
        !u16::try_from(sum).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_sums_as_its_bytes_do() {
        for len in [0, 1, 2, 63, 64, 1447, 1448] {
            assert_eq!(Sum::of_fill(len).checksum(), Sum::of(&vec![FILL; len]).checksum(), "{len}");
        }
    }

    #[test]
    fn the_example_of_rfc_1071_sums_up() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&bytes).checksum(), !0xddf2);
    }
}
