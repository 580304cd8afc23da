//! What a server writes: the same bytes over and over.

use super::application::Role;
use super::http;

/// Whole copies of one piece, some 64 KiB of them at least.
pub(super) struct Output {
    bytes: Box<[u8]>,
    piece: usize,
}

/// What is written at once, at least.
const LEN: usize = 64 << 10;

impl Output {
    pub(super) fn of(role: Role) -> Self {
        let piece = match role {
            Role::Http { body } => http::response(body),
            _ => vec![b'x'],
        };
        let bytes = piece.repeat(LEN.div_ceil(piece.len())).into_boxed_slice();
        Self { bytes, piece: piece.len() }
    }

    /// All of it.
    pub(super) fn all(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of one piece.
    pub(super) fn piece(&self) -> usize {
        self.piece
    }

    /// What comes next where so many bytes are still owed: the rest of a piece first.
    pub(super) fn owed(&self, owed: usize) -> &[u8] {
        let from = (self.piece - owed % self.piece) % self.piece;
        &self.bytes[from..self.bytes.len().min(from + owed)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_begins_where_the_last_write_ended() {
        let role = Role::Http { body: 7 };
        let output = Output::of(role);
        let (two, mut written) = (http::response(7).repeat(2), Vec::new());
        while written.len() < two.len() {
            let next = output.owed(two.len() - written.len());
            written.extend_from_slice(&next[..next.len().min(29)]);
        }
        assert_eq!(written, two);
    }
}
