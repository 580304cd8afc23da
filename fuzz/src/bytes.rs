//! The streams of both sides: each byte follows from its place, so that whoever reads one knows whether it is the right one.

/// The byte at a place of a stream, either side's.
pub fn byte_at(place: u32) -> u8 {
    (place.wrapping_mul(0x9e37_79b1) >> 24) as u8
}

/// `len` bytes from a place on.
pub fn stream(from: u32, len: usize) -> Vec<u8> {
    (0..len as u32).map(|step| byte_at(from.wrapping_add(step))).collect()
}
