//! The running program's end of the socket.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use darner::Stack;

use super::report::{Identity, Report};
use crate::failure::Failure;

/// The socket in the file system. Its file goes when this does.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

/// Answers on a thread of its own.
pub(crate) struct Server {
    stopping: Arc<AtomicBool>,
    path: PathBuf,
    thread: JoinHandle<()>,
}

/// How long a client may take to read a report.
const READ_WITHIN: Duration = Duration::from_secs(1);

impl Socket {
    /// Makes the socket. A file that a dead program left is replaced; a living one is an error.
    pub(crate) fn bind(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        if is_stale(path)? {
            fs::remove_file(path).map_err(|error| {
                Failure::start(format_args!(
                    "cannot remove the dead program's socket {shown}: {error}"
                ))
            })?;
        }
        let fail = |error| {
            Failure::start(format_args!(
                "cannot make the socket {shown} for `darner stat`: {error}; name another with --stat-socket, or do \
                 without (--no-stat)"
            ))
        };
        let listener = UnixListener::bind(path).map_err(fail)?;
        let socket = Self { listener, path: path.to_owned() };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(fail)?;
        Ok(socket)
    }

    /// Begins to answer.
    pub(crate) fn serve(self, stack: Arc<Stack>, identity: Identity) -> io::Result<Server> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (stop, path) = (stopping.clone(), self.path.clone());
        let thread = thread::Builder::new().name("stat".to_owned()).spawn(move || {
            while let Ok((client, _)) = self.listener.accept() {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                // A client that hangs up early is its own loss.
                let _ = answer(client, &Report::new(identity.clone(), &stack.snapshot()));
            }
        })?;
        Ok(Server { stopping, path, thread })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Server {
    /// Ends the thread and removes the socket.
    pub(crate) fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        // The thread waits for a client: this is the last.
        if UnixStream::connect(&self.path).is_ok() {
            let _ = self.thread.join();
        }
    }
}

fn answer(mut client: UnixStream, report: &Report) -> io::Result<()> {
    client.set_write_timeout(Some(READ_WITHIN))?;
    let mut text = serde_json::to_vec(report)?;
    text.push(b'\n');
    client.write_all(&text)
}

/// Whether a dead program left a socket at `path`. A living one there, or another kind of file, is an error.
fn is_stale(path: &Path) -> Result<bool, Failure> {
    let shown = path.display();
    match UnixStream::connect(path) {
        Ok(_) => Err(Failure::start(format_args!(
            "another darner runs and answers at {shown}: stop it, or give this one its own --stat-socket"
        ))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(_) if fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket()) => {
            Ok(true)
        }
        Err(_) => Err(Failure::start(format_args!(
            "{shown} is in the way and is not a socket: remove it, or name another with --stat-socket"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_socket_is_replaced_and_a_living_one_respected() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let living = Socket::bind(&path).unwrap();
        let error = format!("{:?}", Socket::bind(&path).unwrap_err());
        assert!(error.contains("another darner") && error.contains("--stat-socket"), "{error}");
        drop(living);
        assert!(!path.exists());
    }

    #[test]
    fn other_files_are_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("notes");
        fs::write(&path, "precious").unwrap();
        assert!(Socket::bind(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
