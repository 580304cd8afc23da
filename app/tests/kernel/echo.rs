//! `darner echo` and `darner sink`, with nc as their peer.

use crate::world::{DARNER, World};

#[test]
fn a_half_closed_connection_gets_the_rest() {
    let world = World::new("halfclose");
    let darner = world.darner("echo");
    // nc -N shuts its side down at the end of its input, and then waits for what is still to come.
    let sums = world.shell(&format!(
        "head -c 3000000 /dev/urandom > {0}/in; nc -N -w 20 {DARNER} 7 < {0}/in > {0}/out; \
         cmp {0}/in {0}/out && echo same",
        world.folder.display()
    ));
    assert_eq!(sums.trim(), "same");
    darner.stop();
}

#[test]
fn an_echo_on_threads_of_its_own_does_the_same() {
    let world = World::new("thread");
    let darner = world.darner("echo --placement thread");
    let sums = world.shell(&format!(
        "head -c 3000000 /dev/urandom > {0}/in; nc -N -w 20 {DARNER} 7 < {0}/in > {0}/out; \
         cmp {0}/in {0}/out && echo same; echo datagram | nc -u -w1 {DARNER} 7",
        world.folder.display()
    ));
    assert_eq!(sums.lines().collect::<Vec<_>>(), ["same", "datagram"]);
    assert!(darner.stop().stderr.contains("3000009 bytes in"), "of both kinds");
}

#[test]
fn datagrams_up_to_60_kilobytes_come_back_in_fragments() {
    let world = World::new("udp");
    let darner = world.darner("echo");
    let script = format!(
        "import socket\n\
         s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
         s.settimeout(5)\n\
         s.connect(('{DARNER}', 7))\n\
         for n in (0, 1, 1472, 1473, 5000, 20000, 60000, 65507):\n\
         \x20   sent = bytes(i % 251 for i in range(n))\n\
         \x20   s.send(sent)\n\
         \x20   assert s.recv(70000) == sent, n\n\
         print('all came back')"
    );
    let printed = world.command("python3").args(["-c", &script]).output().expect("python3");
    let errors = String::from_utf8_lossy(&printed.stderr);
    assert_eq!(String::from_utf8_lossy(&printed.stdout).trim(), "all came back", "{errors}");
    darner.stop();
}

#[test]
fn a_sink_takes_everything() {
    let world = World::new("sink");
    let darner = world.darner("sink");
    world.shell(&format!("head -c 20000000 /dev/zero | nc -N -w 20 {DARNER} 9"));
    let ended = darner.stop();
    assert!(ended.status.success());
    assert!((ended.stdout + &ended.stderr).contains("20000000"), "the summary counts what came");
}
