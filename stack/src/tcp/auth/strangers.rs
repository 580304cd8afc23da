//! Segments that no connection has: their key is that of the handshake under way, of the connection that is in TIME-WAIT, or of the listener.

use super::arrive::{judge, judge_kind};
use super::{Auth, Numbers, Signing};
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::net::Net;
use crate::tcp::Tcp;
use crate::tcp::half_open::HalfOpen;
use crate::tcp::reset::{reset_number, reset_segment};
use crate::tcp::segment::Segment;
use crate::tcp::seq::Seq;
use crate::wire::tcp_options::AuthKind;

impl Tcp {
    /// Whether a segment comes from whom it says, if anybody here has a key or it is signed.
    #[inline]
    pub(in crate::tcp) fn authenticate_stranger(
        &mut self,
        flow: &FlowKey4,
        segment: &mut Segment,
    ) -> Result<(), Drop> {
        let matters = self.listeners.have_keys() || !self.late_auths.is_empty();
        if !matters && segment.options.auth.is_none() {
            return Ok(());
        }
        self.judge_stranger(flow, segment)
    }

    #[cold]
    fn judge_stranger(&mut self, flow: &FlowKey4, segment: &mut Segment) -> Result<(), Drop> {
        if let Some(&entry) = self.half_open.get(flow)
            && !self.is_outdated(flow, &entry)
        {
            judge_kind(entry.signing.kind(), segment)?;
            let mut auth = self.half_open_auth(flow, &entry)?;
            let received = Numbers::after_syns(entry.iss, entry.irs).received;
            return judge(auth.as_mut(), flow, segment, received);
        }
        let begins = segment.is_bare_syn();
        let listener = self.listeners.find(flow);
        let wanted = listener.as_ref().and_then(|end| end.keys().kind_for(flow.remote));
        if self.time_wait.get(flow).is_some() && !(begins && listener.is_some()) {
            return self.late_auths.judge(flow, segment);
        }
        judge_kind(wanted, segment)?;
        if wanted == Some(AuthKind::Ao) && !begins {
            // Its keys depend on both ISNs, which nobody here knows.
            return Err(Drop::TcpAoUnexpected);
        }
        let mut auth = wanted.and_then(|_| self.listener_auth(flow, Seq(0), None));
        judge(auth.as_mut(), flow, segment, 0)
    }

    /// A handshake that began unsigned is forgotten once its peer has a key.
    fn is_outdated(&mut self, flow: &FlowKey4, entry: &HalfOpen) -> bool {
        let outdated = entry.signing == Signing::None && self.wanted_by_listener(flow).is_some();
        if outdated {
            self.half_open.remove(flow);
        }
        outdated
    }

    fn wanted_by_listener(&mut self, flow: &FlowKey4) -> Option<AuthKind> {
        self.listeners.find(flow)?.keys().kind_for(flow.remote)
    }

    /// What the segments of a peer must be signed with who connects to a listener.
    fn listener_auth(&mut self, flow: &FlowKey4, ours: Seq, theirs: Option<Seq>) -> Option<Auth> {
        Auth::new(self.listeners.find(flow)?.keys(), flow, ours, theirs)
    }

    /// What the segments of a handshake are signed with. Its key is found again, and not there any more if somebody has removed it.
    pub(in crate::tcp) fn half_open_auth(
        &mut self,
        flow: &FlowKey4,
        entry: &HalfOpen,
    ) -> Result<Option<Auth>, Drop> {
        if entry.signing == Signing::None {
            // A key that was set meanwhile holds.
            return match self.wanted_by_listener(flow) {
                None => Ok(None),
                Some(AuthKind::Ao) => Err(Drop::TcpAoMissing),
                Some(_) => Err(Drop::TcpMd5Missing),
            };
        }
        match (entry.signing, self.listener_auth(flow, entry.iss, Some(entry.irs))) {
            (Signing::Md5, Some(Auth::Md5(secret))) => Ok(Some(Auth::Md5(secret))),
            (Signing::Ao { current, next }, Some(Auth::Ao(session))) => {
                let session = session.with_ids(current, next).ok_or(Drop::TcpAoUnexpected)?;
                Ok(Some(Auth::Ao(Box::new(session))))
            }
            (Signing::Ao { .. }, _) => Err(Drop::TcpAoUnexpected),
            _ => Err(Drop::TcpMd5Unexpected),
        }
    }

    /// Resets whoever has sent a segment for which there is nothing here: by MD5, if it was signed by that. TCP-AO has no key for a connection that is
    /// not there (RFC 5925, section 7.7): its peer hears nothing.
    pub(in crate::tcp) fn reset_stranger(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        segment: &Segment,
    ) {
        match segment.signing {
            Signing::None => reset_segment(net, flow, segment, None),
            Signing::Md5 => {
                if let Some(auth) = self.listener_auth(flow, Seq(0), None) {
                    reset_segment(net, flow, segment, Some(auth.signer(0, reset_number(segment))));
                }
            }
            Signing::Ao { .. } => {}
        }
    }
}
