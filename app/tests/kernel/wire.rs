//! The link, IP and ICMP.

use std::time::Duration;

use crate::world::{DARNER, KERNEL, World, eventually};

#[test]
fn the_kernels_ping_is_answered() {
    let world = World::new("ping");
    let darner = world.darner("echo");
    let printed = world.kernel(&format!("ping -c 20 -i 0.02 -W 2 {DARNER}"));
    assert!(printed.contains("20 received, 0% packet loss"), "{printed}");
    // Larger than the link carries in one piece.
    let printed = world.kernel(&format!("ping -c 3 -i 0.05 -W 2 -s 20000 {DARNER}"));
    assert!(printed.contains("3 received"), "{printed}");
    assert!(darner.stop().status.success());
}

#[test]
fn a_resting_darner_costs_little_and_answers_within_a_millisecond() {
    let world = World::new("rest");
    let darner = world.darner("serve");
    world.kernel(&format!("ping -c 3 -i 0.2 -W 2 {DARNER}"));
    let before = cpu_time(darner.id());
    std::thread::sleep(Duration::from_secs(5));
    let used = cpu_time(darner.id()) - before;
    assert!(used < Duration::from_millis(100), "2 % of 5 s is 100 ms, and it used {used:?}");
    let printed = world.kernel(&format!("ping -c 20 -i 0.1 -W 2 {DARNER}"));
    let median = median_round_trip(&printed);
    assert!(median < Duration::from_millis(1), "{median:?}:\n{printed}");
    darner.stop();
}

/// User and system time of a process so far.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name").split_whitespace().collect();
    // Fields 14 and 15 of proc(5), in ticks of a hundredth of a second.
    let ticks: u64 =
        fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

fn median_round_trip(printed: &str) -> Duration {
    let times = round_trips(printed);
    times[times.len() / 2]
}

/// What ping printed, the least first.
pub(crate) fn round_trips(printed: &str) -> Vec<Duration> {
    let mut times: Vec<f64> = printed
        .lines()
        .filter_map(|line| line.split_once("time=")?.1.split_whitespace().next()?.parse().ok())
        .collect();
    times.sort_by(f64::total_cmp);
    times.into_iter().map(|milliseconds| Duration::from_secs_f64(milliseconds / 1000.0)).collect()
}

#[test]
fn an_address_in_use_is_noticed_and_named() {
    let world = World::new("conflict");
    // The kernel has the address already when darner asks for it.
    let darner = world.darner_unconfigured("serve");
    world.kernel("sysctl -qw net.ipv6.conf.dtap.disable_ipv6=1");
    world.kernel(&format!("ip address add {DARNER}/24 dev dtap"));
    world.kernel("ip link set dtap up");
    let noticed = eventually(Duration::from_secs(15), || {
        let stat = world.stat();
        stat["counters"]["arpConflicts"].as_u64().is_some_and(|count| count > 0)
    });
    assert!(noticed, "{}", world.stat());
    darner.wait_for_line("another station uses an address of ours");
    darner.stop();
}

#[test]
fn a_closed_port_refuses() {
    let world = World::new("closed");
    let darner = world.darner("serve");
    let tcp = world.try_kernel(&format!("curl --silent --max-time 5 http://{DARNER}:81/"));
    assert_eq!(tcp.status.code(), Some(7), "curl's code for a refused connection");
    // The kernel reports the ICMP error on the connected socket: nc ends before its time.
    let udp = world
        .shell(&format!("set +e; echo hello | timeout 5 nc -u -w 3 {DARNER} 9999; echo ended $?"));
    assert!(!udp.contains("ended 124"), "{udp}");
    let stat = world.stat();
    assert!(stat["drops"]["udp-no-socket"].as_u64() > Some(0), "{stat}");
    assert!(stat["drops"]["tcp-no-socket"].as_u64() > Some(0), "{stat}");
    darner.stop();
}

#[test]
fn a_link_that_goes_down_and_up_again_carries_on() {
    let world = World::new("flap");
    std::fs::write(world.folder.join("big"), vec![7; 200_000_000]).expect("disk space");
    let darner = world.darner(&format!("serve {}", world.folder.display()));
    let mut curl = world
        .command("curl")
        .args([
            "--silent",
            "--fail",
            "--max-time",
            "60",
            "--limit-rate",
            "60M",
            "--output",
            "/dev/null",
        ])
        .args(["--write-out", "%{size_download}"])
        .arg(format!("http://{DARNER}/big"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("curl");
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(400));
        world.set_link("down");
        std::thread::sleep(Duration::from_millis(300));
        world.set_link("up");
    }
    assert!(curl.wait().expect("curl runs").success());
    darner.stop();
}

#[test]
fn darner_pings_the_kernel() {
    let world = World::new("pings");
    // The tap is darner's: the kernel's side gets its address while the pings begin.
    let darner = world.darner(&format!("ping --count 10 --interval 0.2 {KERNEL}"));
    let ended = darner.wait();
    assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("10 sent"), "{}", ended.stdout);
}

#[test]
fn a_second_darner_on_the_same_tap_is_told() {
    let world = World::new("second");
    let first = world.darner("echo");
    first.wait_for_line("Ctrl-C ends it");
    let second = world.darner_unconfigured("echo").wait();
    assert_eq!(second.status.code(), Some(3));
    assert!(second.stderr.contains("exists already"), "{}", second.stderr);
    assert!(first.stop().status.success());
}

#[test]
fn a_second_interrupt_ends_darner_at_once() {
    let world = World::new("interrupts");
    let darner = world.darner("sink");
    darner.wait_for_line("Ctrl-C ends it");
    // A peer that reads nothing and closes nothing keeps the first interrupt waiting for its deadline.
    let mut peer = world
        .command("python3")
        .args(["-c", &format!(
            "import socket, time\ns = socket.create_connection(('{DARNER}', 9))\ns.send(b'x')\ntime.sleep(60)"
        )])
        .spawn()
        .expect("python3");
    assert!(eventually(Duration::from_secs(5), || world.stat()["counters"]["tcpPassiveOpens"] == 1));
    let interrupt = || world.kernel(&format!("kill -INT {}", darner.id()));
    interrupt();
    std::thread::sleep(Duration::from_millis(300));
    interrupt();
    let ended = darner.wait();
    assert_eq!(ended.status.code(), Some(130));
    let sockets = std::fs::read_dir(&world.folder).expect("ours").count();
    assert_eq!(sockets, 0, "the socket file is gone, too");
    let _ = peer.kill();
    let _ = peer.wait();
}

#[test]
fn a_download_under_way_does_not_hold_up_the_end() {
    let world = World::new("end");
    std::fs::write(world.folder.join("big"), vec![7; 50_000_000]).expect("disk space");
    let darner = world.darner(&format!("serve {}", world.folder.display()));
    darner.wait_for_line("Ctrl-C ends it");
    let mut curl = world
        .command("curl")
        .args([
            "--silent",
            "--limit-rate",
            "1M",
            "--output",
            "/dev/null",
            &format!("http://{DARNER}/big"),
        ])
        .spawn()
        .expect("curl");
    assert!(eventually(Duration::from_secs(5), || world.stat()["counters"]["tcpPassiveOpens"] == 1));
    let before = std::time::Instant::now();
    let ended = darner.stop();
    assert!(
        ended.status.success() && before.elapsed() < Duration::from_secs(6),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("served 1 connections, 1 requests"), "{}", ended.stderr);
    assert!(!curl.wait().expect("curl runs").success(), "curl is told that the file is not whole");
}
