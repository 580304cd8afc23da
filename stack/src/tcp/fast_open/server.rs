//! The side that listens (RFC 7413, section 4.2.2): a SYN with a good cookie makes a connection at once.

use std::sync::Arc;

use super::FastOpen;
use crate::api::Readiness;
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::net::Net;
use crate::socket::{Birth, ListenerShared};
use crate::tcp::Tcp;
use crate::tcp::connection::{Connection, Context};
use crate::tcp::half_open::HalfOpen;
use crate::tcp::segment::Segment;
use crate::tcp::state::State;
use crate::wire::tcp::Flags;
use crate::wire::tcp_options::FastOpenOption;

/// What a SYN gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::tcp) enum Welcome {
    /// What any SYN gets.
    Ordinary,
    /// The same, and a cookie for the next time.
    Cookie(FastOpenOption),
    /// A connection, before the handshake is complete.
    Early,
}

/// A connection whose handshake is not complete counts against its listener's limit (section 5.1): until this is dropped.
pub(in crate::tcp) struct Early(Arc<ListenerShared>);

impl Drop for Early {
    fn drop(&mut self) {
        self.0.fast_open_done();
    }
}

impl Tcp {
    /// Whether the listener takes part, and what it makes of the SYN.
    pub(in crate::tcp) fn welcome(&mut self, flow: &FlowKey4, syn: &Segment) -> Welcome {
        let Some(listener) = self.listeners.find(flow) else { return Welcome::Ordinary };
        if !listener.shared().has_room_for_fast_open() {
            return Welcome::Ordinary;
        }
        if self.config.fast_open.accepts_without_cookie && syn.payload_len() > 0 {
            return Welcome::Early;
        }
        let Some(option) = syn.options.fast_open else { return Welcome::Ordinary };
        let cookie = self.fast_open_key.cookie(flow.remote, flow.local);
        if option.cookie == cookie {
            Welcome::Early
        } else {
            Welcome::Cookie(FastOpenOption { cookie, ..option })
        }
    }

    /// Makes the connection, with what the SYN has brought, and puts it into the listener's queue. Returns whether there was room for it: if not
    /// the SYN is an ordinary one.
    pub(in crate::tcp) fn open_early(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        entry: &HalfOpen,
        syn: &Segment,
    ) -> bool {
        let Some(listener) = self.listeners.find(flow) else { return false };
        let shared = listener.shared().clone();
        if shared.reserve().is_err() {
            return false;
        }
        let numbers = (entry.iss, self.isn.timestamp_offset(flow));
        let birth = Birth::Queue(shared.clone());
        let Ok((id, child)) = self.create(net, *flow, (birth, State::SynReceived), numbers) else {
            shared.release();
            return false;
        };
        net.metrics.count(Counter::TcpPassiveOpens);
        net.metrics.count(Counter::TcpFastOpens);
        shared.fast_open_begun();
        let window = self.first_window(flow);
        self.with_connection(net, id, |connection, cx| {
            connection.chosen().fast_open = Some(FastOpen::Early(Early(shared)));
            connection.open_early(cx, entry, syn, window);
        });
        self.queue_child(net, flow, child);
        true
    }
}

impl Connection {
    fn open_early(&mut self, cx: &mut Context<'_>, entry: &HalfOpen, syn: &Segment, window: u32) {
        self.take_half_open(cx, entry, window);
        self.snd.nxt = entry.iss;
        self.take_window(syn);
        self.take_syn_data(cx, syn);
        self.send_syn(cx);
    }

    /// As much as fits: the rest comes again.
    fn take_syn_data(&mut self, cx: &mut Context<'_>, syn: &Segment) {
        let len = syn.payload.len();
        let fits = syn.payload_len() <= self.receive_window();
        let memory = self.socket.receive.memory_for(len);
        if len == 0 || !fits || cx.memory.admit(memory).is_err() {
            return;
        }
        self.deliver(&syn.payload);
        self.socket.receive.publish();
        self.syn_data = true;
        self.socket.raise(&mut cx.net.readies, Readiness::READABLE);
    }

    /// Whether data may be sent: both SYNs are exchanged, or the peer's cookie stands for the end of the handshake.
    pub(in crate::tcp) fn may_send_data(&self) -> bool {
        self.state.is_synchronized() || self.is_early()
    }

    /// Whether this is the SYN that has opened the connection: its sender has not got our SYN-ACK.
    pub(in crate::tcp) fn opens_again(&self, segment: &Segment) -> bool {
        let bare = segment.has(Flags::SYN) && !segment.flags.intersects(Flags::ACK | Flags::RST);
        bare && self.is_early() && segment.seq == self.rcv.irs
    }

    /// Whether the connection was made before its handshake is complete, which it is not yet.
    pub(in crate::tcp) fn is_early(&self) -> bool {
        let early = matches!(self.fast_open(), Some(FastOpen::Early(_)));
        early && self.state == State::SynReceived
    }
}
