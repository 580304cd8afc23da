//! Descriptors that tell of others: epoll, level and edge triggered.

use std::collections::BTreeMap;
use std::ffi::{c_int, c_short};
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use super::Process;

/// What one epoll descriptor tells of.
pub(crate) struct Epoll {
    placeholder: OwnedFd,
    interests: BTreeMap<RawFd, Interest>,
}

impl Epoll {
    /// Leaves its descriptor to the process that it is in.
    pub(super) fn abandon(self) {
        let _closed_already = self.placeholder.into_raw_fd();
    }
}

struct Interest {
    events: u32,
    data: u64,
    /// What was ready when it was last looked at, for who wants to hear of changes.
    seen: u32,
    /// Bytes that could be read then: more of them are news as well.
    unread: usize,
}

impl Process {
    pub(crate) fn epoll_create(&mut self) -> Result<RawFd, Errno> {
        let placeholder = eventfd(0, EventfdFlags::CLOEXEC)?;
        let fd = placeholder.as_raw_fd();
        self.epolls.insert(fd, Epoll { placeholder, interests: BTreeMap::new() });
        Ok(fd)
    }

    pub(crate) fn epoll_control(
        &mut self,
        epoll: RawFd,
        operation: c_int,
        fd: RawFd,
        event: Option<(u32, u64)>,
    ) -> Result<(), Errno> {
        if !self.is_open(fd) {
            return Err(Errno::BADF);
        }
        let interests = &mut self.epolls.get_mut(&epoll).ok_or(Errno::BADF)?.interests;
        match (operation, interests.contains_key(&fd)) {
            (libc::EPOLL_CTL_ADD, true) => return Err(Errno::EXIST),
            (libc::EPOLL_CTL_MOD | libc::EPOLL_CTL_DEL, false) => return Err(Errno::NOENT),
            (libc::EPOLL_CTL_DEL, true) => {
                interests.remove(&fd);
            }
            (libc::EPOLL_CTL_ADD | libc::EPOLL_CTL_MOD, _) => {
                let (events, data) = event.ok_or(Errno::FAULT)?;
                interests.insert(fd, Interest { events, data, seen: 0, unread: 0 });
            }
            _ => return Err(Errno::INVAL),
        }
        Ok(())
    }

    /// What is ready, as events and the data that was given with them, `most` of them. `EAGAIN` if nothing is.
    pub(crate) fn epoll_look(
        &mut self,
        epoll: RawFd,
        most: usize,
    ) -> Result<Vec<(u32, u64)>, Errno> {
        let mut epoll = self.epolls.remove_entry(&epoll).ok_or(Errno::BADF)?;
        let mut told = Vec::new();
        for (&fd, interest) in &mut epoll.1.interests {
            let ready = self.ready_for(fd, interest.events);
            let unread = self.readable(fd).unwrap_or(0);
            let more = if unread > interest.unread { ready & READABLE } else { 0 };
            let new = ready & !interest.seen | more;
            let edge = interest.events & EDGE != 0;
            (interest.seen, interest.unread) = (ready, unread);
            if told.len() < most && (new != 0 || (!edge && ready != 0)) {
                told.push((ready, interest.data));
                if interest.events & ONCE != 0 {
                    interest.events = 0;
                }
            }
        }
        self.epolls.insert(epoll.0, epoll.1);
        if told.is_empty() { Err(Errno::AGAIN) } else { Ok(told) }
    }

    fn ready_for(&mut self, fd: RawFd, events: u32) -> u32 {
        // The bits of poll and epoll are the same. One that was told once has none left, and hears of no error either.
        if events & !(EDGE | ONCE) == 0 {
            return 0;
        }
        let asked = c_short::try_from(events & 0x7fff).unwrap_or(c_short::MAX);
        u32::try_from(self.readiness(fd, asked)).unwrap_or(0)
    }

    pub(super) fn close_epoll(&mut self, fd: RawFd) -> Option<OwnedFd> {
        self.epolls.remove(&fd).map(|epoll| epoll.placeholder)
    }
}

const READABLE: u32 = (libc::EPOLLIN | libc::EPOLLRDNORM).cast_unsigned();
const EDGE: u32 = libc::EPOLLET.cast_unsigned();
const ONCE: u32 = libc::EPOLLONESHOT.cast_unsigned();
