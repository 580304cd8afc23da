//! A process that takes part in a window, and is gone when the window is.

#[cfg(feature = "cycles")]
use std::io::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::stop;
use crate::failure::Failure;

/// A running process; dropped, it is ended.
pub(crate) struct Child {
    name: String,
    process: std::process::Child,
    input: Option<ChildStdin>,
    /// Lines of standard output and of standard error.
    lines: Receiver<String>,
    /// The last ones, for when it fails.
    heard: Vec<String>,
}

/// How long a signal may go unheard.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a process may take to end by itself.
const END_WITHIN: Duration = Duration::from_secs(3);

impl Child {
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self, Failure> {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command
            .spawn()
            .map_err(|error| Failure::start(format_args!("cannot start {name}: {error}")))?;
        let (tell, lines) = channel();
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            process.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
            process.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>),
        ];
        for pipe in pipes.into_iter().flatten() {
            let tell = tell.clone();
            // Ends with the pipe.
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    let _ = tell.send(line);
                }
            });
        }
        let input = process.stdin.take();
        Ok(Self { name: name.to_owned(), process, input, lines, heard: Vec::new() })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Waits for a line that has `word` in it.
    pub(crate) fn expect(&mut self, word: &str, within: Duration) -> Result<String, Failure> {
        let deadline = Instant::now() + within;
        loop {
            stop::check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(LOOK_EVERY)) {
                Ok(line) if line.contains(word) => return Ok(line),
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Timeout) if left > LOOK_EVERY => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.failure(&format!("has not said \"{word}\" within {within:?}")));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(self.failure("has ended")),
            }
        }
    }

    /// Gives it a line of input.
    #[cfg(feature = "cycles")]
    pub(crate) fn line(&mut self) -> std::io::Result<()> {
        self.input.as_mut().map_or(Ok(()), |input| input.write_all(b"\n"))
    }

    /// Ends it, and returns the last line that looks like JSON.
    pub(crate) fn end(mut self) -> Option<String> {
        drop(self.input.take());
        let deadline = Instant::now() + END_WITHIN;
        while self.process.try_wait().ok().flatten().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        // What it said at last is still on its way through the threads that read.
        let rest = || self.lines.recv_timeout(Duration::from_millis(50)).ok();
        std::iter::from_fn(rest).filter(|line| line.starts_with('{')).last()
    }

    fn failure(&self, what: &str) -> Failure {
        let last = self.heard.len().saturating_sub(4);
        Failure::failed(format_args!(
            "{} {what}; it said: {}",
            self.name,
            self.heard[last..].join(" | ")
        ))
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
