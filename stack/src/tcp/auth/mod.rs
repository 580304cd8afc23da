//! Segments that are signed with a key that both ends have: TCP MD5 (RFC 2385) and TCP-AO (RFC 5925).
//!
//! [`keys`] and [`ao_key`] are what applications configure; [`covered`] is what of a segment is signed, [`md5`] and [`ao`] how, and a
//! [`Session`] what TCP-AO keeps for a connection. [`arrive`] judges what comes, before anything else looks at it: for connections here, for
//! all others in [`strangers`]. What leaves is signed where its frame is made ([`send_segment`](super::emit::send_segment)).

mod ao;
mod ao_key;
mod arrive;
mod change;
mod covered;
mod keys;
mod late;
mod md5;
mod session;
mod strangers;

pub use ao_key::{TcpAoAlgorithm, TcpAoKey, TcpAoOptions};
pub(crate) use change::KeyChange;
pub use keys::{BadTcpKey, TcpKeys, TcpMd5Key};
pub(super) use late::LateAuths;

use ao::IDS_LEN;
use covered::Covered;
use keys::Secret;
use session::{AoSigner, Session};

use super::connection::Connection;
use super::seq::Seq;
use crate::demux::FlowKey4;
use crate::wire::tcp::HEADER_LEN;
use crate::wire::tcp_options::{AuthKind, auth_data_at};

/// What the segments of a connection are signed with, both ways.
pub(super) enum Auth {
    Md5(Secret),
    Ao(Box<Session>),
}

/// What a segment was found to be signed with, or what those of a handshake are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Signing {
    #[default]
    None,
    Md5,
    /// With the key that has this SendID, asking for the one with this RecvID.
    Ao {
        current: u8,
        next: u8,
    },
}

impl Signing {
    /// The option that such segments have.
    pub(super) fn kind(self) -> Option<AuthKind> {
        match self {
            Self::None => None,
            Self::Md5 => Some(AuthKind::Md5),
            Self::Ao { .. } => Some(AuthKind::Ao),
        }
    }
}

/// What signs one segment.
#[derive(Clone, Copy)]
pub(super) enum Signer<'a> {
    Md5(&'a Secret),
    Ao(AoSigner<'a>),
}

/// Whole numbers: sequence numbers that go on beyond 2^32, with TCP-AO's extension as their upper half (RFC 5925, section 6.2). One nearby says
/// which of the many that a sequence number stands for is meant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Numbers {
    pub(super) sent: u64,
    pub(super) received: u64,
}

impl Numbers {
    /// Those after both SYNs.
    pub(super) fn after_syns(ours: Seq, theirs: Seq) -> Self {
        Self { sent: u64::from(ours.0) + 1, received: u64::from(theirs.0) + 1 }
    }
}

impl Auth {
    /// What segments of a connection are signed with. `theirs` is not known before the peer's SYN has come.
    pub(super) fn new(
        keys: &TcpKeys,
        flow: &FlowKey4,
        ours: Seq,
        theirs: Option<Seq>,
    ) -> Option<Self> {
        if let Some(key) = keys.md5_for(flow.remote) {
            return Some(Self::Md5(key.secret().clone()));
        }
        let session = Session::new(keys.ao_for(flow.remote), flow, ours, theirs)?;
        Some(Self::Ao(Box::new(session)))
    }

    pub(super) fn kind(&self) -> AuthKind {
        match self {
            Self::Md5(_) => AuthKind::Md5,
            Self::Ao(_) => AuthKind::Ao,
        }
    }

    pub(super) fn signing(&self) -> Signing {
        match self {
            Self::Md5(_) => Signing::Md5,
            Self::Ao(session) => session.signing(),
        }
    }

    /// Of TCP-AO: the SendID of the key that signs, and the RecvID of the one that is asked for.
    pub(super) fn ao_ids(&self) -> Option<(u8, u8)> {
        match self {
            Self::Md5(_) => None,
            Self::Ao(session) => Some(session.ids()),
        }
    }

    /// Whether more than our SYN can be signed: TCP-AO must know the peer's.
    pub(super) fn can_sign_all(&self) -> bool {
        match self {
            Self::Md5(_) => true,
            Self::Ao(session) => session.knows_peer(),
        }
    }

    /// For the segment with this number; `sent` is a whole one nearby.
    pub(super) fn signer(&self, sent: u64, seq: Seq) -> Signer<'_> {
        match self {
            Self::Md5(secret) => Signer::Md5(secret),
            Self::Ao(session) => Signer::Ao(session.signer(sent, seq)),
        }
    }
}

impl Signer<'_> {
    /// The option that the segment must have for it.
    pub(super) fn kind(self) -> AuthKind {
        match self {
            Self::Md5(_) => AuthKind::Md5,
            Self::Ao(_) => AuthKind::Ao,
        }
    }

    /// Fills the option of a segment that is complete but for its checksum.
    #[cold]
    pub(super) fn sign(self, flow: &FlowKey4, header: &mut [u8], payload: &[u8]) {
        let filled = match self {
            Self::Md5(secret) => Covered::sent(flow, header, payload)
                .map(|segment| md5::digest(secret, &segment))
                .and_then(|digest| fill(header, 0, &digest)),
            Self::Ao(signer) => fill(header, 0, &signer.ids())
                .and_then(|()| Covered::sent(flow, header, payload))
                .map(|segment| signer.mac(&segment))
                .and_then(|mac| fill(header, IDS_LEN, &mac)),
        };
        debug_assert!(filled.is_some(), "no room for a signature");
    }
}

/// Writes into the data of the option that signs a segment.
fn fill(header: &mut [u8], offset: usize, bytes: &[u8]) -> Option<()> {
    let options = header.get_mut(HEADER_LEN..)?;
    let at = auth_data_at(options)? + offset;
    options.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
    Some(())
}

/// The sequence number that a whole number ends in.
#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn low_half(whole: u64) -> Seq {
    Seq(whole as u32)
}

/// The upper half of the whole number of `seq`, which is the one next to `nearby` (section 6.2).
fn extension(nearby: u64, seq: Seq) -> u32 {
    let steps = i64::from(seq.signed_offset_from(low_half(nearby)));
    (nearby.wrapping_add_signed(steps) >> 32) as u32
}

impl Connection {
    /// What its segments are signed with.
    #[inline]
    pub(super) fn auth(&self) -> Option<&Auth> {
        self.rare.auth()
    }

    /// What signs the segment with this number, if anything does.
    #[inline]
    pub(super) fn signer(&self, seq: Seq) -> Option<Signer<'_>> {
        self.auth().map(|auth| auth.signer(self.numbers().sent, seq))
    }

    pub(super) fn is_signed_by_ao(&self) -> bool {
        matches!(self.auth(), Some(Auth::Ao(_)))
    }

    /// The bytes that signing takes from every segment.
    pub(super) fn auth_len(&self) -> usize {
        self.auth().map_or(0, |auth| auth.kind().encoded_len())
    }

    /// Positions in the rings count on where sequence numbers begin anew.
    pub(super) fn numbers(&self) -> Numbers {
        let after_syns = Numbers::after_syns(self.snd.iss, self.rcv.irs);
        Numbers {
            sent: after_syns.sent + self.socket.send.released(),
            received: after_syns.received + self.socket.receive.position(),
        }
    }
}

#[cfg(test)]
mod tests;
