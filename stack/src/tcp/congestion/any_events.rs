//! Whatever a controller is told, in whatever order: its window stays one, and nothing overflows.

use proptest::prelude::*;

use super::algorithm::{Algorithm, new};
use super::controller::{Ack, Congested, Controller, RateSample, Start};
use super::fixture::{START, ack as ack_of};
use super::window::LARGEST;
use super::{Handshake, Timeout};
use crate::time::{Instant, Span};

const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Bbr, Algorithm::Dctcp];

#[derive(Clone, Debug)]
enum Event {
    Ack(Ack),
    Congestion(u32, Congested),
    Recovered(u32),
    Timeout(u32, Timeout),
    Undo,
    Idle(Span, Span),
    Mss(u32),
}

/// Mostly what is likely, but also anything.
fn bytes() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..100_000, 0_u32..100_000, any::<u32>()]
}

fn span() -> impl Strategy<Value = Span> {
    let likely = 0_u64..2_000_000_000;
    prop_oneof![likely.clone(), likely, any::<u64>()].prop_map(Span::from_nanos)
}

fn rate() -> impl Strategy<Value = RateSample> {
    let lost = prop_oneof![Just(0), any::<u64>()];
    (any::<u64>(), bytes(), span(), any::<bool>(), lost).prop_map(
        |(total_delivered, delivered, interval, app_limited, lost)| RateSample {
            delivered: delivered.into(),
            interval,
            app_limited,
            lost,
            total_delivered,
        },
    )
}

fn ack() -> impl Strategy<Value = Ack> {
    let sizes = (bytes(), bytes(), bytes(), prop_oneof![Just(0), bytes()]);
    let times = (prop::option::of(span()), prop::option::of(span()));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>());
    let acks = 1..=256_u32;
    (sizes, times, flags, prop::option::of(rate()), acks).prop_map(
        |(sizes, times, flags, rate, acks)| Ack {
            now: Instant::ZERO,
            acked: sizes.0,
            delivered: sizes.1,
            flight: sizes.2,
            marked: sizes.3,
            round_trip: times.0,
            smoothed: times.1,
            window_limited: flags.0,
            acks,
            round_start: flags.1,
            recovery: flags.2,
            rate,
        },
    )
}

fn start() -> impl Strategy<Value = Start> {
    let handshake = prop_oneof![Just(Handshake::Smooth), Just(Handshake::Lossy)];
    (1_u32..65_536, any::<u8>(), handshake, prop::option::of(span())).prop_map(
        |(mss, initial_segments, handshake, round_trip)| Start {
            mss,
            initial_segments,
            handshake,
            round_trip,
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let why =
        prop_oneof![Just(Congested::Loss), Just(Congested::LossAfterMark), Just(Congested::Marked)];
    let which = prop_oneof![Just(Timeout::First), Just(Timeout::Again)];
    prop_oneof![
        12 => ack().prop_map(Event::Ack),
        1 => (bytes(), why).prop_map(|(flight, why)| Event::Congestion(flight, why)),
        1 => bytes().prop_map(Event::Recovered),
        1 => (bytes(), which).prop_map(|(flight, which)| Event::Timeout(flight, which)),
        1 => Just(Event::Undo),
        1 => (span(), span()).prop_map(|(idle, rto)| Event::Idle(idle, rto)),
        1 => any::<u32>().prop_map(Event::Mss),
    ]
}

fn tell(controller: &mut dyn Controller, now: Instant, event: Event) {
    match event {
        Event::Ack(ack) => controller.on_ack(&Ack { now, ..ack }),
        Event::Congestion(flight, why) => controller.on_congestion(now, flight, why),
        Event::Recovered(flight) => controller.on_recovered(now, flight),
        Event::Timeout(flight, which) => controller.on_timeout(now, flight, which),
        Event::Undo => controller.undo(now),
        Event::Idle(idle, rto) => controller.on_idle(now, idle, rto),
        Event::Mss(mss) => controller.on_mss(mss),
    }
}

/// RFC 7323, section 2.3.
#[test]
fn no_window_grows_beyond_one_gibibyte() {
    for algorithm in ALGORITHMS {
        let mut controller = new(algorithm, Start { mss: 65_535, ..START });
        let mut now = Instant::ZERO;
        let rate = RateSample {
            delivered: u64::MAX,
            interval: Span::from_secs(1),
            app_limited: false,
            lost: 0,
            total_delivered: 1,
        };
        for _ in 0..10_000 {
            now = now + Span::from_millis(100);
            let flight = controller.window();
            let round_trip = Some(Span::from_millis(100));
            let ack = Ack { now, round_trip, rate: Some(rate), ..ack_of(flight, flight) };
            controller.on_ack(&ack);
            assert!(controller.window() <= LARGEST, "{algorithm}");
        }
        assert_eq!(controller.window(), LARGEST, "{algorithm}");
    }
}

proptest! {
    #[test]
    fn a_window_is_from_one_segment_to_one_gibibyte(
        events in prop::collection::vec((span(), event()), 1..300), start in start(),
    ) {
        for algorithm in ALGORITHMS {
            let mss = start.mss;
            let (mut controller, mut mss, mut now) = (new(algorithm, start), mss, Instant::ZERO);
            for (passed, event) in events.clone() {
                now = now + passed;
                if let Event::Mss(new) = event {
                    mss = new.clamp(1, 65_535);
                }
                let (before, what) = (controller.window(), format!("{algorithm}: {event:?}"));
                let undone = matches!(event, Event::Undo);
                tell(&mut controller, now, event);
                prop_assert!((mss..=LARGEST).contains(&controller.window()), "{what}");
                prop_assert!((2 * mss..=LARGEST).contains(&controller.ssthresh()), "{what}");
                prop_assert!(controller.pacing_rate() != Some(0), "{what}");
                prop_assert!(!undone || controller.window() >= before, "{what}");
            }
        }
    }

    /// One ACK adds what it acknowledges, by Reno two segments for each that it stands for, or half of the window, and nothing if it shows nothing or comes during a recovery. BBR's
    /// window follows its model.
    #[test]
    fn an_ack_widens_a_window_by_little(
        events in prop::collection::vec((span(), event()), 1..300), last in ack(),
    ) {
        for algorithm in [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Dctcp] {
            let (mut controller, mut mss, mut now) = (new(algorithm, START), START.mss, Instant::ZERO);
            let last = (Span::ZERO, Event::Ack(last.clone()));
            for (passed, event) in events.iter().cloned().chain([last]) {
                now = now + passed;
                let before = controller.window();
                tell(&mut controller, now, event.clone());
                match event {
                    Event::Mss(new) => mss = new.clamp(1, 65_535),
                    Event::Ack(ack) => {
                        let most = if ack.may_widen() { (if algorithm == Algorithm::Cubic { ack.acked } else { 2 * mss * ack.acks }).max(before / 2 + 1) } else { 0 };
                        let after = controller.window();
                        prop_assert!(after <= before.saturating_add(most), "{algorithm}: {before}, {after}: {ack:?}");
                    }
                    _ => {}
                }
            }
        }
    }

    /// Losses, marks and timeouts never widen a window, however much is said to be in flight. BBR's takes what is in flight.
    #[test]
    fn congestion_never_widens_a_window(
        events in prop::collection::vec((span(), event()), 1..100), flight in bytes(), which in 0_usize..3,
    ) {
        for algorithm in [Algorithm::Cubic, Algorithm::NewReno, Algorithm::Dctcp] {
            let (mut controller, mut now) = (new(algorithm, START), Instant::ZERO);
            for (passed, event) in events.clone() {
                now = now + passed;
                tell(&mut controller, now, event);
            }
            let before = controller.window();
            match which {
                0 => controller.on_congestion(now, flight, Congested::Loss),
                1 => controller.on_congestion(now, flight, Congested::Marked),
                _ => controller.on_timeout(now, flight, Timeout::First),
            }
            prop_assert!(controller.window() <= before, "{algorithm}");
            controller.on_recovered(now, flight);
            prop_assert!(controller.window() <= before, "{algorithm}");
        }
    }
}
