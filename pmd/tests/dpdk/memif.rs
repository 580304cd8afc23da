//! A memif between two devices of one process.

use std::time::Duration;

use pmd::dpdk::{Device, Eal};
use pmd::{Burst, QueuePair};

use super::{completes, eal, numbered, open, small, within};

#[test]
fn frames_pass_both_ways_and_the_pair_can_be_made_again() {
    let eal = eal();
    for round in 0..2 {
        let (mut server, mut client) = pair(eal, &format!("darner-{}-{round}", std::process::id()));
        pass(&mut server, &mut client);
        pass(&mut client, &mut server);
        let pools = [server.0.pool().clone(), client.0.pool().clone()];
        drop((server, client));
        assert!(pools.iter().all(completes));
    }
}

#[test]
fn the_link_is_up_when_the_peer_is_there() {
    let name = format!("darner-{}", std::process::id());
    let eal = eal();
    let (server, mut queues) = open(eal, &format!("memif:server,socket={name}"), &small());
    assert!(!server.wait_for_link(Duration::from_millis(50)).up);
    let mut burst = numbered(server.pool(), 8);
    let gone = within(Duration::from_secs(2), || {
        queues[0].tx_burst(&mut burst);
        burst.is_empty().then_some(())
    });
    assert!(gone.is_some(), "without a peer, frames are lost");
    assert_eq!(server.statistics().tx_discarded, 8);

    let (client, _) = open(eal, &format!("memif:{name},client"), &small());
    assert!(client.wait_for_link(Duration::from_secs(5)).up);
    assert!(server.wait_for_link(Duration::from_secs(5)).up);
    drop(client);
    let down = within(Duration::from_secs(5), || (!server.link().up).then_some(()));
    assert!(down.is_some(), "down, when it is gone");
}

#[test]
fn a_memif_has_no_descriptor_to_wait_for() {
    let name = format!("darner-{}", std::process::id());
    let ((_server, queues), _client) = pair(eal(), &name);
    assert!(queues[0].wait_descriptor().is_none());
}

type Open = (Device, Vec<Box<dyn QueuePair>>);

fn pair(eal: Eal, socket: &str) -> (Open, Open) {
    let server = open(eal, &format!("memif:server,socket={socket}"), &small());
    let client = open(eal, &format!("memif:client,socket={socket}"), &small());
    for (device, _) in [&server, &client] {
        assert!(device.wait_for_link(Duration::from_secs(5)).up);
    }
    (server, client)
}

/// The receiver polls meanwhile: a client lends the server buffers only when it receives.
fn pass((sender, tx): &mut Open, (_, rx): &mut Open) {
    let mut burst = numbered(sender.pool(), 20);
    let mut arrived = Burst::new();
    let all = within(Duration::from_secs(2), || {
        tx[0].tx_burst(&mut burst);
        rx[0].rx_burst(&mut arrived);
        (arrived.len() == 20).then_some(())
    });
    assert!(all.is_some(), "{} of 20 frames arrived", arrived.len());
    for (number, frame) in (0_u32..).zip(arrived.iter()) {
        assert_eq!((frame.len(), &frame.head()[..4]), (64, &number.to_be_bytes()[..]));
    }
}
