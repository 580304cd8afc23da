//! What closing does with bytes that nobody has read, and with those that were not sent (D-5, decisions 2 and 4).
//!
//! On a protocol thread nothing waits: a close that lingers says so, and the connection goes on closing by itself. That a thread
//! which may wait does is tested where there are threads (`stack/tests/threads/linger.rs`).

use std::time::Duration;

use super::said;
use crate::tcp::harness::Harness;
use crate::tcp::state::State;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Linger {
    Unset,
    Zero,
    Timed,
}

/// What the application does with its handles. Between the halves the protocol thread looks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Close,
    Drop,
    ReaderFirst,
    WriterFirst,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Peer {
    /// Acknowledges everything, and closes when we have.
    Answers,
    Silent,
    /// Resets as soon as we are closed.
    Resets,
}

#[derive(Clone, Copy, Debug)]
struct Case {
    linger: Linger,
    unread: bool,
    unsent: bool,
    way: Way,
    peer: Peer,
}

const WRITTEN: usize = 5000;
const WINDOW: u32 = 1000;

impl Case {
    fn all() -> Vec<Self> {
        let mut all = vec![];
        for linger in [Linger::Unset, Linger::Zero, Linger::Timed] {
            for way in [Way::Close, Way::Drop, Way::ReaderFirst, Way::WriterFirst] {
                for peer in [Peer::Answers, Peer::Silent, Peer::Resets] {
                    for (unread, unsent) in
                        [(false, false), (false, true), (true, false), (true, true)]
                    {
                        all.push(Self { linger, unread, unsent, way, peer });
                    }
                }
            }
        }
        all
    }

    /// A reset tells the peer that something is lost: what it sent (decision 2), or what it was sent.
    fn resets(self) -> bool {
        self.unread || self.linger == Linger::Zero
    }

    fn open(self) -> Harness {
        let mut t = Harness::connected();
        t.input(&format!("A 1 ack 1 win {WINDOW}")).unwrap();
        let linger = match self.linger {
            Linger::Unset => None,
            Linger::Zero => Some(Duration::ZERO),
            Linger::Timed => Some(Duration::from_secs(5)),
        };
        t.stream().set_linger(linger);
        if self.unsent {
            assert_eq!(t.write(WRITTEN), WRITTEN);
            assert_eq!(t.sent(), ["A 1+1000 ack 1"]);
        }
        if self.unread {
            t.input(&format!("PA 1+10 ack 1 win {WINDOW}")).unwrap();
        }
        t
    }

    /// What `close` says, and what is sent by then.
    fn close(self, t: &mut Harness) -> (String, Vec<String>) {
        let stream = t.stream.take().unwrap();
        let said = match self.way {
            Way::Close => said(stream.close().map(|()| "done")),
            Way::Drop => {
                drop(stream);
                "done".into()
            }
            Way::ReaderFirst | Way::WriterFirst => {
                let (reader, writer, _control) = stream.split();
                if self.way == Way::ReaderFirst {
                    drop(reader);
                    t.application();
                    drop(writer);
                } else {
                    drop(writer);
                    t.application();
                    drop(reader);
                }
                "done".into()
            }
        };
        t.application();
        (said, t.sent())
    }

    /// What is to be sent by the close: resets, and ends of the stream.
    fn judge(self, sent: &[String]) {
        let count = |flag: char| {
            let has = |text: &&String| text.split(' ').next().unwrap().contains(flag);
            sent.iter().filter(has).count()
        };
        // The end of the writing half is heard of before the socket is closed, and goes out if nothing is before it.
        let first = self.way == Way::WriterFirst && !self.unsent;
        let fins = if self.resets() { usize::from(first) } else { usize::from(!self.unsent) };
        let resets = usize::from(self.resets());
        assert_eq!((count('R'), count('F')), (resets, fins), "{self:?}: {sent:?}");
    }

    /// The peer's part from there on, until nothing is left.
    fn end(self, t: &mut Harness) {
        let received = if self.unread { 11 } else { 1 };
        match self.peer {
            Peer::Silent => {
                // Nobody is left to care: that bounds how often anything is sent again.
                t.at(600_000);
            }
            Peer::Resets => {
                let _gone = t.input(&format!("R {received}"));
            }
            Peer::Answers if self.resets() => {
                t.input(&format!("A {received} ack 1")).unwrap_err();
                let answer = t.sent();
                assert!(answer[0].starts_with('R'), "nobody is there: {answer:?}");
            }
            Peer::Answers => {
                let end = if self.unsent { WRITTEN + 2 } else { 2 };
                for ack in (1..end).step_by(1000).chain([end]) {
                    t.input(&format!("A {received} ack {ack} win {WINDOW}")).unwrap();
                }
                assert_eq!(t.state(), Some(State::FinWait2), "{self:?}");
                let last = t.sent().pop().unwrap_or_default();
                // The window is as large as what was left: there is no room for the end beside it.
                let wanted = if self.unsent { "FA 5001 ack 1" } else { "" };
                assert_eq!(last, wanted, "{self:?}");
                t.input(&format!("FA {received} ack {end}")).unwrap();
                assert_eq!(t.tcp.time_wait.len(), 1, "{self:?}");
            }
        }
        t.sent();
        assert_eq!((t.state(), t.frames_held()), (None, 0), "{self:?}");
    }
}

#[test]
fn closing_sends_what_is_left_or_says_that_it_is_lost() {
    for case in Case::all() {
        let mut t = case.open();
        let (said, sent) = case.close(&mut t);
        // Waiting, if it is to wait at all, is for whoever may wait; where a reset goes out nothing is waited for.
        let would_wait = case.way == Way::Close && case.linger == Linger::Timed && !case.resets();
        assert_eq!(said, if would_wait { "WouldBlock" } else { "done" }, "{case:?}");
        case.judge(&sent);
        assert_eq!(t.state().is_none(), case.resets(), "{case:?}");
        case.end(&mut t);
    }
}

/// no FIN, before or after, and every frame comes back although the peer's window has held most of the ring.
#[test]
fn a_linger_of_zero_sends_a_reset_and_nothing_else() {
    let mut t = Harness::connected();
    t.write(100_000);
    t.sent();
    t.stream().set_linger(Some(Duration::ZERO));
    t.close();
    assert_eq!(t.sent(), ["RA 10001 ack 1"]);
    t.at(100_000);
    assert_eq!((t.sent(), t.frames_held()), (vec![], 0));
}

/// Once the peer has everything, or never will, there is nothing to linger for: the close says how it ended, once.
#[test]
fn a_close_that_lingers_returns_at_once_when_all_is_settled() {
    for (segments, wanted) in [
        (&["A 1 ack 5"][..], "WouldBlock"),
        (&["A 1 ack 5", "A 1 ack 6"], "done"),
        (&["FA 1 ack 5", "A 2 ack 6"], "done"),
        (&["A 1 ack 5", "R 1"], "ConnectionReset"),
        (&["R 1"], "ConnectionReset"),
    ] {
        let mut t = Harness::connected();
        t.write(4);
        t.stream().shutdown(std::net::Shutdown::Write);
        t.application();
        segments.iter().for_each(|segment| t.input(segment).unwrap());
        t.stream().set_linger(Some(Duration::from_secs(5)));
        let closed = said(t.stream.take().unwrap().close().map(|()| "done"));
        assert_eq!(closed, wanted, "{segments:?}");
    }
}

/// The option is read when the last handle goes, though a thread that sets one is in the way just then: it hints when it
/// is done.
#[test]
fn a_close_that_finds_the_control_lock_taken_waits_for_the_next_look() {
    let mut t = Harness::connected();
    t.stream().set_linger(Some(Duration::ZERO));
    t.application();
    let control = t.stream().control().clone();
    let stream = t.stream.take();
    control.side().with(|_| {
        drop(stream);
        t.application();
        assert_eq!(t.sent(), [""; 0], "how it is to end is not known yet");
    });
    t.application();
    assert_eq!((t.sent(), t.state()), (vec!["RA 1 ack 1".to_owned()], None));
}

/// The same with another core's protocol thread in the way.
#[test]
fn another_core_that_leaves_the_control_lock_hints_as_well() {
    let mut t = Harness::connected();
    let control = t.stream().control().clone();
    let stream = t.stream.take();
    let left = control.side().try_with(|_| {
        drop(stream);
        t.application();
        assert_eq!(t.sent(), [""; 0]);
    });
    t.application();
    assert_eq!((left, t.sent()), (Ok(()), vec!["FA 1 ack 1".to_owned()]));
}
