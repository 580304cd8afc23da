//! Socket options: those that the stack knows, and those that are only kept.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::ops::RangeInclusive;
use std::os::fd::RawFd;
use std::time::Duration;

use darner::TcpStream;
use rustix::io::Errno;

use super::md5;
use super::socket::{Kind, Socket};
use super::tcp_info::tcp_info;
use super::{Process, errno};
use crate::sysctl::{FAST_OPEN_ALL_LISTENERS, FAST_OPEN_CLIENT, FAST_OPEN_SERVER};

/// What was set, by level and name, as the bytes that were given.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options(BTreeMap<(c_int, c_int), Vec<u8>>);

impl Process {
    pub(crate) fn set_option(
        &mut self,
        fd: RawFd,
        level: c_int,
        name: c_int,
        value: &[u8],
    ) -> Result<(), Errno> {
        if level == libc::SOL_TCP && md5::NAMES.contains(&name) {
            return self.set_md5_key(fd, name, value);
        }
        let (machine, socket) = self.parts(fd)?;
        let known = default_of(level, name).ok_or(Errno::NOPROTOOPT)?;
        // A byte is enough for some options of IP.
        let least = if level == libc::SOL_IP { 1 } else { known.len() };
        if value.len() < least || !is_allowed(level, name, word_of(value, 0)) {
            return Err(Errno::INVAL);
        }
        let fast_open = (level, name) == (libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT);
        if fast_open && machine.fast_open() & FAST_OPEN_CLIENT == 0 {
            return Err(Errno::OPNOTSUPP);
        }
        socket.options.0.insert((level, name), value.to_vec());
        match &mut socket.kind {
            Kind::Stream { stream, .. } => machine.with_core(|_| socket.options.apply(stream)),
            Kind::Listener { listener, .. } => {
                listener.set_fast_open(socket.options.fast_open(machine.fast_open()));
                listener.set_max_segment_size(socket.options.max_segment_size());
            }
            Kind::Fresh | Kind::Deferred(_) => {}
        }
        Ok(())
    }

    /// The value of an option, as C has it.
    pub(crate) fn option(
        &mut self,
        fd: RawFd,
        level: c_int,
        name: c_int,
    ) -> Result<Vec<u8>, Errno> {
        let (machine, socket) = self.parts(fd)?;
        let word = |word: c_int| Ok(word.to_ne_bytes().to_vec());
        match (level, name) {
            (libc::SOL_SOCKET, libc::SO_ERROR) => word(socket.take_error()),
            (libc::SOL_SOCKET, libc::SO_TYPE) => word(libc::SOCK_STREAM),
            (libc::SOL_SOCKET, libc::SO_PROTOCOL) => word(libc::IPPROTO_TCP),
            (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => {
                word(matches!(socket.kind, Kind::Listener { .. }).into())
            }
            (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_SNDBUF) => {
                // Linux doubles what is asked for, to have room for its own bookkeeping.
                let set = socket.options.0.get(&(level, name));
                word(set.map_or(DEFAULT_BUFFER, |value| word_of(value, 0).saturating_mul(2)))
            }
            (libc::SOL_SOCKET, libc::SO_RCVLOWAT) => {
                let bytes = match &socket.kind {
                    Kind::Stream { stream, .. } => Some(stream.receive_low_water()),
                    _ => socket.options.receive_low_water(),
                };
                word(bytes.map_or(1, |bytes| c_int::try_from(bytes).unwrap_or(c_int::MAX)))
            }
            (libc::SOL_SOCKET, SO_MEMINFO) => Ok(vec![0; 9 * size_of::<u32>()]),
            (libc::SOL_TCP, TCP_CC_INFO) => Ok(Vec::new()),
            (libc::SOL_TCP, libc::TCP_INFO) => {
                let info = match &socket.kind {
                    Kind::Stream { stream, .. } => machine.connection(stream.control()),
                    Kind::Fresh | Kind::Deferred(_) | Kind::Listener { .. } => None,
                };
                Ok(tcp_info(
                    info.as_ref(),
                    matches!(socket.kind, Kind::Listener { .. }),
                    (machine.now(), machine.max_segment_size()),
                ))
            }
            (libc::SOL_TCP, libc::TCP_MAXSEG)
                if matches!(socket.kind, Kind::Stream { .. })
                    || !socket.options.0.contains_key(&(level, name)) =>
            {
                let info = match &socket.kind {
                    Kind::Stream { stream, .. } => machine.connection(stream.control()),
                    Kind::Fresh | Kind::Deferred(_) | Kind::Listener { .. } => None,
                };
                word(info.map_or(DEFAULT_SEGMENT, |info| info.segment_size.into()))
            }
            _ => {
                let known = default_of(level, name).ok_or(Errno::NOPROTOOPT)?;
                Ok(socket.options.0.get(&(level, name)).cloned().unwrap_or(known))
            }
        }
    }
}

impl Socket {
    /// Why the connection failed, once.
    pub(super) fn take_error(&mut self) -> c_int {
        let failed = self.error.take().or_else(|| match &self.kind {
            Kind::Stream { stream, .. } => stream.control().take_error().as_ref().map(errno),
            Kind::Fresh | Kind::Deferred(_) | Kind::Listener { .. } => None,
        });
        failed.map_or(0, Errno::raw_os_error)
    }
}

impl Options {
    /// Has the connection be as was set.
    pub(super) fn apply(&self, stream: &mut TcpStream) {
        if let Some(bytes) = self.receive_low_water() {
            stream.set_receive_low_water(bytes);
        }
        let control = stream.control();
        for (&(level, name), value) in &self.0 {
            let first = word_of(value, 0);
            match (level, name) {
                (libc::SOL_TCP, libc::TCP_NODELAY) => control.set_nodelay(first != 0),
                (libc::SOL_TCP, libc::TCP_CORK) => control.set_cork(first != 0),
                (libc::SOL_SOCKET, libc::SO_KEEPALIVE) => control.set_keepalive(first != 0),
                (libc::SOL_SOCKET, libc::SO_OOBINLINE) => control.set_oob_inline(first != 0),
                (libc::SOL_TCP, libc::TCP_USER_TIMEOUT) => {
                    let millis = u64::try_from(first).unwrap_or(0);
                    control.set_user_timeout((millis > 0).then(|| Duration::from_millis(millis)));
                }
                (libc::SOL_TCP, libc::TCP_LINGER2) => {
                    control.set_fin_wait_2(u64::try_from(first).ok().map(Duration::from_secs));
                }
                (libc::SOL_TCP, libc::TCP_NOTSENT_LOWAT) => {
                    control.set_unsent_low_water(unsent_mark(first));
                }
                (libc::SOL_SOCKET, libc::SO_LINGER) => {
                    let seconds = u64::try_from(word_of(value, 1)).unwrap_or(0);
                    control.set_linger((first != 0).then(|| Duration::from_secs(seconds)));
                }
                (libc::SOL_SOCKET, libc::SO_RCVBUF) => {
                    control.set_buffers(usize::try_from(first).ok(), None);
                }
                (libc::SOL_SOCKET, libc::SO_SNDBUF) => {
                    control.set_buffers(None, usize::try_from(first).ok().map(payload_of_buffer));
                }
                _ => {}
            }
        }
    }

    /// Most bytes to be buffered for reading and for writing, where that was set.
    pub(super) fn buffers(&self) -> (Option<usize>, Option<usize>) {
        let set = |name| {
            let value = self.0.get(&(libc::SOL_SOCKET, name))?;
            usize::try_from(word_of(value, 0)).ok().filter(|bytes| *bytes > 0)
        };
        (set(libc::SO_RCVBUF), set(libc::SO_SNDBUF).map(payload_of_buffer))
    }

    /// How many bytes a read waits for (`SO_RCVLOWAT`): zero counts as one, and what is below zero as all that can be.
    fn receive_low_water(&self) -> Option<usize> {
        let value = self.0.get(&(libc::SOL_SOCKET, libc::SO_RCVLOWAT))?;
        Some(usize::try_from(word_of(value, 0)).unwrap_or(c_int::MAX as usize).max(1))
    }

    /// How many bytes may wait unsent (`TCP_NOTSENT_LOWAT`).
    pub(super) fn unsent_low_water(&self) -> Option<u32> {
        let value = self.0.get(&(libc::SOL_TCP, libc::TCP_NOTSENT_LOWAT))?;
        unsent_mark(word_of(value, 0))
    }

    /// How long a connection may wait for its first bytes before it is accepted without.
    pub(super) fn defer_accept(&self) -> Option<Duration> {
        let value = self.0.get(&(libc::SOL_TCP, libc::TCP_DEFER_ACCEPT))?;
        u64::try_from(word_of(value, 0))
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    }

    /// Most bytes in a segment (`TCP_MAXSEG`), if that was set.
    pub(super) fn max_segment_size(&self) -> Option<u16> {
        let value = self.0.get(&(libc::SOL_TCP, libc::TCP_MAXSEG))?;
        u16::try_from(word_of(value, 0)).ok().filter(|size| *size > 0)
    }

    /// How often a SYN is sent again (`TCP_SYNCNT`), if that was set.
    pub(super) fn syn_retries(&self) -> Option<u8> {
        let value = self.0.get(&(libc::SOL_TCP, libc::TCP_SYNCNT))?;
        u8::try_from(word_of(value, 0)).ok()
    }

    /// Whether connecting waits for the first bytes, if they can go with the SYN (`TCP_FASTOPEN_CONNECT`).
    pub(super) fn fast_open_connect(&self) -> bool {
        let value = self.0.get(&(libc::SOL_TCP, libc::TCP_FASTOPEN_CONNECT));
        value.is_some_and(|value| word_of(value, 0) != 0)
    }

    /// How many connections may be opened by their SYN (`TCP_FASTOPEN`), if `bits` allow it; all listeners may where those say so.
    pub(super) fn fast_open(&self, bits: u32) -> u32 {
        let asked = self.0.get(&(libc::SOL_TCP, libc::TCP_FASTOPEN)).map(|value| word_of(value, 0));
        match asked.and_then(|limit| u32::try_from(limit).ok()) {
            _ if bits & FAST_OPEN_SERVER == 0 => 0,
            Some(limit) => limit,
            None if bits & FAST_OPEN_ALL_LISTENERS != 0 => u32::MAX,
            None => 0,
        }
    }

    /// How long a call waits that reads or accepts (`SO_RCVTIMEO`), or writes or connects (`SO_SNDTIMEO`).
    pub(super) fn timeout(&self, name: c_int) -> Option<Duration> {
        let value = self.0.get(&(libc::SOL_SOCKET, name))?;
        let part = |at: usize| {
            let bytes = value.get(at..at + 8)?;
            Some(u64::from_ne_bytes(bytes.try_into().ok()?))
        };
        let (seconds, micros) = (part(0), part(8));
        let timeout = Duration::from_secs(seconds?) + Duration::from_micros(micros?);
        (!timeout.is_zero()).then_some(timeout)
    }
}

/// Whether an option may have this value in its first word, as in Linux.
fn is_allowed(level: c_int, name: c_int, word: c_int) -> bool {
    match (level, name) {
        (libc::SOL_TCP, libc::TCP_MAXSEG) => word == 0 || SEGMENT_SIZES.contains(&word),
        (libc::SOL_TCP, libc::TCP_SYNCNT) => SYN_COUNTS.contains(&word),
        _ => true,
    }
}

/// The mark that `TCP_NOTSENT_LOWAT` sets: an unsigned word, of which zero is none.
fn unsent_mark(word: c_int) -> Option<u32> {
    Some(word.cast_unsigned()).filter(|mark| *mark > 0)
}

/// Bytes of payload that go into a send buffer of this size: Linux doubles the size for its bookkeeping, which large writes need little of.
fn payload_of_buffer(size: usize) -> usize {
    size.saturating_mul(2)
}

/// What an option is before it is set; `None` for one that sockets do not have.
fn default_of(level: c_int, name: c_int) -> Option<Vec<u8>> {
    let words: &[c_int] = match (level, name) {
        (libc::SOL_SOCKET, libc::SO_LINGER) => &[0; 2],
        // A `timeval`.
        (libc::SOL_SOCKET, libc::SO_RCVTIMEO | libc::SO_SNDTIMEO) => &[0; 4],
        (
            libc::SOL_SOCKET,
            libc::SO_REUSEADDR
            | libc::SO_REUSEPORT
            | libc::SO_KEEPALIVE
            | libc::SO_OOBINLINE
            | libc::SO_PRIORITY
            | libc::SO_MARK
            | libc::SO_ZEROCOPY
            | libc::SO_BROADCAST,
        ) => &[0],
        (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_SNDBUF) => &[DEFAULT_BUFFER],
        (libc::SOL_SOCKET, libc::SO_RCVLOWAT) => &[1],
        (
            libc::SOL_TCP,
            libc::TCP_NODELAY
            | libc::TCP_CORK
            | libc::TCP_DEFER_ACCEPT
            | libc::TCP_USER_TIMEOUT
            | libc::TCP_WINDOW_CLAMP
            | libc::TCP_SYNCNT
            | libc::TCP_FASTOPEN
            | libc::TCP_FASTOPEN_CONNECT
            | libc::TCP_INQ
            | libc::TCP_NOTSENT_LOWAT,
        ) => &[0],

        (libc::SOL_TCP, libc::TCP_QUICKACK) => &[1],
        (libc::SOL_TCP, libc::TCP_KEEPIDLE) => &[7200],
        (libc::SOL_TCP, libc::TCP_KEEPINTVL) => &[75],
        (libc::SOL_TCP, libc::TCP_KEEPCNT) => &[9],
        (libc::SOL_TCP, libc::TCP_LINGER2) => &[60],
        (libc::SOL_TCP, libc::TCP_MAXSEG) => &[DEFAULT_SEGMENT],
        (libc::SOL_IP, libc::IP_TOS | libc::IP_MTU_DISCOVER) => &[0],
        (libc::SOL_IP, libc::IP_TTL) => &[64],
        _ => return None,
    };
    Some(words.iter().flat_map(|word| word.to_ne_bytes()).collect())
}

fn word_of(value: &[u8], index: usize) -> c_int {
    let bytes = value.get(index * 4..index * 4 + 4).and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, c_int::from_ne_bytes)
}

/// What a connection buffers in each direction, if nobody asks for less.
const DEFAULT_BUFFER: c_int = 1 << 20;

/// What a socket without a connection has for its segments (RFC 9293, MUST-15).
const DEFAULT_SEGMENT: c_int = 536;

/// What `TCP_MAXSEG` may be, if it limits anything.
const SEGMENT_SIZES: RangeInclusive<c_int> = 88..=32_767;
/// What `TCP_SYNCNT` may be.
const SYN_COUNTS: RangeInclusive<c_int> = 1..=127;

const TCP_CC_INFO: c_int = 26;
const SO_MEMINFO: c_int = 55;
