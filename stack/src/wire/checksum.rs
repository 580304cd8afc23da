//! The Internet checksum (RFC 1071): a sum of 16-bit words in one's complement arithmetic.
//!
//! One's complement addition does not care about byte order as long as all words share one (RFC 1071, section 2 (B)). The
//! sum is therefore kept in the machine's order, eight bytes at a time, and turned around once at the end.

use std::net::Ipv4Addr;

use pmd::Frame;

/// A sum in progress over bytes that arrive in pieces of any length, even or odd.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    /// Not folded, in the machine's byte order.
    words: u64,
    /// Where the next byte stands in its word.
    next: Half,
}

impl Sum {
    /// The sum of nothing.
    pub(crate) const fn new() -> Self {
        Self { words: 0, next: Half::First }
    }

    /// The sum of one piece.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut sum = Self::new();
        sum.add_bytes(bytes);
        sum
    }

    /// The sum of the pseudo header that TCP and UDP add (RFC 9293, section 3.1; RFC 768).
    ///
    /// `len` is that of transport header and payload.
    pub(crate) fn pseudo_header_v4(
        source: Ipv4Addr,
        destination: Ipv4Addr,
        protocol: u8,
        len: u16,
    ) -> Self {
        let mut sum = Self::new();
        sum.add_u32(source.to_bits());
        sum.add_u32(destination.to_bits());
        sum.add_u16(u16::from(protocol));
        sum.add_u16(len);
        sum
    }

    /// Adds the bytes that follow those added so far.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        self.add_words(sum_of_words(bytes), bytes.len());
    }

    /// Adds `bytes` and copies them, in one pass.
    ///
    /// # Panics
    ///
    /// Unless both have the same length.
    pub(crate) fn copy(&mut self, to: &mut [u8], bytes: &[u8]) {
        assert_eq!(to.len(), bytes.len(), "copied to as many bytes");
        self.add_words(copy_words(to, bytes), bytes.len());
    }

    /// The folded words of `len` bytes.
    #[inline]
    fn add_words(&mut self, folded: u16, len: usize) {
        self.words += u64::from(match self.next {
            Half::First => folded,
            // Every byte stands in the other half of its word (RFC 1071, section 2 (A) and (B)).
            Half::Second => folded.swap_bytes(),
        });
        if !len.is_multiple_of(2) {
            self.next = self.next.other();
        }
    }

    /// Adds the bytes of a packet behind the first `skip`, over its segments.
    pub(crate) fn add_frame(&mut self, frame: &Frame, skip: usize) {
        let mut skip = skip;
        for bytes in frame.segments() {
            let skipped = skip.min(bytes.len());
            self.add_bytes(bytes.get(skipped..).unwrap_or_default());
            skip -= skipped;
        }
    }

    /// Adds a word that is not part of the run of bytes, such as a field of a pseudo header.
    pub(crate) fn add_u16(&mut self, word: u16) {
        self.words += u64::from(word.to_be());
    }

    /// Adds two words that are not part of the run of bytes.
    pub(crate) fn add_u32(&mut self, words: u32) {
        self.words += u64::from(words.to_be());
    }

    /// The checksum to write in a header whose checksum field was summed as zero.
    #[must_use]
    pub(crate) fn finish(self) -> u16 {
        !self.folded()
    }

    /// As [`Sum::finish`] for UDP, where zero means "no checksum" and is sent as all ones (RFC 768).
    #[must_use]
    pub(crate) fn finish_udp(self) -> u16 {
        match self.finish() {
            0 => u16::MAX,
            checksum => checksum,
        }
    }

    /// The sum itself in 16 bits, as a device wants the pseudo header's that is to finish the checksum.
    #[must_use]
    pub(crate) fn folded(self) -> u16 {
        u16::from_be(fold(self.words))
    }

    /// Whether the bytes summed, their checksum field among them, are as they were sent.
    #[must_use]
    pub(crate) fn is_valid(self) -> bool {
        self.folded() == u16::MAX
    }
}

/// The checksum of a header after one of its words changed from `old` to `new` (RFC 1624, equation 3).
#[must_use]
pub(crate) fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(u64::from(!checksum) + u64::from(!old) + u64::from(new))
}

#[derive(Clone, Copy, Debug, Default)]
enum Half {
    #[default]
    First,
    Second,
}

impl Half {
    fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// The words in the machine's order, folded; a lone last byte is padded with zero.
///
/// Whatever their width, words are added modulo 2^16 - 1, so that a carry goes back in at the lower end (RFC 1071, section 2 (C)): that of 64 bits
/// is kept above them, an addition with carry each, and goes in at the end. A CPU adds to both sums at once.
fn sum_of_words(bytes: &[u8]) -> u16 {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut sums = [0; 2];
    for block in blocks {
        add_block(&mut sums, block);
    }
    fold_carries(sums[0] + sums[1] + sum_of_few(rest))
}

/// The same for `bytes`, which are copied on the way: what was loaded once need not be loaded again.
fn copy_words(to: &mut [u8], bytes: &[u8]) -> u16 {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let (to_blocks, to_rest) = to.as_chunks_mut::<BLOCK>();
    let mut sums = [0; 2];
    for (to, block) in to_blocks.iter_mut().zip(blocks) {
        *to = *block;
        add_block(&mut sums, block);
    }
    to_rest.copy_from_slice(rest);
    fold_carries(sums[0] + sums[1] + sum_of_few(rest))
}

#[inline]
fn add_block(sums: &mut [u128; 2], block: &[u8; BLOCK]) {
    let (words, _none) = block.as_chunks::<8>();
    let (pairs, _none) = words.as_chunks::<2>();
    for [even, odd] in pairs {
        sums[0] += u128::from(u64::from_ne_bytes(*even));
        sums[1] += u128::from(u64::from_ne_bytes(*odd));
    }
}

/// Of less than a block.
#[inline]
fn sum_of_few(bytes: &[u8]) -> u128 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let whole: u128 = words.iter().map(|&word| u128::from(u64::from_ne_bytes(word))).sum();
    whole + u128::from(u64::from_ne_bytes(last))
}

/// More than 2^64 such sums fit.
#[inline]
fn fold_carries(sum: u128) -> u16 {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let (low, high) = (sum as u64, (sum >> 64) as u64);
    let (sum, carry) = low.overflowing_add(high);
    fold(u64::from(fold(sum)) + u64::from(carry))
}

fn fold(words: u64) -> u16 {
    let words = (words & 0xffff_ffff) + (words >> 32);
    let words = (words & 0xffff) + ((words >> 16) & 0xffff) + (words >> 32);
    let words = (words & 0xffff) + (words >> 16);
    let words = (words & 0xffff) + (words >> 16);
    #[expect(clippy::cast_possible_truncation, reason = "two folds of at most 18 bits leave 16")]
    let folded = words as u16;
    folded
}

/// Bytes that are added in one step.
const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&bytes).folded(), 0xddf2);
        assert_eq!(Sum::of(&bytes).finish(), 0x220d);
    }

    #[test]
    fn the_example_of_rfc_1624() {
        assert_eq!(update(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn a_udp_checksum_is_never_zero() {
        let sum = Sum::of(&[0xff, 0xff]);
        assert_eq!((sum.finish(), sum.finish_udp()), (0, 0xffff));
        assert_eq!(Sum::of(&[0xff, 0xfe]).finish_udp(), 1);
    }

    #[test]
    fn the_longest_packet_of_ones_does_not_overflow() {
        let bytes = vec![0xff; 65_535];
        assert_eq!(Sum::of(&bytes).folded(), naive(&bytes));
        assert_eq!(fold(u64::MAX), u16::MAX);
        assert_eq!(fold(0x0001_ffff_ffff_fffe), 0xffff);
    }

    #[test]
    fn the_pseudo_header_is_summed_as_bytes_would_be() {
        let (source, destination) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(198, 51, 100, 77));
        let mut bytes = [source.octets(), destination.octets()].concat();
        bytes.extend([0, 17, 0x12, 0x34]);
        let sum = Sum::pseudo_header_v4(source, destination, 17, 0x1234);
        assert_eq!(sum.folded(), naive(&bytes));
    }

    proptest! {
        #[test]
        fn pieces_of_any_length_sum_as_the_whole(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
        ) {
            let (mut sum, mut copied) = (Sum::new(), Sum::new());
            for piece in &pieces {
                sum.add_bytes(piece);
                let mut copy = vec![0; piece.len()];
                copied.copy(&mut copy, piece);
                prop_assert_eq!(&copy, piece);
            }
            prop_assert_eq!(sum.folded(), naive(&pieces.concat()));
            prop_assert_eq!(copied.folded(), sum.folded());
        }

        #[test]
        fn words_may_be_added_between_odd_pieces(
            bytes in prop::collection::vec(any::<u8>(), 0..99), cut in 0..99_usize, word: u16, words: u32,
        ) {
            let (left, right) = bytes.split_at(cut.min(bytes.len()));
            let mut sum = Sum::of(left);
            sum.add_u16(word);
            sum.add_u32(words);
            sum.add_bytes(right);
            let all = [&word.to_be_bytes()[..], &words.to_be_bytes(), &bytes].concat();
            prop_assert_eq!(sum.folded(), naive(&all));
        }

        #[test]
        fn what_carries_its_checksum_is_valid_until_a_bit_flips(
            mut bytes in prop::collection::vec(any::<u8>(), 2..99), bit in any::<prop::sample::Index>(),
        ) {
            bytes[..2].fill(0);
            let checksum = Sum::of(&bytes).finish();
            bytes[..2].copy_from_slice(&checksum.to_be_bytes());
            prop_assert!(Sum::of(&bytes).is_valid());
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!Sum::of(&bytes).is_valid());
        }

        #[test]
        fn an_update_is_a_fresh_checksum(mut bytes in prop::collection::vec(any::<u8>(), 20), new: u16) {
            let before = Sum::of(&bytes).finish();
            let old = u16::from_be_bytes([bytes[8], bytes[9]]);
            bytes[8..10].copy_from_slice(&new.to_be_bytes());
            // All zero bytes have two representations of their sum; headers are never all zero.
            prop_assume!(bytes.iter().any(|&byte| byte != 0));
            prop_assert_eq!(update(before, old, new), Sum::of(&bytes).finish());
        }

        #[test]
        fn smoltcp_agrees(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(Sum::of(&bytes).folded(), smoltcp::wire::checksum::data(&bytes));
        }
    }

    /// The definition, one word at a time.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap()
    }
}
