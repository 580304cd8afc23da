//! What the connections of a client do.

use super::http::REQUEST_LEN;
use super::schedule::Schedule;

/// What is asked of a server.
#[derive(Debug)]
pub(crate) struct Plan {
    /// How many connections at the same time.
    pub(crate) connections: u32,
    pub(crate) work: Work,
    /// When the next request is made.
    pub(crate) pace: Pace,
    /// Whether segments have timestamps, if the server agrees.
    pub(crate) timestamps: bool,
    /// Most bytes that one connection has in flight.
    pub(crate) in_flight: u32,
    /// On how many connections requests are under way at most.
    pub(crate) under_way: u32,
}

/// What one connection does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Work {
    /// Asks again and again.
    Requests { request: u32, response: u32, depth: u32 },
    /// Asks for a page again and again, by HTTP; who is sent away comes back.
    Pages { depth: u32 },
    /// Connects, asks once, and closes; then the next one does, from another port.
    Once { request: u32, response: u32, closer: Closer },
    /// Sends without end.
    Send,
    /// Receives without end.
    Receive,
    /// Sends and receives without end, at the same time.
    Both,
    /// Nothing, once it is established.
    Rest,
}

/// Who closes a connection first, and so keeps it in TIME-WAIT.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Closer {
    Client,
    Server,
}

/// When the next request is made.
#[derive(Debug)]
pub(crate) enum Pace {
    /// As soon as the last one is answered: who is slow is asked less (closed loop).
    Closed,
    /// At times that are set before, whatever the server does (open loop).
    Open(Schedule),
}

impl Plan {
    /// Length of a request and its response, and how many are under way at the same time; nothing for streams.
    pub(crate) fn exchange(&self) -> (u32, u32, u32) {
        match self.work {
            Work::Requests { request, response, depth } => (request, response, depth),
            // How long a response is, it says itself.
            Work::Pages { depth } => (REQUEST_LEN, 0, depth),
            Work::Once { request, response, .. } => (request, response, 1),
            Work::Send | Work::Receive | Work::Both | Work::Rest => (0, 0, 0),
        }
    }

    /// On how many connections requests may be under way, so that no queue of a device has to hold more than [`FRAMES_MOST`].
    pub(crate) fn under_way_most(&self) -> u32 {
        match self.work {
            Work::Requests { request, response, depth } => {
                let segments = (request.max(response) * depth).div_ceil(SEGMENT);
                (FRAMES_MOST / segments).min(self.under_way).max(1)
            }
            Work::Pages { depth } => (FRAMES_MOST / depth).min(self.under_way).max(1),
            _ => self.under_way,
        }
    }

    /// Whether there is always more to send.
    pub(crate) fn sends_without_end(&self) -> bool {
        matches!(self.work, Work::Send | Work::Both)
    }

    /// Whether connections come and go.
    pub(crate) fn is_churn(&self) -> bool {
        matches!(self.work, Work::Once { .. })
    }
}

/// Frames on the wire at the same time, of all connections together: half of what a queue holds.
const FRAMES_MOST: u32 = 512;
/// The payload of a full segment, with timestamps, over Ethernet.
const SEGMENT: u32 = 1448;
