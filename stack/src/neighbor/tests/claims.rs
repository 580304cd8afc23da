//! Claims: probed, announced, defended, contested.

use super::*;

#[test]
fn an_address_is_probed_then_announced_then_ours() {
    let mut link = Link::new();
    link.claim(OURS, Detection::RFC_5227);
    let mut times = vec![];
    while let Some(at) = link.neighbors.next_deadline() {
        link.run_until(at.as_millis() + 1);
        times.extend(link.done().into_iter().map(|done| (at, done)));
    }
    let done: Vec<_> = times.iter().map(|(_, done)| done.as_str()).collect();
    let want = [
        "probe 10.0.0.1",
        "probe 10.0.0.1",
        "probe 10.0.0.1",
        "announce 10.0.0.1",
        "claimed 10.0.0.1",
        "announce 10.0.0.1",
    ];
    assert_eq!(done, want);

    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    let second = Duration::from_secs(1);
    assert!(times[0].0 <= Instant::ZERO + second);
    assert!(
        gaps[..2].iter().all(|gap| (second..=2 * second + Duration::from_millis(1)).contains(gap)),
        "{gaps:?}"
    );
    assert_eq!(gaps[2].as_millis() / 10, 200, "ANNOUNCE_WAIT");
    assert_eq!(gaps[4].as_millis() / 10, 200, "ANNOUNCE_INTERVAL");
}

#[test]
fn quick_detection_takes_less_than_400_ms_and_none_takes_none() {
    let mut link = Link::new();
    link.claim(OURS, Detection::QUICK);
    link.run_until(400);
    assert!(link.neighbors.holds(OURS));
    assert_eq!(link.done().iter().filter(|done| done.starts_with("probe")).count(), 3);
    let mut link = Link::new();
    link.claim(OURS, Detection::OFF);
    link.run_until(0);
    assert_eq!(link.done(), ["announce 10.0.0.1", "claimed 10.0.0.1"]);
}

#[test]
fn nothing_is_answered_before_the_address_is_ours() {
    let mut link = Link::new();
    link.claim(OURS, Detection::RFC_5227);
    assert_eq!(link.hear(request(PEER, MAC_2, OURS)), Err(Drop::ArpForeign));
    assert_eq!(link.done(), NOTHING);
    assert!(!link.neighbors.holds(OURS));
    link.run_until(10_000);
    link.actions.clear();
    assert_eq!(link.hear(request(PEER, MAC_2, OURS)), Ok(()));
    assert_eq!(link.done(), ["answer 02:00:00:00:00:02 at 10.0.0.2"]);
}

#[test]
fn who_uses_or_wants_the_address_stops_the_claim_for_a_minute() {
    for (name, packet) in [
        ("answers the probe", reply(OURS, MAC_2, NOBODY)),
        ("announces it", request(OURS, MAC_2, OURS)),
        ("asks with it", request(OURS, MAC_2, PEER)),
        ("probes it too", request(NOBODY, MAC_2, OURS)),
    ] {
        let mut link = Link::new();
        link.claim(OURS, Detection::QUICK);
        link.run_until(100);
        link.actions.clear();
        assert_eq!(link.hear(packet), Err(Drop::ArpConflict), "{name}");
        assert_eq!(link.hear(packet), Err(Drop::ArpConflict), "{name}");
        assert_eq!(link.done(), ["02:00:00:00:00:02 has 10.0.0.1"], "{name}");
        link.run_until(60_099);
        assert_eq!(link.done(), NOTHING, "{name}");
        assert!(!link.neighbors.holds(OURS), "{name}");
        link.run_until(61_000);
        assert_eq!(link.done()[..3], ["probe 10.0.0.1"; 3], "{name}");
        assert!(link.neighbors.holds(OURS), "{name}");
    }
}

#[test]
fn an_address_we_hold_is_defended_every_ten_seconds_at_most() {
    let mut link = Link::holding(OURS);
    let theirs = request(OURS, MAC_2, PEER);
    for (at, want) in [
        (0, &["announce 10.0.0.1", "02:00:00:00:00:02 has 10.0.0.1"][..]),
        (1, &[]),
        (9_999, &[]),
        (10_000, &["announce 10.0.0.1", "02:00:00:00:00:02 has 10.0.0.1"]),
        (10_001, &[]),
    ] {
        link.run_until(at);
        assert_eq!(link.hear(theirs), Err(Drop::ArpConflict), "at {at} ms");
        assert_eq!(link.done(), want, "at {at} ms");
    }
    assert!(link.neighbors.holds(OURS));
    assert_eq!(link.neighbors.iter(link.now).count(), 0, "an impostor is no neighbour");
}

#[test]
fn a_probe_for_an_address_we_hold_is_answered() {
    let mut link = Link::holding(OURS);
    assert_eq!(link.hear(request(NOBODY, MAC_2, OURS)), Ok(()));
    assert_eq!(link.done(), ["answer 02:00:00:00:00:02 at 0.0.0.0"]);
}

#[test]
fn packets_wait_for_the_claim_of_their_source() {
    let mut link = Link::new();
    link.claim(OURS, Detection::QUICK);
    assert_eq!(link.send(PEER, "a"), "queued");
    assert!(
        !link.done().iter().any(|done| done.starts_with("ask")),
        "not with an address that is not ours yet"
    );
    link.run_until(400);
    let done = link.done();
    assert_eq!(done[done.len() - 2..], ["claimed 10.0.0.1", "ask all for 10.0.0.2 as 10.0.0.1"]);
    assert_eq!(link.hear(reply(PEER, MAC_2, OURS)), Ok(()));
    assert_eq!(link.done(), ["send a to 02:00:00:00:00:02"]);
}

#[test]
fn a_stale_neighbor_is_not_checked_with_an_address_that_is_being_claimed() {
    const SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);
    let mut link = Link::knowing(PEER, MAC_2);
    link.run_until(30_000);
    link.claim(SECOND, Detection::QUICK);
    assert_eq!(link.send_from(SECOND, PEER, "a"), "to 02:00:00:00:00:02");
    assert_eq!(link.done(), NOTHING);
    assert_eq!(link.send_from(OURS, PEER, "b"), "to 02:00:00:00:00:02");
    assert_eq!(link.done(), ["ask 02:00:00:00:00:02 for 10.0.0.2 as 10.0.0.1"]);
}

#[test]
fn packets_fail_with_the_claim_of_their_source() {
    let mut link = Link::new();
    link.claim(OURS, Detection::QUICK);
    assert_eq!(link.send(PEER, "a"), "queued");
    assert_eq!(link.hear(reply(OURS, MAC_2, NOBODY)), Err(Drop::ArpConflict));
    assert_eq!(link.done(), ["02:00:00:00:00:02 has 10.0.0.1", "a goes nowhere"]);
    assert_eq!(link.send(PEER, "b"), "refused b: ArpConflict");
}

#[test]
fn two_stations_that_start_at_once_do_not_both_win() {
    let mut ours = Link::new();
    ours.claim(OURS, Detection::QUICK);
    ours.run_until(50);
    let mut theirs = Neighbors::new(MAC_2);
    let (mut rng, mut actions) = (Rng::new([8; 32]), Actions::new());
    theirs.claim(ours.now, OURS, Detection::QUICK, &mut rng);
    let end = Instant::from_millis(500);
    while let Some(now) =
        ours.neighbors.next_deadline().into_iter().chain(theirs.next_deadline()).min()
        && now <= end
    {
        ours.run_until(now.as_millis() + 1);
        theirs.expire(ours.now, &mut rng, &mut actions);
        for action in std::mem::take(&mut ours.actions) {
            if let Action::Arp(_, packet) = action {
                let _dropped = theirs.arp_input(ours.now, &packet, &mut actions);
            }
        }
        for action in std::mem::take(&mut actions) {
            if let Action::Arp(_, packet) = action {
                let _dropped = ours.hear(packet);
            }
        }
    }
    assert!(!(ours.neighbors.holds(OURS) && theirs.holds(OURS)));
}
