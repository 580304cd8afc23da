//! UDP: a socket of the whole stack lives on one core and hears all of them.

use std::io::ErrorKind;
use std::net::SocketAddrV4;
use std::sync::mpsc::sync_channel;

use super::apps::Talker;
use super::nic::Spread;
use super::packet;
use super::world::{Plan, US, World};
use crate::api::UdpSocket;
use crate::counters::Counter;
use crate::drops::Drop;
use crate::protocol::Order;
use crate::wire::icmpv4::{IcmpHeader, Unreachable};

#[test]
fn a_socket_of_the_whole_stack_hears_what_comes_to_any_core() {
    let mut world = bound(|core| core == 2);
    opened(&mut world, 2);
    assert_eq!(send(&mut world), 2);
    assert_eq!(delivered(&world), [0, 0, 3]);
    assert_eq!(world.count(Counter::Missteered), 0, "no device could have known");
    closed(&mut world, 2);
    send(&mut world);
    assert_eq!(delivered(&world), [0, 0, 4], "gone, as far as the others know");
    assert_eq!(world.dropped(Drop::UdpNoSocket), 2);
    world.finish();
}

#[test]
fn a_socket_of_the_core_comes_first() {
    let mut world = bound(|core| core > 0);
    opened(&mut world, 2);
    send(&mut world);
    assert_eq!(delivered(&world), [0, 1, 2]);
    world.finish();
}

#[test]
fn without_a_socket_a_datagram_goes_nowhere_else() {
    let mut world = bound(|_| false);
    // The first one is refused by way of ARP, of which every core is told.
    send(&mut world);
    assert_eq!((send(&mut world), world.dropped(Drop::UdpNoSocket)), (0, 6));
    // A home that has closed meanwhile refuses for all.
    opened(&mut world, 1);
    assert_eq!((send(&mut world), world.dropped(Drop::UdpNoSocket)), (2, 9));
    world.finish();
}

#[test]
fn an_icmp_error_about_a_datagram_goes_to_its_socket() {
    let mut world = bound(|core| core == 1);
    opened(&mut world, 1);
    let (us, peer): (SocketAddrV4, SocketAddrV4) = (local(), "10.0.0.1:4000".parse().unwrap());
    let sent = packet::datagram(us, peer, b"hello");
    let unreachable = IcmpHeader::DestinationUnreachable(Unreachable::Port);
    let error = packet::icmp_error(&sent, *peer.ip(), unreachable);
    let before = world.count(Counter::ForwardedOut);
    (0..3).for_each(|queue| world.nic.receive_at(queue, &error));
    world.settle();
    let forwarded = world.count(Counter::ForwardedOut) - before;
    assert_eq!((forwarded, world.dropped(Drop::IcmpUnmatched)), (2, 0));
    world.finish();
}

/// Its last orders are lost with it when a core panics.
#[test]
fn the_addresses_of_a_core_that_has_ended_are_nobodys() {
    let mut world = bound(|core| core == 2);
    opened(&mut world, 2);
    assert_eq!(bind_at(&mut world, 0).err(), Some(ErrorKind::AddrInUse));
    drop(world.cores.pop());
    world.nic.receive_at(0, &from_peer());
    world.settle();
    assert_eq!((delivered(&world), world.dropped(Drop::UdpNoSocket)), (vec![0, 0], 1));
    let socket = bind_at(&mut world, 0).unwrap();
    world.nic.receive_at(0, &from_peer());
    world.settle();
    assert_eq!(delivered(&world), [1, 0]);
    drop(socket);
    world.finish();
}

/// Opens a socket of the whole stack on one core, which it does not tell the others of.
fn bind_at(world: &mut World, core: usize) -> Result<UdpSocket, ErrorKind> {
    let (answer, answered) = sync_channel(1);
    world.shared[core].order(Order::BindUdp(local(), answer));
    world.settle();
    answered.try_recv().unwrap().map_err(|error| error.kind())
}

/// Three cores; those that are `chosen` open a socket on port 7.
fn bound(chosen: impl Fn(usize) -> bool) -> World {
    let application =
        |core| Talker { bind: chosen(core).then(|| local().into()), ..Talker::default() };
    let mut world = World::new(&Plan::new(Spread::ByTurns, 3, 3), application, Talker::default());
    world.settle();
    world
}

fn opened(world: &mut World, home: usize) {
    let (answer, answered) = sync_channel(3);
    for core in &world.shared {
        core.order(Order::SocketHome(local(), home, answer.clone()));
    }
    world.settle();
    assert_eq!(answered.try_iter().count(), 3);
}

fn closed(world: &mut World, home: usize) {
    world.shared.iter().for_each(|core| core.order(Order::SocketGone(local(), home)));
    world.settle();
}

/// One datagram to each queue. Returns how much the cores gave to each other.
fn send(world: &mut World) -> u64 {
    let before = world.count(Counter::ForwardedOut);
    (0..3).for_each(|queue| world.nic.receive_at(queue, &from_peer()));
    world.settle();
    world.count(Counter::ForwardedOut) - before
}

fn from_peer() -> Vec<u8> {
    packet::datagram("10.0.0.1:4000".parse().unwrap(), local(), b"hello")
}

fn delivered(world: &World) -> Vec<u64> {
    let count = |counter| move |core: &crate::Protocol| core.metrics().counter(counter);
    world.cores.iter().map(count(Counter::UdpInDatagrams)).collect()
}

fn local() -> SocketAddrV4 {
    SocketAddrV4::new(US.parse().unwrap(), 7)
}
