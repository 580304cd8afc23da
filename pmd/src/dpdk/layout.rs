//! Proof, at compile time, that [`Segment`] is an `rte_mbuf` and that our flag bits are DPDK's.

use std::mem::offset_of;

use dpdk_sys::{self as sys, rte_mbuf};

use crate::frame::{Segment, flag};
use crate::pool::HEADROOM;

const _: () = {
    assert!(size_of::<Segment>() == size_of::<rte_mbuf>());
    assert!(align_of::<Segment>() == align_of::<rte_mbuf>());
    assert!(offset_of!(Segment, buf_addr) == offset_of!(rte_mbuf, buf_addr));
    assert!(offset_of!(Segment, buf_iova) == offset_of!(rte_mbuf, buf_iova));
    assert!(offset_of!(Segment, data_off) == offset_of!(rte_mbuf, data_off));
    assert!(offset_of!(Segment, refcnt) == offset_of!(rte_mbuf, refcnt));
    assert!(offset_of!(Segment, nb_segs) == offset_of!(rte_mbuf, nb_segs));
    assert!(offset_of!(Segment, port) == offset_of!(rte_mbuf, port));
    assert!(offset_of!(Segment, ol_flags) == offset_of!(rte_mbuf, ol_flags));
    // Unions that bindgen names by their place: the packet type, the hash (of which RSS is the first word), the lengths.
    assert!(offset_of!(Segment, packet_type) == offset_of!(rte_mbuf, __bindgen_anon_1));
    assert!(offset_of!(Segment, pkt_len) == offset_of!(rte_mbuf, pkt_len));
    assert!(offset_of!(Segment, data_len) == offset_of!(rte_mbuf, data_len));
    assert!(offset_of!(Segment, vlan_tci) == offset_of!(rte_mbuf, vlan_tci));
    assert!(offset_of!(Segment, hash_rss) == offset_of!(rte_mbuf, __bindgen_anon_2));
    assert!(offset_of!(Segment, hash_high) == offset_of!(Segment, hash_rss) + 4);
    assert!(offset_of!(Segment, vlan_tci_outer) == offset_of!(rte_mbuf, vlan_tci_outer));
    assert!(offset_of!(Segment, buf_len) == offset_of!(rte_mbuf, buf_len));
    assert!(offset_of!(Segment, pool) == offset_of!(rte_mbuf, pool));
    assert!(offset_of!(Segment, next) == offset_of!(rte_mbuf, next));
    assert!(offset_of!(Segment, tx_offload) == offset_of!(rte_mbuf, __bindgen_anon_3));
    assert!(offset_of!(Segment, shinfo) == offset_of!(rte_mbuf, shinfo));
    assert!(offset_of!(Segment, priv_size) == offset_of!(rte_mbuf, priv_size));
    assert!(offset_of!(Segment, timesync) == offset_of!(rte_mbuf, timesync));
    assert!(offset_of!(Segment, dynfield1) == offset_of!(rte_mbuf, dynfield1));
};

const _: () = {
    assert!(flag::RX_RSS_HASH == sys::RTE_MBUF_F_RX_RSS_HASH as u64);
    assert!(flag::RX_IP_BAD == sys::RTE_MBUF_F_RX_IP_CKSUM_BAD as u64);
    assert!(flag::RX_IP_GOOD == sys::RTE_MBUF_F_RX_IP_CKSUM_GOOD as u64);
    assert!(flag::RX_L4_BAD == sys::RTE_MBUF_F_RX_L4_CKSUM_BAD as u64);
    assert!(flag::RX_L4_GOOD == sys::RTE_MBUF_F_RX_L4_CKSUM_GOOD as u64);
    assert!(flag::TX_TCP_SEGMENTS == sys::RTE_MBUF_F_TX_TCP_SEG);
    assert!(flag::TX_TCP_CHECKSUM == sys::RTE_MBUF_F_TX_TCP_CKSUM);
    assert!(flag::TX_UDP_CHECKSUM == sys::RTE_MBUF_F_TX_UDP_CKSUM);
    assert!(flag::TX_L4_MASK == sys::RTE_MBUF_F_TX_L4_MASK);
    assert!(flag::TX_IP_CHECKSUM == sys::RTE_MBUF_F_TX_IP_CKSUM);
    assert!(flag::TX_IPV4 == sys::RTE_MBUF_F_TX_IPV4);
    assert!(flag::TX_IPV6 == sys::RTE_MBUF_F_TX_IPV6);
};

// Fresh frames of both kinds begin at the same place.
const _: () = assert!(HEADROOM == sys::RTE_PKTMBUF_HEADROOM as usize);
