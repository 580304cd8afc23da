//! Helper threads for the disk: a protocol thread never waits for it.

use std::io;
use std::sync::Arc;
use std::thread;

use cap_std::fs::File;
use crossbeam_channel::{Receiver, Sender};
use crossbeam_queue::SegQueue;

use super::condition::OwnedConditions;
use super::folder::{self, Folder, Found, NotServed};
use super::path::SitePath;

/// A pool of threads that read a folder. Its threads end when the last clone is dropped.
///
/// The queues have no bound of their own: a connection has at most one task under way, and connections are limited.
#[derive(Clone)]
pub(crate) struct Disk {
    jobs: Sender<Job>,
}

/// What a connection wants of the disk.
#[derive(Debug)]
pub(crate) enum Task {
    /// Open what a path names.
    Find { path: SitePath, conditions: OwnedConditions },
    /// Read more of an open file into a buffer that is free again.
    Read { file: Arc<File>, start: u64, end: u64, buffer: Vec<u8> },
}

/// What became of a [`Task`].
#[derive(Debug)]
pub(crate) enum Answer {
    Found(Result<Found, NotServed>),
    Read(io::Result<Vec<u8>>),
}

/// Where one core finds the answers to its tasks.
pub(crate) struct Answers {
    queue: SegQueue<(u64, Answer)>,
    wake: Box<dyn Fn() + Send + Sync>,
}

struct Job {
    ticket: u64,
    task: Task,
    answers: Arc<Answers>,
}

impl Disk {
    pub(crate) fn start(folder: &Arc<Folder>, threads: usize) -> io::Result<Self> {
        let (jobs, waiting) = crossbeam_channel::unbounded();
        for index in 0..threads {
            let (folder, waiting) = (folder.clone(), waiting.clone());
            thread::Builder::new()
                .name(format!("disk-{index}"))
                .spawn(move || work(&folder, &waiting))?;
        }
        Ok(Self { jobs })
    }

    /// Hands a task over; its answer will carry `ticket`.
    pub(crate) fn submit(&self, ticket: u64, task: Task, answers: &Arc<Answers>) {
        let job = Job { ticket, task, answers: answers.clone() };
        self.jobs.send(job).expect("a helper thread lives as long as a sender");
    }
}

impl Answers {
    /// `wake` is called after each answer, on a helper thread.
    pub(crate) fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { queue: SegQueue::new(), wake: Box::new(wake) })
    }

    pub(crate) fn next(&self) -> Option<(u64, Answer)> {
        self.queue.pop()
    }
}

fn work(folder: &Folder, waiting: &Receiver<Job>) {
    for Job { ticket, task, answers } in waiting {
        answers.queue.push((ticket, perform(folder, task)));
        (answers.wake)();
    }
}

/// Does a task. Blocks.
pub(crate) fn perform(folder: &Folder, task: Task) -> Answer {
    match task {
        Task::Find { path, conditions } => Answer::Found(folder.find(&path, &conditions)),
        Task::Read { file, start, end, buffer } => {
            Answer::Read(folder::read(&file, start, end, buffer))
        }
    }
}
