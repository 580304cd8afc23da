//! A network namespace of its own for each test, with the kernel on one side of a tap and darner on the other.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The kernel's address in every test.
pub(crate) const KERNEL: &str = "10.9.0.1";
/// darner's.
pub(crate) const DARNER: &str = "10.9.0.2";

const TAP: &str = "dtap";

/// A namespace, kept alive by a process that sleeps in it.
pub(crate) struct World {
    holder: Child,
    /// A folder of the test's own, removed with it.
    pub(crate) folder: PathBuf,
}

/// A running darner.
pub(crate) struct Darner {
    child: Child,
    stderr: Receiver<String>,
}

/// How a darner ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// # Panics
    ///
    /// Without the privilege to make a namespace, saying how to get it.
    pub(crate) fn new(test: &str) -> Self {
        let holder = Command::new("unshare")
            .args(["--net", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare of util-linux is installed");
        let folder = std::env::temp_dir().join(format!("darner-{test}-{}", holder.id()));
        fs::create_dir_all(&folder).expect("a folder of its own");
        let world = Self { holder, folder };
        world.wait_for_namespace();
        world.kernel("ip link set lo up");
        world
    }

    /// The process exists before it is in its namespace.
    fn wait_for_namespace(&self) {
        let ours = fs::read_link("/proc/self/ns/net").expect("/proc is mounted");
        let theirs = format!("/proc/{}/ns/net", self.holder.id());
        let moved = eventually(Duration::from_secs(5), || {
            fs::read_link(&theirs).is_ok_and(|namespace| namespace != ours)
        });
        assert!(
            moved,
            "cannot make a network namespace: kernel tests need CAP_SYS_ADMIN and CAP_NET_ADMIN; run them as root"
        );
    }

    /// A command in the namespace, not started yet.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        let namespace = format!("--net=/proc/{}/ns/net", self.holder.id());
        command.args([namespace.as_str(), "--", program]).stdin(Stdio::null());
        command
    }

    /// Runs a line of words in the namespace; it must succeed. Returns what it printed.
    pub(crate) fn kernel(&self, line: &str) -> String {
        let output = self.try_kernel(line);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {}\n{printed}{errors}", output.status);
        printed
    }

    /// Runs a line of words in the namespace.
    pub(crate) fn try_kernel(&self, line: &str) -> Output {
        let mut words = line.split_whitespace();
        let program = words.next().expect("a program");
        self.command(program).args(words).output().unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// Runs a shell script in the namespace; it must succeed.
    pub(crate) fn shell(&self, script: &str) -> String {
        let output =
            self.command("bash").args(["-euo", "pipefail", "-c", script]).output().expect("bash");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {}\n{printed}{errors}", output.status);
        printed
    }

    /// Starts `darner COMMAND` on a tap and gives the kernel its address on the other side.
    pub(crate) fn darner(&self, command: &str) -> Darner {
        let darner = self.darner_unconfigured(command);
        self.configure_kernel();
        darner
    }

    /// Starts `darner COMMAND` on a tap, whose other side the kernel has not configured.
    pub(crate) fn darner_unconfigured(&self, command: &str) -> Darner {
        let address = format!("{DARNER}/24");
        let mut words = command.split_whitespace();
        let mut start = self.command(env!("CARGO_BIN_EXE_darner"));
        start.args(words.next());
        start.args(["--device", &format!("tap:{TAP}"), "--address", &address]).args(words);
        start.env("XDG_RUNTIME_DIR", &self.folder);
        let mut darner = Darner::start(start);
        let there = eventually(Duration::from_secs(20), || {
            darner.child.try_wait().expect("our own child").is_some()
                || self.try_kernel(&format!("ip link show {TAP}")).status.success()
        });
        assert!(there, "no tap after 20 s: {}", darner.stderr_so_far());
        darner
    }

    pub(crate) fn configure_kernel(&self) {
        self.configure(TAP, KERNEL);
    }

    /// What `darner stat --json` says of the darner that runs here; waits for one that is still starting.
    pub(crate) fn stat(&self) -> serde_json::Value {
        let (mut answer, mut errors) = (None, String::new());
        eventually(Duration::from_secs(5), || {
            let mut stat = self.command(env!("CARGO_BIN_EXE_darner"));
            stat.args(["stat", "--json", "--device", &format!("tap:{TAP}")])
                .env("XDG_RUNTIME_DIR", &self.folder);
            let output = stat.output().expect("darner");
            errors = String::from_utf8_lossy(&output.stderr).into_owned();
            answer = serde_json::from_slice(&output.stdout).ok();
            answer.is_some()
        });
        answer.unwrap_or_else(|| panic!("no answer: {errors}"))
    }

    /// The process that keeps the namespace alive; no other world has the same.
    pub(crate) fn holder_id(&self) -> u32 {
        self.holder.id()
    }

    /// Moves an interface from here into another namespace.
    pub(crate) fn give(&self, interface: &str, other: &Self) {
        self.kernel(&format!("ip link set {interface} netns {}", other.holder.id()));
    }

    /// Gives an interface an address, IPv4 only, and takes it up.
    pub(crate) fn configure(&self, interface: &str, address: &str) {
        self.kernel(&format!("sysctl -qw net.ipv6.conf.{interface}.disable_ipv6=1"));
        self.kernel(&format!("ip address add {address}/24 dev {interface}"));
        self.kernel(&format!("ip link set {interface} up"));
    }

    /// Runs `work` on a thread of its own that is in the namespace, as its sockets then are.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> thread::JoinHandle<T> {
        let namespace = fs::File::open(format!("/proc/{}/ns/net", self.holder.id()));
        let namespace = namespace.expect("the holder lives");
        thread::spawn(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("the privilege with which it was made");
            work()
        })
    }

    /// Takes the kernel's end of the tap up or down.
    pub(crate) fn set_link(&self, state: &str) {
        self.kernel(&format!("ip link set {TAP} {state}"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Darner {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsenter of util-linux is installed");
        let pipe = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, stderr) = channel();
        thread::spawn(move || {
            pipe.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, stderr }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard error and nobody has read.
    pub(crate) fn stderr_so_far(&self) -> String {
        self.stderr.try_iter().map(|line| line + "\n").collect()
    }

    /// Waits for a line on standard error that contains `text`.
    pub(crate) fn wait_for_line(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut seen = String::new();
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let Ok(line) = self.stderr.recv_timeout(left) else { break };
            if line.contains(text) {
                return;
            }
            seen += &line;
            seen += "\n";
        }
        panic!("no line with {text:?} on standard error:\n{seen}");
    }

    /// Interrupts it as Ctrl-C does, and waits for its end.
    pub(crate) fn stop(self) -> Ended {
        let killed = Command::new("kill").args(["-INT", &self.id().to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()), "darner had ended before");
        self.wait()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let mut stdout = String::new();
        let mut pipe = self.child.stdout.take().expect("piped");
        let reader = thread::spawn(move || pipe.read_to_string(&mut stdout).map(|_| stdout));
        let mut status = None;
        eventually(Duration::from_secs(60), || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        let Some(status) = status else { panic!("darner did not end within 60 s") };
        let stdout = reader.join().expect("no panic").expect("UTF-8");
        // The reader of standard error ends with the pipe.
        let stderr = self.stderr.iter().map(|line| line + "\n").collect();
        Ended { status, stdout, stderr }
    }
}

impl Drop for Darner {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether `done` becomes true within `limit`.
pub(crate) fn eventually(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
