//! Client and server as two processes over shared memory, as `make bench` runs them.

#![expect(clippy::unwrap_used, reason = "a test that cannot run has failed")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};

const PROGRAM: &str = env!("CARGO_BIN_EXE_darner-bench");

/// Killed when the test ends, however that is.
struct Server(Child);

impl Server {
    fn start(what: &str, socket: &str, more: &[&str]) -> Self {
        let device = format!("memif:{socket},server");
        let mut command = Command::new(PROGRAM);
        command.args([what, "--device", &device]).args(more);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut server = Self(child);
        let mut line = String::new();
        BufReader::new(server.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "{line}");
        server
    }

    /// What it says at its end.
    fn end(mut self) -> String {
        drop(self.0.stdin.take());
        let mut said = String::new();
        self.0.stdout.as_mut().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.0.wait().unwrap().success());
        said
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn load(socket: &str, more: &[&str]) -> Output {
    let device = format!("memif:{socket},client");
    let mut command = Command::new(PROGRAM);
    command.args(["load", "--device", &device, "--json", "--warm-up", "0.1", "--seconds", "0.2"]);
    command.args(more).output().unwrap()
}

fn socket(name: &str) -> String {
    format!("darner-bench-test-{name}-{}", std::process::id())
}

/// Of the window's counts, which stand before those of the time before.
fn count(output: &Output, name: &str) -> u64 {
    let text = String::from_utf8_lossy(&output.stdout);
    let key = format!("\"{name}\":");
    let (_, rest) = text.split_once(&key).unwrap_or_else(|| panic!("{output:?}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

#[test]
fn requests_are_answered_between_two_processes() {
    let socket = socket("respond");
    let server = Server::start("serve", &socket, &["respond"]);
    let output = load(&socket, &["--connections", "20"]);
    assert!(output.status.success(), "{output:?}");
    assert!(count(&output, "responses") > 100, "{output:?}");
    assert_eq!(count(&output, "resets"), 0);
    let said = server.end();
    assert!(said.contains("\"accepted\":20"), "{said}");
}

#[test]
fn the_loop_sends_every_frame_back() {
    let socket = socket("loop");
    let server = Server::start("loop", &socket, &[]);
    let output = load(&socket, &["--mode", "echo-frames", "--frames", "16"]);
    assert!(count(&output, "responses") > 100, "{output:?}");
    server.end();
}

#[cfg(feature = "cycles")]
#[test]
fn the_account_of_a_row_is_told_as_a_table() {
    let mut command = Command::new(PROGRAM);
    let output = command.args(["cycles", "rr-16", "--seconds", "0.2"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |stage: &str| -> Vec<String> {
        let line =
            text.lines().find(|line| line.starts_with(stage)).unwrap_or_else(|| panic!("{text}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(row("all")[1..3], ["100.0", "%"]);
    // A request is a frame in and a frame out, and hardly more: the line that begins the account anew was heard.
    let each = |column: usize| row("all")[column].parse::<f64>().unwrap();
    assert!((1.5..4.0).contains(&(each(4) / each(3))), "{text}");
    assert!(row("input")[4].parse::<f64>().unwrap() > 0.0, "{text}");
}

#[test]
fn two_builds_are_compared_by_their_servers() {
    let folder = std::env::temp_dir().join(socket("compare"));
    let mut command = Command::new(PROGRAM);
    command.args(["suite", "rr-16", "kernel-rr", "--base", PROGRAM, "--pairs", "1"]);
    command.args(["--seconds", "0.2", "--retries", "0", "--output"]).arg(&folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let results = std::fs::read_to_string(folder.join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    // Rows of the kernel have no server to compare.
    let names: Vec<&str> =
        results.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["rr-16", "rr-16kB"]);
    let ratio = results[0]["ratio"].as_f64().unwrap();
    assert!((0.2..5.0).contains(&ratio), "the same build, {ratio} times as fast");
}

#[test]
fn a_kernel_behind_two_taps_is_what_ours_is_measured_beside() {
    let folder = std::env::temp_dir().join(socket("taps"));
    let mut command = Command::new(PROGRAM);
    command.args(["suite", "taps-out", "--pairs", "1", "--seconds", "0.3", "--retries", "0"]);
    let mut suite = Server(command.arg("--output").arg(&folder).spawn().unwrap());
    let namespaces = format!("-{}-", suite.0.id());
    assert!(suite.0.wait().unwrap().success());
    let results = std::fs::read_to_string(folder.join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    // Both moved data; which was faster is not for a test.
    for side in ["ours", "reference"] {
        assert!(results[0][side].as_f64().unwrap() > 0.01, "{side}: {results}");
    }
    assert_eq!(ip(&["netns", "list"]).lines().filter(|name| name.contains(&namespaces)).count(), 0);
}

#[test]
fn as_many_cores_are_measured_as_there_are() {
    let folder = std::env::temp_dir().join(socket("cores"));
    let mut command = Command::new(PROGRAM);
    command.args(["suite", "cores", "--pairs", "1", "--seconds", "0.2", "--output"]).arg(&folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let read = |name| std::fs::read_to_string(folder.join(name)).unwrap();
    let results: serde_json::Value = serde_json::from_str(&read("results.json")).unwrap();
    let page = read("index.html");
    std::fs::remove_dir_all(&folder).unwrap();
    let curve = results[0]["curve"].as_array().unwrap();
    assert_eq!(curve[0][0].as_f64(), Some(1.0));
    assert!(curve.iter().all(|point| point[1].as_f64().unwrap() > 100.0), "{results}");
    assert!(page.contains("<h2>cores</h2>") && page.contains(" CPUs, of which"), "{page}");
}

#[test]
fn a_suite_that_is_stopped_leaves_nothing_behind() {
    let mut command = Command::new(PROGRAM);
    command.args(["suite", "kernel-rr", "--seconds", "20", "--output", "/tmp"]);
    let mut suite = Server(command.stderr(Stdio::piped()).spawn().unwrap());
    let namespaces = format!("-{}-", suite.0.id());
    let list = || ip(&["netns", "list"]).lines().filter(|name| name.contains(&namespaces)).count();
    let processes = || -> Vec<String> {
        let names = ["s", "c"].map(|side| format!("darner-{side}{namespaces}0"));
        let pids = names.map(|name| ip(&["netns", "pids", &name]));
        pids.join("\n").split_whitespace().map(str::to_owned).collect()
    };
    // The client is there: it measures.
    wait_until(|| list() == 2 && processes().len() == 2);
    let processes = processes();
    Command::new("kill").args(["-TERM", &suite.0.id().to_string()]).status().unwrap();
    assert_eq!(suite.0.wait().unwrap().code(), Some(1));
    assert_eq!(list(), 0);
    for process in processes {
        assert!(
            !std::path::Path::new(&format!("/proc/{process}")).exists(),
            "{process} still runs"
        );
    }
}

fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn wait_until(is_so: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so() {
        assert!(begin.elapsed().as_secs() < 15, "it takes too long");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn what_cannot_be_is_said_with_its_remedy() {
    for (arguments, want) in [
        (&["load"][..], "--device memif:server"),
        (&["load", "--device", "memif:x,client", "--connections", "300000"][..], "--addresses 5"),
        (&["load", "--kernel", "--rate", "5"][..], "without --rate"),
        (&["load", "--rate", "5", "--mode", "send"][..], "--rate goes with requests"),
        (&["suite", "--base", "/no/such"][..], "--base is the darner-bench of another build"),
        (&["suite", "kernel", "--base", "/bin/sh"][..], "do not compare builds"),
        (&["suite", "no-such-row"][..], "there are latency, latency-open, rr-1"),
    ] {
        let output = Command::new(PROGRAM).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(want), "{arguments:?}: {said}");
    }
}
