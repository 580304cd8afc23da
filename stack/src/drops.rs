//! Why packets are dropped: one name each.

/// Every reason for which a packet, or a part of one, is thrown away. A function that drops returns its reason; the
/// protocol loop counts it, in one place.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Drop {
    // Pools and queues.
    /// No frame was free to send with.
    PoolEmpty,
    /// The device did not take what was sent, and the bounded queue before it was full.
    OutboxFull,
    /// No room before the data for a lower layer's header.
    FrameHeadroom,
    /// Too much that we sent to ourselves waits to be received.
    LoopbackFull,
    /// Too much waits on the way to the core that it belongs to.
    ForwardFull,
    /// The core that it belongs to has ended.
    ForwardCoreEnded,
    // Ethernet.
    /// Shorter than an Ethernet header and its tags.
    EthernetRunt,
    /// An 802.3 length where Ethernet II has a type.
    EthernetLength,
    /// A protocol that is neither IPv4 nor ARP.
    EthernetType,
    /// Addressed to another station.
    EthernetAddress,
    /// From a group address, or from ourselves.
    EthernetSource,
    /// Tagged for another VLAN, or not tagged where a tag is required.
    VlanForeign,
    // ARP.
    /// Truncated, or not Ethernet and IPv4.
    ArpMalformed,
    /// A question or an answer that is not about us or a neighbour we know.
    ArpForeign,
    /// Another station uses our address.
    ArpConflict,
    /// Too many packets wait for this neighbour's address.
    NeighborQueueFull,
    /// Too many neighbours are being resolved.
    NeighborCacheFull,
    /// The neighbour did not answer ARP.
    NeighborUnreachable,
    // IP.
    /// Shorter than its header, or than its header says.
    IpTruncated,
    /// Not version 4.
    IpVersion,
    /// A header length below 20 bytes, or beyond the packet.
    IpHeaderLength,
    /// A total length below the header's, or beyond the frame.
    IpTotalLength,
    /// Wrong header checksum.
    IpChecksum,
    /// Malformed options.
    IpOption,
    /// A source route, which we do not follow (RFC 7126).
    IpSourceRoute,
    /// From an address that cannot be a source.
    IpSource,
    /// Not addressed to us: we do not forward.
    IpDestination,
    /// A transport protocol that nobody here speaks.
    IpProtocol,
    /// No route to the destination.
    IpNoRoute,
    /// Larger than the path's MTU, and not to be fragmented.
    IpTooBig,
    /// IPv6, which this stack does not speak yet.
    Ipv6Unsupported,
    // Fragments.
    /// A fragment that is empty, not a multiple of 8 bytes, or beyond 65,535 bytes.
    FragmentLength,
    /// Fragments overlap: the whole datagram is dropped (after RFC 5722).
    FragmentOverlap,
    /// A datagram's missing fragments did not come in time.
    FragmentTimeout,
    /// A fragment that came before.
    FragmentDuplicate,
    /// Too many fragments or datagrams are being put together.
    FragmentLimit,
    // ICMP.
    /// Truncated, or not what its type says.
    IcmpMalformed,
    /// Wrong checksum.
    IcmpChecksum,
    /// A type that asks nothing of us.
    IcmpType,
    /// An echo request to a broadcast address.
    IcmpBroadcastEcho,
    /// An error or an answer about nothing that we sent.
    IcmpUnmatched,
    /// More ICMP than the rate limit lets out.
    IcmpRateLimited,
    /// An error that could end or narrow a connection whose segments are signed by TCP-AO (RFC 5925, section 7.8).
    IcmpSigned,
    // UDP.
    /// Shorter than its header, or than its header says.
    UdpTruncated,
    /// Wrong checksum.
    UdpChecksum,
    /// No socket has this port.
    UdpNoSocket,
    /// From another peer than the one that the socket is connected to.
    UdpPeer,
    /// The application does not read fast enough.
    UdpQueueFull,
    /// Too few frames are left to let applications hold more of them.
    UdpFramesScarce,
    // TCP.
    /// Shorter than its header.
    TcpTruncated,
    /// A data offset below 5 words, or beyond the segment.
    TcpDataOffset,
    /// Wrong checksum.
    TcpChecksum,
    /// Malformed options.
    TcpOption,
    /// To or from a broadcast or multicast address, or port zero.
    TcpAddress,
    /// A combination of flags that nothing allows.
    TcpFlags,
    /// No connection and no listener (a reset is sent).
    TcpNoSocket,
    /// Not signed by MD5, though the peer has a key (RFC 2385).
    TcpMd5Missing,
    /// Signed by MD5, though the peer has no key for that.
    TcpMd5Unexpected,
    /// Signed by MD5 with another key, or changed on the way.
    TcpMd5Wrong,
    /// Not signed by TCP-AO, though the peer has a key (RFC 5925).
    TcpAoMissing,
    /// Signed by TCP-AO, though the peer has no key for that, or there is no connection.
    TcpAoUnexpected,
    /// Signed by TCP-AO with a key whose id nobody here knows.
    TcpAoKeyUnknown,
    /// Signed by TCP-AO with another key, or changed on the way.
    TcpAoWrong,
    /// More than one signature, or one of a length that none has.
    TcpAuthMalformed,
    /// Outside the receive window (an ACK is sent).
    TcpUnacceptable,
    /// An old timestamp (RFC 7323, PAWS).
    TcpPaws,
    /// No timestamp although they were agreed (RFC 7323, section 3.2).
    TcpTimestampMissing,
    /// Acknowledges what was not sent, or what is long gone (RFC 5961); before the handshake is done, echoes a time at which nothing was.
    TcpAckUnacceptable,
    /// No ACK flag after the handshake.
    TcpNoAck,
    /// A reset that is not exactly in sequence (RFC 5961, section 3).
    TcpResetUnacceptable,
    /// A SYN on a synchronized connection (RFC 5961, section 4).
    TcpSynInWindow,
    /// A SYN that the connection's state has no use for.
    TcpSynUnexpected,
    /// Data that had been received before.
    TcpDuplicate,
    /// Data beyond the receive window.
    TcpWindow,
    /// Out-of-order data beyond the queue's limit.
    TcpReassemblyFull,
    /// Data for a connection that the application has closed (a reset is sent).
    TcpAfterClose,
    /// Data that nobody will read: the application has shut down reading.
    TcpReceiveShut,
    /// A SYN while more of them arrives than the core has time for.
    TcpSynOverload,
    /// The listener's backlog is full.
    TcpListenOverflow,
    /// The listener has as many connections as it may have.
    TcpListenerLimit,
    /// The core's connections hold as much that nobody has read as they may.
    TcpMemoryLimit,
    /// Data out of order, while the memory of the core's connections runs out.
    TcpMemoryOutOfOrder,
    /// A connection that would begin, while the memory of the core's connections runs out.
    TcpMemoryConnection,
    /// Too many half-open connections.
    TcpHalfOpenLimit,
    /// Too many half-open connections of one listener.
    TcpHalfOpenListener,
    /// Too many half-open connections of one network of peers.
    TcpHalfOpenSource,
    /// The end of a handshake that is not told before the peer has sent something.
    TcpAcceptDeferred,
    /// Too many connections on this core.
    TcpConnectionLimit,
    /// A challenge ACK was due, but too many were sent (RFC 5961, section 7).
    TcpChallengeLimited,
}

impl Drop {
    /// Every reason, in packet order.
    pub const ALL: &[Self] = &[
        Self::PoolEmpty,
        Self::OutboxFull,
        Self::FrameHeadroom,
        Self::LoopbackFull,
        Self::ForwardFull,
        Self::ForwardCoreEnded,
        Self::EthernetRunt,
        Self::EthernetLength,
        Self::EthernetType,
        Self::EthernetAddress,
        Self::EthernetSource,
        Self::VlanForeign,
        Self::ArpMalformed,
        Self::ArpForeign,
        Self::ArpConflict,
        Self::NeighborQueueFull,
        Self::NeighborCacheFull,
        Self::NeighborUnreachable,
        Self::IpTruncated,
        Self::IpVersion,
        Self::IpHeaderLength,
        Self::IpTotalLength,
        Self::IpChecksum,
        Self::IpOption,
        Self::IpSourceRoute,
        Self::IpSource,
        Self::IpDestination,
        Self::IpProtocol,
        Self::IpNoRoute,
        Self::IpTooBig,
        Self::Ipv6Unsupported,
        Self::FragmentLength,
        Self::FragmentOverlap,
        Self::FragmentTimeout,
        Self::FragmentDuplicate,
        Self::FragmentLimit,
        Self::IcmpMalformed,
        Self::IcmpChecksum,
        Self::IcmpType,
        Self::IcmpBroadcastEcho,
        Self::IcmpUnmatched,
        Self::IcmpRateLimited,
        Self::IcmpSigned,
        Self::UdpTruncated,
        Self::UdpChecksum,
        Self::UdpNoSocket,
        Self::UdpPeer,
        Self::UdpQueueFull,
        Self::UdpFramesScarce,
        Self::TcpTruncated,
        Self::TcpDataOffset,
        Self::TcpChecksum,
        Self::TcpOption,
        Self::TcpAddress,
        Self::TcpFlags,
        Self::TcpNoSocket,
        Self::TcpMd5Missing,
        Self::TcpMd5Unexpected,
        Self::TcpMd5Wrong,
        Self::TcpAoMissing,
        Self::TcpAoUnexpected,
        Self::TcpAoKeyUnknown,
        Self::TcpAoWrong,
        Self::TcpAuthMalformed,
        Self::TcpUnacceptable,
        Self::TcpPaws,
        Self::TcpTimestampMissing,
        Self::TcpAckUnacceptable,
        Self::TcpNoAck,
        Self::TcpResetUnacceptable,
        Self::TcpSynInWindow,
        Self::TcpSynUnexpected,
        Self::TcpDuplicate,
        Self::TcpWindow,
        Self::TcpReassemblyFull,
        Self::TcpAfterClose,
        Self::TcpReceiveShut,
        Self::TcpSynOverload,
        Self::TcpListenOverflow,
        Self::TcpListenerLimit,
        Self::TcpMemoryLimit,
        Self::TcpMemoryOutOfOrder,
        Self::TcpMemoryConnection,
        Self::TcpHalfOpenLimit,
        Self::TcpHalfOpenListener,
        Self::TcpHalfOpenSource,
        Self::TcpAcceptDeferred,
        Self::TcpConnectionLimit,
        Self::TcpChallengeLimited,
    ];

    /// The counter's name, as `darner stat` prints it.
    #[expect(clippy::too_many_lines, reason = "a line for each")]
    pub fn name(self) -> &'static str {
        match self {
            Self::PoolEmpty => "pool-empty",
            Self::OutboxFull => "outbox-full",
            Self::FrameHeadroom => "frame-headroom",
            Self::LoopbackFull => "loopback-full",
            Self::ForwardFull => "forward-full",
            Self::ForwardCoreEnded => "forward-core-ended",
            Self::EthernetRunt => "ethernet-runt",
            Self::EthernetLength => "ethernet-length",
            Self::EthernetType => "ethernet-type",
            Self::EthernetAddress => "ethernet-address",
            Self::EthernetSource => "ethernet-source",
            Self::VlanForeign => "vlan-foreign",
            Self::ArpMalformed => "arp-malformed",
            Self::ArpForeign => "arp-foreign",
            Self::ArpConflict => "arp-conflict",
            Self::NeighborQueueFull => "neighbor-queue-full",
            Self::NeighborCacheFull => "neighbor-cache-full",
            Self::NeighborUnreachable => "neighbor-unreachable",
            Self::IpTruncated => "ip-truncated",
            Self::IpVersion => "ip-version",
            Self::IpHeaderLength => "ip-header-length",
            Self::IpTotalLength => "ip-total-length",
            Self::IpChecksum => "ip-checksum",
            Self::IpOption => "ip-option",
            Self::IpSourceRoute => "ip-source-route",
            Self::IpSource => "ip-source",
            Self::IpDestination => "ip-destination",
            Self::IpProtocol => "ip-protocol",
            Self::IpNoRoute => "ip-no-route",
            Self::IpTooBig => "ip-too-big",
            Self::Ipv6Unsupported => "ipv6-unsupported",
            Self::FragmentLength => "fragment-length",
            Self::FragmentOverlap => "fragment-overlap",
            Self::FragmentTimeout => "fragment-timeout",
            Self::FragmentDuplicate => "fragment-duplicate",
            Self::FragmentLimit => "fragment-limit",
            Self::IcmpMalformed => "icmp-malformed",
            Self::IcmpChecksum => "icmp-checksum",
            Self::IcmpType => "icmp-type",
            Self::IcmpBroadcastEcho => "icmp-broadcast-echo",
            Self::IcmpUnmatched => "icmp-unmatched",
            Self::IcmpRateLimited => "icmp-rate-limited",
            Self::IcmpSigned => "icmp-signed",
            Self::UdpTruncated => "udp-truncated",
            Self::UdpChecksum => "udp-checksum",
            Self::UdpNoSocket => "udp-no-socket",
            Self::UdpPeer => "udp-peer",
            Self::UdpQueueFull => "udp-queue-full",
            Self::UdpFramesScarce => "udp-frames-scarce",
            Self::TcpTruncated => "tcp-truncated",
            Self::TcpDataOffset => "tcp-data-offset",
            Self::TcpChecksum => "tcp-checksum",
            Self::TcpOption => "tcp-option",
            Self::TcpAddress => "tcp-address",
            Self::TcpFlags => "tcp-flags",
            Self::TcpNoSocket => "tcp-no-socket",
            Self::TcpMd5Missing => "tcp-md5-missing",
            Self::TcpMd5Unexpected => "tcp-md5-unexpected",
            Self::TcpMd5Wrong => "tcp-md5-wrong",
            Self::TcpAoMissing => "tcp-ao-missing",
            Self::TcpAoKeyUnknown => "tcp-ao-key-unknown",
            Self::TcpAoWrong => "tcp-ao-wrong",
            Self::TcpAoUnexpected => "tcp-ao-unexpected",
            Self::TcpAuthMalformed => "tcp-auth-malformed",
            Self::TcpUnacceptable => "tcp-unacceptable",
            Self::TcpPaws => "tcp-paws",
            Self::TcpTimestampMissing => "tcp-timestamp-missing",
            Self::TcpAckUnacceptable => "tcp-ack-unacceptable",
            Self::TcpNoAck => "tcp-no-ack",
            Self::TcpResetUnacceptable => "tcp-reset-unacceptable",
            Self::TcpSynInWindow => "tcp-syn-in-window",
            Self::TcpSynUnexpected => "tcp-syn-unexpected",
            Self::TcpDuplicate => "tcp-duplicate",
            Self::TcpWindow => "tcp-window",
            Self::TcpReassemblyFull => "tcp-reassembly-full",
            Self::TcpAfterClose => "tcp-after-close",
            Self::TcpReceiveShut => "tcp-receive-shut",
            Self::TcpSynOverload => "tcp-syn-overload",
            Self::TcpListenOverflow => "tcp-listen-overflow",
            Self::TcpListenerLimit => "tcp-listener-limit",
            Self::TcpMemoryLimit => "tcp-memory-limit",
            Self::TcpMemoryOutOfOrder => "tcp-memory-out-of-order",
            Self::TcpMemoryConnection => "tcp-memory-connection",
            Self::TcpHalfOpenLimit => "tcp-half-open-limit",
            Self::TcpHalfOpenListener => "tcp-half-open-listener",
            Self::TcpHalfOpenSource => "tcp-half-open-source",
            Self::TcpAcceptDeferred => "tcp-accept-deferred",
            Self::TcpConnectionLimit => "tcp-connection-limit",
            Self::TcpChallengeLimited => "tcp-challenge-limited",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_place_and_a_name_of_its_own() {
        let names: BTreeSet<_> = Drop::ALL.iter().map(|drop| drop.name()).collect();
        assert_eq!(names.len(), Drop::ALL.len());
        for (index, &drop) in Drop::ALL.iter().enumerate() {
            assert_eq!(drop as usize, index, "{drop:?} is out of order in ALL");
        }
    }
}
