//! lwIP as the peer: Debian's build of it, in a process that is told what to do.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Accept, Count, End, Kind, PEER, Peer, Stream, TAP, Urgent, patiently};
use crate::world::DARNER;

/// With the one controller it has.
pub(super) struct Lwip;

/// `lwip_peer.c`, which says what can be asked. It ends with its input.
struct Process {
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    child: Child,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Process>>);

impl Kind for Lwip {
    fn start(&self, folder: &Path) -> Box<dyn Peer> {
        let mut child = Command::new(compiled(folder))
            .args([TAP, PEER, DARNER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was compiled here");
        let requests = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Box::new(Shared(Arc::new(Mutex::new(Process { requests, answers, child }))))
    }
}

/// The program, made in `folder`.
fn compiled(folder: &Path) -> PathBuf {
    let program = folder.join("lwip_peer");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kernel/interop/lwip_peer.c");
    let flags = Command::new("pkg-config").args(["--cflags", "--libs", "lwip"]).output();
    let flags = flags.expect("pkg-config is installed");
    assert!(flags.status.success(), "no liblwip here: `scripts/deps test` installs it");
    let flags = String::from_utf8(flags.stdout).expect("UTF-8");
    let compiled = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-o"])
        .args([program.as_os_str(), source.as_ref()])
        .args(flags.split_whitespace())
        .status();
    assert!(compiled.is_ok_and(|status| status.success()), "cc takes {source}");
    program
}

impl Process {
    /// Its number; `payload` goes along with the request.
    fn ask(&mut self, word: &str, number: usize, payload: &[u8]) -> io::Result<usize> {
        self.requests.write_all(format!("{word} {number}\n").as_bytes())?;
        self.requests.write_all(payload)?;
        self.requests.flush()?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: i32 = line.trim().parse().map_err(|_| ErrorKind::UnexpectedEof)?;
        usize::try_from(answer).map_err(|_| io::Error::from_raw_os_error(-answer))
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.ask("read", buffer.len(), &[])?;
        self.answers.read_exact(&mut buffer[..len])?;
        Ok(len)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bytes = &bytes[..bytes.len().min(AT_ONCE)];
        self.ask("write", bytes.len(), bytes)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Shared {
    fn with<T>(&self, work: impl FnOnce(&mut Process) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ask(&self, word: &str, number: usize) -> io::Result<usize> {
        self.with(|process| process.ask(word, number, &[]))
    }

    fn count(&self, word: &str) -> u64 {
        self.ask(word, 0).expect("a number").try_into().expect("it is small")
    }
}

impl Peer for Shared {
    fn listen(&self, port: u16) -> Accept {
        let process = self.clone();
        process.ask("listen", port.into()).expect("the port is free");
        Box::new(move || {
            patiently(|| process.ask("accept", 0)).expect("a connection");
            Box::new(LwipStream(process))
        })
    }

    fn connect(&self, port: u16) -> End {
        self.ask("connect", port.into()).expect("the wire leads there");
        Box::new(LwipStream(self.clone()))
    }

    fn shut_out(&self) -> Count {
        let process = self.clone();
        Box::new(move || process.count("there"))
    }
}

/// lwIP's end of the one connection.
struct LwipStream(Shared);

impl Read for LwipStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        patiently(|| self.0.with(|process| process.read(buffer)))
    }
}

impl Write for LwipStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        patiently(|| self.0.with(|process| process.write(bytes)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for LwipStream {
    fn finish(&mut self) {
        self.0.ask("finish", 0).expect("connected");
    }

    fn urgent(&mut self) -> Option<&mut dyn Urgent> {
        None
    }

    fn shut_windows(&self) -> u64 {
        self.0.count("here")
    }
}

impl Drop for LwipStream {
    fn drop(&mut self) {
        let _ = self.0.ask("close", 0);
    }
}

/// Bytes that fit into one request.
const AT_ONCE: usize = 1 << 16;
