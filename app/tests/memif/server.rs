//! The program under test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

/// A running darner at 10.8.0.1, the server of a memif.
pub(crate) struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    memif: String,
}

impl Server {
    /// Starts `darner ARGUMENTS` and waits until it serves.
    pub(crate) fn start(test: &str, arguments: &[&str]) -> Self {
        let memif = format!("darner-{test}-{}", std::process::id());
        let mut child = Command::new(env!("CARGO_BIN_EXE_darner"))
            .args(arguments)
            .args(["--device", &format!("memif:{memif},server"), "--address", "10.8.0.1/24"])
            .args(["--no-huge", "--no-stat"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("darner starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut said = String::new();
        while !said.contains("Ctrl-C ends it") {
            assert!(stderr.read_line(&mut said).expect("text") > 0, "darner did not start: {said}");
        }
        Self { child, stderr, memif }
    }

    /// The device at the other end.
    pub(crate) fn peer_device(&self) -> String {
        format!("memif:{},client", self.memif)
    }

    /// Runs `darner ARGUMENTS` at the other end, as 10.8.0.2.
    pub(crate) fn client(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_darner"))
            .args(arguments)
            .args(["--device", &self.peer_device(), "--address", "10.8.0.2/24"])
            .args(["--no-huge", "--no-stat"])
            .output()
            .expect("darner starts")
    }

    /// Interrupts it. Returns what it said at its end, which must be a good one.
    pub(crate) fn stop(mut self) -> String {
        let id = self.child.id().to_string();
        let killed = Command::new("kill").args(["-INT", &id]).status();
        assert!(killed.is_ok_and(|status| status.success()), "darner had ended before");
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("text");
        let status = self.child.wait().expect("our own child");
        assert!(status.success(), "{said}");
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
