//! RST: when we send one, and what then becomes of the connection (RFC 9293, sections 3.5.2 and 3.10.7.1).

use super::auth::Signer;
use super::connection::{Connection, Context};
use super::emit::{NO_PAYLOAD, send_segment};
use super::segment::Segment;
use super::seq::Seq;
use super::state::{Event, State};
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::ip::Ecn;
use crate::net::Net;
use crate::socket::Failure;
use crate::wire::tcp::{Flags, TcpHeader};
use crate::wire::tcp_options::TcpOptions;

/// Answers a segment that belongs to no connection, or to none that it makes sense for. A reset is never answered.
pub(super) fn reset_segment(
    net: &mut Net,
    flow: &FlowKey4,
    segment: &Segment,
    signer: Option<Signer<'_>>,
) {
    if segment.has(Flags::RST) {
        return;
    }
    let (ack, flags) = if segment.has(Flags::ACK) {
        (Seq(0), Flags::RST)
    } else {
        (segment.end(), Flags::RST | Flags::ACK)
    };
    send_reset(net, (flow, signer), (reset_number(segment), ack, flags), TcpOptions::default());
}

/// The number of the reset that answers a segment, such that the peer finds it acceptable: it takes its own acknowledgement number for the
/// sequence number.
pub(super) fn reset_number(segment: &Segment) -> Seq {
    if segment.has(Flags::ACK) { segment.ack } else { Seq(0) }
}

/// Sends an RST. Where no frame is to be had it is as good as lost on the way: what it would have answered comes again.
fn send_reset(
    net: &mut Net,
    (flow, signer): (&FlowKey4, Option<Signer<'_>>),
    (seq, ack, flags): (Seq, Seq, Flags),
    options: TcpOptions,
) {
    let header = TcpHeader {
        source_port: flow.local_port,
        destination_port: flow.remote_port,
        seq,
        ack,
        flags,
        window: 0,
        urgent_pointer: 0,
        options: TcpOptions { auth: signer.map(Signer::kind), ..options },
    };
    if send_segment(net, (flow, signer), &header, Ecn::NotCapable, NO_PAYLOAD).is_ok() {
        net.metrics.count(Counter::TcpOutSegs);
        net.metrics.count(Counter::TcpOutRsts);
    }
}

impl Connection {
    /// Resets what sent `segment`, and leaves this connection as it is.
    pub(super) fn reset_for(&mut self, cx: &mut Context<'_>, segment: &Segment) {
        if self.auth().is_some_and(|auth| !auth.can_sign_all()) {
            return;
        }
        let signer = self.signer(reset_number(segment));
        reset_segment(cx.net, &self.flow, segment, signer);
    }

    /// Resets a peer that expects this number next.
    pub(super) fn reset_as_expected(&self, cx: &mut Context<'_>, expected: Seq) {
        let numbers = (expected, Seq(0), Flags::RST);
        self.send_reset(cx, numbers, TcpOptions::default());
    }

    fn send_reset(&self, cx: &mut Context<'_>, numbers: (Seq, Seq, Flags), options: TcpOptions) {
        let signer = self.signer(numbers.0);
        send_reset(cx.net, (&self.flow, signer), numbers, options);
    }

    /// ABORT (section 3.10.5): the peer is reset, if it knows of the connection, and everything is forgotten.
    pub(super) fn abort(&mut self, cx: &mut Context<'_>) {
        self.abort_for(cx, Failure::Aborted);
    }

    /// The same, for another cause.
    pub(super) fn abort_for(&mut self, cx: &mut Context<'_>, cause: Failure) {
        self.reset_peer(cx);
        self.fail(cx, cause);
    }

    /// The connection is over, and the application is told why.
    pub(super) fn fail(&mut self, cx: &mut Context<'_>, failure: Failure) {
        match self.state {
            State::SynSent | State::SynReceived => {
                cx.net.metrics.count(Counter::TcpAttemptFails);
            }
            State::Established | State::CloseWait => {
                cx.net.metrics.count(Counter::TcpEstabResets);
            }
            _ => {}
        }
        self.advance(Event::Abort);
        self.socket.fail(&mut cx.net.readies, failure);
    }

    /// Once everything of ours is acknowledged and the peer has closed, it needs no reset (section 3.10.5).
    pub(super) fn reset_peer(&mut self, cx: &mut Context<'_>) {
        let knows = match self.state {
            State::SynReceived
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait => true,
            State::Closing | State::LastAck => true,
            State::Closed | State::Listen | State::SynSent | State::TimeWait => false,
        };
        if knows {
            // The number that the peer expects, unless something is lost on the way: then its challenge leads us to it.
            let numbers = (self.snd.nxt, self.rcv.nxt, Flags::RST | Flags::ACK);
            // Timestamps as in every segment (RFC 7323, section 3.2: SHOULD), and nothing else.
            let timestamps = self.options_for(cx, (numbers.0, numbers.2, 0), None).timestamps;
            let options = TcpOptions { timestamps, ..TcpOptions::default() };
            self.send_reset(cx, numbers, options);
        }
    }
}
