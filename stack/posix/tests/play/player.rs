//! Plays the events of a script, each at its time.

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use crate::calls::{Api, Descriptors};
use crate::numbers::Numbers;
use crate::packet::Packet;
use crate::script::{Action, Call, Event, Outcome};

pub(crate) struct Player {
    api: Api,
    descriptors: Descriptors,
    numbers: Numbers,
    start: u64,
    /// When the event before was.
    before: u64,
    pending: Option<Pending>,
}

/// A call that waits, on a thread of its own.
struct Pending {
    line: usize,
    call: Call,
    /// When it is to return.
    until: u64,
    returned: Receiver<(Outcome, u64)>,
}

impl Player {
    pub(crate) fn new() -> Self {
        let api = Api::new();
        let start = api.time() + 1_000;
        Self {
            api,
            descriptors: Descriptors::default(),
            numbers: Numbers::new(),
            start,
            before: start,
            pending: None,
        }
    }

    pub(crate) fn play(mut self, events: &[Event]) {
        for event in events {
            let at = event.at.from(self.start, self.before);
            match &event.action {
                Action::Leaves(packet) => self.leaves(event.line, at, packet),
                action => {
                    self.wait_for(at);
                    match (action, event.until) {
                        (Action::Arrives(packet), _) => {
                            self.api.send(&self.numbers.arriving(packet));
                        }
                        (Action::Call(call), None) => self.call(event.line, call),
                        (Action::Call(call), Some(until)) => {
                            let until = until.from(self.start, self.before);
                            self.begin(event.line, call, until);
                        }
                        (Action::Leaves(_), _) => unreachable!("above"),
                    }
                }
            }
            self.before = at;
        }
        self.finish_pending();
        self.api.free();
    }

    fn wait_for(&self, at: u64) {
        loop {
            let now = self.api.time();
            if now >= at {
                return;
            }
            // The last moments are waited for by asking, as packetdrill does.
            if at - now > 20 {
                self.api.sleep(at - now - 20);
            }
        }
    }

    fn leaves(&mut self, line: usize, at: u64, script: &Packet) {
        let Some((bytes, left_at)) = self.api.receive() else {
            panic!("line {line}: nothing leaves, but {script} was to");
        };
        let live = self.numbers.leaving(&bytes, script);
        assert!(script.matches(&live), "line {line}: {script} was to leave, not {live}");
        let (early, late) = (at.saturating_sub(left_at), left_at.saturating_sub(at));
        assert!(
            early.max(late) <= TOLERANCE,
            "line {line}: {script} leaves {early} us early, {late} us late"
        );
    }

    fn call(&mut self, line: usize, call: &Call) {
        // The descriptor may be what a call gives that waits, and has just returned.
        if let Some(pending) = self.pending.take() {
            match pending.returned.recv_timeout(Duration::from_millis(50)) {
                Ok(returned) => self.finish(&pending, returned),
                Err(_) => self.pending = Some(pending),
            }
        }
        let outcome = self.descriptors.prepare(call)(&self.api);
        self.check(line, call, &outcome);
    }

    fn begin(&mut self, line: usize, call: &Call, until: u64) {
        self.finish_pending();
        let act = self.descriptors.prepare(call);
        let api = self.api;
        let (to_us, returned) = sync_channel(1);
        let (tell_thread, thread) = sync_channel(1);
        std::thread::spawn(move || {
            tell_thread.send(rustix::thread::gettid().as_raw_nonzero()).expect("we listen");
            let outcome = act(&api);
            // Whoever has gone on without us has failed the script.
            let _ = to_us.send((outcome, api.time()));
        });
        let thread = thread.recv().expect("it tells");
        let sleeps = || {
            let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
            stat.is_ok_and(|stat| stat.contains(") S "))
        };
        let pending = Pending { line, call: call.clone(), until, returned };
        loop {
            if let Ok(returned) = pending.returned.try_recv() {
                return self.finish(&pending, returned);
            }
            if sleeps() {
                break;
            }
            std::thread::yield_now();
        }
        self.pending = Some(pending);
    }

    fn finish_pending(&mut self) {
        if let Some(pending) = self.pending.take() {
            let returned = pending.returned.recv_timeout(Duration::from_secs(5));
            let Ok(returned) = returned else { panic!("line {}: still waits", pending.line) };
            self.finish(&pending, returned);
        }
    }

    fn finish(&mut self, pending: &Pending, (outcome, time): (Outcome, u64)) {
        self.check(pending.line, &pending.call, &outcome);
        let off = time.abs_diff(pending.until);
        assert!(
            off <= TOLERANCE,
            "line {}: returns at {} us, not at {}",
            pending.line,
            time - self.start,
            pending.until - self.start
        );
    }

    fn check(&mut self, line: usize, call: &Call, outcome: &Outcome) {
        let outcome = self.descriptors.told(call, outcome);
        assert_eq!(outcome, call.outcome, "line {line}: {}", call.name);
    }
}

/// Microseconds: a tick of the timestamps' clock.
const TOLERANCE: u64 = 1_000;
