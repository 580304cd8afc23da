//! What ICMP says about segments of ours (RFC 9293, section 3.9.2.2; RFC 5927): a hint, never a proof.

use super::Tcp;
use super::config::ErrorMapping;
use super::connection::{Connection, Context};
use super::seq::Seq;
use super::state::State;
use crate::demux::FlowKey4;
use crate::drops::Drop;
use crate::icmp::IcmpError;
use crate::net::Net;

impl Tcp {
    /// A segment of ours did not arrive, or so somebody says.
    pub(crate) fn icmp_error(
        &mut self,
        net: &mut Net,
        flow: &FlowKey4,
        seq: Seq,
        error: IcmpError,
    ) -> Result<(), Drop> {
        let id = self.find(flow).ok_or(Drop::IcmpUnmatched)?;
        let heard =
            self.with_connection(net, id, |connection, cx| connection.icmp_error(cx, seq, error));
        heard.unwrap_or(Err(Drop::IcmpUnmatched))
    }
}

impl Connection {
    /// Whoever cannot see our segments does not know which numbers are on their way (RFC 5927, section 4.1).
    fn icmp_error(&mut self, cx: &mut Context<'_>, seq: Seq, error: IcmpError) -> Result<(), Drop> {
        if !seq.is_within(self.snd.una, self.flight()) {
            return Err(Drop::IcmpUnmatched);
        }
        if self.state.is_synchronized() && self.is_signed_by_ao() && is_hard(error) {
            return Err(Drop::IcmpSigned);
        }
        match (error, self.state) {
            (IcmpError::TooBig { mtu, len }, _) => {
                return self.packet_too_big(cx, seq, (mtu, len));
            }
            (_, State::SynSent) if ends_attempt(cx.config.errors, error) => {
                self.fail(cx, error.failure());
            }
            // Remembered, in case that nothing else is ever heard (section 3.9.2.2: MUST NOT abort).
            _ => self.soft_error = Some(error.failure()),
        }
        Ok(())
    }
}

/// Whether an error about our SYN is the end of it.
fn ends_attempt(mapping: ErrorMapping, error: IcmpError) -> bool {
    match mapping {
        ErrorMapping::Linux => true,
        ErrorMapping::FreeBsd => is_hard(error) || error == IcmpError::Prohibited,
    }
}

/// Codes 2 to 4 of "destination unreachable", which connections signed by TCP-AO MUST ignore by default (RFC 5925, section 7.8).
fn is_hard(error: IcmpError) -> bool {
    use IcmpError::{PortUnreachable, ProtocolUnreachable, TooBig};
    matches!(error, ProtocolUnreachable | PortUnreachable | TooBig { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::TcpConfig;
    use crate::tcp::harness::Harness;

    fn trouble(t: &mut Harness, seq: u32, error: IcmpError) -> Result<(), Drop> {
        let flow = t.flow();
        let seq = t.connection(|c| c.snd.iss) + seq;
        let heard = t.tcp.icmp_error(&mut t.net, &flow, seq, error);
        t.tcp.flush(&mut t.net);
        heard
    }

    #[test]
    fn nobody_at_the_port_or_on_the_way_ends_an_attempt() {
        use std::io::ErrorKind;
        for (error, want) in [
            (IcmpError::PortUnreachable, ErrorKind::ConnectionRefused),
            (IcmpError::HostUnreachable, ErrorKind::HostUnreachable),
            (IcmpError::NetUnreachable, ErrorKind::NetworkUnreachable),
        ] {
            let mut t = Harness::connecting(&Harness::plain());
            t.sent();
            assert_eq!(trouble(&mut t, 1, error), Err(Drop::IcmpUnmatched), "not our SYN");
            trouble(&mut t, 0, error).unwrap();
            assert_eq!(t.state(), None);
            assert_eq!(t.read(1).unwrap_err().kind(), want);
        }
    }

    /// RFC 9293, section 3.9.2.2: what may pass MUST NOT end an attempt.
    #[test]
    fn as_freebsd_has_it_an_attempt_survives_what_may_pass() {
        use std::io::ErrorKind;
        let config = TcpConfig { errors: ErrorMapping::FreeBsd, ..Harness::plain() };
        for (error, want) in [
            (IcmpError::PortUnreachable, Some(ErrorKind::ConnectionRefused)),
            (IcmpError::Prohibited, Some(ErrorKind::HostUnreachable)),
            (IcmpError::HostUnreachable, None),
            (IcmpError::TimeExceeded, None),
        ] {
            let mut t = Harness::connecting(&config);
            t.sent();
            trouble(&mut t, 0, error).unwrap();
            match want {
                Some(want) => assert_eq!(t.read(1).unwrap_err().kind(), want),
                None => {
                    assert_eq!(t.state(), Some(State::SynSent), "{error:?}");
                    t.at(600_000);
                    assert_eq!(t.read(1).unwrap_err().kind(), ErrorKind::HostUnreachable);
                }
            }
        }
    }

    #[test]
    fn an_established_connection_survives_and_remembers() {
        let mut t = Harness::connected();
        assert_eq!(trouble(&mut t, 1, IcmpError::PortUnreachable), Err(Drop::IcmpUnmatched));
        t.write(100);
        trouble(&mut t, 1, IcmpError::HostUnreachable).unwrap();
        assert_eq!(t.state(), Some(State::Established));
        t.at(3_600_000);
        assert_eq!(t.read(1).unwrap_err().kind(), std::io::ErrorKind::HostUnreachable);
    }

    /// RFC 5927, sections 4.1 and 5.2: no error about a number that is not on its way is heard, and none ends what both sides have
    /// agreed on, be it as hard as RFC 1122 has it.
    #[test]
    fn every_error_in_every_state_does_what_rfc_5927_says() {
        #[derive(Debug, PartialEq)]
        enum Heard {
            Fails,
            Noted,
            Ignored,
        }
        use Heard::*;
        let errors = [
            IcmpError::NetUnreachable,
            IcmpError::HostUnreachable,
            IcmpError::ProtocolUnreachable,
            IcmpError::PortUnreachable,
            IcmpError::Prohibited,
            IcmpError::TimeExceeded,
            IcmpError::ParameterProblem,
        ];
        // What is outstanding in each state, as numbers from our SYN, and what an error about it does.
        for (state, outstanding, does) in [
            (State::SynSent, 0..1, Fails),
            (State::SynReceived, 0..1, Noted),
            (State::Established, 1..101, Noted),
            (State::CloseWait, 1..101, Noted),
            (State::FinWait1, 1..102, Noted),
            (State::Closing, 1..102, Noted),
            (State::LastAck, 1..102, Noted),
        ] {
            let (first, end) = (outstanding.start, outstanding.end);
            for error in errors {
                for seq in [u32::wrapping_sub(first, 1), first, end - 1, end, end + 70_000] {
                    let want = if outstanding.contains(&seq) { &does } else { &Ignored };
                    let mut t = in_state(state);
                    let heard = trouble(&mut t, seq, error);
                    let got = match t.state() {
                        None => Fails,
                        Some(now) => {
                            assert_eq!(now, state);
                            let noted = t.connection(|c| c.soft_error.is_some());
                            if noted { Noted } else { Ignored }
                        }
                    };
                    assert_eq!(&got, want, "{error:?} about {seq} in {state:?}");
                    assert_eq!(heard.is_err(), got == Ignored, "{error:?} in {state:?}");
                    assert_eq!(t.sent(), [""; 0]);
                }
            }
        }
    }

    /// With everything that we have ever sent outstanding: a SYN, or 100 bytes and perhaps a FIN.
    fn in_state(state: State) -> Harness {
        let mut t = match state {
            State::SynSent | State::SynReceived => Harness::connecting(&Harness::plain()),
            _ => Harness::connected(),
        };
        t.sent();
        if state.is_synchronized() {
            t.write(100);
        }
        match state {
            State::SynReceived => t.input("S 0 mss 1000").unwrap(),
            State::CloseWait | State::LastAck => t.input("FA 1 ack 1").unwrap(),
            _ => {}
        }
        if state.has_closed() {
            t.stream().shutdown(std::net::Shutdown::Write);
            t.application();
        }
        if state == State::Closing {
            t.input("FA 1 ack 1").unwrap();
        }
        t.sent();
        assert_eq!(t.state(), Some(state));
        t
    }

    /// Nobody holds state for an error to end: a half-open connection waits, TIME-WAIT lasts.
    #[test]
    fn errors_end_neither_handshakes_nor_time_wait() {
        let mut t = Harness::listening(&Harness::plain(), 1);
        t.input("S 0").unwrap();
        t.sent();
        let (flow, iss) = (t.flow(), t.our_iss());
        for waits in [false, true] {
            if waits {
                t.input("A 1 ack 1").unwrap();
                assert!(t.accept());
                t.close();
                t.input("FA 1 ack 2").unwrap();
                t.sent();
            }
            for seq in 0..3 {
                let error = IcmpError::PortUnreachable;
                let heard = t.tcp.icmp_error(&mut t.net, &flow, iss + seq, error);
                assert_eq!(heard, Err(Drop::IcmpUnmatched));
            }
            let held = (t.tcp.half_open.len(), t.tcp.time_wait.len());
            assert_eq!(held, if waits { (0, 1) } else { (1, 0) });
        }
    }

    #[test]
    fn an_ack_clears_what_was_remembered() {
        let mut t = Harness::connected();
        t.write(100);
        trouble(&mut t, 1, IcmpError::HostUnreachable).unwrap();
        t.input("A 1 ack 101").unwrap();
        t.write(100);
        t.at(3_600_000);
        assert_eq!(t.read(1).unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_narrow_path_makes_segments_smaller_and_what_was_lost_comes_again() {
        let mut t = Harness::connected();
        t.write(3000);
        assert_eq!(t.sent().len(), 3);
        trouble(&mut t, 1, IcmpError::TooBig { mtu: 640, len: 1040 }).unwrap();
        let again = t.sent();
        assert_eq!(again[..2], ["A 1+600 ack 1", "A 601+600 ack 1"]);
        t.input("A 1 ack 3001").unwrap();
        t.write(700);
        assert_eq!(t.sent(), ["A 3001+600 ack 1", "PA 3601+100 ack 1"]);
        assert_eq!(t.count(crate::counters::Counter::TcpTimeouts), 0);
    }
}
