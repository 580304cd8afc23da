//! darner against darner over memif: shared memory between two processes, without any privilege.
//!
//! The program under test is one end; the other is a stack in the test's own process.

mod peer;
mod server;

use std::fs;

use peer::{Datagrams, Streams, run};
use server::Server;

#[test]
fn sixty_four_streams_at_once_come_back_whole() {
    let server = Server::start("parallel", &["echo"]);
    run(&server, Streams { port: 7, total: 64, at_once: 64, len: 1 << 20, answer: 1 << 20 });
    let said = server.stop();
    assert!(
        said.contains("served 64 connections, 67108864 bytes in, 67108864 bytes out"),
        "{said}"
    );
}

#[test]
fn bulk_goes_both_ways_through_one_connection() {
    let server = Server::start("bulk", &["echo"]);
    run(&server, Streams { port: 7, total: 1, at_once: 1, len: 100 << 20, answer: 100 << 20 });
    server.stop();
}

#[test]
fn a_sink_takes_bulk_and_closes_behind_the_end() {
    let server = Server::start("sink", &["sink"]);
    run(&server, Streams { port: 9, total: 4, at_once: 4, len: 25 << 20, answer: 0 });
    let said = server.stop();
    assert!(said.contains("104857600 bytes in, 0 bytes out"), "{said}");
}

#[test]
fn thousands_of_short_connections_leave_nothing_behind() {
    let server = Server::start("churn", &["echo"]);
    run(&server, Streams { port: 7, total: 5000, at_once: 16, len: 100, answer: 100 });
    let said = server.stop();
    assert!(said.contains("served 5000 connections, 500000 bytes in, 500000 bytes out"), "{said}");
    assert!(!said.contains("pool-empty"), "{said}");
}

#[test]
fn datagrams_come_back_in_fragments() {
    let server = Server::start("datagrams", &["echo"]);
    run(
        &server,
        Datagrams { port: 7, sizes: vec![0, 1, 1472, 1473, 5000, 20_000, 60_000, 65_507] },
    );
    server.stop();
}

#[test]
fn get_fetches_what_serve_serves() {
    let place = tempfile::tempdir().expect("a folder");
    let bytes: Vec<u8> =
        (0..50_000_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    fs::write(place.path().join("file"), &bytes).expect("ours");
    fs::create_dir(place.path().join("folder")).expect("ours");
    fs::write(place.path().join("folder/index.html"), "the index").expect("ours");
    let server = Server::start("get", &["serve", place.path().to_str().expect("text")]);
    let got = place.path().join("got");
    let output = server.client(&["get", "http://10.8.0.1/file", "-o", got.to_str().expect("text")]);
    assert!(output.status.success(), "{output:?}");
    assert!(fs::read(&got).expect("get wrote it") == bytes, "what came is not what was sent");
    // Through the redirect from a folder's name to the folder.
    let output = server.client(&["get", "http://10.8.0.1/folder"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "the index", "{output:?}");
    for (url, want) in [
        ("http://10.8.0.1/missing", "404 Not Found"),
        ("http://10.8.0.1:81/", "Connection refused"),
        ("http://10.9.0.1/", "--gateway"),
    ] {
        let output = server.client(&["get", url]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(want), "{url}: {said}");
    }
    server.stop();
}

#[test]
fn a_ping_is_answered_and_counted() {
    let server = Server::start("ping", &["sink"]);
    let output = server.client(&["ping", "10.8.0.1", "-c", "3", "-i", "0.3", "-s", "3000"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("3 sent, 3 answered, 0 % lost"), "{said}");
    let output = server.client(&["ping", "10.8.0.77", "-c", "1", "-W", "0.2"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("did not answer"), "{said}");
    server.stop();
}
