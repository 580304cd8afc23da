//! Segments that no connection has: their key is that of the handshake under way, of the connection that is in TIME-WAIT, or of the listener.

use super::arrive::judge;
use super::{Auth, Signing};
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::net::Net;
use crate::tcp::Tcp;
use crate::tcp::half_open::HalfOpen;
use crate::tcp::reset::reset_segment;
use crate::tcp::segment::Segment;
use crate::wire::tcp::Flags;

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
        if let Some(&entry) = self.half_open.get(flow) {
            let mut auth = self.half_open_auth(flow, &entry)?;
            return judge(auth.as_mut(), flow, segment);
        }
        let begins = segment.has(Flags::SYN) && !segment.has(Flags::ACK);
        if self.time_wait.get(flow).is_some() && !(begins && self.listeners.find(flow).is_some()) {
            return judge(self.late_auths.get_mut(flow), flow, segment);
        }
        let mut auth = self.listener_auth(flow);
        judge(auth.as_mut(), flow, segment)
    }

    /// What the segments of a peer must be signed with who connects to a listener.
    fn listener_auth(&mut self, flow: &FlowKey4) -> Option<Auth> {
        Auth::for_peer(self.listeners.find(flow)?.keys(), flow.remote)
    }

    /// What the segments of a handshake are signed with. Its key is found again, and not there any more if somebody has removed it.
    pub(in crate::tcp) fn half_open_auth(
        &mut self,
        flow: &FlowKey4,
        entry: &HalfOpen,
    ) -> Result<Option<Auth>, Drop> {
        match entry.signing {
            Signing::None => Ok(None),
            Signing::Md5 => self.listener_auth(flow).ok_or(Drop::TcpMd5Unexpected).map(Some),
        }
    }

    /// Resets whoever has sent a segment for which there is nothing here, signed if it was.
    pub(in crate::tcp) fn reset_stranger(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        segment: &Segment,
    ) {
        match segment.signing {
            Signing::None => reset_segment(net, flow, segment, None),
            Signing::Md5 => {
                if let Some(auth) = self.listener_auth(flow) {
                    reset_segment(net, flow, segment, Some(auth.signer()));
                }
            }
        }
    }
}
