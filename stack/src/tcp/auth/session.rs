//! TCP-AO of one connection (RFC 5925, section 6): its traffic keys, and which of them signs.

use std::cell::OnceCell;

use super::ao::{Direction, TrafficKey};
use super::ao_key::TcpAoKey;
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

/// A master key, and the traffic keys that were derived from it: each when it is first needed, for a flood of forged segments names one key at most.
struct SessionKey {
    master: TcpAoKey,
    /// `Send_SYN_traffic_key` until the peer's ISN is known, then `Send_other_traffic_key`.
    send: OnceCell<TrafficKey>,
    /// `Receive_other_traffic_key`.
    receive: OnceCell<TrafficKey>,
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
    master: &'a TcpAoKey,
    key: &'a TrafficKey,
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
        let keys: Vec<_> = keys.cloned().map(SessionKey::new).collect();
        let any = !keys.is_empty();
        any.then(|| Self { flow: *flow, ours, theirs, keys, current: 0, next: 0 })
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
        for key in &mut self.keys {
            (key.send, key.receive) = (OnceCell::new(), OnceCell::new());
        }
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
        let SessionKey { master, send, .. } = self.keys.get(self.current).unwrap_or(&self.keys[0]);
        let numbers = (self.ours, self.theirs.unwrap_or(Seq(0)));
        let key = send.get_or_init(|| self.derive(master, Direction::Sent, numbers));
        AoSigner { master, key, next: self.ids().1, extension: extension(sent, seq) }
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
        let derived = |numbers| self.derive(master, Direction::Received, numbers);
        // The number of a SYN has no extension.
        let (key, extension) = match (opening, self.theirs) {
            (Opening::Bare, _) => (&derived((seq, Seq(0))), 0),
            (Opening::No, Some(theirs)) => {
                (receive.get_or_init(|| derived((theirs, self.ours))), extension(received, seq))
            }
            (Opening::No, None) => (&derived((seq, self.ours)), 0),
        };
        key.has_signed(extension, segment, master.options())
    }

    fn derive(&self, master: &TcpAoKey, way: Direction, numbers: (Seq, Seq)) -> TrafficKey {
        TrafficKey::derive(master, &self.flow, way, numbers)
    }

    fn place_by(&self, is_it: impl Fn(&TcpAoKey) -> bool) -> Option<usize> {
        self.keys.iter().position(|key| is_it(&key.master))
    }
}

impl SessionKey {
    fn new(master: TcpAoKey) -> Self {
        Self { master, send: OnceCell::new(), receive: OnceCell::new() }
    }
}

impl AoSigner<'_> {
    /// KeyID and RNextKeyID.
    pub(super) fn ids(&self) -> [u8; 2] {
        [self.master.send_id(), self.next]
    }

    /// The MAC, for a segment that has the ids already.
    pub(super) fn mac(&self, segment: &Covered<'_>) -> [u8; AO_MAC_LEN] {
        self.key.mac(self.extension, segment, self.master.options())
    }
}

const _: () = assert!(AuthKind::Ao.encoded_len() == 4 + AO_MAC_LEN);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::auth::TcpAoAlgorithm;

    /// Who has many keys pays for the one that signs, and for the one that a segment names.
    #[test]
    fn a_traffic_key_is_derived_when_it_is_needed() {
        let flow = FlowKey4 {
            remote: [10, 0, 0, 2].into(),
            local: [10, 0, 0, 1].into(),
            remote_port: 4000,
            local_port: 179,
        };
        let masters = [1, 2, 3].map(|id| {
            TcpAoKey::new(flow.remote, (id, id), TcpAoAlgorithm::HmacSha1, b"secret").unwrap()
        });
        let derived = |session: &Session| {
            let cells = session.keys.iter().flat_map(|key| [&key.send, &key.receive]);
            cells.filter(|cell| cell.get().is_some()).count()
        };
        let mut session = Session::new(masters.iter(), &flow, Seq(7), Some(Seq(8))).unwrap();
        assert_eq!(derived(&session), 0);
        session.signer(8, Seq(8));
        session.signer(9, Seq(9));
        assert_eq!(derived(&session), 1);
        session.ask_for(2);
        session = session.with_keys(masters.iter()).unwrap();
        assert_eq!(derived(&session), 0);
        session.signer(8, Seq(8));
        session.learn_isn(Seq(9));
        assert_eq!(derived(&session), 0, "they were of another ISN");
    }
}
