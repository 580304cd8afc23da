//! Where keys come from: with a call that connects, with a listener, and later by whoever holds either.

use std::sync::Arc;

use super::{Auth, Signing, TcpKeys};
use crate::net::Net;
use crate::socket::{ListenerShared, SocketId};
use crate::tcp::Tcp;
use crate::tcp::connection::{Connection, Context};
use crate::tcp::rare::Rare;

impl Tcp {
    /// From now on the listener's peers have these keys. Handshakes under way go on with what they began with, if that is still there.
    pub(crate) fn set_listener_keys(&mut self, listener: &Arc<ListenerShared>, keys: TcpKeys) {
        self.listeners.set_keys(listener, keys);
    }

    /// From now on the connection's segments are signed with what these keys have for its peer, or not at all.
    pub(crate) fn set_keys(&mut self, net: &mut Net, id: SocketId, keys: &TcpKeys) {
        self.with_connection(net, id, |connection, cx| {
            let auth = Auth::for_peer(keys, connection.flow.remote);
            connection.change_auth(cx, auth);
        });
    }
}

impl Connection {
    /// Its segments are signed so from the first on.
    pub(in crate::tcp) fn begin_auth(&mut self, auth: Option<Auth>) {
        if let Some(auth) = auth {
            self.rare = Some(Box::new(Rare::Auth(auth)));
        }
    }

    /// The same for one that we open.
    pub(in crate::tcp) fn open_with_auth(&mut self, auth: Option<Auth>) {
        let signing = auth.as_ref().map_or(Signing::None, Auth::signing);
        self.timestamps.enabled &= !signing.displaces_timestamps(self.sack);
        self.begin_auth(auth);
    }

    /// A connection that is opened with data on its SYN stays as it is until that is done.
    fn change_auth(&mut self, cx: &Context<'_>, auth: Option<Auth>) {
        if self.fast_open().is_none() {
            self.rare = auth.map(|auth| Box::new(Rare::Auth(auth)));
            self.fit_path(cx);
        }
    }
}

impl Signing {
    /// Beside MD5 and timestamps no SACK block has room. Of the two SACK is worth more, and Linux offers no timestamps then.
    pub(in crate::tcp) fn displaces_timestamps(self, sack: bool) -> bool {
        sack && self == Self::Md5
    }
}
