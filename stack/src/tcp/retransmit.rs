//! What is sent again: after a timeout (RFC 6298, section 5), or because it was found lost.

use super::connection::{Connection, Context};
use super::emit::NotSent;
use super::seq::Seq;
use super::state::State;
use crate::counters::Counter;
use crate::socket::Failure;
use crate::time::Instant;
use crate::wire::tcp::Flags;

impl Connection {
    /// The retransmission timer has gone off. While nothing is outstanding it was to ask after a closed window.
    pub(super) fn retransmission_timeout(&mut self, cx: &mut Context<'_>) {
        if !self.is_outstanding() {
            self.probe_window(cx);
            return;
        }
        if self.retries >= self.retries_allowed(cx) {
            self.give_up(cx);
            return;
        }
        cx.net.metrics.count(Counter::TcpTimeouts);
        self.retries = self.retries.saturating_add(1);
        self.rtt.back_off(&cx.config.rto_limits());
        self.deadlines.retransmit = cx.now() + self.rtt.rto();
        self.deadlines.probe = Instant::FAR_FUTURE;
        self.watch_user_timeout(cx);
        if !self.state.is_synchronized() {
            self.send_syn(cx);
            return;
        }
        let (path, numbers) = (self.path(), (self.snd.una, self.snd.nxt));
        if let Some(sender) = &mut self.sender {
            sender.timed_out(cx.now(), numbers, path);
            self.window_reduced();
        }
        self.suspect_path(cx);
        self.send_first_again(cx);
    }

    /// Sends the first segment that is not acknowledged, whatever the windows say.
    pub(super) fn send_first_again(&mut self, cx: &mut Context<'_>) {
        // What follows may have arrived.
        let first = self.sender.as_ref().map_or(0, |sender| sender.board.first_len());
        let most = if first > 0 { first } else { self.flight() };
        if self.send_again(cx, self.snd.una, most).is_err() {
            self.retry_soon(cx.now());
        }
    }

    /// Sends one segment from `seq` on again, of at most so many numbers, and returns of how many.
    pub(super) fn send_again(
        &mut self,
        cx: &mut Context<'_>,
        seq: Seq,
        most: u32,
    ) -> Result<u32, NotSent> {
        let tail = self.socket.send.tail().position;
        let end = self.seq_at(tail).earlier(self.snd.nxt);
        let len = end.offset_from(seq).min(most).min(self.snd.mss.into());
        // What was sent beyond the ring's end is the FIN.
        let fin = seq + len == end && end.precedes(self.snd.nxt) && most > len;
        let mut flags = Flags::ACK;
        if len > 0 && seq + len == end {
            flags = flags | Flags::PSH;
        }
        if fin {
            flags = flags | Flags::FIN;
        }
        self.emit(cx, seq, len, flags)?;
        if let Some(sender) = &mut self.sender {
            sender.sent_again(cx.now(), seq, len + u32::from(fin));
        }
        if seq == self.snd.una {
            // What the timer waits for left just now.
            self.deadlines.retransmit = cx.now() + self.rtt.rto();
        }
        Ok(len + u32::from(fin))
    }

    /// Sends the last segment again.
    pub(super) fn send_last_again(&mut self, cx: &mut Context<'_>) -> Result<u32, NotSent> {
        let last = self.sender.as_ref().map_or(self.snd.una, |sender| sender.last());
        let first = last.later(self.snd.una);
        self.send_again(cx, first, self.snd.nxt.offset_from(first))
    }

    pub(super) fn retries_allowed(&self, cx: &Context<'_>) -> u8 {
        match self.state {
            State::SynSent => self.rare.syn_retries().unwrap_or(cx.config.syn_retries),
            State::SynReceived => cx.config.syn_ack_retries,
            _ if self.user_timeout(cx.config).is_some() => u8::MAX,
            _ if self.socket.is_closed() => cx.config.orphan_retries,
            _ => cx.config.retries,
        }
    }

    /// The peer does not answer.
    pub(super) fn give_up(&mut self, cx: &mut Context<'_>) {
        let failure = self.soft_error.unwrap_or(Failure::TimedOut);
        self.fail(cx, failure);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use crate::api::ConnectOptions;
    use crate::counters::Counter;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::{Harness, PEER, PEER_PORT};

    #[test]
    fn a_syn_is_sent_again_and_again_and_then_given_up() {
        let config = TcpConfig { syn_retries: 3, ..Harness::plain() };
        let mut t = Harness::connecting(&config);
        assert_eq!(t.sent(), ["S 0"]);
        for at in [1000, 3000, 7000] {
            t.at(at - 1);
            assert_eq!(t.sent(), [""; 0]);
            t.at(at);
            assert_eq!(t.sent(), ["S 0"], "at {at}");
        }
        t.at(14_999);
        assert!(t.state().is_some());
        t.at(15_000);
        assert_eq!((t.state(), t.sent()), (None, vec![]));
        assert_eq!(t.read(1).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    }

    #[test]
    fn the_timeout_doubles_until_an_answer() {
        let mut t = Harness::connected();
        t.write(500);
        assert_eq!(t.sent(), ["PA 1+500 ack 1"]);
        for at in [200, 600, 1400] {
            t.at(at - 1);
            assert_eq!(t.sent(), [""; 0]);
            t.at(at + 1);
            assert_eq!(t.sent(), ["PA 1+500 ack 1"], "at {at}");
        }
        t.input("A 1 ack 501").unwrap();
        t.at(100_000);
        assert_eq!(t.sent(), [""; 0]);
        assert_eq!(t.count(Counter::TcpTimeouts), 3);
    }

    #[test]
    fn an_ack_starts_the_timer_anew_for_what_is_still_out() {
        let mut t = Harness::connected();
        t.write(2000);
        t.sent();
        t.at(100);
        t.input("A 1 ack 1001").unwrap();
        t.at(300);
        assert_eq!(t.sent(), [""; 0]);
        t.at(350);
        assert_eq!(t.sent(), ["PA 1001+1000 ack 1"]);
    }

    #[test]
    fn after_a_timeout_the_rest_follows_as_acks_come() {
        let mut t = Harness::connected();
        t.write(4000);
        assert_eq!(t.sent().len(), 4);
        t.at(200);
        assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
        t.input("A 1 ack 1001").unwrap();
        assert_eq!(t.sent(), ["A 1001+1000 ack 1", "A 2001+1000 ack 1"]);
        // The last one had arrived.
        t.input("A 1 ack 4001").unwrap();
        assert_eq!(t.sent(), [""; 0]);
    }

    #[test]
    fn three_duplicates_repair_a_loss_without_a_timeout() {
        let mut t = Harness::connected();
        t.write(10_000);
        assert_eq!(t.sent().len(), 10);
        t.input("A 1 ack 1").unwrap();
        t.input("A 1 ack 1").unwrap();
        assert_eq!(t.sent(), [""; 0]);
        t.input("A 1 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
        assert_eq!(t.count(Counter::TcpFastRetransmits), 1);
        // Further duplicates do not repeat it.
        t.input("A 1 ack 1").unwrap();
        assert_eq!(t.sent(), [""; 0]);
        t.input("A 1 ack 10001").unwrap();
        t.at(1000);
        assert_eq!(t.sent(), [""; 0]);
    }

    #[test]
    fn a_partial_ack_repairs_the_next_hole_at_once() {
        let mut t = Harness::connected();
        t.write(10_000);
        t.sent();
        t.burst(&["A 1 ack 1"; 3]);
        assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
        t.input("A 1 ack 3001").unwrap();
        assert_eq!(t.sent(), ["A 3001+1000 ack 1"]);
    }

    #[test]
    fn the_first_two_duplicates_let_new_data_out() {
        let mut t = Harness::connected();
        t.write(12_000);
        assert_eq!(t.sent().len(), 10);
        t.input("A 1 ack 1").unwrap();
        t.input("A 1 ack 1").unwrap();
        assert_eq!(t.sent(), ["A 10001+1000 ack 1", "PA 11001+1000 ack 1"]);
    }

    /// RFC 7323, appendix G: ten segments in flight give five samples per round trip, which weigh a fifth each.
    #[test]
    fn samples_by_timestamp_weigh_by_how_many_there_are() {
        let mut t =
            Harness::connecting(&TcpConfig { window_scaling: false, ..TcpConfig::default() });
        let clock = t.last().options.timestamps.unwrap().value;
        t.at(100).input(&format!("SA 0 ack 1 mss 1012 ts 1:{clock}")).unwrap();
        assert_eq!(t.connection(|c| c.rtt.srtt()).unwrap().as_millis(), 100);
        t.write(10_000);
        let dup = format!("A 1 ack 1 ts 2:{}", clock + 100);
        t.burst(&[dup.as_str(); 3]);
        t.at(300).input(&format!("A 1 ack 3001 ts 3:{}", clock + 100)).unwrap();
        let srtt = t.connection(|c| c.rtt.srtt()).unwrap();
        assert_eq!(srtt.as_micros() / 100, 1025, "100 ms, and a fortieth of the way to 200 ms");
    }

    #[test]
    fn duplicates_of_what_was_sent_again_repair_nothing() {
        let mut t = Harness::connected();
        t.write(4000);
        t.at(200);
        t.sent();
        t.burst(&["A 1 ack 1"; 5]);
        assert_eq!(t.count(Counter::TcpFastRetransmits), 0);
    }

    #[test]
    fn a_fin_is_sent_again() {
        let mut t = Harness::connected();
        t.write(10);
        t.close();
        assert_eq!(t.sent(), ["PA 1+10 ack 1", "FA 11 ack 1"]);
        t.input("A 1 ack 11").unwrap();
        t.at(200);
        assert_eq!(t.sent(), ["FA 11 ack 1"]);
        t.input("A 1 ack 12").unwrap();
        t.at(10_000);
        assert_eq!(t.sent(), [""; 0]);
    }

    #[test]
    fn an_attempt_is_given_up_after_as_many_syns_as_was_said() {
        for (syn_retries, syns) in [(Some(0), 1), (Some(2), 3), (None, 8)] {
            let mut t = Harness::new(&Harness::plain());
            let options = ConnectOptions { syn_retries, ..ConnectOptions::default() };
            let remote = SocketAddrV4::new(PEER, PEER_PORT);
            t.stream = t.tcp.connect_with(&mut t.net, None, remote, &options).ok();
            t.at(0).at(1_000_000);
            assert_eq!(t.sent().len(), syns);
            assert_eq!(t.state(), None);
        }
    }
}
