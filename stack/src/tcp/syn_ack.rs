//! What is sent before there is a connection: SYN-ACKs, and ACKs of half-open connections.

use super::Tcp;
use super::auth::{Auth, Numbers};
use super::ecn;
use super::emit::{NO_PAYLOAD, send_segment};
use super::half_open::HalfOpen;
use super::isn::timestamp;
use super::seq::Seq;
use crate::counters::Counter;
use crate::demux::FlowKey4;
use crate::ip::Ecn;
use crate::net::Net;
use crate::wire::tcp::{Flags, TcpHeader};
use crate::wire::tcp_options::{FastOpenOption, MAX_LEN, TcpOptions, Timestamps};

impl Tcp {
    /// The window that our SYN-ACK offers: not scaled, and no more than the connection will buffer.
    pub(super) fn first_window(&mut self, flow: &FlowKey4) -> u32 {
        let listener = self.listeners.find(flow);
        let wanted = listener.and_then(|listener| listener.shared().options().receive_buffer);
        let buffer = wanted.unwrap_or(self.config.receive_buffer);
        u32::try_from(buffer).unwrap_or(u32::MAX).min(u16::MAX.into())
    }

    pub(super) fn send_syn_ack(&mut self, net: &mut Net, flow: &FlowKey4, entry: &HalfOpen) {
        let clock = self.clock_of(net, flow);
        self.send_syn_ack_at(net, flow, entry, (clock, None));
    }

    /// What our timestamps to this peer say now.
    pub(super) fn clock_of(&self, net: &Net, flow: &FlowKey4) -> u32 {
        timestamp(net.now, self.isn.timestamp_offset(flow))
    }

    pub(super) fn send_syn_ack_at(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        entry: &HalfOpen,
        (clock, fast_open): (u32, Option<FastOpenOption>),
    ) {
        let others = TcpOptions {
            order: self.config.option_order,
            fast_open,
            max_segment_size: Some(self.segment_size_to_offer(net, flow)),
            window_scale: entry.offers.window_scale().map(|_| self.config.window_shift()),
            sack_permitted: entry.offers.sack(),
            ..TcpOptions::default()
        };
        // Something on the way may have dropped the first for its option (RFC 9768, section 3.2.3.2.2).
        let accurate_ecn =
            if entry.accurate.is_some() && entry.sent_again() == 0 && !entry.has_come_again() {
                let with = Timestamps { value: clock, echo: entry.ts_recent };
                let timestamps = entry.offers.timestamps().then_some(with);
                let auth = entry.signing.kind();
                ecn::first_option(MAX_LEN - TcpOptions { timestamps, auth, ..others }.fixed_len())
            } else {
                None
            };
        let options = TcpOptions { accurate_ecn, ..others };
        let segment = (entry.iss, Flags::SYN | Flags::ACK | ecn::of_syn_ack(entry), options);
        self.send_half_open(net, flow, entry, segment, clock);
    }

    /// Tells the peer where we are.
    pub(super) fn acknowledge_half_open(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        entry: &HalfOpen,
    ) {
        if self.challenges.admit(net).is_none() {
            return;
        }
        let ace = if entry.accurate.is_some() { ecn::ace_at_first() } else { Flags::NONE };
        let segment = (entry.iss + 1, Flags::ACK | ace, TcpOptions::default());
        let clock = self.clock_of(net, flow);
        self.send_half_open(net, flow, entry, segment, clock);
    }

    /// By how much windows are shifted from the SYN-ACK on, whose own is not (RFC 7323, section 2.2).
    fn window_shift_of(&self, entry: &HalfOpen, flags: Flags) -> u8 {
        let shifted = !flags.contains(Flags::SYN) && entry.offers.window_scale().is_some();
        if shifted { self.config.window_shift() } else { 0 }
    }

    /// Without a frame to be had it is as good as lost on the way.
    fn send_half_open(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        entry: &HalfOpen,
        (seq, flags, options): (Seq, Flags, TcpOptions),
        clock: u32,
    ) {
        // Whoever has removed the key wants no answer to be sent.
        let Ok(auth) = self.half_open_auth(flow, entry) else { return };
        let timestamps =
            entry.offers.timestamps().then_some(Timestamps { value: clock, echo: entry.ts_recent });
        let window = self.first_window(flow) >> self.window_shift_of(entry, flags);
        let header = TcpHeader {
            source_port: flow.local_port,
            destination_port: flow.remote_port,
            seq,
            ack: entry.irs + 1,
            flags,
            window: u16::try_from(window).unwrap_or(u16::MAX),
            urgent_pointer: 0,
            options: TcpOptions { timestamps, auth: auth.as_ref().map(Auth::kind), ..options },
        };
        let sent = Numbers::after_syns(entry.iss, entry.irs).sent;
        let signer = auth.as_ref().map(|auth| auth.signer(sent, seq));
        if send_segment(net, (flow, signer), &header, Ecn::NotCapable, NO_PAYLOAD).is_ok() {
            net.metrics.count(Counter::TcpOutSegs);
        }
    }
}
