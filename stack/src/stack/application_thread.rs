//! Application threads: where an [`Application`] runs that is not to run on a protocol thread.

use std::io;
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, JoinHandle};

use darner_ring::fork;

use super::StackHandle;
use crate::api::{Application, ThreadLoop, ThreadWaker, Waker};
use crate::clock::Clock;
use crate::socket::thread::{refuse_child, settle};

/// An application that runs on a thread of its own. Dropping it ends the application and waits for it.
pub struct ApplicationThread {
    waker: ThreadWaker,
    handle: Option<JoinHandle<()>>,
}

/// An application's thread panicked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the application's thread panicked")]
pub struct ApplicationPanicked;

impl ApplicationThread {
    pub(super) fn spawn(
        stack: StackHandle,
        clock: Clock,
        home: usize,
        application: Box<dyn Application>,
    ) -> io::Result<Self> {
        refuse_child()?;
        let (started, starting) = sync_channel(1);
        let thread = ThreadLoop::new(stack, clock);
        let waker = thread.waker();
        let handle = Builder::new().name(format!("darner-app-{home}")).spawn(move || {
            settle(home);
            thread.run(application, |begun| {
                let _ = started.send(begun);
            });
        })?;
        let begun = starting
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the application panicked while it started")));
        let thread = Self { waker, handle: Some(handle) };
        begun.map(|()| thread)
    }

    /// Calls the application from any thread.
    pub fn waker(&self) -> Waker {
        Waker::of_thread(self.waker.clone())
    }

    /// Asks the application to end. Does not wait: see [`join`](Self::join).
    pub fn stop(&self) {
        self.waker.stop();
    }

    /// Whether the application has ended: because it was stopped, the stack has, or it panicked.
    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the application has ended: by [`stop`](Self::stop), or because the stack has.
    ///
    /// # Errors
    ///
    /// [`ApplicationPanicked`] if it did.
    pub fn join(mut self) -> Result<(), ApplicationPanicked> {
        self.take_handle().map_or(Ok(()), |handle| handle.join().map_err(|_| ApplicationPanicked))
    }

    /// What to wait for, once. In a forked child there is no such thread.
    fn take_handle(&mut self) -> Option<JoinHandle<()>> {
        self.handle.take().filter(|_| !fork::is_child())
    }
}

impl Drop for ApplicationThread {
    fn drop(&mut self) {
        self.waker.stop();
        if let Some(handle) = self.take_handle() {
            let _ = handle.join();
        }
    }
}

impl std::fmt::Debug for ApplicationThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApplicationThread").finish_non_exhaustive()
    }
}
