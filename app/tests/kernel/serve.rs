//! The web server, browsed by curl and wrk.

use std::fs;

use crate::world::{DARNER, World};

#[test]
fn curl_gets_the_built_in_page() {
    let world = World::new("page");
    let darner = world.darner("serve");
    let page =
        world.kernel(&format!("curl --silent --show-error --fail --max-time 10 http://{DARNER}/"));
    assert!(page.contains("<html"), "{page}");
    let ended = darner.stop();
    assert!(ended.status.success(), "{}", ended.stderr);
    let gone = !world.try_kernel("ip link show dtap").status.success();
    assert!(gone, "the tap is gone with darner");
    let left: Vec<_> = fs::read_dir(&world.folder)
        .expect("ours")
        .map(|entry| entry.expect("ours").path())
        .collect();
    assert!(left.iter().all(|path| path.is_dir()), "no socket file stays: {left:?}");
}

#[test]
fn a_hundred_megabytes_both_ways_arrive_whole() {
    let world = World::new("bulk");
    world.shell(&format!(
        "head -c 100000000 /dev/urandom > {0}/big && sha256sum < {0}/big | cut -d' ' -f1 > {0}/sum",
        world.folder.display()
    ));
    let sum = fs::read_to_string(world.folder.join("sum")).expect("written");
    let darner = world.darner(&format!("serve {}", world.folder.display()));
    let got = world.shell(&format!(
        "curl --silent --show-error --fail --max-time 120 http://{DARNER}/big | sha256sum | cut -d' ' -f1"
    ));
    assert_eq!(got, sum);
    let put = world.shell(&format!(
        "curl --silent --show-error --fail --max-time 120 --upload-file {}/big http://{DARNER}/upload",
        world.folder.display()
    ));
    assert!(put.contains(sum.trim()), "{put} does not say {sum}");
    assert!(put.contains("100000000"), "{put}");
    darner.stop();
}

#[test]
fn ranges_are_cut_out() {
    let world = World::new("ranges");
    let bytes: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(world.folder.join("file"), &bytes).expect("ours");
    let darner = world.darner(&format!("serve {}", world.folder.display()));
    for (range, want) in [
        ("0-0", 0..1),
        ("500-9999", 500..10_000),
        ("99990-", 99_990..100_000),
        ("-7", 99_993..100_000),
    ] {
        let out = world.folder.join("part");
        world.kernel(&format!(
            "curl --silent --fail --max-time 10 --range {range} --output {} http://{DARNER}/file",
            out.display()
        ));
        assert_eq!(fs::read(&out).expect("curl wrote it"), bytes[want], "{range}");
    }
    let code = world.kernel(&format!(
        "curl --silent --max-time 10 --range 200000- --output /dev/null --write-out %{{http_code}} http://{DARNER}/file"
    ));
    assert_eq!(code, "416");
    darner.stop();
}

#[test]
fn sixty_four_at_once_are_all_served() {
    let world = World::new("parallel");
    fs::write(world.folder.join("file"), vec![1; 300_000]).expect("ours");
    let darner = world.darner(&format!("serve {}", world.folder.display()));
    let sizes = world.shell(&format!(
        "seq 64 | xargs -P 64 -I@ curl --silent --fail --max-time 60 --output /dev/null \
         --write-out '%{{size_download}}\\n' http://{DARNER}/file?@"
    ));
    let sizes: Vec<&str> = sizes.lines().collect();
    assert_eq!(sizes, ["300000"; 64]);
    darner.stop();
}

#[test]
fn wrk_with_keep_alive_sees_no_error() {
    let world = World::new("wrk");
    let darner = world.darner("serve");
    let printed = world.kernel(&format!("wrk -t1 -c64 -d4s http://{DARNER}/"));
    assert_no_errors(&printed);
    darner.stop();
}

#[test]
fn threads_of_their_own_serve_the_same() {
    let world = World::new("threads");
    let bytes: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    fs::write(world.folder.join("file"), &bytes).expect("ours");
    let folder = world.folder.display();
    let darner = world.darner(&format!("serve --placement thread {folder}"));
    darner.wait_for_line("on an application thread; Ctrl-C ends it");
    let curl = "curl --silent --show-error --fail --max-time 30";
    world.kernel(&format!("{curl} --output {folder}/got http://{DARNER}/file"));
    assert!(fs::read(world.folder.join("got")).expect("curl wrote it") == bytes);
    let put = world.kernel(&format!("{curl} --upload-file {folder}/file http://{DARNER}/upload"));
    assert!(put.contains("5000000"), "{put}");
    assert_no_errors(&world.kernel(&format!("wrk -t1 -c64 -d3s http://{DARNER}/")));
    let churn = format!("wrk -t1 -c16 -d3s -H 'Connection: close' http://{DARNER}/");
    assert_no_errors(&world.shell(&churn));
    let ended = darner.stop();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(ended.stderr.contains("served "), "the threads told what they did: {}", ended.stderr);
}

#[test]
fn the_announcement_says_where_a_server_runs() {
    let world = World::new("where");
    let darner = world.darner("serve --placement core");
    darner.wait_for_line("on the protocol thread; Ctrl-C ends it");
    darner.stop();
}

#[test]
fn wrk_with_a_connection_per_request_sees_no_error() {
    let world = World::new("churn");
    let darner = world.darner("serve");
    let printed =
        world.shell(&format!("wrk -t1 -c16 -d4s -H 'Connection: close' http://{DARNER}/"));
    assert_no_errors(&printed);
    let stat = world.stat();
    assert!(stat["counters"]["tcpPassiveOpens"].as_u64() > Some(500), "{stat}");
    // The only core did it all.
    let [all, core] =
        [&stat, &stat["cores"][0]].map(|of| of["counters"]["tcpPassiveOpens"].as_u64());
    assert_eq!(all, core, "{stat}");
    darner.stop();
}

fn assert_no_errors(printed: &str) {
    let requests = printed.lines().find(|line| line.contains("requests in")).unwrap_or_default();
    let count: u64 =
        requests.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0);
    assert!(count > 500, "{printed}");
    assert!(!printed.contains("Socket errors") && !printed.contains("Non-2xx"), "{printed}");
}
