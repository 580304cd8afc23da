//! Interfaces of the kernel: AF_PACKET and AF_XDP on one end of a veth, the kernel on the other.

use std::time::Duration;

use pmd::{Burst, Frame, Pool};

use super::namespace::{enter, ip};
use super::{completes, eal, open, small, within};

#[test]
fn af_packet_asks_the_kernel_for_its_address() {
    assert!(completes(&answers_over("af_packet:ours")));
}

#[test]
fn af_xdp_asks_the_kernel_for_its_address() {
    // The driver keeps the frames in its rings for ever.
    let pool = answers_over("af_xdp:ours");
    assert!(pool.available() >= 1024);
}

/// Returns the pool of the device, which is closed by then.
fn answers_over(spec: &str) -> Pool {
    enter();
    ip("link add ours type veth peer name kernels");
    ip("link set ours up");
    ip("link set kernels up");
    ip("addr add 10.9.0.1/24 dev kernels");
    let (device, mut queues) = open(eal(), spec, &small());
    assert!(device.wait_for_link(Duration::from_secs(5)).up);
    assert!(ip("link show ours").contains(&text(device.mac())), "the interface's own address");

    let mut burst = Burst::new();
    let mut request = device.pool().alloc().unwrap();
    request.extend_from_slice(&arp_request(device.mac())).unwrap();
    burst.push(request).unwrap();
    assert_eq!(queues[0].tx_burst(&mut burst), 1);
    let reply = within(Duration::from_secs(5), || {
        queues[0].rx_burst(&mut burst);
        burst.drain().find(is_reply)
    });
    let reply = reply.expect("the kernel answers within 5 s");
    assert_eq!(reply.head()[..6], device.mac());

    device.pool().clone()
}

/// Who has 10.9.0.1? Tell 10.9.0.2.
fn arp_request(mac: [u8; 6]) -> [u8; 42] {
    let mut bytes = [0; 42];
    bytes[..6].fill(0xff);
    bytes[6..12].copy_from_slice(&mac);
    bytes[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    bytes[22..28].copy_from_slice(&mac);
    bytes[28..32].copy_from_slice(&[10, 9, 0, 2]);
    bytes[38..42].copy_from_slice(&[10, 9, 0, 1]);
    bytes
}

fn is_reply(frame: &Frame) -> bool {
    frame.head()[12..14] == [8, 6]
        && frame.head()[20..22] == [0, 2]
        && frame.head()[28..32] == [10, 9, 0, 1]
}

fn text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
