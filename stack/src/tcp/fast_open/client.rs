//! The side that connects (RFC 7413, section 4.2.1): it remembers the cookies that servers have handed out.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::FastOpen;
use crate::api::{ConnectOptions, TcpStream};
use crate::net::Net;
use crate::tcp::Tcp;
use crate::tcp::connect::DEFAULT_SEGMENT_SIZE;
use crate::tcp::connection::{Connection, Context};
use crate::tcp::emit::path_segment_size;
use crate::tcp::open::ConnectError;
use crate::tcp::segment::Segment;
use crate::tcp::segment_size::limited;
use crate::tcp::seq::Seq;
use crate::tcp::state::State;
use crate::wire::tcp_options::{FastOpenCookie, FastOpenForm, FastOpenOption};

/// What our first SYN says, until the handshake is complete.
#[derive(Clone, Copy, Debug)]
pub(in crate::tcp) struct Asking {
    /// None where data goes without one, by configuration.
    pub(in crate::tcp) option: Option<FastOpenOption>,
    /// Bytes of data behind the SYN.
    pub(in crate::tcp) len: u32,
}

/// What is known of a server.
#[derive(Clone, Copy, Debug)]
struct Known {
    server: Ipv4Addr,
    /// The one that it has handed out last, if any, and how.
    cookie: FastOpenCookie,
    form: FastOpenForm,
    /// The largest segment that it takes.
    mss: u16,
    experiment: Experiment,
}

/// A server that does not answer the option may know its older form.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
enum Experiment {
    #[default]
    NotTried,
    Next,
    Tried,
}

/// The servers that were asked for cookies: each has its place by its address, and where two have the same the later one stays.
#[derive(Default)]
pub(in crate::tcp) struct Cookies(Vec<Option<Known>>);

impl Cookies {
    fn find(&self, server: Ipv4Addr) -> Option<&Known> {
        self.0.get(place(server))?.as_ref().filter(|known| known.server == server)
    }

    fn remember(&mut self, known: Known) {
        if self.0.is_empty() {
            self.0.resize(PLACES, None);
        }
        if let Some(place) = self.0.get_mut(place(known.server)) {
            *place = Some(known);
        }
    }
}

impl Known {
    fn new(server: Ipv4Addr) -> Self {
        Self {
            server,
            cookie: FastOpenCookie::NONE,
            form: FastOpenForm::Standard,
            mss: u16::MAX,
            experiment: Experiment::NotTried,
        }
    }

    /// What the next SYN says: the cookie, or the question for one.
    fn option(&self) -> FastOpenOption {
        let ask_otherwise = self.cookie.is_none() && self.experiment == Experiment::Next;
        let form = if ask_otherwise { FastOpenForm::Experimental } else { self.form };
        FastOpenOption { cookie: self.cookie, form }
    }

    /// How many bytes of data a SYN may carry: as many as fit beside all options (section 4.2.1, and as in Linux).
    fn room(&self) -> u16 {
        self.mss.saturating_sub(OPTIONS_MAX)
    }

    /// The answer to a SYN that has asked as `asking` says, `again` if that was sent more than once.
    fn answered(&mut self, asking: &Asking, handed: Option<FastOpenOption>, again: bool) {
        match (asking.option, handed) {
            (Some(_), Some(FastOpenOption { cookie, form })) => {
                (self.cookie, self.form) = (cookie, form);
            }
            (Some(asked), None) if asked.cookie.is_none() && !again => {
                let next = match asked.form {
                    FastOpenForm::Standard => Experiment::Next,
                    FastOpenForm::Experimental => Experiment::Tried,
                };
                self.experiment = self.experiment.max(next);
            }
            _ => {}
        }
    }
}

impl Tcp {
    /// Whether data can go with a SYN to this server.
    pub(crate) fn knows_cookie_of(&self, server: Ipv4Addr) -> bool {
        self.cookies.find(server).is_some_and(|known| !known.cookie.is_none())
    }

    /// Begins a connection as [`connect_with`](Self::connect_with) does, with the beginning of `data` on the SYN if the peer has handed out a cookie before, or
    /// asks for one. A cookie does not fit beside a signature: where segments are signed nothing is taken. Returns how many bytes were taken.
    pub(crate) fn connect_with_data(
        &mut self,
        net: &mut Net,
        local: Option<SocketAddrV4>,
        remote: SocketAddrV4,
        options: &ConnectOptions,
        data: &[u8],
    ) -> Result<(TcpStream, usize), ConnectError> {
        if options.keys.kind_for(*remote.ip()).is_some() {
            return self.connect_with(net, local, remote, options).map(|stream| (stream, 0));
        }
        self.memory.admit_connection().map_err(|_| ConnectError::TooMany)?;
        let flow = self.flow_to(net, local, remote)?;
        let known = self.cookies.find(flow.remote).copied().unwrap_or(Known::new(flow.remote));
        let most = limited(net, options.max_segment_size);
        let path = path_segment_size(net, flow.remote).min(most).saturating_sub(OPTIONS_MAX);
        let (option, room) = match known.option() {
            option if !option.cookie.is_none() => (Some(option), known.room().min(path)),
            _ if self.config.fast_open.sends_without_cookie => (None, known.room().min(path)),
            request => (Some(request), 0),
        };
        let data = &data[..data.len().min(room.into())];
        let (id, mut stream) = self.open(net, flow)?;
        let taken = stream.preload(data);
        let len = u32::try_from(taken).unwrap_or(0);
        self.with_connection(net, id, |connection, cx| {
            connection.apply(options);
            connection.rare.set_fast_open(FastOpen::Asking(Asking { option, len }));
            connection.send_syn(cx);
        });
        Ok((stream, taken))
    }
}

impl Connection {
    /// The peer's SYN-ACK: what it has taken of our data, and the cookie that it hands out.
    pub(in crate::tcp) fn fast_open_answered(&mut self, cx: &mut Context<'_>, segment: &Segment) {
        let Some(FastOpen::Asking(asking)) = self.rare.take_fast_open() else {
            return;
        };
        let first = self.snd.iss + 1;
        self.syn_data = segment.ack.follows(first) && segment.ack == self.snd.nxt;
        self.release_up_to(cx, segment.ack);
        self.repair_syn_data(cx, segment.ack);
        let server = self.flow.remote;
        let mut known = cx.cookies.find(server).copied().unwrap_or(Known::new(server));
        let handed = segment.options.fast_open.filter(|option| !option.cookie.is_none());
        known.answered(&asking, handed, self.retries > 0);
        known.mss = segment.options.max_segment_size.unwrap_or(DEFAULT_SEGMENT_SIZE);
        cx.cookies.remember(known);
    }

    /// What the peer has not taken of the data on our SYN is sent again at once, and is no sign of congestion.
    fn repair_syn_data(&mut self, cx: &mut Context<'_>, from: Seq) {
        let rest = self.snd.nxt.offset_from(from);
        if rest > 0 {
            self.snd.una = from;
            let sender = self.sender(cx.config);
            sender.sent(cx.now(), (from, rest), 0);
            sender.board.lose_all();
        }
    }

    /// What our SYN carries beside itself: the first one only, for whatever was in the way of that may have been the option or the data
    /// (section 4.2.1).
    pub(in crate::tcp) fn syn_introduction(&self) -> Asking {
        match self.rare.fast_open() {
            Some(FastOpen::Asking(asking)) if self.retries == 0 && self.state == State::SynSent => {
                *asking
            }
            _ => Asking { option: None, len: 0 },
        }
    }

    /// Whether an ACK is for our SYN, or for that and data behind it.
    pub(in crate::tcp) fn acknowledges_our_syn(&self, ack: Seq) -> bool {
        ack.follows(self.snd.iss) && ack.at_or_before(self.snd.nxt)
    }
}

/// Where a server's cookie is kept.
fn place(server: Ipv4Addr) -> usize {
    // Neighbours get places of their own.
    (u32::from(server).wrapping_mul(0x9e37_79b1) >> PLACE_SHIFT) as usize
}

const PLACE_BITS: u32 = 10;
const PLACE_SHIFT: u32 = 32 - PLACE_BITS;
const PLACES: usize = 1 << PLACE_BITS;

/// Options that a header can carry.
const OPTIONS_MAX: u16 = 40;
