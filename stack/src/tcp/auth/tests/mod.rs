//! Connections whose segments are signed.

mod ao;
mod md5;
mod vectors;

use super::session::{Claim, Opening};
use super::{Auth, Covered, Seq, TcpKeys, TcpMd5Key};
use crate::api::ListenOptions;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::protocol::Order;
use crate::socket::{ListenerShared, Target};
use crate::tcp::harness::{Harness, OUR_PORT, PEER, PEER_PORT, US};
use crate::tcp::state::State;
use crate::wire::tcp::Flags;

const NOTHING: [&str; 0] = [];

impl Auth {
    /// Whether the other end takes a segment that was sent on `flow`, by its number, flags and whole number.
    pub(in crate::tcp) fn check(
        &mut self,
        flow: &FlowKey4,
        header: &[u8],
        payload: &[u8],
        (seq, flags, whole): (Seq, Flags, u64),
    ) -> Result<(), Drop> {
        let segment = Covered::sent(flow, header, payload).ok_or(Drop::TcpTruncated)?;
        let bare = flags.contains(Flags::SYN) && !flags.contains(Flags::ACK);
        let claim = Claim { seq, opening: if bare { Opening::Bare } else { Opening::No } };
        match self {
            Self::Md5(secret) => super::md5::verify(secret, &segment),
            Self::Ao(session) => session.verify(&segment, claim, whole),
        }
    }
}

fn listen(t: &mut Harness, keys: TcpKeys) {
    let options = ListenOptions { keys, ..ListenOptions::with_backlog(4) };
    let listener = ListenerShared::new((US, OUR_PORT).into(), options, 1);
    t.tcp.listen(&t.net, listener.clone()).unwrap();
    t.listener = Some(listener);
}

/// What was sent, all of it signed with the peer's key.
fn signed(t: &mut Harness) -> Vec<String> {
    let (sent, kind) = (t.emitted(), t.peer_auth.as_ref().map(Auth::kind));
    sent.into_iter()
        .map(|segment| {
            assert_eq!(segment.options.auth, kind, "{}", segment.text);
            segment.text
        })
        .collect()
}

/// Plays the peer with another key, or none.
fn input_with(t: &mut Harness, other: Option<Auth>, segment: &str) -> Result<(), Drop> {
    let own = std::mem::replace(&mut t.peer_auth, other);
    let taken = t.input(segment);
    t.peer_auth = own;
    taken
}

/// Follows what handles have ordered.
fn follow_orders(t: &mut Harness) {
    while let Some(order) = t.core.pop_order() {
        match order {
            Order::ChangeKeys(Target::Tcp(id), change) => {
                t.tcp.change_keys(&mut t.net, id, &change);
                t.tcp.flush(&mut t.net);
            }
            Order::SetListenerKeys(listener, keys) => t.tcp.set_listener_keys(&listener, keys),
            _ => {}
        }
    }
}
