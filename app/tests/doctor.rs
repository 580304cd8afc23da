//! `darner doctor` on the machine that runs the test, whatever that has: topics, exit codes, and devices.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use assert_cmd::cargo::cargo_bin;

/// Exit codes, as `darner --help` lists them.
const DONE: i32 = 0;
const FAILED: i32 = 1;
const START: i32 = 3;

#[test]
fn every_topic_has_its_place() {
    let output = doctor(&["--no-huge"]);
    let said = String::from_utf8_lossy(&output.stdout);
    let topics = [
        "huge pages\n",
        "\ncapabilities\n",
        "\nlimits\n",
        "\nkernel\n",
        "\nnetwork cards\n",
        "\nCPUs\n",
        "\nclock\n",
        "\nDPDK\n",
        "\n0 problems, ",
    ];
    let places: Vec<Option<usize>> = topics.iter().map(|topic| said.find(topic)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}: {said}");
    assert!(said.contains("EAL starts: DPDK 22.11") && said.contains("tap, vhost"), "{said}");
    assert!(!said.contains('\x1b'), "a pipe has no colours: {said:?}");
    assert_eq!(output.status.code(), Some(DONE), "{said}");
}

#[test]
fn what_darner_cannot_do_ends_with_a_failure() {
    let output = doctor(&["--no-huge", "--cores", "8000", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("a list");
    let problems: Vec<_> =
        findings.iter().filter(|finding| finding["grade"] == "problem").collect();
    assert_eq!(report["problems"], problems.len());
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0]["topic"], "CPUs");
    let text = |field: &str| problems[0][field].as_str().expect("text").to_owned();
    assert!(text("says").contains("CPU 8000") && text("remedy").contains("--cores"));
    assert_eq!(output.status.code(), Some(FAILED));
}

#[test]
fn a_device_is_opened_and_tells_of_itself() {
    let output = doctor(&["--no-huge", "--device", "vdev:net_ring0", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(output.status.code(), Some(DONE), "{report:#}");
    let device = &report["device"];
    assert_eq!((&device["driver"], &device["queues"]), (&"net_ring".into(), &16.into()));
    let topics = report["findings"].as_array().expect("a list").iter();
    assert!(topics.map(|finding| &finding["topic"]).any(|topic| topic == "device"));
}

#[test]
fn cores_share_the_queues_of_a_device_that_has_fewer() {
    let place = tempfile::tempdir().expect("a folder");
    let device = format!("vdev:net_pcap0,tx_pcap={}", place.path().join("sent.pcap").display());
    let output = doctor(&["--no-huge", "--device", &device, "--cores", "0-1"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("note    1 queue for 2 cores: steering in software"), "{said}");
    assert_eq!(output.status.code(), Some(DONE), "{said}");
}

#[test]
fn a_device_that_does_not_open_is_a_problem() {
    let output = doctor(&["--no-huge", "--device", "tap:lo"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("problem tap:lo: the interface lo exists already"), "{said}");
    assert_eq!(output.status.code(), Some(FAILED));
}

#[test]
fn a_device_that_another_darner_has_is_told_by_both() {
    let device = format!("memif:doctor-{},server", std::process::id());
    let other = Other::start(&device);
    let holder = format!("process {} (darner) has it", other.0.id());
    let output = doctor(&["--no-huge", "--device", &device]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&holder), "{said}");
    let output = run(&["echo", "--no-huge", "--no-stat", "--device", &device]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&holder) && said.contains("end that"), "{said}");
    assert_eq!(output.status.code(), Some(START));
}

/// A darner that runs, until the test ends.
struct Other(Child);

impl Other {
    fn start(device: &str) -> Self {
        let mut child = Command::new(cargo_bin!("darner"))
            .args(["echo", "--no-huge", "--no-stat", "--device", device])
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let said = BufReader::new(child.stderr.take().expect("piped"));
        let other = Self(child);
        let ready = said.lines().map_while(Result::ok).any(|line| line.contains("Ctrl-C ends it"));
        assert!(ready, "it runs");
        other
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn doctor(arguments: &[&str]) -> Output {
    let mut all = vec!["doctor"];
    all.extend(arguments);
    run(&all)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(cargo_bin!("darner")).args(arguments).output().expect("it runs")
}
