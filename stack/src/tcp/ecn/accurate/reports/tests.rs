//! What is made of a peer's counters, number by number.

use proptest::prelude::*;

use super::*;
use crate::wire::tcp_options::FieldOrder;

const MSS: u32 = 1460;

fn option(ect0: u32, ce: u32) -> Option<AccurateEcnOption> {
    let bytes = EcnBytes { ect0, ce, ect1: 1 };
    Some(AccurateEcnOption::new(FieldOrder::Ect0First, bytes, 2))
}

/// ACKs have acknowledged two segments each for a while.
fn reports() -> Reports {
    Reports { acked: 2 * AVERAGE_UNIT, ..Reports::new() }
}

/// The field of a peer with so many marks.
fn field(marks: u32) -> Option<u8> {
    u8::try_from((FIRST_PACKETS + marks) % ACE_VALUES).ok()
}

#[test]
fn section_3_2_2_2_the_least_increment_that_explains_the_field() {
    let mut reports = reports();
    let mut total = 0;
    for more in [0, 1, 2, 7, 0, 3, 7, 7, 1] {
        total += more;
        let marks = reports.read(field(total), None, 7 * MSS, MSS);
        assert_eq!((marks.told, marks.bytes), (more > 0, more * MSS), "{total}");
        assert_eq!(reports.counts().marked_packets, total);
    }
}

/// Appendix A.1: an ACK that acknowledges nothing may have been overtaken.
#[test]
fn section_3_2_2_2_an_ack_that_was_superseded_says_nothing() {
    let mut reports = reports();
    assert!(reports.read(field(2), None, MSS, MSS).told);
    assert_eq!(reports.read(field(1), option(1, 0), 0, MSS), Marks::default());
    assert_eq!(reports.counts().marked_packets, 2);
    assert!(!reports.read(field(2), None, MSS, MSS).told);
}

/// The numbers of appendix A.2.1.
#[test]
fn section_3_2_2_5_2_without_options_the_field_may_have_gone_round() {
    for (segments, least, want) in
        [(9, 2, 2), (10, 2, 10), (8, 0, 8), (7, 0, 0), (17, 0, 16), (3, 5, 5), (0, 1, 1)]
    {
        assert_eq!(safest(least, segments), want, "{least} of {segments}");
        let mut reports = reports();
        reports.read(field(least), None, (segments * MSS).max(1), MSS);
        assert_eq!(reports.counts().marked_packets, want, "{least} of {segments}");
    }
}

#[test]
fn section_3_2_2_5_2_where_acks_are_few_by_themselves_nothing_goes_round() {
    let mut reports = Reports::new();
    for _ in 0..30 {
        assert!(!reports.read(field(0), None, 40 * MSS, MSS).told, "a peer that gathers segments");
    }
    for _ in 0..30 {
        reports.read(field(0), None, 2 * MSS, MSS);
    }
    assert!(reports.read(field(0), None, 40 * MSS, MSS).told, "ACKs are missing now");
}

/// The examples of appendix A.2.2.
#[test]
fn section_3_2_2_5_2_the_option_says_whether_it_has() {
    for (least, segments, bytes, want) in
        [(0, 8, 1460, 8), (2, 10, 1460, 2), (7, 15, 10_200, 7), (0, 40, 0, 0), (2, 10, 14_600, 10)]
    {
        let mut reports = reports();
        let marks = reports.read(field(least), option(1, bytes), segments * MSS, MSS);
        assert_eq!(reports.counts().marked_packets, want, "{least} of {segments}");
        assert_eq!((marks.told, marks.bytes), (want > 0, bytes), "{least} of {segments}");
    }
}

/// The example of appendix A.1.
#[test]
fn section_3_2_3_1_a_field_of_24_bits_goes_on_where_it_was() {
    let mut reports = Reports { bytes: EcnBytes { ce: 33_554_433, ..FIRST_BYTES }, ..reports() };
    let marks = reports.read(field(1), option(1, 1461), MSS, MSS);
    assert_eq!((marks.bytes, reports.bytes.ce), (1460, 33_555_893));
}

/// Appendix A.3.
#[test]
fn what_was_guessed_is_not_told_again_by_an_option() {
    let mut reports = reports();
    assert_eq!(reports.read(field(2), None, 4 * MSS, MSS).bytes, 2 * MSS);
    assert_eq!(reports.read(field(3), option(1, 3 * 1000), 4 * MSS, MSS).bytes, 80);
    assert_eq!(reports.read(field(4), option(1, 4 * 1000), 4 * MSS, MSS).bytes, 1000);
}

#[test]
fn section_3_2_3_2_5_bytes_without_packets_end_ecn() {
    let mut reports = reports();
    reports.read(field(1), option(1, 1460), 2 * MSS, MSS);
    reports.read(field(2), None, 2 * MSS, MSS);
    reports.read(field(2), option(1, 2920), 2 * MSS, MSS);
    for (bytes, want) in [(4380, true), (5840, true), (7300, false)] {
        reports.read(field(2), option(1, bytes), 2 * MSS, MSS);
        assert_eq!(reports.may_mark(), want, "the first packet was told by the ACK before");
    }
}

/// Eight segments of 100 bytes were marked, and all their ACKs but the last were lost.
#[test]
fn section_3_2_3_2_5_a_field_that_may_have_gone_round_contradicts_nothing() {
    let mut small = reports();
    for round in 1..=10 {
        small.read(field(9 * round - 1), option(1, round * 800 - 100), MSS, MSS);
        small.read(field(9 * round), option(1, round * 800), 100, MSS);
        assert!(small.may_mark(), "a packet in between shows that the field counts");
    }
    let mut gathered = Reports::new();
    for round in 1..=10 {
        gathered.read(field(0), None, 8 * MSS, MSS);
        gathered.read(field(0), option(1, round * MSS), MSS, MSS);
        assert!(gathered.may_mark(), "nine segments since the option before");
    }
}

#[test]
fn section_3_2_3_2_4_an_option_of_zeros_is_ignored() {
    for (first, want) in [(option(1, 0), 0), (option(0, 0), 8), (None, 0)] {
        let mut reports = reports();
        reports.option_expected(first);
        reports.read(field(0), option(9 * MSS, 0), 8 * MSS, MSS);
        assert_eq!(reports.counts().marked_packets, want, "{first:?}");
    }
}

proptest! {
    /// Whatever is lost of the ACKs: the bytes are right, and no packet is missed. Some may be counted that were none, but no round that the option denies.
    #[test]
    fn nothing_is_missed_over_lost_acks(
        steps in prop::collection::vec((1..20_u32, 0..=100_u32, any::<bool>()), 1..200),
    ) {
        let mut reports = Reports { acked: 1, ..Reports::new() };
        let (mut sent, mut marked, mut acked) = (0, 0, 0);
        for (segments, percent, arrives) in steps {
            sent += segments;
            marked += segments * percent / 100;
            if arrives {
                reports.acked = AVERAGE_UNIT;
                reports.read(field(marked), option(1, marked * MSS), (sent - acked) * MSS, MSS);
                acked = sent;
                prop_assert_eq!(reports.counts().marked_bytes, marked * MSS);
                let counted = reports.counts().marked_packets;
                prop_assert!(counted >= marked && (counted - marked).is_multiple_of(ACE_VALUES));
                prop_assert!(reports.may_mark());
            }
        }
    }

    /// A peer can write what it likes.
    #[test]
    fn anything_is_survived(
        steps in prop::collection::vec((0..8_u8, any::<Option<(u32, u32, u32, u8)>>(), any::<u32>(), any::<u32>()), 1..100),
    ) {
        let mut reports = Reports::new();
        for (ace, told, delivered, mss) in steps {
            let option = told.map(|(ect0, ce, ect1, count)| {
                AccurateEcnOption::new(FieldOrder::Ect1First, EcnBytes { ect0, ce, ect1 }, count)
            });
            let marks = reports.read(Some(ace), option, delivered, mss);
            prop_assert!(!marks.told || delivered > 0);
        }
    }
}
