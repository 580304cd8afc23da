use super::*;
use crate::tcp::congestion::fixture::{MSS, NOW, RTO, START, ack, avoid_from};
use crate::time::Span;

/// In congestion avoidance: reduced from a window of so many segments, all of them in flight, at `NOW`.
fn reduced_from(segments: u32) -> Cubic {
    let mut cubic = Cubic::new(START);
    avoid_from(&mut cubic, segments * MSS, (7, 10));
    cubic.epoch = Epoch::NONE;
    cubic.on_congestion(NOW, segments * MSS, Congested::Loss);
    cubic.on_recovered(NOW, 0);
    cubic
}

/// Lets full windows be acknowledged for a time, ten ACKs to the round; when that is over.
fn run(cubic: &mut Cubic, from: Instant, span: Span, round_trip: Span) -> Instant {
    let mut now = from;
    cubic.on_ack(&Ack { now, ..ack(0, cubic.window()) });
    while now.span_since(from) < span {
        now = now + round_trip / 10;
        let acked = cubic.window() / 10;
        cubic.on_ack(&Ack { now, smoothed: Some(round_trip), ..ack(acked, cubic.window()) });
    }
    now
}

/// A window in segments.
fn segments(cubic: &Cubic) -> f64 {
    f64::from(cubic.window()) / f64::from(MSS)
}

fn assert_near(value: f64, want: f64, tolerance: f64, what: &str) {
    assert!((value - want).abs() <= tolerance, "{what}: {value}, not {want}");
}

/// Section 4.2 with W_max = 1000 and a window of 700: K = cbrt(300 / 0.4) = 9.086 s.
#[test]
fn the_curve_is_back_at_w_max_after_k() {
    let mut epoch = Epoch { w_max: 1000 * MSS, ..Epoch::NONE };
    epoch.begin(700 * MSS, MSS);
    assert_near(epoch.k.into(), 9.0856, 1e-4, "K");
    for (t, want) in
        [(0.0, 700.0), (4.543, 962.5), (9.0856, 1000.0), (13.629, 1037.5), (18.171, 1300.0)]
    {
        let bytes = epoch.cubic(t, MSS);
        assert_near(bytes / f64::from(MSS), want, 0.05, &format!("after {t} s"));
    }
}

/// Sections 4.4 and 4.5: fast, slow about W_max, and fast again. The window follows the curve by a round trip at most.
#[test]
fn the_window_follows_the_curve() {
    let round_trip = Span::from_millis(100);
    for (secs, want) in [(2, 857.6), (5, 972.7), (9, 1000.0), (14, 1047.4), (18, 1283.2)] {
        let mut cubic = reduced_from(1000);
        run(&mut cubic, NOW, Span::from_secs(secs), round_trip);
        let slope = 1.2 * (secs as f64 - 9.0856).powi(2) * 0.1;
        assert_near(segments(&cubic), want, slope + 1.0, &format!("after {secs} s"));
    }
}

/// Section 4.2: a window of ACKs brings it to where the curve is a round trip later.
#[test]
fn the_window_aims_a_round_trip_ahead() {
    let mut cubic = reduced_from(1000);
    let now = run(&mut cubic, NOW, Span::from_secs(2), Span::from_millis(100));
    let smoothed = Some(Span::from_secs(1));
    let now = now + Span::from_millis(100);
    cubic.on_ack(&Ack { now, smoothed, ..ack(cubic.window(), cubic.window()) });
    assert_near(segments(&cubic), cubic.epoch.cubic(3.1, MSS) / f64::from(MSS), 0.1, "after 2.1 s");
}

/// However little each ACK is for: what is less than a byte is not lost.
#[test]
fn small_acks_add_up() {
    let after = |pieces| {
        let mut cubic = reduced_from(1000);
        let now = run(&mut cubic, NOW, Span::from_secs(2), Span::from_millis(100));
        let window = cubic.window();
        for _ in 0..pieces {
            let smoothed = Some(Span::from_millis(100));
            cubic.on_ack(&Ack { now, smoothed, ..ack(window / pieces, window) });
        }
        f64::from(cubic.window() - window)
    };
    assert!(after(1) > 1000.0);
    assert_near(after(10_000), after(1), 0.5 * after(1), "growth");
}

/// C is in segments per second cubed.
#[test]
fn a_new_segment_size_begins_a_new_curve() {
    let mut cubic = reduced_from(1000);
    run(&mut cubic, NOW, Span::from_secs(2), Span::from_millis(100));
    let window = cubic.window();
    cubic.on_mss(MSS / 2);
    cubic.on_ack(&ack(MSS, window));
    assert_eq!((cubic.window(), cubic.epoch.w_max), (window, 1000 * MSS));
    assert_near(cubic.epoch.cubic(0.0, MSS / 2), window.into(), 1.0, "W_cubic(0)");
}

/// Section 4.2: however far the curve is ahead, at most half as much again in a round trip.
#[test]
fn the_window_grows_by_half_in_a_round_trip_at_most() {
    let mut cubic = reduced_from(100);
    cubic.on_ack(&ack(MSS, 70 * MSS));
    cubic.epoch.elapsed = Some(3_600_000_000_000);
    for _ in 0..10 {
        cubic.on_ack(&ack(7 * MSS, 70 * MSS));
    }
    assert!((98 * MSS..116 * MSS).contains(&cubic.window()), "{}", cubic.window());
}

/// Section 4.3 on a short path: W_est grows by 0.529 segments a round trip up to where the reduction came, then by one.
#[test]
fn it_is_never_slower_than_reno() {
    let round_trip = Span::from_millis(10);
    let mut cubic = reduced_from(20);
    assert_eq!(cubic.window(), 14 * MSS);
    let now = run(&mut cubic, NOW, round_trip * 10, round_trip);
    assert_near(segments(&cubic), 14.0 + 5.29, 0.2, "ten rounds");
    let now = run(&mut cubic, now, round_trip * 2, round_trip);
    let before = segments(&cubic);
    run(&mut cubic, now, round_trip * 10, round_trip);
    assert_near(segments(&cubic), before + 10.0, 0.4, "ten rounds beyond");
}

/// Section 4.6.
#[test]
fn a_reduction_leaves_its_part_of_the_window_however_much_was_in_flight() {
    for (name, window, flight, why, want) in [
        ("a full window", 100 * MSS, 100 * MSS, Congested::Loss, 70_000),
        ("a mark (RFC 8511)", 100 * MSS, 100 * MSS, Congested::Marked, 85_000),
        ("a pause of the application", 100 * MSS, MSS, Congested::Loss, 70_000),
        ("more than the window", 100 * MSS, 120 * MSS, Congested::Loss, 70_000),
        ("no whole segments", 99_999, 99_999, Congested::Loss, 69_999),
        ("a small one", 10 * MSS, 10 * MSS, Congested::Loss, 7_000),
    ] {
        let mut cubic = Cubic::new(START);
        avoid_from(&mut cubic, window, (7, 10));
        cubic.on_congestion(NOW, flight, why);
        cubic.on_recovered(NOW, MSS);
        assert_eq!((cubic.window(), cubic.ssthresh()), (want, want), "{name}");
        assert_eq!(cubic.epoch.prior, window, "{name}");
    }
    let mut cubic = Cubic::new(START);
    avoid_from(&mut cubic, 10 * MSS, (7, 10));
    (0..16).for_each(|_| cubic.on_congestion(NOW, MSS, Congested::Marked));
    assert_eq!((cubic.window(), cubic.ssthresh()), (MSS, 2 * MSS), "marks next to nothing");
}

/// RFC 3168, section 6.1.2.
#[test]
fn a_loss_after_a_mark_is_of_the_same_congestion() {
    let mut cubic = reduced_from(100);
    cubic.on_congestion(NOW, 70 * MSS, Congested::Marked);
    let (window, w_max) = (cubic.window(), cubic.epoch.w_max);
    assert_eq!(window, 59_500, "0.85 of 70 segments");
    cubic.on_congestion(NOW, 70 * MSS, Congested::LossAfterMark);
    assert_eq!((cubic.window(), cubic.epoch.w_max), (49 * MSS, w_max), "0.7 in all");
    cubic.undo(NOW);
    assert_eq!((cubic.window(), cubic.epoch.w_max), (window, w_max));
}

/// Section 4.7: below the old W_max it is 1.7 / 2 of the window, else the window.
#[test]
fn a_flow_that_did_not_come_back_to_its_window_makes_room() {
    for (before, window, want) in [(100, 80, 68), (100, 100, 100), (100, 120, 120)] {
        let mut epoch = Epoch { w_max: before * MSS, ..Epoch::NONE };
        epoch.reduce(window * MSS);
        assert_eq!(epoch.w_max, want * MSS, "{window} after {before}");
    }
}

/// Section 4.8: K = 0, and the plateau is where slow start has ended.
#[test]
fn after_a_timeout_congestion_avoidance_begins_at_the_plateau() {
    let mut cubic = reduced_from(100);
    cubic.on_timeout(NOW, 70 * MSS, Timeout::First);
    assert_eq!((cubic.window(), cubic.ssthresh()), (MSS, 49 * MSS));
    cubic.on_timeout(NOW, MSS, Timeout::Again);
    assert_eq!((cubic.window(), cubic.ssthresh()), (MSS, 49 * MSS));
    while cubic.window() < cubic.ssthresh() {
        let before = cubic.window();
        cubic.on_ack(&ack(4 * MSS, before));
        assert_eq!(cubic.window(), before + MSS, "a segment for each ACK");
    }
    cubic.on_ack(&ack(MSS, cubic.window()));
    assert_eq!((cubic.epoch.k, cubic.epoch.w_max), (0.0, 49 * MSS));
    assert_near(cubic.epoch.w_est, 49_000.0, 0.0, "W_est");
}

/// Section 4.10, with HyStart++: five rounds a quarter as fast, then K = 0 at the window that is reached.
#[test]
fn slow_start_that_meets_a_queue_ends_without_a_loss() {
    let mut cubic = Cubic::new(START);
    let slow_round = |cubic: &mut Cubic, millis| {
        let mut left = cubic.window();
        let mut round_start = true;
        while left > 0 && cubic.window() < cubic.ssthresh() {
            let acked = left.min(MSS);
            let round_trip = Some(Span::from_millis(millis));
            cubic.on_ack(&Ack { round_trip, round_start, ..ack(acked, cubic.window()) });
            (left, round_start) = (left - acked, false);
        }
    };
    slow_round(&mut cubic, 50);
    assert_eq!(cubic.window(), 20 * MSS);
    slow_round(&mut cubic, 60);
    assert_eq!(cubic.window(), 20 * MSS + 7 * MSS + 13 * MSS / 4, "CSS from the eighth ACK on");
    for _ in 0..5 {
        slow_round(&mut cubic, 60);
    }
    let window = cubic.window();
    assert_eq!((cubic.ssthresh(), cubic.epoch.prior), (window, window));
    assert!((70 * MSS..80 * MSS).contains(&window), "1.25^4 of 30 segments: {window}");
    cubic.on_ack(&ack(MSS, window));
    assert_eq!((cubic.epoch.k, cubic.epoch.w_max, cubic.window()), (0.0, window, window));
}

/// RFC 9406, section 4.2: it is for the initial slow start, and after a loss that was none this is what goes on.
#[test]
fn an_initial_slow_start_that_goes_on_is_guarded_again() {
    let slow_round = |cubic: &mut Cubic, millis| {
        let window = cubic.window();
        for n in 0..10 {
            let round_trip = Some(Span::from_millis(millis));
            cubic.on_ack(&Ack { round_trip, round_start: n == 0, ..ack(MSS, window) });
        }
        cubic.window() - window
    };
    for (name, losses, undone, want) in [
        ("undone", 1, true, 7 * MSS + 3 * MSS / 4),
        ("a loss", 1, false, 10 * MSS),
        ("undone after a loss", 2, true, 10 * MSS),
    ] {
        let mut cubic = Cubic::new(START);
        (0..4).for_each(|_| _ = slow_round(&mut cubic, 50));
        for _ in 0..losses {
            cubic.on_congestion(NOW, cubic.window(), Congested::Loss);
        }
        if undone {
            cubic.undo(NOW);
        }
        cubic.on_idle(NOW, RTO * 100, RTO);
        slow_round(&mut cubic, 50);
        assert_eq!(slow_round(&mut cubic, 60), want, "{name}");
    }
}

/// Section 5.8.
#[test]
fn time_without_use_of_the_window_does_not_count() {
    let round_trip = Span::from_millis(100);
    let busy = {
        let mut cubic = reduced_from(1000);
        run(&mut cubic, NOW, Span::from_secs(4), round_trip);
        cubic.window()
    };
    let mut cubic = reduced_from(1000);
    let mut now = run(&mut cubic, NOW, Span::from_secs(2), round_trip);
    let before = cubic.window();
    for _ in 0..100 {
        now = now + round_trip;
        cubic.on_ack(&Ack { now, window_limited: false, ..ack(MSS, MSS) });
    }
    assert_eq!(cubic.window(), before);
    now = now + Span::from_secs(60);
    cubic.on_idle(now, RTO / 2, RTO);
    run(&mut cubic, now, Span::from_secs(2), round_trip);
    assert_near(f64::from(cubic.window()), f64::from(busy), 0.01 * f64::from(busy), "window");
}

/// RFC 7661, section 4.4.3. The way back is through slow start to three quarters, and from there by a new curve.
#[test]
fn a_window_that_was_halved_for_want_of_use_finds_its_way_back() {
    let mut cubic = reduced_from(100);
    let now = run(&mut cubic, NOW, Span::from_secs(1), Span::from_millis(100));
    let window = cubic.window();
    let now = now + Span::from_secs(301);
    cubic.on_ack(&Ack { now, window_limited: false, ..ack(MSS, MSS) });
    assert_eq!((cubic.window(), cubic.epoch.elapsed), (window / 2, None));
    cubic.on_ack(&Ack { now, ..ack(MSS, cubic.window()) });
    assert_eq!(cubic.window(), window / 2 + MSS);
}

/// Section 4.2. A pause shorter than a timeout is told to nobody.
#[test]
fn a_short_pause_counts_as_a_round_trip_at_most() {
    let round_trip = Span::from_millis(10);
    let after = |pause| {
        let mut cubic = reduced_from(1000);
        let mut now = run(&mut cubic, NOW, Span::from_secs(2), round_trip);
        for _ in 0..20 {
            now = now + pause;
            let smoothed = Some(round_trip);
            cubic.on_ack(&Ack { now, smoothed, ..ack(cubic.window(), cubic.window()) });
        }
        cubic.window()
    };
    assert_eq!(after(RTO - Span::from_millis(1)), after(round_trip));
    assert!(after(round_trip / 2) < after(round_trip));
}

#[test]
fn after_a_long_pause_the_way_back_is_measured_from_the_restart_window() {
    let mut cubic = reduced_from(100);
    run(&mut cubic, NOW, Span::from_secs(1), Span::from_millis(100));
    cubic.on_idle(NOW, RTO * 100, RTO);
    assert_eq!(cubic.window(), 10 * MSS);
    while cubic.window() < cubic.ssthresh() {
        cubic.on_ack(&ack(MSS, cubic.window()));
    }
    let window = cubic.window();
    cubic.on_ack(&ack(MSS, window));
    assert_eq!(cubic.epoch.w_max, 100 * MSS);
    assert_near(cubic.epoch.cubic(0.0, MSS), window.into(), 1.0, "W_cubic(0)");
}

/// Section 4.9.
#[test]
fn a_loss_that_was_none_gives_window_and_curve_back() {
    let round_trip = Span::from_millis(100);
    let undisturbed = {
        let mut cubic = reduced_from(1000);
        let now = run(&mut cubic, NOW, Span::from_secs(3), round_trip);
        run(&mut cubic, now, Span::from_secs(3), round_trip);
        cubic.window()
    };
    for timeout in [None, Some(Timeout::First)] {
        let mut cubic = reduced_from(1000);
        let now = run(&mut cubic, NOW, Span::from_secs(3), round_trip);
        let window = cubic.window();
        match timeout {
            None => cubic.on_congestion(now, window, Congested::Loss),
            Some(which) => {
                cubic.on_timeout(now, window, which);
                cubic.on_timeout(now, MSS, Timeout::Again);
            }
        }
        let now = now + Span::from_secs(10);
        cubic.undo(now);
        assert_eq!(cubic.window(), window);
        run(&mut cubic, now, Span::from_secs(3), round_trip);
        assert_eq!(cubic.window(), undisturbed, "after {timeout:?}");
    }
}

#[test]
fn a_window_that_has_grown_beyond_keeps_its_curve() {
    let mut cubic = reduced_from(100);
    cubic.on_congestion(NOW, 20 * MSS, Congested::Loss);
    run(&mut cubic, NOW, Span::from_secs(20), Span::from_millis(100));
    let (window, curve) = (cubic.window(), cubic.epoch.elapsed);
    assert!(window > 70 * MSS);
    cubic.undo(NOW);
    assert_eq!((cubic.window(), cubic.epoch.elapsed), (window, curve));
}

/// RFC 3168, section 6.1.2. The curve is caught up with afterwards.
#[test]
fn an_ack_that_echoes_a_mark_widens_nothing() {
    let mut cubic = Cubic::new(START);
    cubic.on_ack(&Ack { marked: MSS, ..ack(MSS, 10 * MSS) });
    assert_eq!(cubic.window(), 10 * MSS, "slow start");
    let round_trip = Span::from_millis(100);
    let mut cubic = reduced_from(1000);
    let mut now = run(&mut cubic, NOW, Span::from_secs(1), round_trip);
    let before = cubic.window();
    for _ in 0..10 {
        now = now + round_trip / 10;
        cubic.on_ack(&Ack { now, marked: MSS, smoothed: Some(round_trip), ..ack(MSS, before) });
    }
    assert_eq!(cubic.window(), before);
    run(&mut cubic, now, Span::from_secs(1), round_trip);
    let undisturbed = {
        let mut cubic = reduced_from(1000);
        run(&mut cubic, NOW, Span::from_millis(2100), round_trip);
        cubic.window()
    };
    assert_near(cubic.window().into(), undisturbed.into(), 0.005 * f64::from(undisturbed), "later");
}

#[test]
fn nothing_grows_during_recovery() {
    let mut cubic = reduced_from(100);
    cubic.on_congestion(NOW, 70 * MSS, Congested::Loss);
    for n in 0..100 {
        let now = NOW + Span::from_millis(n * 10);
        cubic.on_ack(&Ack { now, recovery: true, ..ack(MSS, 70 * MSS) });
    }
    assert_eq!((cubic.window(), cubic.epoch.elapsed), (49 * MSS, None));
}
