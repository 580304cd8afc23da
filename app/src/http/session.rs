//! Moves bytes between a [`Connection`] and a stream, and loses patience with clients that do not.

use std::io::{self, BufRead, ErrorKind, Write};
use std::time::Duration;

use darner::time::Instant;

use super::connection::{Activity, Connection};
use super::disk::{Answer, Task};
use super::site::{Limits, Site};

/// A non-blocking stream: reads in place, writes what fits, and can end its own direction.
pub(crate) trait Stream: BufRead + Write {
    /// Ends the stream behind what has been written; the other direction stays open.
    fn finish(&mut self) -> io::Result<()>;
}

/// One client's connection with what could not be sent yet.
pub(crate) struct Session {
    connection: Connection,
    unsent: Vec<u8>,
    /// How much of `unsent` has been sent after all.
    sent: usize,
    pace: Pace,
    watched: (Activity, u32),
    ending: Ending,
}

/// How far the end of the session has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    Open,
    /// The client will send no more.
    PeerFinished,
    /// We have ended our direction, and wait for the client to end its own. Closing with unread input would reset
    /// the connection, and the reset may overtake the response (RFC 9112, section 9.6).
    Lingering,
}

/// What the caller does next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// Nothing until the stream is ready, the disk answers or time runs out.
    Wait,
    /// Call again soon: there is more to do, but others want their turn.
    Again,
    /// Close the stream.
    Close,
    /// Reset the stream: what was promised cannot be delivered.
    Reset,
}

/// Bytes moved in one turn before others get theirs.
const TURN: usize = 256 << 10;

impl Session {
    pub(crate) fn new(now: Instant) -> Self {
        let connection = Connection::new();
        let watched = (connection.activity(), 0);
        let pace = Pace::new(now);
        Self { connection, unsent: Vec::new(), sent: 0, pace, watched, ending: Ending::Open }
    }

    /// Sends and receives until the stream would block or the turn is over.
    pub(crate) fn run(&mut self, stream: &mut impl Stream, site: &mut Site) -> Next {
        match self.exchange_bytes(stream, site) {
            Ok(next) => next,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Next::Wait,
            // The stream is broken; closing it is all that is left.
            Err(_) => Next::Close,
        }
    }

    /// Work for the disk, once for each piece of it.
    pub(crate) fn task(&mut self) -> Option<Task> {
        self.connection.task()
    }

    /// What the disk says to this session's last task. [`Session::run`] comes next.
    pub(crate) fn disk_answered(&mut self, answer: Answer, site: &mut Site) {
        self.connection.disk_answered(answer, site, &mut self.unsent);
        self.watch(site.now());
    }

    /// When patience ends, as things stand.
    pub(crate) fn deadline(&self, limits: &Limits) -> Instant {
        if !self.unsent.is_empty() {
            return self.pace.deadline(limits);
        }
        match self.watched.0 {
            Activity::Idle => self.pace.last + limits.idle,
            Activity::Head => self.pace.started + limits.head,
            Activity::Transfer => self.pace.deadline(limits),
            Activity::Disk => Instant::FAR_FUTURE,
            Activity::Finished | Activity::Broken => self.pace.started + limits.linger,
        }
    }

    /// Acts if patience has ended. [`Session::run`] comes next unless this says to close or reset.
    pub(crate) fn check_patience(&mut self, site: &mut Site) -> Next {
        if site.now() < self.deadline(&site.limits) {
            return Next::Wait;
        }
        if !self.unsent.is_empty() || self.ending == Ending::Lingering {
            return Next::Reset;
        }
        self.connection.expire(site, &mut self.unsent);
        self.watch(site.now());
        Next::Again
    }

    fn exchange_bytes(&mut self, stream: &mut impl Stream, site: &mut Site) -> io::Result<Next> {
        let mut moved = 0;
        while moved < TURN {
            moved += self.send(stream, site)?;
            if self.ending == Ending::Lingering {
                return self.linger(stream);
            }
            match self.connection.activity() {
                Activity::Broken => return Ok(Next::Reset),
                Activity::Finished => {
                    if self.ending == Ending::PeerFinished {
                        return Ok(Next::Close);
                    }
                    stream.finish()?;
                    self.ending = Ending::Lingering;
                }
                _ if self.connection.wants_input() => moved += self.receive(stream, site)?,
                // The next chunk is on its way from the disk, or has just become the current one.
                _ if self.connection.content().is_empty() => return Ok(Next::Wait),
                _ => {}
            }
        }
        Ok(Next::Again)
    }

    /// Sends all output, then content as far as there is any. `WouldBlock` if the stream does not take it all.
    fn send(&mut self, stream: &mut impl Stream, site: &mut Site) -> io::Result<usize> {
        let mut moved = 0;
        while self.sent < self.unsent.len() {
            let len = stream.write(&self.unsent[self.sent..])?;
            self.sent += len;
            moved += self.count_out(len, site)?;
        }
        self.give_buffer_back(site);
        while moved < TURN && !self.connection.content().is_empty() {
            let len = stream.write(self.connection.content())?;
            self.connection.content_sent(len);
            moved += self.count_out(len, site)?;
        }
        self.watch(site.now());
        Ok(moved)
    }

    /// An idle connection holds no buffer: the core keeps one for whoever writes next.
    fn give_buffer_back(&mut self, site: &mut Site) {
        self.sent = 0;
        self.unsent.clear();
        if self.unsent.capacity() > site.buffer.capacity() {
            site.buffer = std::mem::take(&mut self.unsent);
        } else {
            self.unsent = Vec::new();
        }
    }

    fn count_out(&mut self, len: usize, site: &mut Site) -> io::Result<usize> {
        if len == 0 {
            return Err(ErrorKind::WriteZero.into());
        }
        site.tally.bytes_out += len as u64;
        self.pace.moved(site.now(), len);
        Ok(len)
    }

    fn receive(&mut self, stream: &mut impl Stream, site: &mut Site) -> io::Result<usize> {
        let input = stream.fill_buf()?;
        if input.is_empty() {
            self.ending = Ending::PeerFinished;
            self.connection.input_ended();
            return Ok(0);
        }
        if self.unsent.capacity() == 0 {
            self.unsent = std::mem::take(&mut site.buffer);
        }
        let used = self.connection.receive(input, site, &mut self.unsent);
        stream.consume(used);
        site.tally.bytes_in += used as u64;
        self.pace.moved(site.now(), used);
        self.watch(site.now());
        Ok(used)
    }

    /// Discards input until the client ends its direction too.
    fn linger(&mut self, stream: &mut impl Stream) -> io::Result<Next> {
        for _ in 0..LINGER_READS {
            let len = stream.fill_buf()?.len();
            if len == 0 {
                return Ok(Next::Close);
            }
            stream.consume(len);
        }
        Ok(Next::Again)
    }

    /// Restarts the clock when the connection turns to something else.
    fn watch(&mut self, now: Instant) {
        let watched = (self.connection.activity(), self.connection.requests());
        if watched != self.watched {
            self.watched = watched;
            self.pace = Pace::new(now);
        }
    }
}

/// Reads that one turn of lingering may discard.
const LINGER_READS: usize = 16;

/// How fast something moves.
struct Pace {
    started: Instant,
    last: Instant,
    bytes: u64,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { started: now, last: now, bytes: 0 }
    }

    fn moved(&mut self, now: Instant, bytes: usize) {
        self.last = now;
        self.bytes += bytes as u64;
    }

    /// A transfer may neither stand still nor trickle: one byte now and then is as good as none.
    fn deadline(&self, limits: &Limits) -> Instant {
        let earned = Duration::from_secs(self.bytes / limits.min_rate.max(1));
        (self.last + limits.stall).min(self.started + limits.stall + earned)
    }
}
