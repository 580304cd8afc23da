//! Before anything else looks at a segment: whether it is signed as it must be. One that is not is dropped, whatever it says, and nobody answers.

use super::session::{Claim, Opening};
use super::{Auth, Signing, md5};
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::tcp::connection::Connection;
use crate::tcp::rare::Rare;
use crate::tcp::segment::Segment;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::AuthKind;

impl Connection {
    /// Whether a segment of this connection comes from whom it says.
    #[inline]
    pub(in crate::tcp) fn authenticate(&mut self, segment: &mut Segment) -> Result<(), Drop> {
        if self.rare.is_none() && segment.options.auth.is_none() {
            return Ok(());
        }
        self.judge(segment)
    }

    #[cold]
    fn judge(&mut self, segment: &mut Segment) -> Result<(), Drop> {
        let (flow, received) = (self.flow, self.numbers().received);
        let auth = self.rare.as_deref_mut().and_then(Rare::auth_mut);
        judge(auth, &flow, segment, received)
    }
}

/// The same for a segment that is to be signed as `auth` has it, or not at all; `received` is the whole number of one nearby.
pub(super) fn judge(
    auth: Option<&mut Auth>,
    flow: &FlowKey4,
    segment: &mut Segment,
    received: u64,
) -> Result<(), Drop> {
    let bare = segment.has(Flags::SYN) && !segment.has(Flags::ACK);
    let opening = if bare { Opening::Bare } else { Opening::No };
    let claim = Claim { seq: segment.seq, opening };
    match (auth, segment.options.auth) {
        (None, None) => Ok(()),
        (_, Some(AuthKind::Malformed)) => Err(Drop::TcpAuthMalformed),
        (Some(Auth::Md5(secret)), Some(AuthKind::Md5)) => {
            segment.as_it_came(flow, |bytes| md5::verify(secret, bytes))?;
            segment.signing = Signing::Md5;
            Ok(())
        }
        (Some(Auth::Ao(session)), Some(AuthKind::Ao)) => {
            segment.as_it_came(flow, |bytes| session.verify(bytes, claim, received))?;
            segment.signing = session.signing();
            Ok(())
        }
        (Some(Auth::Md5(_)), None) => Err(Drop::TcpMd5Missing),
        (Some(Auth::Ao(_)), None) => Err(Drop::TcpAoMissing),
        (_, Some(AuthKind::Md5)) => Err(Drop::TcpMd5Unexpected),
        (_, Some(AuthKind::Ao)) => Err(Drop::TcpAoUnexpected),
    }
}
