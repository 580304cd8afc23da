//! The program on a native tap: no EAL, large packets, and a wire that cuts none.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::world::{DARNER, Darner, KERNEL, World};

#[test]
fn echo_runs_on_a_native_tap_without_dpdk() {
    let world = World::new("native");
    let darner = start(&world, &format!("vtap:vtap0,address={KERNEL}/24"));
    darner.wait_for_line("), address 10.9.0.2/24, without DPDK");
    let bytes = echoed(&world);
    let ended = darner.stop();
    assert!(ended.status.success(), "{}", ended.stderr);
    // Its address was given to it.
    assert!(!ended.stderr.contains("the kernel gets here"), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("{bytes} bytes in")), "{}", ended.stderr);
    let packets: usize = ended
        .stderr
        .lines()
        .find_map(|line| line.strip_suffix(" segments sent again")?.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("{}", ended.stderr));
    assert!(packets < bytes / 1448, "{packets} packets for {bytes} bytes: none were large");
}

#[test]
fn the_kernels_way_to_an_unconfigured_native_tap_is_told() {
    let world = World::new("native-bare");
    let darner = start(&world, "vtap:vtap0");
    darner.wait_for_line("address add 10.9.0.1/24 dev vtap0");
    assert!(darner.stop().status.success());
}

#[test]
fn a_native_tap_whose_name_is_in_use_is_refused() {
    let world = World::new("native-in-use");
    world.kernel("ip link add vtap0 type veth peer name other");
    let ended = start(&world, "vtap:vtap0").wait();
    assert!(!ended.status.success());
    assert!(ended.stderr.contains("the interface vtap0 exists already"), "{}", ended.stderr);
}

/// The wire's ends say that they take nothing large, so the kernel cuts and sums for them.
#[test]
fn a_wire_joins_native_taps() {
    let (here, there) = (World::new("native-left"), World::new("native-right"));
    let mut command = here.command(env!("CARGO_BIN_EXE_darner"));
    command.args(["wire", "vtap:left", "vtap:right"]);
    let wire = Darner::start(command);
    wire.wait_for_line("Ctrl-C ends it");
    here.give("right", &there);
    here.configure("left", KERNEL);
    there.configure("right", DARNER);
    let listener = there.inside(|| {
        let listener = std::net::TcpListener::bind((DARNER, 7)).expect("a free port");
        move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut bytes = vec![];
            stream.read_to_end(&mut bytes).expect("all of it");
            stream.write_all(&bytes).expect("and back");
        }
    });
    let serve = listener.join().expect("no panic");
    let server = std::thread::spawn(serve);
    echoed(&here);
    server.join().expect("no panic");
    let ended = wire.stop();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(!ended.stderr.contains("too large"), "{}", ended.stderr);
}

fn start(world: &World, device: &str) -> Darner {
    let mut command: Command = world.command(env!("CARGO_BIN_EXE_darner"));
    command.args(["echo", "--device", device, "--address", &format!("{DARNER}/24")]);
    command.env("XDG_RUNTIME_DIR", &world.folder);
    Darner::start(command)
}

/// Sends a few megabytes to port 7 over there and has them back; returns how many.
fn echoed(world: &World) -> usize {
    let client = world.inside(|| {
        let sent: Vec<u8> = (0..4_u32 << 18).flat_map(u32::to_le_bytes).collect();
        let mut stream = TcpStream::connect((DARNER, 7)).expect("somebody listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time");
        let mut writer = stream.try_clone().expect("a second handle");
        let bytes = sent.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&bytes).expect("all of it");
            writer.shutdown(Shutdown::Write).expect("an end");
        });
        let mut back = vec![];
        stream.read_to_end(&mut back).expect("all of it back");
        writing.join().expect("no panic");
        assert!(back == sent, "{} bytes came back", back.len());
        sent.len()
    });
    client.join().expect("no panic")
}
