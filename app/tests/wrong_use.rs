//! What a user can get wrong, and what darner says to it: the cause, and the remedy.

use std::fs;
use std::process::Command as StdCommand;
use std::time::Duration;

use assert_cmd::Command;
use predicates::prelude::PredicateBooleanExt;
use predicates::str::contains;

/// Exit codes, as `darner --help` lists them.
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const START: i32 = 3;

#[test]
fn an_unknown_option_is_named() {
    expect(&["serve", "--speed", "9"], USAGE, &["--speed", "--help"]);
}

#[test]
fn a_device_that_is_none_is_told_what_devices_are() {
    expect(&["serve", "--device", "tup:x"], USAGE, &["\"tup:x\"", "tap:NAME", "pci:ADDRESS"]);
}

#[test]
fn an_address_without_its_network_is_refused() {
    expect(&["serve", "--address", "10.0.0.2"], USAGE, &["10.0.0.2", "--address"]);
}

#[test]
fn a_bad_configuration_file_is_quoted_with_line_and_column() {
    let place = tempfile::tempdir().expect("a folder");
    let file = place.path().join("darner.toml");
    let name = file.to_str().expect("text");
    for (text, wants) in [
        ("device = \"tap:x\"\nidle = \"never\"\n", ["line 2, column 8", "`spin`"]),
        ("\n\nadress = \"10.0.0.2/24\"\n", ["line 3, column 1", "`address`"]),
        ("[serve]\nlisten = 80\n", ["line 2, column 10", "a text or a list of texts"]),
        ("device = \n", ["line 1, column 10", ""]),
    ] {
        fs::write(&file, text).expect("ours");
        expect(&["serve", "--config", name], USAGE, &[name, wants[0], wants[1]]);
    }
}

#[test]
fn a_missing_configuration_file_is_named() {
    expect(
        &["serve", "--config", "/nowhere/darner.toml"],
        USAGE,
        &["/nowhere/darner.toml", "No such file"],
    );
}

#[test]
fn a_missing_folder_is_named() {
    expect(&["serve", "/nowhere/www"], START, &["/nowhere/www", "No such file", "one that exists"]);
}

#[test]
fn an_address_that_is_not_ours_is_told_which_are() {
    let remedies = ["10.7.7.7:80", "not an address of ours", "10.0.0.2", "0.0.0.0", "--address"];
    expect(&on_ring(&["serve", "--listen", "10.7.7.7:80"]), START, &remedies);
    expect(&on_ring(&["echo", "--listen", "10.7.7.7:80"]), START, &remedies);
}

#[test]
fn a_port_that_is_taken_is_named() {
    for command in ["serve", "echo"] {
        let arguments = [command, "--listen", "10.0.0.2:80", "--listen", "10.0.0.2:80"];
        expect(&on_ring(&arguments), START, &["10.0.0.2:80", "taken", "choose a different port"]);
    }
}

#[test]
fn a_listener_that_cannot_be_is_told_why() {
    expect(&on_ring(&["sink", "--listen", "0.0.0.0:0"]), START, &["1 to 65535"]);
    expect(&on_ring(&["sink", "--listen", "[::]:9"]), START, &["IPv6", "0.0.0.0"]);
}

#[test]
fn a_gateway_elsewhere_is_refused() {
    expect(&on_ring(&["echo", "--gateway", "192.0.2.1"]), START, &["192.0.2.1", "10.0.0.2/24"]);
}

#[test]
fn a_tap_name_in_use_is_named() {
    expect(&["serve", "--device", "tap:lo"], START, &["tap:lo", "exists already", "another name"]);
}

#[test]
fn a_missing_capability_is_named() {
    let darner = assert_cmd::cargo::cargo_bin!("darner");
    // Root keeps every capability that its bounding set has.
    let mut without = StdCommand::new("setpriv");
    without.args(["--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]).arg(darner);
    let mut direct = StdCommand::new(darner);
    let command = if rustix::process::geteuid().is_root() { &mut without } else { &mut direct };
    let output =
        command.args(["serve", "--device", "tap:dtest"]).output().expect("setpriv of util-linux");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(START), "{said}");
    assert!(said.contains("CAP_NET_ADMIN is missing") && said.contains("setcap"), "{said}");
}

#[test]
fn a_recording_that_cannot_be_made_is_named() {
    expect(
        &on_ring(&["sink", "--pcap", "/nowhere/p.pcap"]),
        START,
        &["/nowhere/p.pcap", "No such file"],
    );
}

#[test]
fn a_stat_socket_in_the_way_is_left_alone() {
    let place = tempfile::tempdir().expect("a folder");
    let path = place.path().join("notes");
    fs::write(&path, "precious").expect("ours");
    let name = path.to_str().expect("text");
    let arguments = ["sink", "--device", "vdev:net_ring0", "--no-huge", "--stat-socket", name];
    expect(&arguments, START, &[name, "not a socket", "--stat-socket"]);
    assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
}

#[test]
fn stat_without_a_darner_says_so() {
    let place = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("darner"));
    let asked = command.args(["stat"]).env("XDG_RUNTIME_DIR", place.path()).assert();
    asked.code(FAILED).stderr(contains("no darner is running").and(contains("--stat-socket")));
}

#[test]
fn a_url_that_cannot_be_fetched_is_told_why() {
    expect(&["get", "https://10.0.0.1/"], USAGE, &["no TLS", "http://HOST"]);
    expect(&["get", "10.0.0.1"], USAGE, &["10.0.0.1", "http://HOST"]);
}

#[test]
fn help_has_examples() {
    for command in ["serve", "echo", "sink", "get", "ping", "stat", "doctor"] {
        let help = Command::new(assert_cmd::cargo::cargo_bin!("darner"))
            .args([command, "--help"])
            .assert();
        help.success().stdout(contains("Examples:").and(contains(format!("darner {command}"))));
    }
}

/// A device that needs no privilege.
fn on_ring<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut all = arguments.to_vec();
    all.extend(["--device", "vdev:net_ring0", "--no-huge", "--no-stat"]);
    all
}

#[test]
fn what_a_wire_cannot_be_is_told_with_an_example() {
    for (option, value, want) in [
        ("--rate", "10MB", "10M, 1.5G or 64k"),
        ("--rate", "0", "between 1000 bits"),
        ("--rate", "1M/2M/3M", "THERE/BACK"),
        ("--delay", "20", "with its unit, such as 20ms"),
        ("--delay", "2s/90s", "longer than a minute"),
        ("--loss", "0.1", "such as 0.1%"),
        ("--loss", "101%", "0% to 100%"),
        ("--burst-loss", "1%", "0.1%,10"),
        ("--burst-loss", "1%,0", "1 frame or more"),
        ("--reorder", "1%", "1%,5ms"),
        ("--queue", "100", "--rate"),
        ("--queue", "all", "64KiB"),
        ("--mark", "30KiB", "--rate"),
    ] {
        expect(&["wire", "tap:a", "tap:b", option, value], USAGE, &[option, want]);
    }
}

#[test]
fn a_wire_needs_two_devices_and_a_cpu_that_is_there() {
    expect(&["wire", "tap:a"], USAGE, &["RIGHT"]);
    expect(&["wire", "tap:a", "tap:a"], USAGE, &["both are tap:a", "two devices"]);
    let rings = ["wire", "vdev:net_ring0", "vdev:net_ring1", "--no-huge", "--core", "8000"];
    expect(&rings, START, &["CPU 8000", "taskset"]);
}

/// Runs darner, which must end with `code` and say all of `wants`.
fn expect(arguments: &[&str], code: i32, wants: &[&str]) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("darner"));
    let output =
        command.args(arguments).timeout(Duration::from_secs(20)).output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    for want in wants {
        assert!(said.contains(want), "{arguments:?}: {want:?} is missing in: {said}");
    }
}
