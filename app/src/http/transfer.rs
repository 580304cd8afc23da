//! A file on its way to a client: one chunk being sent, one being read ahead.

use std::sync::Arc;

use cap_std::fs::File;

use super::disk::Task;

pub(crate) struct Transfer {
    file: Arc<File>,
    /// The next byte that has not been asked of the disk.
    next: u64,
    /// Behind the last byte to send.
    end: u64,
    current: Vec<u8>,
    /// How much of `current` has been sent.
    sent: usize,
    ahead: Ahead,
}

enum Ahead {
    /// Nothing is asked for; a buffer may be free.
    Idle(Vec<u8>),
    Asked,
    Ready(Vec<u8>),
}

impl Transfer {
    /// Sends `start..end`, of which `first` has been read.
    pub(crate) fn new(file: Arc<File>, first: Vec<u8>, start: u64, end: u64) -> Self {
        let next = start + first.len() as u64;
        Self { file, next, end, current: first, sent: 0, ahead: Ahead::Idle(Vec::new()) }
    }

    /// What can be sent now.
    pub(crate) fn content(&self) -> &[u8] {
        &self.current[self.sent..]
    }

    pub(crate) fn sent(&mut self, len: usize) {
        self.sent += len;
        if self.sent == self.current.len()
            && let Ahead::Ready(chunk) = &mut self.ahead
        {
            let chunk = std::mem::take(chunk);
            self.ahead = Ahead::Idle(std::mem::replace(&mut self.current, chunk));
            self.sent = 0;
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.sent == self.current.len() && self.next == self.end && !self.is_asked()
    }

    /// What to ask of the disk next.
    pub(crate) fn task(&mut self) -> Option<Task> {
        if self.next == self.end {
            return None;
        }
        let Ahead::Idle(spare) = &mut self.ahead else { return None };
        let buffer = std::mem::take(spare);
        self.ahead = Ahead::Asked;
        Some(Task::Read { file: self.file.clone(), start: self.next, end: self.end, buffer })
    }

    /// The disk has read a chunk.
    pub(crate) fn arrived(&mut self, chunk: Vec<u8>) {
        self.next += chunk.len() as u64;
        self.ahead = Ahead::Ready(chunk);
        self.sent(0);
    }

    fn is_asked(&self) -> bool {
        matches!(self.ahead, Ahead::Asked)
    }
}
