//! Where keys come from: with a call that connects, with a listener, and later by whoever holds either.

use std::sync::Arc;

use super::{Auth, Signing, TcpKeys};
use crate::net::Net;
use crate::socket::{ListenerShared, SocketId};
use crate::tcp::Tcp;
use crate::tcp::connection::{Connection, Context};
use crate::tcp::seq::Seq;

/// What is to become of a connection's keys.
pub(crate) enum KeyChange {
    /// They are those of these that are for the peer.
    Keys(TcpKeys),
    /// The peer is asked to sign with the one that has this RecvID.
    NextAo(u8),
}

impl Tcp {
    /// From now on the listener's peers have these keys. Handshakes under way go on with what they began with, if that is still there.
    pub(crate) fn set_listener_keys(&mut self, listener: &Arc<ListenerShared>, keys: TcpKeys) {
        self.listeners.set_keys(listener, keys);
    }

    /// Whoever holds a connection wants other keys for it.
    pub(crate) fn change_keys(&mut self, net: &mut Net, id: SocketId, change: &KeyChange) {
        self.with_connection(net, id, |connection, cx| match change {
            KeyChange::Keys(keys) => connection.change_keys(cx, keys),
            KeyChange::NextAo(recv_id) => connection.ask_for_ao_key(*recv_id),
        });
    }
}

impl Connection {
    /// Its segments are signed so from the first on.
    pub(in crate::tcp) fn begin_auth(&mut self, auth: Option<Auth>) {
        if auth.is_some() {
            self.rare.set_auth(auth);
        }
    }

    /// The same for one that we open.
    pub(in crate::tcp) fn open_with_keys(&mut self, keys: &TcpKeys) {
        let auth = Auth::new(keys, &self.flow, self.snd.iss, None);
        let signing = auth.as_ref().map_or(Signing::None, Auth::signing);
        self.timestamps.enabled &= !signing.displaces_timestamps(self.sack);
        self.begin_auth(auth);
    }

    /// The peer's SYN has come: TCP-AO's keys depend on its number.
    pub(in crate::tcp) fn learn_isn(&mut self, theirs: Seq) {
        if let Some(Auth::Ao(session)) = self.rare.auth_mut() {
            session.learn_isn(theirs);
        }
    }

    /// TCP-AO neither begins nor ends on a connection that is made (RFC 5925, section 7.2).
    fn change_keys(&mut self, cx: &Context<'_>, keys: &TcpKeys) {
        let peer = self.flow.remote;
        let changed = match self.rare.auth_mut() {
            Some(Auth::Ao(session)) => {
                if let Some(changed) = session.with_keys(keys.ao_for(peer)) {
                    **session = changed;
                }
                return;
            }
            _ => keys.md5_for(peer).map(|key| Auth::Md5(key.secret().clone())),
        };
        self.rare.set_auth(changed);
        self.fit_path(cx);
    }

    fn ask_for_ao_key(&mut self, recv_id: u8) {
        if let Some(Auth::Ao(session)) = self.rare.auth_mut() {
            session.ask_for(recv_id);
            // The peer learns of it at once, or with what the handshake sends.
            if self.state.is_synchronized() {
                self.ack_now();
            }
        }
    }
}

impl Signing {
    /// Beside MD5 and timestamps no SACK block has room. Of the two SACK is worth more, and Linux offers no timestamps then.
    pub(in crate::tcp) fn displaces_timestamps(self, sack: bool) -> bool {
        sack && self == Self::Md5
    }
}
