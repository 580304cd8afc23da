//! Every state against every kind of segment: what RFC 9293 (section 3.10.7), RFC 5961 and RFC 1337 say, in one [table](table).

mod reach;
mod table;

use super::state::State;
use super::state::State::*;
use reach::{Reached, reach};

#[test]
fn every_state_ends_when_nobody_answers_or_the_application_aborts() {
    for state in [Established, FinWait1, FinWait2, CloseWait, Closing, LastAck, SynReceived] {
        let Reached { mut t, next, .. } = reach(state.into());
        let (theirs, ours) = (next.theirs, next.ours);
        t.stream().abort();
        t.application();
        assert_eq!(t.sent(), [format!("RA {ours} ack {theirs}")], "{state:?}");
        assert_eq!(t.state(), None, "{state:?}");
    }
    for state in [SynReceived, Established, FinWait1, CloseWait, Closing, LastAck] {
        let Reached { mut t, .. } = reach(state.into());
        t.at(24 * 3_600_000);
        assert_eq!((t.state(), t.tcp.time_wait.len()), (None, 0), "{state:?}");
    }
}
