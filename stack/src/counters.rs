//! What is counted, under the names of RFC 4022 (TCP), 4113 (UDP) and 4293 (IP, ICMP) where they have one.

/// A count that only grows.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Counter {
    // IP (RFC 4293).
    /// Datagrams received, with those in error.
    IpInReceives,
    /// Datagrams given to a transport protocol.
    IpInDelivers,
    /// Datagrams that transports here asked to send.
    IpOutRequests,
    /// Packets sent, fragments counted one by one.
    IpOutTransmits,
    /// Fragments received.
    IpReasmReqds,
    /// Datagrams put together.
    IpReasmOks,
    /// Datagrams given up in reassembly.
    IpReasmFails,
    /// Datagrams that were fragmented to be sent.
    IpOutFragOks,
    /// Fragments made.
    IpOutFragCreates,
    // ICMP (RFC 4293).
    /// ICMP messages received.
    IcmpInMsgs,
    /// ICMP messages sent.
    IcmpOutMsgs,
    /// ICMP messages received in error.
    IcmpInErrors,
    // UDP (RFC 4113).
    /// Datagrams delivered to sockets.
    UdpInDatagrams,
    /// Datagrams for a port without a socket.
    UdpNoPorts,
    /// Datagrams sent.
    UdpOutDatagrams,
    // TCP (RFC 4022).
    /// Connections opened from here.
    TcpActiveOpens,
    /// Connections opened by a peer.
    TcpPassiveOpens,
    /// Of those, connections that a SYN with a cookie has opened (TCP Fast Open, RFC 7413).
    TcpFastOpens,
    /// Connections that failed while being opened.
    TcpAttemptFails,
    /// Established connections that were reset.
    TcpEstabResets,
    /// Segments received, with those in error.
    TcpInSegs,
    /// Segments sent, retransmissions aside.
    TcpOutSegs,
    /// Segments sent again.
    TcpRetransSegs,
    /// Segments received in error.
    TcpInErrs,
    /// Resets sent.
    TcpOutRsts,
    // TCP, beyond the MIB.
    /// Retransmission timers that went off.
    TcpTimeouts,
    /// Losses repaired after duplicate ACKs.
    TcpFastRetransmits,
    /// Recoveries that were not needed: nothing was lost.
    TcpSpuriousRecoveries,
    /// Tail loss probes sent (RFC 8985).
    TcpLossProbes,
    /// Times that segments became smaller because full ones had vanished without a word (RFC 4821, section 7.7).
    TcpMtuBlackHoles,
    /// Larger segments sent to see whether the path carries them.
    TcpMtuProbes,
    /// Such that the path did not carry.
    TcpMtuProbesLost,
    /// Challenge ACKs sent (RFC 5961).
    TcpChallengeAcks,
    /// ACKs sent by the delayed-ACK timer.
    TcpDelayedAcks,
    /// Probes of a closed window.
    TcpZeroWindowProbes,
    /// Keep-alive probes sent.
    TcpKeepAliveProbes,
    /// TIME-WAIT entries ended early, for room.
    TcpTimeWaitRecycled,
    /// SYNs answered with a cookie (RFC 4987).
    TcpSynCookiesSent,
    /// Connections made of a cookie that came back.
    TcpSynCookiesAccepted,
    /// ACKs for a listener that bring no valid cookie, while cookies are about.
    TcpSynCookiesRejected,
    /// Times that a connection's window was kept small because memory ran out.
    TcpMemorySqueezed,
    /// Connections reset while they waited to be accepted.
    TcpAcceptSkipped,
    // Where threads meet.
    /// Looks at what a control lock guards that were put off, because a thread was inside.
    ControlDeferrals,
    /// Connections that were queued for acceptance a turn late, because a thread was taking others.
    AcceptDeferrals,
    // Neighbours.
    /// ARP requests sent.
    ArpRequestsSent,
    /// ARP replies sent.
    ArpRepliesSent,
    /// ARP packets that claimed an address of ours.
    ArpConflicts,
    // Steering.
    /// Packets, and news of the link, given to other cores.
    ForwardedOut,
    /// What other cores have given to this one.
    ForwardedIn,
    /// Packets among those given to other cores that a device which scales as it should would have taken there.
    Missteered,
    /// Packets by which the device's hash was checked.
    RssChecked,
    /// Packets that came with another hash than they should, or to the wrong core.
    RssMismatches,
    // The protocol thread.
    /// Frames taken from devices.
    FramesReceived,
    /// Frames given to devices.
    FramesSent,
    /// Bytes of the frames received.
    BytesReceived,
    /// Bytes of the frames sent.
    BytesSent,
    /// Turns of the protocol loop.
    LoopTurns,
    /// Times that the protocol thread slept.
    Rests,
}

impl Counter {
    /// Every counter, in packet order.
    pub const ALL: &[Self] = &[
        Self::IpInReceives,
        Self::IpInDelivers,
        Self::IpOutRequests,
        Self::IpOutTransmits,
        Self::IpReasmReqds,
        Self::IpReasmOks,
        Self::IpReasmFails,
        Self::IpOutFragOks,
        Self::IpOutFragCreates,
        Self::IcmpInMsgs,
        Self::IcmpOutMsgs,
        Self::IcmpInErrors,
        Self::UdpInDatagrams,
        Self::UdpNoPorts,
        Self::UdpOutDatagrams,
        Self::TcpActiveOpens,
        Self::TcpPassiveOpens,
        Self::TcpFastOpens,
        Self::TcpAttemptFails,
        Self::TcpEstabResets,
        Self::TcpInSegs,
        Self::TcpOutSegs,
        Self::TcpRetransSegs,
        Self::TcpInErrs,
        Self::TcpOutRsts,
        Self::TcpTimeouts,
        Self::TcpFastRetransmits,
        Self::TcpSpuriousRecoveries,
        Self::TcpLossProbes,
        Self::TcpMtuBlackHoles,
        Self::TcpMtuProbes,
        Self::TcpMtuProbesLost,
        Self::TcpChallengeAcks,
        Self::TcpDelayedAcks,
        Self::TcpZeroWindowProbes,
        Self::TcpKeepAliveProbes,
        Self::TcpTimeWaitRecycled,
        Self::TcpSynCookiesSent,
        Self::TcpSynCookiesAccepted,
        Self::TcpSynCookiesRejected,
        Self::TcpMemorySqueezed,
        Self::TcpAcceptSkipped,
        Self::ControlDeferrals,
        Self::AcceptDeferrals,
        Self::ArpRequestsSent,
        Self::ArpRepliesSent,
        Self::ArpConflicts,
        Self::ForwardedOut,
        Self::ForwardedIn,
        Self::Missteered,
        Self::RssChecked,
        Self::RssMismatches,
        Self::FramesReceived,
        Self::FramesSent,
        Self::BytesReceived,
        Self::BytesSent,
        Self::LoopTurns,
        Self::Rests,
    ];

    /// The name, as `darner stat` prints it.
    pub fn name(self) -> &'static str {
        match self {
            Self::IpInReceives => "ipSystemStatsInReceives",
            Self::IpInDelivers => "ipSystemStatsInDelivers",
            Self::IpOutRequests => "ipSystemStatsOutRequests",
            Self::IpOutTransmits => "ipSystemStatsOutTransmits",
            Self::IpReasmReqds => "ipSystemStatsReasmReqds",
            Self::IpReasmOks => "ipSystemStatsReasmOKs",
            Self::IpReasmFails => "ipSystemStatsReasmFails",
            Self::IpOutFragOks => "ipSystemStatsOutFragOKs",
            Self::IpOutFragCreates => "ipSystemStatsOutFragCreates",
            Self::IcmpInMsgs => "icmpStatsInMsgs",
            Self::IcmpOutMsgs => "icmpStatsOutMsgs",
            Self::IcmpInErrors => "icmpStatsInErrors",
            Self::UdpInDatagrams => "udpInDatagrams",
            Self::UdpNoPorts => "udpNoPorts",
            Self::UdpOutDatagrams => "udpOutDatagrams",
            Self::TcpActiveOpens => "tcpActiveOpens",
            Self::TcpPassiveOpens => "tcpPassiveOpens",
            Self::TcpFastOpens => "tcpFastOpens",
            Self::TcpAttemptFails => "tcpAttemptFails",
            Self::TcpEstabResets => "tcpEstabResets",
            Self::TcpInSegs => "tcpInSegs",
            Self::TcpOutSegs => "tcpOutSegs",
            Self::TcpRetransSegs => "tcpRetransSegs",
            Self::TcpInErrs => "tcpInErrs",
            Self::TcpOutRsts => "tcpOutRsts",
            Self::TcpTimeouts => "tcpTimeouts",
            Self::TcpFastRetransmits => "tcpFastRetransmits",
            Self::TcpSpuriousRecoveries => "tcpSpuriousRecoveries",
            Self::TcpLossProbes => "tcpLossProbes",
            Self::TcpMtuBlackHoles => "tcpMtuBlackHoles",
            Self::TcpMtuProbes => "tcpMtuProbes",
            Self::TcpMtuProbesLost => "tcpMtuProbesLost",
            Self::TcpChallengeAcks => "tcpChallengeAcks",
            Self::TcpDelayedAcks => "tcpDelayedAcks",
            Self::TcpZeroWindowProbes => "tcpZeroWindowProbes",
            Self::TcpKeepAliveProbes => "tcpKeepAliveProbes",
            Self::TcpTimeWaitRecycled => "tcpTimeWaitRecycled",
            Self::TcpSynCookiesSent => "tcpSynCookiesSent",
            Self::TcpSynCookiesAccepted => "tcpSynCookiesAccepted",
            Self::TcpSynCookiesRejected => "tcpSynCookiesRejected",
            Self::TcpMemorySqueezed => "tcpMemorySqueezed",
            Self::TcpAcceptSkipped => "tcpAcceptSkipped",
            Self::ControlDeferrals => "controlDeferrals",
            Self::AcceptDeferrals => "acceptDeferrals",
            Self::ArpRequestsSent => "arpRequestsSent",
            Self::ArpRepliesSent => "arpRepliesSent",
            Self::ArpConflicts => "arpConflicts",
            Self::ForwardedOut => "forwardedOut",
            Self::ForwardedIn => "forwardedIn",
            Self::Missteered => "missteered",
            Self::RssChecked => "rssChecked",
            Self::RssMismatches => "rssMismatches",
            Self::FramesReceived => "framesReceived",
            Self::FramesSent => "framesSent",
            Self::BytesReceived => "bytesReceived",
            Self::BytesSent => "bytesSent",
            Self::LoopTurns => "loopTurns",
            Self::Rests => "rests",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_counter_has_a_place_and_a_name_of_its_own() {
        let names: BTreeSet<_> = Counter::ALL.iter().map(|counter| counter.name()).collect();
        assert_eq!(names.len(), Counter::ALL.len());
        for (index, &counter) in Counter::ALL.iter().enumerate() {
            assert_eq!(counter as usize, index, "{counter:?} is out of order in ALL");
        }
    }
}
