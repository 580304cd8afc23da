//! Two protocol threads over a tap of two queues, or of one. With one, all packets come to the same thread. With two, the kernel's
//! tun driver takes a flow to the queue that it last heard it from, and one that it has not heard of to any: what begins a
//! connection comes to the wrong thread as often as not.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::world::{DARNER, KERNEL, World, eventually};

#[test]
fn a_connection_per_request_over_two_queues_loses_none() {
    serves_a_storm("cores2", "--cores 0,1 --idle yield");
}

#[test]
fn a_connection_per_request_over_one_queue_loses_none() {
    serves_a_storm("cores1", "--cores 0,1 --queues 1 --idle yield");
}

#[test]
fn keep_alive_over_two_queues_sees_no_error() {
    let world = World::new("coreskeep");
    let darner = world.darner("serve --cores 0,1 --idle yield");
    let printed = world.kernel(&format!("wrk -t1 -c64 -d4s http://{DARNER}/"));
    assert!(requests(&printed) > 500 && !printed.contains("Socket errors"), "{printed}");
    let stat = world.stat();
    steered(&stat, 10);
    assert_eq!(
        stat["steering"], "no RSS by a key of ours: steering in software",
        "a tap has none to speak of"
    );
    darner.stop();
}

/// One connection after the other from here, each from a port whose answers belong to the core that asked.
#[test]
fn a_chain_of_redirects_is_followed_over_two_cores() {
    for (name, options) in [("chain2", ""), ("chain1", "--queues 1")] {
        let world = World::new(name);
        let mut server = world
            .command("python3")
            .args(["-c", REDIRECTS])
            .stdout(Stdio::null())
            .spawn()
            .expect("python3");
        let listens =
            || world.try_kernel("curl --silent --fail http://127.0.0.1/0").status.success();
        assert!(eventually(Duration::from_secs(10), listens), "the server comes up");
        let out = world.folder.join("out");
        let darner = world.darner(&format!(
            "get http://{KERNEL}/400 --max-redirects 1000 --output {} --cores 0,1 --idle yield {options}",
            out.display()
        ));
        let ended = darner.wait();
        let _ = server.kill();
        let _ = server.wait();
        assert!(ended.status.success(), "{name}: {}{}", ended.stdout, ended.stderr);
        assert_eq!(std::fs::read(&out).expect("get wrote it"), b"done");
    }
}

/// Leads from `/400` to `/399`, and so on to `/0`.
const REDIRECTS: &str = "\
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        left = int(self.path[1:])
        self.send_response(302 if left else 200)
        self.send_header('Location', f'/{left - 1}')
        self.send_header('Content-Length', '4')
        self.end_headers()
        self.wfile.write(b'done')
    def log_message(self, *args): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1000
Server(('0.0.0.0', 80), Handler).serve_forever()
";

fn serves_a_storm(name: &str, options: &str) {
    let world = World::new(name);
    let darner = world.darner(&format!("serve {options}"));
    let printed =
        world.shell(&format!("wrk -t1 -c32 -d6s -H 'Connection: close' http://{DARNER}/"));
    let served = requests(&printed);
    assert!(served > 500 && !printed.contains("Socket errors"), "{printed}");
    let stat = world.stat();
    steered(&stat, 200);
    let opened = count(&stat["counters"], "tcpPassiveOpens");
    assert!(opened >= served, "{opened} connections for {served} requests");
    println!("{name}: {served} requests, {}", stat["counters"]);
    let ended = darner.stop();
    assert!(ended.status.success(), "{}", ended.stderr);
}

/// Both cores have worked, each other's packets reached them, and none was taken for a stranger's.
fn steered(stat: &Value, at_least: u64) {
    for core in 0..2 {
        assert!(
            count(&stat["cores"][core]["counters"], "tcpPassiveOpens") > 0,
            "core {core}: {stat}"
        );
    }
    assert!(count(&stat["counters"], "missteered") >= at_least, "{stat}");
    for drop in ["tcp-no-socket", "forward-full", "forward-core-ended", "pool-empty"] {
        assert_eq!(count(&stat["drops"], drop), 0, "{drop}: {stat}");
    }
}

fn count(counters: &Value, name: &str) -> u64 {
    counters[name].as_u64().unwrap_or_else(|| panic!("no {name} in {counters}"))
}

fn requests(printed: &str) -> u64 {
    let line = printed.lines().find(|line| line.contains("requests in")).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
}
