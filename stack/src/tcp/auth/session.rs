//! TCP-AO of one connection (RFC 5925, section 6): its traffic keys, and which of them signs.

use super::ao::{Direction, TrafficKey};
use super::ao_key::{TcpAoKey, TcpAoOptions};
use super::covered::Covered;
use super::{Signing, extension, low_half};
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::tcp::seq::Seq;
use crate::wire::tcp_options::{AO_MAC_LEN, AuthKind};

/// There is at least one key.
pub(in crate::tcp) struct Session {
    pub(super) flow: FlowKey4,
    /// ISN of our SYN.
    ours: Seq,
    /// That of the peer's, once it is known.
    theirs: Option<Seq>,
    keys: Vec<SessionKey>,
    /// The place of the key that signs: `current_key`.
    current: usize,
    /// The place of the key that the peer is asked to sign with: `rnext_key`.
    next: usize,
}

struct SessionKey {
    master: TcpAoKey,
    /// `Send_SYN_traffic_key` until the peer's ISN is known, then `Send_other_traffic_key`.
    send: TrafficKey,
    /// `Receive_other_traffic_key`.
    receive: Option<TrafficKey>,
}

/// What a segment says of itself that its MAC depends on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Claim {
    pub(super) seq: Seq,
    pub(super) opening: Opening,
}

/// Whether a segment was sent without knowing our ISN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Opening {
    /// A SYN without ACK.
    Bare,
    No,
}

/// What signs one segment.
#[derive(Clone, Copy)]
pub(in crate::tcp) struct AoSigner<'a> {
    key: &'a SessionKey,
    next: u8,
    extension: u32,
}

impl Session {
    /// The first of the keys signs. `None` if there is none.
    pub(super) fn new<'a>(
        keys: impl Iterator<Item = &'a TcpAoKey>,
        flow: &FlowKey4,
        ours: Seq,
        theirs: Option<Seq>,
    ) -> Option<Self> {
        let mut session = Self { flow: *flow, ours, theirs, keys: Vec::new(), current: 0, next: 0 };
        session.keys = keys.map(|master| session.derive(master)).collect();
        (!session.keys.is_empty()).then_some(session)
    }

    /// The same with those keys that it had before, if they are still there.
    pub(super) fn with_ids(mut self, current: u8, next: u8) -> Option<Self> {
        self.current = self.place_by(|key| key.send_id() == current)?;
        self.next = self.place_by(|key| key.recv_id() == next)?;
        Some(self)
    }

    /// Other keys for the same connection. The one that signs goes on if it is among them.
    pub(super) fn with_keys<'a>(&self, keys: impl Iterator<Item = &'a TcpAoKey>) -> Option<Self> {
        let mut session = Self::new(keys, &self.flow, self.ours, self.theirs)?;
        let (current, next) = self.ids();
        let place = |found: Option<usize>| found.unwrap_or(0);
        session.current = place(session.place_by(|key| key.send_id() == current));
        session.next = place(session.place_by(|key| key.recv_id() == next));
        Some(session)
    }

    /// The peer's SYN has come.
    pub(super) fn learn_isn(&mut self, theirs: Seq) {
        self.theirs = Some(theirs);
        let masters: Vec<_> = self.keys.drain(..).map(|key| key.master).collect();
        self.keys = masters.iter().map(|master| self.derive(master)).collect();
    }

    /// Asks the peer to sign with another key. Nothing changes if there is none with this id.
    pub(super) fn ask_for(&mut self, recv_id: u8) {
        self.next = self.place_by(|key| key.recv_id() == recv_id).unwrap_or(self.next);
    }

    /// The SendID of the key that signs, and the RecvID of the one that is asked for.
    pub(super) fn ids(&self) -> (u8, u8) {
        let key = |place: usize| self.keys.get(place).map(|key| &key.master);
        (
            key(self.current).map_or(0, TcpAoKey::send_id),
            key(self.next).map_or(0, TcpAoKey::recv_id),
        )
    }

    pub(super) fn signing(&self) -> Signing {
        let (current, next) = self.ids();
        Signing::Ao { current, next }
    }

    /// Whether more than our SYN can be signed.
    pub(super) fn knows_peer(&self) -> bool {
        self.theirs.is_some()
    }

    /// For the segment with this number, `sent` being the whole number of one nearby.
    pub(super) fn signer(&self, sent: u64, seq: Seq) -> AoSigner<'_> {
        let key = self.keys.get(self.current).unwrap_or(&self.keys[0]);
        AoSigner { key, next: self.ids().1, extension: extension(sent, seq) }
    }

    /// Whether a segment is the peer's, `received` being the whole number of one nearby. If so its wish for another key is heeded (section 7.5).
    pub(super) fn verify(
        &mut self,
        segment: &Covered<'_>,
        claim: Claim,
        received: u64,
    ) -> Result<(), Drop> {
        let Some(&[key_id, wanted, ..]) = segment.auth_data() else {
            return Err(Drop::TcpAuthMalformed);
        };
        let place = self.place_by(|key| key.recv_id() == key_id).ok_or(Drop::TcpAoKeyUnknown)?;
        if !self.is_genuine(place, segment, claim, received) {
            return Err(Drop::TcpAoWrong);
        }
        if claim.opening == Opening::Bare {
            if self.theirs.is_some() {
                // It began the connection, and has come again.
                return Ok(());
            }
            // The peer is asked for the key that it has chosen, and gets what it asks for, or else the same.
            (self.current, self.next) = (place, place);
        }
        // An old segment that somebody sends again would bring an old key back.
        if claim.opening == Opening::Bare || !claim.seq.precedes(low_half(received)) {
            self.current = self.place_by(|key| key.send_id() == wanted).unwrap_or(self.current);
        }
        Ok(())
    }

    fn is_genuine(
        &self,
        place: usize,
        segment: &Covered<'_>,
        Claim { seq, opening }: Claim,
        received: u64,
    ) -> bool {
        let Some(SessionKey { master, receive, .. }) = self.keys.get(place) else { return false };
        let derived =
            |ours| TrafficKey::derive(master, &self.flow, Direction::Received, (seq, ours));
        // The number of a SYN has no extension.
        let (key, extension) = match (opening, receive) {
            (Opening::Bare, _) => (&derived(Seq(0)), 0),
            (Opening::No, Some(key)) => (key, extension(received, seq)),
            (Opening::No, None) => (&derived(self.ours), 0),
        };
        key.has_signed(extension, segment, master.options())
    }

    fn derive(&self, master: &TcpAoKey) -> SessionKey {
        let theirs = self.theirs.unwrap_or(Seq(0));
        let derive = |way, numbers| TrafficKey::derive(master, &self.flow, way, numbers);
        SessionKey {
            send: derive(Direction::Sent, (self.ours, theirs)),
            receive: self.theirs.map(|theirs| derive(Direction::Received, (theirs, self.ours))),
            master: master.clone(),
        }
    }

    fn place_by(&self, is_it: impl Fn(&TcpAoKey) -> bool) -> Option<usize> {
        self.keys.iter().position(|key| is_it(&key.master))
    }
}

impl AoSigner<'_> {
    /// KeyID and RNextKeyID.
    pub(super) fn ids(&self) -> [u8; 2] {
        [self.key.master.send_id(), self.next]
    }

    /// The MAC, for a segment that has the ids already.
    pub(super) fn mac(&self, segment: &Covered<'_>) -> [u8; AO_MAC_LEN] {
        self.key.send.mac(self.extension, segment, self.options())
    }

    fn options(&self) -> TcpAoOptions {
        self.key.master.options()
    }
}

const _: () = assert!(AuthKind::Ao.encoded_len() == 4 + AO_MAC_LEN);
