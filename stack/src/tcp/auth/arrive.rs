//! Before anything else looks at a segment: whether it is signed as it must be. One that is not is dropped, whatever it says, and nobody answers.

use super::session::{Claim, Opening};
use super::{Auth, md5};
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::tcp::connection::Connection;
use crate::tcp::segment::Segment;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::AuthKind;

impl Connection {
    /// Whether a segment of this connection comes from whom it says.
    #[inline]
    pub(in crate::tcp) fn authenticate(&mut self, segment: &mut Segment) -> Result<(), Drop> {
        if segment.options.auth.is_none() && self.rare.auth().is_none() {
            return Ok(());
        }
        self.judge(segment)
    }

    #[cold]
    fn judge(&mut self, segment: &mut Segment) -> Result<(), Drop> {
        let (flow, received) = (self.flow, self.numbers().received);
        judge(self.rare.auth_mut(), &flow, segment, received)
    }
}

/// The same for a segment that is to be signed as `auth` has it, or not at all; `received` is the whole number of one nearby.
pub(super) fn judge(
    auth: Option<&mut Auth>,
    flow: &FlowKey4,
    segment: &mut Segment,
    received: u64,
) -> Result<(), Drop> {
    judge_kind(auth.as_deref().map(Auth::kind), segment)?;
    let Some(auth) = auth else { return Ok(()) };
    let opening = if segment.is_bare_syn() { Opening::Bare } else { Opening::No };
    let claim = Claim { seq: segment.seq, opening };
    segment.as_it_came(flow, |bytes| match auth {
        Auth::Md5(secret) => md5::verify(secret, bytes),
        Auth::Ao(session) => session.verify(bytes, claim, received),
    })?;
    segment.signing = auth.signing();
    Ok(())
}

/// Whether a segment has the option that it must have, which costs no arithmetic.
pub(super) fn judge_kind(wanted: Option<AuthKind>, segment: &Segment) -> Result<(), Drop> {
    match (wanted, segment.options.auth) {
        (_, Some(AuthKind::Malformed)) => Err(Drop::TcpAuthMalformed),
        (wanted, found) if wanted == found => Ok(()),
        (_, Some(AuthKind::Md5)) => Err(Drop::TcpMd5Unexpected),
        (_, Some(AuthKind::Ao)) => Err(Drop::TcpAoUnexpected),
        (Some(AuthKind::Ao), None) => Err(Drop::TcpAoMissing),
        (_, None) => Err(Drop::TcpMd5Missing),
    }
}

impl Segment {
    /// Whether it begins a connection: a SYN that was sent without knowing ours.
    pub(super) fn is_bare_syn(&self) -> bool {
        self.has(Flags::SYN) && !self.has(Flags::ACK)
    }
}
