//! What is said of the size of segments before there is a connection (`TCP_MAXSEG`): both SYNs are held to it.

use super::Tcp;
use super::connection::{Connection, Context};
use super::emit::{SEGMENT_SIZE_MIN, max_segment_size};
use crate::demux::FlowKey4;
use crate::net::Net;

impl Tcp {
    /// What a SYN-ACK to this peer says of segments to us.
    pub(super) fn segment_size_to_offer(&mut self, net: &Net, flow: &FlowKey4) -> u16 {
        let listener = self.listeners.find(flow);
        limited(net, listener.and_then(|listener| listener.shared().max_segment_size()))
    }
}

impl Connection {
    /// What our SYN says of segments to us.
    pub(super) fn segment_size_to_offer(&self, cx: &Context<'_>) -> u16 {
        limited(cx.net, self.rare.max_segment_size())
    }
}

/// The largest segment that we take, if no more than `limit` is wanted.
pub(super) fn limited(net: &Net, limit: Option<u16>) -> u16 {
    let size = max_segment_size(net);
    limit.map_or(size, |limit| size.min(limit.max(SEGMENT_SIZE_MIN)))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use crate::api::{ConnectOptions, ListenOptions};
    use crate::socket::ListenerShared;
    use crate::tcp::harness::{Harness, OUR_PORT, PEER, PEER_PORT, US};
    use crate::tcp::{FastOpenConfig, TcpConfig};

    fn connecting(options: &ConnectOptions) -> Harness {
        let mut t = Harness::new(&Harness::plain());
        let remote = SocketAddrV4::new(PEER, PEER_PORT);
        let stream = t.tcp.connect_with(&mut t.net, None, remote, options);
        t.stream = Some(stream.unwrap());
        t
    }

    #[test]
    fn segments_are_no_larger_than_was_said_in_either_direction() {
        let options = ConnectOptions { max_segment_size: Some(700), ..ConnectOptions::default() };
        let mut t = connecting(&options);
        assert_eq!(t.last().options.max_segment_size, Some(700));
        t.at(0).at(1000);
        assert_eq!(t.last().options.max_segment_size, Some(700), "a SYN that is sent again");
        t.input("SA 0 ack 1 mss 1000").unwrap();
        t.sent();
        t.write(1400);
        assert_eq!(t.sent(), ["A 1+700 ack 1", "PA 701+700 ack 1"]);
    }

    #[test]
    fn a_limit_is_not_below_what_a_path_must_carry_and_does_not_raise_what_the_peer_takes() {
        let options = ConnectOptions { max_segment_size: Some(1), ..ConnectOptions::default() };
        let mut t = connecting(&options);
        assert_eq!(t.last().options.max_segment_size, Some(88));
        t.input("SA 0 ack 1").unwrap();
        t.connection(|c| assert_eq!(c.snd.mss, 88));
        let options = ConnectOptions { max_segment_size: Some(1400), ..ConnectOptions::default() };
        let mut t = connecting(&options);
        t.sent();
        t.input("SA 0 ack 1 mss 1000").unwrap();
        t.connection(|c| assert_eq!(c.snd.mss, 1000));
    }

    #[test]
    fn a_listener_says_it_for_its_connections_early_ones_included() {
        for fast_open in [0, 1] {
            let config = TcpConfig {
                fast_open: FastOpenConfig {
                    accepts_without_cookie: true,
                    ..FastOpenConfig::default()
                },
                ..Harness::plain()
            };
            let mut t = Harness::new(&config);
            let options = ListenOptions {
                max_segment_size: Some(700),
                fast_open,
                ..ListenOptions::default()
            };
            let listener = ListenerShared::new((US, OUR_PORT).into(), options, 1);
            t.tcp.listen(&t.net, listener.clone()).unwrap();
            t.listener = Some(listener);
            t.input("S 0+10 mss 1000").unwrap();
            assert_eq!(t.last().options.max_segment_size, Some(700));
            t.at(1000);
            assert_eq!(
                t.last().options.max_segment_size,
                Some(700),
                "a SYN-ACK that is sent again"
            );
            t.input(["A 1 ack 1", "A 11 ack 1"][fast_open as usize]).unwrap();
            assert!(t.accept());
            t.connection(|c| assert_eq!(c.snd.mss, 700));
        }
    }
}
