//! The TCP state diagram (RFC 9293, section 3.3.2, figure 5) and nothing else.
//!
//! Segments, timers and buffers are reduced to [`Event`]s before they reach this file. It holds no
//! data and has no side effects, so the whole diagram can be checked by enumeration.
//!
//! It differs from the figure in three places, each on purpose:
//!
//! - LISTEN never becomes SYN-SENT: a listener of ours cannot send.
//! - A reset in SYN-RECEIVED leads to CLOSED, never back to LISTEN: the listener is an object of its
//!   own and has not moved.
//! - A close in SYN-RECEIVED waits for ESTABLISHED, as section 3.10.4 has it where data is queued.
//!   Then no FIN is ever on its way before our SYN is acknowledged.

use Event::*;
use State::*;

/// Connection states, named as in the RFC.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum State {
    /// No connection.
    Closed,
    /// Waiting for any peer.
    Listen,
    /// Our SYN is out.
    SynSent,
    /// SYNs have crossed our answer, which is not acknowledged yet.
    SynReceived,
    /// Data flows both ways.
    Established,
    /// We have closed, and our FIN is not acknowledged.
    FinWait1,
    /// Our FIN is acknowledged; the peer may go on sending.
    FinWait2,
    /// The peer has closed; we may go on sending.
    CloseWait,
    /// Both have closed, and neither knows that the other knows.
    Closing,
    /// The peer closed first, and our FIN is not acknowledged.
    LastAck,
    /// Both have closed; old segments must die out before the addresses can be used again.
    TimeWait,
}

/// What happened, after acceptability checks have passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the diagram is whole, but listeners and TIME-WAIT are tables of their own"
    )
)]
pub(super) enum Event {
    /// An acceptable RST, an abort by the application, or retransmission gave up.
    Abort,
    /// The application will send no more.
    AppClose,
    /// The application opens towards a peer.
    AppConnect,
    /// The application waits for peers.
    AppListen,
    /// The peer has acknowledged our FIN.
    FinAcked,
    /// The peer's FIN, with everything before it received.
    FinArrived,
    /// TIME-WAIT has lasted 2 MSL.
    LingerExpired,
    /// A SYN that acknowledges ours.
    SynAckArrived,
    /// The peer has acknowledged our SYN.
    SynAcked,
    /// A SYN that acknowledges nothing.
    SynArrived,
}

impl State {
    /// The state after `event`, or `None` where the diagram has no such edge.
    ///
    /// One arm per edge. A segment that causes several events reports them in the order of section
    /// 3.10.7.4: our SYN acknowledged, our FIN acknowledged, the peer's FIN.
    pub(super) fn after(self, event: Event) -> Option<Self> {
        Some(match (self, event) {
            // Opening.
            (Closed, AppListen) => Listen,
            (Closed, AppConnect) => SynSent,
            (Listen, SynArrived) => SynReceived,
            (SynSent, SynAckArrived) => Established,
            // Both connect to each other: rare, and legal (MUST-10).
            (SynSent, SynArrived) => SynReceived,
            (SynReceived, SynAcked) => Established,

            // We close first.
            (Established, AppClose) => FinWait1,
            (FinWait1, FinAcked) => FinWait2,
            (FinWait1, FinArrived) => Closing,
            (FinWait2, FinArrived) => TimeWait,
            (Closing, FinAcked) => TimeWait,
            (TimeWait, LingerExpired) => Closed,

            // The peer closes first.
            (Established, FinArrived) => CloseWait,
            (CloseWait, AppClose) => LastAck,
            (LastAck, FinAcked) => Closed,

            // Giving up. A listener has no peer to be reset by.
            (Listen | SynSent, AppClose) => Closed,
            (Closed | Listen, Abort) => return None,
            (_, Abort) => Closed,

            _ => return None,
        })
    }

    /// Whether both SYNs have been exchanged and acknowledged.
    pub(crate) fn is_synchronized(self) -> bool {
        !matches!(self, Closed | Listen | SynSent | SynReceived)
    }

    /// Whether the peer may still send: its FIN has not come.
    pub(crate) fn can_receive(self) -> bool {
        matches!(self, Established | FinWait1 | FinWait2)
    }

    /// Whether a FIN of ours follows the last byte of the send ring, sent or not.
    pub(crate) fn has_closed(self) -> bool {
        matches!(self, FinWait1 | FinWait2 | Closing | LastAck | TimeWait)
    }

    /// The RFC's name.
    pub fn name(self) -> &'static str {
        match self {
            Closed => "CLOSED",
            Listen => "LISTEN",
            SynSent => "SYN-SENT",
            SynReceived => "SYN-RECEIVED",
            Established => "ESTABLISHED",
            FinWait1 => "FIN-WAIT-1",
            FinWait2 => "FIN-WAIT-2",
            CloseWait => "CLOSE-WAIT",
            Closing => "CLOSING",
            LastAck => "LAST-ACK",
            TimeWait => "TIME-WAIT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 11] = [
        Closed,
        Listen,
        SynSent,
        SynReceived,
        Established,
        FinWait1,
        FinWait2,
        CloseWait,
        Closing,
        LastAck,
        TimeWait,
    ];

    const EVENTS: [Event; 10] = [
        Abort,
        AppClose,
        AppConnect,
        AppListen,
        FinAcked,
        FinArrived,
        LingerExpired,
        SynAckArrived,
        SynAcked,
        SynArrived,
    ];

    /// Each row is one life of a connection, read off the figure. Together the rows take every
    /// edge, so the last assertion makes the table the diagram: nothing missing, nothing extra.
    #[test]
    fn the_diagram_is_exactly_these_lives() {
        type Life = (&'static str, State, &'static [(Event, State)]);
        const LIVES: &[Life] = &[
            (
                "we connect, we close",
                Closed,
                &[
                    (AppConnect, SynSent),
                    (SynAckArrived, Established),
                    (AppClose, FinWait1),
                    (FinAcked, FinWait2),
                    (FinArrived, TimeWait),
                    (LingerExpired, Closed),
                ],
            ),
            (
                "peer connects, peer closes",
                Closed,
                &[
                    (AppListen, Listen),
                    (SynArrived, SynReceived),
                    (SynAcked, Established),
                    (FinArrived, CloseWait),
                    (AppClose, LastAck),
                    (FinAcked, Closed),
                ],
            ),
            (
                "both connect, both close",
                SynSent,
                &[
                    (SynArrived, SynReceived),
                    (SynAcked, Established),
                    (AppClose, FinWait1),
                    (FinArrived, Closing),
                    (FinAcked, TimeWait),
                ],
            ),
            ("close before a peer appears", Listen, &[(AppClose, Closed)]),
            ("close before a peer answers", SynSent, &[(AppClose, Closed)]),
        ];

        let mut taken = vec![];
        for &(name, start, steps) in LIVES {
            let mut state = start;
            for &(event, want) in steps {
                assert_eq!(state.after(event), Some(want), "{name}: {state:?} on {event:?}");
                taken.push((state, event));
                state = want;
            }
        }
        for (state, event) in pairs().filter(|&(_, event)| event != Abort) {
            let listed = taken.contains(&(state, event));
            assert_eq!(state.after(event).is_some(), listed, "{state:?} on {event:?}");
        }
    }

    #[test]
    fn an_abort_closes_whatever_has_a_peer() {
        for state in STATES {
            let want = (state != Closed && state != Listen).then_some(Closed);
            assert_eq!(state.after(Abort), want, "{state:?}");
        }
    }

    #[test]
    fn a_fin_ends_one_direction_only() {
        for state in STATES.into_iter().filter(|state| state.is_synchronized()) {
            let sent = state.after(AppClose).is_none();
            assert_eq!(state.has_closed(), sent, "{state:?}");
            assert_eq!(state.can_receive(), state.after(FinArrived).is_some(), "{state:?}");
        }
    }

    fn pairs() -> impl Iterator<Item = (State, Event)> {
        STATES.into_iter().flat_map(|state| EVENTS.into_iter().map(move |event| (state, event)))
    }
}
