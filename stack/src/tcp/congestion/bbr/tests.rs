use super::*;
use crate::tcp::congestion::fixture::{MSS, NOW, RTO, START, ack};
use crate::time::Span;

/// A bottleneck of 10 MB/s at 100 ms: a product of a thousand segments.
const BANDWIDTH: u64 = 10_000_000;
const ROUND_TRIP: Span = Span::from_millis(100);
const PRODUCT: u32 = 1000 * MSS;

/// The ACK that begins a round in which so many bytes were delivered per second.
fn sampled(now: Instant, bandwidth: u64, round_trip: Span) -> Ack {
    let rate = RateSample {
        delivered: bandwidth,
        interval: Span::from_secs(1),
        app_limited: false,
        lost: 0,
        total_delivered: PRODUCT.into(),
    };
    Ack {
        now,
        round_trip: Some(round_trip),
        smoothed: Some(round_trip),
        round_start: true,
        rate: Some(rate),
        ..ack(MSS, PRODUCT)
    }
}

fn limited(mut ack: Ack) -> Ack {
    ack.rate.as_mut().unwrap().app_limited = true;
    ack
}

/// Having found the bottleneck, and let the queue go.
fn probing() -> (Bbr, Instant) {
    let (mut bbr, mut now) = (Bbr::new(START), NOW);
    for _ in 0..20 {
        bbr.on_ack(&Ack { flight: PRODUCT / 2, ..sampled(now, BANDWIDTH, ROUND_TRIP) });
        now = now + ROUND_TRIP;
    }
    assert!(matches!(bbr.phase, Phase::ProbeBandwidth { .. }), "{bbr:?}");
    bbr.window = 2 * PRODUCT;
    (bbr, now)
}

fn pacing_rate(bbr: &Bbr) -> u64 {
    bbr.pacing_rate().unwrap()
}

/// 2.885 times the initial window per millisecond, until there is a round trip (section 4.2.1).
#[test]
fn it_begins_with_the_initial_window_per_round_trip() {
    let mut bbr = Bbr::new(START);
    assert_eq!(bbr.window(), 10 * MSS);
    assert!((28_800_000..28_900_000).contains(&pacing_rate(&bbr)));
    let after_handshake = Bbr::new(Start { round_trip: Some(ROUND_TRIP), ..START });
    assert!((288_000..289_000).contains(&pacing_rate(&after_handshake)));
    bbr.on_ack(&Ack { rate: None, ..sampled(NOW, 0, ROUND_TRIP) });
    assert!((288_000..289_000).contains(&pacing_rate(&bbr)), "{}", pacing_rate(&bbr));
}

/// Section 4.3.2.2: three rounds in which the bandwidth grows by less than a quarter.
#[test]
fn startup_ends_when_the_bandwidth_grows_no_more() {
    let mut bbr = Bbr::new(START);
    for round in 0..6 {
        bbr.on_ack(&sampled(NOW, 100_000 << round, ROUND_TRIP));
        assert_eq!(bbr.phase, Phase::Startup);
        let wanted = times(HIGH_GAIN, (100_000 << round) / 100 * 99);
        assert!(pacing_rate(&bbr) >= wanted, "round {round}");
    }
    for round in 0..2 {
        bbr.on_ack(&sampled(NOW, 3_300_000, ROUND_TRIP));
        assert_eq!(bbr.phase, Phase::Startup, "round {round} without growth");
    }
    bbr.on_ack(&sampled(NOW, 3_300_000 * 5 / 4, ROUND_TRIP));
    assert_eq!(bbr.phase, Phase::Startup, "it grew after all");
    for _ in 0..2 {
        bbr.on_ack(&sampled(NOW, 4_200_000, ROUND_TRIP));
        bbr.on_ack(&Ack { round_start: false, ..sampled(NOW, 4_200_000, ROUND_TRIP) });
        bbr.on_ack(&limited(sampled(NOW, 4_200_000, ROUND_TRIP)));
        assert_eq!(bbr.phase, Phase::Startup);
    }
    bbr.on_ack(&sampled(NOW, 4_200_000, ROUND_TRIP));
    assert_eq!(bbr.phase, Phase::Drain);
}

/// A round without a usable sample is not one in which the bandwidth did not grow.
#[test]
fn a_sample_over_no_time_says_nothing() {
    let mut bbr = Bbr::new(START);
    bbr.on_ack(&sampled(NOW, BANDWIDTH, ROUND_TRIP));
    for _ in 0..20 {
        let mut ack = sampled(NOW, BANDWIDTH, ROUND_TRIP);
        ack.rate.as_mut().unwrap().interval = Span::ZERO;
        bbr.on_ack(&ack);
        assert_eq!((bbr.phase, bbr.bandwidth.max()), (Phase::Startup, BANDWIDTH));
    }
}

/// Section 4.3.3: slowly, until no more is in flight than the path holds.
#[test]
fn drain_lasts_until_the_queue_is_gone() {
    let mut bbr = Bbr::new(START);
    for _ in 0..4 {
        bbr.on_ack(&Ack { flight: 3 * PRODUCT, ..sampled(NOW, BANDWIDTH, ROUND_TRIP) });
    }
    assert_eq!(bbr.phase, Phase::Drain);
    let slow = pacing_rate(&bbr) as f64 / BANDWIDTH as f64;
    assert!((slow - 0.99 / 2.885).abs() < 0.01, "{slow}");
    let room = u32::try_from(3 * bbr.quantum()).unwrap();
    bbr.on_ack(&Ack { flight: PRODUCT + room + 2 * MSS, ..sampled(NOW, BANDWIDTH, ROUND_TRIP) });
    assert_eq!(bbr.phase, Phase::Drain);
    bbr.on_ack(&Ack { flight: PRODUCT + room + MSS, ..sampled(NOW, BANDWIDTH, ROUND_TRIP) });
    assert!(matches!(bbr.phase, Phase::ProbeBandwidth { .. }));
}

/// Section 4.3.4.1, each for a round trip: 5/4, 3/4 and six times 1 of the bandwidth.
#[test]
fn probing_goes_through_eight_steps() {
    let (mut bbr, mut now) = probing();
    bbr.phase = Phase::ProbeBandwidth { step: 7, since: now };
    let mut gains = Vec::new();
    for _ in 0..9 {
        now = now + ROUND_TRIP + Span::from_nanos(1);
        bbr.on_ack(&Ack { flight: 2 * PRODUCT, ..sampled(now, BANDWIDTH, ROUND_TRIP) });
        gains.push((pacing_rate(&bbr) as f64 / BANDWIDTH as f64 / 0.99 * 100.0).round());
    }
    assert_eq!(gains, [125.0, 75.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 125.0]);
}

/// Section 4.3.4.3.
#[test]
fn steps_end_by_what_is_in_flight() {
    let lost = |mut ack: Ack| {
        ack.rate.as_mut().unwrap().lost = 1;
        ack
    };
    for (name, step, millis, flight, loss, want) in [
        ("up: not before there is a quarter more", 0, 101, 1000, false, 0),
        ("up: there is", 0, 101, 1300, false, 1),
        ("up: but no sooner than after a round trip", 0, 99, 1300, false, 0),
        ("up: a loss says that there is no room", 0, 101, 1000, true, 1),
        ("down: a round trip", 1, 101, 1300, false, 2),
        ("down: or until the queue is gone", 1, 10, 1000, false, 2),
        ("down: but no sooner", 1, 99, 1300, false, 1),
        ("even: a round trip", 2, 101, 1300, false, 3),
        ("even: no sooner", 2, 99, 100, true, 2),
    ] {
        let (mut bbr, now) = probing();
        bbr.phase = Phase::ProbeBandwidth { step, since: now };
        let now = now + Span::from_millis(millis);
        let ack = Ack { flight: flight * MSS, ..sampled(now, BANDWIDTH, ROUND_TRIP) };
        bbr.on_ack(&if loss { lost(ack) } else { ack });
        let Phase::ProbeBandwidth { step, .. } = bbr.phase else { panic!("{name}") };
        assert_eq!(step, want, "{name}");
    }
}

/// Section 4.3.4.2.
#[test]
fn probing_begins_with_any_step_but_the_one_that_drains() {
    let (mut bbr, _) = probing();
    let mut begun = [0; 8];
    for nanos in 0..700 {
        bbr.probe_bandwidth(Instant::from_nanos(nanos));
        let Phase::ProbeBandwidth { step, .. } = bbr.phase else { panic!() };
        begun[usize::from(step)] += 1;
    }
    assert_eq!(begun, [100, 0, 100, 100, 100, 100, 100, 100]);
}

/// Sections 4.2.3.2 and 4.2.3.6: twice the product and three quanta, and no faster there than what is delivered.
#[test]
fn the_window_is_twice_what_fills_the_path() {
    let (mut bbr, now) = probing();
    bbr.window = PRODUCT;
    bbr.on_ack(&Ack { delivered: 5 * MSS, ..sampled(now, BANDWIDTH, ROUND_TRIP) });
    assert_eq!(bbr.window(), PRODUCT + 5 * MSS);
    bbr.window = 5 * PRODUCT;
    bbr.on_ack(&sampled(now, BANDWIDTH, ROUND_TRIP));
    let quanta = u32::try_from(3 * bbr.quantum()).unwrap();
    assert_eq!(bbr.window(), 2 * PRODUCT + quanta);
    assert!(bbr.quantum() <= 64 * 1024);
}

/// Section 4.1.1.3.
#[test]
fn the_bandwidth_is_the_highest_of_ten_rounds() {
    let (mut bbr, now) = probing();
    for round in 0..30 {
        bbr.on_ack(&limited(sampled(now, BANDWIDTH / 2, ROUND_TRIP)));
        assert_eq!(bbr.bandwidth.max(), BANDWIDTH, "limited by the application, round {round}");
    }
    bbr.on_ack(&limited(sampled(now, BANDWIDTH + 1, ROUND_TRIP)));
    assert_eq!(bbr.bandwidth.max(), BANDWIDTH + 1, "and faster all the same");
    for round in 0..10 {
        bbr.on_ack(&sampled(now, BANDWIDTH / 2, ROUND_TRIP));
        assert_eq!(bbr.bandwidth.max(), BANDWIDTH + 1, "round {round}");
    }
    bbr.on_ack(&sampled(now, BANDWIDTH / 2, ROUND_TRIP));
    assert_eq!(bbr.bandwidth.max(), BANDWIDTH / 2);
}

/// Section 4.3.5: four segments for 200 ms, if no shorter round trip was seen for ten seconds.
#[test]
fn after_ten_seconds_the_queue_is_drained_to_see_the_path() {
    let (mut bbr, mut now) = probing();
    now = now + ROUND_TRIP;
    bbr.on_ack(&sampled(now, BANDWIDTH, ROUND_TRIP));
    bbr.on_ack(&sampled(now + Span::from_secs(10), BANDWIDTH, ROUND_TRIP * 2));
    assert!(matches!(bbr.phase, Phase::ProbeBandwidth { .. }), "exactly ten");
    now = now + Span::from_millis(10_001);
    let window = bbr.window();
    bbr.on_ack(&sampled(now, BANDWIDTH, ROUND_TRIP * 2));
    assert_eq!(bbr.window(), 4 * MSS);
    assert_eq!(bbr.min_round_trip, Some(ROUND_TRIP * 2), "the old one is forgotten");

    let drained = now + ROUND_TRIP;
    let few = |now| Ack { flight: 4 * MSS, ..sampled(now, 40_000, ROUND_TRIP) };
    bbr.on_ack(&few(drained));
    bbr.on_ack(&few(drained + Span::from_millis(100)));
    bbr.on_ack(&few(drained + Span::from_millis(200)));
    assert_eq!((bbr.window(), bbr.min_round_trip), (4 * MSS, Some(ROUND_TRIP)));
    bbr.on_ack(&few(drained + Span::from_millis(201)));
    assert!(matches!(bbr.phase, Phase::ProbeBandwidth { .. }));
    assert!(bbr.window() >= window.min(2 * PRODUCT), "{}", bbr.window());
    assert_eq!(bbr.bandwidth.max(), BANDWIDTH, "what is measured with four segments says nothing");
}

/// On a long path the 200 ms are over before the few segments were acknowledged.
#[test]
fn the_path_is_watched_for_a_round_trip_at_least() {
    let (mut bbr, now) = probing();
    bbr.phase = Phase::ProbeRoundTrip { drained: None };
    let few =
        |now, delivered| Ack { delivered, flight: 4 * MSS, ..sampled(now, BANDWIDTH, ROUND_TRIP) };
    bbr.on_ack(&few(now, 0));
    bbr.on_ack(&few(now + Span::from_secs(1), 3 * MSS));
    assert!(matches!(bbr.phase, Phase::ProbeRoundTrip { .. }));
    bbr.on_ack(&few(now + Span::from_secs(1), MSS));
    assert!(matches!(bbr.phase, Phase::ProbeBandwidth { .. }));
}

#[test]
fn a_path_of_a_millisecond_is_not_forgotten_while_it_is_watched() {
    let least = Span::from_millis(1);
    let (mut bbr, mut now) = (Bbr::new(START), NOW);
    for _ in 0..20 {
        bbr.on_ack(&Ack { flight: MSS, ..sampled(now, BANDWIDTH, least) });
        now = now + least;
    }
    now = now + Span::from_secs(11);
    let few = |now| Ack { flight: 4 * MSS, delivered: 4 * MSS, ..sampled(now, 4_000_000, least) };
    for _ in 0..=200 {
        bbr.on_ack(&few(now));
        assert!(matches!(bbr.phase, Phase::ProbeRoundTrip { .. }));
        now = now + least;
    }
    bbr.on_ack(&few(now));
    bbr.on_ack(&few(now + least));
    assert!(matches!(bbr.phase, Phase::ProbeBandwidth { .. }), "{bbr:?}");
    assert_eq!(bbr.bandwidth.max(), BANDWIDTH);
}

/// As in Linux: nothing was in flight for longer than the look at the path had to last.
#[test]
fn a_pause_ends_a_look_at_the_path() {
    for (millis, drained, over) in [(201, true, true), (200, true, false), (201, false, false)] {
        let (mut bbr, mut now) = probing();
        now = now + Span::from_secs(11);
        bbr.on_ack(&sampled(now, BANDWIDTH, ROUND_TRIP * 2));
        if drained {
            bbr.on_ack(&Ack { flight: 4 * MSS, ..sampled(now, BANDWIDTH, ROUND_TRIP) });
        }
        assert_eq!(bbr.window(), 4 * MSS);
        now = now + Span::from_millis(millis);
        bbr.on_idle(now, Span::from_millis(millis), RTO);
        let probes_bandwidth = matches!(bbr.phase, Phase::ProbeBandwidth { .. });
        assert_eq!((probes_bandwidth, bbr.window() > PRODUCT), (over, over), "{millis} ms");
        assert!(!over || pacing_rate(&bbr) == BANDWIDTH / 100 * 99);
    }
}

/// Section 4.3.4.4.
#[test]
fn after_a_pause_the_path_is_filled_at_its_bandwidth() {
    let (mut bbr, now) = probing();
    bbr.phase = Phase::ProbeBandwidth { step: 0, since: now };
    bbr.on_ack(&sampled(now, BANDWIDTH, ROUND_TRIP));
    assert!(pacing_rate(&bbr) > BANDWIDTH);
    let window = bbr.window();
    let later = now + Span::from_secs(60);
    bbr.on_idle(later, Span::from_secs(60), RTO);
    assert_eq!((bbr.window(), pacing_rate(&bbr)), (window, BANDWIDTH / 100 * 99));
    bbr.on_ack(&sampled(later + ROUND_TRIP, BANDWIDTH, ROUND_TRIP));
    assert!(matches!(bbr.phase, Phase::ProbeBandwidth { .. }), "the pause has drained the queue");
    assert!(bbr.window() >= window);
    bbr.on_ack(&sampled(later + Span::from_secs(11), BANDWIDTH, ROUND_TRIP * 2));
    assert!(matches!(bbr.phase, Phase::ProbeRoundTrip { .. }), "and the pause is over");
}

/// Section 4.2.3.4: in the first round trip as much is sent as is delivered; in the end the window is what it was.
#[test]
fn recovery_conserves_packets_for_a_round_trip() {
    let (mut bbr, now) = probing();
    let window = bbr.window();
    bbr.on_congestion(now, 900 * MSS, Congested::Loss);
    assert_eq!(bbr.window(), 901 * MSS);
    let lossy = |flight, lost: u32| {
        let mut ack = Ack { recovery: true, flight, ..sampled(now, BANDWIDTH, ROUND_TRIP) };
        ack.rate.as_mut().unwrap().lost = lost.into();
        ack
    };
    bbr.on_ack(&lossy(900 * MSS, 100 * MSS));
    assert_eq!(bbr.window(), 801 * MSS, "what is lost is not replaced");
    for _ in 0..798 {
        bbr.on_ack(&lossy(801 * MSS, 0));
        assert_eq!(bbr.window(), 801 * MSS);
    }
    bbr.on_ack(&lossy(801 * MSS, 0));
    bbr.on_ack(&lossy(801 * MSS, 0));
    assert_eq!(bbr.window(), 802 * MSS, "then it grows by what is delivered");
    bbr.on_recovered(now, 800 * MSS);
    assert_eq!(bbr.window(), window);
}

#[test]
fn a_timeout_leaves_one_segment_and_undoing_it_gives_the_window_back() {
    let (mut bbr, now) = probing();
    let window = bbr.window();
    bbr.on_timeout(now, PRODUCT, Timeout::First);
    bbr.on_timeout(now, PRODUCT, Timeout::Again);
    assert_eq!(bbr.window(), MSS);
    bbr.on_ack(&Ack { flight: MSS, ..sampled(now, BANDWIDTH, ROUND_TRIP) });
    assert_eq!(bbr.window(), 4 * MSS);
    bbr.undo(now);
    assert_eq!(bbr.window(), window);
}

/// Section 4.2.3.4: on exit from either kind of recovery.
#[test]
fn after_what_a_timeout_lost_is_repaired_the_window_is_what_it_was() {
    let (mut bbr, now) = probing();
    let window = bbr.window();
    bbr.on_recovered(now, 0);
    assert_eq!(bbr.window(), window);
    for _ in 0..2 {
        bbr.on_timeout(now, PRODUCT, Timeout::First);
        bbr.on_ack(&Ack { flight: MSS, ..sampled(now, BANDWIDTH, ROUND_TRIP) });
        assert_eq!(bbr.window(), 4 * MSS, "one timeout after the other");
    }
    bbr.on_recovered(now, MSS);
    assert_eq!(bbr.window(), window);
    bbr.window = 10 * MSS;
    bbr.on_recovered(now, MSS);
    assert_eq!(bbr.window(), 10 * MSS, "nothing was recovered");
}

/// Section 4.2.3.4: what is in flight may stay, and a loss in a recovery is no reason to forget the window before it.
#[test]
fn recovery_begins_with_what_is_in_flight() {
    let (mut bbr, now) = probing();
    let window = bbr.window();
    bbr.on_congestion(now, 900 * MSS, Congested::Loss);
    bbr.on_ack(&Ack { recovery: true, ..sampled(now, BANDWIDTH, ROUND_TRIP) });
    assert_eq!(bbr.window(), PRODUCT);
    bbr.on_congestion(now, 10 * MSS, Congested::Loss);
    bbr.on_recovered(now, MSS);
    assert_eq!(bbr.window(), window);
}

/// As in Linux: after a timeout, or one that was none, it is not known any more that the pipe is full.
#[test]
fn a_timeout_lets_startup_go_on() {
    for undone in [false, true] {
        let mut bbr = Bbr::new(START);
        (0..3).for_each(|_| bbr.on_ack(&sampled(NOW, BANDWIDTH, ROUND_TRIP)));
        if undone {
            bbr.undo(NOW);
        } else {
            bbr.on_timeout(NOW, PRODUCT, Timeout::First);
        }
        (0..3).for_each(|_| bbr.on_ack(&sampled(NOW, BANDWIDTH, ROUND_TRIP)));
        assert_eq!(bbr.phase, Phase::Startup, "undone: {undone}");
        bbr.on_ack(&sampled(NOW, BANDWIDTH, ROUND_TRIP));
        assert_ne!(bbr.phase, Phase::Startup, "undone: {undone}");
    }
}

#[test]
fn a_mark_changes_nothing() {
    let (mut bbr, now) = probing();
    let window = bbr.window();
    bbr.on_congestion(now, PRODUCT, Congested::Marked);
    assert_eq!((bbr.window(), bbr.recovery), (window, Recovery::No));
}
